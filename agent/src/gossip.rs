//! Gossip: each agent tells all others what it is and can do, which mesh it is in and who leads, over libp2p on QUIC.
//!
//! Nothing is decided from it alone: it says where nodes are and what they offer; who belongs to the mesh is the coordinator's
//! word. A message counts only if it is signed with the key of the node that it describes.

use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use libp2p::Multiaddr;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

mod announcement;
mod book;
mod cache;
mod ear;
mod peers;
mod rate;
mod reach;
mod swarm;
mod task;
mod voice;

pub use announcement::Announcement;

/// Announcements that wait for the agent; gossip repeats what is lost.
const HEARD_MAX: usize = 256;
/// Addresses that wait to be dialled.
const DIALS_MAX: usize = 64;

/// How gossip is set up.
#[derive(Clone)]
pub struct GossipConfig {
    /// The device key's secret: the libp2p peer id comes from it.
    pub seed: [u8; 32],
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// Whether to look for others by mDNS.
    pub mdns: bool,
    /// The file in which addresses of peers are kept for the next start.
    pub cache: Option<PathBuf>,
    /// How often to announce though nothing changed.
    pub announce_every: Duration,
}

impl std::fmt::Debug for GossipConfig {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GossipConfig").field("listen", &self.listen).field("mdns", &self.mdns).finish_non_exhaustive()
    }
}

/// Why there is no gossip.
#[derive(Debug, Error)]
pub enum GossipError {
    /// The port cannot be opened.
    #[error("cannot listen for gossip on UDP {address}: {source}; choose another address with --gossip-listen")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// libp2p refused its set-up.
    #[error("cannot start gossip on {address}: {reason}")]
    Start {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// What an agent says to its gossip.
#[derive(Clone, Debug)]
pub struct Gossip {
    announcement: watch::Sender<Option<Announcement>>,
    dials: mpsc::Sender<Multiaddr>,
    listening: task::Listening,
}

impl Gossip {
    /// Starts to gossip. Announcements of others come out of the receiver.
    pub async fn start(config: GossipConfig) -> Result<(Self, mpsc::Receiver<Announcement>), GossipError> {
        let address = config.listen;
        // libp2p would say only that the transport failed: ask the system first.
        UdpSocket::bind(address).map_err(|source| GossipError::Bind { address, source })?;
        let failed = |reason: String| GossipError::Start { address, reason };
        let swarm = swarm::build(&config).map_err(failed)?;
        let (announcement, announcements) = watch::channel(None);
        let (dials, to_dial) = mpsc::channel(DIALS_MAX);
        let (tell, heard) = mpsc::channel(HEARD_MAX);
        // Drawn from the system: whoever could guess whom we prefer could choose keys to surround us.
        let seed = RandomState::new().hash_one(());
        let listening = Arc::new(RwLock::new(Vec::new()));
        let mut task = task::Task::new(config, swarm, seed, tell, listening.clone());
        task.wait_for_address().await.map_err(failed)?;
        tokio::spawn(task.run(announcements, to_dial));
        Ok((Self { announcement, dials, listening }, heard))
    }

    /// Says this from now on, until something else is to be said.
    pub fn announce(&self, announcement: Announcement) {
        self.announcement.send_replace(Some(announcement));
    }

    /// Makes a peer known, by a libp2p multiaddress with its peer id.
    pub fn dial(&self, address: &str) {
        match address.parse() {
            // A full queue means that there is plenty to dial already, and gossip spreads by itself.
            Ok(address) => drop(self.dials.try_send(address)),
            Err(error) => tracing::debug!("'{address}' is no gossip address: {error}"),
        }
    }

    /// Where this agent's gossip listens, as multiaddresses with its peer id.
    pub fn listen_addresses(&self) -> Vec<String> {
        let listening = self.listening.read().unwrap_or_else(PoisonError::into_inner);
        listening.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests;

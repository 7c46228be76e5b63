//! Whom to be connected to: known peers, which of them to dial next, and which to remember.

use std::collections::BTreeMap;
use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use tokio::time::{Duration, Instant};

/// Peers to be connected to: all of a small mesh; in a large one enough that any few may go.
const CONNECTED_MAX: usize = 32;
/// Peers to know of.
const KNOWN_MAX: usize = 1024;
/// Addresses to know of each.
const ADDRESSES_MAX: usize = 8;
/// The first wait before a peer that did not answer is dialled again; doubled each time up to [`AGAIN_MAX`].
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Addresses to remember for the next start.
const REMEMBERED_MAX: usize = 64;

/// Every peer this one knows of.
#[derive(Debug)]
pub(super) struct Peers {
    own: PeerId,
    on_loopback: bool,
    known: BTreeMap<PeerId, Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    addresses: Vec<Multiaddr>,
    connected: bool,
    /// Whether it ever answered at these addresses.
    proven: bool,
    failures: u32,
    dial_at: Option<Instant>,
}

impl Peers {
    /// Knows nobody. A peer on loopback talks only to others on loopback, and one that is not, never to them.
    pub(super) fn new(own: PeerId, listen: IpAddr) -> Self {
        Self { own, on_loopback: listen.is_loopback(), known: BTreeMap::new() }
    }

    /// A peer may be found at this address, which must hold its id. The newest word comes first.
    pub(super) fn learn(&mut self, now: Instant, address: Multiaddr) {
        let Some(peer) = peer_of(&address) else { return };
        let known = self.known.contains_key(&peer);
        if peer == self.own || !self.is_reachable(&address) || (!known && self.known.len() >= KNOWN_MAX) {
            return;
        }
        let entry = self.known.entry(peer).or_default();
        if !entry.addresses.contains(&address) {
            entry.addresses.insert(0, address);
            entry.addresses.truncate(ADDRESSES_MAX);
            // A new address is a new chance.
            entry.dial_at = Some(now);
            entry.failures = 0;
        }
    }

    /// A peer is connected, at this address if it was dialled there.
    pub(super) fn connected(&mut self, now: Instant, peer: PeerId, dialled: Option<Multiaddr>) {
        if let Some(address) = dialled {
            let address = if peer_of(&address).is_some() { address } else { address.with(Protocol::P2p(peer)) };
            self.learn(now, address);
        }
        if let Some(entry) = self.known.get_mut(&peer) {
            entry.connected = true;
            entry.proven |= !entry.addresses.is_empty();
            entry.failures = 0;
            entry.dial_at = None;
        }
    }

    /// A peer is connected no longer, or could not be reached.
    pub(super) fn lost(&mut self, now: Instant, peer: PeerId) {
        if let Some(entry) = self.known.get_mut(&peer) {
            entry.connected = false;
            let wait = AGAIN_FIRST.saturating_mul(1 << entry.failures.min(8)).min(AGAIN_MAX);
            entry.failures += 1;
            entry.dial_at = Some(now + wait);
        }
    }

    /// Whom to dial now. In a mesh larger than the bound, each node has its own order, so that all are dialled by some.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let connected = self.known.values().filter(|peer| peer.connected).count();
        let mut due: Vec<PeerId> = self.known.iter().filter(|(_, peer)| peer.is_due(now)).map(|(id, _)| *id).collect();
        due.sort_by_key(|peer| distance(&self.own, peer));
        due.truncate(CONNECTED_MAX.saturating_sub(connected));
        let dial = |peer: PeerId| {
            let entry = self.known.get_mut(&peer)?;
            entry.dial_at = None;
            Some((peer, entry.addresses.clone()))
        };
        due.into_iter().filter_map(dial).collect()
    }

    /// Addresses worth remembering: those that answered.
    pub(super) fn remembered(&self) -> Vec<Multiaddr> {
        let proven = self.known.values().filter(|peer| peer.proven);
        proven.filter_map(|peer| peer.addresses.first().cloned()).take(REMEMBERED_MAX).collect()
    }

    fn is_reachable(&self, address: &Multiaddr) -> bool {
        let loopback = address.iter().find_map(|part| match part {
            Protocol::Ip4(ip) => Some(ip.is_loopback()),
            Protocol::Ip6(ip) => Some(ip.is_loopback()),
            _ => None,
        });
        loopback == Some(self.on_loopback)
    }
}

impl Peer {
    fn is_due(&self, now: Instant) -> bool {
        !self.connected && self.dial_at.is_some_and(|at| at <= now)
    }
}

/// The peer that an address is of.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    })
}

fn distance(a: &PeerId, b: &PeerId) -> Vec<u8> {
    // The last bytes are the key's own; the first are the same for all.
    a.to_bytes().iter().rev().zip(b.to_bytes().iter().rev()).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ip: &str, peer: PeerId) -> Multiaddr {
        format!("/ip4/{ip}/udp/7434/quic-v1/p2p/{peer}").parse().unwrap()
    }

    fn peers() -> Peers {
        Peers::new(PeerId::random(), "10.0.0.1".parse().unwrap())
    }

    #[test]
    fn a_new_peer_is_dialled_once_and_a_lost_one_later_and_later() {
        let (mut peers, now, peer) = (peers(), Instant::now(), PeerId::random());
        peers.learn(now, address("10.0.0.2", peer));
        assert_eq!(peers.due(now).len(), 1);
        assert!(peers.due(now).is_empty(), "it is being dialled");
        peers.lost(now, peer);
        assert!(peers.due(now).is_empty());
        assert_eq!(peers.due(now + AGAIN_FIRST).len(), 1);
        peers.lost(now, peer);
        assert!(peers.due(now + AGAIN_FIRST).is_empty());
        assert_eq!(peers.due(now + AGAIN_FIRST * 2).len(), 1);
    }

    #[test]
    fn what_cannot_be_reached_is_not_dialled() {
        let mut peers = peers();
        let now = Instant::now();
        peers.learn(now, address("127.0.0.1", PeerId::random()));
        peers.learn(now, address("10.0.0.1", peers.own));
        peers.learn(now, "/ip4/10.0.0.3/udp/7434/quic-v1".parse().unwrap());
        assert!(peers.due(now).is_empty());
    }

    #[test]
    fn only_what_answered_is_remembered() {
        let (mut peers, now) = (peers(), Instant::now());
        let (good, silent) = (PeerId::random(), PeerId::random());
        peers.learn(now, address("10.0.0.2", good));
        peers.learn(now, address("10.0.0.3", silent));
        peers.connected(now, good, None);
        peers.lost(now, silent);
        assert_eq!(peers.remembered(), [address("10.0.0.2", good)]);
    }

    #[test]
    fn a_large_mesh_is_not_dialled_whole() {
        let (mut peers, now) = (peers(), Instant::now());
        for _ in 0..200 {
            peers.learn(now, address("10.0.0.2", PeerId::random()));
        }
        assert_eq!(peers.due(now).len(), CONNECTED_MAX);
    }
}

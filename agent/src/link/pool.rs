//! Connections to other nodes, one each, made when they are needed and kept.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use quinn::Connection;
use skein_core::NodeId;
use skein_core::liveness::Patience;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::link::{Endpoint, LinkError, Owed, watch};

/// Connections by node, and where each node was last known to be.
#[derive(Clone, Debug)]
pub struct Pool {
    endpoint: Endpoint,
    peers: Arc<Mutex<HashMap<NodeId, Peer>>>,
    /// Told of nodes whose process is known to be gone.
    gone: mpsc::Sender<(NodeId, Instant)>,
    patience: Patience,
}

/// A connection to a node, and what that node owes over it.
#[derive(Clone, Debug)]
pub struct Link {
    /// The connection.
    pub connection: Connection,
    /// Attempts at workers there.
    pub owed: Owed,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    address: Option<SocketAddr>,
    /// Held while dialling, so that many who need a node at once dial it once.
    link: Arc<tokio::sync::Mutex<Option<Link>>>,
}

impl Pool {
    /// A pool that dials from this endpoint, and tells `gone` of nodes whose process is known to be gone.
    pub fn new(endpoint: Endpoint, gone: mpsc::Sender<(NodeId, Instant)>, patience: Patience) -> Self {
        Self { endpoint, peers: Arc::default(), gone, patience }
    }

    /// The endpoint it dials from.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Says where a node is from now on. A connection to where it was before is left to end by itself.
    pub fn set_address(&self, node: NodeId, address: SocketAddr) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = peers.entry(node).or_default();
        if peer.address != Some(address) {
            *peer = Peer { address: Some(address), link: Arc::default() };
        }
    }

    /// A live connection to a node.
    pub async fn connection(&self, node: NodeId) -> Result<Connection, LinkError> {
        Ok(self.link(node).await?.connection)
    }

    /// A live connection to a node, with the account of what is owed over it.
    pub async fn link(&self, node: NodeId) -> Result<Link, LinkError> {
        let peer = {
            let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.get(&node).cloned()
        };
        let address = peer.as_ref().and_then(|peer| peer.address);
        let (Some(peer), Some(address)) = (peer, address) else { return Err(LinkError::NoAddress(node)) };
        let mut held = peer.link.lock().await;
        if let Some(link) = held.as_ref().filter(|link| link.connection.close_reason().is_none()) {
            return Ok(link.clone());
        }
        let link = Link { connection: self.endpoint.dial(address, Some(node)).await?, owed: Owed::default() };
        *held = Some(link.clone());
        let (watched, gone, patience) = (link.clone(), self.gone.clone(), self.patience);
        tokio::spawn(async move {
            if let Some(since) = watch(watched.connection, watched.owed, patience).await {
                // Where nobody has time to hear it, missed heartbeats say the same a little later.
                let _ = gone.try_send((node, since));
            }
        });
        Ok(link)
    }
}

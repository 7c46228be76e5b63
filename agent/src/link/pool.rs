//! Connections to other nodes, one each, made when they are needed and kept.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use quinn::Connection;
use skein_core::NodeId;
use tokio::sync::mpsc;

use crate::link::{Endpoint, LinkError, knock};

/// Connections by node, and where each node was last known to be.
#[derive(Clone, Debug)]
pub struct Pool {
    endpoint: Endpoint,
    peers: Arc<Mutex<HashMap<NodeId, Peer>>>,
    /// Told of nodes whose process is known to be gone.
    gone: mpsc::Sender<NodeId>,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    address: Option<SocketAddr>,
    /// Held while dialling, so that many who need a node at once dial it once.
    connection: Arc<tokio::sync::Mutex<Option<Connection>>>,
}

impl Pool {
    /// A pool that dials from this endpoint, and tells `gone` of nodes whose process is known to be gone.
    pub fn new(endpoint: Endpoint, gone: mpsc::Sender<NodeId>) -> Self {
        Self { endpoint, peers: Arc::default(), gone }
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
            *peer = Peer { address: Some(address), connection: Arc::default() };
        }
    }

    /// A live connection to a node.
    pub async fn connection(&self, node: NodeId) -> Result<Connection, LinkError> {
        let peer = {
            let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.get(&node).cloned()
        };
        let address = peer.as_ref().and_then(|peer| peer.address);
        let (Some(peer), Some(address)) = (peer, address) else { return Err(LinkError::NoAddress(node)) };
        let mut held = peer.connection.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| connection.close_reason().is_none()) {
            return Ok(connection.clone());
        }
        let connection = self.endpoint.dial(address, Some(node)).await?;
        *held = Some(connection.clone());
        let (watched, gone) = (connection.clone(), self.gone.clone());
        tokio::spawn(async move {
            if knock::watch(watched).await {
                // Where nobody has time to hear it, missed heartbeats say the same a little later.
                let _ = gone.try_send(node);
            }
        });
        Ok(connection)
    }
}

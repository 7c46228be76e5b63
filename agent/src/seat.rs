//! This agent's seat in the coordinator: the Raft replica, its messages carried over the link.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skein_core::seats::View;
use skein_core::{MeshId, Millis, NodeId};
use skein_raft::{Call, Role, Seat, Transport, TransportError};
use thiserror::Error;
use tokio::time::timeout;

use crate::api::handle::now;
use crate::contacts::Contacts;
use crate::link::{Open, Pool, ask};

/// A Raft message that was not answered within this is sent again by Raft itself.
const CALL_TIME_MAX: Duration = Duration::from_secs(2);

/// Looks at the seats as the core does. Only a leader knows how far behind the others are.
pub fn look_at_seats<T>(seat: &Seat, role: &Role, now: Millis, look: impl FnOnce(&View<'_>) -> T) -> T {
    let last = role.last_log.unwrap_or_default();
    let mut behind: BTreeMap<NodeId, u64> =
        role.matched.iter().map(|(node, index)| (*node, last.saturating_sub(*index))).collect();
    behind.insert(role.node, 0);
    let (voters, learners, behind) = (&role.voters, &role.learners, &behind);
    seat.read(|state| look(&View { state, leader: role.node, voters, learners, behind, now }))
}

/// Carries Raft messages over QUIC.
#[derive(Debug)]
pub struct LinkTransport {
    /// The way to the others.
    pub pool: Pool,
    /// Which mesh this seat speaks for, and who answers it.
    pub contacts: Contacts,
}

/// Why a Raft message was not taken.
#[derive(Clone, Debug, Error, Serialize, Deserialize)]
pub enum RaftRefusal {
    /// The seat could make nothing of it, or has stopped.
    #[error("{0}")]
    Failed(String),
    /// It came from another mesh. A seat that believed it would undo what its own mesh agreed on.
    #[error("that node is in another mesh, {mesh}")]
    OtherMesh {
        /// The mesh of the one that was asked.
        mesh: MeshId,
        /// The meshes that it went on from.
        from: Vec<MeshId>,
    },
}

impl LinkTransport {
    fn note_refusal(&self, node: NodeId, refusal: &RaftRefusal) {
        if let RaftRefusal::OtherMesh { mesh, from } = refusal
            && self.contacts.mesh().is_some_and(|ours| from.contains(&ours))
            && self.contacts.note_moved(node, *mesh)
        {
            tracing::error!(%node, "this node was given up: {}", moved_words(&node.to_string(), *mesh));
        }
    }
}

/// What to do where the mesh was recovered without this node.
pub fn moved_words(node: &str, mesh: MeshId) -> String {
    format!(
        "node {node} of this mesh went on as mesh {mesh}, without what this node holds. To take part there, stop this agent, move \
         'coordinator' and 'mesh' out of its state directory, and start it again with --peer"
    )
}

impl Transport for LinkTransport {
    async fn call(&self, to: NodeId, call: Call, body: Vec<u8>) -> Result<Vec<u8>, TransportError> {
        let exchange = async {
            let connection = self.pool.connection(to).await?;
            let open = Open::Raft(call, self.contacts.mesh());
            ask::<Result<(), RaftRefusal>>(&connection, &open, Bytes::from(body)).await
        };
        let answer = timeout(CALL_TIME_MAX, exchange).await;
        self.contacts.note_call(to, matches!(answer, Ok(Ok(_))), now());
        match answer {
            Err(_) => Err(TransportError("no answer in time".into())),
            Ok(Err(error)) => Err(TransportError(error.to_string())),
            Ok(Ok((Err(refusal), _))) => {
                self.note_refusal(to, &refusal);
                Err(TransportError(refusal.to_string()))
            }
            Ok(Ok((Ok(()), answer))) => Ok(answer.into()),
        }
    }
}

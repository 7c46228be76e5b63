//! The state as it is stored and sent: without what follows from the rest.

use alloc::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use crate::durable::Durable;
use crate::event::Numbered;
use crate::ids::{MeshId, NodeId, SessionId, WorkerId};
use crate::model::{ModelRef, ModelSpec};
use crate::policy::PolicyName;
use crate::seats::Agreed;
use crate::session::Session;
use crate::state::index::Index;
use crate::state::{Node, State};
use crate::worker::Worker;

/// [`State`] without its index.
#[derive(Deserialize)]
pub(super) struct Stored {
    mesh: Option<MeshId>,
    policy: PolicyName,
    /// Missing from what was stored before seats had rules.
    #[serde(default)]
    seats: Agreed,
    nodes: BTreeMap<NodeId, Node>,
    models: BTreeMap<ModelRef, ModelSpec>,
    sessions: BTreeMap<SessionId, Session>,
    workers: BTreeMap<WorkerId, Worker>,
    durable: Durable,
    /// Missing from what was stored before nodes went on without the mesh.
    #[serde(default)]
    island_reports: BTreeMap<NodeId, u64>,
    last_session: SessionId,
    last_worker: WorkerId,
    last_event: u64,
    history: VecDeque<Numbered>,
}

impl From<Stored> for State {
    fn from(stored: Stored) -> Self {
        let index = Index::of(&stored.nodes, &stored.sessions, &stored.workers);
        let Stored { mesh, policy, seats, nodes, models, sessions, workers, durable, .. } = stored;
        let Stored { island_reports, last_session, last_worker, last_event, history, .. } = stored;
        Self {
            mesh,
            policy,
            seats,
            nodes,
            models,
            sessions,
            workers,
            durable,
            island_reports,
            last_session,
            last_worker,
            last_event,
            history,
            index,
        }
    }
}

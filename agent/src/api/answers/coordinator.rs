//! What the coordinator's seats are shown with.

use serde::{Deserialize, Serialize};
use skein_core::capability::Power;
use skein_core::seats::{Recovery, Rules};
use skein_core::{MeshId, Millis, NodeId};

use crate::api::SeatStatus;

/// The coordinator as one agent knows it: the leader, where it can be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoordinatorStatus {
    /// Which mesh; none while the agent looks for one.
    pub mesh: Option<MeshId>,
    /// Whose account this is.
    pub by: NodeId,
    /// Who leads; none where nobody can.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// What the mesh is set to.
    pub rules: Rules,
    /// How many of the voters must be up.
    pub quorum: usize,
    /// How many are: by the leader's account, or those that answered just now where there is no leader.
    pub voters_up: usize,
    /// Whether the mesh can decide anything.
    pub quorum_holds: bool,
    /// Since when this agent knows of no leader, since the Unix epoch.
    pub leaderless_since: Option<Millis>,
    /// Every node, voters first.
    pub members: Vec<Member>,
    /// What changes next, and why; none where nothing does.
    pub next: Option<String>,
    /// What is not as it should be, and what it waits for.
    pub waiting: Vec<String>,
    /// Where this node's mesh was recovered without it: what to do.
    pub given_up: Option<String>,
    /// The meshes that this one went on from.
    pub recoveries: Vec<Recovery>,
}

/// One node and its seat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// For people.
    pub name: String,
    /// Its part.
    pub seat: SeatStatus,
    /// Whether it is up: by the leader's account, or where there is none, whether it answered just now (voters only).
    pub up: bool,
    /// Since when, since the Unix epoch, as far as that is known.
    pub since: Option<Millis>,
    /// Whether an operator wants it to have no vote.
    pub evicted: bool,
    /// How many entries of the log it lacks; none where that is not known.
    pub behind: Option<u64>,
    /// Its disk takes less than so many milliseconds to make a record safe; none where it was not measured.
    pub flush_ms: Option<u16>,
    /// What it lives on.
    pub power: Power,
    /// What is lost together; none where its operator did not say.
    pub zone: Option<String>,
}

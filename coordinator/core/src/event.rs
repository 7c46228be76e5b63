//! What changed: the account that `apply` gives of a command.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::{MeshId, NodeId, SessionId, WorkerId};
use crate::model::ModelRef;
use crate::plan::Placement;

/// One change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The mesh exists from now on.
    Founded(MeshId),
    /// A node joined, or stated itself anew.
    NodeJoined(NodeId),
    /// The leader no longer hears it; its workers left the plan.
    NodeDown(NodeId),
    /// It is heard again.
    NodeUp(NodeId),
    /// A model version can be used.
    ModelAdded(ModelRef),
    /// The same content was there under that name already.
    ModelKnown(ModelRef),
    /// A session is open.
    SessionCreated(SessionId),
    /// A session is over; its workers left the plan.
    SessionEnded(SessionId),
    /// A worker entered the plan.
    WorkerPlanned(WorkerId),
    /// A worker left the plan.
    WorkerRemoved {
        /// Which.
        worker: WorkerId,
        /// Why, for people.
        reason: String,
    },
    /// A worker's status changed.
    WorkerChanged(WorkerId),
    /// An item of a plan no longer held when it was committed.
    PlacementRefused {
        /// The item.
        placement: Placement,
        /// Why, for people.
        reason: String,
    },
}

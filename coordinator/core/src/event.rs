//! What changed, and why: the account that `apply` gives of a command.

mod reason;

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::durable::Account;
use crate::ids::{MeshId, NodeId, SessionId, StreamId, WorkerId};
use crate::island::IslandAccount;
use crate::model::ModelRef;
use crate::plan::Change;
use crate::policy::PolicyName;
use crate::resources::Resources;
use crate::seats::Rules;
use crate::time::Millis;
use crate::worker::{Why, WorkerStatus};

/// An event with its place among all events of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Counted from 1, without gaps.
    pub sequence: u64,
    /// When, since the Unix epoch.
    pub at: Millis,
    /// What.
    pub event: Event,
}

/// One change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The mesh exists from now on.
    Founded(MeshId),
    /// Sessions are ordered by this policy from now on.
    PolicySet(PolicyName),
    /// So many vote from now on, and one that is gone is replaced after so long.
    SeatsSet(Rules),
    /// A node gives its vote up.
    SeatEvicted(NodeId),
    /// It may vote again.
    SeatAllowed(NodeId),
    /// The mesh goes on from one node's replica, without most of its voters.
    Recovered {
        /// What it was called before; none where it was not founded yet.
        from: Option<MeshId>,
        /// What it is called now.
        mesh: MeshId,
        /// Whose replica.
        by: NodeId,
    },
    /// A node joined, or stated itself anew.
    NodeJoined {
        /// Which.
        node: NodeId,
        /// What is new, for people.
        reason: String,
    },
    /// The leader no longer hears it; its workers left the plan.
    NodeDown(NodeId),
    /// It is heard again.
    NodeUp(NodeId),
    /// It, or a device of it, takes no more work.
    Blocked {
        /// The node.
        node: NodeId,
        /// The device; the whole node where none is named.
        device: Option<String>,
        /// Why, for people.
        reason: String,
    },
    /// It takes work again.
    Unblocked {
        /// The node.
        node: NodeId,
        /// The device; the whole node where none is named.
        device: Option<String>,
        /// Why it was blocked.
        was: String,
    },
    /// Attempts failed on a device one after another: it takes no work until it has passed a test.
    DeviceQuarantined {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
        /// Why, for people.
        reason: String,
    },
    /// It is being tested.
    DeviceTested {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
    },
    /// It passed and is on probation.
    DevicePassed {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
    },
    /// It went through its probation without a fault.
    DeviceTrusted {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
    },
    /// A model version can be used.
    ModelAdded(ModelRef),
    /// The same content was there under that name already.
    ModelKnown(ModelRef),
    /// A session is open.
    SessionCreated(SessionId),
    /// The same client asked for the same session again, and has it already.
    SessionKnown(SessionId),
    /// A session is over; its workers left the plan.
    SessionEnded(SessionId),
    /// A session's pending tasks could keep so many workers busy.
    SessionWants {
        /// Which.
        session: SessionId,
        /// How many.
        workers: u32,
    },
    /// A session's workers are given so much from now on.
    SessionReserved {
        /// Which.
        session: SessionId,
        /// How much each.
        reserved: Resources,
        /// Why, for people.
        reason: String,
    },
    /// A worker entered the plan.
    WorkerPlanned {
        /// Which.
        worker: WorkerId,
        /// Whom it serves.
        session: SessionId,
        /// Where it runs.
        node: NodeId,
        /// On which of the node's devices.
        device: String,
        /// Why, for people.
        reason: String,
    },
    /// A worker is this far.
    WorkerChanged {
        /// Which.
        worker: WorkerId,
        /// How far.
        status: WorkerStatus,
    },
    /// So much work would be lost with a worker now.
    WorkerAtStake {
        /// Which.
        worker: WorkerId,
        /// The time since its task began, or last wrote a checkpoint.
        length: Millis,
    },
    /// A worker was given more or less.
    WorkerResized {
        /// Which.
        worker: WorkerId,
        /// What it has now.
        need: Resources,
    },
    /// A worker's session gave it back; it stays loaded until the room is needed.
    WorkerReturned {
        /// Which.
        worker: WorkerId,
        /// Whose it is.
        session: SessionId,
    },
    /// A worker that was given back, or that was to leave, serves again.
    WorkerRevived {
        /// Which.
        worker: WorkerId,
        /// Whom it serves.
        session: SessionId,
        /// Why, for people.
        reason: String,
    },
    /// A worker has to leave.
    WorkerLeaving {
        /// Which.
        worker: WorkerId,
        /// At the latest then.
        until: Millis,
        /// Why.
        why: Why,
    },
    /// A worker left the plan.
    WorkerRemoved {
        /// Which.
        worker: WorkerId,
        /// Whose it was.
        session: SessionId,
        /// Why, for people.
        reason: String,
    },
    /// The first durable tasks of a stream were accepted.
    StreamOpened {
        /// Which.
        stream: StreamId,
        /// Whose workers it uses.
        session: SessionId,
        /// Who runs its tasks.
        gateway: NodeId,
    },
    /// The gateway of a stream was lost; another runs what is pending.
    StreamMoved {
        /// Which.
        stream: StreamId,
        /// Who had it.
        from: NodeId,
        /// Who has it.
        to: NodeId,
        /// How many have had it.
        tenure: u32,
    },
    /// A stream is forgotten.
    StreamClosed {
        /// Which.
        stream: StreamId,
        /// Whose workers it used.
        session: SessionId,
        /// What became of its tasks.
        account: Account,
        /// Why, for people.
        reason: String,
    },
    /// A node that was cut off from the mesh says what it did for a session meanwhile.
    IslandReported {
        /// Which node.
        node: NodeId,
        /// Which session.
        session: SessionId,
        /// What.
        account: IslandAccount,
    },
    /// An item of a plan no longer held when it was committed.
    ChangeRefused {
        /// The item.
        change: Change,
        /// Why, for people.
        reason: String,
    },
}

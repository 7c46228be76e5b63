//! Why what changed changed: every event has an answer.

use alloc::format;
use alloc::string::{String, ToString};

use super::Event;
use crate::worker::WorkerStatus;

impl Event {
    /// Why, for people. There is no event without one; the sentence names numbers, never what nodes are called.
    pub fn reason(&self) -> String {
        match self {
            Self::Founded(_) => "it was the first node, and had no mesh to join".into(),
            Self::PolicySet(_) | Self::SeatsSet(_) | Self::SeatEvicted(_) | Self::SeatAllowed(_) => {
                "an operator asked for it".into()
            }
            Self::Recovered { .. } => "most voters were lost".into(),
            Self::NodeDown(_) => "the leader no longer hears it".into(),
            Self::NodeUp(_) => "the leader hears it again".into(),
            Self::Unblocked { was, .. } => format!("an operator lifted the block, which was for: {was}"),
            Self::DeviceTested { .. } => "it has rested".into(),
            Self::DevicePassed { .. } => "it passed its test".into(),
            Self::DeviceTrusted { .. } => "its probation is over".into(),
            Self::ModelAdded(_) => "its files were handed in".into(),
            Self::ModelKnown(_) => "the same files were handed in before".into(),
            Self::SessionCreated(_) => "a client asked for it".into(),
            Self::SessionKnown(_) => "the same request came once more".into(),
            Self::SessionEnded(_) => "its client or an operator ended it".into(),
            Self::SessionWants { .. } => "by its pending tasks".into(),
            Self::WorkerChanged { status: WorkerStatus::Starting, .. } => "its model is fetched and loaded".into(),
            Self::WorkerChanged { status: WorkerStatus::Ready, .. } => "it passed its warm-up run".into(),
            Self::WorkerAtStake { .. } => "by the task it is working on".into(),
            Self::WorkerResized { .. } => "by the measured use of its session's workers".into(),
            Self::WorkerReturned { .. } => "its session's tasks need fewer".into(),
            Self::WorkerLeaving { why, .. } => why.to_string(),
            Self::IslandReported { .. } => "it is back in the mesh".into(),
            Self::StreamOpened { .. } => "durable tasks of it were accepted".into(),
            Self::StreamMoved { from, .. } => format!("node {from} was lost"),
            Self::NodeJoined { reason, .. }
            | Self::Blocked { reason, .. }
            | Self::DeviceQuarantined { reason, .. }
            | Self::SessionReserved { reason, .. }
            | Self::WorkerPlanned { reason, .. }
            | Self::WorkerRevived { reason, .. }
            | Self::WorkerRemoved { reason, .. }
            | Self::StreamClosed { reason, .. }
            | Self::ChangeRefused { reason, .. } => reason.clone(),
        }
    }
}

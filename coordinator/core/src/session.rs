//! Sessions: a client's claim on the mesh.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::model::{ModelQuery, ModelRef};
use crate::resources::Resources;
use crate::time::Millis;

/// The most fixed workers one session may ask for.
pub const FIXED_MAX: u32 = 4096;
/// How long a node is passed over for a session after a worker of it could not be kept there. Each failure in a row
/// doubles it, up to [`HOLD_OFF_DOUBLINGS_MAX`] times: long enough not to spin, short enough to heal unattended.
pub const HOLD_OFF: Millis = Millis(5_000);
/// 5 s doubled six times: about five minutes.
pub const HOLD_OFF_DOUBLINGS_MAX: u32 = 6;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The model its tasks go to.
    pub model: ModelQuery,
    /// Workers started, and their model loaded, before any task comes.
    pub fixed: u32,
    /// What one worker needs.
    pub need: Resources,
    /// The way the model is run, by name.
    pub target: String,
    /// A number that the client drew: asked again with the same number, because no answer came, the mesh still makes one
    /// session. Without one, each request makes its own.
    pub claim: Option<u64>,
}

/// A session that the mesh has taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The model, pinned to a version when the session was created.
    pub model: ModelRef,
    /// See [`SessionSpec::fixed`].
    pub fixed: u32,
    /// See [`SessionSpec::need`].
    pub need: Resources,
    /// See [`SessionSpec::target`].
    pub target: String,
    /// See [`SessionSpec::claim`].
    pub claim: Option<u64>,
    /// When it was created, in time since the Unix epoch.
    pub created: Millis,
    /// Nodes on which its workers failed of late.
    pub failures: BTreeMap<NodeId, Failure>,
}

/// Why and when a session's workers last failed on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How often in a row.
    pub times: u32,
    /// The last time, since the Unix epoch.
    pub at: Millis,
    /// What the node said.
    pub reason: String,
}

impl Failure {
    /// Whether the node is passed over now. A failure that lies further ahead than a clock may reasonably differ was
    /// stamped by a leader whose clock was wrong; without this, it would bar the node until that day.
    pub fn holds(&self, now: Millis) -> bool {
        self.until() > now && self.at.since(now) <= HOLD_OFF
    }

    /// Until when the node is passed over.
    pub fn until(&self) -> Millis {
        let doublings = self.times.saturating_sub(1).min(HOLD_OFF_DOUBLINGS_MAX);
        self.at + Millis(HOLD_OFF.0 << doublings)
    }
}

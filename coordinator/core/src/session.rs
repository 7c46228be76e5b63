//! Sessions: a client's claim on the mesh.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::capability::TEXT_BYTES_MAX;
use crate::dispatch::retry::Retry;
use crate::ids::NodeId;
use crate::island::IslandAccount;
use crate::model::{ModelQuery, ModelRef};
use crate::plan::STARVES_AFTER;
use crate::plan::feasible::runs_beside_cpus;
use crate::policy::PolicyName;
use crate::resources::{AMOUNT_MAX, GPU_WHOLE, Resources};
use crate::time::{CLOCKS_DIFFER_MAX, Millis};

/// The most workers one session may ask for.
pub const WORKERS_MAX: u32 = 4096;
/// The highest priority.
pub const PRIORITY_MAX: u8 = 100;
/// What a session has that asks for none: the middle, so that there is room on both sides.
pub const PRIORITY_DEFAULT: u8 = 50;
/// The largest share: a hundred to one is as uneven as ten workers can be divided, and this leaves room.
pub const SHARE_MAX: u32 = 1000;
/// What a worker that has to leave may take to finish, unless its session says otherwise: many times what one picture takes.
pub const GRACE_DEFAULT: Millis = Millis(2_000);
/// The longest grace a session may ask for: a checkpoint of a long task, not a way never to leave.
pub const GRACE_MAX: Millis = Millis(600_000);
/// How long a worker may be at one task, or at what follows its last checkpoint, unless its session says otherwise: a hundred times
/// what a large network takes on a small board.
pub const TASK_TIME_DEFAULT: Millis = Millis(60_000);
/// The longest that a session may allow: a day.
pub const TASK_TIME_MAX: Millis = Millis(86_400_000);
/// How long a node that has lost the mesh goes on with a session, unless that says otherwise: an hour is a flight of a drone, a train's
/// line without coverage, or a router that somebody has to go and restart; a session that ended meanwhile wastes no more than that.
pub const OFFLINE_DEFAULT: Millis = Millis(3_600_000);
/// The longest that can be asked for in numbers: a year. What is longer has no end.
pub const OFFLINE_MAX: Millis = Millis(365 * 86_400_000);
/// A node goes on with the session however long it is without the mesh.
pub const OFFLINE_UNLIMITED: Millis = Millis(u64::MAX);
/// How long a node is passed over for a session after a worker of it could not be kept there. Each failure in a row
/// doubles it, up to [`HOLD_OFF_DOUBLINGS_MAX`] times: long enough not to spin, short enough to heal unattended.
pub const HOLD_OFF: Millis = Millis(5_000);
/// 5 s doubled six times: about five minutes.
pub const HOLD_OFF_DOUBLINGS_MAX: u32 = 6;

/// A node on which no worker of a session failed for so long after it was no longer passed over has made up for what went
/// before: longer than a worker takes to start and to crash again.
pub const STEADY_AFTER: Millis = Millis(60_000);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The model its tasks go to.
    pub model: ModelQuery,
    /// The way the model is run, by name.
    pub target: String,
    /// What one worker needs; the least, where [`Self::need_max`] lets it grow.
    pub need: Resources,
    /// Up to what a worker's reservation may follow its measured use. None: the need is what it gets.
    pub need_max: Option<Resources>,
    /// Workers started, and their model loaded, before any task comes.
    pub fixed: u32,
    /// Its part of what is spare, against those of other sessions with pending tasks. 0: it takes none.
    pub share: u32,
    /// The most workers it may have with its share.
    pub max: u32,
    /// 0 to [`PRIORITY_MAX`]; higher goes first, where the policy looks at it.
    pub priority: u8,
    /// The rules it is placed by; those of the mesh where it names none.
    pub policy: Option<PolicyName>,
    /// What of the places where it stands it keeps to itself; what its policy says where it names none.
    pub hold: Option<Hold>,
    /// How often and where a failed task of it is tried again.
    pub retry: Retry,
    /// How long a worker of it that has to leave may go on, to finish or to write a checkpoint.
    pub grace: Millis,
    /// How long a worker may be at one task, or at what follows the last checkpoint of it, before it counts as hung and is ended.
    #[serde(default = "task_time_default")]
    pub task_time: Millis,
    /// How long a node that has lost the mesh goes on with it: see [`crate::island`]. 0: no longer than it takes to know.
    #[serde(default = "offline_default")]
    pub offline: Millis,
    /// Refuse the session at once where no node could ever hold a worker of it, in place of waiting for one that can.
    pub refuse_unfit: bool,
    /// A number that the client drew: asked again with the same number, because no answer came, the mesh still makes one
    /// session. Without one, each request makes its own.
    pub claim: Option<u64>,
}

/// What of a place a session keeps to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Nothing: others may stand beside it.
    #[default]
    Nothing,
    /// Each device on which it stands.
    Device,
    /// Each node on which it stands.
    Node,
    /// A device for each of its workers, shared with nobody, not even with another worker of its own.
    EachDevice,
    /// One device by name, which is its own while it stands there; it stands nowhere else.
    Named {
        /// Whose device.
        node: NodeId,
        /// Which.
        device: String,
    },
}

/// A session that the mesh has taken in: what was asked, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What was asked.
    pub spec: SessionSpec,
    /// The model, pinned to a version when the session was created.
    pub model: ModelRef,
    /// The policy, pinned when the session was created.
    pub policy: PolicyName,
    /// What it keeps to itself, settled when the session was created.
    pub hold: Hold,
    /// When it was created, in time since the Unix epoch.
    pub created: Millis,
    /// What a worker of it is given now: the need, or what its measured use made of that.
    pub reserved: Resources,
    /// How many workers its pending tasks could keep busy, by the last word of the gateways.
    pub wanted: u32,
    /// Workers that were taken from it for a higher priority, and not yet made up for.
    pub evicted: u32,
    /// Since when it has fewer than its fixed workers; none while it has them.
    pub lacking_since: Option<Millis>,
    /// Nodes on which its workers failed of late.
    pub failures: BTreeMap<NodeId, Failure>,
    /// Places that it keeps to itself though the worker there is gone: it has not found another for it yet. The oldest first.
    #[serde(default)]
    pub kept: Vec<(NodeId, String)>,
    /// What nodes did for it that were cut off from the mesh, as far as they have come back.
    #[serde(default)]
    pub islands: IslandAccount,
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

impl SessionSpec {
    /// One fixed worker of this need, and everything else as it is where nothing is asked.
    pub fn of(model: ModelQuery, target: &str, need: Resources) -> Self {
        Self {
            model,
            target: target.into(),
            need,
            need_max: None,
            fixed: 1,
            share: 0,
            max: 0,
            priority: PRIORITY_DEFAULT,
            policy: None,
            hold: None,
            retry: Retry::default(),
            grace: GRACE_DEFAULT,
            task_time: TASK_TIME_DEFAULT,
            offline: OFFLINE_DEFAULT,
            refuse_unfit: false,
            claim: None,
        }
    }

    /// What is wrong with its numbers, for people.
    pub fn check(&self) -> Result<(), String> {
        let most = self.need_max.as_ref().unwrap_or(&self.need);
        let why = if self.fixed == 0 && self.share == 0 {
            String::from("it asks for no worker and no share; give --fixed or --share 1 or more")
        } else if self.fixed > WORKERS_MAX || self.max > WORKERS_MAX {
            alloc::format!("it asks for {} workers; the most is {WORKERS_MAX}", self.fixed.max(self.max))
        } else if self.share > 0 && self.max <= self.fixed {
            String::from("it has a share of what is spare and no room for it; give --max more than --fixed")
        } else if self.share == 0 && self.max > self.fixed {
            String::from("it may have more than its fixed workers and has no share to get them by; give --share")
        } else if self.max > 0 && self.max < self.fixed {
            alloc::format!("it may have {} workers at most, and asks for {} fixed ones", self.max, self.fixed)
        } else if self.share > SHARE_MAX {
            alloc::format!("its share is {}; the most is {SHARE_MAX}", self.share)
        } else if self.priority > PRIORITY_MAX {
            alloc::format!("its priority is {}; the highest is {PRIORITY_MAX}", self.priority)
        } else if self.need.cpu_millicores == 0 || self.need.memory_bytes == 0 {
            String::from("a worker needs some cpu and some memory; give --cpu and --memory above zero")
        } else if !self.need.within_bounds() || !most.within_bounds() {
            alloc::format!("a need is beyond all machines (more than {AMOUNT_MAX} of anything), or has too many names")
        } else if most.gpu_milli > GPU_WHOLE {
            alloc::format!(
                "a worker stands on one device, so it needs {GPU_WHOLE}m gpu at most; it asks for {}m",
                most.gpu_milli
            )
        } else if let Some((name, _)) = self.need.named.iter().find(|(_, count)| **count == 0) {
            alloc::format!("it needs 0 of '{name}'; leave out what it does not need")
        } else if !self.need.fits(most) {
            String::from("its need may not grow below where it begins: --cpu-max or --memory-max is below the need")
        } else if self.grace > GRACE_MAX {
            alloc::format!("its grace is {}; the longest is {GRACE_MAX}", self.grace)
        } else if self.task_time == Millis(0) || self.task_time > TASK_TIME_MAX {
            alloc::format!("its task time is {}; it is more than 0 and at most {TASK_TIME_MAX}", self.task_time)
        } else if self.offline > OFFLINE_MAX && self.offline != OFFLINE_UNLIMITED {
            alloc::format!("its offline time is {}; the longest is {OFFLINE_MAX}, or unlimited", self.offline)
        } else if self.target.len() > TEXT_BYTES_MAX {
            String::from("no target has so long a name")
        } else if matches!(&self.hold, Some(Hold::Named { device, .. }) if device.len() > TEXT_BYTES_MAX) {
            String::from("no device has so long a name")
        } else if let Some(why) = self.policy.and_then(|policy| self.contradicts(policy)) {
            String::from(why)
        } else {
            return self.retry.check();
        };
        Err(why)
    }

    /// Why the policy that it names cannot be followed with what else it asks for.
    fn contradicts(&self, policy: PolicyName) -> Option<&'static str> {
        let is_bound = |hold: &Hold| matches!(hold, Hold::EachDevice | Hold::Named { .. });
        match (policy, &self.hold) {
            (PolicyName::Exclusive, Some(Hold::Nothing)) => Some(
                "policy exclusive keeps its devices or nodes to itself, and it is to keep nothing: give --exclusive or another --policy",
            ),
            (PolicyName::GpuBinding, Some(hold)) if !is_bound(hold) => Some(
                "policy gpu-binding gives each worker a device of its own, or the one that is named: give --bind in place of --exclusive",
            ),
            (PolicyName::GpuBinding, _) if !runs_beside_cpus(&self.target) => Some(
                "policy gpu-binding places it on GPUs and sticks only, and its target runs on none: give another --target or --policy",
            ),
            _ => None,
        }
    }
}

/// What a session of before this setting gets.
fn task_time_default() -> Millis {
    TASK_TIME_DEFAULT
}

/// What a session of before this setting gets.
fn offline_default() -> Millis {
    OFFLINE_DEFAULT
}

impl Session {
    /// The most workers it may have, whatever is spare.
    pub fn workers_max(&self) -> u32 {
        self.spec.fixed.max(self.spec.max)
    }

    /// From when on it has lacked a fixed worker for so long that a place is kept free for it; none where it lacks none. What
    /// lies further ahead than clocks may reasonably differ was stamped by a leader whose clock was wrong, and says nothing.
    pub fn starves_from(&self, now: Millis) -> Option<Millis> {
        let since = self.lacking_since?;
        Some(if since.since(now) > CLOCKS_DIFFER_MAX { now } else { since + STARVES_AFTER })
    }

    /// Whether its workers fail somewhere: until it is known how they do elsewhere, nobody leaves for it.
    pub fn is_failing(&self, now: Millis) -> bool {
        self.failures.values().any(|failure| failure.holds(now))
    }

    /// How many workers it should have, where there is room: the fixed ones, and what its tasks could keep busy.
    pub fn target(&self) -> u32 {
        self.wanted.min(self.workers_max()).max(self.spec.fixed)
    }
}

impl Hold {
    /// Whether a device where it stands is closed to other sessions.
    pub fn keeps_device(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Whether a node where it stands is closed to other sessions.
    pub fn keeps_node(&self) -> bool {
        matches!(self, Self::Node)
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Device => f.write_str("its devices"),
            Self::Node => f.write_str("its nodes"),
            Self::EachDevice => f.write_str("a device for each worker"),
            Self::Named { node, device } => write!(f, "device '{device}' of node {node}"),
        }
    }
}

impl Failure {
    /// Whether the node is passed over now. A failure that lies further ahead than a clock may reasonably differ was
    /// stamped by a leader whose clock was wrong; without this, it would bar the node until that day.
    pub fn holds(&self, now: Millis) -> bool {
        self.until() > now && self.at.since(now) <= CLOCKS_DIFFER_MAX
    }

    /// Whether the node has made up for it: the next failure there is the first of a row.
    pub fn is_over(&self, now: Millis) -> bool {
        let is_of_the_future = self.at.since(now) > CLOCKS_DIFFER_MAX;
        is_of_the_future || (!self.holds(now) && now.since(self.until()) >= STEADY_AFTER)
    }

    /// Until when the node is passed over.
    pub fn until(&self) -> Millis {
        let doublings = self.times.saturating_sub(1).min(HOLD_OFF_DOUBLINGS_MAX);
        self.at + Millis(HOLD_OFF.0 << doublings)
    }
}

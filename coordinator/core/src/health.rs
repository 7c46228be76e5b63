//! Blocks, drains and quarantines: what keeps work off a node or a device, and how it comes back.
//!
//! An operator, or the system, blocks a node or a device. A device on which attempts fail [`FAULTS_MAX`] times running is
//! quarantined by itself: nothing stands on it for a while that doubles each time; then its node makes a known-answer run on
//! it, and what passes is on probation, where one fault is enough.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::ids::NodeId;
use crate::state::State;
use crate::time::Millis;

/// Attempts that fail one after another, whatever their sessions, before a device is quarantined: one may be an accident,
/// two a coincidence. They must belong to two tasks at least: one at which every worker fails says nothing of the device.
pub const FAULTS_MAX: u32 = 3;
/// How long a device rests before its first test; each further quarantine doubles it up to [`REST_DOUBLINGS_MAX`] times.
pub const REST: Millis = Millis(10_000);
/// 10 s doubled six times: about eleven minutes.
pub const REST_DOUBLINGS_MAX: u32 = 6;
/// A device that was tested and passed counts as sound again after this long without a fault.
pub const PROBATION: Millis = Millis(60_000);
/// A node that says nothing of a test has so long to make it; then it is asked again.
pub const TEST_TIME_MAX: Millis = Millis(30_000);

/// Who takes something out of placement, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Whose word it is.
    pub by: Author,
    /// Why, for people.
    pub reason: String,
    /// Since when, in time since the Unix epoch.
    pub since: Millis,
    /// What becomes of the work that runs there.
    pub ending: Ending,
}

/// What becomes of running work where no more is to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It ends at once; unfinished tasks run again elsewhere.
    AtOnce,
    /// A drain: it ends when it is done.
    WhenDone,
    /// A drain with a deadline: what is not done after this time ends all the same.
    Within(Millis),
}

/// Whose word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Author {
    /// A person's.
    Operator,
    /// The mesh's own.
    System,
}

/// What is noteworthy of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceHealth {
    /// Out of placement by somebody's word.
    pub block: Option<Block>,
    /// How it stands with its faults.
    pub phase: Phase,
    /// How often it was quarantined since it was last sound.
    pub quarantines: u32,
}

/// How it stands with a device's faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// As far as anybody knows it works.
    #[default]
    Sound,
    /// Attempts failed on it; nothing stands on it until it has rested.
    Quarantined {
        /// Until then, since the Unix epoch.
        until: Millis,
        /// What failed.
        reason: String,
    },
    /// Its node should make the known-answer run.
    Testing {
        /// Since when.
        since: Millis,
        /// What had failed.
        reason: String,
    },
    /// It passed, and is watched.
    Probation {
        /// Until then, since the Unix epoch.
        until: Millis,
    },
}

/// What a node says of one of its devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceReport {
    /// So many attempts failed one after another.
    Faults {
        /// How many.
        times: u32,
        /// What the last one said.
        reason: String,
    },
    /// The known-answer run passed.
    Passed,
    /// It did not.
    Failed {
        /// What it said.
        reason: String,
    },
}

impl DeviceHealth {
    /// Whether work may be placed on it.
    pub fn is_usable(&self) -> bool {
        self.block.is_none() && matches!(self.phase, Phase::Sound | Phase::Probation { .. })
    }

    /// Whether there is nothing to note.
    pub(crate) fn is_forgettable(&self) -> bool {
        *self == Self::default()
    }

    /// How long it rests when it is quarantined once more.
    pub fn rest(&self) -> Millis {
        Millis(REST.0 << self.quarantines.min(REST_DOUBLINGS_MAX))
    }
}

/// The longest rest.
pub(crate) const REST_MAX: Millis = Millis(REST.0 << REST_DOUBLINGS_MAX);

/// The first change that time calls for; the leader's.
pub fn next_command(state: &State, now: Millis) -> Option<Command> {
    ailing(state).find_map(|(node, device, health)| match &health.phase {
        // Whoever blocked it may be at work on it: it is tested when it may serve again.
        Phase::Quarantined { .. } | Phase::Testing { .. } if is_blocked(state, node, health) => None,
        Phase::Quarantined { until, .. } if until.has_come(now, REST_MAX) => {
            Some(Command::DeviceTest { node, device: device.clone() })
        }
        Phase::Testing { since, .. } if (*since + TEST_TIME_MAX).has_come(now, TEST_TIME_MAX) => {
            Some(Command::DeviceTest { node, device: device.clone() })
        }
        Phase::Probation { until } if until.has_come(now, PROBATION) => {
            Some(Command::DeviceTrust { node, device: device.clone() })
        }
        _ => None,
    })
}

/// When [`next_command`] may have something though nothing else changed.
pub fn wake_at(state: &State) -> Option<Millis> {
    let due = ailing(state).filter_map(|(node, _, health)| match &health.phase {
        Phase::Quarantined { .. } | Phase::Testing { .. } if is_blocked(state, node, health) => None,
        Phase::Quarantined { until, .. } | Phase::Probation { until } => Some(*until),
        Phase::Testing { since, .. } => Some(*since + TEST_TIME_MAX),
        Phase::Sound => None,
    });
    due.min()
}

/// Whether somebody took the device, or its node, out of placement.
fn is_blocked(state: &State, node: NodeId, health: &DeviceHealth) -> bool {
    health.block.is_some() || state.nodes.get(&node).is_some_and(|node| node.block.is_some())
}

/// Devices of nodes that are up and have something to note: a node that is down is not asked to test.
fn ailing(state: &State) -> impl Iterator<Item = (NodeId, &String, &DeviceHealth)> {
    let nodes = state.index().ailing().filter_map(|id| Some((id, state.nodes.get(&id)?)));
    nodes.filter(|(_, node)| node.up).flat_map(|(id, node)| {
        let devices: &BTreeMap<String, DeviceHealth> = &node.devices;
        devices.iter().map(move |(name, health)| (id, name, health))
    })
}

impl Ending {
    /// When the last of it is over, for what was told so at this time; none where it is over at once.
    pub fn until(self, at: Millis) -> Option<Millis> {
        match self {
            Self::AtOnce => None,
            Self::WhenDone => Some(Millis(u64::MAX)),
            Self::Within(length) => Some(at + length),
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator",
            Self::System => "the system",
        })
    }
}

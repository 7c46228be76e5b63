//! How a simulated device behaves with a model.

use serde::{Deserialize, Serialize};

use super::check::{ManifestError, within};

/// The longest run and the longest load: an hour.
const MILLIS_MAX: u32 = 3_600_000;
/// The most parts of a run: each writes a checkpoint.
const STEPS_MAX: u32 = 10_000;
/// 64 GiB.
const MEMORY_MIB_MAX: u32 = 65_536;

/// What `[simulated]` in a manifest says; every other target leaves it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedSpec {
    /// How long one run takes, in milliseconds.
    pub latency_ms: u32,
    /// In how many parts a run is done; after each but the last it writes a checkpoint.
    pub steps: u32,
    /// How long loading takes, in milliseconds.
    pub load_ms: u32,
    /// What the loaded model takes, in MiB.
    pub memory_mib: u32,
    /// Each so-many-th run of a process fails; 0: none does.
    pub fail_every: u32,
    /// Each so-many-th run of a process ends the process half way; 0: none does.
    pub crash_every: u32,
    /// Each so-many-th run of a process never ends; 0: all do.
    pub hang_every: u32,
    /// What each run leaves behind in memory, in MiB.
    pub leak_mib: u32,
}

impl Default for SimulatedSpec {
    /// A small network on a small board.
    fn default() -> Self {
        Self {
            latency_ms: 10,
            steps: 1,
            load_ms: 0,
            memory_mib: 0,
            fail_every: 0,
            crash_every: 0,
            hang_every: 0,
            leak_mib: 0,
        }
    }
}

impl SimulatedSpec {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        let within = |field, got: u32, min: u32, max: u32| within(field, got as usize, min as usize, max as usize);
        within("simulated.latency_ms", self.latency_ms, 0, MILLIS_MAX)?;
        within("simulated.load_ms", self.load_ms, 0, MILLIS_MAX)?;
        within("simulated.steps", self.steps, 1, STEPS_MAX)?;
        within("simulated.leak_mib", self.leak_mib, 0, MEMORY_MIB_MAX)?;
        within("simulated.memory_mib", self.memory_mib, 0, MEMORY_MIB_MAX)
    }
}

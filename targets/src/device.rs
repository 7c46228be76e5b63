//! Which devices this machine has. Only the CPU is known so far.

mod cpu;

use std::path::Path;

use serde::{Deserialize, Serialize};

/// One unit of compute on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub kind: DeviceKind,
    /// As people call it: "AMD EPYC 9B14", "Cortex-A72".
    pub name: String,
    /// Cores that the system may schedule on now, hyperthreads counted; at least 1.
    pub logical_cores: u32,
    /// Memory the device works in, in bytes; 0 if it could not be found out.
    pub memory_bytes: u64,
}

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    Cpu,
}

/// Finds the devices of the machine whose `/proc` and `/sys` lie under `root`: `/`, or a recording of another machine.
///
/// It does not fail: what cannot be read is left at its least, since every machine that runs this has a CPU.
pub fn discover(root: &Path) -> Vec<Device> {
    vec![cpu::discover(root)]
}

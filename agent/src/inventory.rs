//! The one place that knows both what the targets find on this machine and what the coordinator plans with.

use std::collections::BTreeMap;
use std::path::Path;

use skein_core::Resources;
use skein_core::capability::{Capability, Device, DeviceKind};
use skein_targets::TargetKind;

/// What is left to the system and the agent: a tenth of the memory, as devices promise workers what is theirs alone.
const MEMORY_KEPT_PARTS: u64 = 10;

/// What this machine can do.
pub fn capability(root: &Path, labels: &BTreeMap<String, String>) -> Capability {
    Capability {
        devices: skein_targets::discover(root).iter().map(device).collect(),
        targets: TargetKind::ALL.iter().map(|target| target.name().to_owned()).collect(),
        labels: labels.clone(),
    }
}

fn device(found: &skein_targets::Device) -> Device {
    match found.kind {
        skein_targets::DeviceKind::Cpu => Device {
            name: "cpu".into(),
            kind: DeviceKind::Cpu,
            offers: Resources {
                cpu_millicores: u64::from(found.logical_cores) * 1000,
                memory_bytes: found.memory_bytes - found.memory_bytes / MEMORY_KEPT_PARTS,
                ..Resources::default()
            },
        },
    }
}

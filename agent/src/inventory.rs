//! The one place that knows both what the targets find on this machine and what the coordinator plans with.

use std::collections::BTreeMap;
use std::path::Path;

use skein_core::Resources;
use skein_core::capability::{Capability, Device, DeviceKind, Heat, TEXT_BYTES_MAX};
use skein_targets::TargetKind;

use crate::config::OfferMax;
pub use power::power;

pub mod flush;
mod power;

/// What is left to the system and the agent: a tenth of the memory, as devices promise workers what is theirs alone.
const MEMORY_KEPT_PARTS: u64 = 10;

/// From here on a machine slows down, or soon will: what makers of boards call the throttling point.
const HOT_MILLIDEGREES: i64 = 85_000;
/// From here on another machine is the better choice.
const WARM_MILLIDEGREES: i64 = 75_000;
/// As much of a hardware's name as is told: a quarter of what a text may have in bytes, as a letter may take four.
const HARDWARE_CHARS_MAX: usize = TEXT_BYTES_MAX / 4;

/// What this machine can do, and at most what its operator lets it offer.
pub fn capability(root: &Path, labels: &BTreeMap<String, String>, offer_max: &OfferMax) -> Capability {
    let found = skein_targets::discover(root);
    let mut offers = Resources::default();
    for device in &found {
        offers.add(&node_offers(device));
    }
    Capability {
        offers: offer_max.limit(&offers),
        devices: found.iter().map(device).collect(),
        targets: TargetKind::ALL.iter().map(|target| target.name().to_owned()).collect(),
        labels: labels.clone(),
        profiles: Vec::new(),
        power: power(root),
        // Measured on the state directory, which is not the machine's to tell.
        flush_ms: None,
    }
}

/// The targets that may run on this kind of device, and whose answers tell how it is.
pub fn targets_on(kind: DeviceKind) -> impl Iterator<Item = &'static str> {
    // What runs on other devices, too, is not tried there yet.
    let targets = TargetKind::ALL.iter().filter(move |target| kind == DeviceKind::Cpu && target.computes());
    targets.map(|target| target.name())
}

/// How hot this machine is: its hottest sensor, as a machine without any is never hot.
pub fn heat(root: &Path) -> Heat {
    let zones = std::fs::read_dir(root.join("sys/class/thermal")).into_iter().flatten().flatten();
    let temperatures = zones.filter_map(|zone| {
        let is_zone = zone.file_name().to_string_lossy().starts_with("thermal_zone");
        let text = is_zone.then(|| std::fs::read_to_string(zone.path().join("temp")).ok()).flatten()?;
        text.trim().parse::<i64>().ok()
    });
    match temperatures.max() {
        Some(HOT_MILLIDEGREES..) => Heat::Hot,
        Some(WARM_MILLIDEGREES..) => Heat::Warm,
        _ => Heat::Cool,
    }
}

/// Bytes of memory that could be had now without swapping (`MemAvailable`); none where the kernel does not say.
pub fn memory_available(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn node_offers(found: &skein_targets::Device) -> Resources {
    match found.kind {
        skein_targets::DeviceKind::Cpu => Resources {
            cpu_millicores: u64::from(found.logical_cores) * 1000,
            memory_bytes: found.memory_bytes - found.memory_bytes / MEMORY_KEPT_PARTS,
            ..Resources::default()
        },
    }
}

fn device(found: &skein_targets::Device) -> Device {
    match found.kind {
        skein_targets::DeviceKind::Cpu => Device {
            name: "cpu".into(),
            kind: DeviceKind::Cpu,
            hardware: found.name.chars().take(HARDWARE_CHARS_MAX).collect(),
            offers: Resources::default(),
            heat: Heat::Cool,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(temperatures: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (number, text) in temperatures.iter().enumerate() {
            let zone = root.path().join(format!("sys/class/thermal/thermal_zone{number}"));
            std::fs::create_dir_all(&zone).unwrap();
            std::fs::write(zone.join("temp"), text).unwrap();
        }
        root
    }

    #[test]
    fn the_kernel_s_word_on_free_memory_is_read() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(memory_available(root.path()), None);
        std::fs::create_dir(root.path().join("proc")).unwrap();
        for (text, bytes) in
            [("MemTotal: 9 kB\nMemAvailable:    5 kB\n", Some(5 * 1024)), ("MemAvailable: soup\n", None)]
        {
            std::fs::write(root.path().join("proc/meminfo"), text).unwrap();
            assert_eq!(memory_available(root.path()), bytes);
        }
        assert!(memory_available(Path::new("/")).is_some());
    }

    #[test]
    fn a_machine_is_as_hot_as_its_hottest_sensor() {
        assert_eq!(heat(machine(&[]).path()), Heat::Cool);
        assert_eq!(heat(machine(&["40000\n", "74999\n"]).path()), Heat::Cool);
        assert_eq!(heat(machine(&["75000\n", "-5000\n"]).path()), Heat::Warm);
        assert_eq!(heat(machine(&["40000\n", "85000\n", "broken"]).path()), Heat::Hot);
    }

    #[test]
    fn the_node_offers_processor_and_memory_and_its_processor_nothing_of_its_own() {
        let capability = capability(Path::new("/"), &BTreeMap::new(), &OfferMax::default());
        assert!(capability.offers.cpu_millicores >= 1000 && capability.offers.memory_bytes > 0);
        assert_eq!(capability.offers.gpu_milli, 0);
        let cpu = capability.device("cpu").unwrap();
        assert_eq!(cpu.offers, Resources::default());
        assert!(!cpu.hardware.is_empty());
        assert_eq!(targets_on(cpu.kind).collect::<Vec<_>>(), ["tract", "onnxruntime", "openvino"]);
        assert_eq!(targets_on(DeviceKind::Gpu).count(), 0);
    }
}

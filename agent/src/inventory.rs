//! The one place that knows both what the targets find on this machine and what the coordinator plans with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use skein_core::Resources;
use skein_core::capability::{Capability, DEVICES_MAX, Device, DeviceKind, Heat, TEXT_BYTES_MAX};
use skein_core::resources::{AMOUNT_MAX, GPU_WHOLE};
use skein_targets::{Details, Finder, TargetKind};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::OfferMax;
use heat::{Heats, heat};
pub use power::power;

pub mod flush;
mod heat;
mod power;

/// How often the machine is looked at: a stick that was plugged in is there within moments, and the hundred or two small files
/// that a look reads are no load.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long an agent waits for the first look, before it starts without what is slow to tell: drivers of GPUs take a second
/// or two to wake them.
const FIRST_LOOK_TIME_MAX: Duration = Duration::from_secs(5);
/// What is left to the system and the agent: a tenth of the memory, as devices promise workers what is theirs alone.
const MEMORY_KEPT_PARTS: u64 = 10;
/// As much of a hardware's name as is told: a quarter of what a text may have in bytes, as a letter may take four.
const HARDWARE_CHARS_MAX: usize = TEXT_BYTES_MAX / 4;

/// What this machine has and how it is, kept up to date.
#[derive(Debug)]
pub struct Inventory {
    root: PathBuf,
    driven: BTreeSet<DeviceKind>,
    /// None before the first look is over.
    looks: watch::Receiver<Option<Seen>>,
}

/// What was seen of the machine at one time, in the words of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the machine offers to workers in all.
    pub offers: Resources,
    /// Its devices, and how hot each is.
    pub devices: Vec<Device>,
    /// How hot the processor is.
    pub heat: Heat,
}

impl Inventory {
    /// Looks at the machine whose `/proc`, `/sys` and the rest lie under `root` so often, for as long as this is kept. Programs drive
    /// the kinds of device in `driven` beside what this binary drives itself.
    pub async fn start(root: &Path, every: Duration, driven: BTreeSet<DeviceKind>) -> Self {
        let mut looks = look_again_and_again(root.to_owned(), every, driven.clone());
        let _ = timeout(FIRST_LOOK_TIME_MAX, looks.wait_for(Option::is_some)).await;
        Self { root: root.to_owned(), driven, looks }
    }

    /// What was seen last.
    pub fn seen(&self) -> Seen {
        let seen = self.looks.borrow().clone();
        seen.unwrap_or_else(|| {
            Seen::of(&Finder::without_libraries(&self.root).find(), &mut Heats::default(), &self.driven)
        })
    }

    /// Waits until something else is seen.
    pub async fn changed(&mut self) {
        if self.looks.changed().await.is_err() {
            // Nobody looks any more: what was seen last holds.
            std::future::pending::<()>().await;
        }
    }

    /// Where the machine's files lie.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What this machine can do, and at most what its operator lets it offer.
    pub fn capability(&self, labels: &BTreeMap<String, String>, offer_max: &OfferMax) -> Capability {
        let seen = self.seen();
        Capability {
            offers: offer_max.limit(&seen.offers),
            devices: seen.devices,
            targets: TargetKind::ALL.iter().map(|target| target.name().to_owned()).collect(),
            labels: labels.clone(),
            profiles: Vec::new(),
            power: power(&self.root),
            // Measured on the state directory, which is not the machine's to tell.
            flush_ms: None,
        }
    }
}

/// On a thread of its own: where a GPU hangs, so does whoever asks how it is.
fn look_again_and_again(root: PathBuf, every: Duration, driven: BTreeSet<DeviceKind>) -> watch::Receiver<Option<Seen>> {
    let (tell, looks) = watch::channel(None);
    let look = move || {
        let (mut finder, mut heats) = (Finder::new(&root), Heats::default());
        while !tell.is_closed() {
            let seen = Some(Seen::of(&finder.find(), &mut heats, &driven));
            tell.send_if_modified(|last| {
                *last != seen && {
                    *last = seen;
                    true
                }
            });
            std::thread::sleep(every);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("inventory".into()).spawn(look) {
        tracing::warn!("cannot watch this machine's devices: {error}");
    }
    looks
}

impl Seen {
    fn of(found: &[skein_targets::Device], heats: &mut Heats, driven: &BTreeSet<DeviceKind>) -> Self {
        let is_tellable = |found: &&skein_targets::Device| found.name.len() <= TEXT_BYTES_MAX;
        let mut devices: Vec<Device> =
            found.iter().filter(is_tellable).map(|found| device(found, driven)).take(DEVICES_MAX).collect();
        heats.settle(Instant::now(), &mut devices);
        let mut offers = Resources::default();
        for found in found {
            offers.add(&node_offers(found));
        }
        let processor = devices.iter().find(|device| device.kind == DeviceKind::Cpu);
        Self { offers, heat: processor.map_or(Heat::Cool, |processor| processor.heat), devices }
    }
}

/// The targets that may run on this kind of device, and whose answers tell how it is.
pub fn targets_on(kind: DeviceKind) -> impl Iterator<Item = &'static str> {
    // What runs on other devices, too, is not tried there yet.
    let targets = TargetKind::ALL.iter().filter(move |target| kind == DeviceKind::Cpu && target.computes());
    targets.map(|target| target.name())
}

/// Bytes of memory that could be had now without swapping (`MemAvailable`); none where the kernel does not say.
pub fn memory_available(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn node_offers(found: &skein_targets::Device) -> Resources {
    let Details::Cpu(details) = &found.details else { return Resources::default() };
    Resources {
        cpu_millicores: (u64::from(details.logical_cores) * 1000).min(AMOUNT_MAX),
        memory_bytes: (found.memory_bytes - found.memory_bytes / MEMORY_KEPT_PARTS).min(AMOUNT_MAX),
        ..Resources::default()
    }
}

fn device(found: &skein_targets::Device, driven: &BTreeSet<DeviceKind>) -> Device {
    let kind = match found.kind {
        skein_targets::DeviceKind::Cpu => DeviceKind::Cpu,
        skein_targets::DeviceKind::Gpu => DeviceKind::Gpu,
        skein_targets::DeviceKind::Movidius => DeviceKind::Movidius,
    };
    Device {
        name: found.name.clone(),
        kind,
        hardware: found.hardware.chars().take(HARDWARE_CHARS_MAX).collect::<String>().trim_end().to_owned(),
        offers: device_offers(found, kind, driven.contains(&kind)),
        heat: heat(found),
    }
}

/// What is the device's alone. Of one that nothing here drives, or that is broken, no part can be had, and so nothing is
/// placed on it; it is told of all the same.
fn device_offers(found: &skein_targets::Device, kind: DeviceKind, is_driven: bool) -> Resources {
    let is_of_use = found.fault.is_none() && (is_driven || targets_on(kind).next().is_some());
    // The processor's memory, and that of a GPU on its chip, is the node's, and counted there.
    let has_own_memory = !matches!(found.details, Details::Cpu(_) | Details::Jetson(_));
    Resources {
        gpu_milli: if is_of_use && kind != DeviceKind::Cpu { GPU_WHOLE } else { 0 },
        gpu_memory_bytes: if has_own_memory { found.memory_bytes.min(AMOUNT_MAX) } else { 0 },
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests;

//! NVIDIA's GPUs on PCI: found in sysfs, named by the driver, and described by NVML where that can be loaded.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::cpu::values;
use super::thermal::Temperature;
use super::tree::Tree;
use super::{Details, Device, DeviceKind, Slowdown, nvml};

const VENDOR: &str = "0x10de";
/// The PCI classes of graphics cards with and without an output; the same chip's sound has another.
const CLASSES: [&str; 2] = ["0x0300", "0x0302"];

/// What a GPU says of itself beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NvidiaDetails {
    /// Its place on PCI: `0000:01:00.0`.
    pub pci_address: String,
    /// NVIDIA's name for this one card, the world over.
    pub uuid: Option<String>,
    /// The driver's version; none where no NVIDIA driver runs.
    pub driver: Option<String>,
    pub compute_capability: Option<ComputeCapability>,
    pub memory_used_bytes: Option<u64>,
    pub power_milliwatts: Option<u32>,
    pub power_limit_milliwatts: Option<u32>,
    /// How busy it is, in hundredths.
    pub load_percent: Option<u32>,
    /// Errors of its memory since the driver was loaded; none where it does not count them.
    pub ecc: Option<Ecc>,
    /// The last critical error since this program began to look, by NVIDIA's number.
    pub xid: Option<u64>,
    /// Who uses its memory, the most first.
    pub processes: Vec<GpuProcess>,
}

/// Which instructions a GPU knows, by NVIDIA's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ComputeCapability {
    pub major: u32,
    pub minor: u32,
}

/// Errors of a GPU's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ecc {
    pub corrected: u64,
    pub uncorrected: u64,
}

/// A process that uses a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GpuProcess {
    pub process: u32,
    /// Bytes of the GPU's memory; none where the driver does not say.
    pub memory_bytes: Option<u64>,
}

/// What NVML tells of one GPU.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) hardware: Option<String>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) temperature: Option<Temperature>,
    pub(super) slowdowns: Vec<Slowdown>,
    pub(super) fault: Option<String>,
    pub(super) details: NvidiaDetails,
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Every GPU that is on the bus, or that NVML knows of.
pub(super) fn find(tree: &Tree, library: &mut nvml::Library) -> Vec<Device> {
    let mut gpus: BTreeMap<String, Device> = on_bus(tree).map(|gpu| (gpu.name.clone(), gpu)).collect();
    for told in library.gpus() {
        let name = name(&told.details.pci_address);
        let known = gpus.remove(&name);
        gpus.insert(name.clone(), with(name, known, told));
    }
    gpus.into_values().collect()
}

fn on_bus(tree: &Tree) -> impl Iterator<Item = Device> {
    let driver = driver(&tree.text("proc/driver/nvidia/version"));
    let devices = "sys/bus/pci/devices";
    tree.entries(devices).into_iter().filter_map(move |entry| {
        let read = |name: &str| tree.text(&format!("{devices}/{entry}/{name}"));
        let class = read("class");
        if read("vendor") != VENDOR || !CLASSES.iter().any(|known| class.starts_with(known)) {
            return None;
        }
        let pci_address = address(&entry)?;
        let said = tree.text(&format!("proc/driver/nvidia/gpus/{entry}/information"));
        let said = |key| values(&said, key).next().map(ToOwned::to_owned);
        let device = read("device");
        let hardware = said("Model")
            .unwrap_or_else(|| format!("NVIDIA GPU of PCI id 10de:{}", device.strip_prefix("0x").unwrap_or("unknown")));
        // The driver gives a placeholder until somebody has used the GPU.
        let uuid = said("GPU UUID").filter(|uuid| !uuid.contains('?'));
        let driver = driver.clone();
        let details = NvidiaDetails { pci_address, uuid, driver, ..NvidiaDetails::default() };
        Some(Device {
            name: name(&details.pci_address),
            kind: DeviceKind::Gpu,
            hardware,
            memory_bytes: 0,
            temperature: None,
            slowdowns: Vec::new(),
            fault: None,
            details: Details::Nvidia(details),
        })
    })
}

/// What NVML told of a GPU, and what sysfs had said where NVML does not.
fn with(name: String, known: Option<Device>, told: Told) -> Device {
    let (hardware, details) = match known {
        Some(Device { hardware, details: Details::Nvidia(details), .. }) => (Some(hardware), details),
        _ => (None, NvidiaDetails::default()),
    };
    let (uuid, driver) = (told.details.uuid.or(details.uuid), told.details.driver.or(details.driver));
    Device {
        name,
        kind: DeviceKind::Gpu,
        hardware: told.hardware.or(hardware).unwrap_or_else(|| "NVIDIA GPU".to_owned()),
        memory_bytes: told.memory_bytes.unwrap_or(0),
        temperature: told.temperature,
        slowdowns: told.slowdowns,
        fault: told.fault,
        details: Details::Nvidia(NvidiaDetails { uuid, driver, ..told.details }),
    }
}

/// A place on PCI as sysfs writes it; NVML writes the domain with eight digits.
pub(super) fn address(text: &str) -> Option<String> {
    let (place, function) = text.rsplit_once('.')?;
    let mut parts = place.split(':').map(|part| u32::from_str_radix(part, 16));
    let (Some(Ok(domain)), Some(Ok(bus)), Some(Ok(device)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{:x}", u32::from_str_radix(function, 16).ok()?))
}

/// The name of a GPU: its place, without the domain that nearly every machine has.
fn name(address: &str) -> String {
    format!("gpu-{}", address.strip_prefix("0000:").unwrap_or(address))
}

/// The version out of `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 …`.
fn driver(version: &str) -> Option<String> {
    let line = values(version, "NVRM version").next()?;
    let is_version = |word: &&str| word.contains('.') && word.chars().all(|sign| sign.is_ascii_digit() || sign == '.');
    line.split_whitespace().find(is_version).map(ToOwned::to_owned)
}

//! The GPU of a Jetson: it has no NVML, so its device tree says what it is, and sysfs how it is.

use serde::Serialize;

use super::cpu::memory_bytes;
use super::nvidia::ComputeCapability;
use super::thermal::{self, Part};
use super::tree::Tree;
use super::{Details, Device, DeviceKind, Slowdown};

/// The chips: their word in the device tree, their GPU as CUDA calls it, and its compute capability.
const CHIPS: &[(&str, &str, (u32, u32))] = &[
    ("nvidia,tegra124", "NVIDIA Tegra K1", (3, 2)),
    ("nvidia,tegra210", "NVIDIA Tegra X1", (5, 3)),
    ("nvidia,tegra186", "NVIDIA Tegra X2", (6, 2)),
    ("nvidia,tegra194", "NVIDIA Xavier", (7, 2)),
    ("nvidia,tegra234", "NVIDIA Orin", (8, 7)),
];
/// The modules, by NVIDIA's numbers for their boards, the longer number first.
const MODULES: &[(&str, &str)] = &[
    ("p3489-0888", "Jetson TX2 4GB"),
    ("p3489", "Jetson TX2i"),
    ("p3636", "Jetson TX2 NX"),
    ("p3310", "Jetson TX2"),
    ("p2771", "Jetson TX2"),
    ("p2371", "Jetson TX1"),
    ("p3448", "Jetson Nano"),
    ("p3450", "Jetson Nano"),
    ("p2972", "Jetson AGX Xavier"),
    ("p3668", "Jetson Xavier NX"),
    ("p3701", "Jetson AGX Orin"),
    ("p3767", "Jetson Orin NX or Orin Nano"),
];
/// The drivers of the GPUs, as devfreq names them after the address: `17000000.gp10b`.
const GPUS: &[&str] = &[".gpu", ".gm20b", ".gp10b", ".gv11b", ".ga10b"];
/// More rails than the four sensors of any board have.
const RAILS_MAX: usize = 32;

/// What the GPU of a Jetson, and its board, say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JetsonDetails {
    /// The module: "Jetson TX2".
    pub module: Option<String>,
    pub compute_capability: ComputeCapability,
    /// How busy the GPU is, in thousandths.
    pub load_permille: Option<u32>,
    /// What the board draws, by rail.
    pub rails: Vec<Rail>,
    /// The mode that `nvpmodel` set: "MAXN".
    pub power_mode: Option<String>,
}

/// A rail of the power supply, and what is drawn from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rail {
    pub name: String,
    pub milliwatts: u32,
}

/// The GPU, where the machine is a Jetson.
pub(super) fn find(tree: &Tree) -> Option<Device> {
    let compatible = tree.text("proc/device-tree/compatible");
    let words: Vec<&str> = compatible.split('\0').collect();
    let (_, hardware, (major, minor)) = CHIPS.iter().find(|(chip, ..)| words.contains(chip))?;
    let module = MODULES.iter().find(|(number, _)| words.iter().any(|word| word.contains(number)));
    let slowdowns = if thermal::is_slowed(tree, Part::Gpu) { vec![Slowdown::Heat] } else { Vec::new() };
    Some(Device {
        name: "gpu".to_owned(),
        kind: DeviceKind::Gpu,
        hardware: (*hardware).to_owned(),
        memory_bytes: memory_bytes(tree),
        temperature: thermal::temperature(tree, Part::Gpu),
        slowdowns,
        fault: None,
        details: Details::Jetson(JetsonDetails {
            module: module.map(|(_, name)| (*name).to_owned()),
            compute_capability: ComputeCapability { major: *major, minor: *minor },
            load_permille: load(tree),
            rails: rails(tree),
            power_mode: power_mode(tree),
        }),
    })
}

fn load(tree: &Tree) -> Option<u32> {
    let gpus = tree.beginning("sys/class/devfreq", "").filter(|path| GPUS.iter().any(|gpu| path.ends_with(gpu)));
    let paths = ["sys/devices/gpu.0/load".to_owned()].into_iter().chain(gpus.map(|gpu| format!("{gpu}/device/load")));
    paths.filter_map(|path| tree.number::<u32>(&path)).find(|load| *load <= 1000)
}

/// The rails that the INA3221 sensors measure: by NVIDIA's own driver on older systems (L4T 32), by the kernel's since.
fn rails(tree: &Tree) -> Vec<Rail> {
    let drivers = "sys/bus/i2c/drivers";
    let devices = |driver: &str, within: &str, name: &str| -> Vec<String> {
        // Beside the sensors, by their bus and address as in `0-0041`, a driver's folder has files that steer it.
        let sensors = tree.beginning(&format!("{drivers}/{driver}"), "").filter(|path| path.contains("-00"));
        sensors.flat_map(|sensor| tree.beginning(&format!("{sensor}{within}"), name)).collect()
    };
    let own = devices("ina3221x", "", "iio:device").into_iter().flat_map(|device| {
        (0..3).filter_map(move |channel| {
            let name = tree.text(&format!("{device}/rail_name_{channel}"));
            let milliwatts = tree.number(&format!("{device}/in_power{channel}_input"))?;
            Some(Rail { name, milliwatts })
        })
    });
    let kernels = devices("ina3221", "/hwmon", "hwmon").into_iter().flat_map(|device| {
        (1..=3).filter_map(move |channel| {
            let name = tree.text(&format!("{device}/in{channel}_label"));
            let millivolts = tree.number::<u32>(&format!("{device}/in{channel}_input"))?;
            let milliamperes = tree.number::<u32>(&format!("{device}/curr{channel}_input"))?;
            let microwatts = u64::from(millivolts) * u64::from(milliamperes);
            Some(Rail { name, milliwatts: u32::try_from(microwatts / 1000).ok()? })
        })
    });
    own.chain(kernels).filter(|rail| !rail.name.is_empty()).take(RAILS_MAX).collect()
}

/// The mode that was set last, by its name where the settings have one.
fn power_mode(tree: &Tree) -> Option<String> {
    let status = tree.text("var/lib/nvpmodel/status");
    let number = status.split_whitespace().find_map(|word| word.strip_prefix("pmode:"))?.parse::<u32>().ok()?;
    let settings = tree.text("etc/nvpmodel.conf");
    let modes = settings.lines().filter_map(|line| line.trim().strip_prefix("< POWER_MODEL ID="));
    let name = modes.filter_map(|mode| mode.split_once(' ')).find_map(|(id, rest)| {
        let name = rest.trim().strip_prefix("NAME=")?.split_whitespace().next()?;
        (id.parse() == Ok(number)).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("mode {number}")))
}

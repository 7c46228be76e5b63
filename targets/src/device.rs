//! Which devices this machine has, and how they are: one file for each source.

mod cpu;
mod jetson;
mod movidius;
mod nvidia;
mod nvml;
mod raspberry_pi;
mod thermal;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use cpu::{CpuDetails, Feature};
pub use jetson::{JetsonDetails, Rail};
pub use movidius::MovidiusDetails;
pub use nvidia::{ComputeCapability, Ecc, GpuProcess, NvidiaDetails};
pub use thermal::Temperature;
use tree::Tree;

/// One unit of compute of a machine, and how it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Unique on its machine, and the same for as long as it stays where it is plugged in: `cpu`, `gpu-01:00.0`, `stick-1-1.4`.
    pub name: String,
    pub kind: DeviceKind,
    /// As people call it: "AMD EPYC 9B14", "Cortex-A72".
    pub hardware: String,
    /// Memory the device works in, in bytes; 0 if it could not be found out.
    pub memory_bytes: u64,
    /// That of its sensor that is nearest to the point where it slows down; none where it has none.
    pub temperature: Option<Temperature>,
    /// Why it is slower now than it could be.
    pub slowdowns: Vec<Slowdown>,
    /// Why it can do no work at all, by its own account.
    pub fault: Option<String>,
    pub details: Details,
}

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    Cpu,
    /// A graphics processor that can compute.
    Gpu,
    /// A Movidius stick.
    Movidius,
}

/// What only one source of devices tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Details {
    Cpu(CpuDetails),
    Nvidia(NvidiaDetails),
    Jetson(JetsonDetails),
    Movidius(MovidiusDetails),
}

/// Why a device is slower than it could be. What a device does to itself at full load every day (the power cap of a GPU) is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slowdown {
    /// It is too hot.
    Heat,
    /// Its power supply cannot hold its voltage.
    UnderVoltage,
    /// Its frequency is held down.
    FrequencyCap,
    /// Its power supply asked it to use less.
    PowerBrake,
}

/// Finds the devices of one machine, again and again.
#[derive(Debug)]
pub struct Finder {
    tree: Tree,
    nvml: nvml::Library,
    /// How often the processor had slowed down when it was last looked at.
    throttle_count: Option<u64>,
    /// What was plugged in where: a stick that has booted no longer says which it is.
    sticks: BTreeMap<String, movidius::Model>,
}

impl Finder {
    /// For the machine whose `/proc`, `/sys` and the rest lie under `root`: `/`, or a recording of another machine. Only `/`
    /// is asked through NVIDIA's library: what that says is true of this machine alone.
    pub fn new(root: &Path) -> Self {
        let library = if root == Path::new("/") { nvml::Library::installed() } else { nvml::Library::none() };
        Self::with(root, library)
    }

    /// As [`Finder::new`], with this file as NVIDIA's library.
    pub fn with_nvml(root: &Path, library: &Path) -> Self {
        Self::with(root, nvml::Library::at(library))
    }

    /// As [`Finder::new`], without NVIDIA's library: it knows less of GPUs, and takes a moment only.
    pub fn without_libraries(root: &Path) -> Self {
        Self::with(root, nvml::Library::none())
    }

    fn with(root: &Path, nvml: nvml::Library) -> Self {
        Self { tree: Tree::new(root), nvml, throttle_count: None, sticks: BTreeMap::new() }
    }

    /// All that there is now, the processor first.
    ///
    /// It does not fail: what cannot be read is left at its least, since every machine that runs this has a CPU. It may take
    /// seconds where a GPU hangs.
    pub fn find(&mut self) -> Vec<Device> {
        let mut devices = vec![cpu::find(&self.tree, &mut self.throttle_count)];
        devices.extend(jetson::find(&self.tree));
        devices.extend(nvidia::find(&self.tree, &mut self.nvml));
        devices.extend(movidius::find(&self.tree, &mut self.sticks));
        devices
    }
}

/// Finds the devices of a machine once; see [`Finder`].
pub fn discover(root: &Path) -> Vec<Device> {
    Finder::new(root).find()
}

//! What a node is and can do: what it gossips, and what the mesh knows of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::model::{ModelRef, is_name};
use crate::resources::Resources;

/// The most devices one node may announce: a hub full of sticks, with room.
pub const DEVICES_MAX: usize = 64;
/// The longest text in a node's description (a name, an address, a label), in bytes.
pub const TEXT_BYTES_MAX: usize = 128;
/// The most labels one node may carry.
pub const LABELS_MAX: usize = 32;
/// The most measured profiles one node may state: every model that a small node ever ran, with room.
pub const PROFILES_MAX: usize = 128;
/// The steps in which the time of a flush is stated, in milliseconds: coarse, so that it is stated anew only where it matters. A
/// good disk stays below the first, a poor card takes the last.
pub const FLUSH_STEPS_MS: [u16; 6] = [1, 4, 16, 64, 256, 1024];

/// The kind of a device, which decides what targets can run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// The processor, as one device.
    Cpu,
    /// One graphics processor.
    Gpu,
    /// One Movidius stick.
    Movidius,
}

/// How hot a device is, by its own account: in steps, so that it is not stated anew with every degree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Heat {
    /// It can do all that it offers.
    #[default]
    Cool,
    /// It nears its limit.
    Warm,
    /// It is at its limit and slows down.
    Hot,
}

/// What a node lives on, as far as it can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// From the wall, or a battery that is being fed.
    Mains,
    /// From a battery alone.
    Battery,
    /// Its system says nothing of it, as most boards do not.
    #[default]
    Unknown,
}

/// One unit of compute on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Unique on its node, such as `cpu`.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// What hardware it is, such as `Cortex-A57`: devices of one kind and hardware are taken to be equally fast.
    pub hardware: String,
    /// What it offers beside its node: thousandths of a GPU or stick, and its memory. None of the former where no target of its
    /// node drives it, or it can do no work.
    pub offers: Resources,
    /// How hot it is.
    pub heat: Heat,
}

/// How fast a model was measured to run on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Which model.
    pub model: ModelRef,
    /// Run in which way.
    pub target: String,
    /// On which of the node's devices.
    pub device: String,
    /// The mean time of one task, in microseconds.
    pub run_micros: u64,
}

/// What a node can do: gossiped by the node, and kept in the replicated state for planning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// What the node offers in all: processor, memory, named things. Lowered and stated anew while it runs, when the node
    /// is hot or has other work.
    pub offers: Resources,
    /// Its units of compute.
    pub devices: Vec<Device>,
    /// The targets its binary can run, by name.
    pub targets: Vec<String>,
    /// What its operator says of it, such as `zone=hall-2`.
    pub labels: BTreeMap<String, String>,
    /// How fast models ran here.
    pub profiles: Vec<Profile>,
    /// What it lives on.
    #[serde(default)]
    pub power: Power,
    /// How long its disk takes to make a record safe, in one of [`FLUSH_STEPS_MS`]: it stays below that. None where it was
    /// not measured.
    #[serde(default)]
    pub flush_ms: Option<u16>,
}

impl Profile {
    fn within_bounds(&self) -> bool {
        is_name(&self.model.name) && self.target.len() <= TEXT_BYTES_MAX && self.device.len() <= TEXT_BYTES_MAX
    }
}

impl Device {
    /// Whether anything on its node can have it work.
    pub fn is_driven(&self) -> bool {
        self.kind == DeviceKind::Cpu || self.offers.gpu_milli > 0
    }

    fn within_bounds(&self) -> bool {
        self.name.len() <= TEXT_BYTES_MAX && self.hardware.len() <= TEXT_BYTES_MAX && self.offers.within_bounds()
    }
}

impl Capability {
    /// The device of this name.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// What is taken of a device is found by its name, so a name that two share would hide what one of them offers.
    fn has_unique_devices(&self) -> bool {
        let names: BTreeSet<&str> = self.devices.iter().map(|device| device.name.as_str()).collect();
        names.len() == self.devices.len()
    }
}

/// Everything the mesh knows of a node that the node itself states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Derived from its key.
    pub id: NodeId,
    /// For people; not unique.
    pub name: String,
    /// `host:port` of its QUIC endpoint.
    pub address: String,
    /// Version of its binary.
    pub version: String,
    /// What it can do.
    pub capability: Capability,
}

impl NodeSpec {
    /// Whether every text and list is within its bound, and no two devices share a name; a stranger's description is
    /// checked before it is kept.
    pub fn within_bounds(&self) -> bool {
        let short = |text: &String| text.len() <= TEXT_BYTES_MAX;
        let capability = &self.capability;
        [&self.name, &self.address, &self.version].into_iter().all(short)
            && capability.devices.len() <= DEVICES_MAX
            && capability.devices.iter().all(Device::within_bounds)
            && capability.offers.within_bounds()
            && capability.has_unique_devices()
            && capability.targets.len() <= DEVICES_MAX
            && capability.targets.iter().all(short)
            && capability.labels.len() <= LABELS_MAX
            && capability.labels.iter().all(|(key, value)| short(key) && short(value))
            && capability.profiles.len() <= PROFILES_MAX
            && capability.profiles.iter().all(Profile::within_bounds)
            && capability.flush_ms.is_none_or(|step| FLUSH_STEPS_MS.contains(&step))
    }
}

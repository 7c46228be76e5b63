//! What a node is and can do: what it gossips, and what the mesh knows of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::resources::Resources;

/// The most devices one node may announce: a hub full of sticks, with room.
pub const DEVICES_MAX: usize = 64;
/// The longest text in a node's description (a name, an address, a label), in bytes.
pub const TEXT_BYTES_MAX: usize = 128;
/// The most labels one node may carry.
pub const LABELS_MAX: usize = 32;

/// The kind of a device, which decides what targets can run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// The processor, as one device.
    Cpu,
    /// One graphics processor.
    Gpu,
    /// One Movidius stick.
    Movidius,
}

/// One unit of compute on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Unique on its node, such as `cpu`.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// What it offers in all.
    pub offers: Resources,
}

/// What a node can do: gossiped by the node, and kept in the replicated state for planning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Its units of compute.
    pub devices: Vec<Device>,
    /// The targets its binary can run, by name.
    pub targets: Vec<String>,
    /// What its operator says of it, such as `zone=hall-2`.
    pub labels: BTreeMap<String, String>,
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
            && capability.devices.iter().all(|device| short(&device.name))
            && capability.has_unique_devices()
            && capability.targets.len() <= DEVICES_MAX
            && capability.targets.iter().all(short)
            && capability.labels.len() <= LABELS_MAX
            && capability.labels.iter().all(|(key, value)| short(key) && short(value))
    }
}

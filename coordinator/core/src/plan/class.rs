//! Devices that are alike, in the order in which they are to be taken.
//!
//! A mesh has many nodes and few kinds of them. Devices of one kind, hardware, targets and about the same size form a
//! class; within it, the best place is the first one in a sorted set, so that nobody looks through ten thousand nodes for
//! each worker.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::capability::{Capability, Device, DeviceKind, Heat};
use crate::ids::NodeId;
use crate::model::ModelRef;
use crate::plan::feasible;
use crate::resources::Resources;
use crate::session::Session;

/// Needs of which it is remembered that no device of a class has room for them: the needs of a mesh come in few sizes.
const HOPELESS_MAX: usize = 32;

/// What devices of one class have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    device: DeviceKind,
    hardware: String,
    targets: Vec<String>,
    /// The size of the node and the device, each dimension to the nearest power of two below: memory differs by a few
    /// pages from board to board.
    size: [u32; 4],
}

/// A place in the order in which those of a class are taken: cool ones first, tested ones before those on probation, then
/// the least loaded. The rest makes the order one and the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) heat: Heat,
    pub(super) probation: bool,
    /// In steps of a twentieth, of the scarcest dimension: a place moves in its class when that changes, not with every
    /// worker.
    pub(super) load: u8,
    pub(super) node: NodeId,
    pub(super) device: usize,
    /// Where the node is kept.
    pub(super) slot: usize,
}

/// Devices that are alike.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) kind: Kind,
    /// Every usable place.
    pub(super) places: BTreeSet<Key>,
    /// Those on a node where a model, by its number, is loaded.
    pub(super) loaded: BTreeMap<usize, BTreeSet<Key>>,
    /// Measured times of a model and target: their sum in microseconds, and how many.
    speeds: BTreeMap<ModelRef, BTreeMap<String, (u64, u64)>>,
    /// No place has room for these.
    hopeless: Vec<Resources>,
}

impl Kind {
    pub(super) fn of(capability: &Capability, device: &Device) -> Self {
        let mut targets = capability.targets.clone();
        targets.sort_unstable();
        let (node, own) = (&capability.offers, &device.offers);
        let size = [node.cpu_millicores, node.memory_bytes, own.gpu_milli, own.gpu_memory_bytes];
        let size = size.map(|amount| amount.checked_ilog2().map_or(0, |power| power + 1));
        Self { device: device.kind, hardware: device.hardware.clone(), targets, size }
    }

    /// Whether workers of a session may stand on such devices.
    pub(super) fn suits(&self, session: &Session) -> bool {
        feasible::suits(session, self.device) && self.targets.contains(&session.spec.target)
    }
}

impl Class {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, places: BTreeSet::new(), loaded: BTreeMap::new(), speeds: BTreeMap::new(), hopeless: Vec::new() }
    }

    /// A place, with these models loaded, has this key.
    pub(super) fn enter(&mut self, key: Key, models: impl Iterator<Item = usize>) {
        self.places.insert(key);
        self.load(key, models);
    }

    /// A place, on whose node these models were loaded, had this key.
    pub(super) fn leave(&mut self, key: &Key, models: impl Iterator<Item = usize>) {
        self.places.remove(key);
        self.unload(key, models);
    }

    /// Models are loaded at a place.
    pub(super) fn load(&mut self, key: Key, models: impl Iterator<Item = usize>) {
        for model in models {
            self.loaded.entry(model).or_default().insert(key);
        }
    }

    /// Models are no longer loaded at a place.
    pub(super) fn unload(&mut self, key: &Key, models: impl Iterator<Item = usize>) {
        for model in models {
            if let Some(places) = self.loaded.get_mut(&model) {
                places.remove(key);
                if places.is_empty() {
                    self.loaded.remove(&model);
                }
            }
        }
    }

    /// A place has so much room now: what fits there is not hopeless.
    pub(super) fn has_room(&mut self, node: &Resources, device: &Resources) {
        self.hopeless.retain(|need| !(need.fits_node(node) && need.fits_device(device)));
    }

    /// Whether it is known that no place has room for so much.
    pub(super) fn is_hopeless(&self, need: &Resources) -> bool {
        self.hopeless.iter().any(|known| known.fits(need))
    }

    /// No place has room for so much.
    pub(super) fn note_hopeless(&mut self, need: &Resources) {
        self.hopeless.retain(|known| !need.fits(known));
        if self.hopeless.len() == HOPELESS_MAX {
            self.hopeless.remove(0);
        }
        self.hopeless.push(need.clone());
    }

    pub(super) fn measured(&mut self, model: &ModelRef, target: &str, run_micros: u64) {
        let of_model = self.speeds.entry(model.clone()).or_default();
        let (sum, count) = of_model.entry(target.into()).or_default();
        *sum = sum.saturating_add(run_micros);
        *count += 1;
    }

    pub(super) fn no_longer_measured(&mut self, model: &ModelRef, target: &str, run_micros: u64) {
        let Some(of_model) = self.speeds.get_mut(model) else { return };
        if let Some((sum, count)) = of_model.get_mut(target) {
            *sum = sum.saturating_sub(run_micros);
            *count -= 1;
            if *count == 0 {
                of_model.remove(target);
            }
        }
    }

    /// The mean time of one task on such devices, in microseconds.
    pub(super) fn run_micros(&self, model: &ModelRef, target: &str) -> Option<u64> {
        let (sum, count) = self.speeds.get(model)?.get(target)?;
        Some(sum / count)
    }
}

/// Speeds that differ by less than about a fifth are the same: measurements are no better than that. Smaller is quicker;
/// what was not measured comes last.
pub(super) fn pace(run_micros: Option<u64>) -> u32 {
    let Some(micros) = run_micros.map(|micros| micros.max(1)) else { return u32::MAX };
    // Four steps for each doubling: the power of two, and the next two bits.
    let power = micros.ilog2();
    let next = if power >= 2 { (micros >> (power - 2)) & 3 } else { (micros << (2 - power)) & 3 };
    power * 4 + u32::try_from(next).unwrap_or(0)
}

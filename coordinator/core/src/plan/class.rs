//! Devices that are alike, in the order in which they are to be taken.
//!
//! A mesh has many nodes and few kinds of them. Devices of one kind, hardware, targets and about the same size form a
//! class; within it, the best place is the first one in a sorted set, so that nobody looks through ten thousand nodes for
//! each worker.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::capability::{Capability, Device, DeviceKind, Heat, Profile};
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
    is_driven: bool,
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
    /// What was measured of a model and target.
    speeds: BTreeMap<ModelRef, BTreeMap<String, Speeds>>,
    /// No place has room for these.
    hopeless: Hopeless,
    /// Counts how often a place may have got more room.
    gains: u64,
}

/// What was measured of one model and target on devices of a class.
#[derive(Debug, Default)]
pub(super) struct Speeds {
    /// The sum of all times in microseconds, and how many.
    sum: u64,
    count: u64,
    /// The usable places that were measured themselves, by their pace.
    by_pace: BTreeMap<u32, Measured>,
    /// None of those that were not measured had room for these, when the class last got more.
    unmeasured_hopeless: (u64, Hopeless),
}

/// Some of the places of a class, by what is known of a model's speed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lot {
    /// Those on which the model was measured, and runs at this pace.
    Measured(u32),
    /// Those on which it was not.
    Unmeasured,
}

/// Places of one pace.
#[derive(Debug, Default)]
struct Measured {
    places: BTreeSet<Key>,
    /// None of them has room for these.
    hopeless: Hopeless,
}

/// Needs of which it is known that none of some places has room for them.
#[derive(Debug, Default)]
struct Hopeless(Vec<Resources>);

impl Hopeless {
    /// A place has so much room now: what fits there is not hopeless.
    fn has_room(&mut self, node: &Resources, device: &Resources) {
        self.0.retain(|need| !(need.fits_node(node) && need.fits_device(device)));
    }

    fn has(&self, need: &Resources) -> bool {
        self.0.iter().any(|known| known.fits(need))
    }

    fn note(&mut self, need: &Resources) {
        self.0.retain(|known| !need.fits(known));
        if self.0.len() == HOPELESS_MAX {
            self.0.remove(0);
        }
        self.0.push(need.clone());
    }
}

impl Kind {
    /// Which kind of device they are.
    pub(super) fn device(&self) -> DeviceKind {
        self.device
    }

    pub(super) fn of(capability: &Capability, device: &Device) -> Self {
        let mut targets = capability.targets.clone();
        targets.sort_unstable();
        let (node, own) = (&capability.offers, &device.offers);
        let size = [node.cpu_millicores, node.memory_bytes, own.gpu_milli, own.gpu_memory_bytes];
        let size = size.map(|amount| amount.checked_ilog2().map_or(0, |power| power + 1));
        let (hardware, is_driven) = (device.hardware.clone(), device.is_driven());
        Self { device: device.kind, hardware, targets, is_driven, size }
    }

    /// Whether workers of a session may stand on such devices.
    pub(super) fn suits(&self, session: &Session) -> bool {
        self.is_driven && feasible::suits(session, self.device) && self.targets.contains(&session.spec.target)
    }
}

impl Class {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            places: BTreeSet::new(),
            loaded: BTreeMap::new(),
            speeds: BTreeMap::new(),
            hopeless: Hopeless::default(),
            gains: 0,
        }
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

    /// A place has so much room now, and so have the sets that it is in by these measurements of its own.
    pub(super) fn has_room<'own>(
        &mut self,
        node: &Resources,
        device: &Resources,
        own: impl Iterator<Item = &'own Profile>,
    ) {
        self.gains += 1;
        self.hopeless.has_room(node, device);
        for profile in own {
            if let Some(measured) = self.measured_mut(profile) {
                measured.hopeless.has_room(node, device);
            }
        }
    }

    /// Whether it is known that no place of a lot has room for so much.
    pub(super) fn is_hopeless(&self, lot: Lot, model: &ModelRef, target: &str, need: &Resources) -> bool {
        let speeds = self.speeds(model, target);
        self.hopeless.has(need)
            || speeds.is_some_and(|speeds| match lot {
                Lot::Measured(pace) => speeds.by_pace.get(&pace).is_none_or(|places| places.hopeless.has(need)),
                Lot::Unmeasured => {
                    let (gains, hopeless) = &speeds.unmeasured_hopeless;
                    *gains == self.gains && hopeless.has(need)
                }
            })
    }

    /// No place at all has room for so much.
    pub(super) fn note_all_hopeless(&mut self, need: &Resources) {
        self.hopeless.note(need);
    }

    /// No place of a lot has room for so much.
    pub(super) fn note_hopeless(&mut self, lot: Lot, model: &ModelRef, target: &str, need: &Resources) {
        let gains = self.gains;
        let speeds = self.speeds.get_mut(model).and_then(|targets| targets.get_mut(target));
        match (speeds, lot) {
            (None, _) => self.note_all_hopeless(need),
            (Some(speeds), Lot::Unmeasured) => {
                let (known, hopeless) = &mut speeds.unmeasured_hopeless;
                if *known != gains {
                    (*known, *hopeless) = (gains, Hopeless::default());
                }
                hopeless.note(need);
            }
            (Some(speeds), Lot::Measured(pace)) => {
                if let Some(places) = speeds.by_pace.get_mut(&pace) {
                    places.hopeless.note(need);
                }
            }
        }
    }

    /// Its lots with their pace; none for what was not measured anywhere.
    pub(super) fn lots(&self, model: &ModelRef, target: &str) -> impl Iterator<Item = (Option<u32>, Lot)> {
        let speeds = self.speeds(model, target);
        let measured = speeds.into_iter().flat_map(|speeds| speeds.by_pace.keys());
        let measured = measured.map(|pace| (Some(*pace), Lot::Measured(*pace)));
        measured.chain([(speeds.map(|speeds| pace(speeds.run_micros())), Lot::Unmeasured)])
    }

    /// The places of a lot, and maybe others.
    pub(super) fn places_of(&self, lot: Lot, model: &ModelRef, target: &str) -> Option<&BTreeSet<Key>> {
        match lot {
            Lot::Unmeasured => Some(&self.places),
            Lot::Measured(pace) => Some(&self.speeds(model, target)?.by_pace.get(&pace)?.places),
        }
    }

    /// A device of the class, whether it is usable or not, was measured.
    pub(super) fn measured(&mut self, profile: &Profile) {
        let of_model = self.speeds.entry(profile.model.clone()).or_default();
        let speeds = of_model.entry(profile.target.clone()).or_default();
        speeds.sum = speeds.sum.saturating_add(profile.run_micros);
        speeds.count += 1;
    }

    pub(super) fn no_longer_measured(&mut self, profile: &Profile) {
        let Some(of_model) = self.speeds.get_mut(&profile.model) else { return };
        if let Some(speeds) = of_model.get_mut(&profile.target) {
            speeds.sum = speeds.sum.saturating_sub(profile.run_micros);
            speeds.count -= 1;
            if speeds.count == 0 {
                of_model.remove(&profile.target);
            }
        }
    }

    /// A place has this key, and was measured itself.
    pub(super) fn enter_measured(&mut self, key: Key, profile: &Profile) {
        let of_model = self.speeds.get_mut(&profile.model);
        if let Some(speeds) = of_model.and_then(|targets| targets.get_mut(&profile.target)) {
            speeds.by_pace.entry(pace(profile.run_micros)).or_default().places.insert(key);
        }
    }

    /// A place that was measured itself had this key.
    pub(super) fn leave_measured(&mut self, key: &Key, profile: &Profile) {
        let Some(measured) = self.measured_mut(profile) else { return };
        measured.places.remove(key);
        if measured.places.is_empty() {
            let of_model = self.speeds.get_mut(&profile.model);
            if let Some(speeds) = of_model.and_then(|targets| targets.get_mut(&profile.target)) {
                speeds.by_pace.remove(&pace(profile.run_micros));
            }
        }
    }

    fn measured_mut(&mut self, profile: &Profile) -> Option<&mut Measured> {
        let speeds = self.speeds.get_mut(&profile.model)?.get_mut(&profile.target)?;
        speeds.by_pace.get_mut(&pace(profile.run_micros))
    }

    /// What was measured of a model and target.
    pub(super) fn speeds(&self, model: &ModelRef, target: &str) -> Option<&Speeds> {
        self.speeds.get(model)?.get(target)
    }
}

impl Speeds {
    /// The mean time of one task, in microseconds.
    pub(super) fn run_micros(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }
}

/// Speeds that differ by less than about a fifth are the same: measurements are no better than that. Smaller is quicker.
pub(super) fn pace(run_micros: u64) -> u32 {
    let micros = run_micros.max(1);
    // Four steps for each doubling: the power of two, and the next two bits.
    let power = micros.ilog2();
    let next = if power >= 2 { (micros >> (power - 2)) & 3 } else { (micros << (2 - power)) & 3 };
    power * 4 + u32::try_from(next).unwrap_or(0)
}

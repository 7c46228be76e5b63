//! Every place of the mesh with what stands there: the planner's copy, on which it tries its changes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::capability::Profile;
use crate::health::Phase;
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::model::ModelRef;
use crate::plan::class::{Class, Key, Kind};
use crate::resources::{Resources, WHOLE};
use crate::state::{Node, State};
use crate::worker::Duty;

/// All places. It follows one state as that changes; nodes that did not change are not looked at again.
#[derive(Debug, Default)]
pub(super) struct Places {
    slots: Vec<Slot>,
    numbers: BTreeMap<NodeId, usize>,
    classes: Vec<Class>,
    class_numbers: BTreeMap<Kind, usize>,
    models: BTreeMap<ModelRef, usize>,
    capacity: Resources,
    /// Nodes on which room is claimed in this cycle.
    claimed: BTreeSet<usize>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) node: NodeId,
    /// The count of changes when it was copied; none once something was tried on it.
    revision: Option<u64>,
    is_usable: bool,
    pub(super) offers: Resources,
    /// What is left now, but for what is only kept warm. Only the dimensions that a node has count, here and below.
    pub(super) room: Resources,
    /// What will be left when all that leave are gone and all claims are met.
    pub(super) later: Resources,
    pub(super) devices: Vec<DeviceSlot>,
    pub(super) occupants: Vec<Occupant>,
    /// How many occupants have each model loaded.
    models: BTreeMap<usize, u32>,
    /// Models that came or went since the node was last put in its place.
    touched: Vec<usize>,
    /// What was measured here, by device.
    profiles: Vec<(usize, Profile)>,
    /// Something here may have got more room since the node was last put in its place.
    has_gained: bool,
}

/// One device of a node.
#[derive(Debug)]
pub(super) struct DeviceSlot {
    pub(super) name: String,
    pub(super) class: usize,
    pub(super) is_usable: bool,
    probation: bool,
    heat: crate::capability::Heat,
    pub(super) offers: Resources,
    pub(super) room: Resources,
    pub(super) later: Resources,
    /// Where it is in its class; none where it is not usable.
    key: Option<Key>,
}

/// Something that stands on a node, or will.
#[derive(Clone, Debug)]
pub(super) struct Occupant {
    /// None: it is started in this cycle, or will be when others are gone.
    pub(super) worker: Option<WorkerId>,
    pub(super) session: SessionId,
    pub(super) device: usize,
    pub(super) need: Resources,
    pub(super) part: Part,
    model: usize,
}

/// What an occupant's room is for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Taken.
    Serving,
    /// Theirs for the asking.
    Warm,
    /// Taken now and free later, for this session where one is named.
    Leaving(Option<SessionId>),
    /// Free now and taken later.
    Claim,
    /// Nobody is there, and the session keeps the place to itself.
    Kept,
}

impl Part {
    pub(super) fn of(duty: &Duty) -> Self {
        match duty {
            Duty::Serving => Self::Serving,
            Duty::Warm => Self::Warm,
            Duty::Leaving { .. } => Self::Leaving(duty.leaves_for()),
        }
    }

    fn is_taken_now(self) -> bool {
        matches!(self, Self::Serving | Self::Leaving(_))
    }

    pub(super) fn is_taken_later(self) -> bool {
        matches!(self, Self::Serving | Self::Claim)
    }
}

impl Places {
    /// Copies what changed.
    pub(super) fn follow(&mut self, state: &State) {
        let mut changed = Vec::new();
        {
            let mut known = self.numbers.iter().peekable();
            for (id, held) in state.index().nodes() {
                let number = known.next_if(|(known, _)| **known == id).map(|(_, number)| *number);
                if number.is_none_or(|number| self.slots[number].revision != Some(held.revision())) {
                    changed.push((id, number, held.revision()));
                }
            }
        }
        for (id, number, revision) in changed {
            if let Some(node) = state.nodes.get(&id) {
                let number = number.unwrap_or_else(|| self.add(id));
                self.copy(state, number, node, revision);
            }
        }
    }

    fn add(&mut self, node: NodeId) -> usize {
        let number = self.slots.len();
        self.slots.push(Slot::empty(node));
        self.numbers.insert(node, number);
        number
    }

    fn copy(&mut self, state: &State, number: usize, node: &Node, revision: u64) {
        self.unlist(number);
        self.forget_speeds(number);
        let old = &self.slots[number];
        self.capacity.subtract(&old.capacity());
        let mut slot = Slot::empty(node.spec.id);
        slot.revision = Some(revision);
        slot.is_usable = node.up && node.block.is_none();
        slot.offers = node.spec.capability.offers.clone();
        for device in &node.spec.capability.devices {
            let class = self.class_of(Kind::of(&node.spec.capability, device));
            let health = node.devices.get(&device.name);
            slot.devices.push(DeviceSlot {
                name: device.name.clone(),
                class,
                is_usable: slot.is_usable && node.is_usable(&device.name),
                probation: health.is_some_and(|health| matches!(health.phase, Phase::Probation { .. })),
                heat: device.heat,
                offers: device.offers.clone(),
                room: device.offers.clone(),
                later: device.offers.clone(),
                key: None,
            });
        }
        (slot.room, slot.later) = (slot.offers.clone(), slot.offers.clone());
        for (id, worker) in state.workers_on(node.spec.id) {
            let device = slot.devices.iter().position(|device| device.name == worker.device);
            let model = state.sessions.get(&worker.session).map(|session| self.model(&session.model));
            if let (Some(device), Some(model)) = (device, model) {
                let part = Part::of(&worker.duty);
                let (session, need) = (worker.session, worker.need.clone());
                slot.enter(Occupant { worker: Some(id), session, device, need, part, model });
            }
        }
        for (session, known, kept) in state.keepers_on(node.spec.id) {
            let device = slot.devices.iter().position(|device| device.name == *kept);
            if let Some(device) = device {
                let (need, model) = (Resources::default(), self.model(&known.model));
                slot.enter(Occupant { worker: None, session, device, need, part: Part::Kept, model });
            }
        }
        for profile in &node.spec.capability.profiles {
            let at = slot.devices.iter().position(|device| device.name == profile.device);
            let is_new = |at: &usize| slot.run_micros(*at, &profile.model, &profile.target).is_none();
            if let Some(at) = at.filter(is_new) {
                self.classes[slot.devices[at].class].measured(profile);
                slot.profiles.push((at, profile.clone()));
            }
        }
        self.capacity.add(&slot.capacity());
        self.slots[number] = slot;
        self.list(number);
    }

    fn forget_speeds(&mut self, number: usize) {
        let slot = &self.slots[number];
        for (at, profile) in &slot.profiles {
            self.classes[slot.devices[*at].class].no_longer_measured(profile);
        }
    }

    fn class_of(&mut self, kind: Kind) -> usize {
        if let Some(number) = self.class_numbers.get(&kind) {
            return *number;
        }
        let number = self.classes.len();
        self.class_numbers.insert(kind.clone(), number);
        self.classes.push(Class::new(kind));
        number
    }

    /// The number of a model, given on first sight.
    pub(super) fn model(&mut self, model: &ModelRef) -> usize {
        if let Some(number) = self.models.get(model) {
            return *number;
        }
        let number = self.models.len();
        self.models.insert(model.clone(), number);
        number
    }

    /// What all usable places offer together.
    pub(super) fn capacity(&self) -> &Resources {
        &self.capacity
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn slot(&self, number: usize) -> &Slot {
        &self.slots[number]
    }

    pub(super) fn number_of(&self, node: NodeId) -> Option<usize> {
        self.numbers.get(&node).copied()
    }

    pub(super) fn classes(&self) -> &[Class] {
        &self.classes
    }

    pub(super) fn class_mut(&mut self, number: usize) -> &mut Class {
        &mut self.classes[number]
    }

    /// Tries a change on one node.
    pub(super) fn change<T>(&mut self, number: usize, change: impl FnOnce(&mut Slot) -> T) -> T {
        let slot = &mut self.slots[number];
        slot.revision = None;
        let result = change(slot);
        self.list(number);
        result
    }

    /// Room on a node is somebody's from now on, for this cycle: that is undone when it ends, so that the node need not be
    /// copied again.
    pub(super) fn claim(&mut self, number: usize, session: SessionId, device: usize, need: &Resources, model: usize) {
        self.slots[number].occupy(session, device, need, Part::Claim, model);
        self.list(number);
        self.claimed.insert(number);
    }

    /// It is not, after all.
    pub(super) fn unclaim(&mut self, number: usize, session: SessionId, device: usize) {
        let is_it = |one: &Occupant| one.part == Part::Claim && one.session == session && one.device == device;
        let slot = &mut self.slots[number];
        if let Some(at) = slot.occupants.iter().position(is_it) {
            slot.remove(at);
            self.list(number);
        }
    }

    /// The cycle is over, and all claims with it.
    pub(super) fn forget_claims(&mut self) {
        for number in core::mem::take(&mut self.claimed) {
            let slot = &mut self.slots[number];
            while let Some(at) = slot.occupants.iter().position(|one| one.part == Part::Claim) {
                slot.remove(at);
            }
            self.list(number);
        }
    }

    fn unlist(&mut self, number: usize) {
        let Self { slots, classes, .. } = self;
        let Slot { devices, models, profiles, .. } = &mut slots[number];
        for (at, device) in devices.iter_mut().enumerate() {
            if let Some(key) = device.key.take() {
                classes[device.class].leave(&key, models.keys().copied());
                of_device(profiles, at).for_each(|profile| classes[device.class].leave_measured(&key, profile));
            }
        }
    }

    /// Puts the devices of a node where they belong in their classes. One whose place in the order is what it was is moved
    /// only where models came or went.
    fn list(&mut self, number: usize) {
        let Self { slots, classes, .. } = self;
        let Slot { node, devices, models, touched, profiles, room, offers, has_gained, .. } = &mut slots[number];
        let (touched, has_gained) = (core::mem::take(touched), core::mem::take(has_gained));
        let node_load = load(room, offers);
        for (at, device) in devices.iter_mut().enumerate().filter(|(_, device)| device.is_usable) {
            let load = node_load.max(load(&device.room, &device.offers));
            let (heat, probation) = (device.heat, device.probation);
            let key = Key { heat, probation, load, node: *node, device: at, slot: number };
            let class = &mut classes[device.class];
            let (gone, come): (Vec<usize>, Vec<usize>) = touched.iter().partition(|model| !models.contains_key(model));
            match device.key.replace(key) {
                Some(known) if known == key => {
                    class.unload(&key, gone.into_iter());
                    class.load(key, come.into_iter());
                }
                known => {
                    if let Some(known) = known {
                        class.leave(&known, models.keys().copied().chain(gone));
                        of_device(profiles, at).for_each(|profile| class.leave_measured(&known, profile));
                    }
                    class.enter(key, models.keys().copied());
                    of_device(profiles, at).for_each(|profile| class.enter_measured(key, profile));
                }
            }
            if has_gained {
                class.has_room(room, &device.room, of_device(profiles, at));
            }
        }
    }
}

/// What was measured on one device of a node.
fn of_device(profiles: &[(usize, Profile)], at: usize) -> impl Iterator<Item = &Profile> {
    profiles.iter().filter(move |(device, _)| *device == at).map(|(_, profile)| profile)
}

impl DeviceSlot {
    /// Where it is in its class; none where it is not usable.
    pub(super) fn key(&self) -> Option<Key> {
        self.key
    }
}

impl Slot {
    fn empty(node: NodeId) -> Self {
        Self {
            node,
            revision: None,
            is_usable: false,
            offers: Resources::default(),
            room: Resources::default(),
            later: Resources::default(),
            devices: Vec::new(),
            occupants: Vec::new(),
            models: BTreeMap::new(),
            touched: Vec::new(),
            profiles: Vec::new(),
            has_gained: true,
        }
    }

    /// How long a task of a model was measured to take on a device, in microseconds.
    pub(super) fn run_micros(&self, at: usize, model: &ModelRef, target: &str) -> Option<u64> {
        let mut profiles = of_device(&self.profiles, at);
        let own = profiles.find(|profile| profile.model == *model && profile.target == target);
        own.map(|profile| profile.run_micros)
    }

    /// What it adds to the capacity of the mesh.
    fn capacity(&self) -> Resources {
        let mut sum = if self.is_usable { self.offers.clone() } else { Resources::default() };
        for device in self.devices.iter().filter(|device| device.is_usable) {
            sum.add(&device.offers);
        }
        sum
    }

    /// Whether a model is loaded here.
    pub(super) fn has_loaded(&self, model: usize) -> bool {
        self.models.contains_key(&model)
    }

    /// Whether a worker serves here, by this cycle too.
    pub(super) fn serves(&self, worker: WorkerId) -> bool {
        self.occupants.iter().any(|occupant| occupant.worker == Some(worker) && occupant.part == Part::Serving)
    }

    /// A new worker, or one that will come when others are gone.
    pub(super) fn occupy(&mut self, session: SessionId, device: usize, need: &Resources, part: Part, model: usize) {
        self.enter(Occupant { worker: None, session, device, need: need.clone(), part, model });
    }

    /// A worker is there for something else.
    pub(super) fn set_part(&mut self, worker: WorkerId, part: Part) {
        if let Some(mut occupant) = self.take(worker) {
            occupant.part = part;
            self.enter(occupant);
        }
    }

    /// A worker is given more or less.
    pub(super) fn resize(&mut self, worker: WorkerId, need: &Resources) {
        if let Some(mut occupant) = self.take(worker) {
            occupant.need = need.clone();
            self.enter(occupant);
        }
    }

    /// A worker goes.
    pub(super) fn take(&mut self, worker: WorkerId) -> Option<Occupant> {
        let at = self.occupants.iter().position(|occupant| occupant.worker == Some(worker))?;
        Some(self.remove(at))
    }

    fn remove(&mut self, at: usize) -> Occupant {
        let occupant = self.occupants.remove(at);
        self.has_gained |= occupant.part.is_taken_now();
        self.account(&occupant, Resources::add);
        if occupant.part == Part::Kept {
            return occupant;
        }
        if let Some(count) = self.models.get_mut(&occupant.model) {
            *count -= 1;
            if *count == 0 {
                self.models.remove(&occupant.model);
                self.touched.push(occupant.model);
            }
        }
        occupant
    }

    fn enter(&mut self, occupant: Occupant) {
        self.account(&occupant, Resources::subtract);
        if occupant.part == Part::Kept {
            self.occupants.push(occupant);
            return;
        }
        let count = self.models.entry(occupant.model).or_default();
        *count += 1;
        if *count == 1 {
            self.touched.push(occupant.model);
        }
        self.occupants.push(occupant);
    }

    fn account(&mut self, occupant: &Occupant, change: fn(&mut Resources, &Resources)) {
        let device = &mut self.devices[occupant.device];
        if occupant.part.is_taken_now() {
            change(&mut self.room, &occupant.need);
            change(&mut device.room, &occupant.need);
        }
        if occupant.part.is_taken_later() {
            change(&mut self.later, &occupant.need);
            change(&mut device.later, &occupant.need);
        }
    }
}

/// How much is taken, in twentieths.
fn load(room: &Resources, offers: &Resources) -> u8 {
    let taken = offers.minus(room).dominant_share(offers) * 20 / WHOLE;
    u8::try_from(taken).unwrap_or(20)
}

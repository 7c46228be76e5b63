//! One session's search for a place.
//!
//! The best place is found class by class, the fastest first, and within a class in its order; so that where there is room,
//! the first few places that are looked at will do.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::capability::DeviceKind;
use crate::ids::SessionId;
use crate::plan::class::{Class, Key, Lot, pace};
use crate::plan::cycle::{Cycle, Spot};
use crate::plan::feasible::{self, Unfit};
use crate::plan::places::{Part, Places, Slot};
use crate::policy::{Place, Policy};
use crate::resources::Resources;
use crate::session::{Hold, Session};

/// Where a policy has a word on which place is best, it is asked about so many of the first ones.
pub(super) const CANDIDATES_MAX: usize = 32;

/// A session that looks for a place for one more worker.
#[derive(Debug)]
pub(super) struct Request<'state> {
    pub(super) id: SessionId,
    pub(super) session: &'state Session,
    pub(super) policy: &'static dyn Policy,
    /// Whether it is for a fixed worker, or for one of what is spare.
    pub(super) is_fixed: bool,
    pub(super) model: usize,
    /// The classes its target runs on, in lots by pace, the fastest first.
    paces: Vec<(u32, usize, Lot)>,
    /// How many of its workers each node has; of what is lent, those of this cycle alone.
    own: BTreeMap<usize, u32>,
}

/// Why a place is no good.
enum Misfit {
    /// For want of room, whoever asks.
    Room,
    /// For this session, or now.
    Other(Unfit),
}

impl<'state> Request<'state> {
    pub(super) fn new(cycle: &mut Cycle<'state>, id: SessionId, session: &'state Session, is_fixed: bool) -> Self {
        let model = cycle.places.model(&session.model);
        let paces = paces(cycle.places.classes(), session);
        let mut request =
            Self { id, session, policy: session.policy.policy(), is_fixed, model, paces, own: BTreeMap::new() };
        // What is lent is not spread, so nobody asks where the others are; and a session may have thousands.
        if is_fixed {
            request.count_own(cycle);
        }
        request
    }

    /// Looks up how many of its workers each node has.
    pub(super) fn count_own(&mut self, cycle: &Cycle) {
        self.own.clear();
        for (_, worker) in cycle.state.workers_of(self.id).filter(|(_, worker)| worker.serves()) {
            if let Some(slot) = cycle.places.number_of(worker.node) {
                *self.own.entry(slot).or_default() += 1;
            }
        }
    }

    /// One more worker of it stands on a node.
    pub(super) fn took(&mut self, slot: usize) {
        *self.own.entry(slot).or_default() += 1;
    }

    /// One worker of it less stands on a node.
    pub(super) fn gave_up(&mut self, slot: usize) {
        if let Some(count) = self.own.get_mut(&slot) {
            *count -= 1;
        }
        self.own.retain(|_, count| *count > 0);
    }

    /// How many of its workers a node has.
    pub(super) fn own_on(&self, slot: usize) -> u32 {
        self.own.get(&slot).copied().unwrap_or(0)
    }

    /// The classes its target runs on.
    pub(super) fn classes(&self) -> impl Iterator<Item = usize> {
        self.paces.iter().filter(|(_, _, lot)| *lot == Lot::Unmeasured).map(|(_, class, _)| *class)
    }

    /// Whether it is known that no place at all has room for one more of its workers, whoever asks.
    pub(super) fn is_hopeless(&self, cycle: &Cycle) -> bool {
        let Session { model, spec, reserved, .. } = self.session;
        let classes = cycle.places.classes();
        self.paces.iter().all(|(_, class, lot)| classes[*class].is_hopeless(*lot, model, &spec.target, reserved))
    }

    /// How fast a place is taken to be: what was measured on the device itself; else the mean of those like it; else, so that
    /// it comes to be tried, the best of its kind.
    pub(super) fn pace_at(&self, cycle: &Cycle, (number, at): Spot) -> u32 {
        let slot = cycle.places.slot(number);
        if let Some(micros) = slot.run_micros(at, &self.session.model, &self.session.spec.target) {
            return pace(micros);
        }
        let class = slot.devices[at].class;
        let unmeasured = self.paces.iter().find(|(_, known, lot)| (*known, *lot) == (class, Lot::Unmeasured));
        unmeasured.map_or(u32::MAX, |(pace, _, _)| *pace)
    }

    /// Whether a node, if it were empty, could hold a worker of the session.
    pub(super) fn could_stand_on(&self, cycle: &Cycle, number: usize) -> bool {
        (0..cycle.places.slot(number).devices.len()).any(|at| self.could_stand_at(cycle, (number, at)))
    }

    /// Whether a device, if it and its node were empty, could.
    pub(super) fn could_stand_at(&self, cycle: &Cycle, (number, at): Spot) -> bool {
        let slot = cycle.places.slot(number);
        let device = &slot.devices[at];
        let is_meant = match &self.session.hold {
            Hold::Named { node, device: name } => slot.node == *node && device.name == *name,
            _ => true,
        };
        is_meant
            && device.is_usable
            && self.classes().any(|class| class == device.class)
            && self.session.reserved.fits_node(&slot.offers)
            && self.session.reserved.fits_device(&device.offers)
    }

    /// The best place that has room now.
    pub(super) fn find(&self, cycle: &mut Cycle) -> Option<Spot> {
        if let Hold::Named { node, device } = &self.session.hold {
            let slot = cycle.places.number_of(*node)?;
            let device = cycle.places.slot(slot).devices.iter().position(|known| known.name == *device)?;
            return self.fits_now(cycle, (slot, device)).is_ok().then_some((slot, device));
        }
        // 1. The fastest that has a place, on a node where no other worker of the session is.
        let mut rest = self.paces.as_slice();
        while let Some((pace, _, _)) = rest.first() {
            let same = rest.partition_point(|(other, _, _)| other == pace);
            if let Some(spot) = self.find_among(cycle, &rest[..same]) {
                return Some(spot);
            }
            rest = &rest[same..];
        }
        // 2. Where they are on all nodes, the one with the fewest.
        if self.is_fixed { self.find_beside_own(cycle) } else { None }
    }

    /// The best place among lots of the same pace.
    fn find_among(&self, cycle: &mut Cycle, lots: &[(u32, usize, Lot)]) -> Option<Spot> {
        let mut best: Option<(i64, bool, Key)> = None;
        for (_, class, lot) in lots {
            if let Some(found) = self.find_in(cycle, *class, *lot)
                && best.is_none_or(|best| is_better(found, best))
            {
                best = Some(found);
            }
        }
        best.map(|(_, _, key)| (key.slot, key.device))
    }

    /// The best place of a lot: by the policy's score, then with the model loaded, then in the order of the class.
    fn find_in(&self, cycle: &mut Cycle, number: usize, lot: Lot) -> Option<(i64, bool, Key)> {
        let Session { model, spec, reserved, .. } = self.session;
        let class = &cycle.places.classes()[number];
        if class.is_hopeless(lot, model, &spec.target, reserved) {
            return None;
        }
        let is_measured = class.speeds(model, &spec.target).is_some();
        let is_of_lot = |key: &Key| {
            let own = || cycle.places.slot(key.slot).run_micros(key.device, model, &spec.target).map(pace);
            match lot {
                Lot::Measured(pace) => own() == Some(pace),
                Lot::Unmeasured => !is_measured || own().is_none(),
            }
        };
        let loaded = class.loaded.get(&self.model).into_iter().flatten().map(|key| (true, key));
        let all = class.places_of(lot, model, &spec.target).into_iter().flatten().map(|key| (false, key));
        let (mut is_hopeless, mut are_all_hopeless) = (true, lot == Lot::Unmeasured);
        let mut best: Option<(i64, bool, Key)> = None;
        let mut candidates = 0;
        for (is_loaded, key) in loaded.chain(all) {
            if !is_of_lot(key) {
                are_all_hopeless &= !self.has_room(cycle, (key.slot, key.device));
                continue;
            }
            // The nodes that it has already come last, and are not looked at any closer here.
            if self.is_fixed && self.own.contains_key(&key.slot) {
                is_hopeless = false;
                continue;
            }
            match self.fits_now(cycle, (key.slot, key.device)) {
                Err(Misfit::Room) => {}
                Err(Misfit::Other(_)) => is_hopeless = false,
                Ok(()) => {
                    is_hopeless = false;
                    let Some(score) = self.score(cycle, (key.slot, key.device)) else {
                        return Some((0, is_loaded, *key));
                    };
                    let found = (score, is_loaded, *key);
                    if best.is_none_or(|best| is_better(found, best)) {
                        best = Some(found);
                    }
                    candidates += 1;
                    if candidates == CANDIDATES_MAX {
                        break;
                    }
                }
            }
        }
        if is_hopeless && are_all_hopeless {
            cycle.places.class_mut(number).note_all_hopeless(reserved);
        } else if is_hopeless {
            cycle.places.class_mut(number).note_hopeless(lot, model, &spec.target, reserved);
        }
        best
    }

    fn find_beside_own(&self, cycle: &Cycle) -> Option<Spot> {
        let mut best = None;
        for (number, count) in &self.own {
            let slot = cycle.places.slot(*number);
            for (at, device) in slot.devices.iter().enumerate() {
                let runs = self.classes().any(|class| class == device.class);
                if !runs || self.fits_now(cycle, (*number, at)).is_err() {
                    continue;
                }
                let pace = self.pace_at(cycle, (*number, at));
                let score = self.score(cycle, (*number, at)).map_or(0, |score| -score);
                let order = (*count, pace, score, !slot.has_loaded(self.model), device.key(), (*number, at));
                if best.as_ref().is_none_or(|best| order < *best) {
                    best = Some(order);
                }
            }
        }
        best.map(|(.., spot)| spot)
    }

    /// What the session's policy makes of a place.
    pub(super) fn score(&self, cycle: &Cycle, (number, device): Spot) -> Option<i64> {
        let slot = cycle.places.slot(number);
        let node = cycle.state.nodes.get(&slot.node)?;
        let at = slot.devices.get(device)?;
        let device = node.spec.capability.devices.get(device)?;
        self.policy.score(self.session, &Place { node, device, node_room: &slot.room, device_room: &at.room })
    }

    /// Whether there is room for a worker of the session now, whoever counts on it.
    fn has_room(&self, cycle: &Cycle, (number, at): Spot) -> bool {
        let (slot, need) = (cycle.places.slot(number), &self.session.reserved);
        need.fits_node(&slot.room) && need.fits_device(&slot.devices[at].room)
    }

    /// Whether a worker of the session may start at a place now.
    fn fits_now(&self, cycle: &Cycle, (number, at): Spot) -> Result<(), Misfit> {
        if !self.has_room(cycle, (number, at)) {
            return Err(Misfit::Room);
        }
        let slot = cycle.places.slot(number);
        let device = &slot.devices[at];
        let need = &self.session.reserved;
        // What is free now may be claimed by somebody who waits for the rest of his room.
        if !(need.fits_node(&slot.later) && need.fits_device(&device.later)) {
            return Err(Misfit::Other(no_room(need, &slot.later, &device.later)));
        }
        self.may_stand(cycle, (number, at))
            .and_then(|()| self.may_join(cycle, (number, at), |part| part != Part::Warm))
            .map_err(Misfit::Other)
    }

    /// Why a worker of the session may not start at a place now, with the room it has as the reason where that is it.
    pub(super) fn misfit(&self, cycle: &Cycle, (number, at): Spot) -> Option<Unfit> {
        let slot = cycle.places.slot(number);
        let device = &slot.devices[at];
        if let Err(unfit) = self.may_stand(cycle, (number, at)) {
            return Some(unfit);
        }
        match self.fits_now(cycle, (number, at)) {
            Ok(()) => None,
            Err(Misfit::Other(unfit)) => Some(unfit),
            Err(Misfit::Room) => Some(no_room(&self.session.reserved, &slot.room, &device.room)),
        }
    }

    /// Whether the place as such may hold a worker of the session, whatever stands there.
    pub(super) fn may_stand(&self, cycle: &Cycle, (number, at): Spot) -> Result<(), Unfit> {
        let slot = cycle.places.slot(number);
        if let Some(to) = cycle.promises.get(&number).filter(|to| **to != self.id) {
            return Err(Unfit::PromisedTo(*to));
        }
        let node = cycle.state.nodes.get(&slot.node).ok_or(Unfit::NoNode(slot.node))?;
        let device = node.spec.capability.devices.get(at);
        let device = device.ok_or_else(|| Unfit::NoDevice(slot.devices[at].name.clone()))?;
        feasible::node_may_serve(self.session, node, cycle.now)?;
        feasible::device_may_serve(self.session, node, device)?;
        let place = Place { node, device, node_room: &slot.room, device_room: &slot.devices[at].room };
        self.policy.filter(self.session, &place).map_err(|why| Unfit::Policy(why.into()))
    }

    /// Whether a worker of the session may stand at a place beside those occupants that count.
    pub(super) fn may_join(&self, cycle: &Cycle, spot: Spot, counts: impl Fn(Part) -> bool) -> Result<(), Unfit> {
        let counts = |session: SessionId, part: Part| match part {
            Part::Kept => self.is_closed_by(cycle, session),
            part => counts(part),
        };
        let others = beside(cycle.places, spot.0).filter(|(session, _, part)| counts(*session, *part));
        self.company(cycle, spot.1, others.map(|(session, device, _)| (session, device)))
    }

    /// Whether a place that a session keeps without a worker there is closed to this one.
    pub(super) fn is_closed_by(&self, cycle: &Cycle, keeper: SessionId) -> bool {
        let Some(kept_by) = cycle.state.sessions.get(&keeper) else { return false };
        let is_lent = cycle.is_lent(keeper, kept_by);
        feasible::is_closed((self.id, self.session), self.is_fixed, (keeper, kept_by), is_lent)
    }

    /// Whether a worker of the session may stand on a device beside workers of these sessions on these devices.
    pub(super) fn company(
        &self,
        cycle: &Cycle,
        at: usize,
        others: impl Iterator<Item = (SessionId, usize)>,
    ) -> Result<(), Unfit> {
        let others = others
            .filter_map(|(session, device)| Some((session, &cycle.state.sessions.get(&session)?.hold, device == at)));
        feasible::company(self.id, &self.session.hold, others)
    }
}

fn beside(places: &Places, number: usize) -> impl Iterator<Item = (SessionId, usize, Part)> {
    let slot: &Slot = places.slot(number);
    slot.occupants.iter().map(|occupant| (occupant.session, occupant.device, occupant.part))
}

fn no_room(need: &Resources, node: &Resources, device: &Resources) -> Unfit {
    feasible::has_room(need, &node.at(device)).err().unwrap_or(Unfit::BoundElsewhere)
}

/// The lots of the classes that a target runs on, the fastest first. What was never measured is taken to be as fast as the
/// best that was, of its kind where there is one: taken for slow, a new kind of device would never be tried while old ones
/// have room. The first worker there is measured, and then it is what it is.
fn paces(classes: &[Class], session: &Session) -> Vec<(u32, usize, Lot)> {
    let (model, target) = (&session.model, session.spec.target.as_str());
    let able = || classes.iter().enumerate().filter(|(_, class)| class.kind.suits(session));
    let mut best: BTreeMap<DeviceKind, u32> = BTreeMap::new();
    for (_, class) in able() {
        if let Some(speeds) = class.speeds(model, target) {
            let (kind, pace) = (class.kind.device(), pace(speeds.run_micros()));
            best.entry(kind).and_modify(|best| *best = pace.min(*best)).or_insert(pace);
        }
    }
    let best_of = |kind: DeviceKind| best.get(&kind).or_else(|| best.values().min()).copied().unwrap_or(u32::MAX);
    let lots = able().flat_map(|(number, class)| {
        let lots = class.lots(model, target);
        lots.map(move |(pace, lot)| (pace.unwrap_or_else(|| best_of(class.kind.device())), number, lot))
    });
    let mut paces: Vec<(u32, usize, Lot)> = lots.collect();
    paces.sort_unstable();
    paces
}

/// A higher score, then a loaded model, then the order of the class.
fn is_better(one: (i64, bool, Key), other: (i64, bool, Key)) -> bool {
    (-one.0, !one.1, one.2) < (-other.0, !other.1, other.2)
}

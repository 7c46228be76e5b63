//! One session's search for a place.
//!
//! The best place is found class by class, the fastest first, and within a class in its order; so that where there is room,
//! the first few places that are looked at will do.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::SessionId;
use crate::plan::class::{Key, pace};
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
    /// The classes its target runs on, by pace, the fastest first.
    paces: Vec<(u32, usize)>,
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
        let target = session.spec.target.as_str();
        let classes = cycle.places.classes().iter().enumerate().filter(|(_, class)| class.kind.suits(session));
        let paces = classes.map(|(number, class)| (pace(class.run_micros(&session.model, target)), number));
        let mut paces: Vec<(u32, usize)> = paces.collect();
        paces.sort_unstable();
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
        self.paces.iter().map(|(_, class)| *class)
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
        // 1. The fastest class that has a place, on a node where no other worker of the session is.
        let mut rest = self.paces.as_slice();
        while let Some((pace, _)) = rest.first() {
            let same = rest.partition_point(|(other, _)| other == pace);
            if let Some(spot) = self.find_among(cycle, &rest[..same]) {
                return Some(spot);
            }
            rest = &rest[same..];
        }
        // 2. Where they are on all nodes, the one with the fewest.
        if self.is_fixed { self.find_beside_own(cycle) } else { None }
    }

    /// The best place among classes of the same pace.
    fn find_among(&self, cycle: &mut Cycle, classes: &[(u32, usize)]) -> Option<Spot> {
        let mut best: Option<(i64, bool, Key)> = None;
        for (_, class) in classes {
            if let Some(found) = self.find_in(cycle, *class)
                && best.is_none_or(|best| is_better(found, best))
            {
                best = Some(found);
            }
        }
        best.map(|(_, _, key)| (key.slot, key.device))
    }

    /// The best place of a class: by the policy's score, then with the model loaded, then in the order of the class.
    fn find_in(&self, cycle: &mut Cycle, number: usize) -> Option<(i64, bool, Key)> {
        let class = &cycle.places.classes()[number];
        if class.is_hopeless(&self.session.reserved) {
            return None;
        }
        let loaded = class.loaded.get(&self.model).into_iter().flatten().map(|key| (true, key));
        let all = class.places.iter().map(|key| (false, key));
        let mut is_hopeless = true;
        let mut best: Option<(i64, bool, Key)> = None;
        let mut candidates = 0;
        for (is_loaded, key) in loaded.chain(all) {
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
        if is_hopeless {
            cycle.places.class_mut(number).note_hopeless(&self.session.reserved);
        }
        best
    }

    fn find_beside_own(&self, cycle: &Cycle) -> Option<Spot> {
        let classes: BTreeMap<usize, u32> = self.paces.iter().map(|(pace, class)| (*class, *pace)).collect();
        let mut best = None;
        for (number, count) in &self.own {
            let slot = cycle.places.slot(*number);
            for (at, device) in slot.devices.iter().enumerate() {
                let Some(pace) = classes.get(&device.class).filter(|_| self.fits_now(cycle, (*number, at)).is_ok())
                else {
                    continue;
                };
                let score = self.score(cycle, (*number, at)).map_or(0, |score| -score);
                let order = (*count, *pace, score, !slot.has_loaded(self.model), device.key(), (*number, at));
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

    /// Whether a worker of the session may start at a place now.
    fn fits_now(&self, cycle: &Cycle, (number, at): Spot) -> Result<(), Misfit> {
        let slot = cycle.places.slot(number);
        let device = &slot.devices[at];
        let need = &self.session.reserved;
        if !(need.fits_node(&slot.room) && need.fits_device(&device.room)) {
            return Err(Misfit::Room);
        }
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
        let others = beside(cycle.places, spot.0).filter(|(_, _, part)| counts(*part));
        self.company(cycle, spot.1, others.map(|(session, device, _)| (session, device)))
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

/// A higher score, then a loaded model, then the order of the class.
fn is_better(one: (i64, bool, Key), other: (i64, bool, Key)) -> bool {
    (-one.0, !one.1, one.2) < (-other.0, !other.1, other.2)
}

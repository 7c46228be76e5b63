//! One planning cycle: the changes made so far, and the mesh as it would be with them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::ids::{SessionId, WorkerId};
use crate::plan::feasible;
use crate::plan::places::{Part, Places, Slot};
use crate::plan::request::Request;
use crate::plan::{Change, Placement};
use crate::policy;
use crate::resources::Resources;
use crate::session::Session;
use crate::state::State;
use crate::time::Millis;
use crate::worker::Why;

/// Places that others leave which one request looks at: few leave at any time.
const LEFT_PLACES_MAX: usize = 256;

/// A device of a node, by their numbers among the places.
pub(super) type Spot = (usize, usize);

/// A worker that served when the cycle began: which, where, and what would be lost with it.
pub(super) type Served = (WorkerId, usize, Millis);

/// One cycle.
#[derive(Debug)]
pub(super) struct Cycle<'cycle> {
    pub(super) state: &'cycle State,
    pub(super) now: Millis,
    pub(super) places: &'cycle mut Places,
    changes: Vec<Change>,
    changes_max: usize,
    /// Something no longer fitted in this plan.
    is_cut: bool,
    /// By how many the workers of a session differ from what the state has.
    gained: BTreeMap<SessionId, i64>,
    /// Nodes on which nothing new is placed but for one session.
    pub(super) promises: BTreeMap<usize, SessionId>,
    /// Where workers leave for a session.
    leaving_for: BTreeMap<SessionId, Vec<Spot>>,
    /// Whose workers leave for another session.
    leavers: BTreeMap<SessionId, Vec<WorkerId>>,
    /// Where workers leave for nobody.
    leaving: Vec<Spot>,
    /// Room that is being left for a session, kept until it has its turn.
    kept: BTreeMap<SessionId, Vec<Spot>>,
    /// How many workers a session will have where others leave.
    claimed: BTreeMap<SessionId, u32>,
    /// Workers of those that were asked for some: many ask the same few.
    served: BTreeMap<SessionId, Rc<[Served]>>,
}

impl<'cycle> Cycle<'cycle> {
    pub(super) fn new(state: &'cycle State, now: Millis, places: &'cycle mut Places, changes_max: usize) -> Self {
        let mut leaving_for: BTreeMap<SessionId, Vec<Spot>> = BTreeMap::new();
        let mut leavers: BTreeMap<SessionId, Vec<WorkerId>> = BTreeMap::new();
        let mut for_nobody = Vec::new();
        for (_, id) in state.index().leaving() {
            let Some(worker) = state.workers.get(&id) else { continue };
            let spot = places.number_of(worker.node).and_then(|slot| {
                let device = places.slot(slot).devices.iter().position(|device| device.name == worker.device)?;
                Some((slot, device))
            });
            match (spot, Part::of(&worker.duty)) {
                (Some(spot), Part::Leaving(Some(by))) => {
                    leaving_for.entry(by).or_default().push(spot);
                    leavers.entry(worker.session).or_default().push(id);
                }
                (Some(spot), _) => for_nobody.push(spot),
                (None, _) => {}
            }
        }
        Self {
            state,
            now,
            places,
            changes: Vec::new(),
            changes_max,
            is_cut: false,
            gained: BTreeMap::new(),
            promises: BTreeMap::new(),
            leaving_for,
            leavers,
            leaving: for_nobody,
            kept: BTreeMap::new(),
            claimed: BTreeMap::new(),
            served: BTreeMap::new(),
        }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.places.forget_claims();
        self.changes
    }

    /// Whether so many changes still fit in the plan. What belongs together is never parted; once something did not fit,
    /// nothing after it is looked at, as it might take what that is waiting for.
    pub(super) fn has_space(&mut self, count: usize) -> bool {
        self.is_cut |= !self.changes.is_empty() && self.changes.len() + count > self.changes_max;
        !self.is_cut
    }

    /// Whether something did not fit in this plan.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How many workers of a session would serve, those included whose room is still to be freed.
    pub(super) fn serving(&self, id: SessionId) -> u32 {
        let gained = self.gained.get(&id).copied().unwrap_or(0);
        u32::try_from(i64::from(self.state.index().serving(id)) + gained).unwrap_or(0)
    }

    /// How many more than its fixed ones.
    pub(super) fn spare(&self, id: SessionId, session: &Session) -> u32 {
        self.serving(id).saturating_sub(session.spec.fixed)
    }

    /// How many of those it will have where others leave.
    pub(super) fn claimed(&self, id: SessionId) -> u32 {
        self.claimed.get(&id).copied().unwrap_or(0)
    }

    /// Whether what it keeps to itself without a worker there was lent to it: it has its fixed workers. `apply` will count those
    /// alone that are there by then.
    pub(super) fn is_lent(&self, id: SessionId, session: &Session) -> bool {
        self.serving(id).saturating_sub(self.claimed(id)) >= session.spec.fixed
    }

    fn gain(&mut self, id: SessionId, count: i64) {
        *self.gained.entry(id).or_default() += count;
    }

    pub(super) fn slot_of(&self, worker: WorkerId) -> Option<usize> {
        self.state.workers.get(&worker).and_then(|worker| self.places.number_of(worker.node))
    }

    /// The workers of a session that served when the cycle began.
    pub(super) fn served(&mut self, id: SessionId) -> Rc<[Served]> {
        let Self { state, places, served, .. } = self;
        let look = || {
            let serving = state.workers_of(id).filter(|(_, worker)| worker.serves());
            serving.filter_map(|(id, worker)| Some((id, places.number_of(worker.node)?, worker.at_stake))).collect()
        };
        served.entry(id).or_insert_with(look).clone()
    }

    /// A worker goes now; one that had to leave for a session is not on its way any more.
    pub(super) fn stop(&mut self, slot: usize, worker: WorkerId) {
        self.places.change(slot, |slot| slot.take(worker));
        if let Some(by) = self.state.workers.get(&worker).and_then(|worker| worker.duty.leaves_for()) {
            self.leaves_no_more(slot, by);
        }
        self.changes.push(Change::Stop(worker));
    }

    /// A worker is given back.
    pub(super) fn give_back(&mut self, slot: usize, worker: WorkerId, session: SessionId) {
        self.places.change(slot, |slot| slot.set_part(worker, Part::Warm));
        self.gain(session, -1);
        self.changes.push(Change::Return(worker));
    }

    /// A worker that was given back serves again.
    pub(super) fn revive(&mut self, slot: usize, worker: WorkerId, session: SessionId) {
        self.places.change(slot, |slot| slot.set_part(worker, Part::Serving));
        self.gain(session, 1);
        self.changes.push(Change::Revive(worker));
    }

    /// A worker that has to leave for a session stays.
    pub(super) fn recall(&mut self, slot: usize, worker: WorkerId, session: SessionId, by: SessionId) {
        self.places.change(slot, |slot| slot.set_part(worker, Part::Serving));
        self.gain(session, 1);
        self.leaves_no_more(slot, by);
        self.changes.push(Change::Recall(worker));
    }

    /// One worker less leaves a node for a session.
    fn leaves_no_more(&mut self, slot: usize, by: SessionId) {
        if let Some(spots) = self.leaving_for.get_mut(&by)
            && let Some(at) = spots.iter().position(|(left, _)| *left == slot)
        {
            spots.swap_remove(at);
        }
    }

    /// Workers of a session that had to leave for another when the cycle began.
    pub(super) fn leavers(&self, id: SessionId) -> &[WorkerId] {
        self.leavers.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Whether one of those that leave for a session, on this node, may stay, by the rule that `apply` asks of the mesh it meets;
    /// and, which is the planner's alone, whether the session has a place then for each worker that it lacks, where others leave
    /// for it still: of any other place nobody knows in the next cycle. It is asked of the mesh as the changes before this one
    /// leave it, in the order of which they are made: who is called back as a worker starts elsewhere comes after that start, and
    /// goes on leaving where that is refused.
    pub(super) fn leaves_for_nothing(&self, slot: usize, why: Why) -> bool {
        let (Why::Preempted { by } | Why::Reclaimed { by }) = why else { return false };
        let Some(session) = self.state.sessions.get(&by) else { return true };
        let lacks = feasible::lacked_by(session, why, self.serving(by).saturating_sub(self.claimed(by)));
        let left = self.leaving_for.get(&by).map_or(&[][..], Vec::as_slice);
        feasible::is_one_too_many(lacks, left.len()) && (lacks == 0 || self.places_left(by, left, slot) >= lacks)
    }

    /// How many places a session counts on where others leave for it, on any node but one, or on that, too, where others do.
    fn places_left(&self, id: SessionId, left: &[Spot], but: usize) -> usize {
        let slots: BTreeSet<usize> = left.iter().map(|(slot, _)| *slot).collect();
        let is_left = |slot: &usize| *slot != but || left.iter().filter(|(left, _)| *left == but).count() > 1;
        let claims = |slot: usize| {
            let occupants = self.places.slot(slot).occupants.iter();
            occupants.filter(|one| one.part == Part::Claim && one.session == id).count()
        };
        slots.into_iter().filter(is_left).map(claims).sum()
    }

    /// A worker is given more or less, in the place of what is only kept warm where need be.
    pub(super) fn resize(&mut self, slot: usize, worker: WorkerId, need: &Resources) {
        self.places.change(slot, |slot| slot.resize(worker, need));
        self.make_room(slot);
        self.changes.push(Change::Resize { worker, need: need.clone() });
    }

    /// A worker has to leave for a session.
    pub(super) fn evict(&mut self, spot: Spot, worker: WorkerId, why: Why, by: SessionId) {
        let Some(known) = self.state.workers.get(&worker) else { return };
        self.places.change(spot.0, |slot| slot.set_part(worker, Part::Leaving(Some(by))));
        self.gain(known.session, -1);
        self.leaving_for.entry(by).or_default().push(spot);
        self.changes.push(Change::Leave { worker, why });
    }

    /// Nodes that others leave: first those where they leave for this session, then those where they leave for nobody, then some
    /// of the rest, of which whoever they leave for may not need all.
    pub(super) fn left_nodes(&self, id: SessionId) -> impl Iterator<Item = usize> {
        let own = self.leaving_for.get(&id).into_iter().flatten();
        let rest = self.leaving_for.iter().filter(move |(by, _)| **by != id).flat_map(|(_, spots)| spots);
        let all = own.chain(&self.leaving).chain(rest).take(LEFT_PLACES_MAX).map(|(slot, _)| *slot);
        // Several leave one node: it is looked at once for each row of them.
        all.scan(None, |last, slot| Some((last.replace(slot) != Some(slot)).then_some(slot))).flatten()
    }

    /// Nodes that others leave for a session.
    pub(super) fn left_for(&self, id: SessionId) -> BTreeSet<usize> {
        self.leaving_for.get(&id).into_iter().flatten().take(LEFT_PLACES_MAX).map(|(slot, _)| *slot).collect()
    }

    /// Whether somebody leaves this very device for a session, or the node for one that keeps nodes to itself.
    pub(super) fn is_left_for(&self, request: &Request, spot: Spot) -> bool {
        let keeps_node = request.session.hold.keeps_node();
        let mut left = self.leaving_for.get(&request.id).into_iter().flatten();
        left.any(|left| *left == spot || (keeps_node && left.0 == spot.0))
    }

    /// Whether a session that keeps devices to itself, or nodes, has a worker at a place already, or will.
    pub(super) fn is_closed_for(&self, request: &Request, (number, at): Spot) -> bool {
        let keeps_node = request.session.hold.keeps_node();
        let own = self.places.slot(number).occupants.iter().filter(|one| one.session == request.id);
        own.filter(|one| one.part.is_taken_later()).any(|one| keeps_node || one.device == at)
    }

    /// For how many workers of a session that need so much those that leave a node for it make room at most: one for each, and
    /// no more than they take there; what does not come out even may be what one of them waits for beside what others left
    /// before.
    pub(super) fn made_room_for(&self, id: SessionId, need: &Resources, number: usize) -> u32 {
        let occupants = self.places.slot(number).occupants.iter();
        let leave = occupants.filter(|occupant| occupant.part == Part::Leaving(Some(id)));
        let (count, sum) = leave.fold((0, Resources::default()), |(count, sum), one| (count + 1, sum.plus(&one.need)));
        u32::try_from(sum.makes_room_for(need)).unwrap_or(u32::MAX).min(count)
    }

    /// Whether there is anything of its own that a session may get: places that others leave for it, workers that it gave
    /// back, or such as leave for others.
    pub(super) fn may_get_back(&self, id: SessionId) -> bool {
        let has_warm = || self.state.index().session(id).is_some_and(|held| held.warm().next().is_some());
        self.leaving_for.contains_key(&id) || self.leavers.contains_key(&id) || has_warm()
    }

    /// Those for whom others leave, in the order of the mesh's policy.
    pub(super) fn expected(&self) -> Vec<(SessionId, &'cycle Session)> {
        let sessions = self.leaving_for.keys().filter_map(|id| Some((*id, self.state.sessions.get(id)?)));
        policy::order(self.state.policy.policy(), sessions)
    }

    /// Room that is being left for a session is nobody else's before it has had its turn.
    pub(super) fn keep(&mut self, spot: Spot, request: &Request) {
        let need = &request.session.reserved;
        self.places.claim(spot.0, request.id, spot.1, need, request.model);
        self.kept.entry(request.id).or_default().push(spot);
    }

    /// It has its turn: how many places were kept for it.
    pub(super) fn release(&mut self, id: SessionId) -> usize {
        let kept = self.kept.remove(&id).unwrap_or_default();
        for (number, device) in &kept {
            self.places.unclaim(*number, id, *device);
        }
        kept.len()
    }

    /// How many workers it could give away: those that serve now beyond its fixed ones.
    pub(super) fn lent(&self, id: SessionId, session: &Session) -> u32 {
        self.spare(id, session).saturating_sub(self.claimed(id))
    }

    /// A session takes a place as soon as those that leave it are gone.
    pub(super) fn claim(&mut self, spot: Spot, request: &mut Request) {
        *self.claimed.entry(request.id).or_default() += 1;
        self.places.claim(spot.0, request.id, spot.1, &request.session.reserved, request.model);
        self.gain(request.id, 1);
        request.took(spot.0);
    }

    /// A worker starts.
    pub(super) fn start(&mut self, spot: Spot, request: &mut Request) {
        let (number, device) = spot;
        let need = &request.session.reserved;
        self.places.change(number, |slot| slot.occupy(request.id, device, need, Part::Serving, request.model));
        self.gain(request.id, 1);
        request.took(number);
        self.dismiss_company(spot, request);
        self.make_room(number);
        let slot = self.places.slot(number);
        let (node, device) = (slot.node, slot.devices[device].name.clone());
        self.changes.push(Change::Start(Placement { session: request.id, node, device }));
    }

    /// Workers that are only kept warm do not stand beside a session that keeps the place to itself, nor beside one that
    /// theirs would keep away.
    fn dismiss_company(&mut self, (number, device): Spot, request: &Request) {
        let strangers = warm(self.places.slot(number)).filter(|(_, session, _)| *session != request.id);
        let in_the_way = strangers.filter(|(_, session, on)| {
            let theirs = self.state.sessions.get(session).map(|session| &session.hold);
            let same = *on == device;
            [Some(&request.session.hold), theirs]
                .into_iter()
                .flatten()
                .any(|hold| hold.keeps_node() || (same && hold.keeps_device()))
        });
        let own = warm(self.places.slot(number)).filter(|(_, session, on)| {
            *session == request.id && *on == device && request.session.hold == crate::session::Hold::EachDevice
        });
        let gone: Vec<WorkerId> = in_the_way.chain(own).map(|(worker, _, _)| worker).collect();
        for worker in gone {
            self.stop(number, worker);
        }
    }

    /// Those that are only kept warm go, the oldest first, until all that serves has room.
    fn make_room(&mut self, number: usize) {
        loop {
            let slot = self.places.slot(number);
            let kept = slot.occupants.iter().filter(|occupant| occupant.part == Part::Warm);
            let sum = kept.clone().fold(Resources::default(), |sum, occupant| sum.plus(&occupant.need));
            let is_over = |device: usize| {
                let on = kept.clone().filter(|occupant| occupant.device == device);
                !on.fold(Resources::default(), |sum, one| sum.plus(&one.need)).fits_device(&slot.devices[device].room)
            };
            let is_node_over = !sum.fits_node(&slot.room);
            let oldest = warm(slot).filter(|(_, _, device)| is_node_over || is_over(*device)).min();
            let Some((worker, _, _)) = oldest else { return };
            self.stop(number, worker);
        }
    }

    /// Nothing new is placed on a node but for this session.
    pub(super) fn promise(&mut self, number: usize, to: SessionId) {
        self.promises.insert(number, to);
    }
}

/// Workers of a node that are only kept warm, whose they are, and on which device.
fn warm(slot: &Slot) -> impl Iterator<Item = (WorkerId, SessionId, usize)> {
    let kept = slot.occupants.iter().filter(|occupant| occupant.part == Part::Warm);
    kept.filter_map(|occupant| Some((occupant.worker?, occupant.session, occupant.device)))
}

//! The fixed workers that lack, session by session in the order of the mesh's policy.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::ids::SessionId;
use crate::plan::cycle::{Cycle, Spot};
use crate::plan::evict::{self, Donor};
use crate::plan::loaded;
use crate::plan::needs::{self, Needs};
use crate::plan::places::Part;
use crate::plan::request::Request;
use crate::policy;
use crate::session::{Hold, Session};
use crate::worker::Why;

/// The most sessions at once that a place is kept free for: each costs the mesh the use of one node.
const PROMISES_MAX: usize = 8;
/// And no more than one node of so many, but one: whoever waits may slow a small mesh, and not close it.
const NODES_PER_PROMISE: usize = 8;

/// The turns of fixed workers come after those of all that is lent, whatever its priority.
const AFTER_LENT: usize = 1 << u8::BITS;

/// How often those that lack a fixed worker have a turn in one cycle: each costs as much as the first, and what is found beyond
/// that follows in the next cycle.
const TURNS_MAX: usize = 4;

/// Gives each session its fixed workers; it breaks off at the turn of one that is named.
pub(super) fn fill(cycle: &mut Cycle, up_to: Option<SessionId>) -> ControlFlow<()> {
    keep_left(cycle);
    for more in (0..TURNS_MAX).rev() {
        if let Some(end) = take_turns(cycle, up_to, more > 0) {
            return end;
        }
    }
    ControlFlow::Continue(())
}

/// Each session has its turn; none where some should have another, if they may, as one after them had no use for what was kept
/// for it, or has its fixed workers now and keeps places to itself for more, which are open to those.
fn take_turns(cycle: &mut Cycle, up_to: Option<SessionId>, may_repeat: bool) -> Option<ControlFlow<()>> {
    let mut lent = lent(cycle);
    let mut out_of_reach = Needs::default();
    let mut is_refused = false;
    for (id, session) in lacking(cycle) {
        if up_to == Some(id) {
            cycle.release(id);
            return Some(ControlFlow::Break(()));
        }
        if out_of_reach.cover(session) && !cycle.may_get_back(id) && !may_be_promised(cycle, id, session) {
            is_refused = true;
            continue;
        }
        let (kept, claimed) = (cycle.release(id), cycle.claimed(id));
        let was_refused = is_refused;
        let mut request = Request::new(cycle, id, session, true);
        while cycle.serving(id) < session.spec.fixed {
            if cycle.is_cut() {
                return Some(ControlFlow::Continue(()));
            }
            if take_one(cycle, &mut request) {
                continue;
            }
            if evict_for(cycle, &mut request, &lent) {
                lent = self::lent(cycle);
                continue;
            }
            promise(cycle, &request);
            if needs::is_like_others(session, cycle.now) {
                out_of_reach.insert(session);
            }
            is_refused = true;
            break;
        }
        let leaves_some = ((cycle.claimed(id) - claimed) as usize) < kept;
        let opens_some = !session.kept.is_empty() && cycle.is_lent(id, session);
        if may_repeat && was_refused && (leaves_some || opens_some) {
            return None;
        }
    }
    Some(ControlFlow::Continue(()))
}

/// Room that others leave for a session is kept for it until it has its turn, as much as it lacks.
fn keep_left(cycle: &mut Cycle) {
    for (id, session) in cycle.expected() {
        let count = session.spec.fixed.saturating_sub(cycle.serving(id));
        if count > 0 {
            let request = Request::new(cycle, id, session, true);
            keep(cycle, &request, count);
        }
    }
}

/// Keeps room for so many workers of a session where others leave for it. On each node as many places as what leaves it makes
/// room for: what else is free there is for those whose turn comes first. One that keeps devices to itself would close a device
/// that nobody leaves for it to those, unless it is there already.
pub(super) fn keep(cycle: &mut Cycle, request: &Request, count: u32) {
    let mut wanted = count;
    let keeps_device = request.session.hold.keeps_device();
    for number in cycle.left_for(request.id) {
        for _ in 0..cycle.made_room_for(request.id, &request.session.reserved, number).min(wanted) {
            let is_its_own = |spot: Spot| cycle.is_left_for(request, spot) || cycle.is_closed_for(request, spot);
            let left = first_left(cycle, request, number, |spot| !keeps_device || is_its_own(spot));
            let Some(spot) = left else { break };
            cycle.keep(spot, request);
            wanted -= 1;
        }
    }
}

/// The first device of a node that is being left, of those that are meant, where the session fits once all that leave are gone.
fn first_left(cycle: &Cycle, request: &Request, number: usize, is_meant: impl Fn(Spot) -> bool) -> Option<Spot> {
    let slot = cycle.places.slot(number);
    if !request.session.reserved.fits_node(&slot.later) {
        return None;
    }
    let spots = (0..slot.devices.len()).map(|at| (number, at));
    spots.filter(|spot| is_meant(*spot)).find(|spot| will_fit(cycle, request, *spot))
}

/// What is lent to anybody: the workers beyond the fixed ones.
fn lent(cycle: &Cycle) -> Vec<Donor> {
    let sessions = cycle.state.sessions.iter();
    let donor = |(id, session): (&SessionId, &Session)| {
        let most = cycle.lent(*id, session);
        let (session, priority) = (*id, session.spec.priority);
        (most > 0).then_some(Donor { session, priority, is_fixed: false, most, turn: usize::from(priority) })
    };
    sessions.filter_map(donor).collect()
}

/// Sessions with fewer than their fixed workers, in the order in which they are served.
pub(super) fn lacking<'state>(cycle: &Cycle<'state>) -> Vec<(SessionId, &'state Session)> {
    let sessions = cycle.state.sessions.iter().map(|(id, session)| (*id, session));
    let lacking = sessions.filter(|(id, session)| cycle.serving(*id) < session.spec.fixed);
    policy::order(cycle.state.policy.policy(), lacking)
}

/// One more worker, without anybody leaving: one that is loaded already, a new one in free room, or one that will be where
/// others leave for it. Whether there was one.
pub(super) fn take_one(cycle: &mut Cycle, request: &mut Request) -> bool {
    let loaded = loaded::find(cycle, request);
    // A worker that is loaded already is better than a new one, but not for fixed workers where that would put two on one
    // node that could be on two.
    let is_beside_own = |slot: usize| request.is_fixed && request.own_on(slot) > 0;
    let free = if loaded.is_some_and(|loaded| !is_beside_own(loaded.slot)) { None } else { request.find(cycle) };
    let is_better = |(free, _): &Spot| loaded.is_none_or(|known| request.own_on(*free) < request.own_on(known.slot));
    if let Some(spot) = free.filter(is_better) {
        let in_the_way = cycle.places.slot(spot.0).occupants.iter().filter(|occupant| occupant.part == Part::Warm);
        if cycle.has_space(1 + in_the_way.count()) {
            cycle.start(spot, request);
        }
        return !cycle.is_cut();
    }
    if let Some(loaded) = loaded {
        loaded::take(cycle, request, loaded);
        return !cycle.is_cut();
    }
    let Some(spot) = best_left(cycle, request) else { return false };
    cycle.claim(spot, request);
    true
}

/// A place on a node that is being left: of those that others leave for the session, the one with the fewest of its fixed workers,
/// so that nobody leaves any of them for nothing; else the first of the rest.
fn best_left(cycle: &Cycle, request: &Request) -> Option<Spot> {
    let on = |number: usize| first_left(cycle, request, number, |_| true);
    let beside = |spot: &Spot| if request.is_fixed { request.own_on(spot.0) } else { 0 };
    let own = cycle.left_for(request.id);
    let own = cycle.left_nodes(request.id).filter(|number| own.contains(number)).filter_map(on).min_by_key(beside);
    own.or_else(|| cycle.left_nodes(request.id).find_map(on))
}

/// Whether the session fits once all that leave are gone.
fn will_fit(cycle: &Cycle, request: &Request, spot: Spot) -> bool {
    let slot = cycle.places.slot(spot.0);
    let (need, device) = (&request.session.reserved, &slot.devices[spot.1]);
    device.is_usable
        && request.classes().any(|class| class == device.class)
        && need.fits_node(&slot.later)
        && need.fits_device(&device.later)
        && request.may_stand(cycle, spot).is_ok()
        && request.may_join(cycle, spot, Part::is_taken_later).is_ok()
}

/// Others leave for one more worker: what was lent to anybody, and what the session's policy lets it take. Whether they do.
fn evict_for(cycle: &mut Cycle, request: &mut Request, lent: &[Donor]) -> bool {
    let mut donors: Vec<Donor> = lent.iter().filter(|donor| donor.session != request.id).copied().collect();
    for (id, holder) in &cycle.state.sessions {
        if request.policy.may_evict(request.session, holder) {
            let most = cycle.serving(*id).min(holder.spec.fixed);
            let (priority, is_fixed) = (holder.spec.priority, true);
            donors.push(Donor { session: *id, priority, is_fixed, most, turn: AFTER_LENT + usize::from(priority) });
        }
    }
    // Cheapest first: whatever is lent was given on recall, and taking it breaks no promise; then fixed workers.
    donors.sort_unstable_by_key(|donor| (donor.turn, core::cmp::Reverse(donor.session)));
    let why = |is_fixed: bool, by: SessionId| if is_fixed { Why::Preempted { by } } else { Why::Reclaimed { by } };
    !donors.is_empty() && evict::evict(cycle, request, &donors, why)
}

/// Whether a node may be kept free for a session.
fn may_be_promised(cycle: &Cycle, id: SessionId, session: &Session) -> bool {
    let starves = session.starves_from(cycle.now).is_some_and(|from| from <= cycle.now);
    let most = (cycle.places.slots().len() / NODES_PER_PROMISE).clamp(1, PROMISES_MAX);
    starves && cycle.promises.len() < most && !cycle.promises.values().any(|to| *to == id)
}

/// Keeps a node free for a session that has lacked a worker for long: without that, a large one could wait for ever while
/// small ones take whatever becomes free.
fn promise(cycle: &mut Cycle, request: &Request) {
    if !may_be_promised(cycle, request.id, request.session) {
        return;
    }
    let slot = if let Hold::Named { node, .. } = &request.session.hold {
        let slot = cycle.places.number_of(*node);
        slot.filter(|slot| (0..cycle.places.slot(*slot).devices.len()).any(|at| would_fit(cycle, request, (*slot, at))))
    } else {
        let places = |class: usize| cycle.places.classes()[class].places.iter();
        let first = |class| places(class).find(|key| would_fit(cycle, request, (key.slot, key.device)));
        request.classes().filter_map(first).min().map(|key| key.slot)
    };
    if let Some(slot) = slot {
        cycle.promise(slot, request.id);
    }
}

/// Whether one more worker of the session would stand at a place once all others are gone: a node is closed to others only
/// where that brings the session what it waits for.
fn would_fit(cycle: &Cycle, request: &Request, (number, at): Spot) -> bool {
    let slot = cycle.places.slot(number);
    let device = &slot.devices[at];
    let own = || slot.occupants.iter().filter(|one| one.session == request.id && one.part.is_taken_later());
    let (mut node_room, mut device_room) = (slot.offers.clone(), device.offers.clone());
    for occupant in own() {
        node_room.subtract(&occupant.need);
        if occupant.device == at {
            device_room.subtract(&occupant.need);
        }
    }
    let need = &request.session.reserved;
    // Others may go, and take nothing with them of what their sessions keep.
    let kept = slot.occupants.iter().filter(|one| one.part == Part::Kept && request.is_closed_by(cycle, one.session));
    let stay = own().chain(kept);
    request.could_stand_at(cycle, (number, at))
        && !cycle.promises.contains_key(&number)
        && need.fits_node(&node_room)
        && need.fits_device(&device_room)
        && request.may_stand(cycle, (number, at)).is_ok()
        && request.company(cycle, at, stay.map(|occupant| (occupant.session, occupant.device))).is_ok()
}

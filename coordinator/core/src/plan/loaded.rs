//! Workers of a session that are loaded already and may serve again where they stand: such as it gave back, and such as have
//! to leave for a session that no longer needs the room.

use crate::ids::{SessionId, WorkerId};
use crate::plan::cycle::Cycle;
use crate::plan::places::{Occupant, Part};
use crate::plan::request::Request;
use crate::state::index::SessionUse;
use crate::worker::Duty;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    pub(super) slot: usize,
    worker: WorkerId,
    /// For whom it has to leave; none where it was given back.
    leaves_for: Option<SessionId>,
}

/// The one on the node with the fewest others of its session; before all, one that may still have work in hand.
pub(super) fn find(cycle: &Cycle, request: &Request) -> Option<Loaded> {
    let warm = cycle.state.index().session(request.id).into_iter().flat_map(SessionUse::warm);
    let leavers = cycle.leavers(request.id).iter().copied();
    let able = leavers.chain(warm).filter_map(|worker| may_serve_again(cycle, request, worker));
    able.min_by_key(|loaded| {
        let beside = if request.is_fixed { request.own_on(loaded.slot) } else { 0 };
        (beside, loaded.leaves_for.is_none(), loaded.worker)
    })
}

/// It serves again.
pub(super) fn take(cycle: &mut Cycle, request: &mut Request, loaded: Loaded) {
    if !cycle.has_space(1) {
        return;
    }
    match loaded.leaves_for {
        Some(by) => cycle.recall(loaded.slot, loaded.worker, request.id, by),
        None => cycle.revive(loaded.slot, loaded.worker, request.id),
    }
    request.took(loaded.slot);
}

fn may_serve_again(cycle: &Cycle, request: &Request, worker: WorkerId) -> Option<Loaded> {
    let slot = cycle.slot_of(worker)?;
    let occupants = &cycle.places.slot(slot).occupants;
    let occupant = occupants.iter().find(|occupant| occupant.worker == Some(worker))?;
    let leaves_for = match occupant.part {
        Part::Warm => None,
        Part::Leaving(Some(by)) => Some(by),
        _ => return None,
    };
    let is_free = match cycle.state.workers.get(&worker)?.duty {
        // It has its room still, where nobody counts on that; nor its own session, which will find kept what others leave for it.
        Duty::Leaving { why, .. } => {
            cycle.leaves_for_nothing(slot, why) && has_room_beside(cycle, request, slot, occupant)
        }
        _ => has_room(cycle, slot, occupant, Room::Now) && has_room(cycle, slot, occupant, Room::Later),
    };
    let spot = (slot, occupant.device);
    let counts = |part: Part| part.is_taken_later() || (leaves_for.is_none() && part != Part::Warm);
    let may = is_free && request.may_stand(cycle, spot).is_ok() && request.may_join(cycle, spot, counts).is_ok();
    may.then_some(Loaded { slot, worker, leaves_for })
}

/// Room that is left now, or that will be.
#[derive(Clone, Copy, Debug)]
enum Room {
    Now,
    Later,
}

/// Whether a leaver has room when all others are gone, beside as many more as those who leave for its own session make room for.
fn has_room_beside(cycle: &Cycle, request: &Request, slot: usize, occupant: &Occupant) -> bool {
    let Request { id, session, .. } = request;
    let occupants = cycle.places.slot(slot).occupants.iter();
    let claims = occupants.filter(|one| one.part == Part::Claim && one.session == *id).count();
    let wanted = session.target().saturating_sub(cycle.serving(*id) + 1);
    let places =
        (cycle.made_room_for(*id, &session.reserved, slot) as usize).saturating_sub(claims).min(wanted as usize);
    let mut all = occupant.clone();
    (0..places).for_each(|_| all.need.add(&session.reserved));
    has_room(cycle, slot, &all, Room::Later)
}

fn has_room(cycle: &Cycle, slot: usize, occupant: &Occupant, room: Room) -> bool {
    let slot = cycle.places.slot(slot);
    let device = &slot.devices[occupant.device];
    let (node, device) = match room {
        Room::Now => (&slot.room, &device.room),
        Room::Later => (&slot.later, &device.later),
    };
    occupant.need.fits_node(node) && occupant.need.fits_device(device)
}

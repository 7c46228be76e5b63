//! Who else counts on the room of those that leave.

use alloc::collections::BTreeSet;

use crate::ids::SessionId;
use crate::plan::cycle::{Cycle, Spot};
use crate::plan::places::{Occupant, Part, Slot};
use crate::plan::request::Request;
use crate::resources::Resources;
use crate::session::Session;

/// Room on a node, and on one of its devices.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    pub(super) node: Resources,
    pub(super) device: Resources,
}

impl Room {
    /// What some of those on a node take there, and on one of its devices.
    pub(super) fn of(slot: &Slot, at: usize, is_meant: impl Fn(&Occupant) -> bool) -> Self {
        let mut sum = Self::default();
        for occupant in slot.occupants.iter().filter(|occupant| is_meant(occupant)) {
            sum.node.add(&occupant.need);
            if occupant.device == at {
                sum.device.add(&occupant.need);
            }
        }
        sum
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.node.add(&more.node);
        self.device.add(&more.device);
    }

    pub(super) fn holds(&self, need: &Resources) -> bool {
        need.fits_node(&self.node) && need.fits_device(&self.device)
    }
}

/// Takes out of a room what is not ours to count on: what others leave for somebody else, but for what he has claimed of it
/// already. And where that will do for workers of his with what else is free then, all that they need is kept for them before
/// we have our turn ([`crate::plan::fixed::keep`]): whoever left for us would have left for him. Whether his workers would let
/// ours stand beside them. Of the session of a victim, so many are lost.
pub(super) fn leave_theirs(
    cycle: &Cycle,
    request: &Request,
    (number, at): Spot,
    lost: impl Fn(SessionId) -> usize,
    room: &mut Room,
) -> bool {
    let slot = cycle.places.slot(number);
    let leave_for = slot.occupants.iter().filter_map(|occupant| match occupant.part {
        Part::Leaving(Some(by)) if by != request.id => Some(by),
        _ => None,
    });
    for by in leave_for.collect::<BTreeSet<SessionId>>() {
        let is_claim = |occupant: &Occupant| occupant.part == Part::Claim && occupant.session == by;
        let left = Room::of(slot, at, |occupant| occupant.part == Part::Leaving(Some(by)));
        let claimed = Room::of(slot, at, is_claim);
        let theirs = Room { node: left.node.minus(&claimed.node), device: left.device.minus(&claimed.device) };
        let kept = kept_for(cycle, request, (number, at), by, lost(by), room);
        if kept.as_ref().is_some_and(|_| !stand_together(cycle, request, (number, at), by)) {
            return false;
        }
        let kept = kept.unwrap_or_default();
        room.node.subtract(&theirs.node.max(&kept.node));
        room.device.subtract(&theirs.device.max(&kept.device));
    }
    true
}

/// What will be kept of a room for workers of a session that others leave this node for, beside what it has claimed; none
/// where that will do for none.
fn kept_for(
    cycle: &Cycle,
    request: &Request,
    (number, at): Spot,
    id: SessionId,
    lost: usize,
    room: &Room,
) -> Option<Room> {
    let session = cycle.state.sessions.get(&id)?;
    let (need, slot) = (&session.reserved, cycle.places.slot(number));
    let claims = slot.occupants.iter().filter(|one| one.part == Part::Claim && one.session == id).count();
    // What is spare comes after all that is fixed.
    let most = if request.is_fixed { session.spec.fixed } else { session.target() };
    let wants = (most as usize + lost).saturating_sub(cycle.serving(id) as usize);
    let places = (cycle.made_room_for(id, need, number) as usize).saturating_sub(claims).min(wants);
    // They stand on the device that is left for them, if they can.
    let is_there = is_left_on(slot, at, id) && need.fits_device(&slot.devices[at].offers);
    let on_device = if is_there { need.clone() } else { Resources::default() };
    let mut kept = None;
    for _ in 0..places {
        let mut more: Room = kept.clone().unwrap_or_default();
        more.add(&Room { node: need.clone(), device: on_device.clone() });
        if !(more.node.fits_node(&room.node) && more.device.fits_device(&room.device)) {
            break;
        }
        kept = Some(more);
    }
    kept
}

/// Whether somebody leaves this device for a session.
fn is_left_on(slot: &Slot, at: usize, id: SessionId) -> bool {
    slot.occupants.iter().any(|one| one.part == Part::Leaving(Some(id)) && one.device == at)
}

/// Whether a worker of the session may stand at a place beside those of one that others leave the node for.
fn stand_together(cycle: &Cycle, request: &Request, (number, at): Spot, id: SessionId) -> bool {
    let same = is_left_on(cycle.places.slot(number), at, id);
    let keeps = |session: &Session| session.hold.keeps_node() || (same && session.hold.keeps_device());
    !keeps(request.session) && cycle.state.sessions.get(&id).is_none_or(|other| !keeps(other))
}

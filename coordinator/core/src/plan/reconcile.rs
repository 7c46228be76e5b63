//! What is over, too much, or of the wrong size: the changes that need no search.

use alloc::vec::Vec;

use crate::ids::{SessionId, WorkerId};
use crate::plan::cycle::Cycle;
use crate::plan::places::Part;
use crate::resources::Resources;
use crate::worker::{Duty, Worker};

/// Workers whose time to leave is over go.
pub(super) fn end_leaving(cycle: &mut Cycle) {
    for (worker, _) in cycle.state.overdue(cycle.now) {
        if !cycle.has_space(1) {
            return;
        }
        if let Some(slot) = cycle.slot_of(worker) {
            cycle.stop(slot, worker);
        }
    }
}

/// Sessions give back what their tasks do not keep busy, the newest first.
pub(super) fn give_back(cycle: &mut Cycle) {
    for (id, session) in &cycle.state.sessions {
        let surplus = cycle.serving(*id).saturating_sub(session.target()) as usize;
        if surplus == 0 {
            continue;
        }
        let workers = cycle.state.index().session(*id).into_iter().flat_map(|held| held.workers().rev());
        let serving = workers.filter(|id| cycle.state.workers.get(id).is_some_and(Worker::serves));
        for worker in serving.take(surplus).collect::<Vec<_>>() {
            if !cycle.has_space(1) {
                return;
            }
            if let Some(slot) = cycle.slot_of(worker) {
                cycle.give_back(slot, worker, *id);
            }
        }
    }
}

/// Workers whose session reserves less by now are given less at once.
pub(super) fn shrink(cycle: &mut Cycle) {
    resize(cycle, |more| more.is_nothing());
}

/// Workers whose session reserves more by now are given more where there is room, once all that lack a fixed worker had
/// their turn: what is left for those is not to be grown into.
pub(super) fn grow(cycle: &mut Cycle) {
    resize(cycle, |more| !more.is_nothing());
}

fn resize(cycle: &mut Cycle, is_meant: impl Fn(&Resources) -> bool) {
    let state = cycle.state;
    for (id, session) in state.sessions.iter().filter(|(_, session)| session.spec.need_max.is_some()) {
        for (worker, known) in state.workers_of(*id) {
            let more = session.reserved.minus(&known.need);
            if known.duty != Duty::Serving || known.need == session.reserved || !is_meant(&more) {
                continue;
            }
            let Some(slot) = cycle.slot_of(worker).filter(|slot| may_have(cycle, *slot, worker, *id, &more)) else {
                continue;
            };
            // A warm worker stopped for each that is kept on the node is the most that it can take.
            if !cycle.has_space(1 + cycle.places.slot(slot).occupants.len()) {
                return;
            }
            cycle.resize(slot, worker, &session.reserved);
        }
    }
}

fn may_have(cycle: &Cycle, number: usize, worker: WorkerId, of: SessionId, more: &Resources) -> bool {
    let slot = cycle.places.slot(number);
    // It may have been given back in this cycle, or has to leave.
    let occupant = slot.occupants.iter().find(|occupant| occupant.worker == Some(worker));
    let Some(occupant) = occupant.filter(|occupant| occupant.part == Part::Serving) else { return false };
    let is_promised = cycle.promises.get(&number).is_some_and(|to| *to != of);
    let device = &slot.devices[occupant.device];
    let fits = [(&slot.room, &device.room), (&slot.later, &device.later)]
        .into_iter()
        .all(|(node, device)| more.fits_node(node) && more.fits_device(device));
    more.is_nothing() || (fits && !is_promised)
}

//! What is over, too much, or of the wrong size: the changes that need no search.

use alloc::vec::Vec;

use crate::ids::WorkerId;
use crate::plan::cycle::Cycle;
use crate::session::Session;
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

/// Workers get what their session reserves by now: less at once, more where there is room.
pub(super) fn resize(cycle: &mut Cycle) {
    let state = cycle.state;
    for (id, session) in state.sessions.iter().filter(|(_, session)| session.spec.need_max.is_some()) {
        for (worker, known) in state.workers_of(*id) {
            if known.duty != Duty::Serving || known.need == session.reserved {
                continue;
            }
            // A warm worker stopped for each that is kept on the node is the most that it can take.
            let Some(slot) = cycle.slot_of(worker).filter(|slot| fits(cycle, *slot, worker, session)) else { continue };
            if !cycle.has_space(1 + cycle.places.slot(slot).occupants.len()) {
                return;
            }
            cycle.resize(slot, worker, &session.reserved);
        }
    }
}

fn fits(cycle: &Cycle, number: usize, worker: WorkerId, session: &Session) -> bool {
    let slot = cycle.places.slot(number);
    // It may have been given back in this cycle.
    let occupant = slot.occupants.iter().find(|occupant| occupant.worker == Some(worker));
    let Some(occupant) = occupant.filter(|occupant| occupant.part == crate::plan::places::Part::Serving) else {
        return false;
    };
    let more = session.reserved.minus(&occupant.need);
    let device = &slot.devices[occupant.device];
    [(&slot.room, &device.room), (&slot.later, &device.later)]
        .into_iter()
        .all(|(node, device)| more.fits_node(node) && more.fits_device(device))
}

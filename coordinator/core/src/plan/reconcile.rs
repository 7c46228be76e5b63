//! What is over, too much, or of the wrong size: the changes that need no search.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{SessionId, WorkerId};
use crate::plan::cycle::Cycle;
use crate::plan::places::Part;
use crate::resources::Resources;
use crate::time::Millis;
use crate::worker::Duty;

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

/// Sessions give back what their tasks do not keep busy: of the nodes that have most of them, so that what is left stays
/// spread; the newest first. Nobody gives back a worker in the midst of a long task: what is only kept warm may be ended at
/// any time.
pub(super) fn give_back(cycle: &mut Cycle) {
    for (id, session) in &cycle.state.sessions {
        let surplus = cycle.serving(*id).saturating_sub(session.target());
        if surplus == 0 {
            continue;
        }
        let mut by_slot: BTreeMap<usize, (u32, Vec<WorkerId>)> = BTreeMap::new();
        for (worker, known) in cycle.state.workers_of(*id).filter(|(_, worker)| worker.serves()) {
            let Some(slot) = cycle.slot_of(worker) else { continue };
            let (count, idle) = by_slot.entry(slot).or_default();
            *count += 1;
            if known.at_stake == Millis(0) {
                idle.push(worker);
            }
        }
        for _ in 0..surplus {
            let able = by_slot.iter().filter(|(_, (_, idle))| !idle.is_empty());
            let fullest = able.max_by_key(|(_, (count, idle))| (*count, idle.last().copied())).map(|(slot, _)| *slot);
            let Some((slot, (count, idle))) = fullest.and_then(|slot| Some((slot, by_slot.get_mut(&slot)?))) else {
                break;
            };
            if !cycle.has_space(1) {
                return;
            }
            *count -= 1;
            if let Some(worker) = idle.pop() {
                cycle.give_back(slot, worker, *id);
            }
        }
    }
}

/// Workers whose session reserves less by now are given less at once.
pub(super) fn shrink(cycle: &mut Cycle) {
    resize(cycle, Resources::is_nothing);
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

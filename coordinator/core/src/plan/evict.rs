//! Who has to leave for a session that waits: the smallest set of workers whose room will do, the cheapest first.
//!
//! One worker is tried after another, in the order of their cost, so the first that will do is the cheapest set of one.
//! Where no single one will do, each node is looked at: all sets in the order of their size where few may go from there; else two,
//! then as few as can be found by leaving out, from the dearest on, whoever is not needed. (The smallest set of all is a
//! knapsack in several dimensions: beyond two of many this is an approximation.) Every search is bounded by steps.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::ids::{SessionId, WorkerId};
use crate::plan::cycle::{Cycle, Served, Spot};
use crate::plan::places::Part;
use crate::plan::request::Request;
use crate::time::Millis;
use crate::worker::Why;
use others::Room;

mod others;

/// Workers that are tried alone, of those that stand where the session could. A mesh in which so many in a row will not do
/// has no quick answer.
const SINGLES_MAX: usize = 1_024;
/// Nodes that are asked whether all that may go from there would do, those with the cheapest workers first.
const NODES_ASKED_MAX: usize = 1_024;
/// Nodes of which all would do that are looked at for as few as will.
const NODES_MAX: usize = 32;
/// Workers of a node of which pairs are tried: 16 make 120.
const PAIRS_OF_MAX: usize = 16;
/// Workers of a node of which all sets are tried: 8 make 247 of two or more, twice as many as the pairs of 16. More hardly share a
/// board.
const SETS_OF_MAX: usize = 8;

/// A session whose workers may have to leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Donor {
    pub(super) session: SessionId,
    pub(super) priority: u8,
    /// Whether its fixed workers are meant, or what was lent to it.
    pub(super) is_fixed: bool,
    /// So many of them.
    pub(super) most: u32,
    /// Neighbours of the same turn are weighed together, worker by worker.
    pub(super) turn: usize,
}

/// A worker that may have to leave, and what that would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Victim {
    is_fixed: bool,
    priority: u8,
    /// Work that would be lost.
    at_stake: Millis,
    /// The newest first.
    worker: Reverse<WorkerId>,
    session: SessionId,
    /// Where it stands.
    slot: usize,
}

/// Who leaves, and where that makes room: fewest first, then the cheapest.
type Found = (usize, Vec<Victim>, Spot);

/// Has workers of these donors, the cheapest donor first, leave for one more worker of a session. Whether that is possible.
pub(super) fn evict(
    cycle: &mut Cycle,
    request: &mut Request,
    donors: &[Donor],
    why: impl Fn(bool, SessionId) -> Why,
) -> bool {
    // Those it makes leave for a worker that fails again leave for nothing, node after node.
    if request.session.is_failing(cycle.now) {
        return false;
    }
    let Some((_, victims, spot)) = find(cycle, request, donors) else { return false };
    if !cycle.has_space(victims.len()) {
        return false;
    }
    for victim in victims {
        let Victim { worker: Reverse(worker), is_fixed, .. } = victim;
        cycle.evict(spot, worker, why(is_fixed, request.id), request.id);
    }
    cycle.claim(spot, request);
    true
}

/// A donor's workers that serve where the session could stand, the cheapest first.
type Given<'donors> = (&'donors Donor, Vec<Victim>);

/// One worker of the first donors among which one will do; else the best set of several.
fn find(cycle: &mut Cycle, request: &Request, donors: &[Donor]) -> Option<Found> {
    let mut able = vec![None; cycle.places.slots().len()];
    let mut given: Vec<Given> = Vec::new();
    let mut tries = SINGLES_MAX;
    for turn in donors.chunk_by(|one, other| one.turn == other.turn) {
        let first = given.len();
        for donor in turn.iter().filter(|donor| donor.most > 0) {
            let served = cycle.served(donor.session);
            given.push((donor, victims_of(cycle, request, donor, &served, &mut able)));
        }
        if let Some(found) = find_one(cycle, request, &given[first..], &mut tries) {
            return Some(found);
        }
    }
    find_several(cycle, request, &given)
}

/// Whoever stands on a node that could not hold a worker of the session at all would leave for nothing: which could is
/// looked up once for each.
fn victims_of(
    cycle: &Cycle,
    request: &Request,
    donor: &Donor,
    served: &[Served],
    able: &mut [Option<bool>],
) -> Vec<Victim> {
    let Donor { is_fixed, priority, session, .. } = *donor;
    let mut victims = Vec::new();
    for (id, slot, at_stake) in served.iter().copied() {
        let could = *able[slot].get_or_insert_with(|| request.could_stand_on(cycle, slot));
        if could && cycle.places.slot(slot).serves(id) {
            victims.push(Victim { is_fixed, priority, at_stake, worker: Reverse(id), session, slot });
        }
    }
    victims.sort_unstable();
    victims
}

fn find_one(cycle: &Cycle, request: &Request, given: &[Given], tries: &mut usize) -> Option<Found> {
    let mut victims: Vec<Victim> = given.iter().flat_map(|(_, victims)| victims).copied().collect();
    victims.sort_unstable();
    for victim in victims {
        *tries = tries.checked_sub(1)?;
        for at in 0..cycle.places.slot(victim.slot).devices.len() {
            if fits_without(cycle, request, (victim.slot, at), &[victim]) {
                return Some((1, [victim].into(), (victim.slot, at)));
            }
        }
    }
    None
}

/// The best set over the nodes where donors have workers.
fn find_several(cycle: &Cycle, request: &Request, given: &[Given]) -> Option<Found> {
    let mut by_node: BTreeMap<usize, Vec<Victim>> = BTreeMap::new();
    let mut order = Vec::new();
    for victim in given.iter().flat_map(|(_, victims)| victims) {
        if !by_node.contains_key(&victim.slot) {
            if by_node.len() == NODES_ASKED_MAX {
                continue;
            }
            order.push(victim.slot);
        }
        by_node.entry(victim.slot).or_default().push(*victim);
    }
    let most: BTreeMap<(SessionId, bool), u32> =
        given.iter().map(|(donor, _)| ((donor.session, donor.is_fixed), donor.most)).collect();
    let mut best: Option<Found> = None;
    let mut looked_at = 0;
    for slot in order {
        let mut found_here = false;
        for at in 0..cycle.places.slot(slot).devices.len() {
            if let Some(found) = smallest_set(cycle, request, (slot, at), &by_node[&slot], &most) {
                found_here = true;
                if best.as_ref().is_none_or(|best| found < *best) {
                    best = Some(found);
                }
            }
        }
        looked_at += usize::from(found_here);
        if looked_at == NODES_MAX {
            break;
        }
    }
    best
}

fn smallest_set(
    cycle: &Cycle,
    request: &Request,
    spot: Spot,
    victims: &[Victim],
    most: &BTreeMap<(SessionId, bool), u32>,
) -> Option<Found> {
    // 1. All that may go, as many of each donor as may.
    let all = allowed(victims.iter().copied(), most);
    if !fits_without(cycle, request, spot, &all) {
        return None;
    }
    // 2. Two of them, the cheapest first; of few, any number of them.
    let few = &all[..all.len().min(PAIRS_OF_MAX)];
    let sizes_max = if all.len() <= SETS_OF_MAX { all.len() } else { few.len().min(2) };
    let mut sets = (2..=sizes_max).flat_map(|size| sets_of(few.len(), size));
    let fits = |set: &Vec<Victim>| fits_without(cycle, request, spot, set);
    if let Some(set) = sets.find_map(|set| Some(set.into_iter().map(|at| few[at]).collect()).filter(fits)) {
        return Some((set.len(), set, spot));
    }
    // 3. All but those that can be left out, from the dearest on.
    let mut set = all;
    for at in (0..set.len()).rev() {
        let left_out = set.remove(at);
        if !fits_without(cycle, request, spot, &set) {
            set.insert(at, left_out);
        }
    }
    Some((set.len(), set, spot))
}

/// All sets of so many of the first numbers, those with the smallest numbers first.
fn sets_of(count: usize, size: usize) -> impl Iterator<Item = Vec<usize>> {
    let first = (size <= count).then(|| (0..size).collect::<Vec<usize>>());
    core::iter::successors(first, move |set| {
        // The last one that is not yet as far as it can go takes a step, and those behind it follow close.
        let at = (0..size).rev().find(|at| set[*at] < count - size + at)?;
        let mut next = set.clone();
        for (step, number) in next[at..].iter_mut().enumerate() {
            *number = set[at] + 1 + step;
        }
        Some(next)
    })
}

/// Each worker once, and no more of a donor than may go.
fn allowed(victims: impl Iterator<Item = Victim>, most: &BTreeMap<(SessionId, bool), u32>) -> Vec<Victim> {
    let (mut seen, mut counts) = (BTreeSet::new(), BTreeMap::<(SessionId, bool), u32>::new());
    let mut kept: Vec<Victim> = victims
        .filter(|victim| {
            let of = (victim.session, victim.is_fixed);
            let count = counts.entry(of).or_default();
            let may = *count < most.get(&of).copied().unwrap_or(0) && seen.insert(victim.worker);
            *count += u32::from(may);
            may
        })
        .collect();
    kept.sort_unstable();
    kept
}

/// Whether one more worker of the session fits at a place when these are gone, with all that leave already.
fn fits_without(cycle: &Cycle, request: &Request, (number, at): Spot, victims: &[Victim]) -> bool {
    let slot = cycle.places.slot(number);
    let device = &slot.devices[at];
    if !request.could_stand_at(cycle, (number, at)) {
        return false;
    }
    let goes = |worker: Option<WorkerId>| victims.iter().any(|victim| Some(victim.worker.0) == worker);
    let mut room = Room { node: slot.later.clone(), device: device.later.clone() };
    let freed = Room::of(slot, at, |occupant| goes(occupant.worker));
    room.add(&freed);
    let lost = |id: SessionId| victims.iter().filter(|victim| victim.session == id).count();
    if !others::leave_theirs(cycle, request, (number, at), lost, &mut room) || !room.holds(&request.session.reserved) {
        return false;
    }
    let stays = slot.occupants.iter().filter(|occupant| match occupant.part {
        Part::Kept => request.is_closed_by(cycle, occupant.session),
        part => part.is_taken_later() && !goes(occupant.worker),
    });
    request.may_stand(cycle, (number, at)).is_ok()
        && request.company(cycle, at, stays.map(|occupant| (occupant.session, occupant.device))).is_ok()
}

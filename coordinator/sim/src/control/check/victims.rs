//! Who has to leave: no more than need be, and nobody while a cheaper one would do.

use std::cmp::Reverse;

use skein_core::plan::Change;
use skein_core::policy::PolicyName;
use skein_core::session::Session;
use skein_core::worker::{Duty, Why, Worker};
use skein_core::{Millis, SessionId, WorkerId};

use super::mesh::{Mesh, target};

/// What one victim costs: the less, the better. Nobody loses what he was promised while somebody has what was only lent.
type Cost = (bool, u8, Millis, Reverse<WorkerId>);

/// What is wrong with the victims that are named from here on; nothing where it is not a first one, or where it cannot be
/// told alone.
pub(super) fn wrong(mesh: &Mesh, changes: &[Change], at: usize) -> Option<String> {
    let (first, by) = victim_of(&changes[at])?;
    let session = mesh.state.sessions.get(&by)?;
    let follows = at > 0 && victim_of(&changes[at - 1]).is_some_and(|(_, before)| before == by);
    let group: Vec<WorkerId> =
        changes[at..].iter().map_while(victim_of).take_while(|(_, other)| *other == by).map(|(id, _)| id).collect();
    // Victims for several workers in a row look like several victims for one.
    let wants_one = target(session) == mesh.serving(by) + 1 && mesh.lacking(by, session) == 1;
    if !wants_one || follows || mesh.promised(by) > 0 {
        return None;
    }
    let node = mesh.state.workers.get(&first)?.node;
    let (cheapest, cheaper) = cheapest_alone(mesh, by, session)?;
    if group.len() > 1 {
        return Some(format!("{} have to leave, and {cheaper} alone would do", group.len()));
    }
    let cost = cost(mesh, first, by, session)?;
    (cheapest < cost && !mesh.is_left(node)).then(|| format!("{cheaper} is cheaper: {cheapest:?} against {cost:?}"))
}

fn victim_of(change: &Change) -> Option<(WorkerId, SessionId)> {
    match change {
        Change::Leave { worker, why: Why::Preempted { by } | Why::Reclaimed { by }, .. } => Some((*worker, *by)),
        _ => None,
    }
}

/// The cheapest worker whose place alone would do.
fn cheapest_alone(mesh: &Mesh, by: SessionId, session: &Session) -> Option<(Cost, WorkerId)> {
    let costs = mesh.state.workers.keys().filter_map(|id| Some((cost(mesh, *id, by, session)?, *id)));
    let mut costs: Vec<(Cost, WorkerId)> = costs.collect();
    costs.sort();
    costs.into_iter().find(|(_, id)| {
        let node = mesh.state.workers[id].node;
        let goes = |other: WorkerId, worker: &Worker| other == *id || worker.duty == Duty::Warm;
        let mut there = mesh.places().filter(|(known, _)| *known == node && !mesh.is_left(node));
        there.any(|place| mesh.fits(by, session, place, goes))
    })
}

/// None where it may not be asked to leave.
fn cost(mesh: &Mesh, id: WorkerId, by: SessionId, session: &Session) -> Option<Cost> {
    let worker = mesh.state.workers.get(&id).filter(|worker| worker.session != by && worker.duty == Duty::Serving)?;
    let holder = mesh.state.sessions.get(&worker.session)?;
    let is_fixed = mesh.spare(worker.session, holder) == 0;
    let may_evict = session.policy == PolicyName::Preemptive && holder.spec.priority < session.spec.priority;
    (may_evict || !is_fixed).then_some((is_fixed, holder.spec.priority, worker.at_stake, Reverse(id)))
}

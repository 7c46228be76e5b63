//! A state for which nothing more is planned: nobody lacks what he could have, and what is spare is shared fairly.
//!
//! Where workers are about to leave a node, some of its room may be meant for others (see [`left`]); and for every session that
//! has waited long, one node may be kept free, if that would bring it what it waits for. Neither counts against the planner here;
//! a mesh that was let come to rest has little of both.

use std::collections::BTreeSet;

use skein_core::capability::Device;
use skein_core::policy::PolicyName;
use skein_core::session::Session;
use skein_core::worker::{Duty, Why, Worker};
use skein_core::{NodeId, SessionId, WorkerId};

use super::left;
use super::mesh::{Mesh, has_no_time_left, is_failing, leaves_for, may_serve, rank, target};

/// Comparing everybody with everybody is for meshes of the simulator's size.
pub(crate) fn violations(mesh: &Mesh) -> Vec<String> {
    let mut found = Vec::new();
    nothing_is_due(mesh, &mut found);
    for (id, session) in mesh.queue() {
        lacks_rightly(mesh, id, session, &mut found);
    }
    for (id, session) in &mesh.state.sessions {
        if mesh.is_hungry(*id, session) {
            hungers_rightly(mesh, *id, session, &mut found);
        }
    }
    found
}

fn nothing_is_due(mesh: &Mesh, found: &mut Vec<String>) {
    for (id, session) in &mesh.state.sessions {
        let busy = mesh
            .state
            .workers
            .values()
            .filter(|worker| worker.session == *id && worker.duty == Duty::Serving && worker.at_stake.0 > 0);
        if mesh.serving(*id) as usize > busy.count().max(target(session) as usize) {
            found.push(format!("session {id} keeps {} workers and wants {}", mesh.serving(*id), target(session)));
        }
    }
    for (id, worker) in &mesh.state.workers {
        let Some(session) = mesh.state.sessions.get(&worker.session) else { continue };
        match worker.duty {
            Duty::Leaving { until, .. } if has_no_time_left(mesh.state, worker, mesh.now) => {
                found.push(format!("worker {id} should have left by {until}"));
            }
            Duty::Leaving { why, .. } => leaves_for_nothing(mesh, *id, worker, why, found),
            Duty::Serving if worker.need != session.reserved && !mesh.is_left(worker.node) => {
                wrong_size(mesh, *id, worker, session, found);
            }
            _ => {}
        }
    }
}

/// Whoever leaves for a session that lacks nothing any more is called back by its own session, if that lacks a fixed worker.
fn leaves_for_nothing(mesh: &Mesh, id: WorkerId, worker: &Worker, why: Why, found: &mut Vec<String>) {
    let (Some(by), Some(session)) = (leaves_for(worker), mesh.state.sessions.get(&worker.session)) else { return };
    let lacks = |taker: &Session| {
        let most = if matches!(why, Why::Preempted { .. }) { taker.spec.fixed } else { target(taker) };
        mesh.serving(by) < most
    };
    if mesh.lacking(worker.session, session) == 0 || mesh.state.sessions.get(&by).is_some_and(lacks) {
        return;
    }
    let Some(node) = mesh.state.nodes.get(&worker.node) else { return };
    let device = node.spec.capability.devices.iter().find(|device| device.name == worker.device);
    let Some(device) = device.filter(|device| may_serve(session, node, worker.node, device, mesh.now)) else { return };
    let place = (worker.node, device);
    let may_be_kept = mesh.may_be_promised(worker.session, &BTreeSet::from([worker.node]));
    // In its room stands, too, what is kept for its own session where others leave for that: it would be so still with this one back.
    let wants = target(session).saturating_sub(mesh.serving(worker.session) + 1);
    let mut all = session.clone();
    for _ in 0..left::made_room_for(mesh, worker.node, worker.session, session).min(wants) {
        all.reserved.add(&session.reserved);
    }
    if !may_be_kept && left::is_nobody_elses(mesh, worker.session, &all, place) {
        found.push(format!("worker {id} leaves for session {by}, which lacks nothing, and its own lacks it"));
    }
}

/// Where the new size fits, it is given.
fn wrong_size(mesh: &Mesh, id: WorkerId, worker: &Worker, session: &Session, found: &mut Vec<String>) {
    let node = mesh.state.nodes.get(&worker.node);
    let device = node.and_then(|node| node.spec.capability.devices.iter().find(|device| device.name == worker.device));
    // Nobody else need make room but those that are only kept warm; and who stands there may stay.
    let gone = |other: WorkerId, known: &Worker| other == id || known.duty == Duty::Warm;
    let mut unfailed = session.clone();
    unfailed.failures.clear();
    let fits = device.is_some_and(|device| mesh.fits(worker.session, &unfailed, (worker.node, device), gone));
    let may_be_kept = mesh.may_be_promised(worker.session, &BTreeSet::from([worker.node]));
    if session.spec.need_max.is_some() && fits && !may_be_kept {
        found.push(format!("worker {id} has {:?}, and {:?} would fit", worker.need, session.reserved));
    }
}

/// Whether a worker is lent: all that its session has on the node are beyond its fixed ones.
fn is_lent(mesh: &Mesh, worker: &Worker) -> bool {
    let on = mesh.on(worker.node).iter();
    let beside = on.filter(|(_, other)| other.session == worker.session && other.duty == Duty::Serving).count();
    let session = mesh.state.sessions.get(&worker.session);
    session.is_some_and(|session| mesh.spare(worker.session, session) as usize >= beside)
}

fn lacks_rightly(mesh: &Mesh, id: SessionId, session: &Session, found: &mut Vec<String>) {
    let warm = |_: WorkerId, worker: &Worker| worker.duty == Duty::Warm;
    let free = free_nodes(mesh, id, session);
    if !mesh.may_be_promised(id, &free) {
        found.push(format!("session {id} lacks {} workers; it fits on {free:?}", mesh.lacking(id, session)));
    }
    if mesh.may_claim(id, session) || is_failing(session, mesh.now) {
        return;
    }
    let priority_of = |worker: &Worker| mesh.state.sessions.get(&worker.session).map(|other| other.spec.priority);
    let may_evict = session.policy == PolicyName::Preemptive;
    let goes = |worker_id: WorkerId, worker: &Worker| {
        let is_lower = may_evict && priority_of(worker).is_some_and(|priority| priority < session.spec.priority);
        let is_other = worker.session != id && worker.duty == Duty::Serving;
        warm(worker_id, worker) || is_other && (is_lower || is_lent(mesh, worker))
    };
    let taken = nodes_where(mesh, |place| mesh.fits(id, session, place, goes));
    if !mesh.may_be_promised(id, &taken) {
        found.push(format!("session {id} lacks {} workers; it may evict on {taken:?}", mesh.lacking(id, session)));
    }
}

fn hungers_rightly(mesh: &Mesh, id: SessionId, session: &Session, found: &mut Vec<String>) {
    let warm = |_: WorkerId, worker: &Worker| worker.duty == Duty::Warm;
    let free = free_nodes(mesh, id, session);
    if !mesh.may_be_promised(id, &free) {
        found.push(format!("session {id} wants {} workers; it fits on {free:?}", target(session)));
    }
    if mesh.may_claim(id, session) || is_failing(session, mesh.now) {
        return;
    }
    let unfair = |worker: &Worker| worker.duty == Duty::Serving && is_owed(mesh, id, session, worker);
    let nodes = nodes_where(mesh, |(node, device)| {
        mesh.on(node).iter().filter(|(_, worker)| unfair(worker)).any(|(lent, _)| {
            mesh.fits(id, session, (node, device), |other, worker| other == *lent || warm(other, worker))
        })
    });
    if !mesh.may_be_promised(id, &nodes) {
        found.push(format!("session {id} has less than its share; others have more on {nodes:?}"));
    }
}

/// Whether a worker's session has more for its weight than this one would have with one worker more: the error that the
/// fairness of shares has is one worker.
pub(crate) fn is_owed(mesh: &Mesh, id: SessionId, session: &Session, worker: &Worker) -> bool {
    let Some(holder) = mesh.state.sessions.get(&worker.session).filter(|_| worker.session != id) else { return false };
    let spare = mesh.spare(worker.session, holder);
    if spare == 0 {
        return false;
    }
    let (mine, theirs) = (rank(mesh.state.policy, session), rank(mesh.state.policy, holder));
    let has = mesh.weighted(holder, spare);
    let would = mesh.weighted(session, mesh.spare(id, session) + 1);
    // Shares are counted in millionths by the planner, in billionths of billionths here.
    let rounding = u128::from(spare + 1) * 1_000 * 1_000_000_000;
    theirs > mine || theirs == mine && has > would + rounding
}

/// The nodes on which one more worker of a session could stand at once.
fn free_nodes(mesh: &Mesh, id: SessionId, session: &Session) -> BTreeSet<NodeId> {
    let places = mesh.places().filter(|place| left::has_room_of_its_own(mesh, id, session, *place));
    places.map(|(node, _)| node).collect()
}

/// The nodes with a place of which this is so, but for those that somebody is about to leave.
fn nodes_where<'a>(mesh: &Mesh<'a>, is_so: impl Fn((NodeId, &'a Device)) -> bool) -> BTreeSet<NodeId> {
    let places = mesh.places().filter(|(node, _)| !mesh.is_left(*node));
    places.filter(|place| is_so(*place)).map(|(node, _)| node).collect()
}

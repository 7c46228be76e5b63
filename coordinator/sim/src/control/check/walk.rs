//! A plan that was just made, one change after another: each is one that may be made, for the right session, and nobody
//! who comes before is passed over.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::capability::{Capability, Device, DeviceKind, Profile};
use skein_core::plan::{Change, Placement, Plan};
use skein_core::policy::PolicyName;
use skein_core::session::Session;
use skein_core::worker::{Duty, Why, Worker};
use skein_core::{Command, Entry, Event, Millis, NodeId, Resources, SessionId, State, WorkerId, apply};

use super::mesh::{Mesh, Sum, has_no_time_left, is_failing, leaves_for, rank, runs, target};
use super::{left, rest, victims};

/// Carries out a plan, and says what is wrong with it.
pub(in crate::control) fn violations(state: &mut State, now: Millis, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    let mesh = Mesh::of(state, now);
    let queue: Vec<SessionId> = mesh.queue().into_iter().map(|(id, _)| id).collect();
    let kept: Kept = state.sessions.iter().map(|(id, known)| (*id, known.kept.clone())).collect();
    for (at, change) in plan.changes.iter().enumerate() {
        let mesh = Mesh::of(state, now);
        let wrong = match change {
            Change::Stop(id) => stop(&mesh, *id, &plan.changes[at..]),
            Change::Leave { worker, why } => leave(&mesh, *worker, *why),
            Change::Return(id) => give_back(&mesh, *id),
            Change::Revive(id) => revive(&Mesh::of(&keeping(state, &kept), now), *id),
            Change::Recall(id) => recall(&mesh, *id),
            Change::Resize { worker, need } => resize(&mesh, *worker, need),
            Change::Start(placement) => start(&mesh, &Mesh::of(&keeping(state, &kept), now), placement, &queue),
        };
        found.extend(wrong.map(|why| format!("{change:?}: {why}")));
        found.extend(victims::wrong(&mesh, &plan.changes, at).map(|why| format!("{change:?}: {why}")));
        let command = Command::Plan(Plan { changes: vec![change.clone()] });
        let events = apply(state, &Entry { at: now, command });
        let refused = events.iter().flatten().filter(|event| matches!(event, Event::ChangeRefused { .. }));
        found.extend(refused.map(|event| format!("a fresh plan is refused: {event:?}")));
    }
    found
}

fn give_back(mesh: &Mesh, id: WorkerId) -> Option<&'static str> {
    let Some((session_id, session, worker)) = serving(mesh, id) else { return Some("it does not serve") };
    let others = |node: NodeId| {
        let own = |known: &&(WorkerId, &Worker)| known.1.session == session_id && known.1.duty == Duty::Serving;
        mesh.on(node).iter().filter(own)
    };
    let here = others(worker.node).count();
    let fuller = |node: &NodeId| others(*node).count() > here && others(*node).any(|(_, other)| other.at_stake.0 == 0);
    if mesh.serving(session_id) <= target(session) {
        Some("its session has no more than it wants")
    } else if worker.at_stake.0 > 0 {
        Some("it is in the midst of a task")
    } else {
        mesh.state.nodes.keys().any(fuller).then_some("another node has more of its session")
    }
}

fn resize(mesh: &Mesh, id: WorkerId, need: &Resources) -> Option<&'static str> {
    let resized = serving(mesh, id);
    let is_due = resized.is_some_and(|(_, session, worker)| session.reserved == *need && worker.need != *need);
    let grows = resized.is_some_and(|(_, _, worker)| !Sum::of([need].into_iter()).is_within(&worker.need));
    match resized {
        Some((_, _, worker)) if is_due && grows => takes_what_is_left(mesh, id, worker.node, need),
        _ => (!is_due).then_some("its size is right, or this one is not"),
    }
}

/// Room that others leave for a session is not for a third to grow into.
fn takes_what_is_left(mesh: &Mesh, id: WorkerId, node: NodeId, need: &Resources) -> Option<&'static str> {
    let mut grown = mesh.state.clone();
    let worker = grown.workers.get_mut(&id)?;
    let own = worker.session;
    worker.need = need.clone();
    let grown = Mesh::of(&grown, mesh.now);
    let fits = |mesh: &Mesh, by: SessionId, session: &Session| {
        let mut there = mesh.places().filter(|(known, _)| *known == node);
        there.any(|place| mesh.fits(by, session, place, |_, worker| worker.duty != Duty::Serving))
    };
    let is_robbed = |by: &SessionId, session: &Session| {
        let leaves = mesh.left_on(node, *by);
        let lacks = mesh.lacking(*by, session);
        leaves > 0
            && lacks > 0
            && mesh.left_for(*by) == leaves
            && fits(mesh, *by, session)
            && !fits(&grown, *by, session)
    };
    let robbed = mesh.state.sessions.iter().any(|(by, session)| *by != own && is_robbed(by, session));
    robbed.then_some("it grows into what others leave for somebody")
}

/// A fixed worker is taken up again where its session has as few others as anywhere.
fn revive(mesh: &Mesh, id: WorkerId) -> Option<&'static str> {
    let worker = mesh.state.workers.get(&id)?;
    if let Some(wrong) = wants(mesh, Some(worker.session)) {
        return Some(wrong);
    }
    let session = mesh.state.sessions.get(&worker.session)?;
    let (_, place) = mesh.places().find(|(node, device)| *node == worker.node && device.name == worker.device)?;
    let is_clear = mesh.lacking(worker.session, session) > 0 && mesh.promised(worker.session) == 0;
    is_clear.then(|| spread(mesh, worker.session, session, (worker.node, place))).flatten()
}

/// Whoever has to leave stays if that would be for nothing, and its own session wants it.
fn recall(mesh: &Mesh, id: WorkerId) -> Option<&'static str> {
    let worker = mesh.state.workers.get(&id)?;
    let (Duty::Leaving { why, .. }, Some(by)) = (&worker.duty, leaves_for(worker)) else {
        return Some("it need not go");
    };
    if let Some(wrong) = wants(mesh, Some(worker.session)) {
        return Some(wrong);
    }
    let taker = mesh.state.sessions.get(&by)?;
    let most = if matches!(why, Why::Preempted { .. }) { taker.spec.fixed } else { target(taker) };
    let lacks = most.saturating_sub(mesh.serving(by));
    (lacks > 0 && mesh.left_for(by) <= lacks).then_some("its room is needed still")
}

/// A worker that serves, and whom.
fn serving<'a>(mesh: &Mesh<'a>, id: WorkerId) -> Option<(SessionId, &'a Session, &'a Worker)> {
    let worker = mesh.state.workers.get(&id).filter(|worker| worker.duty == Duty::Serving)?;
    Some((worker.session, mesh.state.sessions.get(&worker.session)?, worker))
}

fn wants(mesh: &Mesh, id: Option<SessionId>) -> Option<&'static str> {
    let session = id.and_then(|id| Some((id, mesh.state.sessions.get(&id)?)));
    let has_enough = session.is_none_or(|(id, session)| mesh.serving(id) >= target(session));
    has_enough.then_some("its session wants no more")
}

fn stop(mesh: &Mesh, id: WorkerId, rest: &[Change]) -> Option<&'static str> {
    let Some(worker) = mesh.state.workers.get(&id) else { return Some("no such worker") };
    let needs_room = |change: &Change| match change {
        Change::Start(placement) => placement.node == worker.node,
        Change::Resize { worker: other, .. } => {
            mesh.state.workers.get(other).is_some_and(|other| other.node == worker.node)
        }
        _ => false,
    };
    match worker.duty {
        Duty::Serving => Some("it serves"),
        Duty::Warm => (!rest.iter().any(needs_room)).then_some("nobody needs its room"),
        Duty::Leaving { .. } => (!has_no_time_left(mesh.state, worker, mesh.now)).then_some("it has time left"),
    }
}

fn leave(mesh: &Mesh, id: WorkerId, why: Why) -> Option<&'static str> {
    let Some((victim_id, victim, worker)) = serving(mesh, id) else { return Some("it does not serve") };
    let (Why::Preempted { by } | Why::Reclaimed { by }) = why else { return Some("plans drain nobody") };
    let Some(taker) = mesh.state.sessions.get(&by).filter(|_| by != victim_id) else { return Some("for whom?") };
    let lacks = mesh.lacking(by, taker) > 0;
    let is_lent = mesh.spare(victim_id, victim) > 0;
    match why {
        _ if is_failing(taker, mesh.now) => Some("it leaves for one whose workers fail"),
        Why::Preempted { .. } if !lacks => Some("it is evicted for more than fixed workers"),
        Why::Preempted { .. } if taker.policy != PolicyName::Preemptive => Some("it is evicted by no right"),
        Why::Preempted { .. } if taker.spec.priority <= victim.spec.priority => Some("its priority is no lower"),
        Why::Reclaimed { .. } if !is_lent => Some("it is taken back and was not lent"),
        Why::Reclaimed { .. } if !lacks && !mesh.is_hungry(by, taker) => Some("it is taken back for nobody"),
        Why::Reclaimed { .. } if !lacks && !has_more(mesh, by, taker, worker) => Some("the exchange is not fair"),
        _ => None,
    }
}

/// Whether a worker's session has more for its weight than the taker would have, or goes after it.
fn has_more(mesh: &Mesh, by: SessionId, taker: &Session, worker: &Worker) -> bool {
    let holder = &mesh.state.sessions[&worker.session];
    let (mine, theirs) = (rank(mesh.state.policy, taker), rank(mesh.state.policy, holder));
    // It may count on places that others leave for it.
    let has = mesh.weighted(holder, mesh.spare(worker.session, holder) + mesh.left_for(worker.session));
    let would = mesh.weighted(taker, mesh.spare(by, taker) + 1);
    theirs > mine || theirs == mine && has + 1_000_000_000_000 > would
}

/// Places that sessions keep without a worker there when a plan begins.
type Kept = BTreeMap<SessionId, Vec<(NodeId, String)>>;

/// The state with what was kept when the plan began: that is closed in all of the plan to whom it was closed then, whoever
/// took it since, or if its session got another.
fn keeping(state: &State, kept: &Kept) -> State {
    let mut then = state.clone();
    for (id, session) in &mut then.sessions {
        session.kept = kept.get(id).cloned().unwrap_or_default();
    }
    then
}

fn start(mesh: &Mesh, keeping: &Mesh, placement: &Placement, queue: &[SessionId]) -> Option<&'static str> {
    let Placement { session: id, node, device } = placement;
    let place = mesh.places().find(|(known, place)| known == node && place.name == *device);
    let (Some(session), Some(place)) = (mesh.state.sessions.get(id), place) else { return Some("there is no place") };
    if !mesh.fits(*id, session, place, |_, _| false) {
        return Some("it may not stand there");
    }
    if let Some(wrong) = wants(mesh, Some(*id)) {
        return Some(wrong);
    }
    let is_fixed = mesh.lacking(*id, session) > 0;
    let before = queue.iter().take_while(|other| !is_fixed || *other != id);
    let is_passed_over = |other: &SessionId| {
        let Some(waiting) = mesh.state.sessions.get(other).filter(|session| mesh.lacking(*other, session) > 0) else {
            return false;
        };
        !keeping.may_claim(*other, waiting) && left::has_room_of_its_own(keeping, *other, waiting, place)
    };
    // A node that is kept free for somebody is so for all others, so this one would not be here.
    if before.filter(|other| *other != id).any(is_passed_over) {
        return Some("somebody who comes before it is passed over");
    }
    if is_fixed && mesh.promised(*id) == 0 { better(keeping, *id, session, place) } else { None }
}

/// Fixed workers are spread over nodes.
fn spread(mesh: &Mesh, id: SessionId, session: &Session, chosen: (NodeId, &Device)) -> Option<&'static str> {
    let own = |known: &&(WorkerId, &Worker)| known.1.session == id && known.1.duty == Duty::Serving;
    let crowd = |node: NodeId| mesh.on(node).iter().filter(own).count();
    let fewer = |(node, _): &(NodeId, &Device)| crowd(*node) < crowd(chosen.0);
    let is_free = |place: (NodeId, &Device)| left::has_room_of_its_own(mesh, id, session, place);
    mesh.places().any(|place| fewer(&place) && is_free(place)).then_some("another node has fewer")
}

/// Fixed workers are spread over nodes; then speed decides.
fn better(mesh: &Mesh, id: SessionId, session: &Session, chosen: (NodeId, &Device)) -> Option<&'static str> {
    let mut crowd: BTreeMap<NodeId, usize> = BTreeMap::new();
    for worker in mesh.state.workers.values().filter(|worker| worker.session == id && worker.duty == Duty::Serving) {
        *crowd.entry(worker.node).or_default() += 1;
    }
    let crowd = |node: NodeId| crowd.get(&node).copied().unwrap_or(0);
    let others = mesh.places().filter(|(node, device)| *node != chosen.0 || device.name != chosen.1.name);
    let others: Vec<_> = others.filter(|place| left::has_room_of_its_own(mesh, id, session, *place)).collect();
    if others.iter().any(|(node, _)| crowd(*node) < crowd(chosen.0)) {
        return Some("another node has fewer of its session");
    }
    let speed = |(node, device): (NodeId, &Device)| expected(mesh, session, node, device);
    let mine = speed(chosen);
    // Speeds within a quarter of each other may be the same to the planner.
    let is_quicker = |place: &(NodeId, &Device)| {
        let theirs = speed(*place);
        crowd(place.0) == crowd(chosen.0)
            && theirs.is_some_and(|theirs| mine.is_none_or(|mine| 4 * u128::from(mine) > 5 * u128::from(theirs) + 4))
    };
    others.iter().any(is_quicker).then_some("another place is known or taken to be faster")
}

/// How long a task of the session is expected to take at a place: as was measured there; else the mean of devices like it;
/// else as on the best of its kind, or of all; none where the model was never measured.
fn expected(mesh: &Mesh, session: &Session, node: NodeId, device: &Device) -> Option<u64> {
    let capability = &mesh.state.nodes.get(&node)?.spec.capability;
    let is_it = |profile: &&Profile| {
        profile.model == session.model && profile.target == session.spec.target && profile.device == device.name
    };
    if let Some(own) = capability.profiles.iter().find(is_it) {
        return Some(own.run_micros);
    }
    let mut of_classes: BTreeMap<Class, (u64, u64)> = BTreeMap::new();
    for other in mesh.state.nodes.values() {
        let capability = &other.spec.capability;
        for measured in &capability.devices {
            let mut of_device = capability.profiles.iter().filter(|profile| {
                let is_of_it = profile.device == measured.name;
                is_of_it && profile.model == session.model && profile.target == session.spec.target
            });
            if let Some(profile) = of_device.next().filter(|_| runs(session, other, measured)) {
                let (sum, count) = of_classes.entry(class(capability, measured)).or_default();
                *sum = sum.saturating_add(profile.run_micros);
                *count += 1;
            }
        }
    }
    let mean = |(sum, count): &(u64, u64)| sum / count;
    if let Some(own) = of_classes.get(&class(capability, device)) {
        return Some(mean(own));
    }
    let of_kind = of_classes.iter().filter(|(class, _)| class.0 == device.kind).map(|(_, speeds)| mean(speeds)).min();
    of_kind.or_else(|| of_classes.values().map(mean).min())
}

/// Devices are alike when their kind, hardware and targets are the same, and they and their nodes have about the same size.
type Class = (DeviceKind, String, BTreeSet<String>, [u32; 4]);

fn class(capability: &Capability, device: &Device) -> Class {
    let (node, own) = (&capability.offers, &device.offers);
    let size = [node.cpu_millicores, node.memory_bytes, own.gpu_milli, own.gpu_memory_bytes];
    let targets = capability.targets.iter().cloned().collect();
    (device.kind, device.hardware.clone(), targets, size.map(|amount| u64::BITS - amount.leading_zeros()))
}

/// Whether nothing is left to plan for.
pub(in crate::control) fn at_rest(state: &State, now: Millis) -> Vec<String> {
    rest::violations(&Mesh::of(state, now))
}

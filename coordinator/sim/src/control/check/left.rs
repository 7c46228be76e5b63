//! Room on nodes that somebody is about to leave: how much of it may be meant for whom.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::capability::Device;
use skein_core::session::{Hold, Session};
use skein_core::worker::{Duty, Worker, WorkerStatus};
use skein_core::{Millis, NodeId, Resources, SessionId, State, WorkerId};

use super::mesh::{Mesh, leaves_for, rank, target};

/// Whether a session has room at a place that is nobody else's: where others are about to leave the node, as much is kept
/// for those they leave for as they make room for, and those who come before the session may wait for the rest.
pub(super) fn has_room_of_its_own(mesh: &Mesh, id: SessionId, session: &Session, place: (NodeId, &Device)) -> bool {
    let warm = |_: WorkerId, worker: &Worker| worker.duty == Duty::Warm;
    mesh.fits(id, session, place, warm) && is_nobody_elses(mesh, id, session, place)
}

/// As [`has_room_of_its_own`], for room of which it is known that it will do.
pub(super) fn is_nobody_elses(mesh: &Mesh, id: SessionId, session: &Session, place: (NodeId, &Device)) -> bool {
    if !mesh.is_left(place.0) {
        return true;
    }
    let claims = in_turn(mesh, id, session, place.0);
    // Not all of them need be waiting for this node: one alone may take what all together leave.
    let each: BTreeSet<SessionId> = claims.iter().map(|claim| claim.of).collect();
    let alone = each.into_iter().map(|one| claims.iter().filter(|claim| claim.of == one).copied().collect());
    alone.chain([claims.clone()]).all(|claims: Vec<_>| is_left_over(mesh, id, session, place, &claims))
}

/// Whether the session has room when those are there, and all that leave are gone.
fn is_left_over(mesh: &Mesh, id: SessionId, session: &Session, place: (NodeId, &Device), claims: &[Claim]) -> bool {
    let mut later: State = mesh.state.clone();
    later.workers.retain(|_, worker| worker.node != place.0 || worker.duty == Duty::Serving);
    let mut found_none = BTreeSet::new();
    let mut kept: BTreeMap<SessionId, u32> = BTreeMap::new();
    for claim in claims {
        let found = kept.entry(claim.of).or_default();
        // What was kept for it is its own when its turn comes.
        if !claim.is_kept && *found > 0 {
            *found -= 1;
            continue;
        }
        let may_close = |device: &Device| !claim.is_kept || may_be_kept(mesh, claim.of, place.0, device);
        if found_none.contains(claim) || !come(&mut later, mesh.now, claim.of, place, may_close) {
            found_none.insert(*claim);
        } else if claim.is_kept {
            *found += 1;
        }
    }
    Mesh::of(&later, mesh.now).fits(id, session, place, |_, _| false)
}

/// A worker of somebody that may come to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    of: SessionId,
    /// Whether room is kept for it before anybody has his turn.
    is_kept: bool,
}

fn claims(of: SessionId, is_kept: bool, count: u32) -> impl Iterator<Item = Claim> {
    (0..count).map(move |_| Claim { of, is_kept })
}

/// Whether a device may be kept for a session: one that has its devices to itself is not to close any to those who come before
/// it but such as others leave for it, and those where it is.
fn may_be_kept(mesh: &Mesh, id: SessionId, node: NodeId, device: &Device) -> bool {
    let Some(session) = mesh.state.sessions.get(&id) else { return false };
    let is_its_own = |worker: &Worker| {
        let is_there = worker.session == id && worker.duty == Duty::Serving;
        let same = worker.device == device.name;
        (is_there || leaves_for(worker) == Some(id)) && (same || session.hold == Hold::Node)
    };
    session.hold == Hold::Nothing || mesh.on(node).iter().any(|(_, worker)| is_its_own(worker))
}

/// Whom others may be waiting to start on a node before this session has its turn, worker by worker.
fn in_turn(mesh: &Mesh, id: SessionId, session: &Session, node: NodeId) -> Vec<Claim> {
    let lacks = mesh.lacking(id, session) > 0;
    let queue = mesh.queue();
    // 1. Whom others leave the node for has room kept there before anybody has his turn.
    let lacking = |other: SessionId, known: &Session| mesh.lacking(other, known);
    let others = queue.iter().filter(|(other, _)| *other != id);
    let kept = |other, known| made_room_for(mesh, node, other, known).min(lacking(other, known));
    let mut all: Vec<Claim> = others.flat_map(|(other, known)| claims(*other, true, kept(*other, known))).collect();
    // 2. Those that come before it.
    let before = queue.iter().take_while(|(other, _)| !lacks || *other != id);
    all.extend(before.flat_map(|(other, known)| claims(*other, false, lacking(*other, known))));
    // 3. If it is for what is spare: who has least for his weight, one worker after another.
    if !lacks {
        all.extend(hungry(mesh, id, node));
    }
    all
}

/// What others may be given of what is spare, in the order in which they are: also those that are to have their fixed workers
/// on this node.
fn hungry(mesh: &Mesh, id: SessionId, node: NodeId) -> Vec<Claim> {
    let others = mesh.state.sessions.iter().filter(|(other, known)| **other != id && known.spec.share > 0);
    // Of each, how many it has beyond its fixed ones, and how many it may have.
    let mut spare: BTreeMap<SessionId, (u32, u32)> = others
        .map(|(other, known)| (*other, (mesh.spare(*other, known), target(known) - known.spec.fixed)))
        .filter(|(_, (has, most))| has < most)
        .collect();
    let mut all = Vec::new();
    for (other, (has, most)) in &spare {
        let kept = made_room_for(mesh, node, *other, &mesh.state.sessions[other]).min(most - has);
        all.extend(claims(*other, true, kept));
    }
    let standing = |(other, (has, _)): (&SessionId, &(u32, u32))| {
        let known = &mesh.state.sessions[other];
        (rank(mesh.state.policy, known), mesh.weighted(known, has + 1), *other)
    };
    while let Some((_, _, next)) = spare.iter().filter(|(_, (has, most))| has < most).map(standing).min() {
        all.push(Claim { of: next, is_kept: false });
        spare.entry(next).and_modify(|(has, _)| *has += 1);
    }
    all
}

/// For how many workers of a session those that leave a node for it make room: one each, and no more than they take of what
/// both of them use.
pub(super) fn made_room_for(mesh: &Mesh, node: NodeId, id: SessionId, session: &Session) -> u32 {
    let leave = mesh.on(node).iter().filter(|(_, worker)| leaves_for(worker) == Some(id));
    let amounts = |need: &Resources| {
        let named = session.reserved.named.keys().map(|name| need.named.get(name).copied().unwrap_or(0));
        let counted = [need.cpu_millicores, need.memory_bytes, need.gpu_milli, need.gpu_memory_bytes];
        counted.into_iter().chain(named).map(u128::from).collect::<Vec<u128>>()
    };
    let needs = amounts(&session.reserved);
    let mut sums = vec![0; needs.len()];
    for (_, worker) in leave.clone() {
        amounts(&worker.need).iter().zip(&mut sums).for_each(|(more, sum)| *sum += more);
    }
    let used = sums.iter().zip(&needs).filter(|(sum, need)| **sum > 0 && **need > 0);
    let covered = used.map(|(sum, need)| sum.div_ceil(*need)).min();
    let count = leave.count() as u128;
    u32::try_from(covered.unwrap_or(0).min(count)).unwrap_or(u32::MAX)
}

/// One more worker of a session stands on a node, on this device if it may and fits there, else on another; whether it could.
fn come(
    state: &mut State,
    now: Millis,
    id: SessionId,
    (node, first): (NodeId, &Device),
    is_meant: impl Fn(&Device) -> bool,
) -> bool {
    let found = {
        let mesh = Mesh::of(state, now);
        let session = state.sessions.get(&id);
        let there = mesh.places().filter(|(known, device)| *known == node && device.name != first.name);
        let mut places = core::iter::once((node, first)).chain(there).filter(|(_, device)| is_meant(device));
        session.and_then(|session| {
            let (_, device) = places.find(|place| mesh.fits(id, session, *place, |_, _| false))?;
            Some((device.name.clone(), session.reserved.clone()))
        })
    };
    let Some((device, need)) = found else { return false };
    let (status, duty, at_stake) = (WorkerStatus::Starting, Duty::Serving, Millis(0));
    let number = WorkerId(u64::MAX - state.workers.len() as u64);
    state.workers.insert(number, Worker { session: id, node, device, need, status, duty, at_stake });
    true
}

//! Room on nodes that somebody is about to leave: how much of it may be meant for whom.

use skein_core::capability::Device;
use skein_core::session::Session;
use skein_core::worker::{Duty, Worker, WorkerStatus};
use skein_core::{Millis, NodeId, Resources, SessionId, State, WorkerId};

use super::mesh::{Mesh, leaves_for, target};

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
    let claims = claims(mesh, id, session, place.0);
    // Not all of them need be waiting for this node: one alone may take what all together leave.
    let alone = claims.iter().map(|(one, _)| claims.iter().filter(|(other, _)| other == one).copied().collect());
    alone.chain([claims.clone()]).all(|claims: Vec<_>| is_left_over(mesh, id, session, place, &claims))
}

/// Whether the session has room when those are there, and all that leave are gone.
fn is_left_over(
    mesh: &Mesh,
    id: SessionId,
    session: &Session,
    place: (NodeId, &Device),
    claims: &[(SessionId, u32)],
) -> bool {
    let mut later: State = mesh.state.clone();
    later.workers.retain(|_, worker| worker.node != place.0 || worker.duty == Duty::Serving);
    for (other, count) in claims {
        for _ in 0..*count {
            if !come(&mut later, mesh.now, *other, place) {
                break;
            }
        }
    }
    Mesh::of(&later, mesh.now).fits(id, session, place, |_, _| false)
}

/// How many workers others may be waiting to start on a node before this session has its turn.
fn claims(mesh: &Mesh, id: SessionId, session: &Session, node: NodeId) -> Vec<(SessionId, u32)> {
    let lacks = mesh.lacking(id, session) > 0;
    let queue = mesh.queue();
    let before = queue.iter().take_while(|(other, _)| !lacks || *other != id);
    let claims: Vec<(SessionId, u32)> = before.map(|(other, known)| (*other, mesh.lacking(*other, known))).collect();
    let is_before = |other: &SessionId| claims.iter().any(|(known, _)| known == other);
    let mut rest = Vec::new();
    for (other, known) in mesh.state.sessions.iter().filter(|(other, _)| **other != id && !is_before(other)) {
        if lacks {
            rest.push((*other, mesh.lacking(*other, known).min(made_room_for(mesh, node, *other, known))));
        } else if mesh.is_hungry(*other, known) {
            rest.push((*other, target(known) - mesh.serving(*other)));
        }
    }
    // Whoever is to have his fixed workers there competes with the rest for what is spare.
    let compete = queue.iter().filter(|(_, known)| !lacks && known.spec.share > 0);
    let more = compete.map(|(other, known)| (*other, target(known) - known.spec.fixed));
    claims.into_iter().chain(rest).chain(more).collect()
}

/// For how many workers of a session those that leave a node for it make room: one each, and no more than they take.
fn made_room_for(mesh: &Mesh, node: NodeId, id: SessionId, session: &Session) -> u32 {
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
    let covered = sums.iter().zip(&needs).filter(|(_, need)| **need > 0).map(|(sum, need)| sum.div_ceil(*need)).max();
    let count = leave.count() as u128;
    u32::try_from(covered.unwrap_or(0).min(count)).unwrap_or(u32::MAX)
}

/// One more worker of a session stands on a node, on this device if it fits there; whether it could.
fn come(state: &mut State, now: Millis, id: SessionId, (node, first): (NodeId, &Device)) -> bool {
    let found = {
        let mesh = Mesh::of(state, now);
        let session = state.sessions.get(&id);
        let there = mesh.places().filter(|(known, device)| *known == node && device.name != first.name);
        let mut places = core::iter::once((node, first)).chain(there);
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

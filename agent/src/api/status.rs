//! What an agent's replica shows, put in the API's words.

use skein_core::capability::Device;
use skein_core::durable::DurableStream;
use skein_core::explain::{self, Explanation};
use skein_core::model::ModelRef;
use skein_core::session::Session;
use skein_core::state::Node;
use skein_core::worker::Worker;
use skein_core::{Millis, NodeId, Refusal, SessionId, State, StreamId, WorkerId};
use skein_raft::Role;

use crate::api::{ApiError, EVENTS_MAX, EventPage, Subject, waiting};
use crate::api::{DeviceStatus, MeshStatus, ModelStatus, NodeStatus, SeatStatus, SessionStatus};
use crate::api::{TASK_STREAMS_MAX, TaskStatus, WorkerEntry};
use crate::island::waiting::WaitingStatus;

pub(super) fn mesh(state: &State, asked: NodeId, role: &Role) -> MeshStatus {
    let nodes = state.nodes.iter().map(|(id, node)| self::node(state, *id, node, role)).collect();
    let (leader, term) = (role.leader, role.term);
    let (policy, waiting) = (state.policy, WaitingStatus::default());
    MeshStatus { mesh: state.mesh, asked, leader, term, policy, island: None, waiting, nodes }
}

fn node(state: &State, id: NodeId, node: &Node, role: &Role) -> NodeStatus {
    let spec = &node.spec;
    let capability = &spec.capability;
    NodeStatus {
        node: id,
        name: spec.name.clone(),
        address: spec.address.clone(),
        version: spec.version.clone(),
        up: node.up,
        since: node.since,
        flaps: node.flaps,
        seat: seat(id, role),
        block: node.block.clone(),
        offers: capability.offers.clone(),
        used: state.used_on(id),
        devices: capability.devices.iter().map(|device| self::device(state, node, device)).collect(),
        targets: capability.targets.clone(),
        profiles: capability.profiles.clone(),
        labels: capability.labels.clone(),
        workers: state.workers_on(id).count(),
    }
}

fn device(state: &State, node: &Node, device: &Device) -> DeviceStatus {
    let health = node.devices.get(&device.name).cloned().unwrap_or_default();
    DeviceStatus {
        name: device.name.clone(),
        kind: device.kind,
        hardware: device.hardware.clone(),
        heat: device.heat,
        offers: device.offers.clone(),
        used: state.used(node.spec.id, &device.name),
        block: health.block,
        phase: health.phase,
        quarantines: health.quarantines,
    }
}

pub(super) fn seat(id: NodeId, role: &Role) -> SeatStatus {
    if role.leader == Some(id) {
        SeatStatus::Leader
    } else if role.voters.contains(&id) {
        SeatStatus::Voter
    } else if role.learners.contains(&id) {
        SeatStatus::Learner
    } else {
        SeatStatus::None
    }
}

pub(super) fn models(state: &State) -> Vec<ModelStatus> {
    let using = |model: &ModelRef| state.sessions.values().filter(|session| session.model == *model).count();
    let status = state.models.iter().map(|(model, spec)| ModelStatus {
        model: model.clone(),
        digest: spec.file.digest.to_string(),
        size: spec.blobs().iter().map(|blob| blob.size).sum(),
        sessions: using(model),
    });
    status.collect()
}

/// The streams of durable tasks, the first of them where there are too many for one answer.
pub(super) fn tasks(state: &State) -> Vec<TaskStatus> {
    state.durable.streams().take(TASK_STREAMS_MAX).map(|(id, stream)| stream_of(state, id, stream)).collect()
}

/// One stream of durable tasks.
pub(super) fn task(state: &State, id: StreamId) -> Option<TaskStatus> {
    state.durable.stream(id).map(|stream| stream_of(state, id, stream))
}

fn stream_of(state: &State, id: StreamId, stream: &DurableStream) -> TaskStatus {
    let gateway = state.nodes.get(&stream.gateway);
    TaskStatus {
        stream: id,
        session: stream.session,
        gateway: stream.gateway,
        gateway_name: gateway.map_or_else(|| stream.gateway.to_string(), |node| node.spec.name.clone()),
        tenure: stream.tenure,
        pending: stream.pending.len(),
        checkpointed: stream.pending.values().filter(|task| task.checkpoint.is_some()).count(),
        kept: stream.ended.len(),
        account: stream.account,
        expires: stream.expires(),
    }
}

/// All sessions. Why one waits takes a look at every place, so it is told only where one session is all there is to show.
pub(super) fn sessions(state: &State, now: Millis) -> Vec<SessionStatus> {
    let mut shown: Vec<_> = state.sessions.iter().map(|(id, session)| describe(state, *id, session)).collect();
    if let [only] = shown.as_mut_slice() {
        waiting::tell(state, now, only);
    }
    shown
}

pub(super) fn session(state: &State, now: Millis, id: SessionId) -> Option<SessionStatus> {
    let mut shown = describe(state, id, state.sessions.get(&id)?);
    waiting::tell(state, now, &mut shown);
    Some(shown)
}

fn describe(state: &State, id: SessionId, session: &Session) -> SessionStatus {
    let spec = &session.spec;
    SessionStatus {
        session: id,
        model: session.model.clone(),
        target: spec.target.clone(),
        fixed: spec.fixed,
        max: session.workers_max(),
        share: spec.share,
        priority: spec.priority,
        policy: session.policy,
        hold: session.hold.clone(),
        retry: spec.retry,
        grace: spec.grace,
        task_time: spec.task_time,
        offline: spec.offline,
        need: spec.need.clone(),
        need_max: spec.need_max.clone(),
        reserved: session.reserved.clone(),
        wanted: session.wanted,
        serving: state.index().serving(id),
        evicted: session.evicted,
        lacking_since: session.lacking_since,
        workers: state.workers_of(id).map(|(worker, planned)| entry(state, worker, planned)).collect(),
        failures: session.failures.iter().map(|(node, failure)| (*node, failure.clone())).collect(),
        waiting_for: Vec::new(),
        before_it: None,
        never_fits: None,
        islands: session.islands,
        island: None,
    }
}

fn entry(state: &State, id: WorkerId, worker: &Worker) -> WorkerEntry {
    let name = state.nodes.get(&worker.node).map(|node| node.spec.name.clone());
    WorkerEntry {
        worker: id,
        node: worker.node,
        node_name: name.unwrap_or_else(|| worker.node.to_string()),
        device: worker.device.clone(),
        status: worker.status,
        duty: worker.duty.clone(),
        given: worker.need.clone(),
        at_stake: worker.at_stake,
    }
}

pub(super) fn explanation(state: &State, now: Millis, subject: Subject) -> Result<Explanation, ApiError> {
    match subject {
        Subject::Session(id) => {
            explain::session(state, now, id).ok_or(ApiError::Refused(Refusal::NoSession(id)))
        }
        Subject::Worker(id) => explain::worker(state, now, id).ok_or_else(|| {
            ApiError::Invalid(format!(
                "there is no worker {id} in the plan (any more); `skein session status SESSION` lists a session's workers"
            ))
        }),
    }
}

pub(super) fn events(state: &State, after: u64, most: usize) -> EventPage {
    let later = state.history.iter().filter(|numbered| numbered.sequence > after);
    EventPage { events: later.take(most.min(EVENTS_MAX)).cloned().collect(), last: state.last_event }
}

#[cfg(test)]
mod tests {
    use skein_core::policy::PolicyName;
    use skein_core::{Command, Entry, apply};

    use super::*;

    #[test]
    fn events_are_given_in_order_and_in_bounds() {
        let mut state = State::default();
        for at in 0..600 {
            apply(&mut state, &Entry { at: Millis(at), command: Command::PolicySet(PolicyName::Priority) }).unwrap();
        }
        let numbers = |page: &EventPage| page.events.iter().map(|event| event.sequence).collect::<Vec<_>>();
        // The oldest are no longer kept, and an answer holds only so many, however many are asked for.
        let page = events(&state, 0, usize::MAX);
        assert_eq!((page.events.len(), page.last), (EVENTS_MAX, 600));
        assert_eq!(numbers(&events(&state, 597, 2)), [598, 599]);
        assert!(numbers(&events(&state, u64::MAX, 2)).is_empty());
    }

    #[test]
    fn what_is_not_there_is_not_explained() {
        let state = State::default();
        let error = explanation(&state, Millis(0), Subject::Session(SessionId(7))).unwrap_err().to_string();
        assert!(error.contains("no session 7"), "{error}");
        let error = explanation(&state, Millis(0), Subject::Worker(WorkerId(7))).unwrap_err().to_string();
        assert!(error.contains("no worker 7"), "{error}");
    }
}

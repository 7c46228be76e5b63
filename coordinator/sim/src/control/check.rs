//! What must hold of the replicated state, its events and its plans: written again here, in the plainest way, so that a
//! mistake in the core's own checks does not hide one in its decisions.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::capability::{Device, DeviceKind};
use skein_core::plan::{Plan, feasible};
use skein_core::session::Session;
use skein_core::state::Node;
use skein_core::worker::Worker;
use skein_core::{Command, Entry, Event, Millis, NodeId, Refusal, Resources, SessionId, State, WorkerId};

/// Sums that cannot overflow, and so cannot hide that they did.
type Sum = [u128; 4];

fn sum_of(resources: &Resources) -> Sum {
    let Resources { cpu_millicores, memory_bytes, gpu_milli, gpu_memory_bytes } = *resources;
    [cpu_millicores, memory_bytes, gpu_milli, gpu_memory_bytes].map(u128::from)
}

/// A plan of so many starts may leave the rest to the next one.
pub(super) const STARTS_MAX: usize = 256;

/// What is taken of every device, and how many workers each session has on each node.
#[derive(Debug, Default)]
pub(super) struct Taken {
    devices: BTreeMap<(NodeId, String), Sum>,
    spread: BTreeMap<(SessionId, NodeId), usize>,
    held: BTreeMap<SessionId, usize>,
}

impl Taken {
    pub(super) fn by<'a>(workers: impl Iterator<Item = &'a Worker>) -> Self {
        let mut taken = Self::default();
        workers.for_each(|worker| taken.take(worker.session, worker.node, &worker.device, &worker.need));
        taken
    }

    fn take(&mut self, session: SessionId, node: NodeId, device: &str, need: &Resources) {
        let sum = self.devices.entry((node, device.into())).or_default();
        sum.iter_mut().zip(sum_of(need)).for_each(|(sum, more)| *sum += more);
        *self.spread.entry((session, node)).or_default() += 1;
        *self.held.entry(session).or_default() += 1;
    }

    fn fits(&self, node: NodeId, device: &Device, need: &Resources) -> bool {
        let taken = self.devices.get(&(node, device.name.clone())).copied().unwrap_or_default();
        let offers = sum_of(&device.offers);
        sum_of(need).into_iter().zip(taken).zip(offers).all(|((need, taken), offers)| taken + need <= offers)
    }

    /// Every place where one more worker of the session may stand.
    pub(super) fn places<'a>(&self, state: &'a State, now: Millis, session: &Session) -> Vec<(NodeId, &'a Device)> {
        let nodes = state.nodes.iter().filter(|(id, node)| node.up && serves(session, node, **id, now));
        let devices = nodes.flat_map(|(id, node)| node.spec.capability.devices.iter().map(|device| (*id, device)));
        let may = |(node, device): &(NodeId, &Device)| {
            device.kind == DeviceKind::Cpu && self.fits(*node, device, &session.need)
        };
        devices.filter(may).collect()
    }

    pub(super) fn lacking(&self, id: SessionId, session: &Session) -> usize {
        (session.fixed as usize).saturating_sub(self.held.get(&id).copied().unwrap_or(0))
    }
}

/// `tract` is the one target of the simulated sessions.
fn serves(session: &Session, node: &Node, id: NodeId, now: Millis) -> bool {
    let held_off = session.failures.get(&id).is_some_and(|failure| {
        let length = 5_000 << failure.times.clamp(1, 7).saturating_sub(1);
        // A leader's clock was wrong where a failure lies far ahead.
        failure.at.0 + length > now.0 && failure.at.0 <= now.0 + 5_000
    });
    !held_off && session.target == "tract" && node.spec.capability.targets.iter().any(|target| target == "tract")
}

/// The state alone.
pub(super) fn state(state: &State) -> Vec<String> {
    let taken = Taken::by(state.workers.values());
    let mut found = Vec::new();
    for (id, session) in &state.sessions {
        let held = taken.held.get(id).copied().unwrap_or(0);
        if held > session.fixed as usize {
            found.push(format!("session {id} has {held} of {} workers", session.fixed));
        }
    }
    for ((node, name), sum) in &taken.devices {
        let device = state.nodes.get(node).filter(|node| node.up);
        let device = device.and_then(|node| node.spec.capability.devices.iter().find(|device| device.name == *name));
        match device {
            None => found.push(format!("workers stand on '{name}' of node {node}, which is not there")),
            Some(device) if sum.iter().zip(sum_of(&device.offers)).any(|(sum, offers)| *sum > offers) => {
                found.push(format!("'{name}' of node {node} is over its capacity: {sum:?} of {:?}", device.offers));
            }
            Some(_) => {}
        }
    }
    let claims: Vec<u64> = state.sessions.values().filter_map(|session| session.claim).collect();
    if claims.iter().collect::<BTreeSet<_>>().len() < claims.len() {
        found.push(format!("one claim made several sessions: {claims:?}"));
    }
    if taken.held.keys().any(|session| !state.sessions.contains_key(session)) {
        found.push("a worker serves a session that is over".into());
    }
    found
}

/// What the state held before an entry.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    /// Of all that there ever were.
    pub(super) newest_worker: WorkerId,
}

/// The events tell of every worker that came or went, each once, and new workers stand where they may.
pub(super) fn events(before: &Before, state: &State, entry: &Entry, events: &[Event]) -> Vec<String> {
    let mut found = Vec::new();
    let newest = before.newest_worker;
    let mut told: BTreeMap<WorkerId, Option<&Worker>> =
        before.workers.iter().map(|(id, worker)| (*id, Some(worker))).collect();
    for event in events {
        match event {
            Event::WorkerPlanned(id) if *id <= newest || told.insert(*id, None).is_some() => {
                found.push(format!("worker {id} is planned under an id that was given out before"));
            }
            Event::WorkerRemoved { worker, .. } if told.remove(worker).is_none() => {
                found.push(format!("worker {worker} is removed and was not there"));
            }
            _ => {}
        }
    }
    if !told.keys().eq(state.workers.keys()) {
        found.push(format!("by the events there are workers {:?}", told.keys()));
    }
    if let Command::WorkerReport { node, worker, .. } = &entry.command {
        let own = before.workers.get(worker).is_some_and(|known| known.node == *node);
        if !own {
            found.push(format!("node {node} was heard about worker {worker}, which is not its own"));
        }
    }
    let fresh = state.workers.iter().filter(|(id, _)| !before.workers.contains_key(id));
    for (id, worker) in fresh {
        let session = state.sessions.get(&worker.session);
        let node = state.nodes.get(&worker.node);
        if !session.zip(node).is_some_and(|(session, node)| serves(session, node, worker.node, entry.at)) {
            found.push(format!("worker {id} was placed on node {}, which may not serve it", worker.node));
        }
        if session.is_none_or(|session| session.need != worker.need) || !matches!(entry.command, Command::Plan(_)) {
            found.push(format!("worker {id} is not what its session asked for"));
        }
    }
    found
}

/// A plan that was made on this state: oldest session first, each worker where the fewest of its session are, and nobody
/// left wanting who could be served.
pub(super) fn plan(state: &State, now: Millis, plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    if !plan.stop.is_empty() {
        found.push(format!("it stops {:?}, though no session has too many", plan.stop));
    }
    if !plan.start.is_sorted_by_key(|placement| placement.session) {
        found.push("a younger session comes before an older one".into());
    }
    let mut taken = Taken::by(state.workers.values());
    let mut starts = plan.start.iter().peekable();
    for (id, session) in &state.sessions {
        while let Some(placement) = starts.next_if(|placement| placement.session == *id) {
            let places = taken.places(state, now, session);
            let crowd = |node: NodeId| taken.spread.get(&(*id, node)).copied().unwrap_or(0);
            let best = places.iter().map(|(node, _)| crowd(*node)).min();
            if !places.iter().any(|(node, device)| *node == placement.node && device.name == placement.device) {
                found.push(format!("{placement:?} may not stand there"));
            } else if Some(crowd(placement.node)) != best {
                found.push(format!("{placement:?} joins {}; elsewhere are {best:?}", crowd(placement.node)));
            }
            taken.take(*id, placement.node, &placement.device, &session.need);
        }
        let is_whole = plan.start.len() < STARTS_MAX;
        if is_whole && taken.lacking(*id, session) > 0 && !taken.places(state, now, session).is_empty() {
            found.push(format!("session {id} lacks {} and could be served", taken.lacking(*id, session)));
        }
    }
    if plan.start.len() > STARTS_MAX {
        found.push(format!("it starts {} workers at once", plan.start.len()));
    }
    if let Some(placement) = starts.next() {
        found.push(format!("{placement:?} is for no session"));
    }
    found
}

/// Where nothing can be planned, whoever still lacks a worker is told of every node why it is not there.
pub(super) fn unexplained(state: &State, now: Millis) -> Vec<String> {
    let taken = Taken::by(state.workers.values());
    let mut found = Vec::new();
    for (id, session) in state.sessions.iter().filter(|(id, session)| taken.lacking(**id, session) > 0) {
        let reasons = feasible::obstacles(state, now, session);
        let names = state.nodes.values().map(|node| &node.spec.name);
        let silent = names.filter(|name| !reasons.iter().any(|reason| reason.starts_with(name.as_str())));
        found.extend(silent.map(|name| format!("why session {id} has no more on {name}, nobody says: {reasons:?}")));
    }
    found
}

pub(super) fn event_kind(event: &Event) -> &'static str {
    match event {
        Event::Founded(_) => "event_founded",
        Event::NodeJoined(_) => "event_node_joined",
        Event::NodeDown(_) => "event_node_down",
        Event::NodeUp(_) => "event_node_up",
        Event::ModelAdded(_) => "event_model_added",
        Event::ModelKnown(_) => "event_model_known",
        Event::SessionCreated(_) => "event_session_created",
        Event::SessionEnded(_) => "event_session_ended",
        Event::WorkerPlanned(_) => "event_worker_planned",
        Event::WorkerRemoved { .. } => "event_worker_removed",
        Event::WorkerChanged(_) => "event_worker_changed",
        Event::PlacementRefused { .. } => "event_placement_refused",
    }
}

pub(super) fn refusal_kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::AlreadyFounded(_) => "refused_already_founded",
        Refusal::NodeOutOfBounds => "refused_node_out_of_bounds",
        Refusal::NoNode(_) => "refused_no_node",
        Refusal::BadName(_) => "refused_bad_name",
        Refusal::ModelTooLarge => "refused_model_too_large",
        Refusal::NoModel { .. } => "refused_no_model",
        Refusal::NoSession(_) => "refused_no_session",
        Refusal::BadSession(_) => "refused_bad_session",
        Refusal::NoWorker(_) => "refused_no_worker",
    }
}

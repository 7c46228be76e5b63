//! Answers requests: reads from this agent's replica, changes through the leader.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use skein_core::explain;
use skein_core::health::Author;
use skein_core::seats::Rules;
use skein_core::session::SessionSpec;
use skein_core::state::Node;
use skein_core::{Command, Entry, Event, Millis, NodeId, Refusal, State};
use skein_raft::{ProposeError, Role, Seat};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{
    Answer, ApiError, Change, EVENTS_MAX, MeshStatus, ModelAdded, Request, SessionStatus, TaskEventPage, status,
};
use crate::blobs::Blobs;
use crate::contacts::Contacts;
use crate::gateway::Gateway;
use crate::island::Islands;
use crate::island::waiting::Waiting;
use crate::link::{Open, Pool, ask};
use crate::runtimes::Runtimes;

/// How long a change may take in all, an election included.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long one proposal may take before the leader is looked for again.
const PROPOSE_TIME_MAX: Duration = Duration::from_secs(3);
/// The wait before the leader is looked for again.
const LEADER_WAIT: Duration = Duration::from_millis(50);
/// How long an answer waits until this agent's own replica shows the change, so that whoever asks next sees it.
const OWN_REPLICA_WAIT: Duration = Duration::from_secs(1);

/// What requests are answered from.
#[derive(Clone, Debug)]
pub struct Api {
    /// This node.
    pub node: NodeId,
    /// The replica.
    pub seat: Seat,
    /// The way to the leader.
    pub pool: Pool,
    /// Where clients of this agent have their tasks.
    pub gateway: Gateway,
    /// Model files.
    pub blobs: Blobs,
    /// Who answers, beside the log.
    pub contacts: Contacts,
    /// Whether there is a mesh to speak of, and what goes on without it.
    pub islands: Islands,
    /// What waits for the mesh.
    pub waiting: Waiting,
    /// One trial run of a model at a time: each takes the memory of a worker.
    pub trial: Arc<Semaphore>,
    /// What runs here, and with what.
    pub runtimes: Runtimes,
}

impl Api {
    /// Answers one request. Changes that come from another agent (`passed_on`) are not passed on again.
    pub async fn answer(&self, request: Request, passed_on: bool) -> Result<Answer, ApiError> {
        let role = self.seat.role();
        match request {
            Request::NodeStatus => {
                let mesh = self.seat.read(|state| status::mesh(state, self.node, &role));
                Ok(Answer::Nodes(MeshStatus { island: self.islands.status(), waiting: self.waiting.status(), ..mesh }))
            }
            Request::CoordinatorStatus => Ok(Answer::Coordinator(Box::new(self.coordinator_status(passed_on).await))),
            Request::Transfer(to) => self.transfer(to, passed_on).await,
            Request::ModelList => Ok(Answer::Models(self.seat.read(status::models))),
            Request::ModelShow(query) => self.show_model(&query).await,
            Request::SessionStatus(None) => Ok(self.sessions(self.seat.read(|state| status::sessions(state, now())))),
            Request::SessionStatus(Some(id)) => {
                let found = self.seat.read(|state| status::session(state, now(), id));
                found.map(|session| self.sessions(vec![session])).ok_or(ApiError::Refused(Refusal::NoSession(id)))
            }
            Request::Explain(subject) => {
                self.seat.read(|state| status::explanation(state, now(), subject)).map(Answer::Explained)
            }
            Request::PlanTrial(spec) => self.forecast(spec).await,
            Request::Events { after, most } => {
                Ok(Answer::Events(self.seat.read(|state| status::events(state, after, most))))
            }
            Request::TaskEvents { session, after, most } => {
                let is_open = self.seat.read(|state| state.sessions.contains_key(&session));
                if !is_open {
                    return Err(ApiError::Refused(Refusal::NoSession(session)));
                }
                let (events, last) = self.gateway.task_events(session, after, most.min(EVENTS_MAX));
                Ok(Answer::TaskEvents(TaskEventPage { gateway: self.node, events, last }))
            }
            Request::TaskStatus(None) => Ok(Answer::Tasks(self.seat.read(status::tasks))),
            Request::TaskStatus(Some(id)) => {
                let found = self.seat.read(|state| status::task(state, id));
                found.map(|task| Answer::Tasks(vec![task])).ok_or(ApiError::Refused(Refusal::NoStream(id)))
            }
            Request::Change(change) if passed_on => self.lead(change).await,
            Request::Change(change) => {
                let answer = self.change(change).await?;
                self.wait_until_shown(&answer).await;
                Ok(answer)
            }
        }
    }

    /// Sessions as the replica has them, and how they stand here where the node is cut off.
    fn sessions(&self, mut sessions: Vec<SessionStatus>) -> Answer {
        for session in &mut sessions {
            session.island = self.islands.session_status(session.session, session.offline);
        }
        Answer::Sessions(sessions)
    }

    /// What would happen is decided from nothing, which may take seconds in a large mesh: so it is done on a copy, beside
    /// the loop that everything else of this agent runs on.
    async fn forecast(&self, spec: SessionSpec) -> Result<Answer, ApiError> {
        let state = self.seat.read(State::clone);
        let forecast = tokio::task::spawn_blocking(move || explain::forecast(&state, now(), &spec)).await;
        let forecast = forecast.map_err(|error| ApiError::Unavailable(format!("the planner failed: {error}")))?;
        forecast.map(|forecast| Answer::Forecast(Box::new(forecast))).map_err(ApiError::Refused)
    }

    /// Has a change committed by whoever leads, for as long as [`CHANGE_TIME_MAX`].
    async fn change(&self, change: Change) -> Result<Answer, ApiError> {
        let deadline = Instant::now() + CHANGE_TIME_MAX;
        let mut last = ApiError::Unavailable("the mesh has no leader now".into());
        while Instant::now() < deadline {
            let role = self.seat.role();
            let answer = match self.leader(&role) {
                Some(leader) if leader == self.node => self.lead(change.clone()).await,
                Some(leader) => self.pass_on(leader, change.clone()).await,
                None => Err(last.clone()),
            };
            match answer {
                Err(error @ ApiError::Unavailable(_)) => last = error,
                other => return other,
            }
            sleep(LEADER_WAIT).await;
        }
        Err(self.without_quorum(last).await)
    }

    /// Who leads: as the seat knows it, or by gossip where that tells of a later term or the seat knows of nobody.
    pub fn leader(&self, role: &Role) -> Option<NodeId> {
        let heard = |term| self.contacts.heard_leader(term);
        heard(role.term + 1).or(role.leader).or_else(|| heard(role.term))
    }

    async fn pass_on(&self, leader: NodeId, change: Change) -> Result<Answer, ApiError> {
        let unavailable =
            |reason: String| ApiError::Unavailable(format!("the leader {leader} cannot be asked: {reason}"));
        let exchange = async {
            let connection = self.pool.connection(leader).await?;
            ask::<Result<Answer, ApiError>>(&connection, &Open::Api(Request::Change(change)), Bytes::new()).await
        };
        // A leader that fell silent is not waited for once there is another.
        let mut roles = self.seat.roles();
        let replaced = roles.wait_for(|role| role.leader.is_some_and(|other| other != leader));
        tokio::select! {
            answer = timeout(PROPOSE_TIME_MAX, exchange) => match answer {
                Err(_) => Err(unavailable("no answer in time".into())),
                Ok(Err(error)) => Err(unavailable(error.to_string())),
                Ok(Ok((answer, _))) => answer,
            },
            _ = replaced => Err(unavailable("another leads now".into())),
        }
    }

    /// Whether a node that is known has no copy of the log, and is down: it came back with an empty memory, or the mesh went on without
    /// it. It cannot know whom to send its beats before it has a seat, and gets none while it is down; so its own word counts.
    fn is_without_a_seat(&self, node: NodeId) -> bool {
        let role = self.seat.role();
        let has_seat = role.voters.contains(&node) || role.learners.contains(&node);
        !has_seat && self.seat.read(|state| state.nodes.get(&node).is_some_and(|known| !known.up))
    }

    /// Commits a change, if this agent leads.
    async fn lead(&self, change: Change) -> Result<Answer, ApiError> {
        let change = self.check_seats(change)?;
        let answers = propose_all(&self.seat, commands(change.clone())).await?;
        if matches!(change, Change::Tasks(_)) {
            return Ok(Answer::Committed(answers.into_iter().map(|answer| answer.map(drop)).collect()));
        }
        let mut events = Vec::new();
        for answer in answers {
            events.extend(answer.map_err(ApiError::Refused)?);
        }
        if let Change::Join(spec) = &change
            && self.is_without_a_seat(spec.id)
        {
            propose(&self.seat, Command::NodeUp(spec.id)).await?;
        }
        let answer = events.iter().find_map(|event| match event {
            Event::SessionCreated(id) | Event::SessionKnown(id) => Some(Answer::Created(*id)),
            Event::Blocked { node, device, .. } => Some(blocked(*node, device.clone(), true)),
            Event::Unblocked { node, device, .. } => Some(blocked(*node, device.clone(), false)),
            Event::PolicySet(policy) => Some(Answer::Policy(*policy)),
            Event::SeatsSet(rules) => Some(Answer::Seats(*rules)),
            Event::ModelAdded(model) => Some(added(model.clone(), false)),
            Event::ModelKnown(model) => Some(added(model.clone(), true)),
            _ => None,
        });
        Ok(answer.unwrap_or(match change {
            Change::SessionEnd(session) => Answer::Ended(session),
            Change::SeatEvict(node) => Answer::Seat { node, evicted: true },
            Change::SeatAllow(node) => Answer::Seat { node, evicted: false },
            _ => Answer::Done,
        }))
    }

    /// The leader has committed; this agent's replica follows within a heartbeat. It is only a courtesy to wait: a
    /// replica that lags longer answers all the same.
    async fn wait_until_shown(&self, answer: &Answer) {
        let mut changes = self.seat.changes();
        let wait = async {
            while !self.seat.read(|state| is_shown(state, answer)) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(OWN_REPLICA_WAIT, wait).await;
    }
}

/// Commits a command on this agent's seat, stamped now.
pub async fn propose(seat: &Seat, command: Command) -> Result<Vec<Event>, ApiError> {
    let answers = propose_all(seat, vec![command]).await?;
    let answer = answers.into_iter().next();
    answer.ok_or_else(|| ApiError::Unavailable("the seat gave no answer".into()))?.map_err(ApiError::Refused)
}

/// Commits commands in their order, stamped now; what came of each.
async fn propose_all(seat: &Seat, commands: Vec<Command>) -> Result<Vec<Result<Vec<Event>, Refusal>>, ApiError> {
    let at = now();
    let entries = commands.into_iter().map(|command| Entry { at, command }).collect();
    match timeout(PROPOSE_TIME_MAX, seat.propose_all(entries)).await {
        Err(_) => Err(ApiError::Unavailable(
            "the change was not committed in time: fewer than half of the voters answer; it may still be".into(),
        )),
        Ok(Err(ProposeError::NotLeader { .. })) => {
            Err(ApiError::Unavailable("this agent does not lead any more".into()))
        }
        Ok(Err(error)) => Err(ApiError::Unavailable(error.to_string())),
        Ok(Ok(answers)) => Ok(answers),
    }
}

/// Time since the Unix epoch, for log entries. Only the leader's counts.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What a change asks of the replicated state: one command, but for durable tasks.
fn commands(change: Change) -> Vec<Command> {
    let command = match change {
        Change::Tasks(commands) => return commands.into_iter().map(Command::Tasks).collect(),
        Change::Join(spec) => Command::NodeJoin(spec),
        Change::Block { node, device, reason, ending } => {
            Command::Block { node, device, by: Author::Operator, reason, ending }
        }
        Change::Unblock { node, device } => Command::Unblock { node, device },
        Change::PolicySet(policy) => Command::PolicySet(policy),
        Change::SeatsSet { voters, replace_after } => {
            let usual = Rules::default();
            let (voters, replace_after) =
                (voters.unwrap_or(usual.voters), replace_after.unwrap_or(usual.replace_after));
            Command::SeatsSet(Rules { voters, replace_after })
        }
        Change::SeatEvict(node) => Command::SeatEvict(node),
        Change::SeatAllow(node) => Command::SeatAllow(node),
        Change::ModelAdd(spec) => Command::ModelAdd(spec),
        Change::SessionCreate(spec) => Command::SessionCreate(spec),
        Change::SessionEnd(id) => Command::SessionEnd(id),
        Change::IslandReport(report) => Command::IslandReport(report),
        Change::WorkerReport { node, worker, report } => Command::WorkerReport { node, worker, report },
        Change::DeviceReport { node, device, report } => Command::DeviceReport { node, device, report },
    };
    vec![command]
}

fn added(model: skein_core::model::ModelRef, known: bool) -> Answer {
    Answer::Model(ModelAdded { model, known, inputs: Vec::new(), outputs: Vec::new() })
}

fn blocked(node: NodeId, device: Option<String>, blocked: bool) -> Answer {
    Answer::Blocked { node, device, blocked }
}

fn is_shown(state: &State, answer: &Answer) -> bool {
    match answer {
        Answer::Blocked { node, device, blocked } => {
            state.nodes.get(node).is_some_and(|node| is_blocked(node, device.as_deref()) == *blocked)
        }
        Answer::Policy(policy) => state.policy == *policy,
        Answer::Seats(rules) => state.seats.rules == *rules,
        Answer::Seat { node, evicted } => state.seats.evicted.contains(node) == *evicted,
        Answer::Created(id) => state.sessions.contains_key(id),
        Answer::Ended(id) => !state.sessions.contains_key(id),
        Answer::Model(added) => state.models.contains_key(&added.model),
        _ => true,
    }
}

fn is_blocked(node: &Node, device: Option<&str>) -> bool {
    match device {
        None => node.block.is_some(),
        Some(device) => node.devices.get(device).is_some_and(|health| health.block.is_some()),
    }
}

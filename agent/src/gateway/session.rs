//! One session at this gateway: a dispatcher, the ways to its workers and the ways back to its clients.
//!
//! Whoever has news (a client's task, a worker's answer, a plan) takes the lock, tells the dispatcher, and carries out what it
//! then wants done. Nothing waits while the lock is held: every queue has room by construction, or its owner is gone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_core::dispatch::events::TaskEvent;
use skein_core::dispatch::ledger::Ledger;
use skein_core::dispatch::retry::Retry;
use skein_core::dispatch::{Demand, Dispatcher, Limits, Loss, Outcome, Refused, TaskId};
use skein_core::island::IslandAccount;
use skein_core::{Millis, NodeId, Sequence, SessionId, StreamId, WorkerId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::frame::PAYLOAD_BYTES_MAX;
use crate::gateway::Held;
use crate::island::Islands;
use crate::island::tell::LateAnswer;
use crate::worker::host::{Attempt, AttemptEnd, Checkpoint, Port};
use crate::worker::protocol::{AnswerKind, InputKind};
use alarm::Alarm;

mod alarm;

/// Tasks that one client stream may have in house; the gateway reads no further until one was given back.
pub(crate) const WINDOW: u16 = 256;
/// Clients that one session may have at one gateway.
const CLIENTS_MAX: usize = 64;
/// Streams of durable tasks of one session that one gateway runs at once; others wait until one of them is through.
const DURABLE_MAX: usize = 512;
/// Checkpoints that wait to be stored.
const CHECKPOINTS_MAX: usize = 16;
/// Attempts given up that are remembered: a thousand workers' worth of them.
const GIVEN_UP_MAX: usize = 4_096;
/// A task at which so many workers died is reported as failed.
const LOSSES_MAX: u32 = 5;

/// What a client sent.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) input: InputKind,
    pub(crate) bytes: Bytes,
    /// Its place in the gateway's memory.
    pub(crate) _held: Held,
}

/// How far a task is.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Bytes,
    /// Its place in the gateway's memory.
    pub(crate) _held: Held,
}

/// What a worker answered.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) run_micros: u64,
    pub(crate) kind: AnswerKind,
    pub(crate) payload: Bytes,
}

/// A task's end on its way to the client.
pub(crate) type Delivery = skein_core::dispatch::Delivery<Ended>;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    node: NodeId,
    begin: Instant,
    islands: Islands,
    /// For the alarm, which must not keep a session.
    me: Weak<Session>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    dispatcher: Dispatcher<Arc<Payload>, Ended, Arc<Kept>>,
    alarm: Alarm,
    /// Workers that the plan gives this session, and the task that keeps the way to each.
    planned: HashMap<WorkerId, (Given, AbortHandle)>,
    ports: HashMap<WorkerId, Port>,
    clients: HashMap<StreamId, Client>,
    last_client: u64,
    /// Attempts that were given up with their worker, the newest last: it may come back and say that it ended them.
    given_up: VecDeque<GivenUp>,
    /// The session is over: whatever still comes fails at once.
    ended: bool,
}

/// A worker that the plan gives a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) node: NodeId,
    /// If not, it may only end what it has.
    pub(super) takes_tasks: bool,
}

/// Where a stream of tasks comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A client, in real time.
    Client,
    /// The mesh's durable tasks.
    Durable,
}

#[derive(Debug)]
struct Client {
    /// Tells a client from the one before it with the same stream.
    number: u64,
    source: Source,
    deliveries: mpsc::Sender<Delivery>,
    /// How far the tasks of a durable stream are; of what finds no room the next word will do.
    checkpoints: Option<mpsc::Sender<(Sequence, Bytes)>>,
}

/// A stream of tasks at this gateway.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Tells the stream from one before it of the same id.
    pub(crate) number: u64,
    /// The ends of its tasks.
    pub(crate) deliveries: mpsc::Receiver<Delivery>,
    /// How far its tasks are, where that is asked for.
    pub(crate) checkpoints: mpsc::Receiver<(Sequence, Bytes)>,
}

impl Session {
    pub(super) fn new(id: SessionId, node: NodeId, retry: Retry, islands: Islands) -> Arc<Self> {
        let streams_max = CLIENTS_MAX + DURABLE_MAX;
        let limits = Limits { tasks_max: streams_max * usize::from(WINDOW), streams_max, losses_max: LOSSES_MAX };
        let inner = Inner {
            dispatcher: Dispatcher::new(limits, retry),
            alarm: Alarm::default(),
            planned: HashMap::new(),
            ports: HashMap::new(),
            clients: HashMap::new(),
            last_client: 0,
            given_up: VecDeque::new(),
            ended: false,
        };
        let begin = Instant::now();
        Arc::new_cyclic(|me| Self { id, node, begin, islands, me: me.clone(), inner: Mutex::new(inner) })
    }

    /// The plan gives it these workers; `keep` starts the task that keeps the way to a new one.
    pub(super) fn on_plan(&self, given: &HashMap<WorkerId, Given>, keep: impl Fn(WorkerId, NodeId) -> AbortHandle) {
        let now = self.now();
        let mut inner = self.lock();
        let gone: Vec<WorkerId> = inner.planned.keys().filter(|worker| !given.contains_key(worker)).copied().collect();
        for worker in gone {
            if let Some((_, keeper)) = inner.planned.remove(&worker) {
                keeper.abort();
            }
            inner.ports.remove(&worker);
            inner.give_up(worker);
            // That is the plan's doing: nothing that the worker still had is to blame.
            inner.dispatcher.on_lost(now, worker, Loss::Gone);
        }
        for (worker, given) in given {
            inner.planned.entry(*worker).or_insert_with(|| (*given, keep(*worker, given.node))).0 = *given;
            inner.offer(*worker);
        }
        self.pump(&mut inner);
    }

    /// Whether the plan gave it this worker before.
    pub(super) fn holds(&self, worker: WorkerId) -> bool {
        self.lock().planned.contains_key(&worker)
    }

    /// Tasks that wait, and tasks that run.
    pub(super) fn demand(&self) -> (u64, u64) {
        let Demand { waiting, running } = self.lock().dispatcher.demand();
        (waiting, running)
    }

    /// A way to a worker is open.
    pub(super) fn attached(&self, worker: WorkerId, port: Port) {
        let mut inner = self.lock();
        // The plan may have dropped it while the way was being opened.
        if inner.planned.contains_key(&worker) {
            inner.ports.insert(worker, port);
            inner.offer(worker);
            self.pump(&mut inner);
        }
    }

    /// The way to a worker broke, or the worker died.
    pub(super) fn lost(&self, worker: WorkerId, loss: Loss) {
        let mut inner = self.lock();
        inner.ports.remove(&worker);
        inner.give_up(worker);
        inner.dispatcher.on_lost(self.now(), worker, loss);
        self.pump(&mut inner);
    }

    /// A worker answered.
    pub(super) fn answered(&self, worker: WorkerId, end: AttemptEnd) {
        let result = end.result.map(|kind| Ended { run_micros: end.run_micros, kind, payload: end.payload });
        let now = self.now();
        let mut inner = self.lock();
        if !inner.dispatcher.on_result(now, worker, end.task, end.attempt, result) {
            tracing::debug!(session = self.id.0, worker = worker.0, "an answer of an old attempt was fenced off");
        }
        self.pump(&mut inner);
    }

    /// A worker is so far with a task: its next attempt begins there.
    pub(super) fn kept(&self, worker: WorkerId, checkpoint: Checkpoint, held: Held) {
        let Checkpoint { task, attempt, bytes } = checkpoint;
        let mut inner = self.lock();
        let kept = Arc::new(Kept { bytes: bytes.clone(), _held: held });
        if inner.dispatcher.on_checkpoint(worker, task, attempt, kept)
            && let Some(kept) = inner.clients.get(&task.stream).and_then(|client| client.checkpoints.as_ref())
        {
            let _ = kept.try_send((task.sequence, bytes));
        }
    }

    /// What these attempts were, that ended where this gateway could not hear of it.
    pub(super) fn late(&self, ends: &[(WorkerId, TaskId, u32)]) -> LateAnswer {
        let mut inner = self.lock();
        let mut answer = LateAnswer::default();
        let Inner { given_up, dispatcher, .. } = &mut *inner;
        for end in ends {
            let Some(found) = given_up.iter_mut().find(|given_up| given_up.end == *end) else { continue };
            // It may have been told of before, and the answer got lost with its connection: then it gets the same answer again.
            if *found.is_repeated.get_or_insert_with(|| dispatcher.on_late(end.1)) {
                answer.repeated += 1;
            } else {
                answer.unclaimed += 1;
            }
        }
        answer
    }

    /// The time of a retry has come.
    fn wake(&self) {
        self.pump(&mut self.lock());
    }

    /// A client's stream begins. A stream of the same id is a connection that the client gave up: it ends.
    pub(crate) fn open(
        &self,
        stream: StreamId,
        source: Source,
        ordered: bool,
        first: Sequence,
    ) -> Result<Opened, Refused> {
        let mut inner = self.lock();
        if inner.clients.remove(&stream).is_some() {
            inner.dispatcher.close_stream(stream);
        }
        let most = match source {
            Source::Client => CLIENTS_MAX,
            Source::Durable => DURABLE_MAX,
        };
        if inner.clients.values().filter(|client| client.source == source).count() >= most {
            return Err(Refused::Full);
        }
        inner.dispatcher.open_stream(stream, ordered, first)?;
        inner.last_client += 1;
        let number = inner.last_client;
        // A client has at most as many tasks in house as its window, so there is always room.
        let (deliveries, receiver) = mpsc::channel(usize::from(WINDOW));
        let (kept, checkpoints) = mpsc::channel(CHECKPOINTS_MAX);
        let kept = (source == Source::Durable).then_some(kept);
        inner.clients.insert(stream, Client { number, source, deliveries, checkpoints: kept });
        Ok(Opened { number, deliveries: receiver, checkpoints })
    }

    /// A client's stream ends; its account, unless it was replaced before.
    pub(crate) fn close(&self, stream: StreamId, number: u64) -> Option<Ledger> {
        let mut inner = self.lock();
        if inner.clients.get(&stream)?.number != number {
            return None;
        }
        let client = inner.clients.remove(&stream);
        let ledger = inner.dispatcher.close_stream(stream);
        self.count_dropped(client.is_some_and(|client| client.source == Source::Client), ledger);
        ledger
    }

    /// Clients are not served here any more; they may come again, or go to another gateway. What the mesh has promised waits.
    pub(super) fn close_clients(&self) {
        let mut inner = self.lock();
        let clients = inner.clients.iter().filter(|(_, client)| client.source == Source::Client);
        for stream in clients.map(|(stream, _)| *stream).collect::<Vec<_>>() {
            inner.clients.remove(&stream);
            self.count_dropped(true, inner.dispatcher.close_stream(stream));
        }
    }

    /// A stream is closed: on an island, what was left of a client's is in the account.
    fn count_dropped(&self, is_client: bool, ledger: Option<Ledger>) {
        if let Some(ledger) = ledger.filter(|_| is_client) {
            self.islands.count(self.id, IslandAccount { dropped: ledger.dropped, ..IslandAccount::default() });
        }
    }

    /// A client's task, and from where it goes on if it was begun before.
    pub(crate) fn submit(
        &self,
        task: TaskId,
        attempt_first: u32,
        priority: u8,
        payload: Payload,
        checkpoint: Option<Kept>,
    ) -> Result<(), Refused> {
        let mut inner = self.lock();
        inner.dispatcher.submit(task, attempt_first, priority, Arc::new(payload))?;
        if let Some(checkpoint) = checkpoint {
            inner.dispatcher.start_from(task, Arc::new(checkpoint));
        }
        if inner.ended {
            inner.dispatcher.fail_all(&self.ended_text());
        }
        self.pump(&mut inner);
        Ok(())
    }

    /// The session is over.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        for (_, keeper) in std::mem::take(&mut inner.planned).into_values() {
            keeper.abort();
        }
        inner.ports.clear();
        inner.ended = true;
        inner.dispatcher.fail_all(&self.ended_text());
        self.pump(&mut inner);
    }

    fn ended_text(&self) -> String {
        format!("session {} ended before the task did", self.id)
    }

    /// What happened to its tasks here after the event of this number, oldest first, and the number of the last.
    pub(super) fn events(&self, after: u64, most: usize) -> (Vec<TaskEvent>, u64) {
        let inner = self.lock();
        let later = inner.dispatcher.events_since(after).take(most).cloned().collect();
        (later, inner.dispatcher.events_last())
    }

    /// On which node a worker stands: this one where the plan has just dropped it.
    pub(crate) fn node_of(&self, worker: WorkerId) -> NodeId {
        self.lock().planned.get(&worker).map_or(self.node, |(given, _)| given.node)
    }

    /// Carries out what the dispatcher wants.
    fn pump(&self, inner: &mut Inner) {
        let now = self.now();
        while let Some(send) = inner.dispatcher.next_send(now) {
            let checkpoint = send.checkpoint.map(|kept| kept.bytes.clone());
            let attempt = Attempt {
                task: send.task,
                attempt: send.attempt,
                input: send.payload.input.clone(),
                payload: send.payload.bytes.clone(),
                checkpoint: checkpoint.filter(|bytes| fits_beside(bytes, &send.payload.bytes)).unwrap_or_default(),
            };
            let port = inner.ports.get(&send.worker);
            // The port has room for as many attempts as it gave credits: it refuses only when it is closed.
            if port.is_none_or(|port| port.attempts.try_send(attempt).is_err()) {
                inner.ports.remove(&send.worker);
                // What else the worker had is lost when its keeper says how.
                inner.dispatcher.on_unsent(send.worker, send.task, send.attempt);
            }
        }
        let wake_at = inner.dispatcher.wake_at().map(|at| self.begin + Duration::from_millis(at.0));
        inner.alarm.set(wake_at, &self.me);
        while let Some(delivery) = inner.dispatcher.next_delivery() {
            if let Some(client) = inner.clients.get(&delivery.task.stream) {
                if client.source == Source::Client {
                    let is_done = u64::from(matches!(delivery.outcome, Outcome::Done(_)));
                    let account = IslandAccount { done: is_done, failed: 1 - is_done, ..IslandAccount::default() };
                    self.islands.count(self.id, account);
                }
                // The client is gone where this fails: its reader is about to close the stream.
                let _ = client.deliveries.try_send(delivery);
            }
        }
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a checkpoint and an input fit one message. Where they do not, the task begins anew.
fn fits_beside(checkpoint: &Bytes, input: &Bytes) -> bool {
    checkpoint.len() + input.len() <= PAYLOAD_BYTES_MAX
}

/// An attempt that was given up with the way to its worker.
#[derive(Debug)]
struct GivenUp {
    end: (WorkerId, TaskId, u32),
    /// Once the worker's node has said that it ended there all the same: whether its task was tried again, or its stream is gone.
    is_repeated: Option<bool>,
}

impl Inner {
    /// What a worker has is given up; it may have done it all the same.
    fn give_up(&mut self, worker: WorkerId) {
        let held = self.dispatcher.held_by(worker);
        self.given_up.extend(held.map(|(task, attempt)| GivenUp { end: (worker, task, attempt), is_repeated: None }));
        let surplus = self.given_up.len().saturating_sub(GIVEN_UP_MAX);
        self.given_up.drain(..surplus);
    }

    /// Lets the dispatcher know a worker as the plan says, once there is a way to it.
    fn offer(&mut self, worker: WorkerId) {
        let (Some((given, _)), Some(port)) = (self.planned.get(&worker), self.ports.get(&worker)) else { return };
        if given.takes_tasks {
            self.dispatcher.on_worker(worker, given.node, port.credits);
        } else {
            self.dispatcher.on_leaving(worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[tokio::test]
    async fn a_node_that_was_cut_off_gets_the_same_answer_however_often_it_asks() {
        let state = tempfile::tempdir().unwrap();
        let islands = Islands::open(NodeId(1), state.path(), Millis(3_000));
        let session = Session::new(SessionId(1), NodeId(1), Retry::default(), islands);
        let given = HashMap::from([(WorkerId(1), Given { node: NodeId(2), takes_tasks: true })]);
        session.on_plan(&given, |_, _| tokio::spawn(std::future::pending::<()>()).abort_handle());
        let (attempts, mut sent) = mpsc::channel(4);
        session.attached(WorkerId(1), Port { credits: 4, attempts });
        let _opened = session.open(StreamId(1), Source::Client, true, Sequence(0)).unwrap();
        let held = Held { bytes: 0, from: Arc::new(AtomicUsize::new(0)) };
        let payload = Payload { input: InputKind::Picture, bytes: Bytes::new(), _held: held };
        session.submit(TaskId { stream: StreamId(1), sequence: Sequence(0) }, 1, 50, payload, None).unwrap();
        let attempt = sent.try_recv().unwrap();
        session.lost(WorkerId(1), Loss::Gone);
        let ends = [(WorkerId(1), attempt.task, attempt.attempt), (WorkerId(9), attempt.task, attempt.attempt)];
        for _ in 0..2 {
            let LateAnswer { repeated, unclaimed } = session.late(&ends);
            assert_eq!((repeated, unclaimed), (1, 0), "the other was never given up");
        }
    }
}

//! A stream of tasks that outlives its gateway.
//!
//! The client keeps each task until its result is there. When the gateway is lost it goes to another agent and submits
//! what is unfinished again, with attempt numbers above all that the lost gateway may have used. A result is given out once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use skein_core::dispatch::ATTEMPTS_MAX;
use skein_core::dispatch::history::FailedAttempt;
use skein_core::dispatch::ledger::Ledger;
use skein_core::session::PRIORITY_DEFAULT;
use skein_core::{NodeId, Sequence, SessionId, StreamId, WorkerId};
use tokio::time::{Instant, sleep, timeout};

use crate::api::ApiError;
use crate::client::{Client, ClientError, random};
use crate::frame;
use crate::gateway::wire::{TaskHead, ToClient};
use crate::link::{Debts, LinkError, Open, Stream, TasksOpen, send_message};
use crate::worker::protocol::{AnswerKind, InputKind};

/// How many attempt numbers each gateway has for itself: as many as it may use.
const ATTEMPTS_A_GATEWAY: u32 = ATTEMPTS_MAX;
/// How long to go without a word of the gateway (it says every few seconds that it is there), an open stream or a reachable agent before
/// giving up. How long a result takes does not matter: a session may wait for its workers.
const PATIENCE: Duration = Duration::from_secs(60);
/// The wait before agents are tried again when none answers.
const AGAIN: Duration = Duration::from_millis(200);

/// Whether results come in the order of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In the order of the tasks.
    Kept,
    /// As they are ready.
    AsReady,
}

/// One task's end.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// Which task, as [`TaskStream::submit`] numbered it.
    pub sequence: Sequence,
    /// The attempt that ended it.
    pub attempt: u32,
    /// The worker that ended it, and where it ran.
    pub worker: Option<(WorkerId, NodeId)>,
    /// How long the worker ran.
    pub ran: Duration,
    /// From submission to here.
    pub latency: Duration,
    /// The answer, or why there is none.
    pub result: Result<AnswerKind, String>,
    /// The tensors of the answer.
    pub payload: Bytes,
    /// Its attempts before that failed, and those at which a worker died, oldest first.
    pub history: Vec<FailedAttempt>,
}

#[derive(Debug)]
struct Task {
    input: InputKind,
    payload: Bytes,
    priority: u8,
    submitted: Instant,
}

/// An open stream of tasks. Use it from one place: submit until as many are pending as should be, then take results.
#[derive(Debug)]
pub struct TaskStream {
    client: Client,
    session: SessionId,
    id: StreamId,
    order: Order,
    priority: u8,
    stream: Option<Stream>,
    gateways: u32,
    next: Sequence,
    pending: BTreeMap<Sequence, Task>,
    /// What the agent in use owes.
    debts: Debts,
    /// This side's own account; the gateway's would begin anew after a loss.
    ledger: Ledger,
    duplicates: u64,
}

impl TaskStream {
    /// Opens a stream of tasks to a session.
    pub async fn open(client: Client, session: SessionId, order: Order) -> Result<Self, ClientError> {
        let mut stream = Self {
            debts: client.link.owed.debts(),
            client,
            session,
            id: StreamId(random()?),
            order,
            priority: PRIORITY_DEFAULT,
            stream: None,
            gateways: 0,
            next: Sequence(0),
            pending: BTreeMap::new(),
            ledger: Ledger::default(),
            duplicates: 0,
        };
        stream.reopen().await?;
        Ok(stream)
    }

    /// Tasks submitted from now on have this priority, 0 to 100: of those that wait in the session, higher ones are sent first.
    pub fn set_priority(&mut self, priority: u8) {
        self.priority = priority;
    }

    /// Submits one task.
    pub async fn submit(&mut self, input: InputKind, payload: Bytes) -> Result<Sequence, ClientError> {
        // A payload that no frame can carry is refused here, before it is counted as pending.
        frame::head(&input, payload.len()).map_err(LinkError::from)?;
        let sequence = self.next;
        self.next.0 += 1;
        self.ledger.submitted += 1;
        self.pending.insert(sequence, Task { input, payload, priority: self.priority, submitted: Instant::now() });
        self.debts.add();
        if self.send(sequence).await.is_err() {
            // The task is kept: it is sent again with the others when the next result is asked for.
            self.stream = None;
        }
        Ok(sequence)
    }

    /// The next result; none when nothing is pending.
    pub async fn next(&mut self) -> Result<Option<TaskResult>, ClientError> {
        while !self.pending.is_empty() {
            if self.stream.is_none() {
                self.go_on_elsewhere().await?;
            }
            let Some(stream) = &mut self.stream else { continue };
            let read = tokio::select! {
                read = timeout(PATIENCE, frame::read(&mut stream.recv)) => read,
                // The agent is silent: another, if there is one, has the tasks done.
                () = self.client.link.owed.silence(), if self.client.addresses.len() > 1 => Ok(Ok(None)),
            };
            let message = match read {
                Err(_) => return Err(ClientError::NoResult(PATIENCE.as_secs())),
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None) | Err(_)) => {
                    self.stream = None;
                    continue;
                }
            };
            match message.header().map_err(LinkError::from)? {
                ToClient::Result(head) => {
                    let Some(task) = self.pending.remove(&head.sequence) else {
                        self.duplicates += 1;
                        continue;
                    };
                    self.debts.settle();
                    match &head.result {
                        Ok(_) => self.ledger.done += 1,
                        Err(_) => self.ledger.failed += 1,
                    }
                    return Ok(Some(TaskResult {
                        sequence: head.sequence,
                        attempt: head.attempt,
                        worker: head.worker,
                        ran: Duration::from_micros(head.run_micros),
                        latency: task.submitted.elapsed(),
                        result: head.result,
                        payload: message.payload,
                        history: head.history,
                    }));
                }
                ToClient::Refused { sequence, retry_after_ms } => {
                    // A bound of the mesh's own choosing, and of at most a second, whatever a strange gateway says.
                    sleep(Duration::from_millis(retry_after_ms.min(1_000))).await;
                    if self.pending.contains_key(&sequence) && self.send(sequence).await.is_err() {
                        self.stream = None;
                    }
                }
                ToClient::Wrong(error) => return Err(error.into()),
                ToClient::Opened(_) | ToClient::Here | ToClient::Closed(_) => {}
            }
        }
        Ok(None)
    }

    /// Tasks without a result yet.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The account so far: every task is done, failed or pending.
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Results that came for a task that had one already, and were not given out.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// How many gateways the stream has been at.
    pub fn gateways(&self) -> u32 {
        self.gateways
    }

    async fn send(&mut self, sequence: Sequence) -> Result<(), LinkError> {
        let attempt_first = self.attempt_first();
        let (Some(stream), Some(task)) = (&mut self.stream, self.pending.get(&sequence)) else { return Ok(()) };
        let head = TaskHead { sequence, attempt_first, priority: task.priority, input: task.input.clone() };
        send_message(&mut stream.send, &head, task.payload.clone()).await
    }

    fn attempt_first(&self) -> u32 {
        self.gateways.saturating_sub(1).saturating_mul(ATTEMPTS_A_GATEWAY).saturating_add(1)
    }

    async fn go_on_elsewhere(&mut self) -> Result<(), ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failed = match self.client.reconnect().await {
                Ok(()) => match self.reopen().await {
                    Ok(()) => return Ok(()),
                    Err(ClientError::Api(error @ (ApiError::Refused(_) | ApiError::Invalid(_)))) => {
                        return Err(error.into());
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if Instant::now() >= deadline {
                return Err(failed);
            }
            sleep(AGAIN).await;
        }
    }

    /// Opens the stream at the agent in use and submits everything unfinished again, oldest first.
    async fn reopen(&mut self) -> Result<(), ClientError> {
        let first = self.pending.keys().next().copied().unwrap_or(self.next);
        let ordered = self.order == Order::Kept;
        let open = TasksOpen { session: self.session, stream: self.id, ordered, first };
        let mut stream = Stream::open(&self.client.link.connection, &Open::Tasks(open), Bytes::new()).await?;
        let opened = timeout(PATIENCE, stream.expect()).await;
        let opened = opened.map_err(|_| ClientError::NoResult(PATIENCE.as_secs()))??;
        match opened.header().map_err(LinkError::from)? {
            ToClient::Opened(opened) => opened?,
            _ => return Err(ClientError::WrongAnswer(self.client.address())),
        }
        self.stream = Some(stream);
        self.gateways += 1;
        self.debts = self.client.link.owed.debts();
        self.pending.keys().for_each(|_| self.debts.add());
        for sequence in self.pending.keys().copied().collect::<Vec<_>>() {
            self.send(sequence).await?;
        }
        Ok(())
    }
}

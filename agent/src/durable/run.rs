//! Runs the pending tasks of one stream, for as long as this gateway has it.
//!
//! It is a client of the session at its own gateway: it submits what the state says is pending, and has every end committed.
//! Nothing is remembered here that the state does not know: where the agent dies, whoever has the stream next begins again
//! with what is pending.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use skein_core::dispatch::{Outcome, TaskId};
use skein_core::durable::{Bytes, DurableStream, DurableTask, End, HEAD_BYTES_MAX, REASON_BYTES_MAX, TaskCommand};
use skein_core::{Sequence, SessionId, StreamId};
use skein_raft::codec;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::api::ApiError;
use crate::durable::{Durable, Mark};
use crate::gateway::{Delivery, Kept, Opened, Payload, Session, Source, WINDOW, find_session};
use crate::worker::protocol::InputKind;

/// How long a stream with nothing to run keeps its place at the gateway: a client that submits one task after another comes
/// back at once.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// When what found no place is tried again.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// The most bytes of ends in one command: with its tasks a log entry stays well below its bound.
const COMMIT_BYTES_MAX: u64 = 256 * 1024;
/// The most ends in one command.
const COMMIT_MAX: usize = 512;

/// One stream, for one tenure.
struct Runner {
    durable: Durable,
    id: StreamId,
    tenure: u32,
    session: Arc<Session>,
    /// Submitted, and the end not yet committed.
    in_house: BTreeSet<Sequence>,
    /// The next that was not submitted yet.
    next: Sequence,
    ended: Vec<(Sequence, End)>,
    /// The newest checkpoints that are not stored yet.
    kept: BTreeMap<Sequence, bytes::Bytes>,
}

/// Runs a stream until it is given to another gateway, or there is nothing to run.
pub(super) async fn run(durable: Durable, id: StreamId, tenure: u32, mut mark: watch::Receiver<Mark>) {
    loop {
        if let Err(why) = begin(&durable, id, tenure, &mut mark).await {
            tracing::debug!(stream = %id, tenure, "durable tasks wait: {why}");
            sleep(AGAIN_AFTER).await;
        }
        if durable.retires(id, tenure) {
            return;
        }
    }
}

/// Runs it for as long as its place at the gateway lasts.
async fn begin(durable: &Durable, id: StreamId, tenure: u32, mark: &mut watch::Receiver<Mark>) -> Result<(), String> {
    let seat = &durable.api.seat;
    let (session, first): (SessionId, Option<Sequence>) = seat
        .read(|state| {
            let stream = state.durable.stream(id)?;
            let to_run = |task: &&Sequence| !durable.is_set_aside(id, **task);
            Some((stream.session, stream.pending.keys().find(to_run).copied()))
        })
        .ok_or("the stream is gone")?;
    let Some(next) = first else {
        // Nothing is left, or all that is left has to wait for the mesh.
        let _ = timeout(IDLE_MAX, mark.changed()).await;
        return Ok(());
    };
    let session = find_session(&durable.gateway, seat, session).await.ok_or("its session is gone")?;
    let opened = session.open(id, Source::Durable, false, next);
    let opened = opened.map_err(|_| "the session has as many streams here as it may")?;
    let number = opened.number;
    let (in_house, ended, kept) = (BTreeSet::new(), Vec::new(), BTreeMap::new());
    let durable = durable.clone();
    let mut runner = Runner { durable, id, tenure, session, in_house, next, ended, kept };
    runner.go_on(opened, mark).await;
    runner.session.close(id, number);
    Ok(())
}

impl Runner {
    async fn go_on(&mut self, opened: Opened, mark: &mut watch::Receiver<Mark>) {
        let Opened { mut deliveries, mut checkpoints, .. } = opened;
        let mut idle_since = Instant::now();
        while let Some(pending) = self.pending() {
            // 1. Submit what there is room for.
            let waits = !self.submit(pending).await;
            if !self.in_house.is_empty() || waits {
                idle_since = Instant::now();
            } else if idle_since.elapsed() >= IDLE_MAX {
                return;
            }
            // 2. Wait for news.
            let again = if waits { Instant::now() + AGAIN_AFTER } else { idle_since + IDLE_MAX };
            tokio::select! {
                changed = mark.changed() => if changed.is_err() { return },
                delivery = deliveries.recv() => {
                    let Some(delivery) = delivery else { return };
                    self.take(delivery).await;
                    while let Ok(delivery) = deliveries.try_recv() {
                        self.take(delivery).await;
                    }
                }
                Some((sequence, bytes)) = checkpoints.recv() => {
                    self.kept.insert(sequence, bytes);
                    while let Ok((sequence, bytes)) = checkpoints.try_recv() {
                        self.kept.insert(sequence, bytes);
                    }
                }
                () = sleep_until(again) => {}
            }
            // 3. Have what ended committed. Meanwhile workers go on, and what they end waits in the channel.
            while !self.ended.is_empty() {
                if self.commit().await.is_err() {
                    return;
                }
            }
            self.store_checkpoints().await;
        }
    }

    /// Tasks that may be submitted now; none where the stream is no longer this gateway's.
    fn pending(&self) -> Option<Vec<(Sequence, DurableTask)>> {
        let room = usize::from(WINDOW).saturating_sub(self.in_house.len());
        self.durable.api.seat.read(|state| {
            let stream = state.durable.stream(self.id)?;
            let is_ours = stream.gateway == self.durable.api.node && stream.tenure == self.tenure;
            let to_run = |(task, _): &(&Sequence, &DurableTask)| !self.durable.is_set_aside(self.id, **task);
            let next = stream.pending.range(self.next..).filter(to_run).take(room);
            is_ours.then(|| next.map(|(sequence, task)| (*sequence, task.clone())).collect())
        })
    }

    /// Whether all of them found a place.
    async fn submit(&mut self, tasks: Vec<(Sequence, DurableTask)>) -> bool {
        let attempt_first = self.attempt_first();
        for (sequence, task) in tasks {
            let id = TaskId { stream: self.id, sequence };
            let input: Result<InputKind, _> = codec::decode(&task.head);
            let bytes = self.durable.files.load(&task.payload).await;
            match (input, bytes) {
                (Ok(input), Ok(bytes)) => {
                    let Some(held) = self.durable.gateway.hold(bytes.len()) else { return false };
                    let payload = Payload { input, bytes, _held: held };
                    let checkpoint = self.checkpoint_of(sequence, &task).await;
                    if self.session.submit(id, attempt_first, task.priority, payload, checkpoint).is_err() {
                        return false;
                    }
                }
                (Err(error), _) => self.fail(sequence, format!("its input cannot be understood: {error}")),
                (_, Err(error)) => {
                    // A holder may be on its way back.
                    tracing::warn!(stream = %self.id, %sequence, "the input of a durable task is not to be had: {error}");
                    return false;
                }
            }
            self.in_house.insert(sequence);
            self.next = Sequence(sequence.0 + 1);
        }
        true
    }

    /// From where a task goes on that was begun in an earlier tenure. Where that is not to be had, it begins anew.
    async fn checkpoint_of(&self, sequence: Sequence, task: &DurableTask) -> Option<Kept> {
        let bytes = match self.durable.files.load(task.checkpoint.as_ref()?).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(stream = %self.id, %sequence, "the checkpoint of a durable task is not to be had: {error}");
                return None;
            }
        };
        let held = self.durable.gateway.hold(bytes.len())?;
        Some(Kept { bytes, _held: held })
    }

    /// Has the newest checkpoints kept as inputs are. One that cannot be kept is left out: it only saves work.
    async fn store_checkpoints(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        let mut checkpoints = Vec::new();
        for (sequence, bytes) in kept.into_iter().filter(|(sequence, _)| self.in_house.contains(sequence)) {
            match self.durable.files.store(bytes).await {
                Ok(payload) => checkpoints.push((sequence, payload)),
                Err(error) => tracing::debug!(stream = %self.id, %sequence, "a checkpoint is not kept: {error}"),
            }
        }
        if checkpoints.is_empty() {
            return;
        }
        let command = TaskCommand::Checkpoint { stream: self.id, tenure: self.tenure, checkpoints };
        if let Err(error) = self.durable.commits.commit(command).await {
            tracing::debug!(stream = %self.id, "checkpoints are not kept: {error}");
        }
    }

    fn attempt_first(&self) -> u32 {
        let stream = |state: &skein_core::State| state.durable.stream(self.id).map(DurableStream::attempt_first);
        self.durable.api.seat.read(stream).unwrap_or(1)
    }

    fn fail(&mut self, sequence: Sequence, reason: String) {
        self.ended.push((sequence, End { attempt: 1, worker: None, run_micros: 0, result: Err(shortened(reason)) }));
    }

    /// A task ended.
    async fn take(&mut self, delivery: Delivery) {
        let sequence = delivery.task.sequence;
        let worker = delivery.worker.map(|worker| (worker, self.session.node_of(worker)));
        let (run_micros, result) = match delivery.outcome {
            Outcome::Failed(reason) => (0, Err(shortened(reason))),
            Outcome::Done(ended) => {
                let head = codec::encode(&ended.kind);
                let result = if head.len() > HEAD_BYTES_MAX {
                    Err(format!("the description of its answer has {} bytes; the most is {HEAD_BYTES_MAX}", head.len()))
                } else {
                    self.keep(ended.payload).await.map(|payload| (Bytes::from(head), payload))
                };
                (ended.run_micros, result)
            }
        };
        self.ended.push((sequence, End { attempt: delivery.attempt, worker, run_micros, result }));
    }

    /// The answer is kept on two nodes, too. Where the other one cannot be had, that is waited for: the work is done.
    async fn keep(&self, answer: bytes::Bytes) -> Result<skein_core::durable::Payload, String> {
        let islands = &self.durable.api.islands;
        loop {
            if islands.is_cut() {
                return self.durable.files.store_here(answer).await.map_err(|error| shortened(error.to_string()));
            }
            let stored = tokio::select! {
                stored = self.durable.files.store(answer.clone()) => stored,
                () = islands.until(true) => continue,
            };
            match stored {
                Ok(payload) => return Ok(payload),
                Err(ApiError::Unavailable(why)) => tracing::warn!(stream = %self.id, "an answer waits: {why}"),
                Err(error) => return Err(shortened(error.to_string())),
            }
            if !self.durable.watch(self.id).borrow().is_run_by(self.durable.api.node, self.tenure) {
                return Err("the stream was given to another gateway".into());
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    /// Has the first of the ends committed, for as long as it takes, or set aside where there is no mesh. After an error this stream
    /// begins anew: with what is pending then.
    async fn commit(&mut self) -> Result<(), ApiError> {
        let mut bytes = 0;
        let fits = |(_, end): &&(Sequence, End)| {
            bytes += end.bytes();
            bytes <= COMMIT_BYTES_MAX
        };
        let count = self.ended.iter().take(COMMIT_MAX).take_while(fits).count().max(1);
        let ends: Vec<(Sequence, End)> = self.ended.drain(..count).collect();
        let sequences: Vec<Sequence> = ends.iter().map(|(sequence, _)| *sequence).collect();
        self.durable.end(self.session.id, self.id, self.tenure, ends).await?;
        for sequence in &sequences {
            self.in_house.remove(sequence);
        }
        Ok(())
    }
}

fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}

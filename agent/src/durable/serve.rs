//! Serves a client's stream of durable tasks: what it submits is accepted by the mesh, and every end reaches it.
//!
//! Any agent can do that for any stream, whoever runs its tasks: a client that loses its agent goes on at another.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quinn::{RecvStream, SendStream};
use skein_core::durable::{Account, BATCH_MAX, DurableTask, Ended, INLINE_BYTES_MAX, Payload, TaskCommand};
use skein_core::session::PRIORITY_MAX;
use skein_core::{Event, Refusal, Sequence, SessionId, State, StreamId};
use skein_raft::codec;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::api::ApiError;
use crate::durable::Durable;
use crate::durable::wire::{DurableOpen, EndedHead, NewTask, ToClient, ToGateway};
use crate::frame::{self, Frame};
use crate::gateway::find_session;
use crate::link::{LinkError, Stream, send_message};
use crate::worker::protocol::AnswerKind;

/// The most bytes of tasks in one command: so many fit a log entry many times.
const ACCEPT_BYTES_MAX: u64 = 256 * 1024;
/// Ends that were sent and that the client has not yet said to have.
const ENDS_UNDER_WAY_MAX: usize = 1_024;
/// Ends that are looked up at once: the state is not read for longer than it takes to clone so many.
const LOOK_MAX: usize = 64;

/// Why a node without the mesh takes no durable tasks in.
const CUT_OFF: &str = "this node is cut off from the mesh, and a durable task is accepted only when a majority of the voters has it: \
                       submit it when the mesh is back, or run it without --durable";
/// How long the mesh keeps what a client has already: an age for the machine, and nothing to anybody.
const FETCHED_AFTER: Duration = Duration::from_millis(50);
/// Or until there are so many.
const FETCHED_MAX: usize = 256;
/// How long this agent's replica may take to show that a stream is closed.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// One client's stream here.
struct Serving<'a> {
    durable: &'a Durable,
    open: DurableOpen,
    session: SessionId,
    send: Mutex<SendStream>,
    /// What the client has, and the mesh has not heard of yet.
    fetched: std::sync::Mutex<BTreeSet<Sequence>>,
    /// Those are many.
    fetched_many: Notify,
}

/// Serves one stream until the client is gone, or has everything.
pub async fn serve_client(durable: &Durable, stream: Stream, open: DurableOpen) -> Result<(), LinkError> {
    let Stream { mut send, recv } = stream;
    let (session, next) = match opened(durable, &open).await {
        Ok(opened) => opened,
        Err(error) => return send_message(&mut send, &ToClient::Opened(Err(error)), Bytes::new()).await,
    };
    send_message(&mut send, &ToClient::Opened(Ok(next)), Bytes::new()).await?;
    let (fetched, fetched_many) = (std::sync::Mutex::default(), Notify::new());
    let serving = Serving { durable, open, session, send: Mutex::new(send), fetched, fetched_many };
    let served = tokio::select! {
        read = serving.read(recv) => read,
        pushed = serving.push() => pushed,
        () = serving.commit_fetched() => Ok(()),
    };
    if let Err(error) = serving.flush_fetched(false).await {
        tracing::debug!("what a client fetched is kept on: {error}");
    }
    let _ = serving.send.into_inner().finish();
    served
}

/// Whose session's stream it is, and up to where it was accepted.
async fn opened(durable: &Durable, open: &DurableOpen) -> Result<(SessionId, Sequence), ApiError> {
    let seat = &durable.api.seat;
    let known = seat.read(|state| state.durable.stream(open.stream).map(|stream| (stream.session, stream.next)));
    match (known, open.session) {
        (Some((known, _)), Some(asked)) if known != asked => {
            Err(ApiError::Refused(Refusal::BadTasks(format!("the stream belongs to session {known}"))))
        }
        // Accepted means committed, so there is nothing to promise; what is accepted already can be waited for.
        (_, Some(_)) if durable.api.islands.is_cut() => Err(ApiError::Unavailable(CUT_OFF.into())),
        (Some(known), _) => Ok(known),
        (None, None) => Err(ApiError::Refused(Refusal::NoStream(open.stream))),
        (None, Some(session)) => match find_session(&durable.gateway, seat, session).await {
            Some(_) => Ok((session, Sequence(0))),
            None => Err(ApiError::Refused(Refusal::NoSession(session))),
        },
    }
}

impl Serving<'_> {
    /// Takes in what the client says, until it says no more.
    async fn read(&self, mut recv: RecvStream) -> Result<(), LinkError> {
        while let Some(message) = frame::read(&mut recv).await? {
            match message.header()? {
                ToGateway::Submit { first, tasks } => {
                    let answer = match self.accept(first, tasks, message).await {
                        Ok(next) => ToClient::Accepted(next),
                        Err(error) => ToClient::Refused(error),
                    };
                    self.say(&answer, Bytes::new()).await?;
                }
                ToGateway::Fetched { sequences, close } => {
                    self.note_fetched(sequences);
                    if close {
                        let answer = self.closed().await;
                        self.say(&answer, Bytes::new()).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Has a batch accepted; up to where the stream is then.
    async fn accept(&self, first: Sequence, tasks: Vec<NewTask>, message: Frame) -> Result<Sequence, ApiError> {
        // Where something of the stream is accepted, the client rather waits for the rest.
        let (seat, stream) = (&self.durable.api.seat, self.open.stream);
        if self.durable.api.islands.is_cut() && seat.read(|state| state.durable.stream(stream).is_none()) {
            return Err(ApiError::Invalid(CUT_OFF.into()));
        }
        let full = || ApiError::Unavailable("this agent holds as many bytes as it may; come again shortly".into());
        let _held = self.durable.gateway.hold(message.payload.len()).ok_or_else(full)?;
        let mut first = first;
        for batch in batches(self.written(tasks, message.payload).await?) {
            let count = batch.len() as u64;
            self.durable
                .commits
                .commit(TaskCommand::Accept {
                    stream: self.open.stream,
                    session: self.session,
                    gateway: self.durable.api.node,
                    keep: self.open.keep,
                    first,
                    tasks: batch,
                })
                .await?;
            first.0 += count;
        }
        Ok(first)
    }

    /// The tasks with their inputs where they belong.
    async fn written(&self, tasks: Vec<NewTask>, mut payload: Bytes) -> Result<Vec<DurableTask>, ApiError> {
        check(&tasks, payload.len())?;
        let mut written: Vec<Option<DurableTask>> = vec![None; tasks.len()];
        let mut large = JoinSet::new();
        for (place, task) in tasks.into_iter().enumerate() {
            let bytes = payload.split_to(task.size);
            let head = codec::encode(&task.input).into();
            let (label, priority) = (task.label, task.priority);
            let made = move |payload| DurableTask { label, head, payload, priority, checkpoint: None };
            if bytes.len() <= INLINE_BYTES_MAX {
                written[place] = Some(made(Payload::Inline(bytes[..].into())));
            } else {
                let files = self.durable.files.clone();
                large.spawn(async move {
                    let payload = files.store(bytes).await?;
                    Ok::<_, ApiError>((place, made(payload)))
                });
            }
        }
        while let Some(stored) = large.join_next().await {
            let stored = stored.map_err(|error| ApiError::Unavailable(format!("a task was not written: {error}")))?;
            let (place, task) = stored?;
            written[place] = Some(task);
        }
        Ok(written.into_iter().flatten().collect())
    }

    /// The client has these, which nobody waits to hear of: they are committed with others.
    fn note_fetched(&self, sequences: Vec<Sequence>) {
        let mut fetched = self.have();
        fetched.extend(sequences);
        if fetched.len() >= FETCHED_MAX {
            self.fetched_many.notify_one();
        }
    }

    /// Has what the client fetched committed, again and again.
    async fn commit_fetched(&self) {
        loop {
            tokio::select! {
                () = sleep(FETCHED_AFTER) => {}
                () = self.fetched_many.notified() => {}
            }
            if let Err(error) = self.flush_fetched(false).await {
                tracing::debug!(stream = %self.open.stream, "the mesh does not hear yet what was fetched: {error}");
            }
        }
    }

    /// Has what the client fetched by now committed, and the stream closed if it is to be. What could not be committed is tried
    /// again with what comes; said twice, it changes nothing.
    async fn flush_fetched(&self, close: bool) -> Result<(), ApiError> {
        loop {
            let sequences: Vec<Sequence> = self.have().iter().take(BATCH_MAX).copied().collect();
            if sequences.is_empty() && !close {
                return Ok(());
            }
            let is_last = sequences.len() < BATCH_MAX;
            let (stream, close) = (self.open.stream, close && is_last);
            let command = TaskCommand::Fetched { stream, sequences: sequences.clone(), close };
            match self.durable.commits.commit(command).await {
                // A stream that is not there any more was closed before, and its answer got lost; or it was forgotten.
                Ok(()) | Err(ApiError::Refused(Refusal::NoStream(_))) => {}
                Err(error) => return Err(error),
            }
            self.have().retain(|sequence| sequences.binary_search(sequence).is_err());
            if is_last {
                return Ok(());
            }
        }
    }

    fn have(&self) -> MutexGuard<'_, BTreeSet<Sequence>> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client has everything; what it is told.
    async fn closed(&self) -> ToClient {
        if let Err(error) = self.flush_fetched(true).await {
            return ToClient::Refused(error);
        }
        let mut mark = self.durable.watch(self.open.stream);
        let gone = timeout(CLOSE_TIME_MAX, mark.wait_for(|mark| mark.gateway.is_none())).await;
        match gone {
            Ok(_) => ToClient::Closed(self.durable.api.seat.read(|state| closed(state, self.open.stream))),
            Err(_) => {
                ToClient::Refused(ApiError::Unavailable("the stream has tasks or ends that are not fetched".into()))
            }
        }
    }

    /// Sends every end, as soon as the mesh has it.
    async fn push(&self) -> Result<(), LinkError> {
        let mut mark = self.durable.watch(self.open.stream);
        let mut sent = BTreeSet::new();
        loop {
            let ends = self.next_ends(&mut sent);
            if ends.is_empty() {
                if mark.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            for (sequence, ended) in ends {
                let (head, payload) = self.end_of(sequence, ended).await;
                self.say(&ToClient::Ended(head), payload).await?;
            }
        }
    }

    /// Some ends that were not sent yet. What the mesh no longer keeps was fetched.
    fn next_ends(&self, sent: &mut BTreeSet<Sequence>) -> Vec<(Sequence, Ended)> {
        let ends = self.durable.api.seat.read(|state| {
            let Some(stream) = state.durable.stream(self.open.stream) else { return Vec::new() };
            sent.retain(|sequence| stream.ended.contains_key(sequence));
            let room = ENDS_UNDER_WAY_MAX.saturating_sub(sent.len()).min(LOOK_MAX);
            let new = stream.ended.iter().filter(|(sequence, _)| !sent.contains(sequence));
            new.take(room).map(|(sequence, ended)| (*sequence, ended.clone())).collect()
        });
        sent.extend(ends.iter().map(|(sequence, _)| *sequence));
        ends
    }

    async fn end_of(&self, sequence: Sequence, Ended { label, end }: Ended) -> (EndedHead, Bytes) {
        let (result, payload) = match end.result {
            Err(reason) => (Err(reason), Bytes::new()),
            Ok((head, payload)) => {
                match (codec::decode::<AnswerKind>(&head), self.durable.files.load(&payload).await) {
                    (Ok(kind), Ok(bytes)) => (Ok(kind), bytes),
                    (Err(error), _) => (Err(format!("the answer cannot be understood: {error}")), Bytes::new()),
                    (_, Err(error)) => (Err(format!("the answer is not to be had now: {error}")), Bytes::new()),
                }
            }
        };
        let (attempt, worker, run_micros) = (end.attempt, end.worker, end.run_micros);
        (EndedHead { sequence, label, attempt, worker, run_micros, result }, payload)
    }

    async fn say(&self, message: &ToClient, payload: Bytes) -> Result<(), LinkError> {
        send_message(&mut *self.send.lock().await, message, payload).await
    }
}

/// The account of a stream that is gone, where its end is still told.
fn closed(state: &State, stream: StreamId) -> Account {
    let told = state.history.iter().rev().find_map(|numbered| match &numbered.event {
        Event::StreamClosed { stream: gone, account, .. } if *gone == stream => Some(*account),
        _ => None,
    });
    told.unwrap_or_default()
}

/// What a client may not say.
fn check(tasks: &[NewTask], payload_bytes: usize) -> Result<(), ApiError> {
    let sum = tasks.iter().try_fold(0_usize, |sum, task| sum.checked_add(task.size));
    if sum != Some(payload_bytes) {
        return Err(ApiError::Invalid("the sizes of the tasks do not add up to what came".into()));
    }
    if tasks.len() > BATCH_MAX {
        return Err(ApiError::Invalid(format!("{} tasks came at once; the most is {BATCH_MAX}", tasks.len())));
    }
    if let Some(task) = tasks.iter().find(|task| task.priority > PRIORITY_MAX) {
        return Err(ApiError::Invalid(format!("a priority is {}; the highest is {PRIORITY_MAX}", task.priority)));
    }
    Ok(())
}

/// Cut so that each fits a log entry.
fn batches(tasks: Vec<DurableTask>) -> Vec<Vec<DurableTask>> {
    let (mut batches, mut last): (Vec<Vec<DurableTask>>, u64) = (Vec::new(), 0);
    for task in tasks {
        let bytes = task.bytes();
        match batches.last_mut() {
            Some(batch) if last + bytes <= ACCEPT_BYTES_MAX => {
                batch.push(task);
                last += bytes;
            }
            _ => {
                batches.push(vec![task]);
                last = bytes;
            }
        }
    }
    batches
}

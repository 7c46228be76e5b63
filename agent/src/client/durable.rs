//! A stream of durable tasks, seen from the client: what it submits is accepted once, and each end comes until the client
//! says that it has it. Any agent will do, so it goes on at another when one is lost.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use skein_core::durable::Account;
use skein_core::{Millis, Sequence, SessionId, StreamId};
use tokio::time::{Instant, sleep, timeout};

use crate::api::ApiError;
use crate::client::{Client, ClientError, random};
use crate::durable::wire::{DurableOpen, EndedHead, NewTask, ToClient, ToGateway};
use crate::frame;
use crate::link::{LinkError, Open, Stream, send_message};

/// How long an agent may take to open a stream, or to have a batch accepted: an election, and files on slow disks.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// How long no agent may be reachable before the client gives up. What was accepted goes on without it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The wait before agents are tried again, or a batch that found no room.
const AGAIN: Duration = Duration::from_millis(200);

/// What comes next.
#[derive(Debug)]
pub enum DurableNews {
    /// Every task before this number is accepted.
    Accepted(Sequence),
    /// A task ended, and the tensors of its answer. It may come again, until [`DurableTasks::fetched`].
    Ended(EndedHead, Bytes),
}

/// A batch that was not accepted yet.
#[derive(Debug)]
struct Batch {
    first: Sequence,
    tasks: Vec<NewTask>,
    payload: Bytes,
}

/// An open stream of durable tasks. Use it from one place.
#[derive(Debug)]
pub struct DurableTasks {
    client: Client,
    open: DurableOpen,
    stream: Option<Stream>,
    /// The number that the next task gets.
    next: Sequence,
    accepted: Sequence,
    batches: VecDeque<Batch>,
    /// The first batch is on its way: one at a time, so that they are accepted in order.
    is_sent: bool,
    seen: BTreeSet<Sequence>,
}

impl DurableTasks {
    /// Begins a stream of tasks to a session; ends are kept for so long if nobody fetches them.
    pub async fn begin(client: Client, session: SessionId, keep: Millis) -> Result<Self, ClientError> {
        let open = DurableOpen { stream: StreamId(random()?), session: Some(session), keep };
        Self::open(client, open).await
    }

    /// Goes back to a stream that the mesh keeps.
    pub async fn resume(client: Client, stream: StreamId) -> Result<Self, ClientError> {
        Self::open(client, DurableOpen { stream, session: None, keep: Millis(0) }).await
    }

    async fn open(client: Client, open: DurableOpen) -> Result<Self, ClientError> {
        let (batches, seen) = (VecDeque::new(), BTreeSet::new());
        let start = Sequence(0);
        let mut tasks =
            Self { client, open, stream: None, next: start, accepted: start, batches, is_sent: false, seen };
        tasks.reopen().await?;
        tasks.next = tasks.accepted;
        Ok(tasks)
    }

    /// The stream's name, by which its ends can be fetched later.
    pub fn id(&self) -> StreamId {
        self.open.stream
    }

    /// Every task before this one is accepted.
    pub fn accepted(&self) -> Sequence {
        self.accepted
    }

    /// Submits tasks, each with its input; the number of the first. They are accepted when [`Self::news`] says so.
    pub async fn submit(&mut self, tasks: Vec<(NewTask, Bytes)>) -> Result<Sequence, ClientError> {
        let mut payload = BytesMut::new();
        let mut heads = Vec::with_capacity(tasks.len());
        for (mut task, bytes) in tasks {
            task.size = bytes.len();
            payload.extend_from_slice(&bytes);
            heads.push(task);
        }
        // What no frame can carry is refused here, before it is counted.
        frame::head(&heads, payload.len()).map_err(LinkError::from)?;
        let first = self.next;
        self.next.0 += heads.len() as u64;
        self.batches.push_back(Batch { first, tasks: heads, payload: payload.freeze() });
        if self.send_batch().await.is_err() {
            self.stream = None;
        }
        Ok(first)
    }

    /// How many ends the client has said to have.
    pub fn fetched_count(&self) -> u64 {
        self.seen.len() as u64
    }

    /// What comes next, for as long as it takes. An agent that is lost is replaced by another.
    pub async fn news(&mut self) -> Result<DurableNews, ClientError> {
        loop {
            if self.stream.is_none() {
                self.go_on_elsewhere().await?;
            }
            let (message, payload) = match self.receive().await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!("the agent was lost: {error}");
                    self.stream = None;
                    continue;
                }
            };
            match message {
                ToClient::Accepted(next) => {
                    self.note_accepted(next);
                    if self.send_batch().await.is_err() {
                        self.stream = None;
                    }
                    return Ok(DurableNews::Accepted(next));
                }
                ToClient::Refused(ApiError::Unavailable(why)) => {
                    tracing::debug!("the tasks are not accepted yet: {why}");
                    sleep(AGAIN).await;
                    self.is_sent = false;
                    if self.send_batch().await.is_err() {
                        self.stream = None;
                    }
                }
                ToClient::Refused(error) => return Err(error.into()),
                ToClient::Ended(head) if self.seen.contains(&head.sequence) => {
                    // Its fetching was said to an agent that is gone.
                    self.fetched(&[head.sequence]).await;
                }
                ToClient::Ended(head) => return Ok(DurableNews::Ended(head, payload)),
                ToClient::Opened(_) | ToClient::Closed(_) => {}
            }
        }
    }

    /// The client has these ends: the mesh need not keep them.
    pub async fn fetched(&mut self, sequences: &[Sequence]) {
        self.seen.extend(sequences);
        let fetched = ToGateway::Fetched { sequences: sequences.to_vec(), close: false };
        if let Some(stream) = &mut self.stream
            && send_message(&mut stream.send, &fetched, Bytes::new()).await.is_err()
        {
            self.stream = None;
        }
    }

    /// The client has every end: the mesh may forget the stream. What became of its tasks.
    pub async fn close(mut self) -> Result<Account, ClientError> {
        loop {
            if self.stream.is_none() {
                match self.go_on_elsewhere().await {
                    // It was closed, and the answer got lost.
                    Err(ClientError::Api(ApiError::Refused(skein_core::Refusal::NoStream(_)))) => {
                        return Ok(Account::default());
                    }
                    done => done?,
                }
            }
            let Some(stream) = &mut self.stream else { continue };
            let close = ToGateway::Fetched { sequences: Vec::new(), close: true };
            if send_message(&mut stream.send, &close, Bytes::new()).await.is_err() {
                self.stream = None;
            }
            if let Some(account) = self.closed().await? {
                return Ok(account);
            }
        }
    }

    /// The answer to a close; none where it has to be said again.
    async fn closed(&mut self) -> Result<Option<Account>, ClientError> {
        while self.stream.is_some() {
            match timeout(ANSWER_TIME_MAX, self.receive()).await {
                Ok(Ok((ToClient::Closed(account), _))) => return Ok(Some(account)),
                Ok(Ok((ToClient::Refused(ApiError::Unavailable(why)), _))) => {
                    tracing::debug!("the stream is not closed yet: {why}");
                    sleep(AGAIN).await;
                    return Ok(None);
                }
                Ok(Ok((ToClient::Refused(error), _))) => return Err(error.into()),
                Ok(Ok((ToClient::Ended(head), _))) => self.fetched(&[head.sequence]).await,
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => self.stream = None,
            }
        }
        Ok(None)
    }

    async fn receive(&mut self) -> Result<(ToClient, Bytes), LinkError> {
        let Some(stream) = &mut self.stream else { return Err(LinkError::NoReply) };
        let message = stream.expect().await?;
        Ok((message.header()?, message.payload))
    }

    fn note_accepted(&mut self, next: Sequence) {
        self.accepted = self.accepted.max(next);
        let accepted = self.accepted;
        self.batches.retain(|batch| batch.first.0 + batch.tasks.len() as u64 > accepted.0);
        self.is_sent = false;
    }

    async fn send_batch(&mut self) -> Result<(), LinkError> {
        let (Some(stream), Some(batch)) = (&mut self.stream, self.batches.front()) else { return Ok(()) };
        if !self.is_sent {
            let submit = ToGateway::Submit { first: batch.first, tasks: batch.tasks.clone() };
            send_message(&mut stream.send, &submit, batch.payload.clone()).await?;
            self.is_sent = true;
        }
        Ok(())
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

    /// Opens the stream at the agent in use, and submits what was not accepted.
    async fn reopen(&mut self) -> Result<(), ClientError> {
        // Once a task was accepted, a mesh that does not know the stream has forgotten it: it must not begin anew.
        let is_new = self.accepted == Sequence(0);
        let open = DurableOpen { session: self.open.session.filter(|_| is_new), ..self.open.clone() };
        let mut stream = Stream::open(&self.client.link.connection, &Open::Durable(open), Bytes::new()).await?;
        let opened = timeout(ANSWER_TIME_MAX, stream.expect()).await;
        let opened = opened.map_err(|_| ClientError::NoResult(ANSWER_TIME_MAX.as_secs()))??;
        let ToClient::Opened(next) = opened.header().map_err(LinkError::from)? else {
            return Err(ClientError::WrongAnswer(self.client.address()));
        };
        self.note_accepted(next?);
        self.stream = Some(stream);
        Ok(self.send_batch().await?)
    }
}

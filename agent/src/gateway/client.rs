//! One client's stream of tasks: read, handed to the session, and its results written back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, SendStream};
use skein_core::dispatch::{Outcome, Refused, TaskId};
use skein_core::session::PRIORITY_MAX;
use skein_core::{Refusal, SessionId};
use skein_raft::Seat;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;

use crate::api::ApiError;
use crate::frame::{self, Frame};
use crate::gateway::Gateway;
use crate::gateway::session::{Delivery, Opened, Payload, Session, Source, WINDOW};
use crate::gateway::wire::{ResultHead, TaskHead, ToClient};
use crate::link::{LinkError, Stream, TasksOpen, send_message};

/// How long a gateway waits for a session that it has not heard of: the client may have come from another agent, whose
/// word is on its way here.
const SESSION_WAIT: Duration = Duration::from_secs(2);
/// How often a client hears that its gateway is there when there is nothing else to say: often enough that a few may be late before
/// the client loses its patience, and hardly a packet.
const HERE_EVERY: Duration = Duration::from_secs(5);
/// When a refused task may come again: about what a small model takes, so that room is likely.
const RETRY_AFTER_MS: u64 = 50;

/// Serves one stream of tasks until the client has all its results, or is gone.
pub async fn serve_client(
    gateway: &Gateway,
    seat: &Seat,
    connection: &Connection,
    stream: Stream,
    open: TasksOpen,
) -> Result<(), LinkError> {
    let Stream { mut send, recv } = stream;
    let opened = match find_session(gateway, seat, open.session).await {
        None => Err(ApiError::Refused(Refusal::NoSession(open.session))),
        Some(session) => match session.open(open.stream, Source::Client, open.ordered, open.first) {
            // Looked at once it is open: whoever stops the session here from now on closes this stream, too.
            Ok(opened) => match seat.read(|state| gateway.stopped_words(open.session, state)) {
                None => Ok((session, opened)),
                Some(why) => {
                    session.close(open.stream, opened.number);
                    Err(ApiError::Unavailable(why))
                }
            },
            Err(refused) => Err(ApiError::Unavailable(refusal(refused).into())),
        },
    };
    let (session, Opened { number, deliveries, .. }) = match opened {
        Ok(opened) => opened,
        Err(error) => return send_message(&mut send, &ToClient::Opened(Err(error)), Bytes::new()).await,
    };
    send_message(&mut send, &ToClient::Opened(Ok(())), Bytes::new()).await?;
    // A refusal goes out at once, past the results in their queue: both write to the same stream.
    let send = Arc::new(Mutex::new(send));
    let window = Arc::new(Semaphore::new(usize::from(WINDOW)));
    let mut writer = tokio::spawn(write_results(session.clone(), send.clone(), deliveries, window.clone()));
    let read = tokio::select! {
        read = read_tasks(gateway, &session, recv, &open, &send, &window) => read,
        // It ends first only when the client takes no more results: then nothing more is read for it either.
        _ = &mut writer => Err(LinkError::NoReply),
    };
    if read.is_ok() {
        // The client will send no more. When the whole window is free, every result was written.
        tokio::select! {
            _ = window.acquire_many(u32::from(WINDOW)) => {}
            _ = connection.closed() => {}
        }
    }
    // From here on nothing is delivered, so the writer ends.
    let ledger = session.close(open.stream, number);
    if read.is_ok()
        && let (Ok(Ok(())), Some(ledger)) = (writer.await, ledger)
    {
        let mut send = send.lock().await;
        send_message(&mut send, &ToClient::Closed(ledger), Bytes::new()).await?;
        let _ = send.finish();
    }
    read
}

/// A session's place at this gateway, once this agent has heard of the session.
pub(crate) async fn find_session(gateway: &Gateway, seat: &Seat, id: SessionId) -> Option<Arc<Session>> {
    let mut changes = seat.changes();
    let find = async {
        loop {
            if let Some(session) = seat.read(|state| gateway.session(id, state)) {
                return Some(session);
            }
            changes.changed().await.ok()?;
        }
    };
    timeout(SESSION_WAIT, find).await.ok().flatten()
}

async fn read_tasks(
    gateway: &Gateway,
    session: &Session,
    mut recv: quinn::RecvStream,
    open: &TasksOpen,
    send: &Mutex<SendStream>,
    window: &Semaphore,
) -> Result<(), LinkError> {
    loop {
        let Ok(permit) = window.acquire().await else { return Ok(()) };
        let Some(message) = frame::read(&mut recv).await? else { return Ok(()) };
        let head: TaskHead = message.header()?;
        let sequence = head.sequence;
        if head.priority > PRIORITY_MAX {
            let why =
                format!("task {} has priority {}; a task's goes from 0 to {PRIORITY_MAX}", sequence.0, head.priority);
            let wrong = ToClient::Wrong(ApiError::Invalid(why));
            return send_message(&mut *send.lock().await, &wrong, Bytes::new()).await;
        }
        match take_in(gateway, session, open, head, message) {
            // The writer gives the permit back when the result is written.
            Ok(()) => permit.forget(),
            Err(refused) => {
                tracing::debug!(session = session.id.0, sequence = sequence.0, "{}", refusal(refused));
                let refused = ToClient::Refused { sequence, retry_after_ms: RETRY_AFTER_MS };
                send_message(&mut *send.lock().await, &refused, Bytes::new()).await?;
            }
        }
    }
}

fn take_in(
    gateway: &Gateway,
    session: &Session,
    open: &TasksOpen,
    head: TaskHead,
    message: Frame,
) -> Result<(), Refused> {
    let held = gateway.hold(message.payload.len()).ok_or(Refused::Full)?;
    let payload = Payload { input: head.input, bytes: message.payload, _held: held };
    let task = TaskId { stream: open.stream, sequence: head.sequence };
    session.submit(task, head.attempt_first, head.priority, payload, None)
}

async fn write_results(
    session: Arc<Session>,
    send: Arc<Mutex<SendStream>>,
    mut deliveries: mpsc::Receiver<Delivery>,
    window: Arc<Semaphore>,
) -> Result<(), LinkError> {
    loop {
        let delivery = match timeout(HERE_EVERY, deliveries.recv()).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return Ok(()),
            Err(_) => {
                send_message(&mut *send.lock().await, &ToClient::Here, Bytes::new()).await?;
                continue;
            }
        };
        let worker = delivery.worker.map(|worker| (worker, session.node_of(worker)));
        let (run_micros, result, payload) = match delivery.outcome {
            Outcome::Done(ended) => (ended.run_micros, Ok(ended.kind), ended.payload),
            Outcome::Failed(reason) => (0, Err(reason), Bytes::new()),
        };
        let head = ResultHead {
            sequence: delivery.task.sequence,
            attempt: delivery.attempt,
            worker,
            run_micros,
            result,
            history: delivery.history,
        };
        send_message(&mut *send.lock().await, &ToClient::Result(head), payload).await?;
        window.add_permits(1);
    }
}

fn refusal(refused: Refused) -> &'static str {
    match refused {
        Refused::Full => "the gateway is full: it holds as many tasks, streams or bytes as it may; come again shortly",
        Refused::NoStream => "the stream was closed",
        Refused::Duplicate => "a task of this number is here already",
    }
}

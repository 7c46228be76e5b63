//! Ways from a gateway to workers: on the same node at once, on another over one QUIC stream each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use skein_core::dispatch::{Loss, TaskId};
use skein_core::{NodeId, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::frame;
use crate::gateway::Gateway;
use crate::gateway::session::Session;
use crate::gateway::wire::{Attach, AttemptHead, EndHead, FromHost};
use crate::link::{Debts, Link, LinkError, Open, Pool, Stream, WorkerOpen, send_message};
use crate::worker::host::{Attempt, AttemptEnd, CREDITS, Checkpoint, Host, Listener, Port, Says};

/// The first wait before a broken way is opened again; each further one doubles it up to [`AGAIN_MAX`].
const AGAIN_FIRST: Duration = Duration::from_millis(20);
/// The plan drops a worker that is gone for good; until then it is asked for once a second.
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// The most attempts one way may carry at once, whatever the other side grants.
const CREDITS_MAX: u32 = 1024;
/// Checkpoints of one gateway's attempts that wait for the way to it.
const CHECKPOINTS_MAX: usize = 4;

/// How long the other side may take to say how a worker was lost, once nothing can be sent to it: it is on its way already.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_millis(500);

/// Keeps a way to a worker open for as long as the plan gives it to the session.
pub(super) fn keep(gateway: &Gateway, session: &Arc<Session>, worker: WorkerId, node: NodeId) -> AbortHandle {
    let gateway = gateway.clone();
    let session = Arc::downgrade(session);
    let keeper = tokio::spawn(async move {
        let mut wait = AGAIN_FIRST;
        loop {
            let (lost, gone) = oneshot::channel();
            let listener = listener(&gateway, session.clone(), worker, lost);
            match open(&gateway, worker, node, listener).await {
                Ok(port) => {
                    let Some(held) = session.upgrade() else { return };
                    held.attached(worker, port);
                    drop(held);
                    wait = AGAIN_FIRST;
                    // The sender is kept by the listener: when all its owners let go, the way is lost too.
                    let loss = gone.await.unwrap_or(Loss::Gone);
                    let Some(held) = session.upgrade() else { return };
                    held.lost(worker, loss);
                }
                Err(reason) => tracing::debug!(worker = worker.0, %node, "no way to the worker yet: {reason}"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
    });
    keeper.abort_handle()
}

fn listener(gateway: &Gateway, session: Weak<Session>, worker: WorkerId, lost: oneshot::Sender<Loss>) -> Listener {
    let gateway = gateway.clone();
    let lost = Mutex::new(Some(lost));
    Arc::new(move |says| match says {
        Says::End(end) => {
            if let Some(session) = session.upgrade() {
                session.answered(worker, end);
            }
        }
        Says::Checkpoint(checkpoint) => {
            // Without room it is left out: the task's next attempt then begins earlier.
            if let (Some(session), Some(held)) = (session.upgrade(), gateway.hold(checkpoint.bytes.len())) {
                session.kept(worker, checkpoint, held);
            }
        }
        // What is said first counts: whoever knows how the worker was lost speaks before those who only find it gone.
        Says::Lost(loss) => {
            let lost = lost.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(lost) = lost {
                let _ = lost.send(loss);
            }
        }
    })
}

async fn open(gateway: &Gateway, worker: WorkerId, node: NodeId, listener: Listener) -> Result<Port, LinkError> {
    if node == gateway.inner.node {
        return gateway.inner.host.attach(worker, listener).ok_or(LinkError::NoReply);
    }
    open_remote(&gateway.inner.pool, worker, node, listener).await
}

async fn open_remote(pool: &Pool, worker: WorkerId, node: NodeId, listener: Listener) -> Result<Port, LinkError> {
    let Link { connection, owed } = pool.link(node).await?;
    let mut stream = Stream::open(&connection, &Open::Worker(WorkerOpen { worker }), Bytes::new()).await?;
    let Attach::Granted(credits) = stream.expect().await?.header()? else { return Err(LinkError::NoReply) };
    let credits = credits.min(CREDITS_MAX);
    let (attempts, taken) = mpsc::channel(credits as usize);
    tokio::spawn(async move {
        let Stream { send, recv } = stream;
        let debts = owed.debts();
        let mut receiving = std::pin::pin!(receive_ends(recv, &listener, &debts));
        let is_over = tokio::select! {
            () = send_attempts(send, taken, &debts) => false,
            () = &mut receiving => true,
            // Whether the node is down is the leader's to say; what it had runs elsewhere before that.
            () = owed.silence() => {
                tracing::info!(worker = worker.0, %node, "the worker's node is silent");
                true
            }
        };
        if !is_over {
            // Nothing can be sent any more; the other side may still say how the worker was lost.
            let _ = timeout(LAST_WORDS_TIME_MAX, receiving).await;
        }
        listener(Says::Lost(Loss::Gone));
    });
    Ok(Port { credits, attempts })
}

async fn send_attempts(mut send: quinn::SendStream, mut taken: mpsc::Receiver<Attempt>, debts: &Debts) {
    while let Some(attempt) = taken.recv().await {
        debts.add();
        let (payload, checkpoint_bytes) = (attempt.joined(), attempt.checkpoint.len());
        let Attempt { task, attempt, input, .. } = attempt;
        let head = AttemptHead { task, attempt, input, checkpoint_bytes };
        if send_message(&mut send, &head, payload).await.is_err() {
            return;
        }
    }
}

async fn receive_ends(mut recv: quinn::RecvStream, listener: &Listener, debts: &Debts) {
    while let Ok(Some(message)) = frame::read(&mut recv).await {
        match message.header() {
            Ok(FromHost::End(EndHead { task, attempt, run_micros, result })) => {
                debts.settle();
                listener(Says::End(AttemptEnd { task, attempt, run_micros, result, payload: message.payload }));
            }
            Ok(FromHost::Checkpoint { task, attempt }) => {
                listener(Says::Checkpoint(Checkpoint { task, attempt, bytes: message.payload }));
            }
            Ok(FromHost::Lost(loss)) => return listener(Says::Lost(loss)),
            Err(_) => return,
        }
    }
}

/// Attempts that came over one way, as far as their gateway may not have heard of their ends. It holds no more than it has credits
/// for, and each further attempt tells that it has heard of an earlier end: so these are the last few.
#[derive(Debug, Default)]
struct Recent(VecDeque<(TaskId, u32, bool)>);

impl Recent {
    fn came(&mut self, task: TaskId, attempt: u32) {
        self.0.push_back((task, attempt, false));
        if self.0.len() > CREDITS as usize {
            // The oldest that has ended. A gateway that sends more than it has credits for is believed nothing.
            let at = self.0.iter().position(|(.., ended)| *ended).unwrap_or_default();
            self.0.remove(at);
        }
    }

    /// An attempt ended; one that failed is nothing to speak of.
    fn ended(&mut self, task: TaskId, attempt: u32, is_done: bool) {
        if let Some(at) = self.0.iter().position(|(of, number, _)| (*of, *number) == (task, attempt)) {
            if is_done {
                self.0[at].2 = true;
            } else {
                self.0.remove(at);
            }
        }
    }

    /// Says which were done though nobody may know, and waits for those that are under way.
    async fn tell(mut self, mut ended: mpsc::Receiver<Says>, late: impl Fn(TaskId, u32)) {
        while self.0.iter().any(|(.., ended)| !ended) {
            match ended.recv().await {
                Some(Says::End(end)) => self.ended(end.task, end.attempt, end.result.is_ok()),
                Some(Says::Checkpoint(_)) => {}
                Some(Says::Lost(_)) | None => break,
            }
        }
        self.0.iter().filter(|(.., ended)| *ended).for_each(|(task, attempt, _)| late(*task, *attempt));
    }
}

/// Serves another node's gateway at a worker of this node, until either is gone. Attempts that are done, and whose end the gateway may
/// not have heard of, are told to `late`.
pub async fn serve_worker(
    host: &Host,
    mut stream: Stream,
    open: WorkerOpen,
    late: impl Fn(TaskId, u32) + Send + 'static,
) -> Result<(), LinkError> {
    // The gateway holds as many attempts as it has credits, so their ends always find room; one more for the loss. A checkpoint
    // that finds none beside that is left out: the next will do as well.
    let for_ends = CREDITS as usize + 1;
    let (ends, mut ended) = mpsc::channel(for_ends + CHECKPOINTS_MAX);
    let listener: Listener = Arc::new(move |says| {
        if !matches!(says, Says::Checkpoint(_)) || ends.capacity() > for_ends {
            let _ = ends.try_send(says);
        }
    });
    let Some(port) = host.attach(open.worker, listener) else {
        send_message(&mut stream.send, &Attach::NotHere, Bytes::new()).await?;
        return Ok(());
    };
    send_message(&mut stream.send, &Attach::Granted(port.credits), Bytes::new()).await?;
    let Stream { mut send, mut recv } = stream;
    let recent = Mutex::new(Recent::default());
    let noted = || recent.lock().unwrap_or_else(PoisonError::into_inner);
    let receive = async {
        while let Some(message) = frame::read(&mut recv).await? {
            let AttemptHead { task, attempt, input, checkpoint_bytes } = message.header()?;
            let mut payload = message.payload;
            let checkpoint = payload.split_to(checkpoint_bytes.min(payload.len()));
            let sent = Attempt { task, attempt, input, payload, checkpoint };
            // A gateway that sends more than it has credits for waits here, and its stream with it.
            if port.attempts.send(sent).await.is_err() {
                // The worker is gone; how, is still to be said.
                return std::future::pending().await;
            }
            noted().came(task, attempt);
        }
        Ok(())
    };
    let answer = async {
        while let Some(says) = ended.recv().await {
            match says {
                Says::End(AttemptEnd { task, attempt, run_micros, result, payload }) => {
                    noted().ended(task, attempt, result.is_ok());
                    let end = FromHost::End(EndHead { task, attempt, run_micros, result });
                    send_message(&mut send, &end, payload).await?;
                }
                Says::Checkpoint(Checkpoint { task, attempt, bytes }) => {
                    send_message(&mut send, &FromHost::Checkpoint { task, attempt }, bytes).await?;
                }
                Says::Lost(loss) => return send_message(&mut send, &FromHost::Lost(loss), Bytes::new()).await,
            }
        }
        Ok(())
    };
    let served = tokio::select! {
        result = receive => result,
        result = answer => result,
    };
    let recent = recent.into_inner().unwrap_or_else(PoisonError::into_inner);
    tokio::spawn(async move {
        recent.tell(ended, late).await;
        // Only now does the worker forget this way.
        drop(port);
    });
    served
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::protocol::AnswerKind;
    use skein_core::dispatch::history::Fault;
    use skein_core::{Sequence, StreamId};

    fn task(number: u64) -> TaskId {
        TaskId { stream: StreamId(1), sequence: Sequence(number) }
    }

    fn end(number: u64, result: Result<AnswerKind, Fault>) -> Says {
        Says::End(AttemptEnd { task: task(number), attempt: 1, run_micros: 0, result, payload: Bytes::new() })
    }

    #[tokio::test]
    async fn attempts_whose_gateway_may_not_have_heard_of_them_are_told_when_they_are_done() {
        let mut recent = Recent::default();
        for number in 0..6 {
            recent.came(task(number), 1);
            if number < 4 {
                recent.ended(task(number), 1, true);
            }
        }
        // That it sent the fifth and the sixth shows that it had heard of two before them.
        assert_eq!(recent.0.len(), CREDITS as usize);
        let (says, ended) = mpsc::channel(4);
        says.try_send(end(5, Err(Fault::Place("the stick was pulled".into())))).unwrap();
        says.try_send(end(4, Ok(AnswerKind::Classes(Vec::new())))).unwrap();
        let told = Mutex::new(Vec::new());
        recent.tell(ended, |task, _| told.lock().unwrap().push(task)).await;
        assert_eq!(told.into_inner().unwrap(), [task(2), task(3), task(4)]);
    }

    #[tokio::test]
    async fn what_the_worker_did_not_end_is_not_told() {
        let mut recent = Recent::default();
        recent.came(task(0), 1);
        let (says, ended) = mpsc::channel(1);
        says.try_send(Says::Lost(Loss::Gone)).unwrap();
        recent.tell(ended, |task, _| panic!("{task:?}")).await;
    }
}

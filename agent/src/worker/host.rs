//! The workers that run on this agent, and how gateways reach them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use skein_core::WorkerId;
use skein_core::dispatch::history::Fault;
use skein_core::dispatch::{Loss, TaskId};
use skein_core::supervise::WorkerEvent;
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::worker::oom::OomCount;
use crate::worker::process::{self, Ending, Process, ProcessError};
use crate::worker::protocol::{AnswerKind, FromWorker, InputKind, Load, ToWorker};
use watch::Watch;

pub use watch::Ended;

mod survey;
mod watch;

/// How many attempts one gateway may have at one worker: one runs, one waits in the pipe, and two cover the way of an
/// answer to another node and back. More would only be lost together with the worker.
pub const CREDITS: u32 = 4;
/// The reason of a worker that ended because the plan no longer had it.
pub const STOPPED: &str = "it was stopped";
/// Attempts of all gateways that wait for the pipe; beyond it gateways wait, each with its few credits.
const QUEUE_MAX: usize = 64;

/// One attempt on its way to a worker.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
    /// What the payload is.
    pub input: InputKind,
    /// What to work on.
    pub payload: Bytes,
    /// From where to go on; empty where it begins anew.
    pub checkpoint: Bytes,
}

/// How far an attempt is.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
    /// What another worker needs to go on from there.
    pub bytes: Bytes,
}

/// One attempt's end.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
    /// How long the worker ran, in microseconds.
    pub run_micros: u64,
    /// How it ended, and who is to blame where it failed.
    pub result: Result<AnswerKind, Fault>,
    /// The tensors of the answer.
    pub payload: Bytes,
}

/// What a worker says to a gateway that attached to it.
#[derive(Clone, Debug)]
pub enum Says {
    /// An attempt is so far.
    Checkpoint(Checkpoint),
    /// An attempt ended.
    End(AttemptEnd),
    /// The worker is gone; what it had is lost.
    Lost(Loss),
}

/// Called with what a worker says, on the task that heard it: it must be quick.
pub type Listener = Arc<dyn Fn(Says) + Send + Sync>;

/// A way to a worker. The worker forgets it when it is dropped.
#[derive(Debug)]
pub struct Port {
    /// How many attempts it takes at once.
    pub credits: u32,
    /// Where to put them.
    pub attempts: mpsc::Sender<Attempt>,
}

/// The running workers of this agent.
#[derive(Clone, Debug)]
pub struct Host {
    running: Arc<Mutex<HashMap<WorkerId, Running>>>,
    /// What ended with workers that are gone, until it is asked for.
    gone: Arc<Mutex<Vec<(WorkerId, Ended)>>>,
    oom: Arc<OomCount>,
    events: mpsc::UnboundedSender<(WorkerId, WorkerEvent)>,
}

#[derive(Debug)]
struct Running {
    /// Dropping it ends the process.
    _stop: oneshot::Sender<()>,
    /// Present once the worker is ready.
    queue: Option<mpsc::Sender<Job>>,
    watch: Arc<Watch>,
    /// Waits until it has nothing to do any more.
    finishing: Option<AbortHandle>,
}

struct Job {
    attempt: Attempt,
    listener: Listener,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl Attempt {
    /// The checkpoint and what to work on, as they travel.
    pub(crate) fn joined(&self) -> Bytes {
        if self.checkpoint.is_empty() {
            return self.payload.clone();
        }
        [&self.checkpoint[..], &self.payload].concat().into()
    }
}

/// What a running worker has to answer, by ticket, and who attached to it.
#[derive(Default)]
struct Outstanding {
    jobs: HashMap<u64, (TaskId, u32, Listener)>,
    last_ticket: u64,
}

impl Host {
    /// A host without workers. What happens to its workers goes to `events`: two or three a worker's life.
    pub fn new(events: mpsc::UnboundedSender<(WorkerId, WorkerEvent)>) -> Self {
        Self { running: Arc::default(), gone: Arc::default(), oom: Arc::new(OomCount::new()), events }
    }

    /// Starts a worker once its files are there.
    pub fn start(&self, worker: WorkerId, load: impl Future<Output = Result<Load, String>> + Send + 'static) {
        let (stop, stopped) = oneshot::channel();
        let watch = Arc::new(Watch::new());
        let running = Running { _stop: stop, queue: None, watch: watch.clone(), finishing: None };
        self.running().insert(worker, running);
        let host = self.clone();
        tokio::spawn(async move {
            let event = tokio::select! {
                event = host.live(worker, load, &watch) => event,
                _ = stopped => WorkerEvent::Exited { reason: STOPPED.into() },
            };
            host.running().remove(&worker);
            host.gone().push((worker, watch.take_ended()));
            host.tell(worker, event);
        });
    }

    /// Ends a worker.
    pub fn stop(&self, worker: WorkerId) {
        self.running().remove(&worker);
    }

    /// A way to a worker; none where it does not run here or is not ready.
    pub fn attach(&self, worker: WorkerId, listener: Listener) -> Option<Port> {
        let queue = self.running().get(&worker)?.queue.clone()?;
        let (attempts, mut taken) = mpsc::channel::<Attempt>(CREDITS as usize);
        tokio::spawn(async move {
            while let Some(attempt) = taken.recv().await {
                if queue.send(Job { attempt, listener: listener.clone() }).await.is_err() {
                    break;
                }
            }
            // Either the gateway let go, and does not listen any more, or the worker is gone: what had not reached it is not
            // to blame.
            listener(Says::Lost(Loss::Gone));
        });
        Some(Port { credits: CREDITS, attempts })
    }

    /// A worker's life: prepare, load, serve. What it ended with.
    async fn live(
        &self,
        worker: WorkerId,
        load: impl Future<Output = Result<Load, String>>,
        watch: &Watch,
    ) -> WorkerEvent {
        let load = match load.await {
            Ok(load) => load,
            Err(reason) => return WorkerEvent::Unusable { reason },
        };
        let process = match Process::start(Some(worker), load).await {
            Ok((process, _)) => process,
            Err(ProcessError::Unusable(reason)) => return WorkerEvent::Unusable { reason },
            Err(ProcessError::Died(end)) if self.oom.explains(end.signal) => return WorkerEvent::OutOfMemory,
            Err(error) => return WorkerEvent::Exited { reason: error.to_string() },
        };
        watch.started(process.child.id());
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        if let Some(running) = self.running().get_mut(&worker) {
            running.queue = Some(queue);
        }
        self.tell(worker, WorkerEvent::Ready);
        let (end, reason) = serve(process, jobs, watch).await;
        if self.oom.explains(end.signal) {
            return WorkerEvent::OutOfMemory;
        }
        watch.died(&reason);
        WorkerEvent::Exited { reason }
    }

    fn tell(&self, worker: WorkerId, event: WorkerEvent) {
        // The runtime listens for as long as the agent lives.
        let _ = self.events.send((worker, event));
    }

    fn gone(&self) -> MutexGuard<'_, Vec<(WorkerId, Ended)>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<WorkerId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Feeds a ready worker until it ends; how it ended, and that for people. Whoever waits for an answer of it is told that it is lost, also when
/// this future is dropped.
async fn serve(process: Process, jobs: mpsc::Receiver<Job>, watch: &Watch) -> (Ending, String) {
    let Process { child, mut input, mut output } = process;
    let outstanding = Arc::new(Mutex::new(Outstanding::default()));
    let told = TellLost(outstanding.clone());
    let broke = tokio::select! {
        error = write_all(&mut input, jobs, &outstanding, watch) => error,
        error = read_all(&mut output, &outstanding, watch) => error,
    };
    // It ended by itself, or broke its word. Whoever waits hears of it at once: before the plan does, which blames nobody.
    told.tell(true);
    let end = Process { child, input, output }.end().await;
    let reason = match broke {
        Some(error) => format!("the worker process {end} ({error})"),
        None => format!("the worker process {end}"),
    };
    (end, reason)
}

async fn write_all(
    input: &mut ChildStdin,
    mut jobs: mpsc::Receiver<Job>,
    outstanding: &Mutex<Outstanding>,
    watch: &Watch,
) -> Option<String> {
    while let Some(Job { attempt, listener }) = jobs.recv().await {
        let ticket = {
            let mut held = outstanding.lock().unwrap_or_else(PoisonError::into_inner);
            held.last_ticket += 1;
            let ticket = held.last_ticket;
            held.jobs.insert(ticket, (attempt.task, attempt.attempt, listener));
            ticket
        };
        watch.sent(attempt.task);
        let payload = attempt.joined();
        let task = ToWorker::Task { ticket, input: attempt.input, checkpoint_bytes: attempt.checkpoint.len() };
        if let Err(error) = process::send(input, &task, &payload).await {
            return Some(error.to_string());
        }
    }
    None
}

async fn read_all(
    output: &mut tokio::io::BufReader<tokio::process::ChildStdout>,
    outstanding: &Mutex<Outstanding>,
    watch: &Watch,
) -> Option<String> {
    loop {
        let message = match process::receive(output).await {
            Ok(Some(message)) => message,
            Ok(None) => return None,
            Err(error) => return Some(error.to_string()),
        };
        let (ticket, run_micros, result) = match message.header() {
            Ok(FromWorker::Result { ticket, run_micros, result }) => (ticket, run_micros, result),
            Ok(FromWorker::Checkpoint { ticket }) => {
                let of = outstanding.lock().unwrap_or_else(PoisonError::into_inner).jobs.get(&ticket).cloned();
                let Some((task, attempt, listener)) = of else { return Some("it is at what it was not asked".into()) };
                watch.kept();
                listener(Says::Checkpoint(Checkpoint { task, attempt, bytes: message.payload }));
                continue;
            }
            Ok(_) => return Some("it spoke out of turn".into()),
            Err(error) => return Some(error.to_string()),
        };
        let job = outstanding.lock().unwrap_or_else(PoisonError::into_inner).jobs.remove(&ticket);
        let Some((task, attempt, listener)) = job else { return Some("it answered what it was not asked".into()) };
        watch.answered(task, run_micros, result.as_ref().err());
        listener(Says::End(AttemptEnd { task, attempt, run_micros, result, payload: message.payload }));
    }
}

/// Tells everybody who still waits, whatever way the worker ended.
struct TellLost(Arc<Mutex<Outstanding>>);

impl TellLost {
    /// A worker does one thing after the other: where it died, it was at the oldest of what it had.
    fn tell(&self, died: bool) {
        let jobs = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).jobs);
        let mut jobs: Vec<_> = jobs.into_iter().collect();
        jobs.sort_unstable_by_key(|(ticket, _)| *ticket);
        // A listener takes the first word only, so the one that knows the most comes first.
        for (place, (_, (task, attempt, listener))) in jobs.into_iter().enumerate() {
            let at_work = died && place == 0;
            listener(Says::Lost(if at_work { Loss::Died { task, attempt } } else { Loss::Gone }));
        }
    }
}

impl Drop for TellLost {
    fn drop(&mut self) {
        self.tell(false);
    }
}

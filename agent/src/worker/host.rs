//! The workers that run on this agent, and how gateways reach them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use skein_core::WorkerId;
use skein_core::dispatch::history::Fault;
use skein_core::dispatch::{Loss, TaskId};
use skein_core::supervise::WorkerEvent;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::worker::cores::Cores;
use crate::worker::oom::OomCount;
use crate::worker::process::{Bound, Process, ProcessError};
use crate::worker::protocol::{AnswerKind, FromWorker, InputKind, Load};
use serve::{Over, serve};
use watch::Watch;

pub use watch::Ended;

mod serve;
mod survey;
mod watch;

/// How many attempts one gateway may have at one worker: one runs, one waits in the pipe, and two cover the way of an
/// answer to another node and back. More would only be lost together with the worker.
pub const CREDITS: u32 = 4;
/// The reason of a worker that ended because the plan no longer had it.
pub const STOPPED: &str = "it was stopped";
/// How long a model may take to load and to run once: an engine that is built for its device takes minutes on a small board.
const LOAD_TIME_MAX: Duration = Duration::from_secs(600);
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

/// What a worker is to be.
#[derive(Clone, Debug)]
pub struct Order {
    /// What it runs.
    pub load: Load,
    /// What it was given of the processor, in thousandths of a core.
    pub cpu_millicores: u64,
    /// What binds it to its device.
    pub environment: Vec<(&'static str, String)>,
    /// How long it may be at one task, or at what follows the last checkpoint of it, before it counts as hung.
    pub task_time: Duration,
}

/// The running workers of this agent.
#[derive(Clone, Debug)]
pub struct Host {
    running: Arc<Mutex<HashMap<WorkerId, Running>>>,
    /// What ended with workers that are gone, until it is asked for.
    gone: Arc<Mutex<Vec<(WorkerId, Ended)>>>,
    oom: Arc<OomCount>,
    cores: Arc<Cores>,
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
    /// How much of it travels as bytes.
    fn bytes(&self) -> usize {
        self.checkpoint.len() + self.payload.len()
    }

    /// The checkpoint and what to work on, as they travel.
    pub(crate) fn joined(&self) -> Bytes {
        if self.checkpoint.is_empty() {
            return self.payload.clone();
        }
        [&self.checkpoint[..], &self.payload].concat().into()
    }
}

impl Host {
    /// A host without workers, which will bind each to cores of its own or let them run anywhere. What happens to its workers goes to `events`: two or three a worker's life.
    pub fn new(events: mpsc::UnboundedSender<(WorkerId, WorkerEvent)>, bind_cores: bool) -> Self {
        let (oom, cores) = (Arc::new(OomCount::new()), Arc::new(Cores::new(bind_cores)));
        Self { running: Arc::default(), gone: Arc::default(), oom, cores, events }
    }

    /// Starts a worker once its files are there.
    pub fn start(&self, worker: WorkerId, order: impl Future<Output = Result<Order, String>> + Send + 'static) {
        let (stop, stopped) = oneshot::channel();
        let watch = Arc::new(Watch::new());
        let running = Running { _stop: stop, queue: None, watch: watch.clone(), finishing: None };
        self.running().insert(worker, running);
        let host = self.clone();
        tokio::spawn(async move {
            let event = tokio::select! {
                event = host.live(worker, order, &watch) => event,
                _ = stopped => WorkerEvent::Exited { reason: STOPPED.into() },
            };
            host.running().remove(&worker);
            host.cores.give_back(worker);
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
        order: impl Future<Output = Result<Order, String>>,
        watch: &Watch,
    ) -> WorkerEvent {
        let Order { load, cpu_millicores, environment, task_time } = match order.await {
            Ok(order) => order,
            Err(reason) => return WorkerEvent::Unusable { reason },
        };
        let bound = Bound { worker: Some(worker), cores: self.cores.take(worker, cpu_millicores), environment };
        let loaded = timeout(LOAD_TIME_MAX, Process::start(bound, load)).await;
        let process = match loaded {
            Ok(Ok((process, ready))) => {
                if let FromWorker::Ready { run_micros: Some(micros), .. } = ready {
                    watch.ran_once(micros);
                }
                process
            }
            Err(_) => {
                let reason = format!("its model was not ready within {} min", LOAD_TIME_MAX.as_secs() / 60);
                return WorkerEvent::Unusable { reason };
            }
            Ok(Err(ProcessError::Unusable(reason))) => return WorkerEvent::Unusable { reason },
            Ok(Err(ProcessError::Died(end))) if self.oom.explains(end.signal) => return WorkerEvent::OutOfMemory,
            Ok(Err(error)) => return WorkerEvent::Exited { reason: error.to_string() },
        };
        watch.started(process.child.id());
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        if let Some(running) = self.running().get_mut(&worker) {
            running.queue = Some(queue);
        }
        self.tell(worker, WorkerEvent::Ready);
        match serve(process, jobs, watch, task_time).await {
            Over::Ended(end, _) if self.oom.explains(end.signal) => WorkerEvent::OutOfMemory,
            Over::Ended(_, reason) => {
                watch.died(&reason);
                WorkerEvent::Exited { reason }
            }
            Over::Hung(reason) => WorkerEvent::Exited { reason },
            Over::Outgrown => WorkerEvent::Outgrown,
        }
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

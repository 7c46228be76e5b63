//! What one agent does to make the workers it runs match the workers the plan gives it.
//!
//! The supervisor looks at levels, not at edges: it is shown the whole plan again after each change, so that a missed
//! event, a restart of the agent or a plan from before a partition all end in the same place.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use crate::ids::{NodeId, WorkerId};
use crate::state::State;
use crate::time::Millis;
use crate::worker::{WorkerReport, WorkerStatus};

/// How often a worker's process is started again here before the plan is asked to look elsewhere: once may be an
/// accident, three times in a row is the device or the model.
pub const RESTARTS_MAX: u32 = 3;
/// The first wait before a restart; each further one doubles it.
pub const RESTART_DELAY: Millis = Millis(100);
/// A worker that was ready for so long has made up for earlier crashes.
pub const STEADY_AFTER: Millis = Millis(30_000);
/// How long a report may stay without effect on the replicated state before it is sent again.
pub const REPORT_AGAIN_AFTER: Millis = Millis(1_000);

/// What the agent learnt of one of its worker processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerEvent {
    /// The model is loaded and the warm-up run passed.
    Ready,
    /// The process is gone.
    Exited {
        /// How, for people.
        reason: String,
    },
    /// It can never be ready here: the model does not arrive or does not load. No process is left.
    Unusable {
        /// Why, for people.
        reason: String,
    },
}

/// What the agent should do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process for this worker.
    Start(WorkerId),
    /// End its process.
    Stop(WorkerId),
    /// Tell the leader.
    Report(WorkerId, WorkerReport),
}

/// The agent's account of its own workers.
#[derive(Debug)]
pub struct Supervisor {
    node: NodeId,
    workers: BTreeMap<WorkerId, Local>,
}

#[derive(Debug)]
struct Local {
    planned: bool,
    phase: Phase,
    crashes: u32,
    /// What the replicated state holds of it.
    known: WorkerStatus,
    reported: Option<(WorkerReport, Millis)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// No process; one should be started at this time.
    Waiting(Millis),
    Starting,
    Ready(Millis),
    Stopping,
    GivenUp(String),
}

impl Supervisor {
    /// An account without workers, for this node.
    pub fn new(node: NodeId) -> Self {
        Self { node, workers: BTreeMap::new() }
    }

    /// The replicated state changed, or may have.
    pub fn on_state(&mut self, now: Millis, state: &State) {
        for local in self.workers.values_mut() {
            local.planned = false;
        }
        for (id, worker) in state.workers.iter().filter(|(_, worker)| worker.node == self.node) {
            let local = self.workers.entry(*id).or_insert_with(|| Local::new(now));
            local.planned = true;
            local.known = worker.status;
        }
    }

    /// Something happened to a process.
    pub fn on_worker(&mut self, now: Millis, id: WorkerId, event: WorkerEvent) {
        let Some(local) = self.workers.get_mut(&id) else { return };
        match (event, &local.phase) {
            (WorkerEvent::Ready, Phase::Starting) => local.phase = Phase::Ready(now),
            (WorkerEvent::Unusable { reason }, Phase::Starting | Phase::Ready(_)) => {
                local.phase = Phase::GivenUp(reason);
            }
            (WorkerEvent::Exited { reason }, Phase::Starting | Phase::Ready(_)) => local.crashed(now, &reason),
            // It was told to end, so that is no crash, whichever way it went.
            (WorkerEvent::Exited { .. } | WorkerEvent::Unusable { .. }, Phase::Stopping) => {
                local.phase = Phase::Waiting(now);
            }
            // News of a process that is gone, or that is about to go.
            (WorkerEvent::Ready, _) | (_, Phase::Waiting(_) | Phase::GivenUp(_)) => {}
        }
    }

    /// The next thing to do now; none when there is nothing to do before [`Self::wake_at`].
    pub fn next_action(&mut self, now: Millis) -> Option<Action> {
        self.workers.retain(|_, local| local.planned || local.has_process());
        self.workers.iter_mut().find_map(|(id, local)| local.next_action(now, *id))
    }

    /// When [`Self::next_action`] should be asked again though nothing happened.
    pub fn wake_at(&self) -> Option<Millis> {
        self.workers.values().filter_map(Local::wake_at).min()
    }
}

impl Local {
    fn new(now: Millis) -> Self {
        Self { planned: true, phase: Phase::Waiting(now), crashes: 0, known: WorkerStatus::Starting, reported: None }
    }

    fn has_process(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Ready(_) | Phase::Stopping)
    }

    fn crashed(&mut self, now: Millis, reason: &str) {
        let steady = matches!(self.phase, Phase::Ready(since) if now.since(since) >= STEADY_AFTER);
        self.crashes = if steady { 1 } else { self.crashes + 1 };
        self.phase = if self.crashes > RESTARTS_MAX {
            Phase::GivenUp(format!("it ended {} times in a row; the last time: {reason}", self.crashes))
        } else {
            Phase::Waiting(now + Millis(RESTART_DELAY.0 << (self.crashes - 1)))
        };
    }

    fn next_action(&mut self, now: Millis, id: WorkerId) -> Option<Action> {
        match self.phase {
            Phase::Starting | Phase::Ready(_) if !self.planned => {
                self.phase = Phase::Stopping;
                return Some(Action::Stop(id));
            }
            Phase::Waiting(at) if at <= now => {
                self.phase = Phase::Starting;
                return Some(Action::Start(id));
            }
            _ => {}
        }
        let report = self.due_report()?;
        if let Some((sent, at)) = &self.reported
            && *sent == report
            && now.since(*at) < REPORT_AGAIN_AFTER
        {
            return None;
        }
        self.reported = Some((report.clone(), now));
        Some(Action::Report(id, report))
    }

    /// What the replicated state does not yet know.
    fn due_report(&self) -> Option<WorkerReport> {
        let status = match &self.phase {
            Phase::GivenUp(reason) => return Some(WorkerReport::Failed { reason: reason.clone() }),
            Phase::Waiting(_) | Phase::Starting => WorkerStatus::Starting,
            Phase::Ready(_) => WorkerStatus::Ready,
            Phase::Stopping => return None,
        };
        (status != self.known).then_some(WorkerReport::Status(status))
    }

    fn wake_at(&self) -> Option<Millis> {
        let start = match self.phase {
            Phase::Waiting(at) => Some(at),
            _ => None,
        };
        let report = self.due_report().and(self.reported.as_ref()).map(|(_, at)| *at + REPORT_AGAIN_AFTER);
        [start, report].into_iter().flatten().min()
    }
}

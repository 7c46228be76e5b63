//! What one agent does to make the workers it runs match the workers the plan gives it.
//!
//! The supervisor looks at levels, not at edges: it is shown the whole plan again after each change, so that a missed
//! event, a restart of the agent or a plan from before a partition all end in the same place.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use crate::ids::{NodeId, SessionId, WorkerId};
use crate::plan::feasible;
use crate::resources::Resources;
use crate::session::Hold;
use crate::state::State;
use crate::time::Millis;
use crate::worker::{Duty, Worker, WorkerReport, WorkerStatus};

/// How often a worker's process is started again here before the plan is asked to look elsewhere: once may be an
/// accident, three times in a row is the device or the model.
pub const RESTARTS_MAX: u32 = 3;
/// The first wait before a restart; each further one doubles it.
pub const RESTART_DELAY: Millis = Millis(100);
/// A worker that was ready for so long has made up for earlier crashes.
pub const STEADY_AFTER: Millis = Millis(30_000);
/// How long a report may stay without effect on the replicated state before it is sent again.
pub const REPORT_AGAIN_AFTER: Millis = Millis(1_000);
/// The least work at stake that is told of: what is lost with less is done again before anybody misses it.
pub const STAKE_LEAST: Millis = Millis(1_000);

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
    /// Its process was ended between two tasks, to be started anew: it had come to take more and more memory. No process is left.
    Outgrown,
    /// The system ended its process because it used more memory than there was.
    OutOfMemory,
    /// It has finished what it had, as [`Action::Finish`] asked.
    Finished,
    /// Work of so much time would be lost with it now.
    Stake(Millis),
}

/// What the agent should do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process for this worker.
    Start(WorkerId),
    /// End its process.
    Stop(WorkerId),
    /// It has to leave: say when no attempt of it is under way any more.
    Finish(WorkerId),
    /// It may stay after all.
    Resume(WorkerId),
    /// Tell the leader.
    Report(WorkerId, WorkerReport),
}

/// The agent's account of its own workers.
#[derive(Debug)]
pub struct Supervisor {
    node: NodeId,
    workers: BTreeMap<WorkerId, Local>,
    /// What the node offers in all, and what each of its devices does.
    offers: Resources,
    devices: BTreeMap<String, Resources>,
    /// Sessions that this node does not go on with, whatever the plan says.
    stopped: BTreeSet<SessionId>,
}

#[derive(Debug)]
struct Local {
    planned: bool,
    session: SessionId,
    device: String,
    need: Resources,
    /// What its session keeps to itself.
    hold: Hold,
    /// Whether it has to leave. One that is kept warm goes on as it is: only gateways care.
    leaving: bool,
    finish: Finish,
    phase: Phase,
    crashes: u32,
    /// Work that would be lost with it now.
    stake: Millis,
    /// What the replicated state holds of it.
    known: WorkerStatus,
    known_stake: Millis,
    reported: Option<(WorkerReport, Millis)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// No process; one should be started at this time.
    Waiting(Millis),
    Starting,
    Ready(Millis),
    Stopping,
    /// No process, and none will be; this is what is to be said of it.
    GivenUp(WorkerReport),
}

/// How far a worker is with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    NotAsked,
    Asked,
    Done,
}

impl Supervisor {
    /// An account without workers, for this node.
    pub fn new(node: NodeId) -> Self {
        let (offers, devices) = (Resources::default(), BTreeMap::new());
        Self { node, workers: BTreeMap::new(), offers, devices, stopped: BTreeSet::new() }
    }

    /// Workers of these sessions, and only of these, are treated from the next [`Self::on_state`] on as if they were not planned:
    /// see [`crate::island`].
    pub fn stop_sessions(&mut self, sessions: BTreeSet<SessionId>) {
        self.stopped = sessions;
    }

    /// The replicated state changed, or may have.
    pub fn on_state(&mut self, now: Millis, state: &State) {
        for local in self.workers.values_mut() {
            local.planned = false;
        }
        let stopped = &self.stopped;
        for (id, worker) in state.workers_on(self.node).filter(|(_, worker)| !stopped.contains(&worker.session)) {
            let hold = state.sessions.get(&worker.session).map(|session| &session.hold);
            let local = self.workers.entry(id).or_insert_with(|| Local::new(now, worker, hold));
            local.see(worker);
        }
        if let Some(node) = state.nodes.get(&self.node) {
            let capability = &node.spec.capability;
            self.offers = capability.offers.clone();
            self.devices =
                capability.devices.iter().map(|device| (device.name.clone(), device.offers.clone())).collect();
        }
    }

    /// Something happened to a process.
    pub fn on_worker(&mut self, now: Millis, id: WorkerId, event: WorkerEvent) {
        let Some(local) = self.workers.get_mut(&id) else { return };
        match (event, &local.phase) {
            (WorkerEvent::Ready, Phase::Starting) => local.phase = Phase::Ready(now),
            (WorkerEvent::Unusable { reason }, Phase::Starting | Phase::Ready(_)) => {
                local.give_up(WorkerReport::Failed { reason });
            }
            (WorkerEvent::OutOfMemory, Phase::Starting | Phase::Ready(_)) => local.give_up(WorkerReport::OutOfMemory),
            (WorkerEvent::Finished, Phase::Ready(_)) if local.finish == Finish::Asked => local.finish = Finish::Done,
            (WorkerEvent::Stake(length), Phase::Ready(_)) => local.stake = length,
            (WorkerEvent::Exited { reason }, Phase::Starting | Phase::Ready(_)) => local.crashed(now, &reason),
            // One that grew too large did no wrong; one that was told to end has not crashed, whichever way it went.
            (WorkerEvent::Outgrown, Phase::Starting | Phase::Ready(_) | Phase::Stopping)
            | (WorkerEvent::Exited { .. } | WorkerEvent::Unusable { .. } | WorkerEvent::OutOfMemory, Phase::Stopping) =>
            {
                local.lose_process(Phase::Waiting(now));
            }
            // News of a process that is gone, or that is about to go, or of a finish that nobody waits for any more.
            (WorkerEvent::Ready | WorkerEvent::Finished | WorkerEvent::Stake(_), _)
            | (_, Phase::Waiting(_) | Phase::GivenUp(_)) => {}
        }
    }

    /// The next thing to do now; none when there is nothing to do before [`Self::wake_at`].
    pub fn next_action(&mut self, now: Millis) -> Option<Action> {
        self.workers.retain(|_, local| local.planned || local.has_process());
        let waiting = self.waiting_for_room();
        let may_act = |id: &WorkerId| !waiting.contains(id);
        self.workers.iter_mut().find_map(|(id, local)| local.next_action(now, *id, may_act(id)))
    }

    /// When [`Self::next_action`] should be asked again though nothing happened.
    pub fn wake_at(&self) -> Option<Millis> {
        let waiting = self.waiting_for_room();
        self.workers.iter().filter_map(|(id, local)| local.wake_at(!waiting.contains(id))).min()
    }

    /// Workers whose process must wait for the end of others: in the plan their room is free as soon as those leave it, and
    /// on the node when they are gone.
    fn waiting_for_room(&self) -> BTreeSet<WorkerId> {
        if self.workers.values().all(|local| local.planned || !local.has_process()) {
            return BTreeSet::new();
        }
        let without = self.workers.iter().filter(|(_, local)| matches!(local.phase, Phase::Waiting(_)));
        without.filter(|(_, local)| !self.has_room_for(local)).map(|(id, _)| *id).collect()
    }

    fn has_room_for(&self, new: &Local) -> bool {
        let (mut node, mut device) = (new.need.clone(), new.need.clone());
        for running in self.workers.values().filter(|local| local.has_process()) {
            node.add(&running.need);
            if running.device == new.device {
                device.add(&running.need);
            }
        }
        let ending = self.workers.values().filter(|local| local.has_process() && !local.planned);
        let beside = ending.map(|local| (local.session, &local.hold, local.device == new.device));
        node.fits_node(&self.offers)
            && self.devices.get(&new.device).is_some_and(|offers| device.fits_device(offers))
            && feasible::company(new.session, &new.hold, beside).is_ok()
    }
}

impl Local {
    fn new(now: Millis, worker: &Worker, hold: Option<&Hold>) -> Self {
        Self {
            planned: true,
            session: worker.session,
            device: worker.device.clone(),
            need: worker.need.clone(),
            hold: hold.cloned().unwrap_or_default(),
            leaving: false,
            finish: Finish::NotAsked,
            phase: Phase::Waiting(now),
            crashes: 0,
            stake: Millis(0),
            known: WorkerStatus::Starting,
            known_stake: Millis(0),
            reported: None,
        }
    }

    fn see(&mut self, worker: &Worker) {
        self.planned = true;
        self.leaving = matches!(worker.duty, Duty::Leaving { .. });
        self.known = worker.status;
        self.need.clone_from(&worker.need);
        self.known_stake = worker.at_stake;
    }

    fn has_process(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Ready(_) | Phase::Stopping)
    }

    fn give_up(&mut self, report: WorkerReport) {
        self.lose_process(Phase::GivenUp(report));
    }

    /// What a process had is lost with it.
    fn lose_process(&mut self, phase: Phase) {
        self.phase = phase;
        self.stake = Millis(0);
        self.finish = Finish::NotAsked;
    }

    fn crashed(&mut self, now: Millis, reason: &str) {
        let steady = matches!(self.phase, Phase::Ready(since) if now.since(since) >= STEADY_AFTER);
        self.crashes = if steady { 1 } else { self.crashes + 1 };
        if self.crashes > RESTARTS_MAX {
            let reason = format!("it ended {} times in a row; the last time: {reason}", self.crashes);
            self.give_up(WorkerReport::Failed { reason });
        } else {
            self.lose_process(Phase::Waiting(now + Millis(RESTART_DELAY.0 << (self.crashes - 1))));
        }
    }

    fn next_action(&mut self, now: Millis, id: WorkerId, has_room: bool) -> Option<Action> {
        match self.phase {
            Phase::Starting | Phase::Ready(_) if !self.planned => {
                self.phase = Phase::Stopping;
                return Some(Action::Stop(id));
            }
            // One that has to leave is not started for that.
            Phase::Waiting(at) if at <= now && !self.leaving && has_room => {
                self.phase = Phase::Starting;
                return Some(Action::Start(id));
            }
            Phase::Ready(_) if self.leaving && self.finish == Finish::NotAsked => {
                self.finish = Finish::Asked;
                return Some(Action::Finish(id));
            }
            Phase::Ready(_) if !self.leaving && self.finish != Finish::NotAsked => {
                self.finish = Finish::NotAsked;
                return Some(Action::Resume(id));
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
            Phase::GivenUp(report) => return Some(report.clone()),
            Phase::Stopping => return None,
            // Without a process, or without a loaded model, there is nothing to finish.
            Phase::Waiting(_) | Phase::Starting if self.leaving => return Some(WorkerReport::Left),
            Phase::Waiting(_) | Phase::Starting => WorkerStatus::Starting,
            Phase::Ready(_) if self.leaving && self.finish == Finish::Done => return Some(WorkerReport::Left),
            Phase::Ready(_) => WorkerStatus::Ready,
        };
        let stake = || self.due_stake().map(WorkerReport::AtStake);
        if status == self.known { stake() } else { Some(WorkerReport::Status(status)) }
    }

    /// Work at stake is told when it has doubled, from [`STAKE_LEAST`] on, and when there is none any more.
    fn due_stake(&self) -> Option<Millis> {
        let doublings = self.stake.0.checked_div(STAKE_LEAST.0).and_then(u64::checked_ilog2);
        // Told as the last doubling it reached, so that it is the same word until it reaches the next.
        let stake = doublings.map_or(Millis(0), |doublings| Millis(STAKE_LEAST.0 << doublings));
        let is_over = stake == Millis(0) && self.known_stake > Millis(0);
        let has_doubled = stake > Millis(0) && stake.0 >= self.known_stake.0.saturating_mul(2);
        (is_over || has_doubled).then_some(stake)
    }

    fn wake_at(&self, has_room: bool) -> Option<Millis> {
        let start = match self.phase {
            Phase::Waiting(at) if !self.leaving && has_room => Some(at),
            _ => None,
        };
        let report = self.due_report().and(self.reported.as_ref()).map(|(_, at)| *at + REPORT_AGAIN_AFTER);
        [start, report].into_iter().flatten().min()
    }
}

//! One node: its replica of the state, its supervisor, its processes.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::capability::{Device, NodeSpec};
use skein_core::supervise::{Action, Supervisor, WorkerEvent};
use skein_core::testing::Bench;
use skein_core::worker::{Worker, WorkerReport, WorkerStatus};
use skein_core::{Command, Millis, NodeId, SessionId, State, WorkerId};

use super::check::mesh::Sum;
use super::devices::Faults;
use super::{BEAT, DIED, Happening, World, draw};
use crate::chance::Chance;

/// More actions in one go than a node can have reason for.
const ACTIONS_MAX: usize = 2_000;

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) id: NodeId,
    /// What it says of itself.
    pub(super) spec: NodeSpec,
    pub(super) is_alive: bool,
    /// Alive, but nobody hears it and it hears nobody.
    pub(super) is_cut_off: bool,
    /// How far its clock is ahead, in ms.
    pub(super) clock_ahead: u64,
    /// How much of the log its replica has.
    pub(super) applied: usize,
    pub(super) view: State,
    pub(super) supervisor: Supervisor,
    pub(super) processes: BTreeMap<WorkerId, Process>,
    pub(super) wake: Option<Millis>,
    births: u64,
    /// How often it was started.
    pub(super) boot: u64,
    pub(super) bench: Bench,
    pub(super) faults: Faults,
    pub(super) beats: u64,
    /// Tasks of each session that its gateway has taken in and that have not ended.
    pub(super) tasks: BTreeMap<SessionId, u64>,
    /// Of which sessions the leader was told that there are some.
    pub(super) told: BTreeSet<SessionId>,
}

#[derive(Debug)]
pub(super) struct Process {
    birth: u64,
    pub(super) is_ready: bool,
    /// The worker as it was last planned.
    last: Option<Worker>,
}

impl Machine {
    pub(super) fn new(id: NodeId, chance: &mut Chance) -> Self {
        // Clocks differ a little; a board without a battery for its clock, by a lot.
        let clock_ahead = if chance.percent(10) { 3_600_000 } else { chance.number(0..200) };
        Self {
            id,
            spec: draw::node::spec(chance, id),
            is_alive: true,
            is_cut_off: false,
            clock_ahead,
            applied: 0,
            view: State::default(),
            supervisor: Supervisor::new(id),
            processes: BTreeMap::new(),
            wake: None,
            births: 0,
            boot: 0,
            bench: Bench::new(id),
            faults: Faults::new(),
            beats: 0,
            tasks: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.is_alive && !self.is_cut_off
    }

    /// The power goes: what was on disk stays.
    pub(super) fn die(&mut self) {
        self.is_alive = false;
        self.is_cut_off = false;
        self.processes.clear();
        self.tasks.clear();
        self.told.clear();
        self.wake = None;
    }

    pub(super) fn start(&mut self, now: Millis) {
        self.is_alive = true;
        self.supervisor = Supervisor::new(self.id);
        self.supervisor.on_state(now, &self.view);
        self.boot += 1;
        self.bench = Bench::new(self.id);
        self.bench.on_state(&self.view);
        self.faults.clear();
    }
}

impl Machine {
    /// The processes, those included that are being stopped, as they were last planned.
    fn remember(&mut self) {
        for (id, process) in &mut self.processes {
            process.last = self.view.workers.get(id).or(process.last.as_ref()).cloned();
        }
    }

    /// Whether all processes together take more than the node has, or those on a device more than that has.
    fn is_over_capacity(&self, device: &str) -> bool {
        let Some(node) = self.view.nodes.get(&self.id) else { return false };
        let running = || self.processes.values().filter_map(|process| process.last.as_ref());
        let capability = &node.spec.capability;
        let is_over = |device: &Device| {
            let on = running().filter(|worker| worker.device == device.name);
            !Sum::of(on.map(|worker| &worker.need)).fits_device(&device.offers)
        };
        !Sum::of(running().map(|worker| &worker.need)).fits_node(&capability.offers)
            || capability.devices.iter().filter(|known| known.name == device).any(is_over)
    }
}

impl World {
    /// A node beats, states itself where the mesh knows it otherwise, and looks for news that it missed.
    pub(super) fn tick(&mut self, id: NodeId) {
        let pause = BEAT.0 + self.chance.number(0..50);
        self.after(Millis(pause), Happening::Tick(id));
        let Some(machine) = self.machines.get(&id).filter(|machine| machine.is_reachable()) else { return };
        if machine.view.nodes.get(&id).is_none_or(|node| node.spec != machine.spec) {
            let spec = machine.spec.clone();
            self.send(id, || Happening::Proposal(Command::NodeJoin(spec.clone())));
        }
        let term = self.term;
        self.send(id, || Happening::Beat { term, node: id });
        self.tell(id);
        self.work_off(id);
        self.look_after(id);
        self.replicate(id);
    }

    /// Carries out what the supervisor wants, and what is to be done about devices.
    pub(super) fn drive_machine(&mut self, id: NodeId) {
        self.drive_bench(id);
        for _ in 0..ACTIONS_MAX {
            let Some(machine) = self.machines.get_mut(&id).filter(|machine| machine.is_alive) else { return };
            machine.remember();
            let Some(action) = machine.supervisor.next_action(self.now) else {
                machine.wake = [machine.supervisor.wake_at(), machine.bench.wake_at()].into_iter().flatten().min();
                let due = machine.wake.is_some_and(|wake| wake <= self.now);
                self.chance.check(!due, || format!("node {id} wakes now again, though it has nothing to do"));
                return;
            };
            match action {
                Action::Start(worker) => self.start_process(id, worker),
                Action::Stop(worker) => self.stop_process(id, worker),
                Action::Report(worker, report) => self.report(id, worker, report),
                Action::Finish(worker) => self.told(id, worker, "worker_told_to_finish"),
                Action::Resume(worker) => self.told(id, worker, "worker_told_to_resume"),
            }
        }
        self.chance.check(false, || format!("node {id} never comes to rest"));
    }

    fn start_process(&mut self, id: NodeId, worker: WorkerId) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.births += 1;
        let birth = machine.births;
        let planned = machine.view.workers.get(&worker).filter(|planned| planned.node == id);
        let session = planned.map(|planned| planned.session);
        let before = machine.processes.insert(worker, Process { birth, is_ready: false, last: planned.cloned() });
        let is_over = planned.is_some_and(|planned| machine.is_over_capacity(&planned.device));
        self.chance.check(!is_over, || format!("node {id} starts worker {worker} while others still take its room"));
        self.chance.check(before.is_none(), || format!("node {id} starts worker {worker}, which runs"));
        self.chance.check(session.is_some(), || format!("node {id} starts worker {worker}, which is not planned"));
        self.chance.count("process_started");
        let is_poisoned = session.is_some_and(|session| self.poisoned.contains(&(session, id)));
        let (kind, event) = match self.chance.number(0..100) {
            _ if self.is_healing => ("process_ready", WorkerEvent::Ready),
            0..60 if is_poisoned => ("process_unusable", WorkerEvent::Unusable { reason: "it does not load".into() }),
            0..85 if !is_poisoned => ("process_ready", WorkerEvent::Ready),
            96.. => ("process_unusable", WorkerEvent::Unusable { reason: "it does not arrive".into() }),
            _ => ("process_crashed_early", WorkerEvent::Exited { reason: "signal 11".into() }),
        };
        self.chance.count(kind);
        let took = self.chance.number(20..2_000);
        self.after(Millis(took), Happening::Process { node: id, worker, birth, event });
    }

    fn stop_process(&mut self, id: NodeId, worker: WorkerId) {
        let Some(machine) = self.machines.get(&id) else { return };
        let process = machine.processes.get(&worker).map(|process| process.birth);
        let is_planned = machine.view.workers.contains_key(&worker);
        self.chance.check(process.is_some(), || format!("node {id} stops worker {worker}, which does not run"));
        self.chance.check(!is_planned, || format!("node {id} stops worker {worker}, which is planned"));
        self.chance.count("process_stopped");
        let took = self.chance.number(1..300);
        let event = WorkerEvent::Exited { reason: "it was stopped".into() };
        if let Some(birth) = process {
            self.after(Millis(took), Happening::Process { node: id, worker, birth, event });
        }
    }

    fn report(&mut self, id: NodeId, worker: WorkerId, report: WorkerReport) {
        let process = self.machines.get(&id).and_then(|machine| machine.processes.get(&worker));
        let is_ready = process.is_some_and(|process| process.is_ready);
        let (kind, is_true) = match &report {
            WorkerReport::Status(WorkerStatus::Ready) => ("report_ready", is_ready),
            WorkerReport::Status(WorkerStatus::Starting) => ("report_starting", !is_ready),
            WorkerReport::Failed { .. } => ("report_failed", process.is_none()),
            WorkerReport::OutOfMemory => ("report_out_of_memory", process.is_none()),
            WorkerReport::AtStake(length) => ("report_at_stake", is_ready || *length == Millis(0)),
            WorkerReport::Left => ("report_left", true),
        };
        self.chance.check(is_true, || format!("node {id} reports {report:?} of worker {worker}, which is not so"));
        self.chance.count(kind);
        let command = Command::WorkerReport { node: id, worker, report };
        self.send(id, || Happening::Proposal(command.clone()));
    }

    pub(super) fn process(&mut self, id: NodeId, worker: WorkerId, birth: u64, event: &WorkerEvent) {
        let Some(machine) = self.machines.get_mut(&id).filter(|machine| machine.is_alive) else { return };
        let Some(process) = machine.processes.get_mut(&worker).filter(|process| process.birth == birth) else { return };
        let is_ready = *event == WorkerEvent::Ready;
        process.is_ready |= is_ready;
        if !is_ready {
            machine.processes.remove(&worker);
        }
        machine.supervisor.on_worker(self.now, worker, event.clone());
        let lasts = self.chance.number(100..60_000);
        if !self.is_healing && is_ready && self.chance.percent(30) {
            self.chance.count("process_crashed_late");
            let event = WorkerEvent::Exited { reason: DIED.into() };
            self.after(Millis(lasts), Happening::Process { node: id, worker, birth, event });
        }
        if !self.is_healing && !is_ready && self.chance.percent(10) {
            self.old_news(id, worker);
        }
        self.drive_machine(id);
    }

    /// Only a process that is loaded has anything to finish.
    fn told(&mut self, id: NodeId, worker: WorkerId, kind: &'static str) {
        let process = self.machines.get(&id).and_then(|machine| machine.processes.get(&worker));
        let is_ready = process.is_some_and(|process| process.is_ready);
        self.chance.check(is_ready, || format!("{kind}: worker {worker} of node {id}, which is not ready"));
        self.chance.count(kind);
    }

    /// News of a process that is gone already.
    fn old_news(&mut self, id: NodeId, worker: WorkerId) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let event =
            if self.chance.percent(50) { WorkerEvent::Ready } else { WorkerEvent::Exited { reason: "?".into() } };
        machine.supervisor.on_worker(self.now, worker, event);
        self.chance.count("process_old_news");
    }
}

//! A mesh at work, to which one step after another happens.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skein_core::capability::NodeSpec;
use skein_core::durable::{Bytes, DurableTask, End, Payload, TaskCommand};
use skein_core::health::{Author, Ending, Phase};
use skein_core::plan::{CHANGES_MAX, Plan, Planner};
use skein_core::session::SessionSpec;
use skein_core::worker::{Duty, Why, WorkerReport, WorkerStatus};
use skein_core::{
    Command, Entry, Event, MeshId, Millis, NodeId, Resources, Sequence, SessionId, State, StreamId, WorkerId, apply,
    health,
};

use super::steps::Step;
use crate::mesh;

pub(super) struct Driver {
    pub(super) state: State,
    pub(super) now: Millis,
    planner: Planner,
    last_plan: Plan,
    /// What happened to it, by name.
    pub(super) met: BTreeSet<&'static str>,
}

impl Driver {
    /// A mesh of these nodes, with a model, and with these sessions served as far as there is room.
    pub(super) fn founded(nodes: Vec<NodeSpec>, sessions: Vec<SessionSpec>) -> Self {
        let (state, now) = (State::default(), Millis(1_000_000));
        let mut driver =
            Self { state, now, planner: Planner::default(), last_plan: Plan::default(), met: BTreeSet::new() };
        let begin = [Command::Found { mesh: MeshId(7) }, Command::ModelAdd(mesh::model("cats", 1))];
        let begin = begin.into_iter().chain(nodes.into_iter().map(Command::NodeJoin));
        for command in begin.chain(sessions.into_iter().map(Command::SessionCreate)) {
            let entry = Entry { at: now, command };
            apply(&mut driver.state, &entry).unwrap_or_else(|refusal| panic!("{entry:?}: {refusal}"));
        }
        for step in [Step::Plan, Step::AllReady] {
            driver.take(&step).unwrap_or_else(|wrong| panic!("{step:?}: {wrong}"));
        }
        driver
    }

    /// It happens. What is refused changes nothing; nothing is of a plan that was just made, or it might be planned and refused
    /// for ever.
    pub(super) fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        if let Step::Wait(length) = step {
            self.now = self.now + Millis(*length);
        }
        for command in self.commands(step) {
            let before = self.state.clone();
            let entry = Entry { at: self.now, command };
            if let Ok(events) = apply(&mut self.state, &entry) {
                is_whole(step, &events)?;
            } else {
                prop_assert_eq!(&self.state, &before);
            }
            self.note(&before, &entry.command);
        }
        Ok(())
    }

    fn commands(&mut self, step: &Step) -> Vec<Command> {
        match step {
            Step::Plan => {
                self.last_plan = self.planner.plan(&self.state, self.now, CHANGES_MAX);
                vec![Command::Plan(self.last_plan.clone())]
            }
            Step::PlanAgain => vec![Command::Plan(self.last_plan.clone())],
            Step::AllReady => self.of_workers(|status, _| *status == WorkerStatus::Starting, &ready()),
            Step::AllLeft => self.of_workers(|_, duty| matches!(duty, Duty::Leaving { .. }), &WorkerReport::Left),
            Step::Report(at, report) => {
                let worker = nth(self.state.workers.iter(), *at).map(|(id, worker)| (*id, worker.node));
                worker
                    .map(|(worker, node)| Command::WorkerReport { node, worker, report: report.clone() })
                    .into_iter()
                    .collect()
            }
            Step::Say(command) => vec![(**command).clone()],
            Step::Wait(_) => vec![],
            Step::End(at) => self.session(*at).map(Command::SessionEnd).into_iter().collect(),
            Step::Want(at, workers) => {
                let sharing = self.state.sessions.iter().filter(|(_, session)| session.spec.share > 0);
                let session = nth(sharing.map(|(id, _)| *id).collect::<Vec<_>>().into_iter(), *at);
                let want = |session| Command::SessionWant { session, workers: *workers };
                session.map(want).into_iter().collect()
            }
            Step::Reserve(at, percent) => self.reserve(*at, *percent).into_iter().collect(),
            Step::Health => health::next_command(&self.state, self.now).into_iter().collect(),
            Step::Submit(at, count) => self.submit(*at, *count).into_iter().collect(),
            Step::TaskEnds(at, is_well) => self.task_ends(*at, *is_well).into_iter().collect(),
            Step::Block(at, ..)
            | Step::Unblock(at)
            | Step::Device(at, _)
            | Step::Down(at)
            | Step::Up(at)
            | Step::Offer(at, _) => {
                let node = nth(self.state.nodes.keys(), *at).copied();
                node.and_then(|node| self.of_node(node, step)).into_iter().collect()
            }
        }
    }

    fn of_workers(&self, which: impl Fn(&WorkerStatus, &Duty) -> bool, report: &WorkerReport) -> Vec<Command> {
        let workers = self.state.workers.iter().filter(|(_, worker)| which(&worker.status, &worker.duty));
        let report =
            |(id, node): (WorkerId, NodeId)| Command::WorkerReport { node, worker: id, report: report.clone() };
        workers.map(|(id, worker)| report((*id, worker.node))).collect()
    }

    fn of_node(&self, node: NodeId, step: &Step) -> Option<Command> {
        let known = self.state.nodes.get(&node)?;
        let device = known.spec.capability.devices.first()?.name.clone();
        Some(match step {
            Step::Block(_, is_device, ending) => {
                let (device, ending) = (is_device.then_some(device), *ending);
                Command::Block { node, device, by: Author::Operator, reason: "so".into(), ending }
            }
            Step::Unblock(_) => {
                let blocked = known.devices.iter().find(|(_, health)| health.block.is_some());
                Command::Unblock {
                    node,
                    device: blocked.filter(|_| known.block.is_none()).map(|(name, _)| name.clone()),
                }
            }
            Step::Device(_, report) => Command::DeviceReport { node, device, report: report.clone() },
            Step::Down(_) => Command::NodeDown(node),
            Step::Up(_) => Command::NodeUp(node),
            Step::Offer(_, cores) => {
                let mut spec = known.spec.clone();
                let named = spec.capability.offers.named.clone();
                spec.capability.offers = Resources { named, ..mesh::cores(*cores) };
                Command::NodeJoin(spec)
            }
            _ => return None,
        })
    }

    fn session(&self, at: usize) -> Option<SessionId> {
        nth(self.state.sessions.keys(), at).copied()
    }

    fn reserve(&self, at: usize, percent: u64) -> Option<Command> {
        let growing =
            self.state.sessions.iter().filter_map(|(id, session)| Some((*id, session.spec.need_max.clone()?)));
        let (session, most) = nth(growing.collect::<Vec<_>>().into_iter(), at)?;
        let of = |amount: u64| amount.saturating_mul(percent) / 100;
        let (cpu_millicores, memory_bytes) = (of(most.cpu_millicores), of(most.memory_bytes));
        Some(Command::SessionReserve { session, reserved: Resources { cpu_millicores, memory_bytes, ..most } })
    }

    /// Each session has one stream.
    fn submit(&self, at: usize, count: u64) -> Option<Command> {
        let session = self.session(at)?;
        let stream = StreamId(session.0);
        let known = self.state.durable.stream(stream);
        let gateway = known.map(|known| known.gateway).or_else(|| nth(self.state.nodes.keys(), at).copied())?;
        let payload = Payload::Inline(Bytes::from(&b"a picture"[..]));
        let task =
            DurableTask { label: "one.png".into(), head: Bytes::default(), payload, priority: 50, checkpoint: None };
        let (first, keep) = (known.map_or(Sequence(0), |known| known.next), Millis(60_000));
        let tasks = (0..count).map(|_| task.clone()).collect();
        Some(Command::Tasks(TaskCommand::Accept { stream, session, gateway, keep, first, tasks }))
    }

    fn task_ends(&self, at: usize, is_well: bool) -> Option<Command> {
        let pending = self.state.durable.streams().filter(|(_, stream)| !stream.pending.is_empty());
        let (id, stream) = nth(pending.collect::<Vec<_>>().into_iter(), at)?;
        let sequence = *stream.pending.keys().next()?;
        let well = (Bytes::default(), Payload::Inline(Bytes::from(&b"cat"[..])));
        let result = if is_well { Ok(well) } else { Err("it cannot be read".into()) };
        let end = End { attempt: stream.attempt_first(), worker: None, run_micros: 1, result };
        Some(Command::Tasks(TaskCommand::End { stream: id, tenure: stream.tenure, ends: vec![(sequence, end)] }))
    }

    /// What became of a command, by what the state was and is.
    fn note(&mut self, before: &State, command: &Command) {
        let after = &self.state;
        let mut met = Vec::new();
        if after.last_worker > before.last_worker {
            met.push("placed");
        }
        for (id, was) in &before.workers {
            let is = after.workers.get(id);
            let duty = is.map(|worker| &worker.duty).filter(|duty| **duty != was.duty);
            met.extend(duty.map(|duty| match duty {
                Duty::Serving => "revived",
                Duty::Warm => "returned",
                Duty::Leaving { why: Why::Preempted { .. }, .. } => "preempted",
                Duty::Leaving { why: Why::Reclaimed { .. }, .. } => "reclaimed",
                Duty::Leaving { why: Why::Drained, .. } => "drained",
            }));
            let is_ready = |status: WorkerStatus| status == WorkerStatus::Ready;
            met.extend(is.filter(|worker| is_ready(worker.status) && !is_ready(was.status)).map(|_| "ready"));
            met.extend(is.filter(|worker| worker.need != was.need).map(|_| "resized"));
            met.extend(is.is_none().then(|| lost(was.node, command)).flatten());
        }
        let is_quarantined = |state: &State| {
            let devices = state.nodes.values().flat_map(|node| node.devices.values());
            devices.filter(|health| matches!(health.phase, Phase::Quarantined { .. })).count()
        };
        met.extend((is_quarantined(after) > is_quarantined(before)).then_some("quarantined"));
        for (id, stream) in after.durable.streams() {
            let was = before.durable.stream(id).map(|stream| stream.account).unwrap_or_default();
            met.extend((stream.account.accepted > was.accepted).then_some("task accepted"));
            met.extend((stream.account.done > was.done).then_some("task ended"));
        }
        self.met.extend(met);
    }
}

fn is_whole(step: &Step, events: &[Event]) -> Result<(), TestCaseError> {
    let mut refused = events.iter().filter(|event| matches!(event, Event::ChangeRefused { .. }));
    prop_assert!(!matches!(step, Step::Plan) || refused.next().is_none(), "{:?}", events);
    Ok(())
}

/// Why a worker of a node is gone after a command.
fn lost(node: NodeId, command: &Command) -> Option<&'static str> {
    match command {
        Command::WorkerReport { report: WorkerReport::Failed { .. } | WorkerReport::OutOfMemory, .. } => {
            Some("worker failed")
        }
        Command::Block { node: blocked, ending: Ending::AtOnce, .. } if *blocked == node => Some("blocked"),
        Command::NodeDown(down) if *down == node => Some("node lost with workers"),
        _ => None,
    }
}

fn ready() -> WorkerReport {
    WorkerReport::Status(WorkerStatus::Ready)
}

/// One of these, whatever the number.
fn nth<T>(mut from: impl ExactSizeIterator<Item = T>, at: usize) -> Option<T> {
    let length = from.len();
    if length == 0 { None } else { from.nth(at % length) }
}

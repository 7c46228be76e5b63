//! What nodes tell the leader of their gateways' tasks and their workers' use, and what the leader makes of it.

use std::collections::BTreeMap;

use skein_core::adapt::Usage;
use skein_core::demand::{Pending, SILENT_AFTER, TASKS_PER_WORKER};
use skein_core::session::Session;
use skein_core::worker::{Worker, WorkerStatus};
use skein_core::{Command, Millis, NodeId, Resources, SessionId, State, WorkerId};

use super::{Happening, World};

/// Every so many beats a node says what its workers use: about once in a slot of the leader's account.
const BEATS_PER_USAGE: u64 = 8;
/// What is given above the use, as the leader has it, in percent: in a mesh that heals, workers use what their reservation was made for.
const HEAD_ROOM: u64 = 115;

/// Something that a node tells.
#[derive(Clone, Debug)]
pub(super) enum Word {
    Pending(Vec<(SessionId, Pending)>),
    Usage(Vec<(WorkerId, Usage)>),
}

/// What the leader last heard of a session from a gateway: the simulator's own account, to check the other.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeMap<(SessionId, NodeId), (Millis, Pending)>);

impl Words {
    /// When the leader looks, it forgets who is silent or down.
    pub(super) fn forget(&mut self, now: Millis, state: &State) {
        let is_up = |node: &NodeId| state.nodes.get(node).is_some_and(|node| node.up);
        self.0.retain(|(_, node), (at, _)| is_up(node) && now.since(*at) < SILENT_AFTER);
    }
}

impl World {
    /// With every beat a node says what its gateway has to do, and less often what its workers use.
    pub(super) fn tell(&mut self, id: NodeId) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.beats += 1;
        let tells_usage = machine.beats.is_multiple_of(BEATS_PER_USAGE);
        let pending: Vec<(SessionId, Pending)> =
            machine.tasks.iter().map(|(session, tasks)| (*session, machine.pending(*session, *tasks))).collect();
        // That there are none any more is said once, and may get lost.
        let over = machine.told.iter().filter(|session| !machine.tasks.contains_key(session));
        let pending: Vec<_> =
            over.map(|session| (*session, Pending::default())).chain(pending.iter().copied()).collect();
        machine.told = machine.tasks.keys().copied().collect();
        let term = self.term;
        if !pending.is_empty() {
            self.send(id, || Happening::Word { term, node: id, word: Word::Pending(pending.clone()) });
        }
        let usage = if tells_usage { self.usage_on(id) } else { vec![] };
        if !usage.is_empty() {
            self.send(id, || Happening::Word { term, node: id, word: Word::Usage(usage.clone()) });
        }
    }

    /// What the workers of a node use, of those sessions that let that count.
    fn usage_on(&self, id: NodeId) -> Vec<(WorkerId, Usage)> {
        let Some(machine) = self.machines.get(&id) else { return vec![] };
        let mut usage = Vec::new();
        for (worker, _) in machine.processes.iter().filter(|(_, process)| process.is_ready) {
            let session = machine.view.workers.get(worker).map(|worker| worker.session);
            let known = session.and_then(|session| Some((session, machine.view.sessions.get(&session)?)));
            let Some((id, session, most)) =
                known.and_then(|(id, known)| Some((id, known, known.spec.need_max.as_ref()?)))
            else {
                continue;
            };
            let percent = self.uses.get(&id).copied().filter(|_| !self.is_healing);
            let of = |amount: fn(&Resources) -> u64| match percent {
                Some(percent) => amount(most) * percent / 100,
                None => amount(&session.reserved) * 100 / HEAD_ROOM,
            };
            let (cpu_millicores, memory_bytes) = (of(|most| most.cpu_millicores), of(|most| most.memory_bytes));
            usage.push((*worker, Usage { cpu_millicores, memory_bytes, ..Usage::default() }));
        }
        usage
    }

    /// A word arrives at the leader of a term.
    pub(super) fn hear(&mut self, term: u64, node: NodeId, word: Word) {
        let now = self.now;
        let Some(lead) = self.lead.as_mut().filter(|_| term == self.term) else { return };
        match word {
            Word::Pending(sessions) => {
                for (session, pending) in sessions {
                    lead.demand.observe(now, node, session, pending);
                    lead.words.0.insert((session, node), (now, pending));
                }
            }
            Word::Usage(workers) => {
                let own = |worker: &WorkerId| self.state.workers.get(worker).is_some_and(|worker| worker.node == node);
                for (worker, usage) in workers.into_iter().filter(|(worker, _)| own(worker)) {
                    lead.adapt.observe(now, worker, usage);
                }
            }
        }
        self.drive_leader();
    }

    /// No session grows beyond what its tasks could keep busy now, nor shrinks below that, nor is given what it may not have.
    pub(super) fn check_observed(&mut self, command: &Command) {
        let Some(lead) = &self.lead else { return };
        match command {
            Command::SessionWant { session: id, workers } => {
                let Some(session) = self.state.sessions.get(id) else { return };
                let heard = lead.words.0.range((*id, NodeId(0))..=(*id, NodeId(u64::MAX)));
                let wish = wish(&self.state, *id, session, heard.map(|(_, (_, pending))| *pending));
                let has = session.target();
                let is_right = if *workers > has { wish >= *workers } else { wish <= *workers && *workers < has };
                self.chance.check(is_right, || format!("{command:?}: it has {has}, and its tasks call for {wish}"));
                self.chance.count(if *workers > has { "demand_grew" } else { "demand_shrank" });
            }
            Command::SessionReserve { session: id, reserved } => {
                let Some(session) = self.state.sessions.get(id) else { return };
                let most = session.spec.need_max.as_ref();
                let is_right = most.is_some_and(|most| reserved.fits(most)) && session.spec.need.fits(reserved);
                self.chance.check(is_right, || format!("{command:?} is beyond what the session allows"));
                let falls = !session.reserved.fits(reserved);
                self.chance.count(if falls { "reservation_fell" } else { "reservation_rose" });
            }
            _ => {}
        }
    }

    /// Every session wants what the tasks of all gateways could keep busy.
    pub(super) fn demand_is_not_known(&self, found: &mut Vec<String>) {
        for (id, session) in self.state.sessions.iter().filter(|(_, session)| session.spec.share > 0) {
            let machines = self.machines.values().filter(|machine| machine.is_reachable());
            let pending = machines.filter_map(|machine| Some(machine.pending(*id, *machine.tasks.get(id)?)));
            let wish = wish(&self.state, *id, session, pending);
            if session.target() != wish {
                found.push(format!("session {id} wants {}, and its tasks call for {wish}", session.target()));
            }
        }
    }
}

impl super::Machine {
    /// What its gateway has of a session: each worker that it knows to be ready has one task.
    fn pending(&self, session: SessionId, tasks: u64) -> Pending {
        let is_ready = |worker: &Worker| worker.serves() && worker.status == WorkerStatus::Ready;
        let ready = self.view.workers_of(session).filter(|(_, worker)| is_ready(worker)).count() as u64;
        let running = ready.min(tasks);
        Pending { waiting: tasks - running, running }
    }
}

/// How many workers these tasks call for: two tasks each, or one where they are long; and none that is busy is too many.
fn wish(state: &State, id: SessionId, session: &Session, pending: impl Iterator<Item = Pending>) -> u32 {
    let sums = pending.fold((0_u128, 0_u128), |(tasks, running), pending| {
        let more = u128::from(pending.waiting) + u128::from(pending.running);
        (tasks + more, running + u128::from(pending.running))
    });
    let serving = || state.workers.values().filter(|worker| worker.session == id && worker.serves());
    let are_long = serving().any(|worker| worker.at_stake.0 > 0);
    let could = if are_long { sums.0 } else { sums.0.div_ceil(u128::from(TASKS_PER_WORKER)) };
    let workers = could.max(sums.1.min(serving().count() as u128));
    let most = session.spec.fixed.max(session.spec.max);
    u32::try_from(workers).unwrap_or(u32::MAX).min(most).max(session.spec.fixed)
}

//! The log: what is committed, and how it reaches the replicas.

use std::collections::BTreeSet;

use skein_core::worker::{Why, WorkerReport};
use skein_core::{Command, Entry, Event, Millis, NodeId, State, apply, invariants};

use super::check::{events, kinds, rules, state};
use super::{Evictions, Happening, Logged, World};

impl World {
    /// Applies an entry where all replicas will apply it, and checks what came of it. A leader's own entries are what it decided.
    pub(super) fn append(&mut self, entry: Entry, own: bool) {
        let is_concern = rules::concern(&entry.command);
        let before = (self.chance.percent(30) || is_concern).then(|| self.state.clone());
        let evicted = self.state.sessions.iter().map(|(id, session)| (*id, session.evicted)).collect();
        let workers_before =
            events::Before { workers: self.state.workers.clone(), newest_worker: self.newest_worker, evicted };
        let was_up: BTreeSet<NodeId> = up(&self.state).collect();
        let outcome = apply(&mut self.state, &entry);
        self.count_outcome(&outcome);
        let found = invariants::violations(&self.state).into_iter().chain(state::violations(&self.state));
        for violation in found.collect::<Vec<_>>() {
            self.chance.check(false, || format!("after {entry:?}: {violation}"));
        }
        match &outcome {
            Err(refusal) => {
                let changed = before.is_some_and(|before| before != self.state);
                self.chance.check(!changed, || format!("{refusal:?}, and yet the state changed"));
            }
            Ok(events) => {
                let found = events::violations(&workers_before, &self.state, &entry, events);
                self.chance.check(found.is_empty(), || format!("after {entry:?}: {}", found.join("; ")));
                if let Some(before) = before.filter(|_| is_concern) {
                    let found = rules::violations(&before, &self.state, &entry, events);
                    self.chance.check(found.is_empty(), || format!("after {entry:?}: {}", found.join("; ")));
                }
            }
        }
        self.newest_worker = self.newest_worker.max(self.state.workers.keys().next_back().copied().unwrap_or_default());
        self.count_evictions(&entry, own, &outcome);
        let came_up: Vec<NodeId> = up(&self.state).filter(|node| !was_up.contains(node)).collect();
        for node in came_up {
            self.came_up(node);
        }
        self.tasks_follow(&entry, &outcome, &was_up);
        self.log.push(Logged { entry, outcome });
        self.snapshot_now_and_then();
        let nodes: Vec<NodeId> = self.machines.keys().copied().collect();
        for node in nodes {
            let delay = self.chance.number(1..if self.is_healing { 20 } else { 400 });
            self.after(Millis(delay), Happening::Replicate(node));
        }
    }

    /// A node's replica takes in some of what it lacks, or all.
    pub(super) fn replicate(&mut self, id: NodeId) {
        let end = self.log.len();
        let Some(machine) = self.machines.get_mut(&id).filter(|machine| machine.is_reachable()) else { return };
        if machine.applied == end {
            return;
        }
        if end - machine.applied > 20 && self.chance.percent(20) {
            // It was away for long: it gets a snapshot in place of the entries.
            if self.snapshot.as_ref().is_none_or(|snapshot| snapshot.upto <= machine.applied) {
                self.take_snapshot();
            }
            let upto = self.snapshot.as_ref().map_or(end, |snapshot| snapshot.upto);
            let view = self.rebuilt(upto);
            if let Some((machine, view)) = self.machines.get_mut(&id).zip(view) {
                (machine.view, machine.applied) = (view, upto);
            }
            self.chance.count("replica_from_snapshot");
        }
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let lacks = end - machine.applied;
        let upto = if !self.is_healing && lacks > 1 && self.chance.percent(20) {
            machine.applied + self.chance.index(lacks)
        } else {
            end
        };
        catch_up(machine, &self.log, upto, &mut self.chance);
        if upto == end {
            self.chance
                .check(machine.view == self.state, || format!("the replica of node {id} differs at entry {end}"));
        }
        machine.supervisor.on_state(self.now, &machine.view);
        machine.bench.on_state(&machine.view);
        self.drive_machine(id);
    }

    fn count_outcome(&mut self, outcome: &Result<Vec<Event>, skein_core::Refusal>) {
        match outcome {
            Err(refusal) => self.chance.count(kinds::of_refusal(refusal)),
            Ok(events) => events.iter().for_each(|event| self.chance.count(kinds::of_event(event))),
        }
    }

    /// Between two things that come from outside, each worker may have to leave, and each that comes in its place.
    fn count_evictions(&mut self, entry: &Entry, own: bool, outcome: &Result<Vec<Event>, skein_core::Refusal>) {
        let answers = |report: &WorkerReport| matches!(report, WorkerReport::Status(_) | WorkerReport::Left);
        match &entry.command {
            Command::WorkerReport { report, .. } if answers(report) => {}
            // The planner does not see them.
            Command::Tasks(_) => {}
            // One that no planner made comes from outside.
            Command::Plan(_) if own => {
                let told = |event: &&Event| matches!(event, Event::WorkerLeaving { why, .. } if *why != Why::Drained);
                self.evictions.told += outcome.iter().flatten().filter(told).count();
                self.evictions.workers = self.evictions.workers.max(self.state.workers.len());
                let Evictions { told, workers } = self.evictions;
                self.chance.check(told <= 2 * workers, || format!("{told} evictions in a row among {workers} workers"));
            }
            _ => self.evictions = Evictions { told: 0, workers: self.state.workers.len() },
        }
    }
}

pub(super) fn up(state: &State) -> impl Iterator<Item = NodeId> {
    state.nodes.iter().filter(|(_, node)| node.up).map(|(id, _)| *id)
}

fn catch_up(machine: &mut super::Machine, log: &[Logged], upto: usize, chance: &mut crate::chance::Chance) {
    for (index, logged) in log.iter().enumerate().take(upto).skip(machine.applied) {
        let outcome = apply(&mut machine.view, &logged.entry);
        let same = outcome == logged.outcome;
        chance.check(same, || format!("node {} makes {outcome:?} of entry {index}", machine.id));
    }
    machine.applied = machine.applied.max(upto);
}

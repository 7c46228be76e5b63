//! The log: what is committed, and how it reaches the replicas.

use std::collections::BTreeSet;

use skein_core::{Command, Entry, Event, Millis, NodeId, State, apply, invariants};

use super::{Happening, Logged, World, check};

impl World {
    /// Applies an entry where all replicas will apply it, and checks what came of it.
    pub(super) fn append(&mut self, entry: Entry) {
        let before = self.chance.percent(30).then(|| self.state.clone());
        let workers_before = check::Before { workers: self.state.workers.clone(), newest_worker: self.newest_worker };
        let was_up: BTreeSet<NodeId> = up(&self.state).collect();
        let outcome = apply(&mut self.state, &entry);
        self.count_outcome(&outcome);
        let found = invariants::violations(&self.state).into_iter().chain(check::state(&self.state));
        for violation in found.collect::<Vec<_>>() {
            self.chance.check(false, || format!("after {entry:?}: {violation}"));
        }
        match &outcome {
            Err(refusal) => {
                let changed = before.is_some_and(|before| before != self.state);
                self.chance.check(!changed, || format!("{refusal:?}, and yet the state changed"));
            }
            Ok(events) => {
                let found = check::events(&workers_before, &self.state, &entry, events);
                self.chance.check(found.is_empty(), || format!("after {entry:?}: {}", found.join("; ")));
            }
        }
        self.newest_worker = self.newest_worker.max(self.state.workers.keys().next_back().copied().unwrap_or_default());
        let came_up: Vec<NodeId> = up(&self.state).filter(|node| !was_up.contains(node)).collect();
        for node in came_up {
            self.came_up(node);
        }
        self.log.push(Logged { entry, outcome });
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
            machine.view = self.state.clone();
            machine.applied = end;
            self.chance.count("replica_from_snapshot");
        }
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
        self.drive_machine(id);
    }

    fn count_outcome(&mut self, outcome: &Result<Vec<Event>, skein_core::Refusal>) {
        match outcome {
            Err(refusal) => self.chance.count(check::refusal_kind(refusal)),
            Ok(events) => events.iter().for_each(|event| self.chance.count(check::event_kind(event))),
        }
    }

    /// A plan is made on the leader's state: sound, and nothing left to do after it.
    pub(super) fn check_plan(&mut self, epoch: Millis, plan: &skein_core::plan::Plan) {
        let found = check::plan(&self.state, epoch, plan);
        self.chance.check(found.is_empty(), || format!("{plan:?}: {}", found.join("; ")));
        if plan.start.len() < check::STARTS_MAX && self.chance.percent(20) {
            let mut trial: State = self.state.clone();
            let events = apply(&mut trial, &Entry { at: epoch, command: Command::Plan(plan.clone()) });
            let refused = events.iter().flatten().any(|event| matches!(event, Event::PlacementRefused { .. }));
            self.chance.check(!refused, || format!("a fresh plan is refused: {events:?}"));
            let again = skein_core::plan(&trial, epoch);
            self.chance.check(again.is_empty(), || format!("no fixed point: after {plan:?} comes {again:?}"));
            self.chance.count("plan_fixed_point_checked");
        }
        if plan.is_empty() && self.chance.percent(5) {
            let unexplained = check::unexplained(&self.state, epoch);
            self.chance.check(unexplained.is_empty(), || unexplained.join("; "));
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

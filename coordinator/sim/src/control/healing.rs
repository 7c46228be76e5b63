//! Nothing goes wrong any more: everything must come right, and then stay as it is.

use std::collections::BTreeSet;

use skein_core::health::{DeviceHealth, Phase};
use skein_core::seats::REPLACE_AFTER;
use skein_core::session::Session;
use skein_core::supervise::WorkerEvent;
use skein_core::worker::{Duty, WorkerStatus};
use skein_core::{Millis, NodeId, SessionId, WorkerId, plan};

use super::check::walk;
use super::log::up;
use super::{DIED, Happening, PATIENCE, World};

/// The longest rest of a device is 640 s, and its probation 60 s; the longest hold-off is 320 s; beats, elections, reports
/// and restarts take seconds.
const HEALED_WITHIN: Millis = Millis(800_000);
/// How long a healed mesh is watched: nothing may be committed any more.
const CALM: Millis = Millis(10_000);

impl World {
    /// Returns how many steps it took.
    pub(super) fn heal(&mut self) -> u64 {
        self.repair();
        let (begin, mut steps) = (self.now, 0);
        // Messages of the time before may still be under way.
        let mut looked = begin + CALM;
        while !self.chance.is_over() && self.now.since(begin) < HEALED_WITHIN {
            self.step();
            steps += 1;
            // Looking costs more than a step.
            if self.now.since(looked) > Millis(500) {
                looked = self.now;
                if self.ailments().is_empty() {
                    return steps + self.stay_calm();
                }
            }
        }
        for ailment in self.ailments() {
            self.chance.check(false, || format!("not healed after {HEALED_WITHIN}: {ailment}"));
        }
        steps
    }

    /// All come back, but for some that the mesh can do without.
    fn repair(&mut self) {
        self.is_healing = true;
        self.poisoned.clear();
        self.bad_devices.clear();
        let dies = |event: &WorkerEvent| matches!(event, WorkerEvent::Exited { reason } if reason == DIED);
        self.queue.retain(|_, happening| !matches!(happening, Happening::Process { event, .. } if dies(event)));
        let ids: Vec<NodeId> = self.machines.keys().copied().collect();
        // A mesh of three or more voters can do without one of them, and has to replace it where it can.
        let mut spare_voters = usize::from(self.voters.len() >= 3);
        for id in ids {
            let votes = self.voters.contains(&id);
            let now = self.now;
            let stays_away = (!votes || spare_voters > 0) && self.chance.percent(30);
            spare_voters -= usize::from(stays_away && votes);
            let Some(machine) = self.machines.get_mut(&id) else { continue };
            machine.is_cut_off = false;
            if stays_away {
                machine.die();
                self.chance.count(if votes { "voter_lost_for_good" } else { "node_lost_for_good" });
            } else if !machine.is_alive {
                machine.start(now);
            }
            self.drive_machine(id);
            if stays_away && self.leader() == Some(id) {
                self.depose();
            }
        }
        self.after(Millis(0), Happening::Elect);
    }

    fn stay_calm(&mut self) -> u64 {
        self.chance.count("healed");
        let (begin, entries, mut steps) = (self.now, self.log.len(), 0);
        while self.now.since(begin) < CALM {
            self.step();
            steps += 1;
        }
        let more: Vec<_> = self.log[entries..].iter().map(|logged| &logged.entry.command).collect();
        self.chance.check(more.is_empty(), || format!("a healed mesh goes on to commit {more:?}"));
        steps
    }

    /// What is not yet as it should be.
    fn ailments(&self) -> Vec<String> {
        let Some(leader) = self.leader() else { return vec!["nobody leads".into()] };
        let mut found = Vec::new();
        if !plan(&self.state, self.epoch(leader)).is_empty() {
            found.push("there is something to plan".into());
        }
        // Whoever begins to count as one that waited long may have a node kept free, and another no longer.
        let soon = self.epoch(leader) + CALM + CALM;
        let wakes = plan::wake_at(&self.state, self.epoch(leader)).filter(|at| *at <= soon);
        found.extend(wakes.map(|at| format!("there may be something to plan at {at}")));
        self.someone_could_be_served(self.epoch(leader), &mut found);
        self.nodes_are_not_known_as_they_are(&mut found);
        for id in self.machines.keys() {
            self.workers_differ(*id, &mut found);
        }
        self.seats_are_wrong(&mut found);
        self.devices_are_not_trusted(&mut found);
        self.demand_is_not_known(&mut found);
        self.tasks_are_left(&mut found);
        let falls = self.lead.as_ref().and_then(|lead| lead.adapt.wake_at());
        found.extend(falls.filter(|at| *at <= self.now + CALM + CALM).map(|at| format!("a reservation falls at {at}")));
        found
    }

    /// Hold-offs end, so this is who could be served if the mesh waited long enough.
    fn someone_could_be_served(&self, epoch: Millis, found: &mut Vec<String>) {
        let mut later = self.state.clone();
        later.sessions.values_mut().for_each(|session| session.failures.clear());
        found.extend(walk::at_rest(&later, epoch));
        let leaving = self.state.workers.iter().filter(|(_, worker)| matches!(worker.duty, Duty::Leaving { .. }));
        found.extend(leaving.map(|(id, worker)| format!("worker {id} is still {:?}", worker.duty)));
        // Whoever waits for the end of a hold-off may yet get something.
        let waits = |(id, session): &(&SessionId, &Session)| self.state.index().serving(**id) < session.target();
        for (id, session) in self.state.sessions.iter().filter(waits) {
            let held_off = session.failures.values().any(|failure| failure.holds(epoch));
            found.extend(held_off.then(|| format!("session {id} is still held off somewhere")));
        }
    }

    fn nodes_are_not_known_as_they_are(&self, found: &mut Vec<String>) {
        for (id, machine) in &self.machines {
            match self.state.nodes.get(id) {
                Some(node) if machine.is_alive && (!node.up || node.spec != machine.spec) => {
                    found.push(format!("node {id} is there, and the state has it up: {}", node.up));
                }
                None if machine.is_alive => found.push(format!("node {id} is there and has not joined")),
                Some(node) if !machine.is_alive && node.up => found.push(format!("node {id} is lost, and up")),
                _ => {}
            }
        }
    }

    /// Whatever was wrong with a device of a node that is there was mended: it is tested, passes, and is trusted again; but
    /// for what somebody blocked, which waits for that to end.
    fn devices_are_not_trusted(&self, found: &mut Vec<String>) {
        let nodes = self.state.nodes.iter().filter(|(_, node)| node.up);
        for (id, node) in nodes {
            let is_blocked = |health: &DeviceHealth| node.block.is_some() || health.block.is_some();
            let waits = |health: &DeviceHealth| {
                is_blocked(health) && matches!(health.phase, Phase::Quarantined { .. } | Phase::Testing { .. })
            };
            let devices = node.devices.iter().filter(|(_, health)| health.phase != Phase::Sound && !waits(health));
            found.extend(devices.map(|(name, health)| format!("'{name}' of node {id} is {:?}", health.phase)));
        }
    }

    fn workers_differ(&self, id: NodeId, found: &mut Vec<String>) {
        let planned = self.state.workers.iter().filter(|(_, worker)| worker.node == id);
        let ready: BTreeSet<WorkerId> = planned
            .map(|(worker, planned)| {
                if planned.status != WorkerStatus::Ready {
                    found.push(format!("worker {worker} on node {id} is {}", planned.status));
                }
                *worker
            })
            .collect();
        let Some(machine) = self.machines.get(&id) else { return };
        let runs: BTreeSet<WorkerId> =
            machine.processes.iter().filter(|(_, process)| process.is_ready).map(|(worker, _)| *worker).collect();
        if runs != ready || machine.processes.len() != runs.len() {
            found.push(format!(
                "node {id} runs {runs:?} of {} processes; planned are {ready:?}",
                machine.processes.len()
            ));
        }
    }

    /// As many voters as the mesh is set to have, where there are nodes for them; and none of them gone or evicted where another
    /// could take its place.
    fn seats_are_wrong(&self, found: &mut Vec<String>) {
        let seats = &self.state.seats;
        let candidates = up(&self.state).filter(|node| !self.voters.contains(node) && !seats.evicted.contains(node));
        let candidates: Vec<NodeId> = candidates.collect();
        let able = (self.voters.len() + candidates.len()).min(seats.rules.voters);
        let wanted = if able.is_multiple_of(2) { able - 1 } else { able };
        let is_up = |voter: &NodeId| self.state.nodes.get(voter).is_some_and(|node| node.up);
        let must_go = self.voters.iter().filter(|voter| !is_up(voter) || seats.evicted.contains(voter));
        let must_go: Vec<&NodeId> = must_go.collect();
        let stays = !must_go.is_empty() && !candidates.is_empty();
        if self.voters.len() != wanted || stays || self.next_seat_change().is_some() {
            found.push(format!(
                "voters are {:?}, learners {:?}; {must_go:?} should go, {candidates:?} could come",
                self.voters, self.learners
            ));
        }
    }
}

// A node that fell silent must be declared down, and replaced, long before the time is up.
const _: () = assert!(PATIENCE.down_after_max.0 * 10 < HEALED_WITHIN.0 && REPLACE_AFTER.0 * 3 < HEALED_WITHIN.0);

//! Devices that fail and are tested: each node's real account of its own devices, over simulated attempts and known-answer runs.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::dispatch::TaskId;
use skein_core::health::{DeviceReport, Phase};
use skein_core::testing::Action;
use skein_core::{Command, Millis, NodeId, Sequence, StreamId};

use super::{Happening, World};

/// More actions in one go than a node can have reason for.
const ACTIONS_MAX: usize = 200;
/// The one task at which every attempt fails, wherever it runs.
const POISON: u64 = 1_000;

/// The attempts that failed on a device since one went well, as the simulator knows them: how many, and of which tasks.
pub(super) type Faults = BTreeMap<String, (u32, BTreeSet<u64>)>;

impl World {
    /// With every beat, some attempts on a node's devices have ended.
    pub(super) fn attempts_end(&mut self, id: NodeId) {
        let Some(machine) = self.machines.get(&id) else { return };
        let ready = machine.processes.iter().filter(|(_, process)| process.is_ready);
        let devices = ready.filter_map(|(worker, _)| Some(machine.view.workers.get(worker)?.device.clone()));
        for device in devices.collect::<Vec<String>>() {
            let is_bad = self.bad_devices.contains(&(id, device.clone()));
            // Now and then there is an input at which any worker fails.
            let is_poison = !self.is_healing && self.chance.percent(1);
            if (is_bad || is_poison) && self.chance.percent(25) {
                let times = if is_poison { self.chance.number(1..6) } else { 1 };
                let task = if is_poison { POISON } else { self.chance.number(0..40) };
                self.chance.count(if is_poison { "device_poison_task" } else { "device_attempt_failed" });
                for _ in 0..times {
                    self.attempt_failed(id, &device, task);
                }
            } else if !is_bad && self.chance.percent(10) {
                let Some(machine) = self.machines.get_mut(&id) else { return };
                machine.bench.on_attempt(&device, Ok(()));
                machine.faults.remove(&device);
            }
        }
        self.drive_bench(id);
    }

    fn attempt_failed(&mut self, id: NodeId, device: &str, task: u64) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let of = TaskId { stream: StreamId(1), sequence: Sequence(task) };
        machine.bench.on_attempt(device, Err((of, "the result is late")));
        let (count, tasks) = machine.faults.entry(device.into()).or_default();
        *count += 1;
        tasks.insert(task);
    }

    /// Carries out what the node wants to do about its devices.
    pub(super) fn drive_bench(&mut self, id: NodeId) {
        for _ in 0..ACTIONS_MAX {
            let Some(machine) = self.machines.get_mut(&id).filter(|machine| machine.is_alive) else { return };
            match machine.bench.next_action(self.now) {
                None => return,
                Some(Action::TestDevice(device)) => self.begin_test(id, device),
                Some(Action::Report(device, report)) => self.report_device(id, device, report),
            }
        }
        self.chance.check(false, || format!("node {id} never comes to rest about its devices"));
    }

    fn begin_test(&mut self, node: NodeId, device: String) {
        let Some(machine) = self.machines.get(&node) else { return };
        let health = machine.view.nodes.get(&node).and_then(|node| node.devices.get(&device));
        let is_wanted = health.is_some_and(|health| matches!(health.phase, Phase::Testing { .. }));
        let boot = machine.boot;
        self.chance.check(is_wanted, || format!("node {node} tests '{device}', and nobody asked for it"));
        if !self.is_healing && self.chance.percent(15) {
            // The run hangs; the leader asks again.
            return self.chance.count("device_test_without_answer");
        }
        let took = Millis(self.chance.number(50..6_000));
        self.after(took, Happening::Tested { node, device, boot });
    }

    /// A known-answer run is over, unless the node was started again since.
    pub(super) fn tested(&mut self, node: NodeId, device: &str, boot: u64) {
        let is_bad = self.bad_devices.contains(&(node, device.into()));
        let Some(machine) = self.machines.get_mut(&node).filter(|machine| machine.is_alive && machine.boot == boot)
        else {
            return;
        };
        machine.bench.on_tested(device, if is_bad { Err("it says 7".into()) } else { Ok(()) });
        self.chance.count(if is_bad { "device_test_failed" } else { "device_test_passed" });
        self.drive_bench(node);
    }

    /// Faults are told of only when there were enough, and not of one task alone.
    fn report_device(&mut self, node: NodeId, device: String, report: DeviceReport) {
        let Some(machine) = self.machines.get(&node) else { return };
        if let DeviceReport::Faults { times, .. } = &report {
            let known = machine.view.nodes.get(&node).and_then(|node| node.devices.get(&device));
            let is_watched = known.is_some_and(|health| matches!(health.phase, Phase::Probation { .. }));
            let (count, tasks) = machine.faults.get(&device).cloned().unwrap_or_default();
            let is_right = *times <= count && tasks.len() > 1 && (*times >= 3 || is_watched);
            self.chance
                .check(is_right, || format!("{times} faults of '{device}' are told of, after {count} of {tasks:?}"));
            self.chance.count("device_faults");
        }
        let command = Command::DeviceReport { node, device, report };
        self.send(node, || Happening::Proposal(command.clone()));
    }
}

//! What nodes say of their workers and devices: done, out of memory, at stake, failing, tested.

use skein_core::health::{DeviceReport, Phase};
use skein_core::supervise::WorkerEvent;
use skein_core::worker::Duty;
use skein_core::{Command, Millis, NodeId, WorkerId};

use super::{Happening, World};

impl World {
    /// With every beat, a node looks at what it has.
    pub(super) fn look_after(&mut self, id: NodeId) {
        let Some(machine) = self.machines.get(&id) else { return };
        let own = machine.view.workers.iter().filter(|(_, worker)| worker.node == id);
        let own: Vec<(WorkerId, Duty)> = own.map(|(id, worker)| (*id, worker.duty.clone())).collect();
        for (worker, duty) in own {
            self.look_after_worker(id, worker, &duty);
        }
        let ailing = machine_devices(self, id);
        for (device, phase) in ailing {
            self.look_after_device(id, &device, &phase);
        }
    }

    fn look_after_worker(&mut self, node: NodeId, worker: WorkerId, duty: &Duty) {
        let event = match duty {
            // Every third has more to do than it is given time for, as long as things may go wrong.
            Duty::Leaving { .. } if self.is_healing || (!worker.0.is_multiple_of(3) && self.chance.percent(30)) => {
                WorkerEvent::Finished
            }
            Duty::Serving if !self.is_healing && self.chance.percent(4) => {
                WorkerEvent::Stake(Millis(self.chance.number(0..100_000)))
            }
            Duty::Serving if !self.is_healing && self.chance.percent(1) => {
                // Also what nobody asked for.
                if self.chance.percent(60) { WorkerEvent::Finished } else { WorkerEvent::OutOfMemory }
            }
            _ => return,
        };
        let now = self.now;
        let Some(machine) = self.machines.get_mut(&node) else { return };
        if machine.processes.get(&worker).is_none_or(|process| !process.is_ready) {
            return;
        }
        let kind = match event {
            WorkerEvent::Finished => "worker_finished",
            WorkerEvent::Stake(_) => "worker_at_stake",
            _ => {
                machine.processes.remove(&worker);
                "worker_out_of_memory"
            }
        };
        machine.supervisor.on_worker(now, worker, event);
        self.chance.count(kind);
        self.drive_machine(node);
    }

    fn look_after_device(&mut self, node: NodeId, device: &str, phase: &Phase) {
        let is_bad = self.bad_devices.contains(&(node, device.into()));
        let report = match phase {
            Phase::Testing { since, .. } => {
                let Some(machine) = self.machines.get_mut(&node) else { return };
                if machine.tested.insert(device.into(), *since) == Some(*since) {
                    return;
                }
                if !self.is_healing && self.chance.percent(15) {
                    // The run hangs; the leader asks again.
                    return self.chance.count("device_test_without_answer");
                }
                if is_bad {
                    self.chance.count("device_test_failed");
                    DeviceReport::Failed { reason: "it says 7".into() }
                } else {
                    self.chance.count("device_test_passed");
                    DeviceReport::Passed
                }
            }
            Phase::Sound | Phase::Probation { .. } if is_bad && self.chance.percent(20) => {
                self.chance.count("device_faults");
                DeviceReport::Faults { times: self.chance.small(1..6), reason: "the result is late".into() }
            }
            _ => return,
        };
        let device = String::from(device);
        let command = Command::DeviceReport { node, device, report };
        self.send(node, || Happening::Proposal(command.clone()));
    }
}

/// The devices that the node knows it has, and how they stand.
fn machine_devices(world: &World, id: NodeId) -> Vec<(String, Phase)> {
    let Some(machine) = world.machines.get(&id) else { return Vec::new() };
    let known = machine.view.nodes.get(&id);
    let phase = |name: &str| known.and_then(|node| node.devices.get(name)).map(|health| health.phase.clone());
    let devices = machine.spec.capability.devices.iter();
    devices.map(|device| (device.name.clone(), phase(&device.name).unwrap_or_default())).collect()
}

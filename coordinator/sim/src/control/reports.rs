//! What nodes say of their workers: done, out of memory, at stake.

use skein_core::supervise::WorkerEvent;
use skein_core::worker::Duty;
use skein_core::{Millis, NodeId, WorkerId};

use super::World;

impl World {
    /// With every beat, a node looks at what it has.
    pub(super) fn look_after(&mut self, id: NodeId) {
        let Some(machine) = self.machines.get(&id) else { return };
        let own = machine.view.workers.iter().filter(|(_, worker)| worker.node == id);
        let own: Vec<(WorkerId, Duty)> = own.map(|(id, worker)| (*id, worker.duty.clone())).collect();
        for (worker, duty) in own {
            self.look_after_worker(id, worker, &duty);
        }
        self.attempts_end(id);
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
}

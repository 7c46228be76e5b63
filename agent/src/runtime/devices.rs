//! This node's devices: those that come and go, faults of attempts on them, and known-answer runs when the plan wants one.

use std::collections::BTreeMap;

use skein_core::capability::Device;
use skein_core::dispatch::TaskId;
use skein_core::health::DeviceReport;
use skein_core::testing::Action;
use skein_core::{Millis, Resources};

use crate::api::Change;
use crate::inventory;
use crate::runtime::Runtime;
use crate::runtime::measured::What;
use crate::worker::host::Ended;
use crate::worker::known_answer::known_answer;

/// A device, and how its known-answer run went.
pub(super) type Tested = (String, Result<(), String>);

impl Runtime {
    /// Logs which devices came, went, or became hotter or cooler.
    pub(super) fn note_devices(&self, now: &[Device]) {
        let before = &self.spec.capability;
        for device in now {
            match before.device(&device.name) {
                None => tracing::info!(device = device.name, hardware = device.hardware, "device is there"),
                Some(known) if known.heat != device.heat => {
                    tracing::info!(device = device.name, heat = ?device.heat, "device became hotter or cooler");
                }
                Some(_) => {}
            }
        }
        for gone in before.devices.iter().filter(|known| now.iter().all(|device| device.name != known.name)) {
            tracing::warn!(device = gone.name, hardware = gone.hardware, "device is gone");
        }
    }

    /// Carries out what is to be done about devices.
    pub(super) fn tend_devices(&mut self, now: Millis) {
        while let Some(action) = self.bench.next_action(now) {
            match action {
                Action::TestDevice(device) => self.test(device),
                Action::Report(device, report) => {
                    if let DeviceReport::Faults { times, reason } = &report {
                        tracing::warn!(device, times, "attempts fail on a device one after another: {reason}");
                    }
                    self.report(Change::DeviceReport { node: self.api.node, device, report });
                }
            }
        }
    }

    fn test(&self, device: String) {
        tracing::info!(device, "device makes a known-answer run");
        let kind = self.spec.capability.device(&device).map(|device| device.kind);
        let offered = |target: &&str| self.spec.capability.targets.iter().any(|offered| offered == target);
        let targets: Vec<&str> = kind.into_iter().flat_map(inventory::targets_on).filter(offered).collect();
        let runtimes = self.api.runtimes.clone();
        let test = self.test.clone();
        tokio::spawn(async move {
            // What only a program drives is taken back on its word: its models are its own, and each that it loads has a warm-up run.
            let is_driven = kind.is_some_and(|kind| runtimes.driven().contains(&kind));
            let mut result = if is_driven { Ok(()) } else { Err("no target of this binary runs on it".to_owned()) };
            for target in targets {
                result = known_answer(target, runtimes.place(target, None, &Resources::default())).await;
                if result.is_err() {
                    break;
                }
            }
            // The runtime listens for as long as the agent lives.
            let _ = test.send((device, result));
        });
    }

    pub(super) fn on_tested(&mut self, (device, result): Tested) {
        match &result {
            Ok(()) => tracing::info!(device, "device passed its known-answer run"),
            Err(reason) => tracing::warn!(device, "device did not pass its known-answer run: {reason}"),
        }
        self.bench.on_tested(&device, result);
    }

    /// Takes in what ended at this node's workers: how fast, and with what faults.
    pub(super) fn note_ended(&mut self) {
        let ended = self.host.take_ended();
        if ended.is_empty() {
            return;
        }
        let mut devices: BTreeMap<String, Vec<Ended>> = BTreeMap::new();
        let known: Vec<(What, Ended)> = self.api.seat.read(|state| {
            let known = ended.into_iter().filter_map(|(id, ended)| Some((What::of(state, id)?, ended)));
            known.collect()
        });
        for (what, ended) in known {
            if let Some(micros) = ended.first_micros {
                self.measured.first(&what, micros);
            }
            self.measured.add(&what, ended.runs, ended.run_micros);
            devices.entry(what.device).or_default().push(ended);
        }
        for (device, ended) in devices {
            let (went_well, faults) = in_a_row(&ended);
            if went_well {
                self.bench.on_attempt(&device, Ok(()));
            }
            for fault in faults {
                self.bench.on_attempt(&device, Err(fault));
            }
        }
    }
}

/// Whether an attempt on a device went well, and the faults after that. In which order attempts of different workers ended is
/// not known: a fault counts only where no other worker of the device did well at about that time.
fn in_a_row(ended: &[Ended]) -> (bool, Vec<(TaskId, &str)>) {
    let runs: u64 = ended.iter().map(|ended| ended.runs).sum();
    let alone = ended.iter().filter(|ended| ended.runs == runs);
    let faults = alone.flat_map(|ended| {
        // Which fault was whose is not told; which tasks there were, is.
        let tasks = ended.suspects.iter().cycle().take(ended.faults as usize);
        tasks.map(|task| (*task, ended.last_fault.as_str()))
    });
    (runs > 0, faults.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use skein_core::{Sequence, StreamId};

    fn task(number: u64) -> TaskId {
        TaskId { stream: StreamId(1), sequence: Sequence(number) }
    }

    fn ended(runs: u64, faults: u32) -> Ended {
        let suspects = (0..u64::from(faults.min(2))).map(task).collect();
        Ended { runs, run_micros: 0, first_micros: None, faults, last_fault: "it died".into(), suspects }
    }

    fn died(numbers: &[u64]) -> Vec<(TaskId, &'static str)> {
        numbers.iter().map(|number| (task(*number), "it died")).collect()
    }

    #[test]
    fn faults_of_all_workers_count_where_none_did_well() {
        assert_eq!(in_a_row(&[ended(0, 2), ended(0, 1)]), (false, died(&[0, 1, 0])));
        assert_eq!(in_a_row(&[ended(7, 2)]), (true, died(&[0, 1])), "its faults came after its runs");
        assert_eq!(in_a_row(&[ended(7, 0), ended(0, 2)]), (true, vec![]), "the other one did well");
        assert_eq!(in_a_row(&[ended(7, 1), ended(1, 2)]), (true, vec![]));
    }
}

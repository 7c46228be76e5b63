//! What one agent does about its own devices: it counts the faults of each, and makes the known-answer run when the plan
//! wants one.
//!
//! Like the supervisor of workers, it looks at levels: it is shown the state again after each change.

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::dispatch::TaskId;
use crate::health::{DeviceReport, FAULTS_MAX, Phase};
use crate::ids::NodeId;
use crate::state::State;
use crate::supervise::REPORT_AGAIN_AFTER;
use crate::time::Millis;

/// A report without effect is sent so often: by then the leader asks for another test, or faults are counted anew.
pub const REPORTS_MAX: u32 = 30;

/// What the agent should do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a known-answer run on this device, and say how it went with [`Bench::on_tested`].
    TestDevice(String),
    /// Tell the leader of this device.
    Report(String, DeviceReport),
}

/// The agent's account of its own devices.
#[derive(Debug)]
pub struct Bench {
    node: NodeId,
    devices: BTreeMap<String, Own>,
}

#[derive(Debug, Default)]
struct Own {
    /// What the replicated state says.
    phase: Phase,
    /// The test under way or done: by the time since when the state wants it, as two tests never begin at the same time.
    test: Option<Test>,
    /// Attempts that failed one after another.
    faults: u32,
    /// The task of the first of them, and whether another task failed since: one input that nothing can work on says nothing
    /// of the device.
    suspect: Option<TaskId>,
    are_several: bool,
    last_fault: String,
    /// How often the report that is due was sent, and when last.
    sent: u32,
    sent_at: Option<Millis>,
}

#[derive(Debug)]
struct Test {
    wanted_since: Millis,
    result: Option<Result<(), String>>,
}

impl Bench {
    /// An account of sound devices, for this node.
    pub fn new(node: NodeId) -> Self {
        Self { node, devices: BTreeMap::new() }
    }

    /// The replicated state changed, or may have.
    pub fn on_state(&mut self, state: &State) {
        let Some(node) = state.nodes.get(&self.node) else { return self.devices.clear() };
        self.devices.retain(|name, _| node.spec.capability.device(name).is_some());
        for device in &node.spec.capability.devices {
            let phase = node.devices.get(&device.name).map(|health| health.phase.clone()).unwrap_or_default();
            self.devices.entry(device.name.clone()).or_default().enter(phase);
        }
    }

    /// An attempt ended on a device, well or by a fault that may be the device's, at this task.
    pub fn on_attempt(&mut self, device: &str, ended: Result<(), (TaskId, &str)>) {
        let Some(own) = self.devices.get_mut(device) else { return };
        match (ended, &own.phase) {
            (Ok(()), _) => (own.faults, own.suspect, own.are_several) = (0, None, false),
            (Err((task, reason)), Phase::Sound | Phase::Probation { .. }) => {
                own.faults = own.faults.saturating_add(1);
                own.are_several |= *own.suspect.get_or_insert(task) != task;
                own.last_fault = reason.into();
            }
            // What ends there now began before the state said so.
            (Err(_), Phase::Quarantined { .. } | Phase::Testing { .. }) => {}
        }
    }

    /// The known-answer run on a device is over.
    pub fn on_tested(&mut self, device: &str, result: Result<(), String>) {
        if let Some(test) = self.devices.get_mut(device).and_then(|own| own.test.as_mut()) {
            test.result = Some(result);
        }
    }

    /// The next thing to do now; none when there is nothing to do before [`Self::wake_at`].
    pub fn next_action(&mut self, now: Millis) -> Option<Action> {
        self.devices.iter_mut().find_map(|(name, own)| {
            if own.begins_test() {
                return Some(Action::TestDevice(name.clone()));
            }
            own.next_report(now).map(|report| Action::Report(name.clone(), report))
        })
    }

    /// When [`Self::next_action`] should be asked again though nothing happened.
    pub fn wake_at(&self) -> Option<Millis> {
        let waiting = self.devices.values().filter(|own| own.due_report().is_some());
        waiting.filter_map(|own| own.sent_at).map(|at| at + REPORT_AGAIN_AFTER).min()
    }
}

impl Own {
    fn enter(&mut self, phase: Phase) {
        if phase == self.phase {
            return;
        }
        // Whatever was said has had its effect, or came too late for one.
        self.forget();
        let wanted = match &phase {
            Phase::Testing { since, .. } => Some(*since),
            _ => None,
        };
        if self.test.as_ref().map(|test| test.wanted_since) != wanted {
            self.test = None;
        }
        self.phase = phase;
    }

    /// A test begins once for each time the state wants one.
    fn begins_test(&mut self) -> bool {
        let (Phase::Testing { since, .. }, None) = (&self.phase, &self.test) else { return false };
        self.test = Some(Test { wanted_since: *since, result: None });
        true
    }

    fn next_report(&mut self, now: Millis) -> Option<DeviceReport> {
        let report = self.due_report()?;
        if self.sent_at.is_some_and(|at| now.since(at) < REPORT_AGAIN_AFTER) {
            return None;
        }
        if self.sent >= REPORTS_MAX {
            self.forget();
            self.test.iter_mut().for_each(|test| test.result = None);
            return None;
        }
        self.sent += 1;
        self.sent_at = Some(now);
        Some(report)
    }

    /// What the replicated state does not yet know.
    fn due_report(&self) -> Option<DeviceReport> {
        let enough = match &self.phase {
            Phase::Sound => FAULTS_MAX,
            Phase::Probation { .. } => 1,
            Phase::Quarantined { .. } => return None,
            Phase::Testing { .. } => {
                return Some(match self.test.as_ref()?.result.clone()? {
                    Ok(()) => DeviceReport::Passed,
                    Err(reason) => DeviceReport::Failed { reason },
                });
            }
        };
        let report = || DeviceReport::Faults { times: self.faults, reason: self.last_fault.clone() };
        (self.faults >= enough && self.are_several).then(report)
    }

    fn forget(&mut self) {
        self.faults = 0;
        self.suspect = None;
        self.are_several = false;
        self.last_fault.clear();
        self.sent = 0;
        self.sent_at = None;
    }
}

//! What this node measures of itself and states anew: how fast models run here, how hot it is, and what
//! makes it a good or a poor voter.

use std::collections::BTreeMap;

use skein_core::capability::Profile;
use skein_core::model::ModelRef;
use skein_core::offering::Load;
use skein_core::{State, WorkerId};

use crate::inventory;
use crate::runtime::Runtime;

/// Profiles that a node states, the last used ones: what it says of itself is gossiped in one small message.
const PROFILES_STATED_MAX: usize = 32;
/// So many runs make a measurement: the first one or two pay for cold caches.
const RUNS_MIN: u64 = 4;
/// A profile is stated anew when it moved by more than this part, in percent: placement looks at coarse steps only.
const MOVED_PERCENT: u64 = 25;
/// How many parts of four the past has in a mean: a fan that sets in shows within a minute, one slow picture does not.
const PAST_QUARTERS: u64 = 3;

/// What is measured: a model, run in some way, on one of the node's devices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct What {
    pub(super) model: ModelRef,
    pub(super) target: String,
    pub(super) device: String,
}

/// How fast models ran here.
#[derive(Debug, Default)]
pub(super) struct Measured {
    measures: BTreeMap<What, Measure>,
    uses: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Measure {
    /// Not yet in the mean.
    runs: u64,
    micros: u64,
    mean: Option<u64>,
    stated: Option<u64>,
    /// When it was last used, in uses of any.
    used: u64,
}

impl What {
    /// What a worker runs, while the plan has it.
    pub(super) fn of(state: &State, worker: WorkerId) -> Option<Self> {
        let worker = state.workers.get(&worker)?;
        let session = state.sessions.get(&worker.session)?;
        let (model, target) = (session.model.clone(), session.spec.target.clone());
        Some(Self { model, target, device: worker.device.clone() })
    }
}

impl Measured {
    /// So many runs took so long in all.
    pub(super) fn add(&mut self, what: &What, runs: u64, micros: u64) {
        if runs == 0 {
            return;
        }
        self.uses += 1;
        let measure = self.measures.entry(what.clone()).or_default();
        measure.used = self.uses;
        measure.runs += runs;
        measure.micros = measure.micros.saturating_add(micros);
        if measure.runs >= RUNS_MIN {
            let fresh = measure.micros / measure.runs;
            let mixed = measure.mean.map(|past| (past.saturating_mul(PAST_QUARTERS).saturating_add(fresh)) / 4);
            measure.mean = Some(mixed.unwrap_or(fresh));
            (measure.runs, measure.micros) = (0, 0);
        }
        if self.measures.len() > PROFILES_STATED_MAX {
            let oldest = self.measures.iter().min_by_key(|(_, measure)| measure.used).map(|(what, _)| what.clone());
            oldest.and_then(|oldest| self.measures.remove(&oldest));
        }
    }

    /// One run took so long, before any task came: what holds until tasks say more.
    pub(super) fn first(&mut self, what: &What, micros: u64) {
        if !self.measures.contains_key(what) {
            self.add(what, RUNS_MIN, micros.saturating_mul(RUNS_MIN));
        }
    }

    /// What this node stated before it was started again.
    fn adopt(&mut self, profiles: &[Profile]) {
        for Profile { model, target, device, run_micros } in profiles.iter().take(PROFILES_STATED_MAX) {
            let what = What { model: model.clone(), target: target.clone(), device: device.clone() };
            let measure = Measure { mean: Some(*run_micros), stated: Some(*run_micros), ..Measure::default() };
            self.measures.insert(what, measure);
        }
    }

    /// What to state from now on, where that is worth it.
    fn restated(&mut self) -> Option<Vec<Profile>> {
        if !self.measures.values().any(Measure::is_worth_stating) {
            return None;
        }
        let profiles = self.measures.iter_mut().filter_map(|(what, measure)| {
            measure.stated = measure.mean;
            let What { model, target, device } = what.clone();
            Some(Profile { model, target, device, run_micros: measure.mean? })
        });
        Some(profiles.collect())
    }
}

impl Measure {
    fn is_worth_stating(&self) -> bool {
        match (self.mean, self.stated) {
            (Some(mean), Some(stated)) => {
                mean.abs_diff(stated).saturating_mul(100) > stated.saturating_mul(MOVED_PERCENT)
            }
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

impl Runtime {
    /// Brings what this node says of itself up to date; the leader and gossip hear of it where it changed.
    pub(super) fn state_anew(&mut self) {
        if let Some(profiles) = self.measured.restated() {
            self.spec.capability.profiles = profiles;
        }
        let seen = self.inventory.seen();
        self.note_devices(&seen.devices);
        self.spec.capability.devices = seen.devices;
        let load = Load {
            heat: seen.heat,
            memory_available: inventory::memory_available(self.inventory.root()),
            memory_of_workers: self.teller.memory_of_workers,
            memory_planned: self.api.seat.read(|state| state.used_on(self.api.node).memory_bytes),
        };
        self.offering.restate(self.config.offer_max.limit(&seen.offers));
        self.spec.capability.offers = self.offering.look(self.now(), load);
        self.spec.capability.power = inventory::power(self.inventory.root());
        self.spec.capability.flush_ms = self.flush_ms.get().copied();
        self.spec.capability.targets = self.api.runtimes.targets();
    }

    /// Before anything was measured since the start, what was measured before it holds.
    pub(super) fn adopt_profiles(&mut self) {
        if !self.measured.measures.is_empty() || !self.spec.capability.profiles.is_empty() {
            return;
        }
        let capability = &self.spec.capability;
        let profiles: Vec<Profile> = self.api.seat.read(|state| {
            let stated = state.nodes.get(&self.spec.id).map(|node| &node.spec.capability.profiles);
            let stated = stated.into_iter().flatten().filter(|profile| capability.device(&profile.device).is_some());
            stated.cloned().collect()
        });
        self.measured.adopt(&profiles);
        self.spec.capability.profiles = profiles;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(name: &str) -> What {
        let model = ModelRef { name: name.into(), version: 1 };
        What { model, target: "tract".into(), device: "cpu".into() }
    }

    fn stated(measured: &mut Measured) -> Option<Vec<u64>> {
        measured.restated().map(|profiles| profiles.iter().map(|profile| profile.run_micros).collect())
    }

    #[test]
    fn a_first_profile_is_stated_and_then_only_what_moved_far() {
        let mut measured = Measured::default();
        measured.add(&what("cats"), 3, 3_000);
        assert_eq!(stated(&mut measured), None, "too few runs to say");
        measured.add(&what("cats"), 1, 1_000);
        assert_eq!(stated(&mut measured), Some(vec![1_000]));
        assert_eq!(stated(&mut measured), None);
        measured.add(&what("cats"), 10, 19_000);
        assert_eq!(stated(&mut measured), None, "1225 now");
        measured.add(&what("cats"), 10, 20_000);
        assert_eq!(stated(&mut measured), Some(vec![1_418]));
    }

    #[test]
    fn the_run_before_the_first_task_holds_until_tasks_say_more() {
        let mut measured = Measured::default();
        measured.first(&what("cats"), 900);
        assert_eq!(stated(&mut measured), Some(vec![900]));
        measured.first(&what("cats"), 5_000);
        assert_eq!(stated(&mut measured), None, "another worker's first run says no more than the first");
        measured.add(&what("cats"), 4, 8_000);
        assert_eq!(stated(&mut measured), Some(vec![1_175]));
    }

    #[test]
    fn only_the_last_used_profiles_are_kept() {
        let mut measured = Measured::default();
        for number in 0..2 * PROFILES_STATED_MAX {
            measured.add(&what("cats"), 10, 10_000);
            measured.add(&what(&format!("model-{number:03}")), 10, 10_000);
        }
        let profiles = measured.restated().unwrap();
        assert_eq!(profiles.len(), PROFILES_STATED_MAX);
        assert_eq!(profiles[0].model.name, "cats");
        assert_eq!(profiles[1].model.name, "model-033");
    }

    #[test]
    fn what_was_stated_before_a_restart_goes_on() {
        let mut measured = Measured::default();
        measured.add(&what("cats"), 10, 10_000);
        let profiles = measured.restated().unwrap();
        let mut again = Measured::default();
        again.adopt(&profiles);
        assert_eq!(stated(&mut again), None);
        again.add(&what("cats"), 10, 90_000);
        assert_eq!(stated(&mut again), Some(vec![3_000]));
    }
}

//! A plan that the leader just made: what it should have been.

use skein_core::plan::{self, CHANGES_MAX, Plan};
use skein_core::{Command, Entry, Millis, State, apply};

use super::World;
use super::check::{kinds, settle, walk};

/// Changes that belong together are never parted: a plan may be longer than it should by those that make room for one.
const TOGETHER_MAX: usize = 64;
/// In how many further rounds planning must come to an end: one worker's leaving may make room for another's.
const ROUNDS: [&str; 4] = ["fixed_point_round_1", "fixed_point_round_2", "fixed_point_round_3", "fixed_point_round_4"];

impl World {
    /// It is sound, carried out whole, and leaves nothing to do. Some are looked at closer than others: that takes much
    /// longer than making them.
    pub(super) fn check_plan(&mut self, epoch: Millis, plan: &Plan) {
        plan.changes.iter().for_each(|change| self.chance.count(kinds::of_change(change)));
        let most = self.lead.as_ref().map_or(0, |lead| lead.changes_max);
        let length = plan.changes.len();
        self.chance.check(length <= most.max(TOGETHER_MAX), || format!("{length} changes in one plan of {most}"));
        if plan.is_empty() && self.chance.percent(10) {
            let found = walk::at_rest(&self.state, epoch);
            self.note("at_rest_checked", &found);
        }
        if !plan.is_empty() && self.chance.percent(30) {
            self.check_walk(epoch, plan, most == CHANGES_MAX);
        }
        if !plan.is_empty() && self.chance.percent(10) && most == CHANGES_MAX {
            let fresh = plan::plan(&self.state, epoch);
            let found = if fresh == *plan { vec![] } else { vec![format!("{plan:?}, and from nothing {fresh:?}")] };
            self.note("plan_from_nothing_checked", &found);
        }
        if !plan.is_empty() && self.chance.percent(8) {
            self.check_settles(epoch);
        }
    }

    fn check_walk(&mut self, epoch: Millis, plan: &Plan, is_whole: bool) {
        let mut trial: State = self.state.clone();
        let mut found = walk::violations(&mut trial, epoch, plan);
        if is_whole {
            found.extend(self.check_fixed_point(epoch, &mut trial));
        }
        self.note("plan_walked", &found);
    }

    /// With the clock standing still, there is soon nothing left to plan.
    fn check_fixed_point(&mut self, epoch: Millis, trial: &mut State) -> Vec<String> {
        for kind in ROUNDS {
            let again = plan::plan(trial, epoch);
            if again.is_empty() {
                self.chance.count(kind);
                return walk::at_rest(trial, epoch);
            }
            if again.changes.len() + TOGETHER_MAX > CHANGES_MAX {
                self.chance.count("fixed_point_beyond_one_plan");
                return vec![];
            }
            // What comes of it is checked by the next round, and by those plans that are walked.
            drop(apply(trial, &Entry { at: epoch, command: Command::Plan(again) }));
        }
        let again = plan::plan(trial, epoch);
        let rests = again.is_empty();
        if rests { vec![] } else { vec![format!("no fixed point after {} rounds: {again:?}", ROUNDS.len())] }
    }

    /// Were the mesh left to itself, it would come to rest soon.
    pub(super) fn check_settles(&mut self, epoch: Millis) {
        let mut trial: State = self.state.clone();
        let changes_max = if self.chance.percent(30) { 1 + self.chance.index(5) } else { CHANGES_MAX };
        let settled = settle::settle(&mut trial, epoch, changes_max);
        self.note("settled", &settled.violations);
        *self.chance.counts.entry("settled_evictions").or_default() += settled.evictions as u64;
    }

    fn note(&mut self, kind: &'static str, found: &[String]) {
        self.chance.count(kind);
        self.chance.check(found.is_empty(), || format!("{kind}: {}", found.join("; ")));
    }
}

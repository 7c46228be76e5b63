//! Many seeds, both worlds: nothing that should hold is broken, and everything that can go wrong was tried.

use std::collections::BTreeMap;

const SEEDS: u64 = 100;

/// What a hundred seeds must have met. A kind of fault that no longer happens is a test that no longer tests.
const KINDS: [&str; 74] = [
    "answer_doubled",
    "answer_fenced",
    "answer_taken",
    "asked_model_add",
    "asked_session_create",
    "asked_session_end",
    "attempt_lost_and_run_again",
    "attempt_sent",
    "election_without_quorum",
    "entry_committed_by_successor",
    "entry_lost_uncommitted",
    "entry_stale",
    "event_founded",
    "event_model_added",
    "event_model_known",
    "event_node_down",
    "event_node_joined",
    "event_node_up",
    "event_placement_refused",
    "event_session_created",
    "event_session_ended",
    "event_worker_changed",
    "event_worker_planned",
    "event_worker_removed",
    "healed",
    "leader_cut_off",
    "leader_elected",
    "leader_killed",
    "leader_lost_its_quorum",
    "leader_replaced",
    "message_doubled",
    "message_late",
    "message_lost",
    "node_changed",
    "node_cut_off",
    "node_heard_again",
    "node_killed",
    "node_lost_for_good",
    "node_started_again",
    "nonsense",
    "place_poisoned",
    "plan_empty",
    "plan_fixed_point_checked",
    "plan_lost_uncommitted",
    "plan_made",
    "plan_random",
    "plan_stale",
    "process_crashed_early",
    "process_crashed_late",
    "process_old_news",
    "process_ready",
    "process_stopped",
    "process_unusable",
    "refused_already_founded",
    "refused_bad_name",
    "refused_bad_session",
    "refused_model_too_large",
    "refused_no_model",
    "refused_no_node",
    "refused_no_session",
    "refused_no_worker",
    "refused_node_out_of_bounds",
    "replica_from_snapshot",
    "report_failed",
    "report_random",
    "seat_change_failed",
    "seat_learner_added",
    "seat_voters_set",
    "session_failed_all",
    "stream_closed_with_tasks",
    "stream_refused",
    "task_failed_after_its_attempts",
    "task_refused_duplicate",
    "task_taken_in_its_turn_when_full",
];

#[test]
fn a_hundred_seeds_hold_and_try_everything() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..SEEDS {
        let report = skein_sim::run(seed);
        assert_eq!(report.violations, Vec::<String>::new(), "replay with: cargo xtask simulate --seed {seed}");
        for (kind, count) in report.counts {
            *counts.entry(kind).or_default() += count;
        }
    }
    let never: Vec<&str> = KINDS.into_iter().filter(|kind| !counts.contains_key(kind)).collect();
    assert_eq!(never, Vec::<&str>::new(), "never happened; what did: {counts:?}");
}

#[test]
fn a_seed_replays_to_the_letter() {
    let first = skein_sim::run(7);
    assert_eq!(first, skein_sim::run(7));
    assert_ne!(first.counts, skein_sim::run(8).counts);
}

//! Many seeds, all worlds: nothing that should hold is broken, and everything that can go wrong was tried.

use std::collections::BTreeMap;

const SEEDS: u64 = 100;

// What a hundred seeds must have met. A kind of fault that no longer happens is a test that no longer tests.

/// In the world of the replicated state: faults, events, refusals, planned changes, checks.
const CONTROL: [&str; 128] = [
    "asked_block",
    "asked_drain",
    "asked_model_add",
    "asked_policy_set",
    "asked_session_create",
    "asked_session_end",
    "asked_session_unfit",
    "asked_unblock",
    "at_rest_checked",
    "device_damaged",
    "device_faults",
    "device_heat_changed",
    "device_mended",
    "device_offers_other",
    "device_test_failed",
    "device_test_passed",
    "device_test_without_answer",
    "election_without_quorum",
    "entry_committed_by_successor",
    "entry_lost_uncommitted",
    "entry_stale",
    "event_change_refused",
    "event_device_blocked",
    "event_device_passed",
    "event_device_quarantined",
    "event_device_tested",
    "event_device_trusted",
    "event_founded",
    "event_model_added",
    "event_model_known",
    "event_node_blocked",
    "event_node_down",
    "event_node_joined",
    "event_node_up",
    "event_policy_set",
    "event_session_created",
    "event_session_ended",
    "event_session_reserved",
    "event_session_wants",
    "event_unblocked",
    "event_worker_changed",
    "event_worker_drained",
    "event_worker_planned",
    "event_worker_preempted",
    "event_worker_reclaimed",
    "event_worker_removed",
    "event_worker_resized",
    "event_worker_returned",
    "event_worker_revived",
    "fixed_point_round_1",
    "flapping_node_up",
    "healed",
    "health_command",
    "leader_cut_off",
    "leader_elected",
    "leader_killed",
    "leader_lost_its_quorum",
    "leader_replaced",
    "load_changed",
    "message_doubled",
    "message_late",
    "message_lost",
    "node_changed",
    "node_cut_off",
    "node_heard_again",
    "node_killed",
    "node_lost_for_good",
    "node_measured_anew",
    "node_offers_less",
    "node_offers_more",
    "node_started_again",
    "node_up_first_time",
    "nonsense",
    "place_poisoned",
    "plan_empty",
    "plan_from_nothing_checked",
    "plan_lost_uncommitted",
    "plan_made",
    "plan_preempt",
    "plan_random",
    "plan_reclaim",
    "plan_resize",
    "plan_return",
    "plan_revive",
    "plan_stale",
    "plan_start",
    "plan_stop",
    "plan_walked",
    "process_crashed_early",
    "process_crashed_late",
    "process_old_news",
    "process_ready",
    "process_started",
    "process_stopped",
    "process_unusable",
    "radio_down",
    "refused_already_founded",
    "refused_bad_name",
    "refused_bad_session",
    "refused_model_too_large",
    "refused_never_fits",
    "refused_no_device",
    "refused_no_model",
    "refused_no_node",
    "refused_no_session",
    "refused_no_worker",
    "refused_node_out_of_bounds",
    "refused_not_blocked",
    "refused_wrong_phase",
    "replica_from_snapshot",
    "report_at_stake",
    "report_failed",
    "report_left",
    "report_out_of_memory",
    "report_random",
    "report_ready",
    "report_starting",
    "seat_change_failed",
    "seat_learner_added",
    "seat_voters_set",
    "settled",
    "use_changed",
    "wire_down",
    "worker_at_stake",
    "worker_finished",
    "worker_out_of_memory",
    "worker_told_to_finish",
    "worker_told_to_resume",
];

/// In the world of one gateway.
const DISPATCH: [&str; 28] = [
    "answer_doubled",
    "answer_fenced",
    "answer_taken",
    "attempt_failed_and_retried",
    "attempt_its_worker_died_at_and_run_again",
    "attempt_lost_at_no_cost",
    "attempt_not_sent_as_its_way_is_closed",
    "attempt_sent",
    "attempt_sent_from_a_checkpoint",
    "checkpoint_fenced",
    "checkpoint_taken",
    "retry_elsewhere_as_its_node_is_gone",
    "retry_on_a_tried_node",
    "retry_on_an_untried_node",
    "retry_on_the_same_node",
    "retry_rests",
    "session_failed_all",
    "stream_closed_with_tasks",
    "stream_refused",
    "task_failed_after_its_workers_died",
    "task_failed_after_its_retries",
    "task_failed_by_its_own_fault",
    "task_overtook_a_lower_priority",
    "task_refused_duplicate",
    "task_taken_in_its_turn_when_full",
    "worker_leaving",
    "worker_leaving_again",
    "worker_stays_after_all",
];

/// In the mesh with too little for everybody.
const SCARCE: [&str; 4] = ["crowd_large_was_promised", "crowd_played", "weights_checked", "weights_played"];

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
    let kinds = CONTROL.into_iter().chain(DISPATCH).chain(SCARCE);
    let never: Vec<&str> = kinds.filter(|kind| !counts.contains_key(kind)).collect();
    assert_eq!(never, Vec::<&str>::new(), "never happened; what did: {counts:?}");
}

#[test]
fn a_seed_replays_to_the_letter() {
    let first = skein_sim::run(7);
    assert_eq!(first, skein_sim::run(7));
    assert_ne!(first.counts, skein_sim::run(8).counts);
}

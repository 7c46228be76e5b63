//! A silence is held against the link that it is on.

use proptest::prelude::*;
use skein_core::liveness::Liveness;
use skein_core::liveness::gaps::Gaps;
use skein_core::{Command, Millis};

use super::{BEAT, PATIENCE, Story, at};
use crate::mesh::{A, B, C};

#[test]
fn a_wire_is_judged_by_the_least_silence() {
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), PATIENCE.down_after.0)));
}

#[test]
fn a_wire_with_a_little_jitter_is_not_waited_for_much_longer() {
    let mut story = Story::of(&[A]);
    for jitter in [0, 20, 5, 40, 0, 30, 10, 25].repeat(10) {
        assert_eq!(story.beat_after(A, BEAT - 20 + jitter), None);
    }
    let (command, after) = story.silence(60_000).unwrap();
    assert_eq!(command, Command::NodeDown(A));
    assert!((500..=600).contains(&after), "{after} ms");
}

/// A radio that is away for a second every few seconds.
#[test]
fn a_radio_whose_gaps_are_long_is_not_down_by_a_usual_one() {
    let mut story = Story::of(&[A]);
    // It got to know the link gently: gaps grew as the drone flew off.
    for gap in [300, 450, 600, 750, 900, 1_000] {
        story.beats(A, 4);
        assert_eq!(story.beat_after(A, gap), None, "a gap of {gap} ms");
    }
    for round in 0..200 {
        story.beats(A, 10 + round % 50);
        assert_eq!(story.beat_after(A, 1_000), None, "round {round}");
    }
    let (command, after) = story.silence(60_000).unwrap();
    assert_eq!(command, Command::NodeDown(A));
    assert!((1_000..=3_000).contains(&after), "{after} ms");
}

/// The deviation forgets a rare spike within seconds; the account must not.
#[test]
fn a_spike_every_ten_seconds_stays_known() {
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    assert_eq!(story.beat_after(A, 480), None, "just within the least silence");
    for _ in 0..20 {
        story.beats(A, 60);
        assert_eq!(story.beat_after(A, 560), None);
    }
}

#[test]
fn a_quiet_link_is_trusted_less_once_it_has_become_regular() {
    let mut story = Story::of(&[A]);
    for _ in 0..20 {
        story.beats(A, 2);
        assert_eq!(story.beat_after(A, 450), None);
    }
    story.beats(A, 600);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), 500)));
}

#[test]
fn no_link_is_waited_for_without_end() {
    let mut story = Story::of(&[A]);
    for gap in [800, 1_500, 2_900, 2_900, 2_900, 2_900, 2_900] {
        assert_eq!(story.beat_after(A, gap), None, "a gap of {gap} ms");
    }
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), 3_000)));
}

/// An absence is no gap of the link: after it, the link counts as unknown, not as one with gaps of ten seconds.
#[test]
fn after_an_absence_the_account_begins_anew() {
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    assert!(story.silence(10_000).is_some());
    assert_eq!(story.silence(10_000), None);
    story.beats_until(A, &Command::NodeUp(A));
    story.beats(A, 40);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), 500)));
}

#[test]
fn one_node_s_radio_does_not_make_the_other_s_wire_slow() {
    let mut story = Story::of(&[A, B]);
    let mut beats = Vec::new();
    for turn in 0..400 {
        beats.push((turn * BEAT, B));
        // Two of three of A's beats are lost.
        if turn % 3 == 0 {
            beats.push((turn * BEAT + 20, A));
        }
    }
    let begin = story.now;
    for (due, node) in beats {
        let gap = (begin + due).saturating_sub(story.now);
        assert_eq!(story.beat_after(node, gap), None);
    }
    assert_eq!(story.silence(60_000).unwrap().0, Command::NodeDown(B));
}

/// The leader's process was stopped: beats wait in its socket.
#[test]
fn a_leader_that_did_not_run_does_not_blame_the_others() {
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    story.now += 2_000;
    assert_eq!(story.look(), None, "it was not there to hear");
    assert_eq!(story.beat_after(A, 10), None);
    story.beats(A, 20);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), 500)), "nor did it take its own pause for a gap");
    // Where the beats were read before it looked, it is the same.
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    story.now += 2_000;
    story.account.observe(at(story.now), A);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), 500)));
}

/// Three of ten beats are lost. A link of that kind is hardly ever taken for lost once it is known, and a loss is still found
/// within two seconds.
#[test]
fn lost_beats_are_learned() {
    let mut gaps = Gaps::expecting(Millis(BEAT));
    let (mut random, mut gap, mut alarms, mut sum) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0, 0);
    for _ in 0..24_000 {
        // xorshift (Marsaglia, 2003).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        gap += BEAT;
        if random % 10 < 3 {
            continue;
        }
        let silence_max = gaps.silence_max(PATIENCE.down_after, PATIENCE.down_after_max);
        alarms += u32::from(gap >= silence_max.0);
        sum += silence_max.0;
        gaps.note(Millis(gap));
        gap = 0;
    }
    assert!(alarms <= 3, "{alarms} false alarms in an hour");
    assert!(sum < 2_000 * 24_000 * 7 / 10, "a loss is found after {} ms", sum * 10 / 7 / 24_000);
}

fn a_gap() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 100..200_u64, 2 => 200..600_u64, 1 => 600..2_500_u64]
}

proptest! {
    /// Whatever a link did: it is down between the bounds, and not before a silence as long as what it has just done.
    #[test]
    fn silence_is_judged_within_bounds(gaps in prop::collection::vec(a_gap(), 0..200)) {
        let mut story = Story::of(&[A]);
        let mut tail = Vec::new();
        for gap in gaps {
            if story.beat_after(A, gap).is_none() {
                tail.push(gap);
            } else {
                // It was taken for lost: the story goes on from its return.
                tail.clear();
                story.beats_until(A, &Command::NodeUp(A));
                story.account.observe(at(story.now), A);
            }
        }
        let (command, after) = story.silence(60_000).unwrap();
        prop_assert_eq!(command, Command::NodeDown(A));
        prop_assert!((PATIENCE.down_after.0..=PATIENCE.down_after_max.0).contains(&after), "{} ms", after);
        let known = tail.iter().rev().take(40).max().copied().unwrap_or_default();
        prop_assert!(after >= (known * 14 / 10).min(PATIENCE.down_after_max.0), "{} ms, after gaps of {}", after, known);
    }

    /// Nothing that a clock may say makes it panic or wake in the past.
    #[test]
    fn any_times_are_borne(times in prop::collection::vec((any::<u64>(), any::<bool>()), 0..50)) {
        let story = Story::of(&[A]);
        let mut account = Liveness::new(C, at(0), PATIENCE, &story.mesh.state);
        for (time, looks) in times {
            if looks {
                let _ = account.next_command(Millis(time), &story.mesh.state);
            } else {
                account.observe(Millis(time), A);
            }
            let _ = account.wake_at(&story.mesh.state);
        }
    }
}

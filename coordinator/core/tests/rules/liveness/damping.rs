//! A node that comes and goes is kept waiting longer each time; one that restarts once is not.

use proptest::prelude::*;
use skein_core::liveness::{CALM, FLAPS_MAX, HOLD_MAX, Patience, flaps};
use skein_core::{Command, Millis};

use super::{BEAT, PATIENCE, Story};
use crate::mesh::A;

/// Goes down, comes back at once, and is up again; after what time.
fn flap(story: &mut Story) -> u64 {
    story.account.lose(A);
    assert_eq!(story.look(), Some(Command::NodeDown(A)));
    story.beats_until(A, &Command::NodeUp(A))
}

/// Its first beat after the time is over brings it up.
fn rounded(hold: u64) -> u64 {
    hold.div_ceil(BEAT) * BEAT
}

#[test]
fn a_restart_costs_no_more_than_a_few_beats() {
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    assert_eq!(flap(&mut story), rounded(500));
}

#[test]
fn each_further_loss_doubles_the_wait_up_to_a_bound() {
    let mut story = Story::of(&[A]);
    let waits: Vec<u64> = (0..10).map(|_| flap(&mut story)).collect();
    let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000].map(rounded);
    assert_eq!(waits, expected);
}

#[test]
fn good_behaviour_is_forgiven_by_halves() {
    let mut story = Story::of(&[A]);
    for _ in 0..4 {
        flap(&mut story);
    }
    assert_eq!(story.mesh.state.nodes[&A].flaps, 4);
    story.beats(A, CALM.0 / BEAT);
    // Two of the four are left, and this one comes on top.
    assert_eq!(flap(&mut story), rounded(2_000));
    story.beats(A, 3 * CALM.0 / BEAT);
    assert_eq!(flap(&mut story), rounded(500), "all is forgiven");
}

/// It must be heard on end: a beat now and then is what flapping is.
#[test]
fn a_node_that_is_heard_now_and_then_does_not_come_up() {
    let mut story = Story::of(&[A]);
    story.account.lose(A);
    assert_eq!(story.look(), Some(Command::NodeDown(A)));
    for _ in 0..30 {
        assert_eq!(story.beat_after(A, BEAT), None);
        assert_eq!(story.beat_after(A, BEAT), None);
        assert_eq!(story.silence(3_000), None);
    }
}

/// The count is in the replicated state: a new leader goes on with it.
#[test]
fn a_new_leader_does_not_forgive() {
    let mut story = Story::of(&[A]);
    for _ in 0..3 {
        flap(&mut story);
    }
    story.account = skein_core::liveness::Liveness::new(super::C, super::at(story.now), PATIENCE, &story.mesh.state);
    assert_eq!(flap(&mut story), rounded(4_000));
}

proptest! {
    #[test]
    fn what_is_held_against_a_node_is_bounded(before in any::<u32>(), up_for in any::<u64>(), up_after in any::<u64>()) {
        let held = flaps(before, Millis(up_for));
        prop_assert!((1..=FLAPS_MAX).contains(&held));
        prop_assert!(held <= before.saturating_add(1).max(1));
        let patience = Patience { up_after: Millis(up_after), ..PATIENCE };
        let hold = patience.hold(held);
        prop_assert!(hold >= Millis(up_after) && hold <= HOLD_MAX.max(Millis(up_after)));
    }
}

//! Who is up, by the leader's account.

use skein_core::liveness::{Liveness, Patience};
use skein_core::{Command, Millis, NodeId};

use crate::mesh::{A, B, C, Mesh, node};

mod damping;
mod links;

const BEAT: u64 = 150;
const PATIENCE: Patience = Patience {
    beat_every: Millis(BEAT),
    down_after: Millis(500),
    down_after_max: Millis(3_000),
    up_after: Millis(500),
};
/// Of a link of which nothing is known yet: the mean, and twelve deviations of half of it.
const UNKNOWN: u64 = BEAT + 12 * BEAT / 2;

fn at(ms: u64) -> Millis {
    Millis(ms)
}

/// A mesh, its leader C, and the leader's account.
struct Story {
    mesh: Mesh,
    account: Liveness,
    now: u64,
}

impl Story {
    fn of(nodes: &[NodeId]) -> Self {
        let mut mesh = Mesh::of(&[(C, 1)]);
        for id in nodes {
            mesh.apply(Command::NodeJoin(node(*id, 1)));
        }
        let now = 10_000;
        let account = Liveness::new(C, at(now), PATIENCE, &mesh.state);
        Self { mesh, account, now }
    }

    /// The leader looks, and commits what it finds.
    fn look(&mut self) -> Option<Command> {
        let command = self.account.next_command(at(self.now), &self.mesh.state);
        if let Some(command) = command.clone() {
            self.mesh.now = at(self.now);
            self.mesh.apply(command);
        }
        command
    }

    /// So long nothing is heard; the leader looks as it said it would. The first change, and after what time.
    fn silence(&mut self, length: u64) -> Option<(Command, u64)> {
        let (begin, end) = (self.now, self.now + length);
        loop {
            if let Some(command) = self.look() {
                return Some((command, self.now - begin));
            }
            let wake = self.account.wake_at(&self.mesh.state).filter(|wake| wake.0 < end);
            if self.now == end {
                return None;
            }
            assert!(wake.is_none_or(|wake| wake.0 > self.now), "it does not wake now again");
            self.now = wake.map_or(end, |wake| wake.0);
        }
    }

    /// A beat comes after such a gap; what changes until then.
    fn beat_after(&mut self, node: NodeId, gap: u64) -> Option<(Command, u64)> {
        let found = self.silence(gap);
        if found.is_none() {
            self.account.observe(at(self.now), node);
        }
        found
    }

    /// So many regular beats, during which nothing changes.
    fn beats(&mut self, node: NodeId, count: u64) {
        for _ in 0..count {
            assert_eq!(self.beat_after(node, BEAT), None);
        }
    }

    /// The node beats regularly until something changes; after what time.
    fn beats_until(&mut self, node: NodeId, expected: &Command) -> u64 {
        let begin = self.now;
        loop {
            self.account.observe(at(self.now), node);
            if let Some((command, _)) = self.silence(BEAT) {
                assert_eq!(&command, expected);
                return self.now - begin;
            }
            assert!(self.now - begin < 1_000_000, "{expected:?} never comes");
        }
    }
}

#[test]
fn who_is_silent_goes_down_and_who_is_heard_for_long_enough_comes_up() {
    let mut story = Story::of(&[A, B]);
    for _ in 0..40 {
        story.account.observe(at(story.now), A);
        story.account.observe(at(story.now), B);
        assert_eq!(story.silence(BEAT), None);
    }
    // Both were heard one beat ago; from now on B alone.
    let mut down = None;
    while down.is_none() {
        story.account.observe(at(story.now), B);
        down = story.silence(BEAT);
    }
    assert_eq!(down.map(|(command, _)| command), Some(Command::NodeDown(A)));
    assert_eq!(story.look(), None, "said once");
    story.account.observe(at(story.now), A);
    let up = loop {
        story.account.observe(at(story.now), B);
        story.account.observe(at(story.now), A);
        if let Some((command, _)) = story.silence(BEAT) {
            break command;
        }
    };
    assert_eq!(up, Command::NodeUp(A));
}

#[test]
fn a_new_leader_gives_everyone_time_to_find_it() {
    let mut story = Story::of(&[A]);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), UNKNOWN)));
}

#[test]
fn a_new_leader_does_not_bring_up_who_was_down() {
    let mut story = Story::of(&[A]);
    story.mesh.apply(Command::NodeDown(A));
    story.account = Liveness::new(C, at(60_000), PATIENCE, &story.mesh.state);
    assert_eq!(story.account.next_command(at(60_000), &story.mesh.state), None);
    assert_eq!(
        story.account.wake_at(&story.mesh.state),
        None,
        "one that is down does not wake, nor does the leader itself"
    );
}

#[test]
fn the_leader_is_up_without_a_beat() {
    let mut story = Story::of(&[]);
    story.mesh.apply(Command::NodeDown(C));
    assert_eq!(story.look(), Some(Command::NodeUp(C)));
    assert_eq!(story.silence(1_000_000), None);
}

#[test]
fn a_node_that_is_known_to_be_gone_is_not_waited_for() {
    let mut story = Story::of(&[A]);
    story.beats(A, 10);
    story.account.lose(A);
    assert_eq!(story.look(), Some(Command::NodeDown(A)));
    // A beat that was under way when it died does not bring it back.
    story.account.observe(at(story.now), A);
    assert_eq!(story.silence(60_000), None);
}

#[test]
fn a_node_that_joins_counts_as_heard_then() {
    let mut story = Story::of(&[]);
    story.now += 9_000;
    story.mesh.apply(Command::NodeJoin(node(B, 1)));
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(B), UNKNOWN)));
}

/// Somebody else's word brought it up.
#[test]
fn a_node_that_comes_up_by_the_log_is_not_declared_down_for_its_old_silence() {
    let mut story = Story::of(&[A]);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), UNKNOWN)));
    story.now += 6_000;
    story.mesh.now = at(story.now);
    story.mesh.apply(Command::NodeUp(A));
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), UNKNOWN)));
}

/// A description may come by gossip, from a node that the leader does not hear.
#[test]
fn a_node_that_states_itself_is_not_up_by_that() {
    let mut story = Story::of(&[A]);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), UNKNOWN)));
    story.mesh.apply(Command::NodeJoin(node(A, 2)));
    assert!(!story.mesh.state.nodes[&A].up);
    assert_eq!(story.silence(60_000), None);
}

#[test]
fn a_beat_that_was_overtaken_takes_nothing_back() {
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    story.account.observe(at(story.now - 400), A);
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), 500)));
}

/// It was silent for a while, though not for too long, when somebody else's word brought it up.
#[test]
fn a_node_that_comes_up_by_the_log_has_its_whole_time() {
    let mut story = Story::of(&[A]);
    story.beats(A, 40);
    assert_eq!(story.silence(400), None);
    story.mesh.now = at(story.now);
    story.mesh.apply(Command::NodeDown(A));
    story.mesh.apply(Command::NodeUp(A));
    assert_eq!(story.silence(60_000), Some((Command::NodeDown(A), 500)));
}

//! Who is up, by the leader's account.

use skein_core::liveness::Liveness;
use skein_core::{Command, Millis};

use crate::mesh::{A, B, Mesh, node};

const DOWN_AFTER: Millis = Millis(3_000);

fn at(ms: u64) -> Millis {
    Millis(ms)
}

#[test]
fn who_is_silent_goes_down_and_who_is_heard_comes_up() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 1)]);
    let mut account = Liveness::new(at(0), DOWN_AFTER, &mesh.state);
    account.observe(at(1_000), A);
    account.observe(at(2_000), B);
    assert_eq!(account.wake_at(&mesh.state), Some(at(4_000)));
    assert_eq!(account.next_command(at(3_999), &mesh.state), None);
    assert_eq!(account.next_command(at(4_000), &mesh.state), Some(Command::NodeDown(A)));
    mesh.apply(Command::NodeDown(A));
    assert_eq!(account.next_command(at(4_000), &mesh.state), None);
    assert_eq!(account.wake_at(&mesh.state), Some(at(5_000)), "one that is down does not wake");
    account.observe(at(4_500), A);
    assert_eq!(account.next_command(at(4_500), &mesh.state), Some(Command::NodeUp(A)));
    mesh.apply(Command::NodeUp(A));
    assert_eq!(account.next_command(at(4_500), &mesh.state), None);
}

#[test]
fn a_new_leader_gives_everyone_time_to_find_it() {
    let mesh = Mesh::of(&[(A, 1), (B, 1)]);
    let mut account = Liveness::new(at(60_000), DOWN_AFTER, &mesh.state);
    assert_eq!(account.next_command(at(62_999), &mesh.state), None);
    assert_eq!(account.next_command(at(63_000), &mesh.state), Some(Command::NodeDown(A)));
}

#[test]
fn a_new_leader_does_not_bring_up_who_was_down() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.apply(Command::NodeDown(A));
    let mut account = Liveness::new(at(60_000), DOWN_AFTER, &mesh.state);
    assert_eq!(account.next_command(at(60_000), &mesh.state), None);
    assert_eq!(account.wake_at(&mesh.state), None);
}

#[test]
fn a_node_that_joins_counts_as_heard_then() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let mut account = Liveness::new(at(0), DOWN_AFTER, &mesh.state);
    mesh.apply(Command::NodeJoin(node(B, 1)));
    account.observe(at(9_000), A);
    assert_eq!(account.next_command(at(9_000), &mesh.state), None);
    account.observe(at(11_999), A);
    assert_eq!(account.next_command(at(11_999), &mesh.state), None);
    assert_eq!(account.next_command(at(12_000), &mesh.state), Some(Command::NodeDown(B)));
}

/// It came back through another node, which proposed its join, before a beat of it was heard here.
#[test]
fn a_node_that_comes_back_is_not_declared_down_for_its_old_silence() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let mut account = Liveness::new(at(0), DOWN_AFTER, &mesh.state);
    assert_eq!(account.next_command(at(3_000), &mesh.state), Some(Command::NodeDown(A)));
    mesh.apply(Command::NodeDown(A));
    assert_eq!(account.next_command(at(3_000), &mesh.state), None);
    mesh.wait(6_000);
    mesh.apply(Command::NodeJoin(node(A, 1)));
    assert_eq!(account.next_command(at(9_000), &mesh.state), None);
    assert_eq!(account.next_command(at(11_999), &mesh.state), None);
    assert_eq!(account.next_command(at(12_000), &mesh.state), Some(Command::NodeDown(A)));
}

#[test]
fn a_beat_that_was_overtaken_takes_nothing_back() {
    let mesh = Mesh::of(&[(A, 1)]);
    let mut account = Liveness::new(at(0), DOWN_AFTER, &mesh.state);
    account.observe(at(5_000), A);
    account.observe(at(1_000), A);
    assert_eq!(account.next_command(at(7_999), &mesh.state), None);
}

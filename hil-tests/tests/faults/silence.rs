//! Nodes that are there and say nothing: SIGSTOP, and a pulled cable. No connection is closed and no port refuses.

use std::time::{Duration, Instant};

use skein_hil_tests::bed::host;
use skein_hil_tests::fault;
use skein_hil_tests::trial::Trial;

use crate::cast::cast;

/// How long a node is silent: many times what the mesh waits before it gives a node up.
const SILENCE: Duration = Duration::from_secs(10);

/// Everybody else goes on, and nobody speaks until the time is over.
fn pass_the_silence(trial: &Trial, since: Instant) {
    trial.wait_until_tasks_flow();
    trial.wait_until_written();
    trial.bed.wait("the silence is over", || since.elapsed() >= SILENCE);
    trial.wait_until_tasks_flow();
}

/// Freezes an agent with its workers, and lets it go on with what it knew before.
fn freeze_and_thaw(mut trial: Trial, victim: usize) {
    let since = trial.fails();
    fault::freeze(&trial.bed, victim);
    pass_the_silence(&trial, since);
    fault::thaw(&trial.bed, victim);
    trial.heals();
    trial.end();
}

#[test]
fn the_leader_stands_still_for_ten_seconds() {
    let Some(mut trial) = Trial::mesh("the leader stands still for 10 s", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.worker]);
    freeze_and_thaw(trial, cast.leader);
}

#[test]
fn a_follower_with_a_worker_stands_still_for_ten_seconds() {
    let Some(mut trial) = Trial::mesh("a follower with a worker stands still for 10 s", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    freeze_and_thaw(trial, cast.worker);
}

#[test]
fn the_cable_of_a_node_with_a_worker_is_pulled() {
    let Some(mut trial) = Trial::mesh("the cable of a node with a worker is pulled", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    let since = trial.fails();
    trial.bed.lan().set_link(host(cast.worker), false);
    pass_the_silence(&trial, since);
    trial.bed.lan().set_link(host(cast.worker), true);
    trial.heals();
    trial.end();
}

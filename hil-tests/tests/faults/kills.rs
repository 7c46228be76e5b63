//! SIGKILL, as the kernel's out-of-memory killer or a power cut gives it.

use skein_hil_tests::fault;
use skein_hil_tests::trial::Trial;

use crate::cast::cast;

/// Kills an agent under load, sees that everybody else goes on, and brings it back.
fn kill_and_bring_back(mut trial: Trial, victim: usize) {
    trial.fails();
    fault::kill(&mut trial.bed, victim);
    trial.wait_until_tasks_flow();
    trial.wait_until_written();
    trial.bed.restart(victim);
    trial.heals();
    trial.end();
}

#[test]
fn the_leader_is_killed() {
    let Some(mut trial) = Trial::mesh("the leader is killed", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.worker]);
    kill_and_bring_back(trial, cast.leader);
}

#[test]
fn a_follower_with_a_worker_is_killed() {
    let Some(mut trial) = Trial::mesh("a follower with a worker is killed", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    kill_and_bring_back(trial, cast.worker);
}

#[test]
fn the_gateway_of_a_client_is_killed() {
    let Some(mut trial) = Trial::mesh("the gateway of a client is killed", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    kill_and_bring_back(trial, cast.other);
}

#[test]
fn a_worker_process_is_killed() {
    let Some(mut trial) = Trial::mesh("a worker process is killed", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    let agent = trial.bed.agents[cast.worker].process.as_ref().expect("it runs").id();
    let worker = fault::children(agent)[0];
    trial.fails();
    fault::kill_process(worker);
    trial.wait_until_tasks_flow();
    trial.wait_until_written();
    trial.heals();
    let now = fault::children(agent);
    assert!(!now.is_empty() && !now.contains(&worker), "its agent has started it again");
    trial.end();
}

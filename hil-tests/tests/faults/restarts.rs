//! A whole mesh that stops and starts: at once, as by a power cut, and one after another, as by an upgrade.

use skein_hil_tests::fault;
use skein_hil_tests::trial::Trial;

#[test]
fn all_are_killed_at_once_and_started_again() {
    let Some(mut trial) = Trial::mesh("all are killed at once and started again", 3) else { return };
    trial.work_at(&[0, 1, 2]);
    trial.fails();
    for number in 0..3 {
        fault::kill(&mut trial.bed, number);
    }
    for number in 0..3 {
        trial.bed.restart(number);
    }
    trial.heals();
    trial.end();
}

#[test]
fn each_is_stopped_and_started_in_turn_under_load() {
    let Some(mut trial) = Trial::mesh("a rolling restart", 3) else { return };
    trial.work_at(&[0, 1, 2]);
    trial.fails();
    for number in 0..3 {
        fault::terminate(&mut trial.bed, number);
        trial.wait_until_tasks_flow();
        trial.wait_until_written();
        trial.bed.restart(number);
        trial.heals();
    }
    trial.end();
}

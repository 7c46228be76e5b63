//! Parts of a mesh that do not hear each other. The client hears all of them.

use skein_hil_tests::bed::host;
use skein_hil_tests::trial::Trial;

use crate::cast::cast;

/// Which way nothing gets through between one agent and the others.
#[derive(Clone, Copy)]
enum Cut {
    Both,
    Outward,
    Inward,
}

/// Cuts one agent off, sees that the others go on and that it acknowledges nothing, and lets it hear them again.
fn cut_and_heal(mut trial: Trial, victim: usize, cut: Cut) {
    let others: Vec<usize> = (0..3).filter(|number| *number != victim).map(host).collect();
    let alone = [host(victim)];
    trial.fails();
    let lan = trial.bed.lan();
    match cut {
        Cut::Both => lan.part(&alone, &others),
        Cut::Outward => lan.cut(&alone, &others),
        Cut::Inward => lan.cut(&others, &alone),
    }
    trial.wait_until_tasks_flow();
    trial.wait_until_written();
    // One that is not heard cannot even ask for votes; one that is heard, or hears, could get it wrong.
    if !matches!(cut, Cut::Outward) {
        acknowledges_nothing(&trial, victim);
    }
    trial.bed.lan().heal();
    trial.heals();
    trial.end();
}

/// Whoever knows that a session is not there has had that committed by a majority.
fn acknowledges_nothing(trial: &Trial, number: usize) {
    let answer = trial.bed.try_cli_at(number, &["session", "end", "1000000"]);
    let error = answer.expect_err("there is no such session");
    assert!(!error.contains("there is no session"), "a part without a majority has decided something: {error}");
}

#[test]
fn the_leader_is_cut_off() {
    let Some(mut trial) = Trial::mesh("the leader is cut off", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.worker]);
    cut_and_heal(trial, cast.leader, Cut::Both);
}

#[test]
fn a_minority_is_cut_off() {
    let Some(mut trial) = Trial::mesh("a minority is cut off", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    cut_and_heal(trial, cast.worker, Cut::Both);
}

#[test]
fn the_leader_hears_others_who_do_not_hear_it() {
    let Some(mut trial) = Trial::mesh("the leader hears others who do not hear it", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.worker]);
    cut_and_heal(trial, cast.leader, Cut::Outward);
}

#[test]
fn the_leader_is_heard_and_hears_nobody() {
    let Some(mut trial) = Trial::mesh("the leader is heard and hears nobody", 3) else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.worker]);
    cut_and_heal(trial, cast.leader, Cut::Inward);
}

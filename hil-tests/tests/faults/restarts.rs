//! A whole mesh that stops and starts: at once, as by a power cut; one after another, as by an upgrade; and machine by machine,
//! until most of it is another.

use skein_hil_tests::bed::Bed;
use skein_hil_tests::trial::Trial;
use skein_hil_tests::{fault, probe};

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

/// Each of five is gone for good, with its disk, and a new one comes in its place; the next goes when the mesh is whole again.
#[test]
fn five_of_seven_nodes_are_replaced_one_after_another_under_load() {
    const NODES: usize = 7;
    const REPLACED: usize = 5;
    let name = "five of seven are replaced";
    let Some(mut bed) = Trial::hosts(name, NODES + REPLACED) else { return };
    for _ in 0..NODES {
        bed.start();
    }
    bed.wait_until_whole();
    bed.cli(&["coordinator", "set", "--replace-after", "1s"]);
    let mut trial = Trial::over(name, bed);
    trial.work_at(&[REPLACED, REPLACED + 1]);
    trial.fails();
    for victim in 0..REPLACED {
        fault::kill(&mut trial.bed, victim);
        trial.wait_until_tasks_flow();
        trial.bed.start();
        trial.heals();
        trial.bed.wait("the voters are nodes that are there", || voters_are_up(&trial.bed));
    }
    let leader = probe::leader(&trial.bed).expect("the mesh is whole");
    assert!(leader >= REPLACED, "{} leads, which is gone", trial.bed.agents[leader].name);
    trial.end();
}

fn voters_are_up(bed: &Bed) -> bool {
    let mesh = bed.json(&["node", "status"]);
    let nodes = mesh["nodes"].as_array().cloned().unwrap_or_default();
    let votes = |seat: &str| seat == "leader" || seat == "voter";
    let voters = nodes.iter().filter(|node| votes(node["seat"].as_str().unwrap_or("-")));
    let (up, gone): (Vec<_>, Vec<_>) = voters.partition(|node| node["up"] == true);
    up.len() == 3 && gone.is_empty()
}

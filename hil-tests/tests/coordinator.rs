//! Who votes: shown, evicted, replaced, and what is left to do when too many are gone.

use std::process::Command;

use serde_json::Value;
use skein_hil_tests::bed::{Bed, binary, clean, output, said, text};
use skein_hil_tests::{fault, probe};

fn status(bed: &Bed, at: usize) -> Value {
    bed.json_at(at, &["coordinator", "status"])
}

/// The names of the members whose seat is one of these, sorted.
fn seated(status: &Value, seats: &[&str]) -> Vec<String> {
    let members = status["members"].as_array().cloned().unwrap_or_default();
    let seated = members.iter().filter(|member| seats.contains(&member["seat"].as_str().unwrap_or("-")));
    let mut names: Vec<String> = seated.filter_map(|member| Some(member["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

fn voters(status: &Value) -> Vec<String> {
    seated(status, &["leader", "voter"])
}

/// Waits until every running agent says that these vote.
fn wait_for_voters(bed: &Bed, expected: &[&str]) {
    let what = format!("{expected:?} vote");
    bed.wait(&what, || bed.running().all(|at| voters(&status(bed, at)) == expected));
}

/// What `skein coordinator recover` prints for an agent's directory.
fn recover(bed: &Bed, number: usize, arguments: &[&str]) -> Result<String, String> {
    let mut command = clean(Command::new(binary()));
    command.args(["coordinator", "recover", "--state-dir", text(&bed.state_dir(number))]).args(arguments);
    said(&output(&mut command))
}

/// The names of the agents that vote and do not lead, and of those that do not vote.
fn others(bed: &Bed) -> (Vec<String>, Vec<String>) {
    let status = status(bed, bed.any());
    (seated(&status, &["voter"]), seated(&status, &["learner"]))
}

#[test]
fn a_voter_is_evicted_and_another_that_dies_is_replaced() {
    let mut bed = Bed::mesh(4);
    let shown = status(&bed, 3);
    assert_eq!((shown["quorum"].as_u64(), shown["quorum_holds"].as_bool()), (Some(2), Some(true)), "{shown}");
    assert!(shown["members"].as_array().is_some_and(|all| all.iter().all(|one| one["flush_ms"].is_u64())), "{shown}");
    assert!(bed.cli(&["coordinator", "status"]).contains("the quorum holds, 1 more may be lost"));
    assert!(bed.cli(&["coordinator", "set", "--replace-after", "2s"]).contains("3 nodes vote"));

    // Leadership is handed over, and handed over again to whoever has most of the log.
    let (followers, learners) = others(&bed);
    let heir = bed.json(&["coordinator", "transfer", &followers[0]]);
    assert_eq!((heir["name"].as_str(), heir["state"].as_str()), (Some(followers[0].as_str()), Some("leads")), "{heir}");
    bed.wait("everybody follows it", || {
        bed.running().all(|at| seated(&status(&bed, at), &["leader"]) == followers[..1])
    });
    assert!(bed.cli(&["coordinator", "transfer"]).contains("leads the mesh now"));
    bed.wait("another leads", || {
        !seated(&status(&bed, 0), &["leader"]).is_empty() && seated(&status(&bed, 0), &["leader"]) != followers[..1]
    });
    let refused = bed.try_cli_at(0, &["coordinator", "transfer", &learners[0]]).unwrap_err();
    assert!(refused.contains("is no voter"), "{refused}");

    // An evicted voter gives its seat to the fourth, and nobody else can be evicted then.
    let (followers, learners) = others(&bed);
    let (evicted, fourth) = (followers[0].clone(), learners[0].clone());
    bed.cli(&["coordinator", "evict", &evicted]);
    bed.wait("the fourth has the seat", || {
        let now = voters(&status(&bed, bed.any()));
        now.len() == 3 && now.contains(&fourth) && !now.contains(&evicted)
    });
    let refused = bed.try_cli_at(0, &["coordinator", "evict", &fourth]).unwrap_err();
    assert!(refused.contains("keeps its seat: no other node could take it"), "{refused}");
    bed.cli(&["coordinator", "allow", &evicted]);
    let again = bed.try_cli_at(0, &["coordinator", "allow", &evicted]).unwrap_err();
    assert!(again.contains("was not evicted"), "{again}");

    // A voter that dies is replaced by the one that is allowed again, and learns when it is back.
    let number = probe::number_of(&bed, &fourth);
    fault::kill(&mut bed, number);
    bed.wait("the dead voter is replaced", || {
        let now = voters(&status(&bed, bed.any()));
        now.len() == 3 && now.contains(&evicted) && !now.contains(&fourth)
    });
    bed.restart(number);
    bed.wait("it learns", || seated(&status(&bed, bed.any()), &["learner"]) == [fourth.clone()]);
    assert!(bed.cli(&["events"]).contains("is to have no vote"));
}

#[test]
fn five_may_vote_and_the_leader_can_be_evicted() {
    let bed = Bed::mesh(6);
    bed.cli(&["coordinator", "set", "--voters", "5"]);
    bed.wait("five vote", || bed.running().all(|at| voters(&status(&bed, at)).len() == 5));
    let refused = bed.try_cli_at(0, &["coordinator", "set", "--voters", "4"]).unwrap_err();
    assert!(refused.contains("there may be 3 or 5"), "{refused}");
    let leader = bed.agents[probe::leader(&bed).unwrap()].name.clone();
    bed.cli(&["coordinator", "evict", &leader]);
    bed.wait("another leads, and the old one learns", || {
        let now = status(&bed, 0);
        voters(&now).len() == 5 && !now["leader"].is_null() && seated(&now, &["learner"]) == [leader.clone()]
    });
    bed.cli(&["policy", "set", "priority"]);
    bed.cli(&["coordinator", "set", "--voters", "3"]);
    bed.wait("three vote", || voters(&status(&bed, 0)).len() == 3);
}

#[test]
fn a_lost_majority_is_told_plainly_and_a_survivor_goes_on() {
    let mut bed = Bed::mesh(3);
    bed.cli(&["policy", "set", "priority"]);
    wait_for_voters(&bed, &["node-1", "node-2", "node-3"]);
    let leader = probe::leader(&bed).unwrap();
    let left = (leader + 1) % 3;
    let other = (leader + 2) % 3;
    fault::kill(&mut bed, leader);
    fault::kill(&mut bed, other);
    let dead = [bed.agents[leader].name.clone(), bed.agents[other].name.clone()];
    let name = bed.agents[left].name.clone();

    // What is lost, since when, and what to do.
    bed.wait("the loss is noticed", || status(&bed, left)["quorum_holds"] == false);
    let shown = bed.try_cli_at(left, &["coordinator", "status"]).unwrap();
    let failed = bed.try_cli_at(left, &["policy", "set", "fcfs"]).unwrap_err();
    for words in [&shown, &failed] {
        assert!(dead.iter().all(|name| words.contains(&format!("{name} (since "))), "{words}");
        assert!(words.contains("2 of the coordinator's 3 voters must be up, and 1 is"), "{words}");
        assert!(words.contains("`skein coordinator recover`"), "{words}");
    }

    // Nothing happens by accident.
    let refused = recover(&bed, left, &[]).unwrap_err();
    assert!(refused.contains("another agent is using the state directory"), "{refused}");
    fault::kill(&mut bed, left);
    let sure = "--i-understand-that-acknowledged-changes-may-be-lost";
    let refused = recover(&bed, left, &[]).unwrap_err();
    assert!(refused.contains("nothing was changed") && refused.contains(sure), "{refused}");
    assert!(recover(&bed, left, &[sure, "somebody"]).unwrap_err().contains("nothing was changed"));
    let done = recover(&bed, left, &[sure, &name]).unwrap();
    assert!(done.contains("is LOST") && done.contains(&format!("with {name} as its only voter")), "{done}");

    bed.restart(left);
    bed.wait("the survivor leads", || {
        voters(&status(&bed, left)) == [name.clone()] && !status(&bed, left)["leader"].is_null()
    });
    assert_eq!(bed.json_at(left, &["policy"])["policy"], "priority", "what was agreed on is there");
    bed.cli(&["policy", "set", "fcfs"]);
    let mesh = status(&bed, left)["mesh"].clone();

    // One of the old mesh that comes back is refused, says so, and does no harm.
    bed.restart(other);
    bed.wait("it says that it was given up", || {
        let given_up = status(&bed, other)["given_up"].clone();
        given_up.as_str().is_some_and(|words| words.contains(mesh.as_str().unwrap()) && words.contains("--peer"))
    });
    let failed = bed.try_cli_at(other, &["policy", "set", "exclusive"]).unwrap_err();
    assert!(failed.contains("went on as mesh"), "{failed}");
    bed.cli(&["policy", "set", "exclusive"]);

    // With its part of the old log moved away it joins anew, with the models and the name it had, and so does the third.
    fault::kill(&mut bed, other);
    for number in [other, leader] {
        std::fs::remove_dir_all(bed.state_dir(number).join("coordinator")).unwrap();
        std::fs::remove_file(bed.state_dir(number).join("mesh")).unwrap();
        bed.restart(number);
    }
    wait_for_voters(&bed, &["node-1", "node-2", "node-3"]);
    bed.wait_until_whole();
    for number in 0..3 {
        assert_eq!(status(&bed, number)["mesh"], mesh);
        assert_eq!(bed.json_at(number, &["policy"])["policy"], "exclusive");
    }
}

#[test]
fn recovering_is_refused_while_most_voters_are_there() {
    let mut bed = Bed::mesh(3);
    let leader = probe::leader(&bed).unwrap();
    let stopped = (leader + 1) % 3;
    fault::kill(&mut bed, stopped);
    let name = bed.agents[stopped].name.clone();
    let refused = recover(&bed, stopped, &["--i-understand-that-acknowledged-changes-may-be-lost", &name]).unwrap_err();
    assert!(refused.contains("nothing was changed: with this node, most voters are there"), "{refused}");
    bed.restart(stopped);
    bed.wait_until_whole();
}

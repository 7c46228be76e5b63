//! Meshes that work, and go on working when something dies.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Instant;

use skein_hil_tests::bed::{Bed, binary, clean, output, said, wait_for};
use skein_hil_tests::{fault, material, probe};

/// Runs pictures through a session at one agent, does something when the first answer is there, and gives back all that was
/// printed.
fn run_while(bed: &mut Bed, at: usize, session: &str, count: usize, meanwhile: impl FnOnce(&mut Bed)) -> String {
    let files = material::pictures(count);
    let mut arguments = vec!["run", session, "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let mut command = bed.command_at(at, &arguments);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("skein run starts");
    let mut answers = BufReader::new(running.stdout.take().expect("its output is piped"));
    let mut printed = String::new();
    answers.read_line(&mut printed).expect("its output is text");
    meanwhile(bed);
    answers.read_to_string(&mut printed).expect("its output is text");
    match said(&running.wait_with_output().expect("skein run ends")) {
        Ok(_) => printed,
        Err(error) => panic!("skein run failed: {error}\n{}", bed.logs()),
    }
}

#[test]
fn a_lone_agent_is_a_complete_mesh() {
    let mut bed = Bed::mesh(1);
    let session = probe::open_session(&bed, 2);
    let printed = run_while(&mut bed, 0, &session, 8, |_| {});
    assert_eq!(probe::check_rows(&probe::rows(&printed), 8).len(), 1);
    // Each task was submitted, sent and answered, and each step is an event of the gateway.
    let told = bed.cli(&["events", "--tasks", &session, "--json"]);
    let told = told.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("it is an object"));
    let done = told.filter(|event| event["what"] == "done" && event["why"] == "the worker answered");
    assert_eq!(done.count(), 8);
    assert!(bed.cli(&["session", "end", &session]).contains("ended"));
    let children = || fault::children(bed.agents[0].process.as_ref().unwrap().id());
    assert!(wait_for(|| children().is_empty()), "the workers of an ended session end");
}

#[test]
fn three_agents_are_three_voters_and_share_the_work() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    // The model was added at the first agent, and two different nodes have it loaded.
    let nodes = probe::ready_nodes(&bed, &session);
    assert_ne!(nodes[0], nodes[1], "fixed workers are spread over nodes");
    // Any agent takes tasks, whether it has a worker or not.
    for at in 0..3 {
        let printed = run_while(&mut bed, at, &session, 12, |_| {});
        assert_eq!(probe::check_rows(&probe::rows(&printed), 12).len(), 2, "both workers answer");
    }
}

#[test]
fn two_agents_have_one_voter_so_that_the_other_may_go() {
    let mut bed = Bed::mesh(2);
    let seats = |bed: &Bed| {
        let nodes = bed.json(&["node", "status"])["nodes"].as_array().cloned().unwrap_or_default();
        let mut seats: Vec<String> = nodes.iter().filter_map(|node| Some(node["seat"].as_str()?.to_owned())).collect();
        seats.sort();
        seats
    };
    bed.wait("one leads and one learns", || seats(&bed) == ["leader", "learner"]);
    let learner = 1 - probe::leader(&bed).unwrap();
    fault::kill(&mut bed, learner);
    let session = probe::open_session(&bed, 1);
    let printed = run_while(&mut bed, 1 - learner, &session, 4, |_| {});
    probe::check_rows(&probe::rows(&printed), 4);
}

#[test]
fn a_killed_node_loses_no_task() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    let leader = probe::leader(&bed).unwrap();
    let nodes = probe::ready_nodes(&bed, &session);
    let victim = nodes.iter().map(|name| probe::number_of(&bed, name)).find(|number| *number != leader).unwrap();
    let gateway = (0..3).find(|number| *number != victim && *number != leader).unwrap();
    let printed = run_while(&mut bed, gateway, &session, 120, |bed| fault::kill(bed, victim));
    probe::check_rows(&probe::rows(&printed), 120);
    // The third node takes over, and the killed one comes back as a voter.
    probe::wait_for_workers(&bed, &session, 2);
    let dead = bed.agents[victim].name.clone();
    assert!(!probe::ready_nodes(&bed, &session).contains(&dead));
    bed.restart(victim);
    bed.wait_until_whole();
}

#[test]
fn a_killed_leader_is_replaced_while_the_stream_goes_on() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    let leader = probe::leader(&bed).unwrap();
    let gateway = (0..3).find(|number| *number != leader).unwrap();
    let printed = run_while(&mut bed, gateway, &session, 120, |bed| fault::kill(bed, leader));
    probe::check_rows(&probe::rows(&printed), 120);
    bed.wait("there is another leader", || probe::leader(&bed).is_some_and(|now| now != leader));
    // What the old leader had committed is still there, and more can be committed.
    let second = bed.cli(&["session", "create", "--model", "lite0@1", "-q"]);
    assert_eq!(second.trim(), (session.parse::<u64>().unwrap() + 1).to_string());
}

#[test]
fn a_client_goes_on_at_another_agent_when_its_gateway_dies() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    let leader = probe::leader(&bed).unwrap();
    let gateway = (0..3).find(|number| *number != leader).unwrap();
    let printed = run_while(&mut bed, gateway, &session, 120, |bed| fault::kill(bed, gateway));
    probe::check_rows(&probe::rows(&printed), 120);
}

#[test]
fn a_killed_worker_process_is_started_again_and_its_tasks_with_it() {
    let mut bed = Bed::mesh(1);
    let session = probe::open_session(&bed, 1);
    let agent = bed.agents[0].process.as_ref().unwrap().id();
    let worker = fault::children(agent)[0];
    let printed = run_while(&mut bed, 0, &session, 60, |_| fault::kill_process(worker));
    probe::check_rows(&probe::rows(&printed), 60);
    assert!(wait_for(|| !fault::children(agent).is_empty() && !fault::children(agent).contains(&worker)));
}

#[test]
fn a_worker_ends_with_its_agent() {
    let mut bed = Bed::mesh(1);
    probe::open_session(&bed, 2);
    let workers = fault::children(bed.agents[0].process.as_ref().unwrap().id());
    assert_eq!(workers.len(), 2);
    fault::kill(&mut bed, 0);
    assert!(wait_for(|| !workers.iter().any(|id| fault::signal(*id, "0"))), "no worker outlives its agent");
}

#[test]
fn everything_agreed_on_outlives_a_restart_of_all() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    let before = bed.json(&["node", "status"])["mesh"].clone();
    for number in 0..3 {
        fault::kill(&mut bed, number);
    }
    for number in 0..3 {
        bed.restart(number);
    }
    bed.wait_until_whole();
    assert_eq!(bed.json(&["node", "status"])["mesh"], before, "it is the same mesh");
    probe::wait_for_workers(&bed, &session, 2);
    let printed = run_while(&mut bed, 0, &session, 8, |_| {});
    probe::check_rows(&probe::rows(&printed), 8);
}

#[test]
fn a_session_that_ends_fails_what_still_comes_and_says_so() {
    let bed = Bed::mesh(1);
    let session = probe::open_session(&bed, 1);
    let files = material::pictures(400);
    let mut arguments = vec!["run", session.as_str(), "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let mut command = bed.command_at(0, &arguments);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("skein run starts");
    let mut answers = BufReader::new(running.stdout.take().expect("its output is piped"));
    let mut printed = String::new();
    answers.read_line(&mut printed).expect("its output is text");
    bed.cli(&["session", "end", &session]);
    let begin = Instant::now();
    answers.read_to_string(&mut printed).expect("its output is text");
    assert!(!running.wait().expect("skein run ends").success());
    assert!(begin.elapsed().as_secs() < 30, "the rest fails at once, not by patience");
    let rows = probe::rows(&printed);
    assert_eq!(rows.len(), 400, "each file has its row");
    let last = rows[399]["error"].as_str().unwrap_or_default();
    assert!(last.contains("ended before the task did"), "{last}");
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let mut command = clean(std::process::Command::new(binary()));
    command.args(["demo", "--json", "--material"]).arg(material::directory()).env("TMPDIR", place.path());
    let mut demo = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the demo starts");
    assert!(wait_for(|| fault::children(demo.id()).len() == 3), "the demo starts three agents");
    let agents = fault::children(demo.id());
    assert!(fault::signal(demo.id(), "INT"));
    assert!(!demo.wait().unwrap().success(), "an interrupted demo is no success");
    assert!(wait_for(|| !agents.iter().any(|id| fault::signal(*id, "0"))), "its agents are gone");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "its files are gone");
}

#[test]
fn settings_come_from_flags_then_variables_then_the_file() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("skein.toml");
    std::fs::write(&file, "name = 'of-the-file'\nlabel = ['zone=file']\nlisten = '127.0.0.1:0'\n").unwrap();
    let mut command = clean(std::process::Command::new(binary()));
    command.args(["agent", "--state-dir", place.path().to_str().unwrap(), "--config", file.to_str().unwrap()]);
    command.args(["--gossip-listen", "127.0.0.1:0", "--end-with-parent"]);
    command.env("SKEIN_NAME", "of-the-variable").stderr(Stdio::null());
    let mut agent = command.spawn().expect("the agent starts");
    let address = place.path().join("address");
    assert!(wait_for(|| address.exists()));
    let address = std::fs::read_to_string(address).unwrap();
    let nodes = || {
        let mut status = clean(std::process::Command::new(binary()));
        let status = output(status.args(["--address", address.trim(), "node", "status", "--json"]));
        serde_json::from_slice::<serde_json::Value>(&status.stdout).unwrap_or_default()["nodes"][0].clone()
    };
    let shown = wait_for(|| nodes()["name"] == "of-the-variable" && nodes()["labels"]["zone"] == "file");
    let _ = agent.kill();
    let _ = agent.wait();
    assert!(shown, "the variable is stronger than the file, and the file sets the rest");
}

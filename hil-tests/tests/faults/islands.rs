//! Nodes that lose the mesh together with a client of theirs, and go on by themselves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skein_hil_tests::bed::host;
use skein_hil_tests::trial::Trial;
use skein_hil_tests::{fault, material, probe};

use crate::cast::cast;

/// A mesh of three whose session goes on for so long without the mesh.
fn mesh(name: &str, offline: &str) -> Option<Trial> {
    let mut bed = Trial::hosts(name, 3)?;
    for _ in 0..3 {
        bed.start();
    }
    Some(Trial::with_session(name, bed, &["--offline", offline]))
}

/// How the session stands at an agent, as somebody beside it sees it; null where the agent has the mesh.
fn island(trial: &Trial, agent: usize) -> Value {
    trial.bed.json_beside(agent, &["session", "status", &trial.session])[0]["island"].clone()
}

/// Waits until the leader has taken an agent down and given its worker's place to another.
fn wait_until_given_up(trial: &Trial, agent: usize) {
    let name = trial.bed.agents[agent].name.clone();
    let other = (0..3).find(|number| *number != agent).expect("there are three");
    trial.bed.wait("the mesh has given the node up", || {
        let mesh = trial.bed.json_at(other, &["node", "status"]);
        let nodes = mesh["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().any(|node| node["name"] == name.as_str() && node["up"] == false && node["workers"] == 0)
    });
}

#[test]
fn a_node_that_is_cut_off_goes_on_for_the_client_beside_it() {
    let Some(mut trial) = mesh("a node with a worker and a client is cut off", "unlimited") else { return };
    let cast = cast(&trial);
    trial.work_beside(cast.worker);
    let cut = trial.fails();
    trial.bed.lan().set_link(host(cast.worker), false);
    wait_until_given_up(&trial, cast.worker);
    trial.bed.wait("it knows that it is alone", || island(&trial, cast.worker)["goes_on"] == true);
    trial.wait_until_tasks_flow();
    // Many times what the mesh waits before it gives a node up.
    trial.bed.wait("ten seconds are over", || cut.elapsed() >= Duration::from_secs(10));
    trial.wait_until_tasks_flow();
    trial.bed.lan().set_link(host(cast.worker), true);
    trial.heals();
    trial.bed.wait("it knows that the mesh is back", || island(&trial, cast.worker).is_null());
    trial.end();
}

#[test]
fn a_node_that_is_cut_off_for_too_long_stops_and_says_so_also_after_a_restart() {
    let Some(mut trial) = mesh("a node is cut off for longer than its session allows", "8s") else { return };
    let cast = cast(&trial);
    trial.work_beside(cast.worker);
    let cut = trial.fails();
    trial.bed.lan().set_link(host(cast.worker), false);
    trial.bed.wait("it knows that it is alone", || island(&trial, cast.worker)["goes_on"] == true);
    trial.wait_until_tasks_flow();
    trial.bed.wait("it stops", || island(&trial, cast.worker)["goes_on"] == false);
    // Counted from the last word of the leader, which came before the cable was pulled.
    assert!(cut.elapsed() >= Duration::from_secs(7), "it stopped after {:?}", cut.elapsed());
    stays_stopped(&trial, cast.worker);
    trial.bed.wait("its worker ends", || {
        fault::children(trial.bed.agents[cast.worker].process.as_ref().expect("the agent runs").id()).is_empty()
    });

    // A restart gives no time back.
    fault::kill(&mut trial.bed, cast.worker);
    trial.bed.launch(cast.worker);
    trial.bed.wait("it answers", || island(&trial, cast.worker)["goes_on"] == false);
    stays_stopped(&trial, cast.worker);

    trial.bed.lan().set_link(host(cast.worker), true);
    trial.heals();
    trial.end();
}

/// Whoever asks the agent is told, and whoever brings tasks is refused at once.
fn stays_stopped(trial: &Trial, agent: usize) {
    let told = |arguments: &[&str]| trial.bed.try_cli_beside(agent, arguments).unwrap_or_else(|error| error);
    let nodes = told(&["node", "status"]);
    assert!(nodes.contains("has been cut off from the mesh for") && nodes.contains("may not go on"), "{nodes}");
    let session = told(&["session", "status", &trial.session]);
    assert!(session.contains("has stopped") && session.contains("`offline` setting"), "{session}");
    let picture = &material::pictures(1)[0];
    let refused = trial.bed.try_cli_beside(agent, &["run", &trial.session, picture]);
    let refused = refused.expect_err("nothing runs here");
    assert!(refused.contains("cut off from the mesh") && refused.contains("`offline` setting"), "{refused}");
}

#[test]
fn a_node_that_starts_without_a_network_goes_on_with_what_it_held() {
    let name = "a node with a worker is killed and starts without a network";
    let Some(mut trial) = mesh(name, "1h") else { return };
    let worker = cast(&trial).worker;
    trial.bed.lan().set_link(host(worker), false);
    wait_until_given_up(&trial, worker);
    fault::kill(&mut trial.bed, worker);
    let start = Instant::now();
    trial.bed.launch(worker);
    // A mesh that it cannot ask; a plan, a model and a client that are where it is.
    let (picture, colour) = &material::photographs()[0];
    let picture = picture.to_str().expect("test paths are UTF-8");
    let mut rows = Vec::new();
    trial.bed.wait("it works", || {
        let answer = trial.bed.try_cli_beside(worker, &["run", &trial.session, picture, "--json"]);
        rows = probe::rows(&answer.unwrap_or_default());
        !rows.is_empty()
    });
    let gap = start.elapsed().as_secs_f64() * 1e3;
    let right = rows[0]["classes"][0]["label"] == *colour;
    println!(
        "{}",
        json!({
            "metric": "gap_ms", "value": gap, "unit": "ms", "goal": null, "ok": right, "fault": name, "gap_ms": gap, "repeated": 0,
            "lost": 0, "duplicates": 0, "tasks": 1,
        })
    );
    assert!(right, "{rows:?}");
    let durable = trial.bed.try_cli_beside(worker, &["run", &trial.session, "--durable", "--detach", picture]);
    let durable = durable.expect_err("nobody can promise it");
    assert!(durable.contains("cut off") && durable.contains("majority"), "{durable}");
    trial.bed.lan().set_link(host(worker), true);
    trial.bed.wait_until_whole();
}

#[test]
fn what_an_island_did_for_a_gateway_beyond_the_cut_is_counted_and_not_delivered_twice() {
    let Some(mut trial) = mesh("a node is cut off with attempts of a gateway elsewhere", "1h") else { return };
    let cast = cast(&trial);
    trial.work_at(&[cast.other, cast.leader]);
    trial.fails();
    trial.bed.lan().set_link(host(cast.worker), false);
    trial.bed.wait("it knows that it is alone", || island(&trial, cast.worker)["goes_on"] == true);
    trial.wait_until_tasks_flow();
    // The account looks around every five seconds: it has to find the node alone.
    let alone = Instant::now();
    trial.bed.wait("its account has looked around", || alone.elapsed() >= Duration::from_secs(6));
    trial.bed.lan().set_link(host(cast.worker), true);
    trial.heals();
    trial.bed.wait("the mesh has its account", || {
        let status = trial.bed.json_at(cast.other, &["session", "status", &trial.session]);
        status[0]["islands"]["repeated"].as_u64().is_some_and(|repeated| repeated > 0)
    });
    trial.end();
}

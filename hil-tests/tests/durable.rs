//! Durable tasks: what was accepted outlives the client, its gateway, the worker, the leader and a power cut, and each task
//! has one end.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};

use serde_json::Value;
use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::{material, probe, simulated};

/// Has so many pictures accepted by an agent. The stream's name.
fn accept(bed: &Bed, agent: usize, session: &str, count: usize) -> String {
    let files = material::pictures(count);
    let mut arguments = vec!["run", session, "--durable", "--detach", "-q"];
    arguments.extend(files.iter().map(String::as_str));
    let said = bed.try_cli_at(agent, &arguments).unwrap_or_else(|error| panic!("{error}\n{}", bed.logs()));
    said.trim().to_owned()
}

fn status(bed: &Bed, stream: &str) -> Value {
    bed.json(&["task", "status", stream])[0].clone()
}

fn count(bed: &Bed, stream: &str, of: &str) -> u64 {
    status(bed, stream)[of].as_u64().unwrap_or_default()
}

/// Fetches every end of a stream at any agent: each picture once, each with the right answer. Those that took more than one
/// attempt.
fn fetch_all(bed: &Bed, stream: &str, expected: usize) -> usize {
    let fetched = bed.cli(&["task", "fetch", stream, "--wait", "--json"]);
    let rows = probe::rows(&fetched);
    probe::check_rows(&rows, expected);
    let refused =
        bed.try_cli_at(bed.any(), &["task", "status", stream]).expect_err("it is forgotten once it was fetched");
    assert!(refused.contains("no stream") && refused.contains("skein task status"), "{refused}");
    // A gateway's first attempt has the number 1, and that of the second one 4097: so all others were tries again.
    rows.iter().filter(|row| row["attempt"].as_u64().is_none_or(|attempt| attempt % 4096 != 1)).count()
}

fn kill(bed: &mut Bed, number: usize) {
    let mut process = bed.agents[number].process.take().expect("the agent runs");
    process.kill().expect("the agent can be killed");
    process.wait().expect("the agent ends");
}

/// Waits until a stream is under way, so that what is killed has something of it in hand.
fn wait_until_under_way(bed: &Bed, stream: &str, all: u64) {
    bed.wait("some tasks have ended, and not all", || {
        let done = count(bed, stream, "done");
        assert!(done < all, "the tasks ended before anything could be killed");
        done > 0
    });
}

#[test]
fn a_durable_run_shows_every_answer_and_leaves_nothing_behind() {
    let bed = Bed::mesh(2);
    let session = probe::open_session(&bed, 1);
    let files = material::pictures(6);
    let mut arguments = vec!["run", &session, "--durable", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    probe::check_rows(&probe::rows(&bed.cli(&arguments)), 6);
    assert_eq!(bed.cli(&["task", "status", "-q"]).trim(), "");
    let events = bed.cli(&["events"]);
    assert!(
        events.contains("is forgotten: 6 done, 0 failed") && events.contains("its client has everything"),
        "{events}"
    );

    // A picture is too large for the log: it is in a file on both nodes.
    let stream = accept(&bed, 0, &session, 2);
    let kept = |number: usize| std::fs::read_dir(bed.state_dir(number).join("tasks")).map_or(0, Iterator::count);
    assert!(kept(0) >= 2 && kept(1) >= 2, "{} and {} files", kept(0), kept(1));
    bed.wait("both have ended", || count(&bed, &stream, "done") == 2);
    let shown = bed.cli(&["task", "status"]);
    assert!(["STREAM", "ACCEPTED", &stream, "2 until 20"].iter().all(|word| shown.contains(word)), "{shown}");
    assert_eq!(fetch_all(&bed, &stream, 2), 0);
}

#[test]
fn accepted_tasks_outlive_their_gateway_their_worker_and_their_leader() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    // 1. The gateway that runs them, which holds their inputs.
    let stream = accept(&bed, 2, &session, 40);
    wait_until_under_way(&bed, &stream, 40);
    let gateway = probe::number_of(&bed, status(&bed, &stream)["gateway_name"].as_str().expect("it has a name"));
    kill(&mut bed, gateway);
    fetch_all(&bed, &stream, 40);
    bed.restart(gateway);
    bed.wait_until_whole();

    // 2. A node that holds a worker, and is not the gateway.
    probe::wait_for_workers(&bed, &session, 2);
    let holders: Vec<usize> =
        probe::ready_nodes(&bed, &session).iter().map(|name| probe::number_of(&bed, name)).collect();
    let others = bed.running().find(|number| *number != holders[0]).expect("three agents run");
    let stream = accept(&bed, others, &session, 40);
    wait_until_under_way(&bed, &stream, 40);
    kill(&mut bed, holders[0]);
    fetch_all(&bed, &stream, 40);
    bed.restart(holders[0]);
    bed.wait_until_whole();

    // 3. The leader.
    probe::wait_for_workers(&bed, &session, 2);
    let leader = probe::leader(&bed).expect("somebody leads");
    let other = bed.running().find(|number| *number != leader).expect("three agents run");
    let stream = accept(&bed, other, &session, 40);
    wait_until_under_way(&bed, &stream, 40);
    kill(&mut bed, leader);
    fetch_all(&bed, &stream, 40);
}

#[test]
fn accepted_tasks_outlive_a_power_cut() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    let stream = accept(&bed, 0, &session, 40);
    wait_until_under_way(&bed, &stream, 40);
    let all: Vec<usize> = bed.running().collect();
    for number in &all {
        kill(&mut bed, *number);
    }
    // Nobody answers before a majority is back.
    for number in all {
        bed.restart(number);
    }
    bed.wait_until_whole();
    assert_eq!(count(&bed, &stream, "accepted"), 40);
    fetch_all(&bed, &stream, 40);
}

/// Opens a session of one worker for tasks of three seconds, which write a checkpoint each tenth of a second.
fn open_long_session(bed: &Bed) -> String {
    simulated::open(bed, "long", "latency_ms = 3000\nsteps = 30", &[])
}

/// Waits until the one pending task of a stream has several checkpoints at its gateway, and one at least in the mesh.
fn wait_until_far(bed: &Bed, gateway: usize, session: &str, stream: &str) {
    bed.wait("the task is under way", || {
        let told = bed.try_cli_at(gateway, &["events", "--tasks", session, "--json"]).unwrap_or_default();
        let is_kept = |event: &&Value| event["what"] == "checkpointed" && event["task"]["stream"] == *stream;
        let kept = probe::rows(&told).iter().filter(is_kept).count();
        kept >= 5 && count(bed, stream, "checkpointed") == 1
    });
}

/// What part of the one task of a stream its last attempt took over from the one before, and the number of that attempt.
fn taken_over(bed: &Bed, stream: &str) -> (f64, u64) {
    let rows = probe::rows(&bed.cli(&["task", "fetch", stream, "--wait", "--json"]));
    let [row] = &rows[..] else { panic!("there is one task: {rows:?}") };
    let classes = row["classes"].as_array().cloned().unwrap_or_default();
    let part =
        classes.iter().find(|class| class["label"] == simulated::TAKEN_OVER).and_then(|class| class["score"].as_f64());
    (part.unwrap_or_default(), row["attempt"].as_u64().unwrap_or_default())
}

#[test]
fn a_long_task_goes_on_from_its_checkpoint_when_its_worker_or_its_gateway_is_lost() {
    let mut bed = Bed::mesh(3);
    let session = open_long_session(&bed);
    // 1. The node of its worker is lost: the gateway has the checkpoint.
    let worker = probe::number_of(&bed, &probe::ready_nodes(&bed, &session)[0]);
    let gateway = bed.running().find(|number| *number != worker).expect("three agents run");
    let stream = accept(&bed, gateway, &session, 1);
    wait_until_far(&bed, gateway, &session, &stream);
    kill(&mut bed, worker);
    let (part, attempt) = taken_over(&bed, &stream);
    assert!(part > 4.5 / 30.0 && attempt == 2, "attempt {attempt} took over {part}\n{}", bed.logs());
    bed.restart(worker);
    bed.wait_until_whole();

    // 2. Its gateway is lost, and it with all that it knew: the mesh has the checkpoint.
    probe::wait_for_workers(&bed, &session, 1);
    let worker = probe::number_of(&bed, &probe::ready_nodes(&bed, &session)[0]);
    let gateway = bed.running().find(|number| *number != worker).expect("three agents run");
    let stream = accept(&bed, gateway, &session, 1);
    wait_until_far(&bed, gateway, &session, &stream);
    kill(&mut bed, gateway);
    let (part, attempt) = taken_over(&bed, &stream);
    assert!(part > 0.0 && attempt == 4_097, "attempt {attempt} took over {part}\n{}", bed.logs());
}

/// Starts a client that waits for 40 pictures.
fn start(bed: &Bed, agent: usize, session: &str, json: bool) -> Child {
    let files = material::pictures(40);
    let mut arguments = vec!["run", session, "--durable"];
    arguments.extend(json.then_some("--json"));
    arguments.extend(files.iter().map(String::as_str));
    let mut command = bed.command_at(agent, &arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("skein run starts")
}

/// The one stream there is.
fn named(bed: &Bed) -> Option<String> {
    bed.cli(&["task", "status", "-q"]).split_whitespace().next().map(str::to_owned)
}

/// Kills a client once something of its stream was fetched or done. The stream, and what the client had printed.
fn kill_client(bed: &Bed, mut client: Child, of: &str) -> (String, String) {
    bed.wait("its tasks are accepted", || {
        named(bed).is_some_and(|stream| count(bed, &stream, "accepted") == 40 && count(bed, &stream, of) > 0)
    });
    client.kill().expect("the client can be killed");
    let output = client.wait_with_output().expect("the client ends");
    (named(bed).expect("the mesh has its stream"), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_client_that_is_killed_leaves_its_tasks_to_the_mesh_and_one_that_loses_its_agent_goes_on() {
    let mut bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    let fetch = |stream: &str| probe::rows(&bed.cli(&["task", "fetch", stream, "--wait", "--json"]));

    // What it had told the mesh to have may come again only where that was still on its way; what it had not shown must come.
    let (stream, shown) = kill_client(&bed, start(&bed, 0, &session, true), "fetched");
    let fetched = usize::try_from(count(&bed, &stream, "fetched")).expect("a few");
    let rows = fetch(&stream);
    probe::check_rows(&rows, rows.len());
    assert!(rows.len() + fetched <= 40, "{} and {fetched}", rows.len());
    let shown = probe::rows(shown.rsplit_once('\n').map_or("", |(whole, _)| whole));
    probe::check_rows(&shown, shown.len());
    let times = |file: &Value, rows: &[Value]| rows.iter().filter(|row| row["file"] == *file).count();
    for file in material::pictures(40).into_iter().collect::<BTreeSet<_>>() {
        let all = material::pictures(40).iter().filter(|picture| **picture == file).count();
        let file = Value::from(file);
        assert!(times(&file, &shown) + times(&file, &rows) >= all, "{file}: {shown:?} and {rows:?}");
    }

    // One that makes a table of its answers had shown none yet.
    let (stream, shown) = kill_client(&bed, start(&bed, 0, &session, false), "done");
    assert_eq!(shown, "");
    probe::check_rows(&fetch(&stream), 40);

    // Its agent is lost while it waits: it goes on at another, and every answer is shown once.
    let client = start(&bed, 0, &session, true);
    bed.wait("its tasks are accepted", || named(&bed).is_some_and(|stream| count(&bed, &stream, "accepted") == 40));
    kill(&mut bed, 0);
    let output = client.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "{}", bed.logs());
    probe::check_rows(&probe::rows(&String::from_utf8_lossy(&output.stdout)), 40);
}

#[test]
fn what_cannot_be_is_said_and_a_session_s_end_ends_its_tasks() {
    let bed = Bed::mesh(1);
    let refused = |arguments: &[&str], words: &[&str]| {
        let error = bed.try_cli_at(0, arguments).expect_err("it must be refused");
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains("panicked"), "{arguments:?}: {error}");
    };
    let picture = &material::pictures(1)[0];
    refused(&["run", "7", "--durable", picture], &["no session 7"]);
    refused(&["task", "fetch", "00000000000000aa"], &["no stream 00000000000000aa", "skein task status"]);
    refused(&["task", "status", "soup"], &["soup"]);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    // No worker ever comes: what is accepted waits.
    let create = ["session", "create", "--model", "lite0", "--fixed", "1", "--memory", "2000GiB", "-q"];
    let session = bed.cli(&create).trim().to_owned();
    refused(&["run", &session, "--detach", picture], &["--durable"]);
    refused(&["run", &session, "--durable", "--keep", "90d", picture], &["30 days"]);
    refused(&["run", &session, "--durable", "/no/such/file.png"], &["1 of 1", "no answer"]);
    refused(
        &["run", &session, "--durable", "--detach", picture, "/no/such.png"],
        &["1 files were not sent", "/no/such.png"],
    );
    let stream = accept(&bed, 0, &session, 3);
    assert_eq!(count(&bed, &stream, "pending"), 3);
    bed.cli(&["session", "end", &session]);
    let error = bed.try_cli_at(0, &["task", "fetch", &stream]).expect_err("they have no answers");
    assert!(error.contains("3 of 3 tasks have no answer"), "{error}");
}

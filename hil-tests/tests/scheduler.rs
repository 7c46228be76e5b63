//! The scheduler on a running mesh of three agents, as an operator sees it: by the command line alone.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::{material, probe};

/// A worker of these tests: so little that a few of them run on the two cores of a test machine. What it is given is only
/// for planning.
const SMALL: [&str; 4] = ["--cpu", "500", "--memory", "128"];

/// How often the shares are looked at, and how far their ratio may be from three in all: one look of five in an exchange of a worker.
const SHARE_LOOKS: u32 = 30;
const SHARE_ERROR: f64 = 0.6;

/// Three agents that each offer room for so many small workers, and the bundled model.
fn mesh_with_room_for(workers: usize) -> Bed {
    let cpu = (500 * workers).to_string();
    let bed = Bed::mesh_with(3, &["--offer-cpu", &cpu, "--offer-memory", "2GiB"]);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    bed
}

/// Opens a session of small workers. Its number.
fn create(bed: &Bed, flags: &[&str]) -> String {
    let arguments = [&["session", "create", "--model", "lite0", "-q"], &SMALL[..], flags].concat();
    bed.cli(&arguments).trim().to_owned()
}

fn status(bed: &Bed, session: &str) -> Value {
    bed.json(&["session", "status", session])[0].clone()
}

fn serving(bed: &Bed, session: &str) -> u32 {
    let serving = status(bed, session)["serving"].as_u64();
    u32::try_from(serving.unwrap_or_default()).expect("a session has at most 4096 workers")
}

/// Pictures that run through a session.
struct Running {
    child: Child,
    answers: BufReader<ChildStdout>,
    printed: String,
}

impl Running {
    /// Starts them, and waits for the first answer.
    fn start(bed: &Bed, session: &str, count: usize) -> Self {
        let files = material::pictures(count);
        let mut arguments = vec!["run", session, "--json"];
        arguments.extend(files.iter().map(String::as_str));
        let mut command = bed.command_at(0, &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("skein run starts");
        let mut answers = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut printed = String::new();
        answers.read_line(&mut printed).expect("its output is text");
        Self { child, answers, printed }
    }

    /// All rows, when it is done.
    fn rows(mut self) -> Vec<Value> {
        self.answers.read_to_string(&mut self.printed).expect("its output is text");
        assert!(self.child.wait().expect("skein run ends").success(), "{}", self.printed);
        probe::rows(&self.printed)
    }
}

/// A test that fails leaves no client behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "it should say '{word}': {text}");
    }
    assert!(!text.contains("panicked"), "an error is no panic: {text}");
}

/// The error of a command, which must say each of these.
fn refused(bed: &Bed, arguments: &[&str], words: &[&str]) {
    let error = bed.try_cli_at(bed.any(), arguments).expect_err(&format!("{arguments:?} must be refused"));
    says(&error, words);
}

/// All events that are kept.
fn events(bed: &Bed) -> Vec<Value> {
    let printed = bed.cli(&["events", "--json"]);
    printed.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

#[expect(clippy::print_stdout, reason = "`cargo xtask hil --json` reads what a test measured from there")]
fn measured(metric: &str, value: f64, unit: &str, goal: Option<f64>, ok: bool) {
    println!("{}", json!({ "metric": metric, "value": value, "unit": unit, "goal": goal, "ok": ok }));
}

#[test]
fn spare_workers_are_divided_by_shares() {
    let bed = mesh_with_room_for(2);
    let one = create(&bed, &["--fixed", "1", "--share", "1", "--max", "6"]);
    let three = create(&bed, &["--fixed", "1", "--share", "3", "--max", "6"]);
    for session in [&one, &three] {
        probe::wait_for_workers(&bed, session, 1);
    }
    assert_eq!((serving(&bed, &one), serving(&bed, &three)), (1, 1), "nothing is given before tasks come");

    let begin = Instant::now();
    let loads = [Running::start(&bed, &one, 2_000), Running::start(&bed, &three, 2_000)];
    // Six places, two of them for the fixed workers: the four others are to be one to three.
    let spare = |bed: &Bed| (serving(bed, &one).saturating_sub(1), serving(bed, &three).saturating_sub(1));
    let mut seen = (0, 0);
    bed.wait("all places are taken", || {
        seen = spare(&bed);
        seen.0 + seen.1 == 4
    });
    measured("places_taken_s", begin.elapsed().as_secs_f64(), "s", None, true);
    // Whoever came first may have had more, and an exchange takes the time of a grace and of a start.
    bed.wait("they are divided", || spare(&bed) == (1, 3));
    // What each has from then on, look after look.
    let (mut sums, mut looks) = ((0, 0), 0);
    bed.wait("the shares were looked at long enough", || {
        seen = spare(&bed);
        sums = (sums.0 + seen.0, sums.1 + seen.1);
        looks += 1;
        looks == SHARE_LOOKS
    });
    let ratio = f64::from(sums.1) / f64::from(sums.0.max(1));
    let is_right = (ratio - 3.0).abs() <= SHARE_ERROR;
    measured("spare_workers_ratio", ratio, "1", Some(3.0), is_right);
    assert!(is_right, "of {looks} looks at four spare workers, one has {} and three {}", sums.0, sums.1);
    assert_eq!(seen, (1, 3), "and that is how it stays");
    probe::wait_for_workers(&bed, &three, 4);
    for (session, share, serving) in [(&one, 1, 2), (&three, 3, 4)] {
        let shown = status(&bed, session);
        assert_eq!((&shown["share"], &shown["serving"]), (&share.into(), &serving.into()), "{shown}");
        assert!(shown["wanted"].as_u64() >= shown["serving"].as_u64(), "it wants what it has, and more: {shown}");
        says(&bed.cli(&["explain", "session", session]), &[&format!("{serving} workers of 1 fixed"), "cpu are left"]);
    }
    says(&bed.cli(&["session", "status"]), &["SHARE", "WANTED", "SERVING"]);

    drop(loads);
    bed.wait("what is idle is given back", || (serving(&bed, &one), serving(&bed, &three)) == (1, 1));
    // Nobody needs the room, so what was given back may still be loaded; it takes no tasks.
    let workers = status(&bed, &three)["workers"].as_array().cloned().unwrap_or_default();
    assert!(workers.iter().filter(|worker| worker["duty"] == "serving").count() == 1, "{workers:?}");
    assert!(workers.iter().all(|worker| worker["duty"] == "serving" || worker["duty"] == "warm"), "{workers:?}");
}

#[test]
fn a_higher_priority_takes_the_place_of_a_lower_one_and_gives_it_back() {
    let bed = mesh_with_room_for(1);
    let low = create(&bed, &["--fixed", "3", "--priority", "20", "--grace", "30s"]);
    probe::wait_for_workers(&bed, &low, 3);
    let running = Running::start(&bed, &low, 120);

    // What would happen, said beforehand; and nothing happens.
    let file = bed.path("session.toml");
    let wish = "model = 'lite0'\nfixed = 1\npriority = 80\npolicy = 'preemptive'\ncpu = 500\nmemory = '128MiB'\n";
    std::fs::write(&file, wish).unwrap();
    let before = events(&bed).len();
    let forecast = bed.json(&["plan", "-f", text(&file)]);
    assert_eq!(forecast["outcome"], "preempts", "{forecast}");
    let victims = forecast["victims"].as_array().cloned().unwrap_or_default();
    assert_eq!(victims.len(), 1, "{forecast}");
    assert_eq!((victims[0]["session"].to_string(), &victims[0]["grace"]), (low.clone(), &30_000.into()), "{forecast}");
    let shown = bed.cli(&["plan", "-f", text(&file)]);
    says(&shown, &["Would have to leave", "30s", "a higher priority", "Nothing was changed"]);
    assert_eq!(bed.cli(&["plan", "-f", text(&file), "-q"]).trim(), "preempts");
    assert_eq!(bed.cli(&["session", "status", "-q"]).trim(), low);
    assert!(!events(&bed)[before..].iter().any(|event| event["what"].as_str().unwrap_or("").contains("session")));

    let begin = Instant::now();
    let high = bed.cli(&["session", "create", "-f", text(&file), "-q"]).trim().to_owned();
    probe::wait_for_workers(&bed, &high, 1);
    measured("preempted_s", begin.elapsed().as_secs_f64(), "s", None, true);
    // Those that are busy have their work ended first, and the session that waits again says whom it waits for.
    let shown = status(&bed, &low);
    assert_eq!((&shown["serving"], &shown["evicted"]), (&2.into(), &1.into()), "{shown}");
    assert!(!shown["lacking_since"].is_null() && !shown["waiting_for"].as_array().unwrap().is_empty(), "{shown}");
    says(
        &bed.cli(&["session", "status", &low]),
        &["2 of 3", "taken from it for a higher priority", "no worker on node-"],
    );
    says(&bed.cli(&["explain", "session", &low]), &["No place for one more worker now", "0m cpu are left"]);
    let worker = status(&bed, &high)["workers"][0]["worker"].to_string();
    says(&bed.cli(&["explain", "worker", &worker]), &[&format!("Worker {worker} of session {high}"), "preemptive"]);
    let high_number: u64 = high.parse().expect("a session has a number");
    let left = |event: &&Value| event["event"]["WorkerLeaving"]["why"]["preempted"]["by"] == high_number;
    assert_eq!(events(&bed).iter().filter(left).count(), 1, "one had to leave, and was told why");

    bed.cli(&["session", "end", &high]);
    probe::wait_for_workers(&bed, &low, 3);
    assert_eq!(status(&bed, &low)["evicted"], 0);
    let rows = running.rows();
    probe::check_rows(&rows, 120);
    let repeated = u32::try_from(rows.iter().filter(|row| row["attempt"].as_u64() > Some(1)).count()).unwrap();
    measured("preempted_tasks_run_again", f64::from(repeated), "tasks", Some(0.0), repeated == 0);
    assert_eq!(repeated, 0, "the grace was long enough to finish");
}

#[test]
fn a_blocked_node_loses_its_workers_at_once() {
    let bed = mesh_with_room_for(2);
    let session = create(&bed, &["--fixed", "2"]);
    probe::wait_for_workers(&bed, &session, 2);
    let victim = probe::ready_nodes(&bed, &session)[0].clone();
    let running = Running::start(&bed, &session, 60);

    let begin = Instant::now();
    let said = bed.cli(&["node", "block", &victim, "--reason", "the fan is loud"]);
    says(&said, &[&victim, "blocked"]);
    assert!(!probe::ready_nodes(&bed, &session).contains(&victim), "it has no worker from that moment on");
    probe::wait_for_workers(&bed, &session, 2);
    measured("moved_after_block_s", begin.elapsed().as_secs_f64(), "s", None, true);
    assert!(!probe::ready_nodes(&bed, &session).contains(&victim));
    // The reason is told wherever somebody may ask: of the node, and of a session that lacks a worker for it.
    let wide = create(&bed, &["--fixed", "4"]);
    probe::wait_for_workers(&bed, &wide, 2);
    says(&bed.cli(&["node", "status"]), &["blocked: the fan is loud (the operator, since 20"]);
    let nodes = bed.json(&["node", "status"])["nodes"].clone();
    let node = nodes.as_array().into_iter().flatten().find(|node| node["name"] == victim.as_str()).cloned();
    let block = node.map(|node| node["block"].clone()).unwrap_or_default();
    assert_eq!((&block["reason"], &block["by"]), (&"the fan is loud".into(), &"operator".into()), "{nodes}");
    let why = [&format!("no worker on {victim}"), "it is blocked: the fan is loud"];
    says(&bed.cli(&["session", "status", &wide]), &[&["2 of 4"], &why[..]].concat());
    for session in [&session, &wide] {
        says(&bed.cli(&["explain", "session", session]), &[&victim, "it is blocked: the fan is loud"]);
    }
    probe::check_rows(&running.rows(), 60);

    refused(&bed, &["node", "unblock", &victim, "--device", "cpu"], &["not blocked", "skein node status"]);
    says(&bed.cli(&["node", "unblock", &victim]), &["unblocked"]);
    assert!(!bed.cli(&["node", "status"]).contains("the fan is loud"));
    probe::wait_for_workers(&bed, &wide, 4);
    assert!(!bed.cli(&["session", "status", &wide]).contains("the fan is loud"));
    refused(&bed, &["node", "unblock", &victim], &["not blocked"]);
}

#[test]
fn a_drained_device_ends_what_it_has_and_takes_nothing_new() {
    let bed = mesh_with_room_for(1);
    let session = create(&bed, &["--fixed", "3"]);
    probe::wait_for_workers(&bed, &session, 3);
    let running = Running::start(&bed, &session, 120);

    // By the beginning of its id, one device of it, with a deadline that nothing comes near.
    let node = bed.json(&["node", "status"])["nodes"][1].clone();
    let (name, id) = (node["name"].as_str().unwrap(), node["node"].as_str().unwrap());
    let device = ["--device", "cpu"];
    let drain =
        [&["node", "drain", &id[..12]], &device[..], &["--deadline", "10m", "--reason", "new battery"]].concat();
    says(&bed.cli(&drain), &[name, "'cpu'", "draining"]);
    assert_eq!(serving(&bed, &session), 2, "it takes nothing new from that moment on");
    bed.wait("its work is done and its worker gone", || {
        status(&bed, &session)["workers"].as_array().map(Vec::len) == Some(2)
    });
    says(&bed.cli(&["node", "status"]), &[&format!("device 'cpu' of {name} is drained: new battery (the operator, ")]);
    says(&bed.cli(&["session", "status", &session]), &["2 of 3", &format!("no worker on {name}"), "new battery"]);
    says(&bed.cli(&["explain", "session", &session]), &["it is blocked: new battery"]);

    bed.cli(&[&["node", "unblock", name], &device[..]].concat());
    probe::wait_for_workers(&bed, &session, 3);
    let rows = running.rows();
    probe::check_rows(&rows, 120);
    assert!(rows.iter().all(|row| row["attempt"] == 1), "what ran ended where it was, nothing ran twice");
}

#[test]
fn an_exclusive_session_has_its_nodes_to_itself() {
    let bed = mesh_with_room_for(2);
    let first = create(&bed, &["--fixed", "1"]);
    probe::wait_for_workers(&bed, &first, 1);
    let shared = probe::ready_nodes(&bed, &first)[0].clone();

    let alone = create(&bed, &["--fixed", "3", "--exclusive", "node"]);
    probe::wait_for_workers(&bed, &alone, 2);
    // It does not stand beside the other on the third node, and says who is in its way. Two of it may share what is its own.
    let held = |bed: &Bed| probe::ready_nodes(bed, &alone);
    bed.wait("its workers are ready", || held(&bed).len() == 3);
    assert!(!held(&bed).contains(&shared), "{:?}", held(&bed));
    let in_the_way = format!("the session wants it for itself, and session {first} is there");
    says(&bed.cli(&["explain", "session", &alone]), &[&shared, &in_the_way]);
    says(&bed.cli(&["session", "status", &alone]), &["it keeps to itself: its nodes"]);

    // Others find room beside the first, and nowhere else.
    let second = create(&bed, &["--fixed", "2"]);
    probe::wait_for_workers(&bed, &second, 1);
    assert_eq!(probe::ready_nodes(&bed, &second), [shared.as_str()]);
    let kept = format!("session {alone} keeps it to itself");
    says(&bed.cli(&["explain", "session", &second]), &[&kept, "0m cpu are left"]);
    says(&bed.cli(&["session", "status", &second]), &["1 of 2", &kept]);

    // One that needs a whole node of its own waits until one is free.
    let next = create(&bed, &["--fixed", "1", "--exclusive", "node"]);
    let waits = status(&bed, &next);
    assert_eq!(waits["serving"], 0, "{waits}");
    says(&bed.cli(&["explain", "session", &next]), &[&kept, "0m cpu are left"]);
    bed.cli(&["session", "end", &alone]);
    probe::wait_for_workers(&bed, &next, 1);
    probe::wait_for_workers(&bed, &second, 2);
    let (mine, theirs) = (probe::ready_nodes(&bed, &next), probe::ready_nodes(&bed, &second));
    assert!(!theirs.contains(&mine[0]) && mine[0] != shared, "{mine:?} {theirs:?}");
}

#[test]
fn what_is_wrong_is_refused_and_what_can_never_fit_waits_unless_told_otherwise() {
    let bed = Bed::mesh_with(1, &["--offer-cpu", "1000", "--offer-memory", "1GiB"]);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    let create = |flags: &[&'static str]| [&["session", "create", "--model", "lite0"], flags].concat();

    let huge = ["--gpu-memory", "12GiB"];
    let never = ["12 GiB GPU memory", "the largest device has 0 MiB GPU memory"];
    refused(&bed, &[&create(&huge)[..], &["--refuse-unfit"]].concat(), &never);
    let waits = bed.cli(&[&create(&huge)[..], &["-q"]].concat()).trim().to_owned();
    says(&bed.cli(&["session", "status", &waits]), &[&["no node could ever hold"], &never[..1]].concat());
    says(&bed.cli(&["explain", "session", &waits]), &[&["No node could ever hold"], &never[..1]].concat());
    assert_eq!(bed.cli(&[&["plan", "--model", "lite0", "-q"], &huge[..]].concat()).trim(), "waits");
    bed.cli(&["session", "end", &waits]);

    let file = bed.path("session.toml");
    for (wish, words) in [
        ("model = 'lite0'\nmemory = '12 parsecs'", ["session.toml", "line 2", "memory", "256MiB"]),
        ("modle = 'lite0'", ["session.toml", "line 1", "modle", "unknown field"]),
        ("model = 'lite0'\nfixed = -1", ["session.toml", "line 2", "fixed", "-1"]),
        ("model = 'lite0'\nshare = 2", ["session.toml", "share", "--max", "--fixed"]),
        ("model = 'lite0'\nfixed = 99999999999999999999", ["session.toml", "line 2", "fixed", "99999999999999999999"]),
    ] {
        std::fs::write(&file, wish).unwrap();
        refused(&bed, &["session", "create", "-f", text(&file)], &words);
        refused(&bed, &["plan", "-f", text(&file)], &words);
    }
    refused(&bed, &["plan", "-f", "/no/such/session.toml"], &["/no/such/session.toml", "No such file"]);

    refused(&bed, &create(&["--fixed", "4294967296"]), &["--fixed", "4294967296"]);
    refused(&bed, &create(&["--memory", "18446744073709551615"]), &["--memory", "any machine"]);
    refused(&bed, &create(&["--cpu", "18446744073709551615"]), &["beyond all machines"]);
    refused(&bed, &create(&["--priority", "-1"]), &["--priority"]);
    refused(&bed, &create(&["--policy", "fair"]), &["fair", "gpu-binding"]);
    refused(&bed, &create(&["--bind", "node-9/cpu"]), &["node-9", "node-1"]);
    refused(&bed, &create(&["--bind", "node-1/gpu0"]), &["gpu0", "it has: cpu"]);
    refused(&bed, &["policy", "set", "fair"], &["fair", "preemptive"]);
    refused(&bed, &["node", "block", "node-9", "--reason", "x"], &["node-9", "node-1"]);
    refused(&bed, &["node", "block", "node-1", "--device", "gpu0", "--reason", "x"], &["gpu0", "cpu"]);
    refused(&bed, &["node", "block", "node-1"], &["--reason"]);
    refused(&bed, &["node", "block", "node-1", "--reason", ""], &["--reason"]);
    refused(&bed, &["explain", "session", "99"], &["99", "skein session status"]);
    refused(&bed, &["explain", "worker", "99"], &["99", "skein session status"]);
    assert!(bed.json(&["session", "status"]).as_array().is_some_and(Vec::is_empty), "none of them was opened");
}

#[test]
fn the_policy_is_shown_and_set_and_every_change_is_an_event() {
    let bed = Bed::mesh_with(1, &["--offer-cpu", "1000", "--offer-memory", "1GiB"]);
    assert_eq!(bed.cli(&["policy", "-q"]).trim(), "fcfs");
    let mut following = bed.command_at(0, &["events", "--follow", "--json"]);
    let mut following = following.stdout(Stdio::piped()).spawn().expect("skein events starts");
    says(&bed.cli(&["policy", "set", "priority"]), &["priority"]);
    assert_eq!(bed.cli(&["policy", "-q"]).trim(), "priority");
    bed.cli(&["node", "block", "node-1", "--device", "cpu", "--reason", "spring cleaning"]);

    let lines = BufReader::new(following.stdout.take().expect("its output is piped")).lines();
    let mut seen =
        lines.map(|line| serde_json::from_str::<Value>(&line.expect("it is text")).expect("it is an object"));
    let mut last = 0;
    let blocked = seen.find(|event| {
        let sequence = event["sequence"].as_u64().unwrap();
        assert_eq!(sequence, last + 1, "no event is left out");
        last = sequence;
        assert!(event["why"].as_str().is_some_and(|why| !why.is_empty()), "{event}");
        !event["event"]["Blocked"].is_null()
    });
    let _ = following.kill();
    let _ = following.wait();
    assert_eq!(blocked.unwrap()["why"], "spring cleaning");
    let shown = bed.cli(&["events", "--after", &(last - 2).to_string()]);
    says(&shown, &["the mesh's policy is priority", "device 'cpu' of node node-1 is blocked", "spring cleaning"]);
    says(&bed.cli(&["events", "--after", "1000000"]), &["Nothing happened after event 1000000"]);
}

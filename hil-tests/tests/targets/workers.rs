//! Worker processes: each kind of failure is told apart and costs no task, one that leaks is started anew, and each has its own cores.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use skein_hil_tests::bed::Bed;
use skein_hil_tests::simulated::{ANSWER, open};
use skein_hil_tests::{material, probe};

/// Has so many pictures done. A row for each.
fn run(bed: &Bed, session: &str, count: usize) -> Vec<Value> {
    let files = material::pictures(count);
    let mut arguments = vec!["run", session, "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let rows = probe::rows(&bed.try_cli_at(0, &arguments).unwrap_or_else(|error| panic!("{error}\n{}", bed.logs())));
    assert_eq!(rows.len(), count);
    assert!(rows.iter().all(|row| row["classes"][0]["label"] == ANSWER), "{rows:?}");
    rows
}

/// Why attempts failed, of all rows.
fn reasons(rows: &[Value]) -> BTreeSet<String> {
    let attempts = rows.iter().filter_map(|row| row["attempts"].as_array()).flatten();
    attempts.filter_map(|attempt| attempt["reason"].as_str()).map(str::to_owned).collect()
}

#[test]
fn each_kind_of_failure_is_told_apart_and_every_task_has_its_answer() {
    let bed = Bed::mesh(1);
    let failing = |name: &str, behaviour: &str, arguments: &[&str]| {
        let session = open(&bed, name, behaviour, arguments);
        let reasons = reasons(&run(&bed, &session, 8));
        bed.cli(&["session", "end", &session]);
        reasons
    };
    // The first run of each process is that of its warm-up.
    for (failure, behaviour, arguments, words) in [
        ("fails", "latency_ms = 5\nfail_every = 4", &[][..], "fails each 4 runs"),
        ("crashes", "latency_ms = 5\ncrash_every = 4", &[], "the worker died"),
        ("hangs", "latency_ms = 5\nhang_every = 5", &["--task-time", "700ms"], "it hung: it was at one task for 700ms"),
    ] {
        let why = failing(failure, behaviour, arguments);
        let told = why.len() == 1 && why.iter().all(|why| why.contains(words));
        let row = json!({
            "metric": "told_apart", "value": f64::from(told), "unit": "", "goal": 1, "ok": told, "failure": failure, "said": why,
        });
        println!("{row}");
        assert!(told, "{failure}: {why:?}");
    }
    // One that only takes long, and shows that it goes on, does not hang.
    let long = failing("long", "latency_ms = 1500\nsteps = 30", &["--task-time", "700ms"]);
    assert_eq!(long, BTreeSet::new());
}

#[test]
fn a_worker_that_leaks_is_started_anew_between_two_tasks() {
    let bed = Bed::mesh_with(1, &["--worker-growth", "24MiB"]);
    let session = open(&bed, "leaks", "latency_ms = 20\nleak_mib = 1", &["--memory", "2GiB"]);
    let mut passes = 0;
    bed.wait("its worker was started anew", || {
        let failed = reasons(&run(&bed, &session, 60));
        assert_eq!(failed, BTreeSet::new(), "no task pays for it");
        passes += 1;
        assert!(passes < 100, "{}", bed.logs());
        bed.logs().contains("it takes more and more memory")
    });
    probe::wait_for_workers(&bed, &session, 1);
    let status = bed.json(&["session", "status", &session]);
    assert_eq!(status[0]["failures"], Value::Array(Vec::new()), "it did no wrong: {status}");
    run(&bed, &session, 8);
}

/// The cores that each worker process of an agent may run on.
fn cores_of_workers(agent: u32) -> Vec<String> {
    let field = |process: &Path, name: &str| {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let processes =
        std::fs::read_dir("/proc").expect("there is /proc").filter_map(Result::ok).map(|entry| entry.path());
    let children =
        processes.filter(|process| field(process, "PPid:").is_some_and(|parent| parent == agent.to_string()));
    children.filter_map(|process| field(&process, "Cpus_allowed_list:")).collect()
}

#[test]
fn workers_of_whole_cores_have_them_to_themselves() {
    let bed = Bed::mesh_with(1, &["--bind-cores", "true"]);
    let agent = bed.agents[0].process.as_ref().expect("it runs").id();
    let count = std::thread::available_parallelism().expect("there are cores").get().min(4);
    for number in 0..count {
        open(&bed, &format!("one-{number}"), "latency_ms = 1", &["--cpu", "1000", "--memory", "64MiB"]);
    }
    let cores = cores_of_workers(agent);
    let own: BTreeSet<&String> = cores.iter().collect();
    assert!(cores.len() == count && own.len() == count, "each has one, and another one: {cores:?}");
    assert!(own.iter().all(|cores| cores.parse::<u32>().is_ok()), "{cores:?}");
}

//! Targets that are programs of a node: what they answer, and what becomes of a worker whose program dies.

use std::path::{Path, PathBuf};

use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::{material, probe};

/// The example of the book, as an operator would set it. None where its packages are not here.
fn settings(directory: &Path) -> Option<PathBuf> {
    let Some(packages) = std::env::var_os("SKEIN_TEST_RUNTIMES").map(PathBuf::from) else {
        println!("skipped: no runtimes are here; `cargo xtask test` and `cargo xtask hil targets` install them");
        return None;
    };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/onnxruntime_worker.py");
    let (packages, example) = (packages.display(), example.display());
    let file = directory.join("skein.toml");
    let settings = format!(
        "[process.python]\ncommand = ['/usr/bin/env', 'PYTHONPATH={packages}', 'python3', '{example}']\n\
         [process.silent]\ncommand = ['/bin/cat', '/dev/null']\n[process.missing]\ncommand = ['/no/such/program']\n"
    );
    std::fs::write(&file, settings).expect("the settings can be written");
    Some(file)
}

fn open(bed: &Bed, model: &str, target: &str) -> String {
    let session = bed.cli(&["session", "create", "--model", model, "--target", target, "--memory", "512MiB", "-q"]);
    session.trim().to_owned()
}

/// The processes below this one whose command line has a word.
fn below(process: u32, word: &str) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    let found = children.flat_map(|child: u32| {
        let command = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let own = String::from_utf8_lossy(&command).contains(word).then(|| i32::try_from(child).expect("a process"));
        own.into_iter().chain(below(child, word)).collect::<Vec<_>>()
    });
    found.collect()
}

#[test]
fn a_program_answers_as_the_targets_do_and_is_started_again_when_it_dies() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(settings) = settings(directory.path()) else { return };
    let bed = Bed::mesh_with(1, &["--config", text(&settings)]);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    let session = open(&bed, "lite0", "process:python");
    probe::wait_for_workers(&bed, &session, 1);
    let files = material::pictures(4);
    let mut arguments = vec!["run", &session, "--json"];
    arguments.extend(files.iter().map(String::as_str));
    probe::check_rows(&probe::rows(&bed.cli(&arguments)), files.len());

    // The program is killed: its worker ends with it, and both are there again.
    let agent = bed.agents[0].process.as_ref().expect("it runs").id();
    let programs = below(agent, "onnxruntime_worker.py");
    let newest = *programs.last().expect("the program runs");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(newest).expect("a process"),
        rustix::process::Signal::KILL,
    )
    .expect("it can be killed");
    bed.wait("the worker is heard to have ended", || bed.logs().contains("the worker's program ended"));
    probe::wait_for_workers(&bed, &session, 1);
    probe::check_rows(&probe::rows(&bed.cli(&arguments)), files.len());

    // Its worker is killed: it does not stay behind.
    let program = *below(agent, "onnxruntime_worker.py").last().expect("the program runs");
    let workers = below(agent, "worker");
    let worker = *workers.iter().find(|worker| !programs.contains(worker)).expect("its worker runs");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(worker).expect("a process"),
        rustix::process::Signal::KILL,
    )
    .expect("it can be killed");
    bed.wait("the program ends with its worker", || !Path::new(&format!("/proc/{program}/exe")).exists());
}

#[test]
fn a_program_that_is_none_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(settings) = settings(directory.path()) else { return };
    let bed = Bed::mesh_with(1, &["--config", text(&settings)]);
    assert!(bed.logs().contains("[process.missing] is not offered: /no/such/program"), "{}", bed.logs());
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    let session = open(&bed, "lite0", "process:missing");
    let why = bed.cli(&["explain", "session", &session]);
    assert!(why.contains("has no target 'process:missing'"), "{why}");
    let session = open(&bed, "lite0", "process:silent");
    bed.wait("the session says what its program did", || {
        bed.cli(&["session", "status", &session])
            .contains("/bin/cat, the program of process:silent: it did not load the model")
    });
    let refused = bed.try_cli_at(0, &["session", "create", "--model", "lite0", "--target", "process:"]);
    assert!(refused.expect_err("it names no program").contains("process:NAME"));
}

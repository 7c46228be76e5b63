//! Everything that can be wrong on the way in: one clear error, and everything else goes on.

use std::process::{Command, Stdio};

use skein_hil_tests::bed::{Bed, binary, clean, free_address, output, said, text, wait_for};
use skein_hil_tests::{fault, material, probe};

/// The error of a command, which must say each of these.
fn refused(bed: &Bed, arguments: &[&str], words: &[&str]) -> String {
    let error = bed.try_cli_at(bed.any(), arguments).expect_err("it must be refused");
    says(&error, words);
    error
}

fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "the error should say '{word}': {error}");
    }
    assert!(!error.contains("panicked"), "an error is no panic: {error}");
}

/// An agent started with these arguments ends at once with an error that says each of these.
fn agent_fails(arguments: &[&str], words: &[&str]) {
    let mut command = clean(Command::new(binary()));
    command.arg("agent").args(arguments).arg("--end-with-parent").stdin(Stdio::null()).stderr(Stdio::piped());
    let mut agent = command.spawn().expect("the agent starts");
    let ended = wait_for(|| agent.try_wait().is_ok_and(|status| status.is_some()));
    // One that runs though it should not must not outlive the test.
    let _ = agent.kill();
    let output = agent.wait_with_output().expect("the agent ends");
    assert!(ended, "the agent runs with {arguments:?}");
    says(&said(&output).expect_err("the agent must fail"), words);
}

#[test]
fn a_bad_picture_fails_alone() {
    let bed = Bed::mesh(1);
    let session = probe::open_session(&bed, 1);
    let good = text(&material::picture("coffee.png")).to_owned();
    let no_picture = bed.path("notes.png");
    std::fs::write(&no_picture, "these are words").unwrap();
    let mut bad = vec![no_picture, bed.path("is-not-there.png"), bed.path("empty.jpg")];
    std::fs::write(&bad[2], "").unwrap();
    for file in ["camera.png", "rocket.jpg"] {
        let whole = std::fs::read(material::picture(file)).unwrap();
        let cut = bed.path(&format!("cut-{file}"));
        std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
        bad.push(cut);
    }
    let mut arguments = vec!["run", &session, "--json", &good];
    arguments.extend(bad.iter().map(|path| text(path)));
    arguments.push(&good);
    let output = output(&mut bed.command_at(0, &arguments));
    assert!(!output.status.success(), "a file without an answer is no success");
    says(&String::from_utf8_lossy(&output.stderr), &["5 of 7 tasks have no answer"]);
    let rows = probe::rows(&String::from_utf8_lossy(&output.stdout));
    let (right, wrong): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row["error"].is_null());
    probe::check_rows(&right, 2);
    let errors: Vec<&str> = wrong.iter().filter_map(|row| row["error"].as_str()).collect();
    assert_eq!(errors.len(), 5);
    assert!(errors.iter().any(|error| error.contains("cannot read the file")), "{errors:?}");
    assert!(errors.iter().filter(|error| error.to_lowercase().contains("picture")).count() >= 4, "{errors:?}");
}

#[test]
fn a_bad_model_is_refused_and_says_why() {
    let bed = Bed::mesh(1);
    let words = bed.path("words.onnx");
    std::fs::write(&words, "these are words").unwrap();
    refused(&bed, &["model", "add", text(&words), "--name", "words"], &["words", "ONNX"]);

    let whole = std::fs::read(material::model()).unwrap();
    let cut = bed.path("cut.onnx");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    refused(&bed, &["model", "add", text(&cut), "--name", "cut"], &["cut"]);

    let foreign = material::test_model("unsupported-operator.onnx");
    refused(&bed, &["model", "add", text(&foreign), "--name", "foreign"], &["foreign", "operator", "tract"]);

    refused(&bed, &["model", "add", "/no/such/file.onnx", "--name", "none"], &["/no/such/file.onnx"]);
    refused(&bed, &["model", "add", text(&material::model()), "--name", "no name"], &["no name", "letters"]);

    // None of them is known now, and a good one still is taken.
    assert_eq!(bed.json(&["model", "list"]).as_array().map(Vec::len), Some(0));
    let kept = std::fs::read_dir(bed.state_dir(0).join("models")).unwrap().count();
    assert_eq!(kept, 0, "files of refused models do not stay");
    let session = probe::open_session(&bed, 1);
    assert!(bed.cli(&["run", &session, text(&material::picture("coffee.png"))]).contains("espresso"));
}

#[test]
fn a_session_that_cannot_be_is_refused() {
    let bed = Bed::mesh(1);
    refused(&bed, &["session", "create", "--model", "ghost"], &["ghost", "skein model add"]);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    refused(&bed, &["session", "create", "--model", "ghost"], &["ghost", "lite0"]);
    refused(&bed, &["session", "create", "--model", "lite0@7"], &["lite0@7"]);
    refused(&bed, &["session", "create", "--model", "lite0", "--fixed", "0"], &["no worker"]);
    refused(&bed, &["session", "create", "--model", "lite0", "--cpu", "0"], &["cpu"]);
    refused(&bed, &["session", "create", "--model", "lite0", "--target", "abacus"], &["abacus", "tract"]);
    refused(&bed, &["session", "status", "99"], &["99", "skein session status"]);
    refused(&bed, &["session", "end", "99"], &["99"]);
    refused(&bed, &["run", "99", text(&material::picture("coffee.png"))], &["99"]);
}

#[test]
fn a_session_that_does_not_fit_says_what_it_waits_for() {
    let bed = Bed::mesh(1);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    let session = bed.cli(&["session", "create", "--model", "lite0", "--cpu", "900000", "-q"]);
    let shown = bed.cli(&["session", "status", session.trim()]);
    says(&shown, &["0 of 1", "no worker on node-1", "900000m cpu"]);
}

#[test]
fn an_address_where_nothing_listens_is_named() {
    let nobody = free_address().to_string();
    let mut command = clean(Command::new(binary()));
    let output = output(command.args(["--address", &nobody, "node", "status"]));
    says(&said(&output).unwrap_err(), &[&nobody, "skein agent"]);
}

#[test]
fn a_port_in_use_is_named() {
    let bed = Bed::mesh(1);
    let place = tempfile::tempdir().unwrap();
    let place = text(place.path());
    let (mesh, gossip) = (bed.agents[0].address.to_string(), bed.agents[0].gossip.to_string());
    agent_fails(&["--state-dir", place, "--listen", &mesh], &[&mesh, "in use", "--listen"]);
    let free = free_address().to_string();
    let both = ["--state-dir", place, "--listen", &free, "--gossip-listen", &gossip];
    agent_fails(&both, &[&gossip, "in use", "--gossip-listen"]);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("state");
    agent_fails(&["--state-dir", text(&below), "--listen", "127.0.0.1:0"], &[text(&below), "--state-dir"]);

    // Root may write anywhere; as nobody, a directory of root's is closed.
    let closed = place.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let mut command = clean(Command::new("setpriv"));
    command.args(["--reuid=65534", "--clear-groups"]).arg(binary());
    let output = output(command.args(["agent", "--listen", "127.0.0.1:0", "--state-dir", text(&closed)]));
    let error = said(&output).unwrap_err();
    if error.contains("setpriv") || error.contains("ermission denied") && !error.contains("skein:") {
        println!("skipped: only root can become nobody, and nobody must be able to read the binary ({})", error.trim());
        return;
    }
    says(&error, &[text(&closed), "--state-dir"]);
}

#[test]
fn a_state_directory_in_use_is_named() {
    let bed = Bed::mesh(1);
    let other = free_address().to_string();
    agent_fails(&["--state-dir", text(&bed.state_dir(0)), "--listen", &other], &["another agent", "state directory"]);
}

#[test]
fn a_node_that_forgot_its_part_of_the_log_stays_out() {
    let mut bed = Bed::mesh(3);
    fault::kill(&mut bed, 2);
    let state = bed.state_dir(2);
    std::fs::remove_dir_all(state.join("coordinator")).unwrap();
    let address = free_address().to_string();
    agent_fails(&["--state-dir", text(&state), "--listen", &address], &["was in mesh", "whole state directory"]);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
}

#[test]
fn settings_that_are_wrong_are_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("skein.toml");
    std::fs::write(&file, "lisen = '127.0.0.1:0'\n").unwrap();
    agent_fails(&["--config", text(&file)], &[text(&file), "lisen", "line 1"]);
    agent_fails(&["--config", "/no/such/settings.toml"], &["/no/such/settings.toml"]);
    agent_fails(&["--listen", "everywhere"], &["everywhere", "--listen"]);
    let long = "x".repeat(200);
    let state = text(place.path());
    agent_fails(&["--state-dir", state, "--listen", "127.0.0.1:0", "--name", &long], &["--name", "128"]);
    agent_fails(&["--label", "zone"], &["zone", "KEY=VALUE"]);
}

#[test]
fn noise_on_both_ports_changes_nothing() {
    let bed = Bed::mesh(3);
    let session = probe::open_session(&bed, 2);
    for agent in &bed.agents {
        fault::throw_noise(agent.address, 500);
        fault::throw_noise(agent.gossip, 500);
    }
    for number in 0..3 {
        let picture = material::picture("coffee.png");
        let printed = bed.try_cli_at(number, &["run", &session, text(&picture)]);
        assert!(printed.as_ref().is_ok_and(|text| text.contains("espresso")), "{printed:?}\n{}", bed.logs());
    }
    bed.wait_until_whole();
}

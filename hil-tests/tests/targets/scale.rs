//! What more devices bring: simulated ones, as many as this machine could never have.

use std::process::Stdio;
use std::time::Instant;

use serde_json::json;
use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::simulated::{ANSWER, open};
use skein_hil_tests::{material, probe};

/// Tasks for each device: six seconds of work, beside which the start of a client is little.
const TASKS: usize = 60;
/// What a Movidius stick takes for a network of middling size.
const LATENCY_MS: u32 = 100;
/// No client has so many tasks under way that it could keep more devices busy.
const DEVICES_A_CLIENT: usize = 4;
/// What 16 devices should do of 16 times what one does.
const GOAL: f64 = 0.97;
/// Below this the test fails: other work on the machine costs some, and must not be taken for a fault of the mesh.
const LEAST: f64 = 0.85;

/// How long so many devices take for so many tasks each, in seconds.
fn time(bed: &Bed, devices: usize) -> f64 {
    let fixed = devices.to_string();
    let behaviour = format!("latency_ms = {LATENCY_MS}");
    let arguments = ["--fixed", &fixed, "--cpu", "50", "--memory", "16MiB"];
    let session = open(bed, &format!("stick-{devices}"), &behaviour, &arguments);
    probe::wait_for_workers(bed, &session, devices);
    // Pictures of one pixel: what is measured is the mesh, not the decoding of photographs.
    let (picture, _) = material::pixels(&bed.path("")).swap_remove(0);
    let clients = devices.div_ceil(DEVICES_A_CLIENT);
    let files = vec![text(&picture); TASKS * devices / clients];
    let begin = Instant::now();
    let running: Vec<_> = (0..clients)
        .map(|_| {
            let mut command = bed.command_at(0, &["run", &session, "-q"]);
            command.args(&files).stdout(Stdio::piped()).spawn().expect("skein run starts")
        })
        .collect();
    let mut answers = 0;
    for client in running {
        let output = client.wait_with_output().expect("the client ends");
        assert!(output.status.success(), "{}", bed.logs());
        answers += String::from_utf8_lossy(&output.stdout).lines().filter(|line| *line == ANSWER).count();
    }
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(answers, TASKS * devices, "every task has its answer");
    bed.cli(&["session", "end", &session]);
    seconds
}

#[test]
fn sixteen_devices_do_sixteen_times_the_work_of_one() {
    let bed = Bed::mesh(1);
    let one = time(&bed, 1);
    for devices in [4, 16] {
        let all = time(&bed, devices);
        // Each has as much to do as the one.
        let efficiency = one / all;
        let metric = format!("scale_{devices}_efficiency");
        let row = json!({ "metric": metric, "value": efficiency, "unit": "", "goal": GOAL, "ok": efficiency >= GOAL });
        println!("{row}");
        assert!(efficiency >= LEAST, "{devices} devices take {all} s, and one takes {one} s for its part");
    }
}

//! What more devices bring: simulated ones, as many as this machine could never have.

use std::process::Stdio;
use std::time::Instant;

use serde_json::json;
use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::probe;

use crate::simulated::{ANSWER, open};

/// A picture of one pixel, so that what is measured is the mesh and not the decoding of photographs.
const PIXEL: [u8; 69] = [
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53, 0xde, 0x00, 0x00, 0x00, 0x0c, 0x49,
    0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x68, 0x68, 0x68, 0x00, 0x00, 0x03, 0x04, 0x01, 0x81, 0x4b, 0xd3, 0xd2, 0x10,
    0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];
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

/// Answers a second of so many devices.
fn throughput(bed: &Bed, devices: usize) -> f64 {
    let fixed = devices.to_string();
    let behaviour = format!("latency_ms = {LATENCY_MS}");
    let arguments = ["--fixed", &fixed, "--cpu", "50", "--memory", "16MiB"];
    let session = open(bed, &format!("stick-{devices}"), &behaviour, &arguments);
    probe::wait_for_workers(bed, &session, devices);
    let picture = bed.path("pixel.png");
    std::fs::write(&picture, PIXEL).expect("the picture can be written");
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
    TASKS as f64 * devices as f64 / seconds
}

#[test]
fn sixteen_devices_do_sixteen_times_the_work_of_one() {
    let bed = Bed::mesh(1);
    let one = throughput(&bed, 1);
    for devices in [4, 16] {
        let all = throughput(&bed, devices);
        let efficiency = all / (one * devices as f64);
        let metric = format!("scale_{devices}_efficiency");
        let row = json!({
            "metric": metric, "value": efficiency, "unit": "", "goal": GOAL, "ok": efficiency >= GOAL, "per_second": all,
        });
        println!("{row}");
        assert!(efficiency >= LEAST, "{devices} devices do {all} a second, and one does {one}");
    }
}

//! Devices come, go and grow hot under running agents, on a copy of a recorded machine.

use std::path::{Path, PathBuf};

use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::{material, probe};

const FIRMWARE: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";

/// A Raspberry Pi 4 with two sticks, to change.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().expect("a temporary directory"));
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets/tests/data/machines/raspberry-pi-4");
        copy(&recorded, machine.root());
        machine
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn stick(&self, port: &str) -> PathBuf {
        self.root().join("sys/bus/usb/devices").join(port)
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        let place = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy(&entry, &place);
        } else {
            std::fs::copy(&entry, place).expect("a file");
        }
    }
}

/// The devices that an agent knows of, as `NODE/DEVICE`.
fn known(bed: &Bed, at: usize) -> Vec<String> {
    let listed = bed.try_cli_at(at, &["device", "list", "--quiet"]).unwrap_or_default();
    listed.lines().map(ToOwned::to_owned).collect()
}

fn wait_until_known(bed: &Bed, devices: &[&str]) {
    let expected: Vec<String> = ["node-1", "node-2"]
        .iter()
        .flat_map(|node| devices.iter().map(move |device| format!("{node}/{device}")))
        .collect();
    for at in bed.running() {
        bed.wait(&format!("agent {at} knows of {devices:?}"), || {
            let mut known = known(bed, at);
            known.sort_unstable();
            known == expected
        });
    }
}

fn device(bed: &Bed, name: &str) -> serde_json::Value {
    let devices = bed.json(&["device", "list"]);
    let found = devices.as_array().and_then(|devices| devices.iter().find(|device| device["name"] == name));
    found.cloned().unwrap_or_default()
}

#[test]
fn sticks_come_and_go_get_no_work_that_nothing_can_do_there_and_heat_is_told() {
    let machine = Machine::new();
    let bed = Bed::mesh_with(2, &["--root", text(machine.root())]);
    wait_until_known(&bed, &["cpu", "stick-1-1.1", "stick-1-1.3"]);
    let stick = device(&bed, "stick-1-1.1");
    assert_eq!((&stick["kind"], &stick["state"]), (&"movidius".into(), &"nothing drives it".into()), "{stick}");
    assert_eq!(stick["offers"]["gpu_memory_bytes"], 512 << 20);

    // What runs on processors runs; what is bound to a stick waits, and says why.
    let session = probe::open_session(&bed, 2);
    let on_stick = ["--target", "simulated", "--bind", "node-1/stick-1-1.1", "--gpu", "1000"];
    let create = [&["session", "create", "--model", "lite0", "-q"], on_stick.as_slice()].concat();
    let waiting = bed.cli(&create).trim().to_owned();
    let status = &bed.json(&["session", "status", &waiting])[0];
    assert_eq!(status["workers"], serde_json::json!([]), "{status}");
    let why = status["never_fits"].as_str().unwrap_or_default();
    assert!(why.contains("stick-1-1.1"), "{status}");

    // One is pulled out, and put in elsewhere.
    let pulled = machine.root().join("pulled out");
    std::fs::rename(machine.stick("1-1.3"), &pulled).expect("a stick");
    wait_until_known(&bed, &["cpu", "stick-1-1.1"]);
    std::fs::rename(&pulled, machine.stick("1-1.2")).expect("a stick");
    wait_until_known(&bed, &["cpu", "stick-1-1.1", "stick-1-1.2"]);
    assert!(bed.cli(&["events"]).contains("its devices"));

    // Cores are switched off, and what is offered follows.
    let cores = machine.root().join("sys/devices/system/cpu/online");
    std::fs::create_dir_all(cores.parent().expect("a folder")).expect("a folder");
    std::fs::write(cores, "0,2-3\n").expect("a file");
    bed.wait("three cores are offered", || {
        let mesh = bed.json(&["node", "status"]);
        mesh["nodes"].as_array().is_some_and(|nodes| nodes.iter().all(|node| node["offers"]["cpu_millicores"] == 3_000))
    });

    // The firmware slows the processor down.
    std::fs::write(machine.root().join(FIRMWARE), "8\n").expect("a file");
    bed.wait("the heat is told", || device(&bed, "cpu")["heat"] == "hot");

    let pictures = material::pictures(4);
    let mut run = vec!["run", &session, "--json"];
    run.extend(pictures.iter().map(String::as_str));
    probe::check_rows(&probe::rows(&bed.cli(&run)), 4);
}

use std::path::{Path, PathBuf};

use super::*;
use crate::cli::device::{look, one};

fn machine(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets/tests/data/machines").join(name)
}

fn lines(name: &str) -> Vec<String> {
    OwnDevices(look(&machine(name)).unwrap()).table().lines().map(ToOwned::to_owned).collect()
}

fn shown(machine_name: &str, device: &str) -> String {
    one(look(&machine(machine_name)).unwrap(), device).unwrap().table()
}

#[test]
fn each_recorded_machine_is_shown() {
    let pi = lines("raspberry-pi-4");
    assert!(pi[1].contains("Cortex-A72") && pi[1].contains("48.2 °C") && pi[1].contains("good"), "{pi:?}");
    assert!(pi[1].ends_with("4 cores, NEON, Raspberry Pi 4 Model B Rev 1.4"), "{pi:?}");
    assert!(pi[2].starts_with("stick-1-1.1") && pi[2].ends_with("USB 2, not in use"), "{pi:?}");
    let hot = lines("raspberry-pi-5");
    assert!(hot[1].contains("81.8 °C") && hot[1].contains("SLOW: heat"), "{hot:?}");
    let jetson = lines("jetson-tx2");
    assert!(jetson[2].ends_with("compute 6.2, Jetson TX2, MAXP_CORE_ALL, 23 % busy"), "{jetson:?}");
    let gpus = lines("x86-two-gpus");
    assert!(gpus[3].contains("NVIDIA RTX A4000") && gpus[3].ends_with("driver 535.183.01"), "{gpus:?}");
}

#[test]
fn one_device_tells_all_that_it_knows() {
    let jetson = shown("jetson-tx2", "gpu");
    for line in [
        "                    VDD_IN 3850 mW",
        "slows down at       95.5 °C",
        "power mode          MAXP_CORE_ALL",
        "load                23 % busy",
    ] {
        assert!(jetson.lines().any(|shown| shown == line), "{line} in\n{jetson}");
    }
    let pi = shown("raspberry-pi-4", "cpu");
    assert!(pi.contains("slowed since start  under-voltage, frequency held down"), "{pi}");
}

#[test]
fn a_frost_is_shown_as_one() {
    let shown = [-500, -12_340, 0, 61_000, i32::MIN].map(degrees);
    assert_eq!(shown, ["-0.5 °C", "-12.3 °C", "0.0 °C", "61.0 °C", "-2147483.6 °C"]);
}

#[test]
fn what_is_no_machine_or_no_device_of_it_is_said_plainly() {
    let error = look(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.contains("/nowhere has neither `proc` nor `sys`") && error.contains("--root /"), "{error}");
    let error = one(look(&machine("raspberry-pi-4")).unwrap(), "gpu").unwrap_err().to_string();
    assert!(error.contains("no device 'gpu'") && error.contains("cpu, stick-1-1.1, stick-1-1.3"), "{error}");
}

//! What NVIDIA's library tells, told by a stand-in that is compiled here: no GPU is needed.

use std::path::PathBuf;
use std::process::Command;

use skein_targets::{
    ComputeCapability, Details, Device, Ecc, Finder, GpuProcess, NvidiaDetails, Slowdown, Temperature,
};

use crate::world::{Machine, data};

/// The box with two GPUs, and a library beside it.
struct World {
    machine: Machine,
    library: PathBuf,
}

impl World {
    fn new() -> Self {
        let machine = Machine::copy("x86-two-gpus");
        let library = machine.root().join("libnvidia-ml.so.1");
        let state = format!("-DSTATE=\"{}\"", machine.root().join("state").display());
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let compiled = Command::new(compiler)
            .args(["-shared", "-fPIC", "-Wall", "-Wextra", &state, "-o"])
            .args([&library, &data("nvml.c")])
            .status();
        assert!(compiled.expect("a C compiler, as Rust needs one to link").success());
        Self { machine, library }
    }

    fn finder(&self) -> Finder {
        Finder::with_nvml(self.machine.root(), &self.library)
    }

    /// From now on the first GPU tells this.
    fn say(&self, state: &str) {
        self.machine.write("state", state);
    }
}

fn gpus(finder: &mut Finder) -> Vec<Device> {
    finder.find().into_iter().filter(|device| matches!(device.details, Details::Nvidia(_))).collect()
}

fn details(device: &Device) -> &NvidiaDetails {
    let Details::Nvidia(details) = &device.details else { panic!("{device:?}") };
    details
}

#[test]
fn all_that_the_library_tells_of_a_gpu() {
    let world = World::new();
    let found = gpus(&mut world.finder());
    let names: Vec<&str> = found.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(
        names,
        ["gpu-17:00.0", "gpu-65:00.0", "gpu-b3:00.0"],
        "one that only sysfs knows, one that only the library does"
    );
    let first = &found[0];
    assert_eq!((first.hardware.as_str(), first.memory_bytes), ("NVIDIA GeForce RTX 3090", 24 << 30));
    assert_eq!(first.temperature, Some(Temperature { millidegrees: 61_000, slows_at_millidegrees: 95_000 }));
    assert_eq!((&first.slowdowns, &first.fault), (&vec![], &None), "its power cap is no slowdown");
    let expected = NvidiaDetails {
        pci_address: "0000:17:00.0".into(),
        uuid: Some("GPU-of-the-stand-in".into()),
        driver: Some("550.54.14".into()),
        compute_capability: Some(ComputeCapability { major: 8, minor: 6 }),
        memory_used_bytes: Some(3 << 30),
        power_milliwatts: Some(212_500),
        power_limit_milliwatts: Some(350_000),
        load_percent: Some(87),
        ecc: Some(Ecc { corrected: 12, uncorrected: 0 }),
        xid: None,
        processes: vec![
            GpuProcess { process: 102, memory_bytes: Some(2 << 30) },
            GpuProcess { process: 101, memory_bytes: None },
        ],
    };
    assert_eq!(details(first), &expected);
}

#[test]
fn a_gpu_that_tells_little_is_found_all_the_same() {
    let world = World::new();
    let found = gpus(&mut world.finder());
    let old = &found[2];
    assert_eq!((old.hardware.as_str(), old.memory_bytes, old.temperature), ("NVIDIA T4", 0, None));
    let expected = NvidiaDetails {
        pci_address: "0000:b3:00.0".into(),
        driver: Some("550.54.14".into()),
        ..NvidiaDetails::default()
    };
    assert_eq!(details(old), &expected);
}

#[test]
fn a_hot_gpu_says_why_it_is_slow() {
    let world = World::new();
    let mut finder = world.finder();
    let mut slowdowns = |reasons: u32| {
        world.say(&format!("temperature 96\nreasons {reasons}\n"));
        gpus(&mut finder)[0].slowdowns.clone()
    };
    assert_eq!(slowdowns(0x40), [Slowdown::Heat]);
    assert_eq!(slowdowns(0x20), [Slowdown::Heat]);
    assert_eq!(slowdowns(0x08), [Slowdown::Heat]);
    assert_eq!(slowdowns(0x88), [Slowdown::PowerBrake]);
    assert_eq!(slowdowns(0x05), [], "idle, and at its power cap");
    assert_eq!(slowdowns(0x04 | 1 << 31), [], "what a later driver may say");
}

#[test]
fn a_critical_error_stays_and_one_of_a_program_does_not_matter() {
    let world = World::new();
    let mut finder = world.finder();
    gpus(&mut finder);
    world.say("xid 31\n");
    let found = gpus(&mut finder);
    assert_eq!((details(&found[0]).xid, &found[0].fault), (Some(31), &None));
    world.say("xid 79\n");
    let fault = gpus(&mut finder)[0].fault.clone().expect("a fault");
    assert!(fault.contains("Xid 79") && fault.contains("fallen off the bus"), "{fault}");
    world.say("xid 43\n");
    let found = gpus(&mut finder);
    assert_eq!(details(&found[0]).xid, Some(43));
    assert_eq!(found[0].fault, Some(fault));
}

#[test]
fn a_gpu_that_is_lost_keeps_its_name() {
    let world = World::new();
    let mut finder = world.finder();
    gpus(&mut finder);
    world.say("lost 1\n");
    let lost = &gpus(&mut finder)[0];
    assert_eq!((lost.name.as_str(), lost.hardware.as_str()), ("gpu-17:00.0", "NVIDIA GeForce RTX 3090"));
    assert!(lost.fault.as_ref().is_some_and(|fault| fault.contains("fallen off the bus")), "{lost:?}");
    world.say("count 4000000000\n");
    assert_eq!(gpus(&mut finder).len(), 3, "a count that cannot be is no more than looked at");
}

#[test]
fn without_a_library_that_works_the_driver_s_word_is_left() {
    let world = World::new();
    let without = gpus(&mut Finder::new(world.machine.root()));
    assert_eq!(without.len(), 2);
    let text = world.machine.root().join("text");
    world.machine.write("text", "not a library");
    let missing = world.machine.root().join("missing");
    for library in [text, missing] {
        assert_eq!(gpus(&mut Finder::with_nvml(world.machine.root(), &library)), without);
    }
    world.say("broken 1\n");
    let mut finder = world.finder();
    assert_eq!(gpus(&mut finder), without);
    world.say("");
    assert_eq!(gpus(&mut finder).len(), 3, "the driver was loaded in the meantime");
}

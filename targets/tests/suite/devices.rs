//! What is found on recorded machines, on an empty one, and on this one.

use std::collections::BTreeSet;
use std::path::Path;

use skein_targets::{ComputeCapability, CpuDetails, Details, Device, DeviceKind, Feature, Finder, JetsonDetails};
use skein_targets::{MovidiusDetails, NvidiaDetails, Rail, Slowdown, Temperature, discover};

use crate::world::{Machine, data};

fn cpu(hardware: &str, memory_bytes: u64, details: CpuDetails) -> Device {
    Device {
        name: "cpu".into(),
        kind: DeviceKind::Cpu,
        hardware: hardware.into(),
        memory_bytes,
        temperature: None,
        slowdowns: Vec::new(),
        fault: None,
        details: Details::Cpu(details),
    }
}

fn cores(logical_cores: u32, features: &[Feature]) -> CpuDetails {
    CpuDetails { logical_cores, features: features.into(), board: None, slowed_since_start: Vec::new() }
}

fn stick(usb_path: &str, hardware: &str, is_booted: bool, megabits: u32) -> Device {
    Device {
        name: format!("stick-{usb_path}"),
        kind: DeviceKind::Movidius,
        hardware: hardware.into(),
        memory_bytes: 512 << 20,
        temperature: None,
        slowdowns: Vec::new(),
        fault: None,
        details: Details::Movidius(MovidiusDetails { usb_path: usb_path.into(), is_booted, megabits: Some(megabits) }),
    }
}

fn degrees(degrees: f64, slows_at: f64) -> Temperature {
    #[expect(clippy::cast_possible_truncation, reason = "temperatures of the tests are small")]
    let millidegrees = |degrees: f64| (degrees * 1000.0).round() as i32;
    Temperature { millidegrees: millidegrees(degrees), slows_at_millidegrees: millidegrees(slows_at) }
}

fn names(devices: &[Device]) -> Vec<&str> {
    devices.iter().map(|device| device.name.as_str()).collect()
}

#[test]
fn an_x86_box() {
    let expected = cpu("Intel(R) Celeron(R) J4125 CPU @ 2.00GHz", 7_955_464 * 1024, cores(4, &[]));
    assert_eq!(discover(&data("machines/x86-box")), [expected]);
}

#[test]
fn an_x86_box_with_two_gpus_whose_nvml_cannot_be_loaded() {
    let gpu = |address: &str, hardware: &str, uuid: Option<&str>| Device {
        name: format!("gpu-{address}"),
        kind: DeviceKind::Gpu,
        hardware: hardware.into(),
        memory_bytes: 0,
        temperature: None,
        slowdowns: Vec::new(),
        fault: None,
        details: Details::Nvidia(NvidiaDetails {
            pci_address: format!("0000:{address}"),
            uuid: uuid.map(Into::into),
            driver: Some("535.183.01".into()),
            ..NvidiaDetails::default()
        }),
    };
    let features = [Feature::Avx2, Feature::Avx512, Feature::DotProduct];
    let i9 = cpu("Intel(R) Core(TM) i9-10900X CPU @ 3.70GHz", 65_616_340 * 1024, cores(20, &features));
    let expected = [
        Device { temperature: Some(degrees(56.0, 85.0)), ..i9 },
        gpu("17:00.0", "NVIDIA GeForce RTX 3090", Some("GPU-6f1d0c52-0a3e-4a4b-8d1c-0123456789ab")),
        gpu("65:00.0", "NVIDIA RTX A4000", None),
    ];
    assert_eq!(discover(&data("machines/x86-two-gpus")), expected);
}

#[test]
fn a_gpu_without_a_driver_is_known_by_its_number() {
    let machine = Machine::copy("x86-two-gpus");
    machine.remove("proc/driver");
    let found = discover(machine.root());
    assert_eq!(names(&found), ["cpu", "gpu-17:00.0", "gpu-65:00.0"]);
    assert_eq!(found[1].hardware, "NVIDIA GPU of PCI id 10de:2204");
    let Details::Nvidia(details) = &found[1].details else { panic!("{found:?}") };
    assert_eq!((&details.driver, &details.uuid), (&None, &None));
}

#[test]
fn the_cores_of_an_x86_box_slow_down_while_their_count_rises() {
    let machine = Machine::copy("x86-two-gpus");
    let mut finder = Finder::new(machine.root());
    assert_eq!(finder.find()[0].slowdowns, [], "what was before is over");
    machine.write("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "4\n");
    assert_eq!(finder.find()[0].slowdowns, [Slowdown::Heat]);
    assert_eq!(finder.find()[0].slowdowns, []);
    machine.write("sys/class/thermal/cooling_device0/cur_state", "3\n");
    assert_eq!(finder.find()[0].slowdowns, [Slowdown::Heat], "the kernel slows them down");
}

#[test]
fn a_raspberry_pi_4_with_two_sticks() {
    let a72 = cpu("Cortex-A72", 3_884_360 * 1024, cores(4, &[Feature::Neon]));
    let details = CpuDetails {
        board: Some("Raspberry Pi 4 Model B Rev 1.4".into()),
        slowed_since_start: vec![Slowdown::UnderVoltage, Slowdown::FrequencyCap],
        ..cores(4, &[Feature::Neon])
    };
    let expected = [
        Device { temperature: Some(degrees(48.212, 85.0)), details: Details::Cpu(details), ..a72 },
        stick("1-1.1", "Movidius NCS2 (Myriad X)", false, 480),
        stick("1-1.3", "Movidius NCS1 (Myriad 2)", false, 480),
    ];
    assert_eq!(discover(&data("machines/raspberry-pi-4")), expected);
}

#[test]
fn a_stick_comes_boots_and_goes() {
    let machine = Machine::copy("raspberry-pi-4");
    let mut finder = Finder::new(machine.root());
    assert_eq!(names(&finder.find()), ["cpu", "stick-1-1.1", "stick-1-1.3"]);
    machine.write("sys/bus/usb/devices/1-1.3/idProduct", "f63b\n");
    assert_eq!(finder.find()[2], stick("1-1.3", "Movidius NCS1 (Myriad 2)", true, 480), "it is the one it was");
    assert_eq!(discover(machine.root())[2].hardware, "Movidius stick", "whoever never saw it before cannot tell");
    machine.remove("sys/bus/usb/devices/1-1.3");
    assert_eq!(names(&finder.find()), ["cpu", "stick-1-1.1"]);
    machine.write("sys/bus/usb/devices/1-1.3/idVendor", "03e7\n");
    machine.write("sys/bus/usb/devices/1-1.3/idProduct", "f63b\n");
    assert_eq!(finder.find()[2].hardware, "Movidius stick", "another may have been plugged in");
}

#[test]
fn a_stick_that_boots_at_usb_3_keeps_its_name_where_the_kernel_knows_the_port() {
    let machine = Machine::copy("raspberry-pi-4");
    let mut finder = Finder::new(machine.root());
    finder.find();
    // As an x86 board says it: the port of the second bus is the one of the hub at 1-1, or one of the first bus itself.
    for (peer, name) in [("1-1-port1", "stick-1-1.1"), ("usb1-port2", "stick-1-2")] {
        let usb = "sys/bus/usb/devices";
        machine.remove(&format!("{usb}/1-1.1"));
        machine.remove(&format!("{usb}/2-1"));
        for (file, text) in [("idVendor", "03e7"), ("idProduct", "f63b"), ("speed", "5000")] {
            machine.write(&format!("{usb}/2-1/{file}"), text);
        }
        machine.link(&format!("{usb}/2-1/port/peer"), &format!("../../../somewhere/{peer}"));
        let found = finder.find();
        let found: BTreeSet<&str> = names(&found).into_iter().collect();
        assert_eq!(found, ["cpu", name, "stick-1-1.3"].into());
    }
}

#[test]
fn the_firmware_of_a_pi_says_why_it_is_slow() {
    let machine = Machine::copy("raspberry-pi-4");
    let says = |text: &str| {
        machine.write("sys/devices/platform/soc/soc:firmware/get_throttled", text);
        discover(machine.root())[0].slowdowns.clone()
    };
    assert_eq!(says("0\n"), []);
    assert_eq!(says("50005\n"), [Slowdown::UnderVoltage, Slowdown::FrequencyCap]);
    assert_eq!(says("0x80008\n"), [Slowdown::Heat]);
    assert_eq!(says("f000f\n"), [Slowdown::UnderVoltage, Slowdown::FrequencyCap, Slowdown::Heat]);
    machine.remove("sys/devices/platform");
    machine.write("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    assert_eq!(discover(machine.root())[0].slowdowns, [Slowdown::UnderVoltage], "the mainline kernel says only this");
}

#[test]
fn a_raspberry_pi_5_at_its_soft_limit() {
    let features = [Feature::Neon, Feature::DotProduct];
    let details = CpuDetails {
        board: Some("Raspberry Pi 5 Model B Rev 1.0".into()),
        slowed_since_start: vec![Slowdown::FrequencyCap, Slowdown::Heat],
        ..cores(4, &features)
    };
    let expected = Device {
        temperature: Some(degrees(81.85, 85.0)),
        slowdowns: vec![Slowdown::Heat],
        details: Details::Cpu(details),
        ..cpu("Cortex-A76", 8_244_256 * 1024, cores(4, &features))
    };
    assert_eq!(discover(&data("machines/raspberry-pi-5")), [expected]);
}

#[test]
fn a_jetson_tx2() {
    let details = CpuDetails { board: Some("quill".into()), ..cores(6, &[Feature::Neon]) };
    let rails = [
        ("VDD_SYS_GPU", 305),
        ("VDD_SYS_SOC", 610),
        ("VDD_4V0_WIFI", 19),
        ("VDD_IN", 3850),
        ("VDD_SYS_CPU", 458),
        ("VDD_SYS_DDR", 1173),
        ("VDD_MUX", 3794),
        ("VDD_5V0_IO_SYS", 1468),
        ("VDD_3V3_SYS", 1063),
        ("VDD_3V3_IO_SLP", 13),
        ("VDD_1V8_IO", 430),
        ("VDD_M2_IN", 0),
    ];
    let gpu = JetsonDetails {
        module: Some("Jetson TX2".into()),
        compute_capability: ComputeCapability { major: 6, minor: 2 },
        load_permille: Some(230),
        rails: rails.map(|(name, milliwatts)| Rail { name: name.into(), milliwatts }).into(),
        power_mode: Some("MAXP_CORE_ALL".into()),
    };
    let expected = [
        Device {
            // Not that of the PMIC, which says 100 °C whatever happens.
            temperature: Some(degrees(38.5, 85.0)),
            details: Details::Cpu(details),
            ..cpu("Cortex-A57 + Denver 2", 8_043_504 * 1024, cores(6, &[Feature::Neon]))
        },
        Device {
            name: "gpu".into(),
            kind: DeviceKind::Gpu,
            hardware: "NVIDIA Tegra X2".into(),
            memory_bytes: 8_043_504 * 1024,
            temperature: Some(degrees(36.5, 95.5)),
            slowdowns: Vec::new(),
            fault: None,
            details: Details::Jetson(gpu),
        },
    ];
    assert_eq!(discover(&data("machines/jetson-tx2")), expected);
}

#[test]
fn a_jetson_slows_its_gpu_its_processor_or_both() {
    let machine = Machine::copy("jetson-tx2");
    let slowed = |device: u32| {
        for number in 0..5 {
            let state = if number == device { "1\n" } else { "0\n" };
            machine.write(&format!("sys/class/thermal/cooling_device{number}/cur_state"), state);
        }
        discover(machine.root()).iter().map(|device| device.slowdowns.len()).collect::<Vec<_>>()
    };
    assert_eq!(slowed(0), [0, 0], "a fan slows nothing");
    assert_eq!(slowed(2), [0, 1], "gpu-balanced");
    assert_eq!(slowed(3), [1, 0], "cpu-balanced");
    assert_eq!(slowed(4), [1, 1], "emergency-balanced");
}

#[test]
fn a_later_jetson_measures_its_rails_by_the_kernel_s_driver() {
    let machine = Machine::copy("jetson-tx2");
    for path in ["sys/bus/i2c/drivers/ina3221x", "sys/devices/gpu.0", "etc", "sys/class/devfreq"] {
        machine.remove(path);
    }
    machine.write("proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0");
    machine.write("sys/class/devfreq/17000000.ga10b/device/load", "1000\n");
    let sensor = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3";
    for (file, text) in [("in1_label", "VDD_GPU_SOC"), ("in1_input", "19136"), ("curr1_input", "200")] {
        machine.write(&format!("{sensor}/{file}"), text);
    }
    let found = discover(machine.root());
    let Details::Jetson(details) = &found[1].details else { panic!("{found:?}") };
    assert_eq!((found[1].hardware.as_str(), details.module.as_deref()), ("NVIDIA Orin", Some("Jetson AGX Orin")));
    assert_eq!(details.rails, [Rail { name: "VDD_GPU_SOC".into(), milliwatts: 3827 }]);
    assert_eq!((details.load_permille, details.power_mode.as_deref()), (Some(1000), Some("mode 2")));
}

#[test]
fn a_machine_that_says_nothing_still_has_a_cpu() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(discover(empty.path()), [cpu("CPU of unknown name", 0, cores(1, &[]))]);
    assert_eq!(discover(&empty.path().join("missing")), discover(empty.path()));
}

#[test]
fn nonsense_is_left_out() {
    let machine = Machine::empty();
    machine.write("proc/cpuinfo", b"processor : 0\nprocessor : 1\nmodel name :\nmodel name : \xFF\xFE odd\n:::\n");
    machine.write("proc/meminfo", "MemTotal: 99999999999999999999 kB\n");
    machine.write("sys/devices/system/cpu/online", "3-0,x,4294967295-0\n");
    machine.write("sys/class/thermal/thermal_zone0/temp", "-274000\n");
    machine.write("sys/class/thermal/thermal_zone1/temp", "99999999999999999999\n");
    machine.write("sys/class/thermal/thermal_zone2/temp", "2147483647\n");
    machine.write("sys/bus/pci/devices/no address/vendor", "0x10de\n");
    machine.write("sys/bus/pci/devices/no address/class", "0x030000\n");
    assert_eq!(discover(machine.root()), [cpu("\u{FFFD}\u{FFFD} odd", 0, cores(2, &[]))]);
}

#[test]
fn folders_and_pipes_in_place_of_files_keep_nobody_waiting() {
    let machine = Machine::copy("raspberry-pi-4");
    let stick = "sys/bus/usb/devices/1-1.1";
    std::fs::remove_file(machine.root().join(stick).join("idVendor")).expect("a recorded file");
    machine.write(&format!("{stick}/idVendor/idVendor"), "03e7\n");
    let pipe = machine.root().join("sys/class/thermal/thermal_zone0/temp");
    std::fs::remove_file(&pipe).expect("a recorded file");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is everywhere").success());
    machine.remove("sys/class/hwmon");
    let found = discover(machine.root());
    assert_eq!((names(&found), found[0].temperature), (vec!["cpu", "stick-1-1.3"], None));
}

/// Whatever a file of a machine holds, the rest is found.
#[test]
fn no_file_of_any_machine_can_do_harm() {
    let hostile: [&[u8]; 6] =
        [b"", b"\xFF\xFE\x00\x80", b"18446744073709551616", b"-1", b"4294967295-0,:::,0-4294967295", b": : :\n\0\0=\n"];
    for name in ["jetson-tx2", "raspberry-pi-4", "raspberry-pi-5", "x86-box", "x86-two-gpus"] {
        let machine = Machine::copy(name);
        let all = discover(machine.root()).len();
        for file in machine.files() {
            let before = std::fs::read(&file).expect("a recorded file");
            for text in hostile {
                std::fs::write(&file, text).expect("a file of the copy");
                let found = discover(machine.root());
                assert_eq!(found[0].kind, DeviceKind::Cpu);
                assert!(found.len() <= all, "{}: {found:?}", file.display());
            }
            std::fs::remove_file(&file).expect("a file of the copy");
            assert!(!discover(machine.root()).is_empty());
            std::fs::write(&file, before).expect("a file of the copy");
        }
        assert_eq!(discover(machine.root()).len(), all);
    }
}

#[test]
fn this_machine() {
    let found = discover(Path::new("/"));
    let Details::Cpu(details) = &found[0].details else { panic!("{found:?}") };
    assert!(details.logical_cores >= 1 && found[0].memory_bytes > 1024 * 1024, "{found:?}");
    let all = names(&found);
    assert!(all.iter().all(|name| all.iter().filter(|other| *other == name).count() == 1), "{found:?}");
}

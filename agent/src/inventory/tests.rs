use super::*;

use skein_core::NodeId;
use skein_core::capability::NodeSpec;

/// The recorded machines of the crate that finds devices.
fn machine(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets/tests/data/machines").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

fn seen(root: &Path) -> Seen {
    Seen::of(&Finder::new(root).find(), &mut Heats::default(), &BTreeSet::new())
}

fn names(seen: &Seen) -> Vec<&str> {
    seen.devices.iter().map(|device| device.name.as_str()).collect()
}

#[test]
fn the_kernel_s_word_on_free_memory_is_read() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(memory_available(root.path()), None);
    std::fs::create_dir(root.path().join("proc")).unwrap();
    for (text, bytes) in [("MemTotal: 9 kB\nMemAvailable:    5 kB\n", Some(5 * 1024)), ("MemAvailable: soup\n", None)] {
        std::fs::write(root.path().join("proc/meminfo"), text).unwrap();
        assert_eq!(memory_available(root.path()), bytes);
    }
    assert!(memory_available(Path::new("/")).is_some());
}

#[test]
fn a_device_is_hot_where_it_slows_down_and_warm_close_to_that() {
    let mut cpu = Finder::new(&machine("x86-box")).find().remove(0);
    assert_eq!(heat(&cpu), Heat::Cool, "it has no sensor");
    for (degrees, expected) in [(20, Heat::Cool), (74, Heat::Cool), (75, Heat::Warm), (84, Heat::Warm), (85, Heat::Hot)]
    {
        cpu.temperature =
            Some(skein_targets::Temperature { millidegrees: degrees * 1000, slows_at_millidegrees: 85_000 });
        assert_eq!(heat(&cpu), expected, "{degrees}");
    }
    cpu.temperature = None;
    cpu.slowdowns = vec![skein_targets::Slowdown::UnderVoltage];
    assert_eq!(heat(&cpu), Heat::Hot);
}

#[test]
fn the_node_offers_processor_and_memory_and_its_processor_nothing_of_its_own() {
    let seen = seen(Path::new("/"));
    assert!(seen.offers.cpu_millicores >= 1000 && seen.offers.memory_bytes > 0);
    assert_eq!(seen.offers.gpu_milli, 0);
    let cpu = &seen.devices[0];
    assert_eq!((cpu.name.as_str(), &cpu.offers), ("cpu", &Resources::default()));
    assert!(!cpu.hardware.is_empty());
    assert_eq!(targets_on(cpu.kind).collect::<Vec<_>>(), ["tract", "onnxruntime", "openvino"]);
    assert_eq!(targets_on(DeviceKind::Gpu).count(), 0);
}

#[test]
fn what_nothing_drives_is_told_of_with_its_memory_and_offers_no_part_of_itself() {
    let pi = seen(&machine("raspberry-pi-4"));
    assert_eq!(names(&pi), ["cpu", "stick-1-1.1", "stick-1-1.3"]);
    let stick = &pi.devices[1];
    assert_eq!((stick.kind, stick.hardware.as_str()), (DeviceKind::Movidius, "Movidius NCS2 (Myriad X)"));
    assert_eq!(stick.offers, Resources { gpu_memory_bytes: 512 << 20, ..Resources::default() });
    assert!(!stick.is_driven() && pi.devices[0].is_driven());
    let jetson = seen(&machine("jetson-tx2"));
    assert_eq!(names(&jetson), ["cpu", "gpu"]);
    assert_eq!(jetson.devices[1].offers, Resources::default(), "its memory is the node's");
}

#[test]
fn heat_is_each_device_s_own() {
    assert_eq!(seen(&machine("jetson-tx2")).heat, Heat::Cool, "one of its sensors says 100 °C all the time");
    assert_eq!(seen(&machine("raspberry-pi-5")).heat, Heat::Hot, "its firmware slows it down below 85 °C");
    let root = tempfile::tempdir().unwrap();
    copy(&machine("jetson-tx2"), root.path());
    std::fs::write(root.path().join("sys/class/thermal/thermal_zone2/temp"), "96000\n").unwrap();
    let seen = seen(root.path());
    let heats: Vec<Heat> = seen.devices.iter().map(|device| device.heat).collect();
    assert_eq!((seen.heat, heats), (Heat::Cool, vec![Heat::Cool, Heat::Hot]));
}

#[test]
fn whatever_a_machine_says_the_mesh_takes_it() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let file = root.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("proc/cpuinfo", &format!("model name : {}\n", "ä".repeat(300)));
    write("proc/meminfo", &format!("MemTotal: {} kB\n", u64::MAX / 1024));
    write("sys/devices/system/cpu/online", "0-4294967294\n");
    for port in 1..=200 {
        write(&format!("sys/bus/usb/devices/1-{port}/idVendor"), "03e7");
        write(&format!("sys/bus/usb/devices/1-{port}/idProduct"), "2485");
    }
    let seen = seen(root.path());
    assert_eq!(seen.devices.len(), DEVICES_MAX);
    let capability = Capability { offers: seen.offers, devices: seen.devices, ..Capability::default() };
    let (name, address) = ("pi".into(), "127.0.0.1:1".into());
    assert!(NodeSpec { id: NodeId(1), name, address, version: "1".into(), capability }.within_bounds());
}

#[tokio::test]
async fn a_stick_that_is_plugged_in_is_there_and_one_that_is_pulled_out_is_gone() {
    let root = tempfile::tempdir().unwrap();
    copy(&machine("raspberry-pi-4"), root.path());
    let mut inventory = Inventory::start(root.path(), Duration::from_millis(5), BTreeSet::new()).await;
    assert_eq!(names(&inventory.seen()), ["cpu", "stick-1-1.1", "stick-1-1.3"]);
    let sticks = root.path().join("sys/bus/usb/devices");
    let until = async |inventory: &mut Inventory, expected: &[&str]| {
        let reached = async {
            while names(&inventory.seen()) != expected {
                inventory.changed().await;
            }
        };
        timeout(Duration::from_secs(30), reached).await.expect("what is plugged in is seen");
    };
    std::fs::rename(sticks.join("1-1.1"), root.path().join("pulled out")).unwrap();
    until(&mut inventory, &["cpu", "stick-1-1.3"]).await;
    std::fs::rename(root.path().join("pulled out"), sticks.join("1-1.2")).unwrap();
    until(&mut inventory, &["cpu", "stick-1-1.2", "stick-1-1.3"]).await;
    std::fs::remove_dir_all(&sticks).unwrap();
    until(&mut inventory, &["cpu"]).await;
}

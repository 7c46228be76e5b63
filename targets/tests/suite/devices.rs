//! What is found on recorded machines, on an empty one, and on this one.

use std::path::Path;

use skein_targets::{Device, DeviceKind, discover};

use crate::world::data;

fn cpu(name: &str, logical_cores: u32, memory_bytes: u64) -> Vec<Device> {
    vec![Device { kind: DeviceKind::Cpu, name: name.into(), logical_cores, memory_bytes }]
}

#[test]
fn an_x86_box() {
    let found = discover(&data("machines/x86-box"));
    assert_eq!(found, cpu("Intel(R) Celeron(R) J4125 CPU @ 2.00GHz", 4, 7_955_464 * 1024));
}

#[test]
fn a_raspberry_pi_4_names_its_cores_by_number() {
    assert_eq!(discover(&data("machines/raspberry-pi-4")), cpu("Cortex-A72", 4, 3_884_360 * 1024));
}

#[test]
fn a_jetson_tx2_mixes_cores_and_keeps_two_of_them_off() {
    assert_eq!(discover(&data("machines/jetson-tx2")), cpu("Cortex-A57 + Denver 2", 4, 8_043_504 * 1024));
}

#[test]
fn a_machine_that_says_nothing_still_has_a_cpu() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(discover(empty.path()), cpu("CPU of unknown name", 1, 0));
}

#[test]
fn nonsense_is_left_out() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let write = |path: &str, bytes: &[u8]| {
        let file = root.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("folders");
        std::fs::write(file, bytes).expect("a file");
    };
    write("proc/cpuinfo", b"processor : 0\nprocessor : 1\nmodel name :\nmodel name : \xFF\xFE odd\n:::\n");
    write("proc/meminfo", b"MemTotal: 99999999999999999999 kB\n");
    write("sys/devices/system/cpu/online", b"3-0,x,4294967295-0\n");
    assert_eq!(discover(root.path()), cpu("\u{FFFD}\u{FFFD} odd", 2, 0));
}

#[test]
fn this_machine() {
    let found = discover(Path::new("/"));
    assert_eq!(found.len(), 1);
    assert!(found[0].logical_cores >= 1 && found[0].memory_bytes > 1024 * 1024, "{found:?}");
}

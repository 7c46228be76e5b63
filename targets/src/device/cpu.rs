//! The CPU, from what Linux says about it on x86 and ARM.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{Device, DeviceKind};

/// How much of a file is read, in bytes: `cpuinfo` of a machine with 256 cores takes 400 kB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// ARM kernels give numbers instead of names: implementer, part, and the core's name. Those of the boards we know.
const ARM_CORES: &[(&str, &str, &str)] = &[
    ("0x41", "0xb76", "ARM1176"),
    ("0x41", "0xc07", "Cortex-A7"),
    ("0x41", "0xc08", "Cortex-A8"),
    ("0x41", "0xc09", "Cortex-A9"),
    ("0x41", "0xc0f", "Cortex-A15"),
    ("0x41", "0xd03", "Cortex-A53"),
    ("0x41", "0xd04", "Cortex-A35"),
    ("0x41", "0xd05", "Cortex-A55"),
    ("0x41", "0xd07", "Cortex-A57"),
    ("0x41", "0xd08", "Cortex-A72"),
    ("0x41", "0xd09", "Cortex-A73"),
    ("0x41", "0xd0a", "Cortex-A75"),
    ("0x41", "0xd0b", "Cortex-A76"),
    ("0x41", "0xd0c", "Neoverse-N1"),
    ("0x41", "0xd42", "Cortex-A78AE"),
    ("0x4e", "0x003", "Denver 2"),
    ("0x4e", "0x004", "Carmel"),
];

pub(super) fn discover(root: &Path) -> Device {
    let cpuinfo = read(root, "proc/cpuinfo");
    let online = read(root, "sys/devices/system/cpu/online");
    Device {
        kind: DeviceKind::Cpu,
        name: name(&cpuinfo),
        logical_cores: count_ranges(&online).unwrap_or_else(|| count_processors(&cpuinfo)).max(1),
        memory_bytes: memory_bytes(&read(root, "proc/meminfo")).unwrap_or(0),
    }
}

/// The file's text, or nothing: what a kernel does not say is left out, not an error.
fn read(root: &Path, path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(root.join(path)) {
        // What was read before an error is still worth having.
        let _ = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name(cpuinfo: &str) -> String {
    let mut cores = arm_cores(cpuinfo);
    cores.dedup();
    if !cores.is_empty() {
        return cores.join(" + ");
    }
    let named = ["model name", "Hardware", "Model"].into_iter().find_map(|key| values(cpuinfo, key).next());
    named.unwrap_or("CPU of unknown name").to_owned()
}

/// The names of the ARM cores, sorted: some chips mix two kinds.
fn arm_cores(cpuinfo: &str) -> Vec<&'static str> {
    let pairs = values(cpuinfo, "CPU implementer").zip(values(cpuinfo, "CPU part"));
    let find = |(maker, part)| ARM_CORES.iter().find(|core| core.0 == maker && core.1 == part).map(|core| core.2);
    let mut cores: Vec<&str> = pairs.filter_map(find).collect();
    cores.sort_unstable();
    cores
}

/// The values of a key in lines of `key : value`, none of them empty.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(move |(name, value)| name.trim() == key && !value.trim().is_empty()).map(|(_, value)| value.trim())
}

/// How many numbers a list such as `0-3,6` has.
fn count_ranges(ranges: &str) -> Option<u32> {
    ranges.trim().split(',').try_fold(0_u32, |count, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

fn count_processors(cpuinfo: &str) -> u32 {
    u32::try_from(values(cpuinfo, "processor").count()).unwrap_or(u32::MAX)
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let total = values(meminfo, "MemTotal").next()?;
    total.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

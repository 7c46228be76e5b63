//! The CPU, from what Linux says about it on x86 and ARM.

use serde::Serialize;

use super::thermal::{self, Part};
use super::tree::Tree;
use super::{Details, Device, DeviceKind, Slowdown, raspberry_pi};

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

/// What a processor says of itself beside its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuDetails {
    /// Cores that the system may schedule on now, hyperthreads counted; at least 1.
    pub logical_cores: u32,
    /// What every core has, of what makes inference quick.
    pub features: Vec<Feature>,
    /// The board that it sits on, where a device tree names it: "Raspberry Pi 4 Model B Rev 1.4".
    pub board: Option<String>,
    /// What has slowed it down since the machine started; only some boards remember.
    pub slowed_since_start: Vec<Slowdown>,
}

/// Instructions that make inference quick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    Avx2,
    Avx512,
    Neon,
    /// Products of bytes summed in one instruction: ASIMDDP on ARM, VNNI on x86.
    DotProduct,
}

/// The kernels' words for features.
const FEATURES: &[(&str, Feature)] = &[
    ("avx2", Feature::Avx2),
    ("avx512f", Feature::Avx512),
    ("asimd", Feature::Neon),
    ("neon", Feature::Neon),
    ("asimddp", Feature::DotProduct),
    ("avx_vnni", Feature::DotProduct),
    ("avx512_vnni", Feature::DotProduct),
];

impl Feature {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::Avx2 => "AVX2",
            Feature::Avx512 => "AVX-512",
            Feature::Neon => "NEON",
            Feature::DotProduct => "dot product",
        }
    }
}

/// The processor; `throttle_count` is how often it had slowed down when it was last looked at, and becomes how often by now.
pub(super) fn find(tree: &Tree, throttle_count: &mut Option<u64>) -> Device {
    let cpuinfo = tree.text("proc/cpuinfo");
    let online = tree.text("sys/devices/system/cpu/online");
    let throttled = raspberry_pi::throttled(tree).unwrap_or_default();
    let mut slowdowns = throttled.now;
    if (thermal::is_slowed(tree, Part::Cpu) || has_throttled(tree, throttle_count))
        && !slowdowns.contains(&Slowdown::Heat)
    {
        slowdowns.push(Slowdown::Heat);
    }
    Device {
        name: "cpu".to_owned(),
        kind: DeviceKind::Cpu,
        hardware: name(&cpuinfo),
        memory_bytes: memory_bytes(tree),
        temperature: thermal::temperature(tree, Part::Cpu),
        slowdowns,
        fault: None,
        details: Details::Cpu(CpuDetails {
            logical_cores: count_ranges(&online).unwrap_or_else(|| count_processors(&cpuinfo)).max(1),
            features: features(&cpuinfo),
            board: Some(tree.text("proc/device-tree/model")).filter(|model| !model.is_empty()),
            slowed_since_start: throttled.since_start,
        }),
    }
}

/// Whether the cores of an x86 processor slowed down since the last look: they count how often they do.
fn has_throttled(tree: &Tree, last: &mut Option<u64>) -> bool {
    let counts = tree.beginning("sys/devices/system/cpu", "cpu").flat_map(|cpu| {
        let count = |name: &str| tree.number::<u64>(&format!("{cpu}/thermal_throttle/{name}"));
        [count("core_throttle_count"), count("package_throttle_count")]
    });
    let now = counts.flatten().reduce(u64::saturating_add);
    let before = std::mem::replace(last, now);
    before.zip(now).is_some_and(|(before, now)| now > before)
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

/// The features that all cores have: a program may find itself on any of them.
fn features(cpuinfo: &str) -> Vec<Feature> {
    let of_core = |words: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        FEATURES.iter().filter(|(word, _)| words.contains(word)).map(|(_, feature)| *feature).collect::<Vec<_>>()
    };
    let mut cores = values(cpuinfo, "flags").chain(values(cpuinfo, "Features")).map(of_core);
    let mut common = cores.next().unwrap_or_default();
    for core in cores {
        common.retain(|feature| core.contains(feature));
    }
    common.dedup();
    common
}

/// The values of a key in lines of `key : value`, none of them empty.
pub(super) fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(move |(name, value)| name.trim() == key && !value.trim().is_empty()).map(|(_, value)| value.trim())
}

/// How many numbers a list such as `0-3,6` has.
fn count_ranges(ranges: &str) -> Option<u32> {
    ranges.split(',').try_fold(0_u32, |count, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

fn count_processors(cpuinfo: &str) -> u32 {
    u32::try_from(values(cpuinfo, "processor").count()).unwrap_or(u32::MAX)
}

/// All of the machine's memory; 0 where the kernel does not say.
pub(super) fn memory_bytes(tree: &Tree) -> u64 {
    let meminfo = tree.text("proc/meminfo");
    let total = values(&meminfo, "MemTotal").next().and_then(|total| total.strip_suffix("kB"));
    let kibibytes = total.and_then(|total| total.trim().parse::<u64>().ok());
    kibibytes.and_then(|kibibytes| kibibytes.checked_mul(1024)).unwrap_or(0)
}

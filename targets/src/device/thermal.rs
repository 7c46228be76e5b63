//! How hot a machine's parts are, and whether the kernel slows them down for it.

use serde::Serialize;

use super::tree::Tree;

/// From here on a machine slows down, or soon will, where it does not say otherwise: what makers of boards call the
/// throttling point.
const SLOWS_AT_MILLIDEGREES: i32 = 85_000;
/// Between these a kernel's word on where a part slows down is believed: some boards have points that only start a fan, or
/// a fantasy.
const SLOWS_AT_RANGE: std::ops::RangeInclusive<i32> = 60_000..=110_000;
/// What lies outside of this is a sensor that is broken, or switched off.
const PLAUSIBLE: std::ops::RangeInclusive<i32> = -60_000..=150_000;
/// Sensors that say nothing of the processor: radios, and one of Tegra chips that says 100 °C whatever happens.
const MEANINGLESS: &[&str] = &["pmic-die", "iwlwifi"];
/// Drivers of sensors in processors that are no thermal zones, on AMD's and some of Intel's.
const PROCESSOR_SENSORS: &[&str] = &["coretemp", "k10temp", "zenpower"];

/// A temperature, and where the device slows down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Temperature {
    pub millidegrees: i32,
    pub slows_at_millidegrees: i32,
}

/// Whose heat it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The GPU that is on the processor's own chip.
    Gpu,
    /// All else.
    Cpu,
}

impl Temperature {
    /// A temperature in thousandths of a degree; none where no part could have it.
    pub(super) fn new(millidegrees: i32, slows_at: Option<i32>) -> Option<Self> {
        let slows_at = slows_at.filter(|at| SLOWS_AT_RANGE.contains(at)).unwrap_or(SLOWS_AT_MILLIDEGREES);
        PLAUSIBLE.contains(&millidegrees).then_some(Self { millidegrees, slows_at_millidegrees: slows_at })
    }

    fn excess(self) -> i32 {
        self.millidegrees - self.slows_at_millidegrees
    }
}

/// The temperature that is nearest to its limit, of all sensors of a part.
pub(super) fn temperature(tree: &Tree, part: Part) -> Option<Temperature> {
    let zones = tree.beginning("sys/class/thermal", "thermal_zone").filter_map(|zone| {
        let kind = tree.text(&format!("{zone}/type")).to_lowercase();
        let is_meant = of(&kind) == part && !MEANINGLESS.iter().any(|name| kind.starts_with(name));
        let millidegrees = is_meant.then(|| tree.number(&format!("{zone}/temp"))).flatten()?;
        Temperature::new(millidegrees, passive_trip(tree, &zone))
    });
    let sensors = tree.beginning("sys/class/hwmon", "hwmon").filter(|sensor| {
        part == Part::Cpu && PROCESSOR_SENSORS.contains(&tree.text(&format!("{sensor}/name")).as_str())
    });
    let inputs = sensors.flat_map(|sensor| {
        let inputs = tree.beginning(&sensor, "temp").filter(|path| path.ends_with("_input"));
        inputs.filter_map(|input| Temperature::new(tree.number(&input)?, None)).collect::<Vec<_>>()
    });
    zones.chain(inputs).max_by_key(|temperature| temperature.excess())
}

/// Where the kernel begins to slow a part down.
fn passive_trip(tree: &Tree, zone: &str) -> Option<i32> {
    let kinds = tree.beginning(zone, "trip_point_").filter(|path| path.ends_with("_type"));
    let passive = kinds.filter(|kind| tree.text(kind) == "passive");
    let points = passive.filter_map(|kind| tree.number::<i32>(&format!("{}_temp", kind.strip_suffix("_type")?)));
    points.filter(|point| SLOWS_AT_RANGE.contains(point)).min()
}

/// Whether the kernel slows a part down now.
pub(super) fn is_slowed(tree: &Tree, part: Part) -> bool {
    tree.beginning("sys/class/thermal", "cooling_device").any(|device| {
        let kind = tree.text(&format!("{device}/type")).to_lowercase();
        slows(&kind, part) && tree.number::<i64>(&format!("{device}/cur_state")).is_some_and(|state| state > 0)
    })
}

/// Whether what cools in this way does so by slowing the part down: a fan does not.
fn slows(kind: &str, part: Part) -> bool {
    let is_whole_chip = kind.starts_with("emergency-balanced");
    let is_this_part = kind.contains("cpufreq") || kind.contains("devfreq") || kind.contains("balanced");
    is_whole_chip || (kind == "processor" && part == Part::Cpu) || (is_this_part && of(kind) == part)
}

fn of(kind: &str) -> Part {
    if kind.contains("gpu") { Part::Gpu } else { Part::Cpu }
}

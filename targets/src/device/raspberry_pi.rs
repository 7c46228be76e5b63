//! What the firmware of a Raspberry Pi says of its power and heat.

use super::Slowdown;
use super::tree::Tree;

/// The firmware's flags (`vcgencmd get_throttled`): which bit says so now; that it was so since the start is 16 bits further up.
/// The third says that it slows down, for whatever reason; the last that it is for heat, at its soft limit.
const FLAGS: [(u32, Slowdown); 4] =
    [(0, Slowdown::UnderVoltage), (1, Slowdown::FrequencyCap), (2, Slowdown::FrequencyCap), (3, Slowdown::Heat)];
const SINCE_START: u32 = 16;

/// What slows a Pi down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Throttled {
    pub(super) now: Vec<Slowdown>,
    pub(super) since_start: Vec<Slowdown>,
}

/// What the firmware says; none where there is no such firmware.
pub(super) fn throttled(tree: &Tree) -> Option<Throttled> {
    // `soc/soc:firmware` up to the Pi 4, `soc@107c000000/soc@107c000000:firmware` on the Pi 5, and without the first folder on
    // newer kernels.
    let platform = "sys/devices/platform";
    let inner = tree.beginning(platform, "soc").flat_map(|soc| tree.beginning(&soc, "soc"));
    let firmware = inner.chain(tree.beginning(platform, "soc")).filter(|path| path.ends_with(":firmware"));
    let flags = firmware.filter_map(|firmware| {
        let text = tree.text(&format!("{firmware}/get_throttled"));
        u32::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).ok()
    });
    flags.map(of_flags).next().or_else(|| under_voltage(tree))
}

fn of_flags(flags: u32) -> Throttled {
    let set = |shift: u32| {
        let mut set: Vec<Slowdown> =
            FLAGS.iter().filter(|(bit, _)| flags & (1 << (bit + shift)) != 0).map(|(_, why)| *why).collect();
        set.dedup();
        set
    };
    Throttled { now: set(0), since_start: set(SINCE_START) }
}

/// Where only the mainline kernel's sensor is there, it says this alone.
fn under_voltage(tree: &Tree) -> Option<Throttled> {
    let mut sensors = tree.beginning("sys/class/hwmon", "hwmon");
    let sensor = sensors.find(|sensor| tree.text(&format!("{sensor}/name")) == "rpi_volt")?;
    let alarm = tree.number::<u32>(&format!("{sensor}/in0_lcrit_alarm"))?;
    let now = if alarm > 0 { vec![Slowdown::UnderVoltage] } else { Vec::new() };
    Some(Throttled { now, since_start: Vec::new() })
}

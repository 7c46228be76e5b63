//! How hot devices are, in the steps that the mesh is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use skein_core::capability::{Device, Heat};

/// So close to where it slows down, another device is the better choice.
const WARM_MILLIDEGREES: i32 = 10_000;
/// So long a device has to be cooler before that is told. One that throttles at its limit is over it and below it in turn, and each
/// change of its heat is an entry in the log of the whole mesh.
const COOLER_FOR: Duration = Duration::from_secs(20);

/// How hot a device is: what slows down is at its limit, whatever its sensors say, and one without any is never hot.
pub(super) fn heat(found: &skein_targets::Device) -> Heat {
    if !found.slowdowns.is_empty() {
        return Heat::Hot;
    }
    let Some(temperature) = found.temperature else { return Heat::Cool };
    match temperature.slows_at_millidegrees - temperature.millidegrees {
        ..=0 => Heat::Hot,
        1..=WARM_MILLIDEGREES => Heat::Warm,
        _ => Heat::Cool,
    }
}

/// What is told of each device's heat: more at once, less when it has lasted.
#[derive(Debug, Default)]
pub(super) struct Heats {
    /// By the device's name: what is told, and since when it has been cooler than that.
    told: BTreeMap<String, (Heat, Option<Instant>)>,
}

impl Heats {
    /// Takes in what was seen now, and puts what is to be told in its place.
    pub(super) fn settle(&mut self, now: Instant, devices: &mut [Device]) {
        self.told.retain(|name, _| devices.iter().any(|device| device.name == *name));
        for device in devices {
            let (told, cooler_since) = self.told.entry(device.name.clone()).or_insert((device.heat, None));
            let is_cooler = device.heat < *told;
            if !is_cooler || now.duration_since(*cooler_since.get_or_insert(now)) >= COOLER_FOR {
                (*told, *cooler_since) = (device.heat, None);
            }
            device.heat = *told;
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_core::Resources;
    use skein_core::capability::DeviceKind;

    use super::*;

    #[test]
    fn a_device_that_throttles_at_its_limit_stays_hot_until_it_has_been_cooler_for_a_while() {
        let (mut heats, begin) = (Heats::default(), Instant::now());
        let mut told = |millis: u64, heat| {
            let (kind, offers) = (DeviceKind::Cpu, Resources::default());
            let mut devices = [Device { name: "cpu".into(), kind, hardware: String::new(), offers, heat }];
            heats.settle(begin + Duration::from_millis(millis), &mut devices);
            devices[0].heat
        };
        assert_eq!(told(0, Heat::Cool), Heat::Cool);
        assert_eq!(told(1, Heat::Hot), Heat::Hot);
        assert_eq!(told(2, Heat::Cool), Heat::Hot);
        assert_eq!(told(19_000, Heat::Warm), Heat::Hot);
        assert_eq!(told(20_000, Heat::Hot), Heat::Hot);
        assert_eq!(told(21_000, Heat::Cool), Heat::Hot, "that began anew");
        assert_eq!(told(40_999, Heat::Warm), Heat::Hot);
        assert_eq!(told(41_000, Heat::Warm), Heat::Warm);
        assert_eq!(told(41_001, Heat::Cool), Heat::Warm);
        assert_eq!(told(61_001, Heat::Cool), Heat::Cool);
    }
}

//! Vectors of resources and points in time as people read them.

use std::time::{Duration, UNIX_EPOCH};

use skein_core::resources::Dimension;
use skein_core::{Millis, Resources};

/// Every dimension of which there is some, with its unit.
pub(crate) fn resources(amounts: &Resources) -> String {
    let counted = [
        (Dimension::Cpu, amounts.cpu_millicores),
        (Dimension::Memory, amounts.memory_bytes),
        (Dimension::Gpu, amounts.gpu_milli),
        (Dimension::GpuMemory, amounts.gpu_memory_bytes),
    ];
    let named = amounts.named.iter().map(|(name, amount)| (Dimension::Named(name.clone()), *amount));
    let some = counted.into_iter().chain(named).filter(|(_, amount)| *amount > 0);
    let texts: Vec<String> = some
        .map(|(dimension, amount)| match dimension {
            // The column says that it is memory.
            Dimension::Memory => dimension.amount(amount).to_string().replace(" memory", ""),
            _ => dimension.amount(amount).to_string(),
        })
        .collect();
    if texts.is_empty() { "nothing".into() } else { texts.join(", ") }
}

/// A point in time, counted from the Unix epoch.
pub(crate) fn time(at: Millis) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_millis(at.0)).filter(|_| at.0 < YEAR_10000_MS) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => "no set time".into(),
    }
}

/// The calendar that is printed has four digits for the year.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

/// A length of time.
pub(crate) fn length(length: Millis) -> String {
    humantime::format_duration(Duration::from_millis(length.0)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_of_is_told() {
        let mut amounts = Resources { cpu_millicores: 500, memory_bytes: 256 << 20, ..Resources::default() };
        assert_eq!(resources(&amounts), "500m cpu, 256 MiB");
        amounts.gpu_milli = 250;
        amounts.gpu_memory_bytes = 2 << 30;
        amounts.named.insert("camera".into(), 2);
        assert_eq!(resources(&amounts), "500m cpu, 256 MiB, 250m gpu, 2 GiB GPU memory, 2 camera");
        assert_eq!(resources(&Resources::default()), "nothing");
    }

    #[test]
    fn every_number_is_a_time_or_none() {
        assert_eq!(time(Millis(1_795_478_400_000)), "2026-11-24T00:00:00.000Z");
        assert_eq!(time(Millis(YEAR_10000_MS - 1)), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(Millis(u64::MAX)), "no set time");
    }
}

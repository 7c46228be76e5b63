//! Points in time as people read them.

use std::time::{Duration, UNIX_EPOCH};

use skein_core::Millis;

/// The calendar that is printed has four digits for the year.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

/// A point in time, counted from the Unix epoch.
pub(crate) fn time(at: Millis) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_millis(at.0)).filter(|_| at.0 < YEAR_10000_MS) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => "no set time".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_time_or_none() {
        assert_eq!(time(Millis(1_795_478_400_000)), "2026-11-24T00:00:00.000Z");
        assert_eq!(time(Millis(YEAR_10000_MS - 1)), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(Millis(u64::MAX)), "no set time");
    }
}

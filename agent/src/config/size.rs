//! Amounts as people write them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// What a unit stands for, in bytes. A number without one is in MiB.
const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
const RULE: &str = "write it as a whole number of MiB, or with a unit, as in 256, 512KiB, 256MiB or 2GiB";

/// An amount of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// In bytes.
    pub bytes: u64,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim().trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = text.trim()[digits.len()..].trim();
        let unit = if unit.is_empty() { "MiB" } else { unit };
        let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, bytes) = known.ok_or_else(|| format!("'{text}' is no amount of memory: {RULE}"))?;
        let number: u64 = digits.trim().parse().map_err(|_| format!("'{text}' is no amount of memory: {RULE}"))?;
        let bytes =
            number.checked_mul(*bytes).ok_or_else(|| format!("'{text}' is more memory than any machine has"))?;
        Ok(Self { bytes })
    }
}

/// In a file: a number of MiB, or a text with a unit.
impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an amount of memory: a whole number of MiB, or a text as in \"256MiB\" or \"2GiB\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Size, E> {
                number.to_string().parse().map_err(E::custom)
            }
        }

        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.bytes);
        assert_eq!(size("256"), Ok(256 << 20));
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("2 gib"), Ok(2 << 30));
        assert_eq!(size("512KiB"), Ok(512 << 10));
        for bad in ["", "MiB", "-1", "1.5GiB", "12 parsecs", "256MB", "0x10"] {
            assert!(size(bad).unwrap_err().contains("write it as"), "{bad}");
        }
        assert!(size("99999999999999999999").unwrap_err().contains("write it as"));
        assert!(size("18446744073709551615").unwrap_err().contains("than any machine"));
    }
}

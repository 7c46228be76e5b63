//! The words of a claim, as flags and in the file.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use skein_core::Millis;
use skein_core::session::OFFLINE_UNLIMITED;
use skein_targets::TargetKind;

use crate::cli::session::claim::{Bind, Offline, TargetName};
use crate::runtimes::PROCESS;

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None if text == "each" => Ok(Self::Each),
            Some((node, device)) if !node.is_empty() && !device.is_empty() => {
                Ok(Self::To { node: node.into(), device: device.into() })
            }
            _ => Err(format!("'{text}' is neither `each` nor NODE/DEVICE, as in hall-2/gpu0")),
        }
    }
}

impl FromStr for Offline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" {
            return Ok(Self(OFFLINE_UNLIMITED));
        }
        let length = humantime::parse_duration(text);
        length
            .map(|length| Self(millis(length)))
            .map_err(|error| format!("'{text}' is neither `unlimited` nor a duration, as in 90s or 12h ({error})"))
    }
}

impl FromStr for TargetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_program = text.strip_prefix(PROCESS).is_some_and(|name| !name.is_empty());
        if !is_program {
            let known = text.parse::<TargetKind>();
            known.map_err(|error| format!("{error}, or {PROCESS}NAME for a program of the nodes that have it"))?;
        }
        Ok(Self(text.into()))
    }
}

pub(super) fn named(text: &str) -> Result<(String, u64), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, count) = parts.ok_or_else(|| format!("'{text}' is not NAME=COUNT, as in camera=1"))?;
    let count = count.parse().map_err(|_| format!("'{count}' is no count, in '{text}': write it as in camera=1"))?;
    Ok((name.into(), count))
}

pub(crate) fn millis(length: Duration) -> Millis {
    Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}

/// A text in the file that is read as the flag is.
pub(super) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

pub(super) fn table<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<(String, u64)>>, D::Error> {
    Ok(Some(BTreeMap::<String, u64>::deserialize(from)?.into_iter().collect()))
}

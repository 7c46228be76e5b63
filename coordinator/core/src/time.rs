//! Time as the core sees it: a number that somebody else read from a clock.

use core::fmt;
use core::ops::Add;

use serde::{Deserialize, Serialize};

/// Milliseconds. A point is counted from an origin that the caller keeps to (the Unix epoch in replicated entries, the
/// process's start in an agent's own decisions); a length is a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The length from `earlier` to this point; zero where `earlier` is later, as clocks may step back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Millis {
    type Output = Self;

    fn add(self, length: Self) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

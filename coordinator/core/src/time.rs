//! Time as the core sees it: a number that somebody else read from a clock.

use core::fmt;
use core::ops::Add;

use serde::{Deserialize, Serialize};

/// Milliseconds. A point is counted from an origin that the caller keeps to (the Unix epoch in replicated entries, the
/// process's start in an agent's own decisions); a length is a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// By so much the clocks of two leaders may reasonably differ. What was stamped further ahead than that, comes from a leader
/// whose clock was wrong: a board without a battery for it, say. Taken at its word, it would hold until that day.
pub const CLOCKS_DIFFER_MAX: Millis = Millis(5_000);

impl Millis {
    /// Whether a point that was set at most so far ahead has come; also where a wrong clock has set it.
    #[must_use]
    pub fn has_come(self, now: Self, ahead_max: Self) -> bool {
        self <= now || self.since(now) > ahead_max + CLOCKS_DIFFER_MAX
    }

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

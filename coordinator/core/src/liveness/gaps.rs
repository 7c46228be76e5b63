//! What silence is usual on a link, and what silence is a loss.
//!
//! The idea is that of the φ accrual failure detector (Hayashibara, Défago, Yared, Katayama, 2004): a silence is held against what the
//! link was seen to do, so that one rule serves a wire and a radio. It differs in three points. It does not keep a window of
//! samples but three numbers, as a mesh may have many nodes. It does not assume that gaps are normal: a lost beat adds a whole gap,
//! so that long gaps are far more frequent than a normal distribution of the same deviation has them. An exponential tail is assumed
//! instead, in which a silence of twelve mean deviations beyond the mean comes once in e¹² ≈ 163,000 gaps (φ = 5.2): for beats, once in seven
//! hours. And as deviations forget a rare long gap within seconds, the longest gap of late counts, too.

use crate::time::Millis;

/// Mean deviations beyond the mean that are a loss; see above.
const DEVIATIONS: u64 = 12;
/// A silence is a loss only if it is so many times as long as the longest gap of late.
const LONGEST_TIMES: u64 = 2;
/// A gap weighs a sixteenth in mean and deviation: they tell of the last two or three seconds of beats.
const WEIGHT: u64 = 16;
/// The longest gap fades by this part with each gap, to one half in about ninety: a spike every ten seconds stays known.
const FADE: u64 = 128;
/// Microseconds, so that integers do not round small parts away.
const MICROS: u64 = 1_000;
/// No gap counts as longer, so that sums stay within their integers: an hour.
const GAP_MAX: Millis = Millis(3_600_000);

/// The account of the gaps between signs of life on one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gaps {
    mean: u64,
    deviation: u64,
    longest: u64,
}

impl Gaps {
    /// Of a link on which a sign is due so often, and of which nothing else is known: gaps may well differ by half of that.
    pub fn expecting(every: Millis) -> Self {
        let mean = every.min(GAP_MAX).0 * MICROS;
        Self { mean, deviation: mean / 2, longest: mean }
    }

    /// A gap ended.
    pub fn note(&mut self, gap: Millis) {
        let gap = gap.min(GAP_MAX).0 * MICROS;
        let error = gap.abs_diff(self.mean);
        self.mean = towards(self.mean, gap);
        self.deviation = towards(self.deviation, error);
        self.longest = gap.max(self.longest - self.longest / FADE);
    }

    /// A silence of this length is a loss; within these bounds.
    pub fn silence_max(&self, least: Millis, most: Millis) -> Millis {
        let unlikely = self.mean + DEVIATIONS * self.deviation;
        let unseen = LONGEST_TIMES * self.longest;
        Millis(unlikely.max(unseen) / MICROS).max(least).min(most)
    }
}

fn towards(from: u64, to: u64) -> u64 {
    if to >= from { from + (to - from) / WEIGHT } else { from - (from - to) / WEIGHT }
}

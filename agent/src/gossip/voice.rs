//! When to speak, and whether to say everything or only that we are still the same.

use tokio::time::{Duration, Instant};

/// The least time between two messages: a crowd of newcomers is told once, and receivers' bound ([`super::rate`]) is kept.
const GAP: Duration = Duration::from_millis(200);
/// Each so many regular messages, one says everything, for those who missed it: most of the rest are a tenth of its size.
const BEATS_A_FULL: u32 = 6;

/// What to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Everything.
    Full,
    /// That nothing changed since the last full one.
    Beat,
}

/// Decides when to speak.
#[derive(Debug)]
pub(super) struct Voice {
    every: Duration,
    wanted: bool,
    spoke: Option<Instant>,
    beats: u32,
}

impl Voice {
    /// Speaks so often though nothing happens.
    pub(super) fn new(every: Duration) -> Self {
        Self { every: every.max(GAP), wanted: true, spoke: None, beats: 0 }
    }

    /// Something changed, or somebody is new.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// What to say now, if anything.
    pub(super) fn next(&mut self, now: Instant) -> Option<Say> {
        if self.wake_at(now) > now {
            return None;
        }
        self.spoke = Some(now);
        if self.wanted || self.beats + 1 >= BEATS_A_FULL {
            (self.wanted, self.beats) = (false, 0);
            return Some(Say::Full);
        }
        self.beats += 1;
        Some(Say::Beat)
    }

    /// When to ask again.
    pub(super) fn wake_at(&self, now: Instant) -> Instant {
        let wait = if self.wanted { GAP } else { self.every };
        self.spoke.map_or(now, |spoke| spoke + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    #[test]
    fn a_change_is_told_at_once_and_a_crowd_of_newcomers_once() {
        let (mut voice, begin) = (Voice::new(EVERY), Instant::now());
        assert_eq!(voice.next(begin), Some(Say::Full));
        for _ in 0..100 {
            voice.want();
            assert_eq!(voice.next(begin), None);
        }
        assert_eq!(voice.wake_at(begin), begin + GAP);
        assert_eq!(voice.next(begin + GAP), Some(Say::Full));
        assert_eq!(voice.next(begin + GAP * 2), None);
        voice.want();
        assert_eq!(voice.next(begin + EVERY / 2), Some(Say::Full), "after silence at once");
    }

    #[test]
    fn silence_is_broken_by_beats_and_now_and_then_by_everything() {
        let (mut voice, mut now) = (Voice::new(EVERY), Instant::now());
        let mut said = Vec::new();
        for _ in 0..13 {
            said.extend(voice.next(now));
            now = voice.wake_at(now);
        }
        let fulls: Vec<usize> = (0..said.len()).filter(|at| said[*at] == Say::Full).collect();
        assert_eq!((said.len(), fulls), (13, vec![0, 6, 12]));
    }

    #[test]
    fn it_stays_below_what_receivers_allow() {
        let (mut voice, begin) = (Voice::new(Duration::ZERO), Instant::now());
        let mut said = 0;
        for millis in 0..10_000 {
            voice.want();
            said += u32::from(voice.next(begin + Duration::from_millis(millis)).is_some());
        }
        assert!(said <= crate::gossip::rate::OWN_MAX, "{said} messages in ten seconds");
    }
}

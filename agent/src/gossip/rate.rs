//! How much one peer may say.

use std::collections::HashMap;

use libp2p::PeerId;
use tokio::time::{Duration, Instant};

/// How long is counted together.
const WINDOW: Duration = Duration::from_secs(10);
/// Messages that one node may make of itself within [`WINDOW`]: above the bound that [`super::voice`] keeps to.
pub(super) const OWN_MAX: u32 = 60;
/// Messages of anybody that one neighbour may hand on within [`WINDOW`]: it can invent as many signers as it likes. A mesh of a
/// thousand nodes, all heard through one neighbour and restarted at once, stays below.
pub(super) const CARRIED_MAX: u32 = 4000;
/// Peers that are counted at once; beyond it nobody new is listened to until old counts expire.
const PEERS_MAX: usize = 4096;

/// Counts what each peer said of late.
#[derive(Debug)]
pub(super) struct Rate {
    messages_max: u32,
    said: HashMap<PeerId, (Instant, u32)>,
    swept: Option<Instant>,
}

impl Rate {
    /// So many messages of one peer within the window.
    pub(super) fn new(messages_max: u32) -> Self {
        Self { messages_max, said: HashMap::new(), swept: None }
    }

    /// Whether one more message of this peer is listened to.
    pub(super) fn allows(&mut self, now: Instant, peer: PeerId) -> bool {
        self.sweep(now);
        if self.said.len() >= PEERS_MAX && !self.said.contains_key(&peer) {
            return false;
        }
        let (since, count) = self.said.entry(peer).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= self.messages_max
    }

    /// Once a window, not at each message: under a flood of strangers the sweep itself would be the load.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.duration_since(swept) >= WINDOW) {
            self.said.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            self.swept = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_a_pause_heals() {
        let (mut rate, begin, peer) = (Rate::new(OWN_MAX), Instant::now(), PeerId::random());
        let heard = (0..1000).filter(|_| rate.allows(begin, peer)).count();
        assert_eq!(heard, OWN_MAX as usize);
        assert!(rate.allows(begin, PeerId::random()), "another peer is not to blame");
        assert!(rate.allows(begin + WINDOW, peer));
    }

    #[test]
    fn a_crowd_of_strangers_takes_no_more_memory_than_the_bound() {
        let (mut rate, begin, friend) = (Rate::new(OWN_MAX), Instant::now(), PeerId::random());
        assert!(rate.allows(begin, friend));
        for _ in 0..3 * PEERS_MAX {
            rate.allows(begin, PeerId::random());
        }
        assert_eq!(rate.said.len(), PEERS_MAX);
        assert!(rate.allows(begin, friend), "who was counted before is still heard");
        assert!(rate.allows(begin + WINDOW, PeerId::random()));
        assert_eq!(rate.said.len(), 1);
    }
}

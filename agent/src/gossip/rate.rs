//! How much one peer may say.

use std::collections::HashMap;

use libp2p::PeerId;
use tokio::time::{Duration, Instant};

/// Announcements that one node may make within [`WINDOW`]: it says something every ten seconds, at each change, and to each
/// newcomer.
const MESSAGES_MAX: u32 = 60;
const WINDOW: Duration = Duration::from_secs(10);
/// Nodes that are counted at once; beyond it nobody new is listened to until old counts expire.
const PEERS_MAX: usize = 4096;

/// Counts what each node said of late.
#[derive(Debug, Default)]
pub(super) struct Rate {
    said: HashMap<PeerId, (Instant, u32)>,
}

impl Rate {
    /// Whether one more message of this node is listened to.
    pub(super) fn allows(&mut self, now: Instant, peer: PeerId) -> bool {
        if self.said.len() >= PEERS_MAX {
            self.said.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        let full = self.said.len() >= PEERS_MAX && !self.said.contains_key(&peer);
        let (since, count) = self.said.entry(peer).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        !full && *count <= MESSAGES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_a_pause_heals() {
        let (mut rate, begin, peer) = (Rate::default(), Instant::now(), PeerId::random());
        let heard = (0..1000).filter(|_| rate.allows(begin, peer)).count();
        assert_eq!(heard, MESSAGES_MAX as usize);
        assert!(rate.allows(begin, PeerId::random()), "another peer is not to blame");
        assert!(rate.allows(begin + WINDOW, peer));
    }
}

//! Whom to be connected to: known peers, which of them to dial next, which to let go, and which to remember.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use libp2p::{Multiaddr, PeerId};
use tokio::time::{Duration, Instant};

use crate::gossip::cache;
use crate::gossip::reach::{Reach, named, peer_of};

/// Peers to be connected to: all of a small mesh; in a large one enough that any few may go.
const CONNECTED_MAX: usize = 32;
/// Connections, with those that others made to us, beyond which some are let go: an agent that every newcomer is pointed to must
/// keep room for the next one (see the limits in [`super::swarm`]).
const CONNECTED_CROWD: usize = 96;
/// How long a connection counts as young: it is not let go, its peer has yet to hear of others; and its end does not count as the
/// end of one that worked, so that two who keep closing on each other slow down.
const YOUNG: Duration = Duration::from_secs(30);
/// Peers to know of.
const KNOWN_MAX: usize = 1024;
/// Addresses to know of each.
const ADDRESSES_MAX: usize = 8;
/// The first wait before a peer that did not answer is dialled again; doubled each time up to [`AGAIN_MAX`].
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// How often an agent with enough connections still tries one peer that it lost: the halves of a large mesh that was cut in two
/// are whole each, and would never look for each other. One success of one node heals it, so seldom is enough.
const SCOUT_EVERY: Duration = Duration::from_mins(5);

/// Every peer this one knows of.
#[derive(Debug)]
pub(super) struct Peers {
    own: PeerId,
    reach: Reach,
    seed: u64,
    known: BTreeMap<PeerId, Peer>,
    /// Since when, also of those that dialled us and have told no address.
    connected: BTreeMap<PeerId, Instant>,
    scouted: Option<Instant>,
}

#[derive(Debug, Default)]
struct Peer {
    /// The newest first.
    addresses: Vec<Multiaddr>,
    /// Where it answered, or what it told while it was connected.
    proven: Option<Multiaddr>,
    failures: u32,
    /// None while it is being dialled or connected.
    dial_at: Option<Instant>,
}

impl Peers {
    /// Knows nobody. The seed decides whom it prefers, and is to be nobody else's.
    pub(super) fn new(own: PeerId, reach: Reach, seed: u64) -> Self {
        Self { own, reach, seed, known: BTreeMap::new(), connected: BTreeMap::new(), scouted: None }
    }

    /// A peer may be found at this address, which must hold its id. The newest word comes first.
    pub(super) fn learn(&mut self, now: Instant, address: Multiaddr) {
        let Some(peer) = peer_of(&address) else { return };
        if peer == self.own || !self.reach.may_dial(&address) || !self.has_room_for(&peer) {
            return;
        }
        let connected = self.connected.contains_key(&peer);
        let fresh = || Peer { dial_at: (!connected).then_some(now), ..Peer::default() };
        let entry = self.known.entry(peer).or_insert_with(fresh);
        if entry.addresses.contains(&address) {
            return;
        }
        // A new address is a new chance, but who tells a new one every moment does not have us dial every moment.
        entry.dial_at = entry.dial_at.map(|at| at.min(now + AGAIN_FIRST));
        if connected {
            entry.proven.get_or_insert_with(|| address.clone());
        }
        entry.addresses.insert(0, address);
        entry.addresses.truncate(ADDRESSES_MAX);
    }

    /// A peer answered at this address before the last restart.
    pub(super) fn recall(&mut self, now: Instant, address: Multiaddr) {
        self.learn(now, address.clone());
        if let Some(entry) = peer_of(&address).and_then(|peer| self.known.get_mut(&peer)) {
            entry.proven = Some(address);
        }
    }

    /// A peer is connected, at this address if it was dialled there.
    pub(super) fn connected(&mut self, now: Instant, peer: PeerId, dialled: Option<Multiaddr>) {
        self.connected.entry(peer).or_insert(now);
        let dialled = dialled.map(|address| named(address, peer));
        if let Some(address) = &dialled {
            self.learn(now, address.clone());
        }
        if let Some(entry) = self.known.get_mut(&peer) {
            let known = || entry.proven.take().or_else(|| entry.addresses.first().cloned());
            entry.proven = dialled.or_else(known);
            entry.dial_at = None;
        }
    }

    /// A peer is connected no longer.
    pub(super) fn closed(&mut self, now: Instant, peer: PeerId) {
        let since = self.connected.remove(&peer);
        if let Some(entry) = self.known.get_mut(&peer) {
            if since.is_some_and(|since| now.duration_since(since) >= YOUNG) {
                entry.failures = 0;
            }
            entry.fail(now);
        }
    }

    /// A peer could not be reached.
    pub(super) fn unreachable(&mut self, now: Instant, peer: PeerId) {
        if let Some(entry) = self.known.get_mut(&peer).filter(|_| !self.connected.contains_key(&peer)) {
            entry.fail(now);
        }
    }

    /// Whom to dial now, as long as there are not enough.
    ///
    /// Which of a large mesh is each node's own random choice. To take those with the nearest ids, say, looks as good and splits
    /// the mesh: neighbours choose each other, and nobody else.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due: Vec<PeerId> = self.known.iter().filter(|(_, peer)| peer.is_due(now)).map(|(id, _)| *id).collect();
        if due.is_empty() {
            return Vec::new();
        }
        let room = CONNECTED_MAX.saturating_sub(self.connected.len() + self.dialling());
        if room == 0 {
            due = self.scout(now, &due).into_iter().collect();
        }
        due.sort_by_key(|peer| self.order(peer));
        due.truncate(room.max(1));
        let dial = |peer: PeerId| {
            let entry = self.known.get_mut(&peer)?;
            entry.dial_at = None;
            Some((peer, entry.addresses.clone()))
        };
        due.into_iter().filter_map(dial).collect()
    }

    /// Whom to let go: there are too many connections, and they have others by now.
    pub(super) fn surplus(&self, now: Instant) -> Vec<PeerId> {
        let old = self.connected.iter().filter(|(_, since)| now.duration_since(**since) >= YOUNG);
        let mut old: Vec<PeerId> = old.map(|(peer, _)| *peer).collect();
        old.sort_by_key(|peer| std::cmp::Reverse(self.order(peer)));
        old.truncate(self.connected.len().saturating_sub(CONNECTED_CROWD));
        old
    }

    /// Addresses worth remembering: those that answered, of now or of before. In a fixed order, so that the same are the same.
    pub(super) fn remembered(&self) -> Vec<Multiaddr> {
        let worth = |(id, peer): (&PeerId, &Peer)| {
            let address = peer.proven.clone()?;
            Some((!self.connected.contains_key(id), peer.failures, address))
        };
        let mut proven: Vec<_> = self.known.iter().filter_map(worth).collect();
        proven.sort_by_key(|(away, failures, _)| (*away, *failures));
        let mut addresses: Vec<Multiaddr> = proven.into_iter().map(|(_, _, address)| address).collect();
        addresses.truncate(cache::ADDRESSES_MAX);
        addresses.sort();
        addresses
    }

    fn dialling(&self) -> usize {
        self.known.iter().filter(|(id, peer)| peer.dial_at.is_none() && !self.connected.contains_key(id)).count()
    }

    /// Of those that are due, the one that was lost and has waited longest, if it is time for that.
    fn scout(&mut self, now: Instant, due: &[PeerId]) -> Option<PeerId> {
        if self.scouted.is_some_and(|scouted| now.duration_since(scouted) < SCOUT_EVERY) {
            return None;
        }
        let lost = |id: &&PeerId| self.known.get(id).is_some_and(|peer| peer.failures > 0 && peer.proven.is_some());
        let longest =
            due.iter().filter(lost).min_by_key(|id| self.known.get(id).and_then(|peer| peer.dial_at)).copied();
        if longest.is_some() {
            self.scouted = Some(now);
        }
        longest
    }

    /// Whether this peer is known or may be: of a full list, the one that failed most makes room.
    fn has_room_for(&mut self, peer: &PeerId) -> bool {
        if self.known.len() < KNOWN_MAX || self.known.contains_key(peer) {
            return true;
        }
        let failed = self.known.iter().filter(|(_, peer)| peer.failures > 0 && peer.dial_at.is_some());
        let worst = failed.max_by_key(|(_, peer)| (peer.proven.is_none(), peer.failures)).map(|(id, _)| *id);
        worst.is_some_and(|worst| self.known.remove(&worst).is_some())
    }

    fn order(&self, peer: &PeerId) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, peer).hash(&mut hasher);
        hasher.finish()
    }
}

impl Peer {
    fn is_due(&self, now: Instant) -> bool {
        self.dial_at.is_some_and(|at| at <= now)
    }

    fn fail(&mut self, now: Instant) {
        // 2^5 seconds are beyond the longest wait already.
        let wait = AGAIN_FIRST.saturating_mul(1 << self.failures.min(5)).min(AGAIN_MAX);
        self.failures = self.failures.saturating_add(1);
        self.dial_at = Some(now + wait);
    }
}

#[cfg(test)]
mod tests;

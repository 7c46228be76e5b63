//! What each node said last: tells news from echoes, and turns a beat back into the announcement that it stands for.

use std::collections::HashMap;

use skein_core::NodeId;
use tokio::time::{Duration, Instant};

use crate::gossip::announcement::{Announcement, Beat};

/// How long an older stamp is not believed. A board whose clock was set back by a reboot is believed again after it.
const STAMP_HOLDS: Duration = Duration::from_mins(1);
/// Nodes that are remembered.
const NODES_MAX: usize = 4096;
/// Bytes of announcements that are remembered, as they were encoded: a thousand usual ones. Of a node beyond it beats say nothing
/// here, only its full announcements do.
const BYTES_MAX: usize = 1 << 20;

/// The last word of every node.
#[derive(Debug, Default)]
pub(super) struct Book {
    nodes: HashMap<NodeId, Entry>,
    bytes: usize,
}

/// What a beat comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// An echo of what was said before.
    NoNews,
    /// That a node is there, of which the announcement was missed.
    Missed,
    /// That this still holds.
    Holds(Box<Announcement>),
}

#[derive(Debug)]
struct Entry {
    stamp: u64,
    heard: Instant,
    full: Option<Full>,
}

#[derive(Debug)]
struct Full {
    announcement: Announcement,
    bytes: usize,
}

impl Book {
    /// Takes a full announcement of so many bytes in; whether it is news.
    pub(super) fn full(&mut self, now: Instant, announcement: &Announcement, bytes: usize) -> bool {
        let node = announcement.spec.id;
        if !self.is_news(now, node, announcement.stamp) {
            return false;
        }
        self.forget_full(node);
        let fits = self.bytes + bytes <= BYTES_MAX;
        let full = fits.then(|| Full { announcement: announcement.clone(), bytes });
        self.bytes += full.as_ref().map_or(0, |full| full.bytes);
        self.nodes.insert(node, Entry { stamp: announcement.stamp, heard: now, full });
        true
    }

    /// Takes a beat in.
    pub(super) fn beat(&mut self, now: Instant, node: NodeId, beat: &Beat) -> Told {
        if !self.is_news(now, node, beat.stamp) {
            return Told::NoNews;
        }
        let entry = self.nodes.entry(node).or_insert(Entry { stamp: 0, heard: now, full: None });
        (entry.stamp, entry.heard) = (beat.stamp, now);
        let same = entry.full.as_ref().filter(|full| full.announcement.stamp == beat.full);
        same.map_or(Told::Missed, |full| Told::Holds(Box::new(full.announcement.clone())))
    }

    fn is_news(&mut self, now: Instant, node: NodeId, stamp: u64) -> bool {
        if let Some(entry) = self.nodes.get(&node) {
            return stamp > entry.stamp || now.duration_since(entry.heard) >= STAMP_HOLDS;
        }
        self.nodes.len() < NODES_MAX || self.forget_the_silent(now)
    }

    /// Whether there is room again.
    fn forget_the_silent(&mut self, now: Instant) -> bool {
        self.nodes.retain(|_, entry| now.duration_since(entry.heard) < STAMP_HOLDS);
        let kept = self.nodes.values().filter_map(|entry| entry.full.as_ref());
        self.bytes = kept.map(|full| full.bytes).sum();
        self.nodes.len() < NODES_MAX
    }

    fn forget_full(&mut self, node: NodeId) {
        let full = self.nodes.get_mut(&node).and_then(|entry| entry.full.take());
        self.bytes -= full.map_or(0, |full| full.bytes);
    }
}

#[cfg(test)]
mod tests {
    use skein_core::capability::{Capability, NodeSpec};

    use super::*;

    fn said(node: u64, stamp: u64) -> Announcement {
        let spec = NodeSpec {
            id: NodeId(node),
            name: String::new(),
            address: String::new(),
            version: String::new(),
            capability: Capability::default(),
        };
        Announcement { stamp, ..Announcement::new(spec, None, None) }
    }

    #[test]
    fn a_beat_stands_for_the_announcement_that_it_names() {
        let (mut book, now) = (Book::default(), Instant::now());
        assert!(book.full(now, &said(1, 10), 100));
        assert_eq!(book.beat(now, NodeId(1), &Beat { stamp: 11, full: 10 }), Told::Holds(Box::new(said(1, 10))));
        assert_eq!(book.beat(now, NodeId(1), &Beat { stamp: 12, full: 9 }), Told::Missed, "of another we know nothing");
        assert_eq!(book.beat(now, NodeId(2), &Beat { stamp: 12, full: 9 }), Told::Missed);
    }

    #[test]
    fn what_is_played_back_is_no_news_until_the_clock_may_have_been_set_back() {
        let (mut book, now) = (Book::default(), Instant::now());
        assert!(book.full(now, &said(1, 10), 100));
        assert!(!book.full(now, &said(1, 10), 100) && !book.full(now, &said(1, 9), 100));
        assert_eq!(book.beat(now, NodeId(1), &Beat { stamp: 10, full: 10 }), Told::NoNews);
        assert!(book.full(now + STAMP_HOLDS, &said(1, 5), 100));
    }

    #[test]
    fn it_stays_within_its_bounds_and_has_room_again_after_the_silent() {
        let (mut book, now) = (Book::default(), Instant::now());
        let nodes = NODES_MAX as u64;
        let news = (0..2 * nodes).filter(|node| book.full(now, &said(*node, 1), 1024)).count();
        assert_eq!((news, book.nodes.len()), (NODES_MAX, NODES_MAX));
        assert!(book.bytes <= BYTES_MAX, "{}", book.bytes);
        assert!(book.full(now, &said(0, 2), 1024), "who is known is still heard");
        assert!(book.bytes <= BYTES_MAX, "{}", book.bytes);
        assert!(book.full(now + STAMP_HOLDS, &said(2 * nodes, 1), 1024));
        assert_eq!((book.nodes.len(), book.bytes), (1, 1024));
    }
}

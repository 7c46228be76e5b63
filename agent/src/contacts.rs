//! What this agent meets on its way to the other members, beside the log: which mesh it speaks for, who leads by gossip's account,
//! who does not answer and since when, and whether a member went on to another mesh without it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skein_core::{MeshId, Millis, NodeId};

/// Clones share what they know.
#[derive(Clone, Debug)]
pub struct Contacts(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    mesh: Option<MeshId>,
    /// The newest term that gossip told of, and who leads it.
    heard: Option<(u64, NodeId)>,
    leaderless_since: Option<Millis>,
    /// Other seats that do not answer, since the first call that failed. One entry a voter at most: only they are called.
    silent: BTreeMap<NodeId, Millis>,
    moved: Option<(NodeId, MeshId)>,
}

impl Contacts {
    /// A node that was in this mesh when it last ran, and has no leader yet.
    pub fn new(mesh: Option<MeshId>, now: Millis) -> Self {
        Self(Arc::new(Mutex::new(Known { mesh, leaderless_since: Some(now), ..Known::default() })))
    }

    /// The mesh this agent speaks for; none while it looks for one.
    pub fn mesh(&self) -> Option<MeshId> {
        self.known().mesh
    }

    /// The log says which mesh it is.
    pub fn set_mesh(&self, mesh: MeshId) {
        self.known().mesh = Some(mesh);
    }

    /// Gossip tells who leads. True where that is news.
    pub fn hear_leader(&self, term: u64, leader: NodeId) -> bool {
        let mut known = self.known();
        let is_news = known.heard.is_none_or(|(newest, _)| newest < term);
        if is_news {
            known.heard = Some((term, leader));
        }
        is_news
    }

    /// Who leads by gossip's account, in this term or a later one.
    pub fn heard_leader(&self, term: u64) -> Option<NodeId> {
        self.known().heard.filter(|(newest, _)| *newest >= term).map(|(_, leader)| leader)
    }

    /// Whether the mesh has a leader now.
    pub fn note_leader(&self, is_led: bool, now: Millis) {
        let since = &mut self.known().leaderless_since;
        *since = if is_led { None } else { since.or(Some(now)) };
    }

    /// Since when this agent knows of no leader, since the Unix epoch.
    pub fn leaderless_since(&self) -> Option<Millis> {
        self.known().leaderless_since
    }

    /// How a call to another seat went.
    pub fn note_call(&self, node: NodeId, answered: bool, now: Millis) {
        let mut known = self.known();
        if answered {
            known.silent.remove(&node);
        } else {
            known.silent.entry(node).or_insert(now);
        }
    }

    /// Since when a seat does not answer this one's calls.
    pub fn silent_since(&self, node: NodeId) -> Option<Millis> {
        self.known().silent.get(&node).copied()
    }

    /// A member of this mesh is in another one now. True where that is news.
    pub fn note_moved(&self, node: NodeId, mesh: MeshId) -> bool {
        self.known().moved.replace((node, mesh)) != Some((node, mesh))
    }

    /// The last member that was met in another mesh, and which one.
    pub fn moved(&self) -> Option<(NodeId, MeshId)> {
        self.known().moved
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failed_call_counts_until_one_is_answered() {
        let contacts = Contacts::new(None, Millis(1));
        let node = NodeId(2);
        contacts.note_call(node, false, Millis(5));
        contacts.note_call(node, false, Millis(9));
        assert_eq!(contacts.silent_since(node), Some(Millis(5)));
        contacts.note_call(node, true, Millis(11));
        assert_eq!(contacts.silent_since(node), None);
    }

    #[test]
    fn gossip_of_an_older_term_is_no_news() {
        let contacts = Contacts::new(None, Millis(1));
        assert!(contacts.hear_leader(3, NodeId(1)));
        assert!(!contacts.hear_leader(3, NodeId(2)) && !contacts.hear_leader(2, NodeId(2)));
        assert_eq!(contacts.heard_leader(3), Some(NodeId(1)));
        assert_eq!(contacts.heard_leader(4), None, "the seat itself knows of a later term");
    }

    #[test]
    fn a_mesh_is_without_a_leader_since_the_first_look_that_found_none() {
        let contacts = Contacts::new(None, Millis(1));
        contacts.note_leader(false, Millis(4));
        assert_eq!(contacts.leaderless_since(), Some(Millis(1)));
        contacts.note_leader(true, Millis(5));
        assert_eq!(contacts.leaderless_since(), None);
        contacts.note_leader(false, Millis(6));
        contacts.note_leader(false, Millis(7));
        assert_eq!(contacts.leaderless_since(), Some(Millis(6)));
    }
}

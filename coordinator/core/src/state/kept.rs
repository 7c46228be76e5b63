//! Places that sessions keep to themselves in the moment after a worker there is gone: a device or node of one's own is so until
//! the session is done with it, also while what failed there is being replaced.

use alloc::string::String;
use alloc::vec::Vec;

use crate::capability::NodeSpec;
use crate::ids::{NodeId, SessionId};
use crate::session::{Hold, Session};
use crate::state::State;
use crate::worker::Worker;

impl State {
    /// Sessions that keep a device of a node, or by one of its devices the node, without a worker there now: with the device.
    pub fn keepers_on(&self, node: NodeId) -> impl Iterator<Item = (SessionId, &Session, &String)> {
        self.index.kept_on(node).filter_map(|(id, device)| Some((*id, self.sessions.get(id)?, device)))
    }

    /// Those that a new worker of a session at a place takes it from: itself, and such as it may pass.
    pub(crate) fn keepers_of(&self, of: SessionId, node: NodeId, device: &str) -> Vec<SessionId> {
        let is_there = |hold: &Hold, kept: &str| kept == device || hold.keeps_node();
        let there = self
            .keepers_on(node)
            .filter(|(id, session, kept)| if *id == of { *kept == device } else { is_there(&session.hold, kept) });
        there.map(|(id, _, _)| id).collect()
    }

    /// A worker that served is gone: where it stood is its session's still, if that keeps places to itself.
    pub(crate) fn keep_place(&mut self, worker: &Worker) {
        let Some(session) = self.sessions.get_mut(&worker.session).filter(|known| known.hold.keeps_device()) else {
            return;
        };
        let place = (worker.node, worker.device.clone());
        let is_there = self.nodes.get(&place.0).is_some_and(|node| node.spec.capability.device(&place.1).is_some());
        if is_there && !session.kept.contains(&place) {
            self.index.keep(worker.session, &place);
            session.kept.push(place);
        }
    }

    /// A session keeps a place no longer; on its node, where it kept that as a whole.
    pub(crate) fn release_place(&mut self, id: SessionId, node: NodeId, device: &str) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let keeps_node = session.hold.keeps_node();
        let is_meant = |place: &(NodeId, String)| place.0 == node && (keeps_node || place.1 == device);
        for place in session.kept.extract_if(.., |place| is_meant(place)) {
            self.index.release(id, &place);
        }
    }

    /// What a session no longer wants, as others stand in place of those that were gone, is given back: the oldest first.
    pub(crate) fn release_surplus(&mut self, id: SessionId) {
        let serving = self.index.serving(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let wanted = session.target().saturating_sub(serving) as usize;
        let surplus = session.kept.len().saturating_sub(wanted);
        for place in session.kept.drain(..surplus) {
            self.index.release(id, &place);
        }
    }

    /// Nobody keeps a device that is no longer there.
    pub(crate) fn release_missing(&mut self, spec: &NodeSpec) {
        let missing = self.index.kept_on(spec.id).filter(|(_, device)| spec.capability.device(device).is_none());
        let missing: Vec<(SessionId, String)> = missing.cloned().collect();
        for (id, device) in missing {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.kept.retain(|(node, kept)| *node != spec.id || *kept != device);
            }
            self.index.release(id, &(spec.id, device));
        }
    }

    /// A session is over, and keeps nothing.
    pub(crate) fn end_session(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        for place in &session.kept {
            self.index.release(id, place);
        }
        Some(session)
    }
}

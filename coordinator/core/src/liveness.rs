//! Who is up: the leader's account of heartbeats.

use alloc::collections::BTreeMap;

use crate::command::Command;
use crate::ids::NodeId;
use crate::state::State;
use crate::time::Millis;

/// When each node was last heard, by the leader's own clock. A new leader starts a new account, in which everybody who
/// was up has just been heard: it must not declare nodes down for beats that went to its predecessor.
#[derive(Debug)]
pub struct Liveness {
    down_after: Millis,
    heard: BTreeMap<NodeId, Millis>,
}

impl Liveness {
    /// An account that begins now; `down_after` is how long a node may be silent.
    pub fn new(now: Millis, down_after: Millis, state: &State) -> Self {
        let up = state.nodes.iter().filter(|(_, node)| node.up);
        Self { down_after, heard: up.map(|(id, _)| (*id, now)).collect() }
    }

    /// A node was heard.
    pub fn observe(&mut self, now: Millis, node: NodeId) {
        let heard = self.heard.entry(node).or_default();
        *heard = now.max(*heard);
    }

    /// The first change of the state that the account calls for. A node that joined since was heard when it did.
    pub fn next_command(&mut self, now: Millis, state: &State) -> Option<Command> {
        for (id, node) in &state.nodes {
            if node.up {
                self.heard.entry(*id).or_insert(now);
            }
        }
        state.nodes.iter().find_map(|(id, node)| match (node.up, self.is_heard(now, *id)) {
            (true, false) => Some(Command::NodeDown(*id)),
            (false, true) => Some(Command::NodeUp(*id)),
            _ => None,
        })
    }

    /// When the next node will be down unless it is heard before.
    pub fn wake_at(&self, state: &State) -> Option<Millis> {
        let up = state.nodes.iter().filter(|(_, node)| node.up);
        up.filter_map(|(id, _)| self.heard.get(id)).map(|heard| *heard + self.down_after).min()
    }

    fn is_heard(&self, now: Millis, node: NodeId) -> bool {
        self.heard.get(&node).is_some_and(|heard| now.since(*heard) < self.down_after)
    }
}

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
    heard: BTreeMap<NodeId, Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// The last time; none for one that is known to be gone.
    at: Option<Millis>,
    /// Since when the node was up, when it was last seen so.
    up_since: Option<Millis>,
}

impl Liveness {
    /// An account that begins now; `down_after` is how long a node may be silent.
    pub fn new(now: Millis, down_after: Millis, state: &State) -> Self {
        let mut account = Self { down_after, heard: BTreeMap::new() };
        account.welcome(now, state);
        account
    }

    /// A node was heard.
    pub fn observe(&mut self, now: Millis, node: NodeId) {
        let heard = self.heard.entry(node).or_default();
        heard.at = heard.at.max(Some(now));
    }

    /// A node is known to be gone: it need not be waited for. It is up again when it is heard again.
    pub fn lose(&mut self, node: NodeId) {
        self.heard.entry(node).or_default().at = None;
    }

    /// The first change of the state that the account calls for.
    pub fn next_command(&mut self, now: Millis, state: &State) -> Option<Command> {
        self.welcome(now, state);
        state.nodes.iter().find_map(|(id, node)| match (node.up, self.is_heard(now, *id)) {
            (true, false) => Some(Command::NodeDown(*id)),
            (false, true) => Some(Command::NodeUp(*id)),
            _ => None,
        })
    }

    /// When the next node will be down unless it is heard before.
    pub fn wake_at(&self, state: &State) -> Option<Millis> {
        let up = state.nodes.iter().filter(|(_, node)| node.up);
        up.filter_map(|(id, _)| self.heard.get(id)?.at).map(|at| at + self.down_after).min()
    }

    /// A node that came up since counts as heard now: its last beat may be from before it went down, and it would be
    /// declared down again as it joins.
    fn welcome(&mut self, now: Millis, state: &State) {
        for (id, node) in state.nodes.iter().filter(|(_, node)| node.up) {
            let is_fresh = self.is_heard(now, *id);
            let heard = self.heard.entry(*id).or_default();
            if heard.up_since.replace(node.since) != Some(node.since) && !is_fresh {
                heard.at = Some(now);
            }
        }
    }

    fn is_heard(&self, now: Millis, node: NodeId) -> bool {
        self.heard.get(&node).and_then(|heard| heard.at).is_some_and(|at| now.since(at) < self.down_after)
    }
}

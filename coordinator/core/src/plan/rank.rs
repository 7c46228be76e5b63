//! Which of the feasible places is best.

use alloc::collections::BTreeMap;

use crate::capability::Device;
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::plan::{Placement, feasible};
use crate::resources::Resources;
use crate::state::State;
use crate::time::Millis;

/// The state with the placements made so far in this cycle.
#[derive(Debug)]
pub(crate) struct Trial<'state> {
    state: &'state State,
    /// What is taken of each device.
    used: BTreeMap<(NodeId, &'state str), Resources>,
    /// How many workers each session has on each node.
    spread: BTreeMap<(SessionId, NodeId), usize>,
    /// How many workers each node has.
    crowd: BTreeMap<NodeId, usize>,
}

/// What makes a place better, smallest first: few workers of the same session on the node, so that one loss never takes
/// them all; few workers at all; then the lowest id, so that the same state always gives the same plan.
type Score = (usize, usize, NodeId);

impl<'state> Trial<'state> {
    pub(crate) fn new(state: &'state State, stopped: &[WorkerId]) -> Self {
        let mut trial = Self { state, used: BTreeMap::new(), spread: BTreeMap::new(), crowd: BTreeMap::new() };
        for (id, worker) in &state.workers {
            if !stopped.contains(id) {
                trial.take(worker.session, worker.node, &worker.device, &worker.need);
            }
        }
        trial
    }

    /// The best place for one more worker of a session, taken at once; none where nothing fits.
    pub(crate) fn place(&mut self, now: Millis, session_id: SessionId) -> Option<Placement> {
        let state = self.state;
        let session = state.sessions.get(&session_id)?;
        let mut best: Option<(Score, &Device)> = None;
        for (id, node) in &state.nodes {
            if feasible::node_may_serve(session, node, now).is_err() {
                continue;
            }
            for device in &node.spec.capability.devices {
                let used = self.used.get(&(*id, device.name.as_str())).copied().unwrap_or_default();
                if feasible::device_may_serve(session, device, &device.offers.minus(&used)).is_err() {
                    continue;
                }
                let score = self.score(session_id, *id);
                if best.as_ref().is_none_or(|(known, _)| score < *known) {
                    best = Some((score, device));
                }
            }
        }
        let ((_, _, node), device) = best?;
        self.take(session_id, node, &device.name, &session.need);
        Some(Placement { session: session_id, node, device: device.name.clone() })
    }

    fn score(&self, session: SessionId, node: NodeId) -> Score {
        let same_session = self.spread.get(&(session, node)).copied().unwrap_or(0);
        let all = self.crowd.get(&node).copied().unwrap_or(0);
        (same_session, all, node)
    }

    fn take(&mut self, session: SessionId, node: NodeId, device: &'state str, need: &Resources) {
        let used = self.used.entry((node, device)).or_default();
        *used = used.plus(need);
        *self.spread.entry((session, node)).or_default() += 1;
        *self.crowd.entry(node).or_default() += 1;
    }
}

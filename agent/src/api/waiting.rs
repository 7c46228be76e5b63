//! Why a session lacks workers, in a few lines.

use skein_core::explain::{self, Explanation, Verdict};
use skein_core::{Millis, State};

use crate::api::SessionStatus;

/// The most reasons that a status shows; `skein explain` has all of them.
const REASONS_MAX: usize = 20;

/// Says in a session's status why it has fewer than its fixed workers, where it has.
pub(super) fn tell(state: &State, now: Millis, shown: &mut SessionStatus) {
    if shown.serving >= shown.fixed {
        return;
    }
    if let Some(explanation) = explain::session(state, now, shown.session) {
        shown.waiting_for = lines(&explanation);
        shown.before_it = explanation.before_it;
        shown.never_fits = explanation.never_fits;
    }
}

fn lines(explanation: &Explanation) -> Vec<String> {
    let refused = explanation.places.iter().filter_map(|place| match &place.verdict {
        Verdict::Refused(why) => Some(format!("{}, device '{}': {why}", place.node_name, place.device)),
        Verdict::Scored(_) => None,
    });
    let mut lines: Vec<String> = refused.collect();
    let beyond = lines.len().saturating_sub(REASONS_MAX) + explanation.left_out;
    lines.truncate(REASONS_MAX);
    if beyond > 0 {
        lines.push(format!("{beyond} further places; `skein explain session {}` shows more", explanation.session));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_core::explain::PlaceVerdict;
    use skein_core::plan::feasible::Unfit;
    use skein_core::policy::PolicyName;
    use skein_core::{NodeId, Resources, SessionId};

    #[test]
    fn only_so_many_reasons_are_told() {
        let place = |at: u64| PlaceVerdict {
            node: NodeId(at),
            node_name: format!("node-{at}"),
            device: "cpu".into(),
            verdict: Verdict::Refused(Unfit::NodeDown(NodeId(at))),
        };
        let explanation = Explanation {
            session: SessionId(3),
            worker: None,
            policy: PolicyName::Fcfs,
            mesh_policy: PolicyName::Fcfs,
            serving: 0,
            fixed: 1,
            target: 1,
            before_it: None,
            reserved: Resources::default(),
            never_fits: None,
            places: (0..25).map(place).collect(),
            left_out: 7,
        };
        let lines = lines(&explanation);
        assert_eq!(lines.len(), REASONS_MAX + 1);
        assert_eq!(lines[0], "node-0, device 'cpu': node 0000000000000000 is down");
        assert!(lines[REASONS_MAX].starts_with("12 further places"), "{}", lines[REASONS_MAX]);
    }
}

//! Nodes that were cut off come back and say what they did.

use alloc::vec;
use alloc::vec::Vec;

use crate::command::Refusal;
use crate::event::Event;
use crate::island::{IslandReport, REPORT_SESSIONS_MAX};
use crate::state::State;

/// Each report is entered once. Sessions that ended meanwhile have no account any more.
pub(super) fn report(state: &mut State, report: &IslandReport) -> Result<Vec<Event>, Refusal> {
    let IslandReport { node, number, sessions } = report;
    if !state.nodes.contains_key(node) {
        return Err(Refusal::NoNode(*node));
    }
    if sessions.len() > REPORT_SESSIONS_MAX {
        let why = alloc::format!("it is about {} sessions; the most is {REPORT_SESSIONS_MAX}", sessions.len());
        return Err(Refusal::BadReport(why));
    }
    let last = state.island_reports.entry(*node).or_default();
    if number <= last {
        return Ok(vec![]);
    }
    *last = *number;
    let mut events = vec![];
    for (id, account) in sessions {
        let Some(session) = state.sessions.get_mut(id) else { continue };
        session.islands = session.islands.plus(*account);
        events.push(Event::IslandReported { node: *node, session: *id, account: *account });
    }
    Ok(events)
}

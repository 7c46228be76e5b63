//! What happened to the tasks of a session at one gateway.

use anyhow::bail;
use serde::Serialize;
use skein_core::SessionId;
use skein_core::dispatch::events::{TaskChange, TaskEvent};

use super::Page;
use crate::api::{Answer, EVENTS_MAX, Request, TaskEventPage};
use crate::cli::output::table;
use crate::client::Client;

/// One event, for programs.
#[derive(Debug, Serialize)]
struct Line<'event> {
    what: &'static str,
    why: String,
    #[serde(flatten)]
    event: &'event TaskEvent,
}

pub(super) async fn page(client: &Client, session: SessionId, after: u64) -> anyhow::Result<Page> {
    match client.ask(Request::TaskEvents { session, after, most: EVENTS_MAX }).await? {
        Answer::TaskEvents(page) => shown(&page, session, after),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

fn shown(page: &TaskEventPage, session: SessionId, after: u64) -> anyhow::Result<Page> {
    let TaskEventPage { gateway, events, last } = page;
    let nothing = match last {
        0 => format!(
            "No task of session {session} came through node {gateway}; name the agent that its clients use with --address"
        ),
        last => format!("Nothing happened after event {after}; the last is event {last}"),
    };
    let object = |event: &TaskEvent| {
        serde_json::to_value(Line { what: what(&event.change), why: event.change.to_string(), event })
    };
    let objects: Result<Vec<_>, _> = events.iter().map(object).collect();
    let row = |event: &TaskEvent| {
        let TaskEvent { sequence, task, attempt, change } = event;
        let (stream, number) = (task.stream.to_string(), task.sequence.to_string());
        [sequence.to_string(), stream, number, attempt.to_string(), what(change).into(), change.to_string()]
    };
    Ok(Page {
        numbers: events.iter().map(|event| event.sequence).collect(),
        objects: objects?,
        table: table(["EVENT", "STREAM", "TASK", "ATTEMPT", "WHAT", "WHY"], events.iter().map(row).collect()),
        nothing,
    })
}

fn what(change: &TaskChange) -> &'static str {
    match change {
        TaskChange::Submitted => "submitted",
        TaskChange::Sent { .. } => "sent",
        TaskChange::Unsent { .. } => "not sent",
        TaskChange::Lost { .. } => "lost",
        TaskChange::Failed { .. } => "failed",
        TaskChange::Retried { .. } => "retried",
        TaskChange::Checkpointed => "checkpointed",
        TaskChange::Done => "done",
        TaskChange::Ended { .. } => "ended",
        TaskChange::Dropped => "dropped",
    }
}

#[cfg(test)]
mod tests {
    use skein_core::dispatch::TaskId;
    use skein_core::{Millis, NodeId, Sequence, StreamId, WorkerId};

    use super::*;

    #[test]
    fn a_task_s_way_is_a_row_a_step() {
        let task = TaskId { stream: StreamId(9), sequence: Sequence(3) };
        let steps = [
            (1, TaskChange::Submitted),
            (1, TaskChange::Sent { worker: WorkerId(2) }),
            (1, TaskChange::Failed { reason: "the stick is gone".into() }),
            (2, TaskChange::Retried { after: Millis(50) }),
        ];
        let event = |(sequence, (attempt, change))| TaskEvent { sequence, task, attempt, change };
        let events = (5..).zip(steps).map(event).collect();
        let page = TaskEventPage { gateway: NodeId(1), events, last: 8 };
        let page = shown(&page, SessionId(1), 4).unwrap();
        for row in [
            "5      0000000000000009  3     1        submitted  a client submitted it",
            "failed     the attempt failed: the stick is gone",
        ] {
            assert!(page.table.contains(row), "'{row}' should be in:\n{}", page.table);
        }
        assert_eq!((&page.objects[1]["what"], &page.objects[1]["task"]["sequence"]), (&"sent".into(), &3.into()));
        let none = TaskEventPage { gateway: NodeId(1), events: vec![], last: 0 };
        let none = shown(&none, SessionId(1), 0).unwrap().nothing;
        assert!(none.contains("No task of session 1 came through node 0000000000000001"), "{none}");
    }
}

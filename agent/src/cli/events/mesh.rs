//! What happened in the mesh.

use anyhow::bail;
use serde::Serialize;
use skein_core::Event;
use skein_core::event::Numbered;

use super::Page;
use super::words::{self, Names};
use crate::api::{Answer, EVENTS_MAX, Request};
use crate::cli::amounts::time;
use crate::cli::find;
use crate::cli::output::table;
use crate::client::Client;

/// One event, for programs.
#[derive(Debug, Serialize)]
struct Line<'event> {
    sequence: u64,
    at: u64,
    what: String,
    why: String,
    event: &'event Event,
}

pub(super) async fn page(client: &Client, after: u64) -> anyhow::Result<Page> {
    let Answer::Events(page) = client.ask(Request::Events { after, most: EVENTS_MAX }).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    let names = if page.events.is_empty() { Names::new() } else { names(client).await };
    let nothing = format!("Nothing happened after event {after}; the last is event {}", page.last);
    shown(&page.events, &names, nothing)
}

/// What the nodes are called; where that cannot be learnt, their ids will do.
async fn names(client: &Client) -> Names {
    let nodes = find::mesh(client).await.map(|mesh| mesh.nodes).unwrap_or_default();
    nodes.into_iter().map(|node| (node.node, node.name)).collect()
}

fn shown(events: &[Numbered], names: &Names, nothing: String) -> anyhow::Result<Page> {
    let lines: Vec<Line> = events.iter().map(|numbered| line(numbered, names)).collect();
    let objects: Result<Vec<_>, _> = lines.iter().map(serde_json::to_value).collect();
    let row = |(line, numbered): (Line, &Numbered)| [line.sequence.to_string(), time(numbered.at), line.what, line.why];
    Ok(Page {
        numbers: events.iter().map(|numbered| numbered.sequence).collect(),
        objects: objects?,
        table: table(["EVENT", "TIME", "WHAT", "WHY"], lines.into_iter().zip(events).map(row).collect()),
        nothing,
    })
}

fn line<'event>(numbered: &'event Numbered, names: &Names) -> Line<'event> {
    let Numbered { sequence, at, event } = numbered;
    Line { sequence: *sequence, at: at.0, what: words::of(event, names), why: event.reason(), event }
}

#[cfg(test)]
mod tests {
    use skein_core::worker::Why;
    use skein_core::{Millis, NodeId, SessionId, WorkerId};

    use super::*;

    #[test]
    fn an_event_is_a_row_with_what_and_why() {
        let events = [
            Event::Blocked { node: NodeId(1), device: Some("cpu".into()), reason: "new fan".into() },
            Event::WorkerLeaving {
                worker: WorkerId(2),
                until: Millis(1_795_478_402_000),
                why: Why::Preempted { by: SessionId(4) },
            },
        ];
        let at = Millis(1_795_478_400_000);
        let events: Vec<Numbered> =
            (7..).zip(events).map(|(sequence, event)| Numbered { sequence, at, event }).collect();
        let names = [(NodeId(1), String::from("alpha"))].into();
        let page = shown(&events, &names, String::new()).unwrap();
        for words in ["7      2026-11-24T00:00:00.000Z  device 'cpu' of node alpha is blocked", "new fan"] {
            assert!(page.table.contains(words), "'{words}' should be in:\n{}", page.table);
        }
        assert!(page.table.contains("session 4 has a higher priority"), "{}", page.table);
        let json = &page.objects[1];
        assert_eq!((&json["sequence"], &json["event"]["WorkerLeaving"]["worker"]), (&8.into(), &2.into()));
        assert_eq!(page.numbers, [7, 8]);
    }
}

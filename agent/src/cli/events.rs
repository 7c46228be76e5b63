//! `skein events`: what happened, and why.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use skein_core::Event;
use skein_core::event::Numbered;
use tokio::time::sleep;

use crate::api::{Answer, EVENTS_MAX, EventPage, Request};
use crate::cli::amounts::time;
use crate::cli::output::{Output, json_line, print, table};
use crate::cli::{Common, find};
use crate::client::Client;
use words::Names;

mod words;

/// How often the mesh is asked for more: soon enough for a person, and nothing to an agent.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often in a row a lost agent, or another that was named, is tried again while events are followed: five seconds are
/// more than a restart takes.
const RETRIES_MAX: u32 = 10;

/// What `skein events` takes.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Show what came after the event of this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// Go on showing events as they come
    #[arg(long, short = 'f')]
    follow: bool,
}

/// One event, for programs.
#[derive(Debug, Serialize)]
struct Line<'event> {
    sequence: u64,
    at: u64,
    what: String,
    why: String,
    event: &'event Event,
}

/// Events that are no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Gap {
    gap_from: u64,
    gap_to: u64,
}

pub(crate) async fn run(common: &Common, arguments: EventsArgs) -> anyhow::Result<ExitCode> {
    let mut client = common.connect().await?;
    let mut after = arguments.after;
    let mut failed = 0;
    loop {
        let page = match page(&client, after).await {
            Err(error) if arguments.follow && failed < RETRIES_MAX => {
                tracing::debug!("looking for an agent again: {error:#}");
                failed += 1;
                sleep(ASK_EVERY).await;
                // One that cannot be reached yet is asked again with the old connection, and fails again.
                client = common.connect().await.unwrap_or(client);
                continue;
            }
            page => page?,
        };
        failed = 0;
        if page.events.is_empty() && after == arguments.after && !arguments.follow && common.output() == Output::Table {
            print(&format!("Nothing happened after event {after}; the last is event {}", page.last))?;
        }
        if !page.events.is_empty() {
            show(common.output(), after, &page, after == arguments.after, &names(&client).await)?;
        }
        after = page.events.last().map_or(after, |last| last.sequence);
        let is_all = page.events.len() < EVENTS_MAX;
        match (is_all, arguments.follow) {
            (true, false) => return Ok(ExitCode::SUCCESS),
            (true, true) => sleep(ASK_EVERY).await,
            (false, _) => {}
        }
    }
}

/// What the nodes are called; where that cannot be learnt, their ids will do.
async fn names(client: &Client) -> Names {
    let nodes = find::mesh(client).await.map(|mesh| mesh.nodes).unwrap_or_default();
    nodes.into_iter().map(|node| (node.node, node.name)).collect()
}

async fn page(client: &Client, after: u64) -> anyhow::Result<EventPage> {
    match client.ask(Request::Events { after, most: EVENTS_MAX }).await? {
        Answer::Events(page) => Ok(page),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

fn show(output: Output, after: u64, page: &EventPage, is_first: bool, names: &Names) -> anyhow::Result<()> {
    let gap = gap(after, page);
    match output {
        Output::Json => {
            gap.iter().try_for_each(json_line)?;
            page.events.iter().try_for_each(|numbered| json_line(&line(numbered, names)))
        }
        Output::Quiet => page.events.iter().try_for_each(|numbered| print(&numbered.sequence.to_string())),
        Output::Table => {
            if let Some(Gap { gap_from, gap_to }) = gap {
                print(&format!("events {gap_from} to {gap_to} are no longer kept"))?;
            }
            let rows = rows(&page.events, names);
            let below_headings = rows.split_once('\n').map_or("", |(_, below)| below);
            print(if is_first { &rows } else { below_headings })
        }
    }
}

/// The mesh keeps the last few hundred events only.
fn gap(after: u64, page: &EventPage) -> Option<Gap> {
    let first = page.events.first()?.sequence;
    (first > after.saturating_add(1)).then(|| Gap { gap_from: after + 1, gap_to: first - 1 })
}

fn line<'event>(numbered: &'event Numbered, names: &Names) -> Line<'event> {
    let Numbered { sequence, at, event } = numbered;
    Line { sequence: *sequence, at: at.0, what: words::of(event, names), why: event.reason(), event }
}

fn rows(events: &[Numbered], names: &Names) -> String {
    let row = |numbered: &Numbered| {
        let line = line(numbered, names);
        [line.sequence.to_string(), time(numbered.at), line.what, line.why]
    };
    table(["EVENT", "TIME", "WHAT", "WHY"], events.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_core::worker::Why;
    use skein_core::{Millis, NodeId, SessionId, WorkerId};

    fn page(first: u64) -> EventPage {
        let events = [
            Event::Blocked { node: NodeId(1), device: Some("cpu".into()), reason: "new fan".into() },
            Event::WorkerLeaving {
                worker: WorkerId(2),
                until: Millis(1_795_478_402_000),
                why: Why::Preempted { by: SessionId(4) },
            },
        ];
        let at = Millis(1_795_478_400_000);
        let numbered = (first..).zip(events).map(|(sequence, event)| Numbered { sequence, at, event });
        EventPage { events: numbered.collect(), last: first + 1 }
    }

    #[test]
    fn an_event_is_a_row_with_what_and_why() {
        let names = [(NodeId(1), String::from("alpha"))].into();
        let text = rows(&page(7).events, &names);
        for words in ["7      2026-11-24T00:00:00.000Z  device 'cpu' of node alpha is blocked", "new fan"] {
            assert!(text.contains(words), "'{words}' should be in:\n{text}");
        }
        assert!(text.contains("session 4 has a higher priority"), "{text}");
        let json = serde_json::to_value(line(&page(7).events[1], &Names::new())).unwrap();
        assert_eq!((&json["sequence"], &json["event"]["WorkerLeaving"]["worker"]), (&8.into(), &2.into()));
    }

    #[test]
    fn what_is_no_longer_kept_is_said() {
        assert_eq!(gap(6, &page(7)), None);
        assert_eq!(gap(0, &page(1)), None);
        assert_eq!(gap(2, &page(7)), Some(Gap { gap_from: 3, gap_to: 6 }));
        assert_eq!(gap(u64::MAX, &page(7)), None);
        assert_eq!(gap(2, &EventPage { events: vec![], last: 2 }), None);
    }
}

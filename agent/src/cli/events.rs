//! `skein events`: what happened, and why.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use skein_core::SessionId;
use tokio::time::sleep;

use crate::api::EVENTS_MAX;
use crate::cli::Common;
use crate::cli::output::{Output, json_line, print};
use crate::client::Client;

mod mesh;
mod tasks;
mod words;

/// How often the mesh is asked for more: soon enough for a person, and nothing to an agent.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often in a row a lost agent, or another that was named, is tried again while events are followed: five seconds are
/// more than a restart takes.
const RETRIES_MAX: u32 = 10;

/// What `skein events` takes.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Show what happened to the tasks of a session whose gateway the asked agent is, in place of what happened in the mesh
    #[arg(long, value_name = "SESSION")]
    tasks: Option<SessionId>,
    /// Show what came after the event of this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
    /// Go on showing events as they come
    #[arg(long, short = 'f')]
    follow: bool,
}

/// Some events, ready to be shown.
#[derive(Debug)]
struct Page {
    /// Their numbers, the oldest first.
    numbers: Vec<u64>,
    /// For programs.
    objects: Vec<serde_json::Value>,
    /// For people.
    table: String,
    /// What to say where there is none.
    nothing: String,
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
        let page = match page(&client, arguments.tasks, after).await {
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
        let is_first = after == arguments.after;
        if !page.numbers.is_empty() {
            show(common.output(), after, &page, is_first)?;
        } else if is_first && !arguments.follow && common.output() == Output::Table {
            print(&page.nothing)?;
        }
        after = page.numbers.last().copied().unwrap_or(after);
        let is_all = page.numbers.len() < EVENTS_MAX;
        match (is_all, arguments.follow) {
            (true, false) => return Ok(ExitCode::SUCCESS),
            (true, true) => sleep(ASK_EVERY).await,
            (false, _) => {}
        }
    }
}

async fn page(client: &Client, tasks: Option<SessionId>, after: u64) -> anyhow::Result<Page> {
    match tasks {
        Some(session) => tasks::page(client, session, after).await,
        None => mesh::page(client, after).await,
    }
}

fn show(output: Output, after: u64, page: &Page, is_first: bool) -> anyhow::Result<()> {
    let gap = gap(after, &page.numbers);
    match output {
        Output::Json => {
            gap.iter().try_for_each(json_line)?;
            page.objects.iter().try_for_each(json_line)
        }
        Output::Quiet => page.numbers.iter().try_for_each(|number| print(&number.to_string())),
        Output::Table => {
            if let Some(Gap { gap_from, gap_to }) = gap {
                print(&format!("events {gap_from} to {gap_to} are no longer kept"))?;
            }
            let below_headings = page.table.split_once('\n').map_or("", |(_, below)| below);
            print(if is_first { &page.table } else { below_headings })
        }
    }
}

/// Only so many events are kept.
fn gap(after: u64, numbers: &[u64]) -> Option<Gap> {
    let first = *numbers.first()?;
    (first > after.saturating_add(1)).then(|| Gap { gap_from: after + 1, gap_to: first - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_kept_is_said() {
        assert_eq!(gap(6, &[7, 8]), None);
        assert_eq!(gap(0, &[1, 2]), None);
        assert_eq!(gap(2, &[7, 8]), Some(Gap { gap_from: 3, gap_to: 6 }));
        assert_eq!(gap(u64::MAX, &[7]), None);
        assert_eq!(gap(2, &[]), None);
    }
}

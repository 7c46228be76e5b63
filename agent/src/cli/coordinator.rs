//! `skein coordinator`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use skein_core::NodeId;
use skein_core::seats::Rules;

use crate::api::{Answer, Change, CoordinatorStatus, Request};
use crate::cli::amounts::length;
use crate::cli::output::Show;
use crate::cli::session::claim::millis;
use crate::cli::{Common, find};
use crate::client::Client;

mod recover;
mod show;

/// What `skein coordinator` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum CoordinatorCommand {
    /// Show who leads, who votes and who could, whether a quorum holds, and what changes next; it works without a leader, too
    Status,
    /// Set how many nodes vote, and when one that is gone is replaced
    Set(SetArgs),
    /// Have another voter lead, as before work on the one that does; nothing is lost and streams go on
    Transfer {
        /// The node: its name, its id, or the beginning of its id [default: the voter that is furthest]
        node: Option<String>,
    },
    /// Take a node's vote: another node takes its seat, and it gets none until it is allowed again
    Evict {
        /// The node: its name, its id, or the beginning of its id
        node: String,
    },
    /// Let an evicted node vote again where it is wanted
    Allow {
        /// The node: its name, its id, or the beginning of its id
        node: String,
    },
    /// Go on from this machine's copy when most voters are gone for good: what they alone had acknowledged is lost
    Recover(recover::RecoverArgs),
}

/// What `skein coordinator set` takes.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct SetArgs {
    /// How many nodes vote: 3 or 5
    #[arg(long, value_name = "3|5")]
    voters: Option<usize>,
    /// How long a voter may be gone before another node takes its place, as in 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    replace_after: Option<Duration>,
}

/// What `transfer`, `evict` and `allow` show.
#[derive(Debug, Serialize)]
struct Word {
    node: NodeId,
    name: String,
    state: &'static str,
}

/// What `set` shows.
#[derive(Debug, Serialize)]
struct Set(Rules);

pub(crate) async fn run(common: &Common, command: CoordinatorCommand) -> anyhow::Result<ExitCode> {
    match command {
        CoordinatorCommand::Status => {
            let status = status(&common.connect().await?).await?;
            common.output().show(&status)?;
        }
        CoordinatorCommand::Set(SetArgs { voters, replace_after }) => {
            let change = Change::SeatsSet { voters, replace_after: replace_after.map(millis) };
            match common.connect().await?.ask(Request::Change(change)).await? {
                Answer::Seats(rules) => common.output().show(&Set(rules))?,
                _ => bail!("the agent gave an answer that does not fit the question"),
            }
        }
        CoordinatorCommand::Transfer { node } => transfer(common, node.as_deref()).await?,
        CoordinatorCommand::Evict { node } => seat(common, &node, Change::SeatEvict).await?,
        CoordinatorCommand::Allow { node } => seat(common, &node, Change::SeatAllow).await?,
        CoordinatorCommand::Recover(arguments) => return recover::run(common, arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(client: &Client) -> anyhow::Result<CoordinatorStatus> {
    match client.ask(Request::CoordinatorStatus).await? {
        Answer::Coordinator(status) => Ok(*status),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

async fn transfer(common: &Common, node: Option<&str>) -> anyhow::Result<()> {
    let client = common.connect().await?;
    let mesh = find::mesh(&client).await?;
    let heir = node.map(|node| find::node(&mesh.nodes, node)).transpose()?;
    let Answer::Transferred(node) = client.ask(Request::Transfer(heir.map(|node| node.node))).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    let name = mesh.nodes.iter().find(|known| known.node == node).map_or_else(|| node.to_string(), |n| n.name.clone());
    common.output().show(&Word { node, name, state: "leads" })
}

async fn seat(common: &Common, node: &str, change: impl FnOnce(NodeId) -> Change) -> anyhow::Result<()> {
    let client = common.connect().await?;
    let mesh = find::mesh(&client).await?;
    let found = find::node(&mesh.nodes, node)?;
    let Answer::Seat { node, evicted } = client.ask(Request::Change(change(found.node))).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    let state = if evicted { "evicted" } else { "allowed" };
    common.output().show(&Word { node, name: found.name.clone(), state })
}

impl Show for Word {
    fn table(&self) -> String {
        match self.state {
            "evicted" => {
                format!("Node {} is to have no vote; where it has one, another node takes its seat now", self.name)
            }
            "leads" => format!("Node {} leads the mesh now", self.name),
            _ => format!("Node {} may vote again where it is wanted", self.name),
        }
    }

    fn quiet(&self) -> String {
        self.node.to_string()
    }
}

impl Show for Set {
    fn table(&self) -> String {
        let Rules { voters, replace_after } = self.0;
        format!(
            "{voters} nodes vote, where there are so many; one that is gone for {} is replaced",
            length(replace_after)
        )
    }

    fn quiet(&self) -> String {
        self.0.voters.to_string()
    }
}

//! `skein node`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;
use skein_core::NodeId;
use skein_core::health::Ending;

use crate::api::{Answer, Change, Request};
use crate::cli::output::Show;
use crate::cli::session::claim::millis;
use crate::cli::{Common, find};

pub(crate) use show::{heat, seat};

mod show;
#[cfg(test)]
pub(crate) mod tests;

/// What `skein node` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show every node: whether it is up, its part in the coordinator, what it has and what of that is used
    Status,
    /// Take a node, or one device of it, out of placement now: its workers end at once, and their tasks run again elsewhere
    Block(BlockArgs),
    /// Take a node, or one device of it, out of placement gently: running work ends, nothing new begins
    Drain(DrainArgs),
    /// Give a node, or one device of it, work again
    Unblock(PlaceArgs),
}

/// A node, or one device of it.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The node: its name, its id, or the beginning of its id
    node: String,
    /// One of its devices [default: the whole node]
    #[arg(long)]
    device: Option<String>,
}

/// What `skein node block` takes.
#[derive(Debug, Args)]
pub(crate) struct BlockArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Why, for whoever looks at the mesh later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
}

/// What `skein node drain` takes.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    block: BlockArgs,
    /// End what is not done after this time [default: wait for as long as it takes]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
}

/// What `block`, `drain` and `unblock` show.
#[derive(Debug, Serialize)]
struct Word {
    node: NodeId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    state: &'static str,
}

pub(crate) async fn run(common: &Common, command: NodeCommand) -> anyhow::Result<ExitCode> {
    match command {
        NodeCommand::Status => status(common).await,
        NodeCommand::Block(BlockArgs { place, reason }) => {
            let change = |node, device| Change::Block { node, device, reason, ending: Ending::AtOnce };
            change_place(common, place, "blocked", change).await
        }
        NodeCommand::Drain(DrainArgs { block: BlockArgs { place, reason }, deadline }) => {
            let ending = deadline.map_or(Ending::WhenDone, |length| Ending::Within(millis(length)));
            let change = |node, device| Change::Block { node, device, reason, ending };
            change_place(common, place, "draining", change).await
        }
        NodeCommand::Unblock(place) => {
            change_place(common, place, "unblocked", |node, device| Change::Unblock { node, device }).await
        }
    }
}

async fn status(common: &Common) -> anyhow::Result<ExitCode> {
    let client = common.connect().await?;
    common.output().show(&find::mesh(&client).await?)?;
    Ok(ExitCode::SUCCESS)
}

async fn change_place(
    common: &Common,
    place: PlaceArgs,
    state: &'static str,
    change: impl FnOnce(NodeId, Option<String>) -> Change,
) -> anyhow::Result<ExitCode> {
    let client = common.connect().await?;
    let mesh = find::mesh(&client).await?;
    let node = find::node(&mesh.nodes, &place.node)?;
    if let Some(device) = &place.device {
        find::device(node, device)?;
    }
    let Answer::Blocked { node: id, device, .. } = client.ask(Request::Change(change(node.node, place.device))).await?
    else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&Word { node: id, name: node.name.clone(), device, state })?;
    Ok(ExitCode::SUCCESS)
}

impl Show for Word {
    fn table(&self) -> String {
        match &self.device {
            Some(device) => format!("Device '{device}' of node {} is {}", self.name, self.state),
            None => format!("Node {} is {}", self.name, self.state),
        }
    }

    fn quiet(&self) -> String {
        self.node.to_string()
    }
}

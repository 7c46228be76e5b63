//! `skein node`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use crate::api::{Answer, MeshStatus, NodeStatus, Request, SeatStatus};
use crate::cli::Common;
use crate::cli::output::{Show, bytes, table};

/// What `skein node` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show every node: whether it is up, its part in the coordinator, what it has and what of that is used
    Status,
}

pub(crate) async fn run(common: &Common, command: NodeCommand) -> anyhow::Result<ExitCode> {
    let NodeCommand::Status = command;
    let client = common.connect().await?;
    let Answer::Nodes(mesh) = client.ask(Request::NodeStatus).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&mesh)?;
    Ok(ExitCode::SUCCESS)
}

impl Show for MeshStatus {
    fn table(&self) -> String {
        let Some(mesh) = self.mesh else {
            return format!(
                "Node {} has no mesh yet: it looks for one. Its log says where; `--peer` names an agent to join.",
                self.asked
            );
        };
        let leader = match self.nodes.iter().find(|node| Some(node.node) == self.leader) {
            Some(node) => format!("led by {} (term {})", node.name, self.term),
            None => "without a leader now: more than half of the voters must be up".into(),
        };
        let headings = ["NAME", "NODE", "ADDRESS", "STATE", "SEAT", "WORKERS", "CPU", "MEMORY", "LABELS", "VERSION"];
        format!("Mesh {mesh}, {leader}\n\n{}", table(headings, self.nodes.iter().map(row).collect()))
    }

    fn quiet(&self) -> String {
        self.nodes.iter().map(|node| node.node.to_string() + "\n").collect()
    }
}

fn row(node: &NodeStatus) -> [String; 10] {
    let used: u64 = node.devices.iter().map(|device| device.used.cpu_millicores).sum();
    let cpu: u64 = node.devices.iter().map(|device| device.offers.cpu_millicores).sum();
    let memory_used: u64 = node.devices.iter().map(|device| device.used.memory_bytes).sum();
    let memory: u64 = node.devices.iter().map(|device| device.offers.memory_bytes).sum();
    let labels: Vec<String> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    [
        node.name.clone(),
        node.node.to_string(),
        node.address.clone(),
        if node.up { "up".into() } else { "DOWN".into() },
        seat(node.seat).into(),
        node.workers.to_string(),
        format!("{used}m of {cpu}m"),
        format!("{} of {}", bytes(memory_used), bytes(memory)),
        if labels.is_empty() { "-".into() } else { labels.join(",") },
        node.version.clone(),
    ]
}

fn seat(seat: SeatStatus) -> &'static str {
    match seat {
        SeatStatus::Leader => "leader",
        SeatStatus::Voter => "voter",
        SeatStatus::Learner => "learner",
        SeatStatus::None => "none yet",
    }
}

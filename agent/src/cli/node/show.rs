//! How the nodes of a mesh are shown.

use skein_core::capability::{DeviceKind, Heat};
use skein_core::health::{Block, Ending, Phase};
use skein_core::liveness::FLAPS_MAX;

use crate::api::{DeviceStatus, MeshStatus, NodeStatus, SeatStatus};
use crate::cli::amounts::{time, whole};
use crate::cli::output::{Show, bytes, table};
use crate::island::IslandStatus;
use crate::island::waiting::WaitingStatus;

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
            None => "without a leader now; `skein coordinator status` shows which voters are missing".into(),
        };
        let headings = ["NAME", "NODE", "ADDRESS", "STATE", "SEAT", "WORKERS", "CPU", "MEMORY", "LABELS", "VERSION"];
        let nodes = table(headings, self.nodes.iter().map(row).collect());
        let mut text = format!("Mesh {mesh}, {leader}, policy {}\n\n{nodes}", self.policy);
        if let Some(island) = &self.island {
            text += &format!("\n{}\n", island_words(self, island));
        }
        if self.waiting.ends > 0 || self.waiting.dropped > 0 {
            let WaitingStatus { ends, bytes: held, bytes_max, dropped } = self.waiting;
            let (held, most) = (bytes(held), bytes(bytes_max));
            text += &format!(
                "\n{ends} ends of durable tasks wait here for the mesh ({held} of {most}); {dropped} found no room\n"
            );
        }
        let devices: Vec<_> = self.nodes.iter().flat_map(accelerators).collect();
        if !devices.is_empty() {
            let headings = ["NODE", "DEVICE", "HARDWARE", "HEAT", "GPU", "GPU MEMORY"];
            text += &format!("\n{}", table(headings, devices));
        }
        let remarks: Vec<String> = self.nodes.iter().flat_map(remarks).collect();
        if !remarks.is_empty() {
            text += &format!("\n{}\n", remarks.join("\n"));
        }
        text
    }

    fn quiet(&self) -> String {
        self.nodes.iter().map(|node| node.node.to_string() + "\n").collect()
    }
}

fn island_words(mesh: &MeshStatus, island: &IslandStatus) -> String {
    let asked = mesh.nodes.iter().find(|node| node.node == mesh.asked);
    let name = asked.map_or_else(|| mesh.asked.to_string(), |node| node.name.clone());
    let mut text = format!(
        "{name} has been cut off from the mesh for {}: all this is as it was then, and {name} goes on with the sessions it held",
        whole(island.cut_off_for)
    );
    if !island.stopped.is_empty() {
        let stopped: Vec<String> = island.stopped.iter().map(ToString::to_string).collect();
        text += &format!(", but for those that may not go on for so long: {}", stopped.join(", "));
    }
    text
}

fn row(node: &NodeStatus) -> [String; 10] {
    let labels: Vec<String> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    [
        node.name.clone(),
        node.node.to_string(),
        node.address.clone(),
        state(node).into(),
        seat(node.seat).into(),
        node.workers.to_string(),
        format!("{}m of {}m", node.used.cpu_millicores, node.offers.cpu_millicores),
        format!("{} of {}", bytes(node.used.memory_bytes), bytes(node.offers.memory_bytes)),
        if labels.is_empty() { "-".into() } else { labels.join(",") },
        node.version.clone(),
    ]
}

fn state(node: &NodeStatus) -> &'static str {
    match &node.block {
        _ if !node.up => "DOWN",
        None => "up",
        Some(block) => blocked(block, node.workers > 0),
    }
}

fn blocked(block: &Block, has_work: bool) -> &'static str {
    match block.ending {
        Ending::AtOnce => "blocked",
        Ending::WhenDone | Ending::Within(_) if has_work => "draining",
        Ending::WhenDone | Ending::Within(_) => "drained",
    }
}

pub(crate) fn seat(seat: SeatStatus) -> &'static str {
    match seat {
        SeatStatus::Leader => "leader",
        SeatStatus::Voter => "voter",
        SeatStatus::Learner => "learner",
        SeatStatus::None => "none yet",
    }
}

fn accelerators(node: &NodeStatus) -> impl Iterator<Item = [String; 6]> {
    let offers_gpu = |device: &&DeviceStatus| device.kind != DeviceKind::Cpu || device.offers.gpu_milli > 0;
    node.devices.iter().filter(offers_gpu).map(|device| {
        let (used, offers) = (&device.used, &device.offers);
        [
            node.name.clone(),
            device.name.clone(),
            device.hardware.clone(),
            heat(device.heat).into(),
            if device.is_driven() {
                format!("{}m of {}m", used.gpu_milli, offers.gpu_milli)
            } else {
                "nothing drives it".into()
            },
            if offers.gpu_memory_bytes == 0 {
                "-".into()
            } else {
                format!("{} of {}", bytes(used.gpu_memory_bytes), bytes(offers.gpu_memory_bytes))
            },
        ]
    })
}

pub(crate) fn heat(heat: Heat) -> &'static str {
    match heat {
        Heat::Cool => "cool",
        Heat::Warm => "warm",
        Heat::Hot => "hot",
    }
}

/// What is out of the ordinary at a node, a line each.
fn remarks(node: &NodeStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if !node.up && node.flaps > 1 {
        lines.push(format!(
            "{} flaps: it went down {} times of late, so it is taken back only once it was heard {} times --up-after on end",
            node.name,
            node.flaps,
            1_u64 << (node.flaps - 1).min(FLAPS_MAX)
        ));
    }
    if let Some(block) = &node.block {
        lines.push(format!("{} is {}", node.name, block_words(block, node.workers > 0)));
    }
    for device in &node.devices {
        let place = format!("device '{}' of {}", device.name, node.name);
        if let Some(block) = &device.block {
            let has_work = device.used.cpu_millicores > 0;
            lines.push(format!("{place} is {}", block_words(block, has_work)));
        }
        lines.extend(phase_words(&device.phase).map(|words| format!("{place} {words}")));
        if device.heat == Heat::Hot {
            lines.push(format!("{place} is hot and slows down"));
        }
    }
    for (name, amount) in &node.offers.named {
        lines.push(format!("{} has {name}: {} of {amount} taken", node.name, node.used.of_name(name)));
    }
    lines
}

fn block_words(block: &Block, has_work: bool) -> String {
    let state = blocked(block, has_work);
    let deadline = match block.ending {
        Ending::Within(length) if has_work => format!("; until {} at the latest", time(block.since + length)),
        _ => String::new(),
    };
    format!("{state}: {} ({}, since {}{deadline})", block.reason, block.by, time(block.since))
}

fn phase_words(phase: &Phase) -> Option<String> {
    match phase {
        Phase::Sound => None,
        Phase::Quarantined { until, reason } => {
            Some(format!("is quarantined: {reason} (the system, until its test at {})", time(*until)))
        }
        Phase::Testing { since, reason } => {
            Some(format!("is quarantined: {reason} (the system, tested since {})", time(*since)))
        }
        Phase::Probation { until } => Some(format!("has passed its test and is on probation until {}", time(*until))),
    }
}

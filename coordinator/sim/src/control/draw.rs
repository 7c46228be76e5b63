//! Nodes, models, sessions and plans drawn by chance: sensible ones, and ones that nobody should ask for.

use std::collections::BTreeMap;

use skein_core::capability::{Capability, Device, DeviceKind, NodeSpec, TEXT_BYTES_MAX};
use skein_core::model::{Blob, Digest, FILE_BYTES_MAX, MANIFEST_BYTES_MAX, ModelQuery, ModelSpec};
use skein_core::plan::{Placement, Plan};
use skein_core::session::{FIXED_MAX, SessionSpec};
use skein_core::worker::{WorkerReport, WorkerStatus};
use skein_core::{Command, MeshId, NodeId, Resources, SessionId, WorkerId};

use crate::chance::Chance;

/// Ids beyond all that a run gives out.
const NOWHERE: u64 = 1_000_000;
const DEVICES: [&str; 4] = ["cpu", "cpu-1", "gpu-0", "none"];

pub(super) fn node_spec(chance: &mut Chance, id: NodeId) -> NodeSpec {
    let mut devices = vec![device(chance, "cpu", DeviceKind::Cpu)];
    if chance.percent(30) {
        devices.push(device(chance, "cpu-1", DeviceKind::Cpu));
    }
    if chance.percent(30) {
        devices.push(device(chance, "gpu-0", DeviceKind::Gpu));
    }
    let targets = if chance.percent(90) { vec!["tract".into()] } else { vec![] };
    let capability = Capability { devices, targets, labels: BTreeMap::new() };
    NodeSpec { id, name: format!("node-{}", id.0), address: "[::1]:1".into(), version: "1".into(), capability }
}

fn device(chance: &mut Chance, name: &str, kind: DeviceKind) -> Device {
    let offers = Resources {
        cpu_millicores: chance.number(0..9) * 1_000,
        memory_bytes: chance.number(1..9) << 30,
        gpu_milli: if kind == DeviceKind::Gpu { 1_000 } else { 0 },
        gpu_memory_bytes: 0,
    };
    Device { name: name.into(), kind, offers }
}

pub(super) fn model(chance: &mut Chance) -> ModelSpec {
    let content = chance.pick([1, 2, 3, 4]).unwrap_or_default();
    let file = Blob { digest: Digest([content; 32]), size: 1_000 };
    let name = chance.pick(["cats", "dogs", "rockets"]).unwrap_or_default();
    ModelSpec { name: name.into(), file, labels: None, manifest: "input = 1".into() }
}

pub(super) fn session(chance: &mut Chance) -> SessionSpec {
    let name = chance.pick(["cats", "cats", "dogs", "rockets"]).unwrap_or_default();
    let version = chance.percent(20).then(|| chance.small(1..3));
    let need = Resources {
        cpu_millicores: chance.number(1..30) * 100,
        memory_bytes: chance.number(1..20) << 27,
        gpu_milli: u64::from(chance.percent(5)),
        gpu_memory_bytes: 0,
    };
    let target = if chance.percent(95) { "tract" } else { "none" };
    SessionSpec {
        model: ModelQuery { name: name.into(), version },
        fixed: chance.small(1..7),
        need,
        target: target.into(),
        // A claim is asked for again now and then, as by a client that got no answer.
        claim: chance.percent(30).then(|| chance.number(1..20)),
    }
}

/// A command that nobody in his right mind would propose.
pub(super) fn nonsense(chance: &mut Chance, nodes: u64) -> Command {
    let node = NodeId(if chance.percent(80) { 1 + chance.number(0..nodes) } else { NOWHERE });
    match chance.number(0..9) {
        0 => Command::Found { mesh: MeshId(chance.number(0..9)) },
        1 => Command::NodeJoin(bad_node(chance, node)),
        2 => Command::NodeDown(node),
        3 => Command::NodeUp(node),
        4 => Command::ModelAdd(bad_model(chance)),
        5 => Command::SessionCreate(bad_session(chance)),
        6 => Command::SessionEnd(SessionId(NOWHERE)),
        7 => Command::NodeJoin(node_spec(chance, node)),
        _ => Command::SessionCreate(SessionSpec { fixed: FIXED_MAX, ..session(chance) }),
    }
}

fn bad_node(chance: &mut Chance, id: NodeId) -> NodeSpec {
    let mut spec = node_spec(chance, id);
    let devices = &mut spec.capability.devices;
    match chance.number(0..3) {
        0 => spec.name = "n".repeat(TEXT_BYTES_MAX + 1),
        1 => *devices = devices.iter().cycle().take(100).cloned().collect(),
        // Two devices of one name, of which the second offers nothing.
        _ => devices.push(Device { name: "cpu".into(), kind: DeviceKind::Cpu, offers: Resources::default() }),
    }
    spec
}

fn bad_model(chance: &mut Chance) -> ModelSpec {
    let mut spec = model(chance);
    match chance.number(0..3) {
        0 => spec.name = "../cats".into(),
        1 => spec.manifest = " ".repeat(MANIFEST_BYTES_MAX + 1),
        _ => spec.file.size = FILE_BYTES_MAX + 1,
    }
    spec
}

fn bad_session(chance: &mut Chance) -> SessionSpec {
    let mut spec = session(chance);
    match chance.number(0..5) {
        0 => spec.fixed = 0,
        1 => spec.fixed = u32::MAX,
        2 => spec.need.memory_bytes = 0,
        3 => spec.target = "t".repeat(1_000),
        _ => spec.model.name = "nobody".into(),
    }
    spec
}

/// Placements and stops at random: some happen to be sound.
pub(super) fn plan(chance: &mut Chance, nodes: u64, last_session: u64, last_worker: u64) -> Plan {
    let stop = (0..chance.index(3)).map(|_| WorkerId(chance.number(0..last_worker + 2))).collect();
    let start = (0..chance.index(12)).map(|_| Placement {
        session: SessionId(chance.number(0..last_session + 2)),
        node: NodeId(chance.number(0..nodes + 2)),
        device: chance.pick(DEVICES).unwrap_or_default().into(),
    });
    let start = start.collect();
    Plan { stop, start }
}

pub(super) fn report(chance: &mut Chance, nodes: u64, last_worker: u64) -> Command {
    let report = match chance.number(0..4) {
        0 => WorkerReport::Status(WorkerStatus::Ready),
        1 => WorkerReport::Status(WorkerStatus::Starting),
        2 => WorkerReport::Failed { reason: "it burns".into() },
        // No cut of a byte length falls between two letters of this.
        _ => WorkerReport::Failed { reason: "x".to_owned() + &"ä".repeat(3_000) },
    };
    let worker = WorkerId(last_worker.saturating_sub(chance.number(0..30)));
    Command::WorkerReport { node: NodeId(1 + chance.number(0..nodes)), worker, report }
}

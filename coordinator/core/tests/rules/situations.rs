//! Small meshes and what is planned for them, to be checked by eye: one situation for each rule.
//!
//! A line is a change; `--` separates one cycle from the next, in which what had to leave is gone.

use insta::assert_snapshot;
use skein_core::capability::{Device, DeviceKind, Heat, NodeSpec, Profile};
use skein_core::health::{Author, DeviceReport, Ending};
use skein_core::model::ModelRef;
use skein_core::plan::{Change, Plan, STARVES_AFTER};
use skein_core::policy::PolicyName;
use skein_core::session::{Hold, SessionSpec};
use skein_core::worker::{Duty, Why, WorkerReport};
use skein_core::{Command, Event, Millis, NodeId, Resources, SessionId, WorkerId};

use crate::mesh::{A, B, C, Mesh, cores, device, node, session};

mod left;
mod order;
mod room;

/// What one cycle after another changes, until there is nothing left to do.
fn story(mesh: &mut Mesh) -> String {
    let mut cycles = Vec::new();
    while cycles.len() < 10 {
        let names =
            |mesh: &Mesh, id: WorkerId| mesh.state.workers.get(&id).map_or(SessionId(0), |worker| worker.session);
        let sessions: Vec<(WorkerId, SessionId)> =
            mesh.state.workers.keys().map(|id| (*id, names(mesh, *id))).collect();
        let changes = mesh.changes();
        let lines: Vec<String> = changes.iter().map(|change| line(&sessions, change)).collect();
        let has_left = leave(mesh);
        if lines.is_empty() && !has_left {
            break;
        }
        if !lines.is_empty() {
            cycles.push(lines.join("\n"));
        }
    }
    cycles.join("\n--\n")
}

fn line(sessions: &[(WorkerId, SessionId)], change: &Change) -> String {
    let of = |id: &WorkerId| {
        let session = sessions.iter().find(|(known, _)| known == id).map_or(SessionId(0), |(_, session)| *session);
        format!("worker {id} of session {session}")
    };
    match change {
        Change::Stop(id) => format!("{} stops", of(id)),
        Change::Leave { worker, why: Why::Preempted { by } } => format!("{} is preempted by session {by}", of(worker)),
        Change::Leave { worker, why: Why::Reclaimed { by } } => format!("{} makes way for session {by}", of(worker)),
        Change::Leave { worker, why: Why::Drained } => format!("{} is drained", of(worker)),
        Change::Return(id) => format!("{} is given back", of(id)),
        Change::Revive(id) => format!("{} serves again", of(id)),
        Change::Recall(id) => format!("{} is called back", of(id)),
        Change::Resize { worker, need } => format!("{} has {}m cpu now", of(worker), need.cpu_millicores),
        Change::Start(place) => {
            format!("session {} starts on {} of node {}", place.session, place.device, place.node.0)
        }
    }
}

/// Those that have to leave are done; whether there were any.
fn leave(mesh: &mut Mesh) -> bool {
    let leaving = mesh.state.workers.iter().filter(|(_, worker)| matches!(worker.duty, Duty::Leaving { .. }));
    let leaving: Vec<(WorkerId, NodeId)> = leaving.map(|(id, worker)| (*id, worker.node)).collect();
    for (worker, node) in &leaving {
        mesh.apply(Command::WorkerReport { node: *node, worker: *worker, report: WorkerReport::Left });
    }
    !leaving.is_empty()
}

fn gpu(name: &str, gibibytes: u64) -> Device {
    let offers = Resources { gpu_milli: 1_000, gpu_memory_bytes: gibibytes << 30, ..Resources::default() };
    device(name, DeviceKind::Gpu, offers)
}

/// A node with GPUs beside its processor.
fn gpu_node(id: NodeId, gpus: &[Device]) -> NodeSpec {
    let mut spec = node(id, 8);
    spec.capability.targets.push("onnxruntime".into());
    spec.capability.devices.extend(gpus.iter().cloned());
    spec
}

fn on_gpu(fixed: u32, gpu_milli: u64, gibibytes: u64) -> SessionSpec {
    let need = Resources { gpu_milli, gpu_memory_bytes: gibibytes << 30, ..cores(1) };
    SessionSpec { target: "onnxruntime".into(), need, ..session(fixed) }
}

fn sharing(share: u32, fixed: u32) -> SessionSpec {
    SessionSpec { fixed, share, max: 20, ..session(1) }
}

fn preemptive(priority: u8, cpu: u64) -> SessionSpec {
    SessionSpec { policy: Some(PolicyName::Preemptive), priority, need: cores(cpu), ..session(1) }
}

fn low(cpu: u64) -> SessionSpec {
    SessionSpec { priority: 10, need: cores(cpu), ..session(1) }
}

fn wants(mesh: &mut Mesh, session: SessionId, workers: u32) {
    mesh.apply(Command::SessionWant { session, workers });
}

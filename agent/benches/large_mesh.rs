//! A mesh of any size to plan for: mixed nodes, sessions of every kind, and tasks that wait.

use skein_core::capability::{Capability, Device, DeviceKind, Heat, NodeSpec, Profile};
use skein_core::model::{Blob, Digest, ModelQuery, ModelRef, ModelSpec};
use skein_core::plan::{Plan, Planner};
use skein_core::session::SessionSpec;
use skein_core::{Command, Entry, MeshId, Millis, NodeId, Resources, State, apply};

/// One moment is as good as another: nothing here waits.
pub(crate) const NOW: Millis = Millis(1_000_000);
/// Models that the sessions choose from.
const MODELS: u64 = 100;
/// Of a hundred sessions, so many have a share of what is spare.
const SHARING_PERCENT: u64 = 50;
const GIB: u64 = 1 << 30;

/// How large a mesh is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nodes: u64,
    pub(crate) sessions: u64,
    /// Asked for in all: four in five are fixed, the rest is shared out.
    pub(crate) workers: u64,
    /// Tasks that wait at all gateways.
    pub(crate) tasks: u64,
    /// Room, in percent of what is asked for.
    pub(crate) room_percent: u64,
}

/// A mesh in which nothing is planned yet, and of whose tasks nobody has told the leader.
pub(crate) fn mesh(size: Size) -> State {
    let mut state = State::default();
    change(&mut state, Command::Found { mesh: MeshId(1) });
    for number in 0..MODELS {
        change(&mut state, Command::ModelAdd(model(number)));
    }
    for number in 0..size.nodes {
        change(&mut state, Command::NodeJoin(node(number, size)));
    }
    for number in 0..size.sessions {
        change(&mut state, Command::SessionCreate(session(number, size)));
    }
    state
}

/// Has the whole mesh planned, and the plan carried out.
pub(crate) fn settle(state: &mut State, planner: &mut Planner) {
    loop {
        let plan: Plan = planner.plan(state, NOW, usize::MAX);
        if plan.is_empty() {
            return;
        }
        change(state, Command::Plan(plan));
    }
}

/// Something that must be taken.
pub(crate) fn change(state: &mut State, command: Command) {
    let entry = Entry { at: NOW, command };
    if let Err(refusal) = apply(state, &entry) {
        unreachable!("{refusal}: {:?}", entry.command);
    }
}

/// One more session like the others, of fixed workers.
pub(crate) fn newcomer(size: Size) -> SessionSpec {
    SessionSpec { share: 0, max: 0, ..session(0, size) }
}

fn model(number: u64) -> ModelSpec {
    let mut content = [0; 32];
    content[..8].copy_from_slice(&number.to_le_bytes());
    let file = Blob { digest: Digest(content), size: 1_000_000 };
    ModelSpec { name: name(number), file, labels: None, manifest: String::new() }
}

fn name(number: u64) -> String {
    format!("model-{}", number % MODELS)
}

/// Boards with a stick, boards with a small GPU, and boxes with two large ones, five to three to two.
fn node(number: u64, size: Size) -> NodeSpec {
    let workers = (size.workers * size.room_percent / 100).div_ceil(size.nodes);
    let (hardware, parts, gpus) = match number % 10 {
        0..5 => ("Cortex-A72", 2, 1),
        5..8 => ("Cortex-A57", 4, 1),
        _ => ("Xeon", 16, 2),
    };
    // On the average a node has so many parts in four.
    let share = workers * parts * 4 / 21 + 1;
    let offers = Resources { cpu_millicores: share * 500, memory_bytes: share * GIB / 4, ..Resources::default() };
    let gpu = Resources { gpu_milli: 1_000, gpu_memory_bytes: parts * GIB, ..Resources::default() };
    let device = |name: String, kind, hardware: &str, offers| Device {
        name,
        kind,
        hardware: hardware.into(),
        offers,
        heat: if number.is_multiple_of(17) { Heat::Warm } else { Heat::Cool },
    };
    let mut devices = vec![device("cpu".into(), DeviceKind::Cpu, hardware, Resources::default())];
    for gpu_number in 0..gpus {
        devices.push(device(format!("gpu-{gpu_number}"), DeviceKind::Gpu, &format!("{hardware} GPU"), gpu.clone()));
    }
    let profile = |device: &str, run_micros| Profile {
        model: ModelRef { name: name(number), version: 1 },
        target: "onnxruntime".into(),
        device: device.into(),
        run_micros,
    };
    let profiles = vec![profile("cpu", 400_000 / parts), profile("gpu-0", 40_000 / parts)];
    let targets = vec!["tract".into(), "onnxruntime".into()];
    let capability = Capability { offers, devices, targets, profiles, ..Capability::default() };
    let (name, address) = (format!("node-{number}"), "[::1]:1".into());
    NodeSpec { id: NodeId(number + 1), name, address, version: "1".into(), capability }
}

/// One in ten needs part of a GPU, the others the processor alone, in a few sizes.
fn session(number: u64, size: Size) -> SessionSpec {
    let each = u32::try_from((size.workers / size.sessions).max(1)).unwrap_or(u32::MAX).min(4_000);
    let fixed = (each * 8 / 10).max(1);
    let needs_gpu = number.is_multiple_of(10);
    let steps = 1 + number % 4;
    let need = Resources {
        cpu_millicores: 200 * steps,
        memory_bytes: GIB / 10 * steps,
        gpu_milli: if needs_gpu { 50 } else { 0 },
        ..Resources::default()
    };
    let shares = number * 7 % 100 < SHARING_PERCENT;
    let (share, max) =
        if shares { (1 + u32::try_from(number % 5).unwrap_or(0), fixed + each * 4 / 10 + 1) } else { (0, 0) };
    let target = if needs_gpu { "onnxruntime" } else { "tract" };
    let model = ModelQuery { name: name(number), version: None };
    SessionSpec { fixed, share, max, ..SessionSpec::of(model, target, need) }
}

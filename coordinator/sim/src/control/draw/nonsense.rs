//! Commands that nobody in his right mind would propose.

use skein_core::capability::{LABELS_MAX, NodeSpec, PROFILES_MAX, Profile, TEXT_BYTES_MAX};
use skein_core::health::{Author, Ending};
use skein_core::model::{FILE_BYTES_MAX, MANIFEST_BYTES_MAX, ModelQuery, ModelRef, ModelSpec};
use skein_core::resources::{AMOUNT_MAX, NAMED_MAX};
use skein_core::seats::Rules;
use skein_core::session::{GRACE_MAX, Hold, PRIORITY_MAX, SHARE_MAX, SessionSpec, WORKERS_MAX};
use skein_core::{Command, MeshId, Millis, NodeId, Resources, SessionId};

use super::{DEVICES, NOWHERE, node, session};
use crate::chance::Chance;

pub(in crate::control) fn command(chance: &mut Chance, nodes: u64) -> Command {
    let node = NodeId(if chance.percent(80) { 1 + chance.number(0..nodes) } else { NOWHERE });
    let device: String = chance.pick(DEVICES).unwrap_or_default().into();
    match chance.number(0..19) {
        0 => Command::Found { mesh: MeshId(chance.number(0..9)) },
        1 | 2 => Command::NodeJoin(bad_node(chance, node)),
        3 => Command::NodeDown(node),
        4 => Command::NodeUp(node),
        5 => Command::ModelAdd(bad_model(chance)),
        6 | 7 => Command::SessionCreate(bad_session(chance, nodes)),
        8 => Command::SessionEnd(SessionId(NOWHERE)),
        9 => Command::NodeJoin(node::spec(chance, node)),
        10 => Command::DeviceTest { node, device },
        11 => Command::DeviceTrust { node, device },
        12 => Command::Unblock { node, device: chance.percent(70).then_some(device) },
        13 => {
            let (by, reason, ending) = (Author::System, "ä".repeat(3_000), Ending::Within(Millis(0)));
            Command::Block { node, device: Some(device), by, reason, ending }
        }
        14 => Command::SessionWant { session: SessionId(NOWHERE), workers: u32::MAX },
        15 => Command::SessionReserve { session: SessionId(chance.number(0..9)), reserved: huge() },
        16 => Command::SeatsSet(Rules { voters: chance.index(7), replace_after: Millis(chance.number(0..900)) }),
        17 => Command::SeatAllow(node),
        _ => Command::SessionCreate(SessionSpec { fixed: WORKERS_MAX, ..session::spec(chance, nodes) }),
    }
}

/// More of everything than may be, so that a sum of two would overflow.
fn huge() -> Resources {
    let most = u64::MAX;
    Resources { cpu_millicores: most, memory_bytes: most, gpu_milli: most, gpu_memory_bytes: most, ..named(1, most) }
}

fn named(count: usize, amount: u64) -> Resources {
    let named = (0..count).map(|at| (format!("thing-{at}"), amount)).collect();
    Resources { named, ..Resources::default() }
}

fn bad_node(chance: &mut Chance, id: NodeId) -> NodeSpec {
    let mut spec = node::spec(chance, id);
    let capability = &mut spec.capability;
    let same = capability.devices[0].clone();
    match chance.number(0..8) {
        0 => spec.name = "n".repeat(TEXT_BYTES_MAX + 1),
        1 => capability.devices = capability.devices.iter().cycle().take(100).cloned().collect(),
        // Two devices of one name, of which the second offers nothing.
        2 => capability.devices.push(same),
        3 => capability.offers.cpu_millicores = AMOUNT_MAX + 1,
        4 => capability.offers = huge(),
        5 => capability.offers = named(NAMED_MAX + 1, 1),
        6 => {
            let model = ModelRef { name: "cats".into(), version: 1 };
            let profile = Profile { model, target: "tract".into(), device: "cpu".into(), run_micros: 0 };
            capability.profiles = vec![profile; PROFILES_MAX + 1];
        }
        _ => capability.labels = (0..=LABELS_MAX).map(|at| (at.to_string(), String::new())).collect(),
    }
    spec
}

fn bad_model(chance: &mut Chance) -> ModelSpec {
    let mut spec = session::model(chance);
    match chance.number(0..3) {
        0 => spec.name = "../cats".into(),
        1 => spec.manifest = " ".repeat(MANIFEST_BYTES_MAX + 1),
        _ => spec.file.size = FILE_BYTES_MAX + 1,
    }
    spec
}

fn bad_session(chance: &mut Chance, nodes: u64) -> SessionSpec {
    let mut spec = session::spec(chance, nodes);
    match chance.number(0..17) {
        0 => (spec.fixed, spec.share, spec.max) = (0, 0, 0),
        1 => spec.fixed = u32::MAX,
        2 => spec.need.memory_bytes = 0,
        3 => spec.target = "t".repeat(1_000),
        4 => spec.model.name = "nobody".into(),
        5 => spec.model = ModelQuery { name: "cats".into(), version: Some(u32::MAX) },
        6 => spec.need.cpu_millicores = AMOUNT_MAX + 1,
        7 => spec.need = huge(),
        8 => spec.need.named = named(NAMED_MAX + 1, 1).named,
        9 => spec.need_max = Some(Resources::default()),
        10 => spec.need_max = Some(huge()),
        11 => (spec.share, spec.max) = (SHARE_MAX + 1, WORKERS_MAX),
        12 => (spec.share, spec.max) = (1, spec.fixed),
        13 => (spec.share, spec.max) = (0, spec.fixed + 1),
        14 => spec.priority = PRIORITY_MAX + 1,
        15 => spec.grace = GRACE_MAX + Millis(1),
        _ => spec.hold = Some(Hold::Named { node: NodeId(1), device: "d".repeat(TEXT_BYTES_MAX + 1) }),
    }
    spec
}

/// A session that no mesh could hold, and that would rather not wait.
pub(in crate::control) fn unfit(chance: &mut Chance, nodes: u64) -> SessionSpec {
    let mut spec = session::spec(chance, nodes);
    spec.need.memory_bytes = AMOUNT_MAX;
    spec.need_max = None;
    spec.refuse_unfit = true;
    spec.claim = None;
    spec
}

//! Models, and sessions with every policy, hold, need and number.

use skein_core::dispatch::retry::Retry;
use skein_core::model::{Blob, Digest, ModelQuery, ModelSpec};
use skein_core::policy::PolicyName;
use skein_core::session::{Hold, SessionSpec};
use skein_core::{Millis, NodeId, Resources};

use super::{DEVICES, MODELS, NAMED};
use crate::chance::Chance;

const MIB: u64 = 1 << 20;
const POLICIES: [PolicyName; 5] =
    [PolicyName::Fcfs, PolicyName::Priority, PolicyName::Exclusive, PolicyName::Preemptive, PolicyName::GpuBinding];

pub(in crate::control) fn model(chance: &mut Chance) -> ModelSpec {
    let content = chance.pick([1, 2, 3, 4]).unwrap_or_default();
    let file = Blob { digest: Digest([content; 32]), size: 1_000 };
    ModelSpec { file, ..model_of(chance.pick(MODELS).unwrap_or_default()) }
}

pub(crate) fn model_of(name: &str) -> ModelSpec {
    let file = Blob { digest: Digest([1; 32]), size: 1_000 };
    ModelSpec { name: name.into(), file, labels: None, manifest: "input = 1".into() }
}

pub(crate) fn policy(chance: &mut Chance) -> PolicyName {
    chance.pick(POLICIES).unwrap_or_default()
}

pub(in crate::control) fn spec(chance: &mut Chance, nodes: u64) -> SessionSpec {
    let name = chance.pick(["cats", "cats", "dogs", "rockets"]).unwrap_or_default();
    let version = chance.percent(20).then(|| chance.small(1..3));
    let targets = ["tract", "tract", "onnxruntime", "openvino", "simulated", "none"];
    let target = chance.pick(targets).filter(|target| *target != "none" || chance.percent(20)).unwrap_or("tract");
    let need = need(chance, target);
    let need_max = chance.percent(30).then(|| grown(chance, &need));
    let share = if chance.percent(50) { chance.pick([1, 2, 3, 10]).unwrap_or(1) } else { 0 };
    let fixed = chance.small(u32::from(share == 0)..6);
    SessionSpec {
        need_max,
        fixed,
        share,
        max: if share > 0 { fixed + chance.small(1..8) } else { 0 },
        priority: chance.pick([0, 20, 50, 50, 80, 100]).unwrap_or(50),
        policy: chance.percent(60).then(|| policy(chance)),
        hold: chance.percent(30).then(|| hold(chance, nodes)),
        retry: Retry { local: chance.small(0..3), hosts: chance.small(0..4), back_off: Millis(50) },
        grace: Millis(chance.pick([0, 200, 2_000, 5_000, 20_000]).unwrap_or(0)),
        refuse_unfit: chance.percent(15),
        // A claim is asked for again now and then, as by a client that got no answer.
        claim: chance.percent(30).then(|| chance.number(1..40)),
        ..SessionSpec::of(ModelQuery { name: name.into(), version }, target, need)
    }
}

fn need(chance: &mut Chance, target: &str) -> Resources {
    let mut need = Resources {
        cpu_millicores: chance.number(1..25) * 100,
        memory_bytes: chance.number(1..20) * 128 * MIB,
        ..Resources::default()
    };
    if target != "tract" && chance.percent(50) {
        need.gpu_milli = chance.pick([250, 333, 500, 1_000]).unwrap_or(0);
        need.gpu_memory_bytes = if chance.percent(50) { chance.number(0..8) * 1_024 * MIB } else { 0 };
    }
    if chance.percent(10) {
        let name = chance.pick(NAMED).unwrap_or_default();
        need.named.insert(name.into(), chance.number(1..3));
    }
    need
}

fn grown(chance: &mut Chance, need: &Resources) -> Resources {
    let percent = chance.number(100..300);
    Resources {
        cpu_millicores: need.cpu_millicores * percent / 100,
        memory_bytes: need.memory_bytes * percent / 100,
        ..need.clone()
    }
}

fn hold(chance: &mut Chance, nodes: u64) -> Hold {
    match chance.number(0..5) {
        0 => Hold::Nothing,
        1 => Hold::Device,
        2 => Hold::Node,
        3 => Hold::EachDevice,
        _ => {
            let device = chance.pick(DEVICES).unwrap_or_default().into();
            Hold::Named { node: NodeId(1 + chance.number(0..nodes + 1)), device }
        }
    }
}

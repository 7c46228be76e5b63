//! Machines of several kinds, and how they change while they run.

use skein_core::capability::{Capability, Device, DeviceKind, FLUSH_STEPS_MS, Heat, NodeSpec, Power, Profile};
use skein_core::model::ModelRef;
use skein_core::{NodeId, Resources};

use super::{MODELS, NAMED};
use crate::chance::Chance;

const GIB: u64 = 1 << 30;
const POWERS: [Power; 3] = [Power::Mains, Power::Battery, Power::Unknown];
const ZONES: [&str; 3] = ["hall", "yard", "field"];
const HEATS: [Heat; 3] = [Heat::Cool, Heat::Warm, Heat::Hot];

pub(in crate::control) fn spec(chance: &mut Chance, id: NodeId) -> NodeSpec {
    let capability = match chance.number(0..10) {
        0..4 => small_board(chance),
        4..6 => board_with_gpu(chance),
        6..9 => server(chance),
        _ => odd(chance),
    };
    let mut spec =
        NodeSpec { id, name: format!("node-{}", id.0), address: "[::1]:1".into(), version: "1".into(), capability };
    seat(chance, &mut spec.capability);
    if chance.percent(60) {
        measure(chance, &mut spec.capability);
    }
    spec
}

/// What makes it a better or a worse voter. Some sites have no zones.
fn seat(chance: &mut Chance, capability: &mut Capability) {
    capability.power = chance.pick(POWERS).unwrap_or_default();
    capability.flush_ms = chance.percent(90).then(|| chance.pick(FLUSH_STEPS_MS)).flatten();
    if chance.percent(70) {
        let zone = chance.pick(ZONES).unwrap_or_default();
        capability.labels.insert("zone".into(), zone.into());
    }
}

/// Like a Raspberry Pi, with some sticks in it.
fn small_board(chance: &mut Chance) -> Capability {
    let mut devices = vec![device("cpu", DeviceKind::Cpu, "Cortex-A72", 0)];
    let sticks = chance.number(0..3);
    devices.extend((0..sticks).map(|at| device(&format!("stick-{at}"), DeviceKind::Movidius, "MA2485", 0)));
    capability(4_000, chance.number(1..9) * GIB, devices, &["tract", "openvino"])
}

/// Like a Jetson TX2.
fn board_with_gpu(chance: &mut Chance) -> Capability {
    let gpu = device("gpu-0", DeviceKind::Gpu, "GP10B", 4 * GIB);
    let devices = vec![device("cpu", DeviceKind::Cpu, "Cortex-A57", 0), gpu];
    let targets: &[&str] = if chance.percent(70) { &["tract", "onnxruntime"] } else { &["simulated", "onnxruntime"] };
    capability(6_000, 8 * GIB, devices, targets)
}

fn server(chance: &mut Chance) -> Capability {
    let mut devices = vec![device("cpu", DeviceKind::Cpu, "Xeon", 0)];
    for at in 0..chance.number(1..4) {
        let memory = chance.pick([8, 16, 24]).unwrap_or(8) * GIB;
        devices.push(device(&format!("gpu-{at}"), DeviceKind::Gpu, "RTX", memory));
    }
    let cores = chance.pick([8_000, 16_000, 32_000]).unwrap_or(8_000);
    let targets = ["tract", "onnxruntime", "openvino", "simulated"];
    let mut capability = capability(cores, chance.number(8..33) * GIB, devices, &targets);
    for name in NAMED {
        if chance.percent(60) {
            capability.offers.named.insert(name.into(), chance.number(1..4));
        }
    }
    capability
}

/// Two processors, one that offers nothing, or no target at all.
fn odd(chance: &mut Chance) -> Capability {
    let devices = vec![device("cpu", DeviceKind::Cpu, "?", 0), device("cpu-1", DeviceKind::Cpu, "?", 0)];
    let targets: &[&str] = if chance.percent(50) { &["tract", "simulated"] } else { &[] };
    capability(chance.number(0..9) * 1_000, chance.number(0..9) * GIB, devices, targets)
}

fn capability(cpu_millicores: u64, memory_bytes: u64, devices: Vec<Device>, targets: &[&str]) -> Capability {
    let offers = Resources { cpu_millicores, memory_bytes, ..Resources::default() };
    let targets = targets.iter().map(|target| String::from(*target)).collect();
    Capability { offers, devices, targets, ..Capability::default() }
}

fn device(name: &str, kind: DeviceKind, hardware: &str, gpu_memory_bytes: u64) -> Device {
    let gpu_milli = if kind == DeviceKind::Cpu { 0 } else { 1_000 };
    let offers = Resources { gpu_milli, gpu_memory_bytes, ..Resources::default() };
    Device { name: name.into(), kind, hardware: hardware.into(), offers, heat: Heat::Cool }
}

/// It ran some models before.
fn measure(chance: &mut Chance, capability: &mut Capability) {
    capability.profiles.clear();
    for device in &capability.devices {
        for name in MODELS {
            let target = chance.pick(capability.targets.clone());
            let Some(target) = target.filter(|_| chance.percent(40)) else { continue };
            let model = ModelRef { name: name.into(), version: chance.small(1..3) };
            // Far apart, so that kinds of hardware differ by more than measurements do.
            let run_micros = 1_000 << chance.number(0..8);
            capability.profiles.push(Profile { model, target, device: device.name.clone(), run_micros });
        }
    }
}

/// While it runs it gets hot, has other work, has less, or learns how fast it is.
pub(in crate::control) fn change(chance: &mut Chance, capability: &mut Capability) -> &'static str {
    match chance.number(0..10) {
        0..3 => {
            let percent = chance.number(30..100);
            let less = |amount: &mut u64| *amount = *amount * percent / 100;
            less(&mut capability.offers.cpu_millicores);
            less(&mut capability.offers.memory_bytes);
            capability.offers.named.retain(|_, amount| {
                less(amount);
                *amount > 0
            });
            "node_offers_less"
        }
        3..6 => {
            capability.offers.cpu_millicores += 1_000 * chance.number(1..5);
            capability.offers.memory_bytes += GIB * chance.number(1..5);
            "node_offers_more"
        }
        6 => {
            let at = chance.index(capability.devices.len());
            capability.devices[at].offers.gpu_milli = chance.pick([0, 500, 1_000]).unwrap_or(0);
            "device_offers_other"
        }
        7 => {
            measure(chance, capability);
            "node_measured_anew"
        }
        8 => {
            capability.power = chance.pick(POWERS).unwrap_or_default();
            "node_power_changed"
        }
        _ => {
            let heat = chance.pick(HEATS).unwrap_or_default();
            let at = chance.index(capability.devices.len());
            capability.devices[at].heat = heat;
            "device_heat_changed"
        }
    }
}

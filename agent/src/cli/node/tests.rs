use std::collections::BTreeMap;

use skein_core::capability::{DeviceKind, Heat};
use skein_core::health::{Author, Block, Ending, Phase};
use skein_core::policy::PolicyName;
use skein_core::{MeshId, Millis, NodeId, Resources};

use crate::api::{DeviceStatus, MeshStatus, NodeStatus, SeatStatus};
use crate::cli::output::Show;
use crate::island::waiting::WaitingStatus;

/// A node of this name and id with one idle processor.
pub(crate) fn shown(name: &str, id: u64) -> NodeStatus {
    NodeStatus {
        node: NodeId(id),
        name: name.into(),
        address: "127.0.0.1:7433".into(),
        version: "0.1.0".into(),
        up: true,
        since: Millis(0),
        flaps: 0,
        seat: SeatStatus::Voter,
        block: None,
        offers: Resources { cpu_millicores: 2000, memory_bytes: 1 << 30, ..Resources::default() },
        used: Resources::default(),
        devices: vec![device("cpu", DeviceKind::Cpu)],
        targets: vec!["tract".into()],
        profiles: Vec::new(),
        labels: BTreeMap::new(),
        workers: 0,
    }
}

pub(crate) fn device(name: &str, kind: DeviceKind) -> DeviceStatus {
    DeviceStatus {
        name: name.into(),
        kind,
        hardware: "made up".into(),
        heat: Heat::Cool,
        offers: Resources::default(),
        used: Resources::default(),
        block: None,
        phase: Phase::Sound,
        quarantines: 0,
    }
}

fn block(ending: Ending) -> Block {
    Block { by: Author::Operator, reason: "new fan".into(), since: Millis(1_795_478_400_000), ending }
}

pub(crate) fn mesh(nodes: Vec<NodeStatus>) -> MeshStatus {
    MeshStatus {
        mesh: Some(MeshId(1)),
        asked: NodeId(1),
        leader: Some(NodeId(1)),
        term: 2,
        policy: PolicyName::Fcfs,
        island: None,
        waiting: WaitingStatus::default(),
        nodes,
    }
}

#[test]
fn the_table_says_what_is_out_of_placement_and_why() {
    let mut nodes = vec![shown("alpha", 1), shown("beta", 2), shown("gamma", 3), shown("delta", 4)];
    nodes[0].block = Some(block(Ending::AtOnce));
    nodes[1].block = Some(block(Ending::Within(Millis(30_000))));
    nodes[1].workers = 1;
    nodes[2].up = false;
    nodes[2].flaps = 3;
    nodes[3].block = Some(block(Ending::WhenDone));
    let reason = "3 attempts failed one after another".into();
    nodes[2].devices[0].phase = Phase::Quarantined { until: Millis(1_795_478_410_000), reason };
    let text = mesh(nodes).table();
    let states: Vec<&str> = text.lines().skip(3).take(4).filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert_eq!(states, ["blocked", "draining", "DOWN", "drained"], "{text}");
    for line in [
        "Mesh 0000000000000001, led by alpha (term 2), policy fcfs",
        "alpha is blocked: new fan (the operator, since 2026-11-24T00:00:00.000Z)",
        "beta is draining: new fan (the operator, since 2026-11-24T00:00:00.000Z; until 2026-11-24T00:00:30.000Z at the latest)",
        "gamma flaps: it went down 3 times of late, so it is taken back only once it was heard 4 times --up-after on end",
        "device 'cpu' of gamma is quarantined: 3 attempts failed one after another \
         (the system, until its test at 2026-11-24T00:00:10.000Z)",
        "delta is drained: new fan (the operator, since 2026-11-24T00:00:00.000Z)",
    ] {
        assert!(text.lines().any(|shown| shown == line), "'{line}' should be in:\n{text}");
    }
}

#[test]
fn accelerators_and_named_things_are_shown_where_there_are_some() {
    let plain = mesh(vec![shown("alpha", 1)]).table();
    assert!(!plain.contains("HARDWARE") && !plain.contains("taken"), "{plain}");
    let mut node = shown("alpha", 1);
    let mut gpu = device("gpu0", DeviceKind::Gpu);
    gpu.offers = Resources { gpu_milli: 1000, gpu_memory_bytes: 8 << 30, ..Resources::default() };
    gpu.used = Resources { gpu_milli: 250, gpu_memory_bytes: 1 << 30, ..Resources::default() };
    node.devices.push(gpu);
    node.offers.named.insert("camera".into(), 2);
    node.used.named.insert("camera".into(), 1);
    let text = mesh(vec![node]).table();
    assert!(text.contains("250m of 1000m  1024.0 MiB of 8192.0 MiB"), "{text}");
    assert!(text.contains("alpha has camera: 1 of 2 taken"), "{text}");
}

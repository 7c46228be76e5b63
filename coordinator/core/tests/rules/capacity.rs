//! A node may come back with less than it had, and the plan follows.

use skein_core::capability::DeviceKind;
use skein_core::{Command, Event, SessionId, WorkerId};

use crate::mesh::{A, B, Mesh, cores, node};

fn told_less(worker: u64) -> Event {
    Event::WorkerRemoved { worker: WorkerId(worker), session: SessionId(1), reason: "its node now offers less".into() }
}

#[test]
fn what_no_longer_fits_leaves_newest_first() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let id = mesh.session(4);
    mesh.plan();
    let joined = Event::NodeJoined { node: A, reason: "what it offers changed".into() };
    assert_eq!(mesh.apply(Command::NodeJoin(node(A, 2))), [joined.clone(), told_less(4), told_less(3)]);
    assert_eq!(mesh.nodes_of(id), [A, A]);
    assert_eq!(mesh.apply(Command::NodeJoin(node(A, 4))), [joined]);
    assert_eq!(mesh.plan().len(), 2);
}

#[test]
fn one_dimension_is_enough() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    mesh.session(4);
    mesh.plan();
    let mut spec = node(A, 4);
    spec.capability.offers.memory_bytes = cores(1).memory_bytes;
    assert_eq!(mesh.apply(Command::NodeJoin(spec)).len(), 1 + 3);
}

#[test]
fn a_device_or_a_target_that_is_gone_takes_all_its_workers() {
    let changes: [fn(&mut skein_core::capability::Capability); 4] = [
        |capability| capability.devices.clear(),
        |capability| capability.devices[0].name = "cpu-0".into(),
        |capability| capability.devices[0].kind = DeviceKind::Gpu,
        |capability| capability.targets = vec!["openvino".into()],
    ];
    for change in changes {
        let mut mesh = Mesh::of(&[(A, 2), (B, 2)]);
        let id = mesh.session(4);
        mesh.plan();
        let mut spec = node(A, 2);
        change(&mut spec.capability);
        assert_eq!(mesh.apply(Command::NodeJoin(spec)).len(), 1 + 2);
        assert_eq!(mesh.nodes_of(id), [B, B], "the workers of others stay");
    }
}

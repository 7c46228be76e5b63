//! What is spare, and who has to leave: examples with known answers.

use skein_core::plan::Change;
use skein_core::policy::PolicyName;
use skein_core::session::SessionSpec;
use skein_core::worker::Why;
use skein_core::{Command, Millis, Resources, SessionId, WorkerId};

use crate::mesh::{A, Mesh, cores, node, session};

fn of(cpu: u64, gigabytes: u64) -> Resources {
    Resources { cpu_millicores: cpu * 1_000, memory_bytes: gigabytes << 30, ..Resources::default() }
}

fn sharing(share: u32, need: Resources) -> SessionSpec {
    SessionSpec { fixed: 0, share, max: 20, need, ..session(0) }
}

fn wanting(mesh: &mut Mesh, spec: SessionSpec) -> SessionId {
    let id = mesh.open(spec);
    mesh.apply(Command::SessionWant { session: id, workers: 20 });
    id
}

/// Ghodsi et al., NSDI 2011, section 4.1: 9 CPUs and 18 GB; tasks of A take 1 CPU and 4 GB, of B 3 CPUs and 1 GB. A gets three
/// and B two, so that each has two thirds of what it needs most.
#[test]
fn dominant_resource_fairness_as_in_the_paper() {
    let mut mesh = Mesh::founded();
    let mut spec = node(A, 1);
    spec.capability.offers = of(9, 18);
    mesh.apply(Command::NodeJoin(spec));
    let (a, b) = (wanting(&mut mesh, sharing(1, of(1, 4))), wanting(&mut mesh, sharing(1, of(3, 1))));
    mesh.plan();
    assert_eq!((mesh.nodes_of(a).len(), mesh.nodes_of(b).len()), (3, 2));
}

#[test]
fn what_is_spare_is_divided_by_weight() {
    let mut mesh = Mesh::of(&[(A, 8)]);
    let (one, three) = (wanting(&mut mesh, sharing(1, cores(1))), wanting(&mut mesh, sharing(3, cores(1))));
    mesh.plan();
    assert_eq!((mesh.nodes_of(one).len(), mesh.nodes_of(three).len()), (2, 6));
}

#[test]
fn a_higher_priority_takes_the_place_of_the_cheapest_and_gives_it_time() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let low = mesh.open(SessionSpec { priority: 10, grace: Millis(3_000), ..session(1) });
    let middle = mesh.open(SessionSpec { priority: 20, ..session(1) });
    mesh.plan();
    let policy = Some(PolicyName::Preemptive);
    let high = mesh.open(SessionSpec { priority: 90, policy, ..session(1) });
    let until = Millis(mesh.now.0 + 3_000);
    let leaves = Change::Leave { worker: WorkerId(1), why: Why::Preempted { by: high } };
    assert_eq!(mesh.changes(), [leaves]);
    assert_eq!(mesh.changes(), [], "there is nothing to do but wait");
    mesh.now = until;
    assert_eq!(mesh.plan().len(), 1);
    assert_eq!((mesh.nodes_of(low).len(), mesh.nodes_of(middle).len(), mesh.nodes_of(high).len()), (0, 1, 1));
    // The victim comes back before new work of its priority.
    let later = mesh.open(SessionSpec { priority: 10, ..session(1) });
    mesh.apply(Command::SessionEnd(high));
    mesh.plan();
    assert_eq!((mesh.nodes_of(low).len(), mesh.nodes_of(later).len()), (1, 0));
}

//! Who has to leave: examples that others published with their answers. (The example of fairness is in [`crate::share`].)
//!
//! The first four are cases of Kubernetes, `TestDryRunPreemption` in `pkg/scheduler/framework/plugins/defaultpreemption/
//! default_preemption_test.go` at commit 008b3652959c: nodes of 500 millicores, pods of 100 (small), 200 (medium) and 300
//! (large), priorities low, mid and high. Their names are given as they stand there.
//!
//! The last is Nomad's, from its page "Allocation Preemption" (<https://developer.hashicorp.com/nomad/docs/concepts/scheduling/preemption>).

use skein_core::plan::Change;
use skein_core::policy::PolicyName;
use skein_core::session::SessionSpec;
use skein_core::worker::Why;
use skein_core::{Command, NodeId, Resources, WorkerId};

use crate::mesh::{A, B, Mesh, node, session};

const LOW: u8 = 10;
const MID: u8 = 20;
const HIGH: u8 = 30;

const SMALL: u64 = 100;
const MEDIUM: u64 = 200;
const LARGE: u64 = 300;

/// As many bytes as millicores, as there.
fn cpu(millicores: u64) -> Resources {
    Resources { cpu_millicores: millicores, memory_bytes: millicores, ..Resources::default() }
}

/// Two nodes of 500 millicores.
fn two_nodes() -> Mesh {
    let mut mesh = Mesh::founded();
    for id in [A, B] {
        let mut spec = node(id, 1);
        spec.capability.offers = cpu(500);
        mesh.apply(Command::NodeJoin(spec));
    }
    mesh
}

/// A pod that runs there.
fn pod(mesh: &mut Mesh, on: NodeId, priority: u8, need: Resources) -> WorkerId {
    let id = mesh.open(SessionSpec { priority, need, ..session(1) });
    mesh.place(id, on, "cpu");
    let worker = mesh.state.last_worker;
    assert_eq!(mesh.state.workers[&worker].session, id, "there is room for it");
    worker
}

/// Who has to leave for a pod like this one.
fn victims(mesh: &mut Mesh, priority: u8, need: Resources) -> Vec<WorkerId> {
    let policy = Some(PolicyName::Preemptive);
    let by = mesh.open(SessionSpec { priority, policy, need, ..session(1) });
    let leaves = |change: Change| match change {
        Change::Leave { worker, why: Why::Preempted { by: told } } if told == by => worker,
        other => panic!("nothing else is planned: {other:?}"),
    };
    let mut victims: Vec<WorkerId> = mesh.changes().into_iter().map(leaves).collect();
    victims.sort_unstable();
    victims
}

/// "a pod that would fit on the nodes, but other pods running are higher priority, no preemption would happen".
#[test]
fn nobody_of_a_higher_priority_leaves() {
    let mut mesh = two_nodes();
    pod(&mut mesh, A, MID, cpu(LARGE));
    pod(&mut mesh, B, MID, cpu(LARGE));
    assert_eq!(victims(&mut mesh, LOW, cpu(LARGE)), []);
}

/// "medium priority pod is preempted, but lower priority one stays as it is small": p1.2 on the first node, or p2 on the second,
/// whichever is taken. Here the newest is.
#[test]
fn one_of_medium_priority_leaves_and_the_small_one_of_lower_priority_stays() {
    let mut mesh = two_nodes();
    let p2 = pod(&mut mesh, B, MID, cpu(LARGE));
    pod(&mut mesh, A, LOW, cpu(SMALL));
    let p12 = pod(&mut mesh, A, MID, cpu(LARGE));
    assert_eq!(victims(&mut mesh, HIGH, cpu(LARGE)), [p12]);
    assert!(p2 < p12);
}

/// "mixed priority pods are preempted": p1.2 and p1.3. Of the first node's 500, 100 + 200 have to go; p1.1 and p1.3 would do as
/// well, and p1.2 is of lower priority. The second node's has the preemptor's own priority.
#[test]
fn two_of_mixed_priorities_leave() {
    let mut mesh = two_nodes();
    pod(&mut mesh, A, MID, cpu(SMALL));
    let p12 = pod(&mut mesh, A, LOW, cpu(SMALL));
    let p13 = pod(&mut mesh, A, MID, cpu(MEDIUM));
    pod(&mut mesh, A, HIGH, cpu(SMALL));
    pod(&mut mesh, B, HIGH, cpu(LARGE));
    assert_eq!(victims(&mut mesh, HIGH, cpu(LARGE)), [p12, p13]);
}

/// "mixed priority pods are preempted, pick later `StartTime` one when priorities are equal": p1.1, which started last, and p1.3.
#[test]
fn of_two_alike_the_one_that_started_last_leaves() {
    let mut mesh = two_nodes();
    pod(&mut mesh, B, HIGH, cpu(LARGE));
    pod(&mut mesh, A, HIGH, cpu(SMALL));
    let p13 = pod(&mut mesh, A, MID, cpu(MEDIUM));
    pod(&mut mesh, A, LOW, cpu(SMALL));
    let p11 = pod(&mut mesh, A, LOW, cpu(SMALL));
    assert_eq!(victims(&mut mesh, HIGH, cpu(LARGE)), [p13, p11]);
}

/// Tenths of a gigabyte of memory, and of disk. There is processor enough.
fn of(memory: u64, disk: u64) -> Resources {
    let named = [("disk".into(), disk)].into();
    Resources { cpu_millicores: 1, memory_bytes: memory, named, ..Resources::default() }
}

/// Nomad's table, of a node that is full: cache (priority 70) a6 has 2 GB of memory and 0.5 GB of disk; batch-analytics (50) a4
/// and a5 have 1 GB and 0.5 GB each; email-marketing (20) a1 has 0.5 GB and 0.8 GB, a2 0.5 GB and 0.2 GB. For webapp (75), which
/// needs 2 GB and 1 GB, its answer is a1, a2 and a4: all of the lowest priority first, then as many of the next as need be. And
/// never a6: its priority is too near.
///
/// Ours differs, as its rule does: the smallest set comes before the lowest priority. a4 and a5 alone have 2 GB and 1 GB. Where a5
/// is not there, and its room is somebody's who may not be evicted, both rules have the same answer.
#[test]
fn nomads_example_with_the_smallest_set_first() {
    for is_there in [true, false] {
        let mut mesh = Mesh::founded();
        let mut spec = node(A, 1);
        spec.capability.offers = Resources { cpu_millicores: 1_000, ..of(50, 25) };
        mesh.apply(Command::NodeJoin(spec));
        pod(&mut mesh, A, 75, of(20, 5));
        let a5 = pod(&mut mesh, A, if is_there { 50 } else { 75 }, of(10, 5));
        let a4 = pod(&mut mesh, A, 50, of(10, 5));
        let a2 = pod(&mut mesh, A, 20, of(5, 2));
        let a1 = pod(&mut mesh, A, 20, of(5, 8));
        let answer = if is_there { vec![a5, a4] } else { vec![a4, a2, a1] };
        assert_eq!(victims(&mut mesh, 75, of(20, 10)), answer, "with a5: {is_there}");
    }
}

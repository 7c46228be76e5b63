//! The smallest set of victims, the cheapest first: against a search through all sets, on meshes small enough for that.
//! (Where more than eight of one node might go, the planner has an approximation from three on.)

use std::cell::Cell;
use std::cmp::Reverse;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use skein_core::plan::Change;
use skein_core::policy::PolicyName;
use skein_core::session::SessionSpec;
use skein_core::worker::{Why, Worker, WorkerReport};
use skein_core::{Command, Event, Millis, NodeId, Resources, State, WorkerId, plan};

use crate::mesh::{Mesh, cores, node, session};

const CASES: u32 = 512;
/// The preemptor's priority: some workers have more.
const PRIORITY: u8 = 25;

/// Somebody who runs already: on which node, with what, and what it would cost to have it leave.
#[derive(Clone, Debug)]
struct Runs {
    node: NodeId,
    need: Resources,
    priority: u8,
    at_stake: Millis,
    is_lent: bool,
}

fn need(most: u64) -> impl Strategy<Value = Resources> {
    (1..=most, 1..=most, 0..2_u64).prop_map(|(cpu, memory, cameras)| {
        let named = (cameras > 0).then(|| ("camera".into(), cameras)).into_iter().collect();
        Resources { memory_bytes: memory << 30, named, ..cores(cpu) }
    })
}

fn runs() -> impl Strategy<Value = Runs> {
    (1..4_u64, need(3), 0..4_u8, 0..3_u64, any::<bool>()).prop_map(|(node, need, priority, stake, is_lent)| {
        let (priority, at_stake) = (priority * 10, Millis(stake * 1_000));
        Runs { node: NodeId(node), need, priority, at_stake, is_lent }
    })
}

/// So many nodes with so many cores each, and these workers as far as there is room.
fn mesh(sizes: &[u64], all: &[Runs]) -> Mesh {
    let mut mesh = Mesh::founded();
    for (id, size) in (1..).zip(sizes) {
        let mut spec = node(NodeId(id), *size);
        spec.capability.offers.named.insert("camera".into(), 2);
        mesh.apply(Command::NodeJoin(spec));
    }
    for Runs { node, need, priority, at_stake, is_lent } in all {
        if !mesh.state.nodes.contains_key(node) {
            continue;
        }
        let (fixed, share, max) = if *is_lent { (0, 1, 1) } else { (1, 0, 0) };
        let spec = SessionSpec { fixed, share, max, priority: *priority, need: need.clone(), ..session(1) };
        let id = mesh.open(spec);
        if *is_lent {
            mesh.apply(Command::SessionWant { session: id, workers: 1 });
        }
        let events = mesh.place(id, *node, "cpu");
        if events.iter().any(|event| matches!(event, Event::ChangeRefused { .. })) {
            mesh.apply(Command::SessionEnd(id));
            continue;
        }
        let worker = mesh.state.last_worker;
        mesh.apply(Command::WorkerReport { node: *node, worker, report: WorkerReport::AtStake(*at_stake) });
    }
    mesh
}

/// What one costs: what was lent goes before what was promised, then the lower priority, then who has less to lose, then the
/// newest.
type Cost = (bool, u8, Millis, Reverse<WorkerId>);

fn cost(state: &State, id: WorkerId, worker: &Worker) -> Option<Cost> {
    let holder = &state.sessions[&worker.session];
    let is_fixed = holder.spec.fixed > 0;
    (!is_fixed || holder.spec.priority < PRIORITY).then_some((
        is_fixed,
        holder.spec.priority,
        worker.at_stake,
        Reverse(id),
    ))
}

/// Whether this fits a node beside all but those who go.
fn fits(state: &State, at: NodeId, need: &Resources, goes: &[Cost]) -> bool {
    let stays = state.workers_on(at).filter(|(id, _)| !goes.iter().any(|cost| cost.3.0 == *id));
    let taken = stays.fold(need.clone(), |sum, (_, worker)| sum.plus(&worker.need));
    taken.fits(&state.nodes[&at].spec.capability.offers)
}

/// Of all sets of workers of any node, the smallest that makes room; of those the one whose costs, in order, come first.
fn best_set(state: &State, need: &Resources) -> Option<Vec<Cost>> {
    let sets = state.nodes.keys().flat_map(|at| {
        let mut able: Vec<Cost> = state.workers_on(*at).filter_map(|(id, worker)| cost(state, id, worker)).collect();
        able.sort_unstable();
        let subset = move |bits: u32| -> Vec<Cost> {
            able.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, cost)| *cost).collect()
        };
        let count = state.workers_on(*at).count();
        (0..1_u32 << count).map(subset).filter(move |set| fits(state, *at, need, set))
    });
    sets.min_by_key(|set| (set.len(), set.clone()))
}

#[test]
fn who_has_to_leave_is_the_smallest_and_cheapest_set_of_all() {
    let input = (prop::collection::vec(4..9_u64, 1..4), prop::collection::vec(runs(), 4..24), need(8));
    // How often the best set had none, one, two, and more.
    let sizes: [Cell<u32>; 4] = [const { Cell::new(0) }; 4];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let run = TestRunner::new(config).run(&input, |(nodes, all, need)| {
        let mut mesh = mesh(&nodes, &all);
        let policy = Some(PolicyName::Preemptive);
        let taker = mesh.open(SessionSpec { priority: PRIORITY, policy, need: need.clone(), ..session(1) });
        let planned = plan(&mesh.state, mesh.now).changes;
        let leave = planned.iter().filter_map(|change| match change {
            Change::Leave { worker, why: Why::Preempted { by } | Why::Reclaimed { by } } if *by == taker => {
                Some(*worker)
            }
            _ => None,
        });
        let leave: Vec<WorkerId> = leave.collect();
        let best = best_set(&mesh.state, &need);
        let expected: Vec<WorkerId> = best.iter().flatten().map(|cost| cost.3.0).collect();
        let starts = planned.iter().any(|change| matches!(change, Change::Start(place) if place.session == taker));
        prop_assert_eq!(starts, best.as_ref().is_some_and(Vec::is_empty), "{:?}", planned);
        prop_assert_eq!(&leave, &expected, "{:?}", mesh.state.workers);
        if best.is_some() {
            let size = &sizes[expected.len().min(3)];
            size.set(size.get() + 1);
        }
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    let sizes = sizes.map(|size| size.get() * 100 / CASES);
    assert!(sizes.iter().all(|percent| *percent >= 3), "sets of 0, 1, 2 and more, in percent: {sizes:?}");
}

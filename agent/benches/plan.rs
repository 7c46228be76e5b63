//! How long the leader plans: a large mesh from nothing, and after a small change. `cargo xtask bench plan`.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

mod large_mesh;
mod report;

use std::time::Instant;

use large_mesh::{NOW, Size, change, mesh, newcomer, settle};
use report::{Metric, Report, median};
use skein_core::plan::{CHANGES_MAX, Planner};
use skein_core::{Command, NodeId, SessionId, State};

/// The mesh of the goals.
const SIZE: Size = Size { nodes: 10_000, sessions: 2_000, workers: 100_000, tasks: 1_000_000, room_percent: 110 };
const GOAL_INCREMENTAL_MS: f64 = 20.0;
const GOAL_COLD_MS: f64 = 2_000.0;
/// Runs of which the median is told.
const RUNS: usize = 5;

/// The same mesh, with too little room for all that is asked for, and ten times larger or smaller in one direction.
const GROWTH: [(&str, &str, Size); 9] = [
    ("short_of_room_incremental_ms", "short_of_room_cold_ms", Size { room_percent: 85, ..SIZE }),
    ("nodes_1000_incremental_ms", "nodes_1000_cold_ms", Size { nodes: 1_000, ..SIZE }),
    ("nodes_100000_incremental_ms", "nodes_100000_cold_ms", Size { nodes: 100_000, ..SIZE }),
    ("workers_10000_incremental_ms", "workers_10000_cold_ms", Size { workers: 10_000, ..SIZE }),
    ("workers_1000000_incremental_ms", "workers_1000000_cold_ms", Size { workers: 1_000_000, ..SIZE }),
    ("sessions_200_incremental_ms", "sessions_200_cold_ms", Size { sessions: 200, ..SIZE }),
    ("sessions_20000_incremental_ms", "sessions_20000_cold_ms", Size { sessions: 20_000, ..SIZE }),
    ("tasks_100000_incremental_ms", "tasks_100000_cold_ms", Size { tasks: 100_000, ..SIZE }),
    ("tasks_10000000_incremental_ms", "tasks_10000000_cold_ms", Size { tasks: 10_000_000, ..SIZE }),
];

fn main() {
    let mut report = Report::default();
    let (mut state, cold) = cold(SIZE, RUNS);
    let mut planner = Planner::default();
    settle(&mut state, &mut planner);
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    report.add(Metric::new("workers_planned", count(state.workers.len()), ""));
    report.add(Metric::new("scan_all_workers_ms", scan(&state), "ms"));
    let small = Small::measure(&mut state, &mut planner, SIZE);
    report.add(Metric::new("plan_nothing_changed_ms", small.nothing, "ms"));
    report.add(Metric::new("plan_node_lost_ms", small.node_lost, "ms"));
    report.add(Metric::new("plan_session_added_ms", small.session_added, "ms"));
    report.add(Metric::new("plan_tasks_done_ms", small.tasks_done, "ms"));
    report.add(Metric::new("plan_incremental_ms", small.worst(), "ms").at_most(GOAL_INCREMENTAL_MS));
    report.add(Metric::new("plan_cold_ms", cold, "ms").at_most(GOAL_COLD_MS));
    for (incremental, from_nothing, size) in GROWTH {
        let (mut state, cold) = self::cold(size, 1);
        let mut planner = Planner::default();
        settle(&mut state, &mut planner);
        report.add(Metric::new(incremental, Small::measure(&mut state, &mut planner, size).worst(), "ms"));
        report.add(Metric::new(from_nothing, cold, "ms"));
    }
    report.print("plan");
}

/// A mesh, and the median time of planning all of it from nothing, in milliseconds.
fn cold(size: Size, runs: usize) -> (State, f64) {
    let state = mesh(size);
    let times = (0..runs).map(|_| timed(|| drop(Planner::default().plan(&state, NOW, usize::MAX))));
    let median = median(times.collect());
    (state, median)
}

/// The bare limit: what it takes to look at every worker once, which a plan from nothing cannot do without.
fn scan(state: &State) -> f64 {
    let look = || {
        let cpu: u64 = state.workers.values().map(|worker| worker.need.cpu_millicores).sum();
        assert!(std::hint::black_box(cpu) > 0, "workers need some processor");
    };
    median((0..RUNS).map(|_| timed(look)).collect())
}

/// Median times of a cycle after small changes, in milliseconds. What `apply` takes is not counted.
struct Small {
    nothing: f64,
    node_lost: f64,
    session_added: f64,
    tasks_done: f64,
}

impl Small {
    fn measure(state: &mut State, planner: &mut Planner, size: Size) -> Self {
        let nothing = median((0..RUNS).map(|_| cycle(state, planner)).collect());
        let after = |state: &mut State, planner: &mut Planner, commands: &dyn Fn(u64) -> Vec<Command>| {
            let run = |number: usize| {
                for command in commands(number as u64) {
                    change(state, command);
                }
                let first = cycle(state, planner);
                settle(state, planner);
                first
            };
            median((0..RUNS).map(run).collect())
        };
        let node_lost = after(state, planner, &|run| vec![Command::NodeDown(NodeId(size.nodes / 2 + run))]);
        let session_added = after(state, planner, &|_| vec![Command::SessionCreate(newcomer(size))]);
        // A thousand tasks that are done are a few workers less that some sessions want.
        let tasks_done = after(state, planner, &|run| {
            let first = 1 + run * 20;
            (first..first + 20).map(|id| Command::SessionWant { session: SessionId(id), workers: 0 }).collect()
        });
        Self { nothing, node_lost, session_added, tasks_done }
    }

    fn worst(&self) -> f64 {
        self.node_lost.max(self.session_added).max(self.tasks_done)
    }
}

/// One cycle of a running mesh: planned, and carried out.
fn cycle(state: &mut State, planner: &mut Planner) -> f64 {
    let begin = Instant::now();
    let plan = planner.plan(state, NOW, CHANGES_MAX);
    let took = begin.elapsed().as_secs_f64() * 1_000.0;
    if !plan.is_empty() {
        change(state, Command::Plan(plan));
    }
    took
}

fn timed(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64() * 1_000.0
}

//! How long the leader plans: a large mesh from nothing, and after a small change. `cargo xtask bench plan`.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

mod large_mesh;
mod report;
mod waiting;

use std::time::Instant;

use large_mesh::{NOW, Size, change, mesh, newcomer, settle};
use report::{Metric, Report, median};
use skein_core::plan::{CHANGES_MAX, Planner};
use skein_core::{Command, NodeId, SessionId, State};
use waiting::Waiting;

/// The mesh of the goals.
const SIZE: Size = Size { nodes: 10_000, sessions: 2_000, workers: 100_000, tasks: 1_000_000, room_percent: 110 };
const GOAL_INCREMENTAL_MS: f64 = 20.0;
const GOAL_COLD_MS: f64 = 2_000.0;
/// Where there is too little for all, many wait, and many leave for them: about as quick as where there is enough.
const GOAL_SHORT_OF_ROOM_MS: f64 = 25.0;
/// Runs of which the median is told.
const RUNS: usize = 5;
/// Tasks that are done in one of the small changes.
const TASKS_DONE: u64 = 1_000;

/// The same mesh, with too little room for all that is asked for, and ten times larger or smaller in one direction.
const GROWTH: [(&str, &str, Size); 9] = [
    ("short_of_room_incremental_ms", "short_of_room_cold_ms", Size { room_percent: 85, ..SIZE }),
    ("nodes_1000_incremental_ms", "nodes_1000_cold_ms", Size { nodes: 1_000, ..SIZE }),
    ("nodes_100000_incremental_ms", "nodes_100000_cold_ms", Size { nodes: 100_000, ..SIZE }),
    ("workers_10000_incremental_ms", "workers_10000_cold_ms", Size { workers: 10_000, ..SIZE }),
    ("workers_1000000_incremental_ms", "workers_1000000_cold_ms", Size { workers: 1_000_000, ..SIZE }),
    ("sessions_200_incremental_ms", "sessions_200_cold_ms", Size { sessions: 200, ..SIZE }),
    ("sessions_20000_incremental_ms", "sessions_20000_cold_ms", Size { sessions: 20_000, ..SIZE }),
    (
        "tasks_100000_which_no_plan_looks_at_incremental_ms",
        "tasks_100000_which_no_plan_looks_at_cold_ms",
        Size { tasks: 100_000, ..SIZE },
    ),
    (
        "tasks_10000000_which_no_plan_looks_at_incremental_ms",
        "tasks_10000000_which_no_plan_looks_at_cold_ms",
        Size { tasks: 10_000_000, ..SIZE },
    ),
];

fn main() {
    let mut report = Report::default();
    let (mut state, mut waiting, cold) = cold(SIZE, RUNS);
    let mut planner = Planner::default();
    settle(&mut state, &mut planner);
    let count = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    report.add(Metric::new("workers_planned", count(state.workers.len() as u64), ""));
    report.add(Metric::new("tasks_waiting_at_gateways", count(waiting.tasks()), ""));
    report.add(Metric::new("scan_all_workers_ms", scan(&state), "ms"));
    let small = Small::measure(&mut state, &mut planner, &mut waiting, SIZE);
    report.add(Metric::new("plan_nothing_changed_ms", small.nothing, "ms"));
    report.add(Metric::new("plan_node_lost_ms", small.node_lost, "ms"));
    report.add(Metric::new("plan_session_added_ms", small.session_added, "ms"));
    report.add(Metric::new("plan_tasks_done_ms", small.tasks_done, "ms"));
    report.add(Metric::new("plan_incremental_ms", small.worst(), "ms").at_most(GOAL_INCREMENTAL_MS));
    report.add(Metric::new("plan_cold_ms", cold, "ms").at_most(GOAL_COLD_MS));
    for (incremental, from_nothing, size) in GROWTH {
        let (mut state, mut waiting, cold) = self::cold(size, 1);
        let mut planner = Planner::default();
        settle(&mut state, &mut planner);
        let worst = Small::measure(&mut state, &mut planner, &mut waiting, size).worst();
        let metric = Metric::new(incremental, worst, "ms");
        let is_short = incremental.starts_with("short_of_room");
        report.add(if is_short { metric.at_most(GOAL_SHORT_OF_ROOM_MS) } else { metric });
        report.add(Metric::new(from_nothing, cold, "ms"));
    }
    report.print("plan");
}

/// A mesh, its tasks, and the median time of planning all of it from nothing, in milliseconds.
fn cold(size: Size, runs: usize) -> (State, Waiting, f64) {
    let (mut state, mut waiting) = (mesh(size), Waiting::of(size));
    assert_eq!(waiting.tasks(), size.tasks, "all tasks wait");
    waiting.settle(&mut state);
    let plan = |planned: &mut usize| *planned = Planner::default().plan(&state, NOW, usize::MAX).changes.len();
    let mut planned = 0;
    let times = (0..runs).map(|_| timed(|| plan(&mut planned)));
    let median = median(times.collect());
    assert!(planned > 0, "there is all to plan");
    (state, waiting, median)
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
    fn measure(state: &mut State, planner: &mut Planner, waiting: &mut Waiting, size: Size) -> Self {
        let nothing = median((0..RUNS).map(|_| cycle(state, planner, Some(false), "nothing changed")).collect());
        // Where room is short, whoever lacks a worker may find nobody whose going would help.
        let is_due = (size.room_percent >= 100).then_some(true);
        let after = |what: &str, state: &mut State, planner: &mut Planner, command: &dyn Fn(&State) -> Command| {
            let run = |_| {
                let command = command(state);
                change(state, command);
                let first = cycle(state, planner, is_due, what);
                settle(state, planner);
                first
            };
            median((0..RUNS).map(run).collect())
        };
        let node_lost =
            after("a node lost", state, planner, &|state| Command::NodeDown(with_workers(state, size.nodes / 2)));
        let session_added = after("a session added", state, planner, &|_| Command::SessionCreate(newcomer(size)));
        let mut sharing = sharing(state).into_iter();
        let tasks_done = median((0..RUNS).map(|_| done(state, planner, waiting, &mut sharing)).collect());
        Self { nothing, node_lost, session_added, tasks_done }
    }

    fn worst(&self) -> f64 {
        self.node_lost.max(self.session_added).max(self.tasks_done)
    }
}

/// The first node from this one on that is up and has workers to lose.
fn with_workers(state: &State, from: u64) -> NodeId {
    let nodes = state.nodes.range(NodeId(from)..).filter(|(_, node)| node.up);
    let node = nodes.map(|(id, _)| *id).find(|id| state.workers_on(*id).next().is_some());
    node.expect("the upper half of the nodes have workers")
}

/// Sessions that compete for what is spare; first those that have some of it. Where tasks are few, nobody may.
fn sharing(state: &State) -> Vec<SessionId> {
    let sharing = state.sessions.iter().filter(|(_, session)| session.spec.share > 0);
    let mut sharing: Vec<SessionId> = sharing.map(|(id, _)| *id).collect();
    sharing.sort_by_key(|id| !has_lent(state, *id));
    sharing
}

/// Whether it has workers beyond its fixed ones.
fn has_lent(state: &State, id: SessionId) -> bool {
    state.sessions.get(&id).is_some_and(|session| state.index().serving(id) > session.spec.fixed)
}

/// A thousand tasks are done: the gateways say so, and once the leader believes it, it finds out who wants less and plans
/// anew. Both are counted. Where a session has no more tasks, its workers are given back.
fn done(
    state: &mut State,
    planner: &mut Planner,
    waiting: &mut Waiting,
    sessions: &mut impl Iterator<Item = SessionId>,
) -> f64 {
    let (mut done, mut is_due) = (0, false);
    while done < TASKS_DONE {
        let session = sessions.next().expect("there are sessions enough that share");
        done += waiting.finish(session, TASKS_DONE - done);
        is_due |= waiting.tasks_of(session) == 0 && has_lent(state, session);
    }
    waiting.pass(state);
    let mut took = 0.0;
    loop {
        let mut command = None;
        took += timed(|| command = waiting.next_want(state));
        let Some(command) = command else { break };
        change(state, command);
    }
    took += cycle(state, planner, is_due.then_some(true), "tasks done");
    settle(state, planner);
    took
}

/// One cycle of a running mesh: planned, and carried out. Whether there ought to be something to plan is mostly known.
fn cycle(state: &mut State, planner: &mut Planner, is_due: Option<bool>, what: &str) -> f64 {
    let begin = Instant::now();
    let plan = planner.plan(state, NOW, CHANGES_MAX);
    let took = begin.elapsed().as_secs_f64() * 1_000.0;
    let is_right = is_due.is_none_or(|is_due| is_due != plan.is_empty());
    assert!(is_right, "{what}: {} changes are planned", plan.changes.len());
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

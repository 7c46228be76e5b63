//! How many durable tasks three voters on one machine accept in a second, by how many clients and in what batches; the disk's own
//! rate and, where `ETCD` names its program, etcd's writes beside it. `cargo xtask bench durable`.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

mod etcd;
mod report;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use report::{Metric, Report, median};
use skein_agent::api::{Answer, Change, Request};
use skein_agent::client::{Client, DurableNews, DurableTasks};
use skein_agent::demo::fleet::{Fleet, LOOK_EVERY};
use skein_agent::durable::wire::NewTask;
use skein_agent::worker::protocol::InputKind;
use skein_core::durable::KEEP_DEFAULT;
use skein_core::session::{PRIORITY_DEFAULT, SessionSpec};
use skein_core::{Resources, SessionId};
use skein_targets::{ElementType, TargetKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Runs of which the median is told.
const RUNS: usize = 3;
/// How long each run goes on.
const RUN_FOR: Duration = Duration::from_secs(2);
/// Three voters.
const AGENTS: usize = 3;
/// After this something hangs.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How many clients submit at once, one task after another.
const CLIENTS: [(usize, &str); 4] =
    [(1, "durable_per_s_1"), (8, "durable_per_s_8"), (64, "durable_per_s_64"), (512, "durable_per_s_512")];
/// How many tasks each of eight clients submits at once.
const BATCHES: [(usize, &str); 3] =
    [(10, "durable_per_s_8_in_tens"), (100, "durable_per_s_8_in_hundreds"), (1_000, "durable_per_s_8_in_thousands")];
/// How many times etcd's writes at as many clients.
const GOAL_TO_ETCD: f64 = 5.0;
/// What one task has: the trivial model's input, four numbers.
const INPUT_BYTES: usize = 16;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure())?.print("durable");
    Ok(())
}

async fn measure() -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.add(Metric::new("fsync_per_s", fsyncs_per_second()?, "1/s"));
    let mut fleet = Fleet::new(PathBuf::from(env!("CARGO_BIN_EXE_skein")))?;
    for _ in 0..AGENTS {
        fleet.start_one().await?;
    }
    let measured = with_mesh(&fleet, &mut report).await;
    let at_64 = measured.with_context(|| format!("the agents' last words:\n{}", fleet.last_words()))?;
    drop(fleet);
    if let Some(program) = std::env::var_os("ETCD").map(PathBuf::from) {
        let one = etcd::writes_per_second(&program, 1, RUN_FOR)?;
        let many = etcd::writes_per_second(&program, 64, RUN_FOR)?;
        report.add(Metric::new("etcd_per_s_1", one, "1/s"));
        report.add(Metric::new("etcd_per_s_64", many, "1/s"));
        report.add(Metric::new("ratio_to_etcd_64", at_64 / many, "1").at_least(GOAL_TO_ETCD));
    }
    Ok(report)
}

/// The rate at 64 clients, which is what etcd's is held against.
async fn with_mesh(fleet: &Fleet, report: &mut Report) -> anyhow::Result<f64> {
    let client = Client::connect(&fleet.addresses()).await?;
    let session = open_session(&client).await?;
    let mut at_64 = 0.0;
    for (clients, name) in CLIENTS {
        let rate = rate_of(fleet, session, clients, 1).await.context(name)?;
        if clients == 64 {
            at_64 = rate;
        }
        report.add(Metric::new(name, rate, "1/s"));
    }
    for (batch, name) in BATCHES {
        report.add(Metric::new(name, rate_of(fleet, session, 8, batch).await.context(name)?, "1/s"));
    }
    Ok(at_64)
}

/// The median of a few runs.
async fn rate_of(fleet: &Fleet, session: SessionId, clients: usize, batch: usize) -> anyhow::Result<f64> {
    let mut streams = Vec::new();
    for number in 0..clients {
        // Each agent has its part of them.
        let mut addresses = fleet.addresses();
        let first = number % addresses.len();
        addresses.rotate_left(first);
        let tasks = DurableTasks::begin(Client::connect(&addresses).await?, session, KEEP_DEFAULT).await?;
        streams.push(tasks);
    }
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for tasks in streams.drain(..) {
            running.spawn(submit_until(tasks, begin + RUN_FOR, batch));
        }
        let mut accepted = 0;
        while let Some(done) = running.join_next().await {
            let (tasks, count) = done??;
            accepted += count;
            streams.push(tasks);
        }
        rates.push(f64::from(u32::try_from(accepted)?) / begin.elapsed().as_secs_f64());
        // What was accepted is done and fetched before the next run begins: a backlog would be another measurement.
        for tasks in &mut streams {
            timeout(WAIT_MAX, drain(tasks)).await.context("the tasks are not done")??;
        }
    }
    for tasks in streams {
        timeout(WAIT_MAX, tasks.close()).await.context("a stream does not close")??;
    }
    Ok(median(rates))
}

/// Submits a batch, waits until it is accepted, and so on. How many were.
async fn submit_until(mut tasks: DurableTasks, end: Instant, batch: usize) -> anyhow::Result<(DurableTasks, u64)> {
    let before = tasks.accepted();
    while Instant::now() < end {
        let first = tasks.submit((0..batch).map(|_| new_task()).collect()).await?;
        while tasks.accepted().0 < first.0 + batch as u64 {
            if let DurableNews::Ended(head, _) = timeout(WAIT_MAX, tasks.news()).await.context("no news")?? {
                tasks.fetched(&[head.sequence]).await;
            }
        }
    }
    let count = tasks.accepted().0 - before.0;
    Ok((tasks, count))
}

async fn drain(tasks: &mut DurableTasks) -> anyhow::Result<()> {
    while tasks.fetched_count() < tasks.accepted().0 {
        if let DurableNews::Ended(head, _) = tasks.news().await? {
            ensure!(head.result.is_ok(), "a task failed: {:?}", head.result);
            tasks.fetched(&[head.sequence]).await;
        }
    }
    Ok(())
}

fn new_task() -> (NewTask, Bytes) {
    let input = InputKind::Tensor { element: ElementType::F32, shape: vec![1, 4] };
    let task = NewTask { label: String::new(), input, size: INPUT_BYTES, priority: PRIORITY_DEFAULT };
    (task, Bytes::from_static(&[0; INPUT_BYTES]))
}

/// Small writes in a row, each on the disk before the next.
fn fsyncs_per_second() -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let mut file = File::create(directory.path().join("probe"))?;
    let (begin, mut count) = (std::time::Instant::now(), 0_u32);
    while begin.elapsed() < RUN_FOR {
        file.write_all(&[0; 256])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

async fn open_session(client: &Client) -> anyhow::Result<SessionId> {
    let begin = Instant::now();
    while !matches!(client.ask(Request::NodeStatus).await, Ok(Answer::Nodes(mesh)) if mesh.nodes.len() == AGENTS) {
        ensure!(begin.elapsed() < WAIT_MAX, "the mesh is not whole");
        sleep(LOOK_EVERY).await;
    }
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../material/models/trivial.onnx");
    client.add_model("trivial", &model, String::new(), None).await?;
    let need = Resources { cpu_millicores: 100, memory_bytes: 128 << 20, ..Resources::default() };
    let query = "trivial".parse().map_err(|why: &str| anyhow::anyhow!(why))?;
    let spec = SessionSpec { fixed: 2, ..SessionSpec::of(query, TargetKind::Tract.name(), need) };
    match client.ask(Request::Change(Change::SessionCreate(spec))).await? {
        Answer::Created(session) => Ok(session),
        other => bail!("the session was not opened: {other:?}"),
    }
}

//! How long a mesh of three takes after a power cut of all machines until it works on its durable tasks again, with a million
//! ended ones that nobody fetched yet and a hundred thousand that wait; beside it, how long the disk takes to give back what the
//! coordinator has on it. `cargo xtask bench recovery`.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

mod report;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use report::{Metric, Report, median};
use skein_agent::api::{Answer, Change, MeshStatus, Request};
use skein_agent::client::{Client, DurableTasks};
use skein_agent::demo::fleet::{Fleet, LOOK_EVERY};
use skein_agent::durable::wire::NewTask;
use skein_agent::worker::protocol::InputKind;
use skein_core::durable::{BATCH_MAX, KEEP_DEFAULT};
use skein_core::health::Ending;
use skein_core::session::{PRIORITY_DEFAULT, SessionSpec};
use skein_core::{NodeId, Resources, SessionId};
use skein_targets::{ElementType, TargetKind};
use tokio::time::{Instant, sleep, timeout};

/// Tasks with an end that is kept.
const ENDED: u64 = 1_000_000;
/// Tasks that wait.
const PENDING: u64 = 100_000;
/// Streams that they are in.
const STREAMS: usize = 32;
/// Power cuts of which the median is told.
const RUNS: usize = 3;
/// Three voters.
const AGENTS: usize = 3;
/// After this something hangs.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// What one task has: the trivial model's input, four numbers.
const INPUT_BYTES: usize = 16;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure())?.print("recovery");
    Ok(())
}

async fn measure() -> anyhow::Result<Report> {
    let mut fleet = Fleet::new(PathBuf::from(env!("CARGO_BIN_EXE_skein")))?;
    for _ in 0..AGENTS {
        fleet.start_one().await?;
    }
    let measured = with_mesh(&mut fleet).await;
    measured.with_context(|| format!("the agents' last words:\n{}", fleet.last_words()))
}

async fn with_mesh(fleet: &mut Fleet) -> anyhow::Result<Report> {
    let client = Client::connect(&fleet.addresses()).await?;
    let session = open_session(&client).await?;
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let mut addresses = fleet.addresses();
        let first = number % addresses.len();
        addresses.rotate_left(first);
        streams.push(DurableTasks::begin(Client::connect(&addresses).await?, session, KEEP_DEFAULT).await?);
    }
    // 1. A million tasks are done, and nobody fetches what became of them.
    let begin = Instant::now();
    accept(&mut streams, ENDED).await?;
    wait_for("all tasks have ended", || async { Ok(count(&client).await?.done >= ENDED) }).await?;
    let filled = begin.elapsed();
    // 2. A hundred thousand find no worker.
    set_blocked(&client, true).await?;
    accept(&mut streams, PENDING).await?;
    drop(streams);
    // 3. The power goes, and comes back.
    let (mut led, mut went_on, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let mut pending = Vec::new();
    let mut bytes = 0;
    for _ in 0..RUNS {
        let client = Client::connect(&fleet.addresses()).await?;
        set_blocked(&client, true).await?;
        let known = settled(&client).await?;
        set_blocked(&client, false).await?;
        drop(client);
        let begin = power_cut(fleet).await?;
        let client = connect(fleet).await?;
        wait_for("somebody leads", || async { Ok(mesh(&client).await?.leader.is_some()) }).await?;
        led.push(millis(begin.elapsed()));
        wait_for("a task ends", || async { Ok(count(&client).await?.done > known.done) }).await?;
        went_on.push(millis(begin.elapsed()));
        pending.push(float(known.pending));
        let read = read_all(&fleet.state_dirs())?;
        bare.push(millis(read.0));
        bytes = read.1;
    }
    let mut report = Report::default();
    report.add(Metric::new("ended_tasks", float(ENDED), "tasks"));
    report.add(Metric::new("pending_tasks", median(pending), "tasks"));
    report.add(Metric::new("filled_in_s", filled.as_secs_f64(), "s"));
    report.add(Metric::new("on_disk_mb", float(bytes) / 1e6, "MB"));
    report.add(Metric::new("bare_read_ms", median(bare), "ms"));
    report.add(Metric::new("leader_ms", median(led), "ms"));
    report.add(Metric::new("first_end_ms", median(went_on), "ms"));
    Ok(report)
}

/// Has so many more tasks accepted, in batches through all streams at once.
async fn accept(streams: &mut Vec<DurableTasks>, tasks: u64) -> anyhow::Result<()> {
    let each = usize::try_from(tasks)?.div_ceil(streams.len());
    let mut running = tokio::task::JoinSet::new();
    for mut stream in streams.drain(..) {
        running.spawn(async move {
            let mut left = each;
            while left > 0 {
                let batch = left.min(BATCH_MAX / 4);
                left -= batch;
                let first = stream.submit((0..batch).map(|_| new_task()).collect()).await?;
                while stream.accepted().0 < first.0 + batch as u64 {
                    timeout(WAIT_MAX, stream.news()).await.context("tasks are not accepted")??;
                }
            }
            Ok::<_, anyhow::Error>(stream)
        });
    }
    while let Some(done) = running.join_next().await {
        streams.push(done??);
    }
    Ok(())
}

/// Kills every agent, and starts all of them again. When they were started.
async fn power_cut(fleet: &mut Fleet) -> anyhow::Result<Instant> {
    fleet.kill_all()?;
    let begin = Instant::now();
    fleet.restart_all(WAIT_MAX).await?;
    Ok(begin)
}

async fn connect(fleet: &Fleet) -> anyhow::Result<Client> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match Client::connect(&fleet.addresses()).await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

/// What all streams together have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    done: u64,
    pending: u64,
}

async fn count(client: &Client) -> anyhow::Result<Count> {
    let Answer::Tasks(streams) = client.ask(Request::TaskStatus(None)).await? else { bail!("no status of tasks") };
    let add = |sum: Count, done, pending| Count { done: sum.done + done, pending: sum.pending + pending };
    Ok(streams.iter().fold(Count::default(), |sum, stream| add(sum, stream.account.done, stream.pending as u64)))
}

/// The counts once nothing is under way any more.
async fn settled(client: &Client) -> anyhow::Result<Count> {
    let mut last = count(client).await?;
    let mut same_since = Instant::now();
    while same_since.elapsed() < Duration::from_secs(1) {
        sleep(LOOK_EVERY).await;
        let now = count(client).await?;
        if now != last {
            (last, same_since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// Reads every file of the coordinator, a directory at a time: how long the disk or its cache takes for one, and its bytes.
fn read_all(directories: &[PathBuf]) -> anyhow::Result<(Duration, u64)> {
    let directory = directories.first().context("there are agents")?.join("coordinator");
    let begin = Instant::now();
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let mut file = std::fs::File::open(path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok((begin.elapsed(), bytes))
}

async fn wait_for<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    mut is_so: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    // An agent that has just started may not know yet whom to ask.
    while !is_so().await.unwrap_or(false) {
        ensure!(begin.elapsed() < WAIT_MAX, "not within {} s: {what}", WAIT_MAX.as_secs());
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn mesh(client: &Client) -> anyhow::Result<MeshStatus> {
    match client.ask(Request::NodeStatus).await? {
        Answer::Nodes(mesh) => Ok(mesh),
        other => bail!("no status of nodes: {other:?}"),
    }
}

async fn set_blocked(client: &Client, blocked: bool) -> anyhow::Result<()> {
    let nodes: Vec<(NodeId, bool)> =
        mesh(client).await?.nodes.iter().map(|node| (node.node, node.block.is_some())).collect();
    for (node, _) in nodes.into_iter().filter(|(_, is_blocked)| *is_blocked != blocked) {
        let change = if blocked {
            let reason = "the tasks should wait".into();
            Change::Block { node, device: None, reason, ending: Ending::AtOnce }
        } else {
            Change::Unblock { node, device: None }
        };
        client.ask(Request::Change(change)).await?;
    }
    Ok(())
}

fn new_task() -> (NewTask, Bytes) {
    let input = InputKind::Tensor { element: ElementType::F32, shape: vec![1, 4] };
    let task = NewTask { label: String::new(), input, size: INPUT_BYTES, priority: PRIORITY_DEFAULT };
    (task, Bytes::from_static(&[0; INPUT_BYTES]))
}

async fn open_session(client: &Client) -> anyhow::Result<SessionId> {
    wait_for("the mesh is whole", || async { Ok(mesh(client).await?.nodes.len() == AGENTS) }).await?;
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

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a count that is shown")]
fn float(count: u64) -> f64 {
    count as f64
}

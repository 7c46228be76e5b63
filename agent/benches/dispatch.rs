//! What the mesh adds to a model: the latency of a task through gateway and worker, minus the bare model run in this
//! process, in one run. `cargo xtask bench dispatch`.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use report::{Metric, Report, median};
use skein_agent::api::{Answer, Change, Request};
use skein_agent::client::{Client, Order, TaskStream};
use skein_agent::demo::fleet::{Fleet, LOOK_EVERY};
use skein_agent::worker::protocol::InputKind;
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerStatus;
use skein_core::{NodeId, Resources, SessionId};
use skein_targets::{ElementType, Input, Manifest, Model, ModelSource, Place, TargetKind, TensorView};

/// Runs of which the median is told.
const RUNS: usize = 5;
/// Tasks in a run at concurrency 1.
const TASKS: u32 = 2_000;
/// Tasks before the first that counts.
const WARM_UP: u32 = 500;
/// Tasks under way in the throughput run.
const UNDER_WAY: usize = 32;
/// What the mesh should add at most within a node, and between two, in microseconds. Triton's HTTP adds 130 to 230.
const GOAL_LOCAL_US: f64 = 100.0;
const GOAL_REMOTE_US: f64 = 250.0;

/// The trivial model's input: four numbers.
const SHAPE: [usize; 2] = [1, 4];
const NUMBERS: [f32; 4] = [1.0, -2.0, 3.0, -4.0];

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())?.print("dispatch");
    Ok(())
}

async fn measure() -> anyhow::Result<Report> {
    let mut fleet = Fleet::new(PathBuf::from(env!("CARGO_BIN_EXE_skein")))?;
    fleet.start_one().await?;
    fleet.start_one().await?;
    let client = Client::connect(&fleet.addresses()).await?;
    let (session, worker) = open_session(&client).await?;
    let local = fleet.address_of(worker).expect("the worker stands on one of ours");
    let remote = fleet.addresses().into_iter().find(|address| *address != local).expect("there are two agents");

    let bare = bare()?;
    let (mut asked, mut near, mut far, mut rate) = (vec![], vec![], vec![], vec![]);
    for _ in 0..RUNS {
        asked.push(round_trips(&Client::connect(&[local]).await?).await?);
        near.push(latencies(Client::connect(&[local]).await?, session).await?);
        far.push(latencies(Client::connect(&[remote]).await?, session).await?);
        rate.push(throughput(Client::connect(&[local]).await?, session).await?);
    }
    let middle = |runs: &[Vec<f64>], percent| median(runs.iter().map(|run| percentile(run, percent)).collect());
    let bare_p50 = percentile(&bare, 50);
    let mut report = Report::default();
    report.add(Metric::new("bare_p50_us", bare_p50, "us"));
    report.add(Metric::new("request_round_trip_p50_us", middle(&asked, 50), "us"));
    report.add(Metric::new("task_local_p50_us", middle(&near, 50), "us"));
    report.add(Metric::new("task_local_p99_us", middle(&near, 99), "us"));
    report.add(Metric::new("task_remote_p50_us", middle(&far, 50), "us"));
    report.add(Metric::new("task_remote_p99_us", middle(&far, 99), "us"));
    report.add(Metric::new("overhead_local_p50_us", middle(&near, 50) - bare_p50, "us").at_most(GOAL_LOCAL_US));
    report.add(Metric::new("overhead_remote_p50_us", middle(&far, 50) - bare_p50, "us").at_most(GOAL_REMOTE_US));
    report.add(Metric::new("tasks_per_second_32_under_way", median(rate), "1/s"));
    Ok(report)
}

fn model_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../material/models/trivial.onnx")
}

fn payload() -> Bytes {
    NUMBERS.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// The model in this process, with nothing around it.
fn bare() -> anyhow::Result<Vec<f64>> {
    let file = model_file();
    let source = ModelSource { file: &file, manifest: Manifest::default(), labels: Vec::new() };
    let model = Model::load(TargetKind::Tract, source, &Place::default())?;
    let bytes = payload();
    let mut times = Vec::with_capacity(TASKS as usize);
    for turn in 0..WARM_UP + TASKS {
        let begin = Instant::now();
        let input = TensorView { element: ElementType::F32, shape: &SHAPE, bytes: &bytes };
        std::hint::black_box(model.run(Input::Tensor(input))?);
        if turn >= WARM_UP {
            times.push(micros(begin.elapsed()));
        }
    }
    Ok(times)
}

/// The bare limit of the way: a request that the agent answers out of its memory.
async fn round_trips(client: &Client) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(TASKS as usize);
    for turn in 0..WARM_UP + TASKS {
        let begin = Instant::now();
        client.hello().await?;
        if turn >= WARM_UP {
            times.push(micros(begin.elapsed()));
        }
    }
    Ok(times)
}

/// One task at a time.
async fn latencies(client: Client, session: SessionId) -> anyhow::Result<Vec<f64>> {
    let mut stream = TaskStream::open(client, session, Order::AsReady).await?;
    let mut times = Vec::with_capacity(TASKS as usize);
    for turn in 0..WARM_UP + TASKS {
        let begin = Instant::now();
        submit(&mut stream).await?;
        take(&mut stream).await?;
        if turn >= WARM_UP {
            times.push(micros(begin.elapsed()));
        }
    }
    Ok(times)
}

/// Tasks a second with many under way.
async fn throughput(client: Client, session: SessionId) -> anyhow::Result<f64> {
    let mut stream = TaskStream::open(client, session, Order::AsReady).await?;
    for _ in 0..UNDER_WAY {
        submit(&mut stream).await?;
    }
    let begin = Instant::now();
    for _ in 0..TASKS * 4 {
        take(&mut stream).await?;
        submit(&mut stream).await?;
    }
    let rate = f64::from(TASKS * 4) / begin.elapsed().as_secs_f64();
    while stream.next().await?.is_some() {}
    Ok(rate)
}

async fn submit(stream: &mut TaskStream) -> anyhow::Result<()> {
    let input = InputKind::Tensor { element: ElementType::F32, shape: SHAPE.to_vec() };
    stream.submit(input, payload()).await?;
    Ok(())
}

async fn take(stream: &mut TaskStream) -> anyhow::Result<()> {
    let result = stream.next().await?.expect("a task is pending");
    result.result.map_err(anyhow::Error::msg)?;
    Ok(())
}

/// A session with one worker on the trivial model; where the worker stands.
async fn open_session(client: &Client) -> anyhow::Result<(SessionId, NodeId)> {
    client.add_model("trivial", &model_file(), String::new(), None).await?;
    let model = "trivial".parse().map_err(anyhow::Error::msg)?;
    let need = Resources { cpu_millicores: 1000, memory_bytes: 64 << 20, ..Resources::default() };
    let spec = SessionSpec::of(model, TargetKind::Tract.name(), need);
    let Answer::Created(session) = client.ask(Request::Change(Change::SessionCreate(spec))).await? else {
        anyhow::bail!("the session was not created");
    };
    loop {
        let Answer::Sessions(sessions) = client.ask(Request::SessionStatus(Some(session))).await? else {
            anyhow::bail!("the session has no status");
        };
        let workers = sessions.iter().flat_map(|session| &session.workers);
        if let Some(ready) = workers.into_iter().find(|worker| worker.status == WorkerStatus::Ready) {
            return Ok((session, ready.node));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Nearest rank.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

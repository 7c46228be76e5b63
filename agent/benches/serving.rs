//! What a worker process adds to the runtime that it runs, against the same runtime called in a loop in this process, in one run.
//! `cargo xtask bench serving`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark speaks on standard output")]

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use report::{Metric, Report, median};
use skein_agent::worker::host::{Attempt, Host, Order, Port, Says};
use skein_agent::worker::protocol::{InputKind, Load};
use skein_core::dispatch::TaskId;
use skein_core::supervise::WorkerEvent;
use skein_core::{Sequence, StreamId, WorkerId};
use skein_targets::{ElementType, Input, Manifest, Model, ModelSource, Place, TargetKind, Tensor};
use tokio::sync::mpsc;

/// Runs of which the median is told, each of both sides.
const RUNS: usize = 5;
/// How long one side of a run takes: hundreds of runs of a small model, tens of a large one.
const RUN_TIME: Duration = Duration::from_secs(2);
/// Round trips of a run at concurrency 1.
const ROUND_TRIPS: usize = 500;
/// Of what the runtime does in a loop.
const GOAL_SATURATION: f64 = 0.97;
const GOAL_SMALL_US: f64 = 100.0;
const GOAL_6MB_US: f64 = 300.0;
/// 1080p in three colours of a byte: 6.2 MB, as so many numbers of four bytes.
const FRAME_NUMBERS: usize = 1920 * 1080 * 3 / 4;
/// Of every model here; only the simulated device looks at it.
const MANIFEST: &str = "[simulated]\nlatency_ms = 0\n";

/// Where `cargo xtask bench serving` has put the runtimes.
const RUNTIMES: &str = "SKEIN_TEST_RUNTIMES";

fn main() -> anyhow::Result<()> {
    // A host starts its workers as children of its own program: here, that is this one.
    if std::env::args().nth(1).as_deref() == Some("worker") {
        return Ok(skein_agent::worker::child::run()?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure())?.print("serving");
    Ok(())
}

async fn measure() -> anyhow::Result<Report> {
    let mut report = Report::default();
    for target in TargetKind::ALL.iter().copied().filter(|target| target.computes()) {
        if target.library_name().is_some() && std::env::var_os(RUNTIMES).is_none() {
            eprintln!(
                "{target} is left out: {RUNTIMES} names no folder with runtimes; `cargo xtask bench serving` sets it"
            );
            continue;
        }
        for (size, file) in [("small", "blazeface-front-128.onnx"), ("large", "efficientnet-lite0.onnx")] {
            let saturation = saturation(target, &model(file)).await?;
            let name = |what: &str| format!("{what}_{size}_{target}");
            report.add(Metric::new(name("bare"), saturation.bare, "1/s"));
            report.add(Metric::new(name("worker"), saturation.worker, "1/s"));
            report.add(Metric::new(name("saturation"), saturation.part, "").at_least(GOAL_SATURATION));
        }
        let (bare, hop) = round_trips(target, &model("trivial.onnx"), vec![1, 4]).await?;
        report.add(Metric::new(format!("bare_trivial_p50_us_{target}"), bare, "us"));
        report.add(Metric::new(format!("overhead_small_p50_us_{target}"), hop - bare, "us").at_most(GOAL_SMALL_US));
    }
    // Through a device that does nothing, only the way is left.
    let (bare, hop) = round_trips(TargetKind::Simulated, &model("trivial.onnx"), vec![1, FRAME_NUMBERS]).await?;
    report.add(Metric::new("copy_6mb_p50_us", median((0..RUNS).map(|_| copy()).collect()), "us"));
    report.add(Metric::new("overhead_6mb_p50_us", hop - bare, "us").at_most(GOAL_6MB_US));
    Ok(report)
}

/// Runs a second, and what part of the bare runtime's the worker's are.
struct Saturation {
    bare: f64,
    worker: f64,
    part: f64,
}

async fn saturation(target: TargetKind, file: &Path) -> anyhow::Result<Saturation> {
    let bare = Bare::load(target, file)?;
    let mut worker = Worker::start(target, file).await?;
    let kind = InputKind::Tensor { element: bare.input.element(), shape: bare.input.shape().to_vec() };
    let payload = Bytes::copy_from_slice(bare.input.bytes());
    let (mut alone, mut served, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    // The first of each warms up.
    for run in 0..=RUNS {
        let begin = Instant::now();
        let mut count = 0_u32;
        while begin.elapsed() < RUN_TIME {
            bare.run()?;
            count += 1;
        }
        let loops = f64::from(count) / begin.elapsed().as_secs_f64();
        let answers = worker.saturate(&kind, &payload).await?;
        if run > 0 {
            alone.push(loops);
            served.push(answers);
            parts.push(answers / loops);
        }
    }
    Ok(Saturation { bare: median(alone), worker: median(served), part: median(parts) })
}

/// The median of one run alone, and of one through the worker, in microseconds.
async fn round_trips(target: TargetKind, file: &Path, shape: Vec<usize>) -> anyhow::Result<(f64, f64)> {
    let mut bare = Bare::load(target, file)?;
    bare.input = zeros(shape.clone())?;
    let mut worker = Worker::start(target, file).await?;
    let kind = InputKind::Tensor { element: ElementType::F32, shape };
    let payload = Bytes::copy_from_slice(bare.input.bytes());
    let (mut alone, mut served) = (Vec::new(), Vec::new());
    for run in 0..=RUNS {
        let (mut runs, mut trips) = (Vec::new(), Vec::new());
        for _ in 0..ROUND_TRIPS {
            let begin = Instant::now();
            bare.run()?;
            runs.push(begin.elapsed().as_secs_f64() * 1e6);
            let begin = Instant::now();
            worker.send(&kind, &payload).await?;
            worker.answer().await?;
            trips.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        if run > 0 {
            alone.push(median(runs));
            served.push(median(trips));
        }
    }
    Ok((median(alone), median(served)))
}

/// What copying a frame once takes, which is the least that a frame costs on its way to another process, in microseconds.
fn copy() -> f64 {
    let from = vec![1_u8; FRAME_NUMBERS * 4];
    let mut to = vec![2_u8; FRAME_NUMBERS * 4];
    let times = (0..100).map(|_| {
        let begin = Instant::now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        begin.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

/// The runtime in this process.
struct Bare {
    model: Model,
    input: Tensor,
}

impl Bare {
    fn load(target: TargetKind, file: &Path) -> anyhow::Result<Self> {
        let source = ModelSource { file, manifest: Manifest::parse(MANIFEST)?, labels: Vec::new() };
        let model = Model::load(target, source, &place(target))?;
        let spec = model.description().inputs.first().context("the model has an input")?;
        let shape = spec.shape.iter().map(|axis| axis.unwrap_or(1)).collect();
        Ok(Self { model, input: zeros(shape)? })
    }

    fn run(&self) -> anyhow::Result<()> {
        std::hint::black_box(self.model.run(Input::Tensor(self.input.view()))?);
        Ok(())
    }
}

/// Numbers of four bytes, which all models here take.
fn zeros(shape: Vec<usize>) -> anyhow::Result<Tensor> {
    let count: usize = shape.iter().product();
    Ok(Tensor::new(ElementType::F32, shape, vec![0; count * 4])?)
}

/// One worker process, and the way to it.
struct Worker {
    host: Host,
    port: Port,
    ends: mpsc::UnboundedReceiver<Says>,
    sent: u64,
}

impl Worker {
    async fn start(target: TargetKind, file: &Path) -> anyhow::Result<Self> {
        let id = WorkerId(1);
        let (events, mut happened) = mpsc::unbounded_channel();
        let host = Host::new(events, false);
        let (name, manifest) = ("bench".into(), MANIFEST.into());
        let load = Load {
            target: target.name().into(),
            file: file.to_owned(),
            name,
            manifest,
            labels: None,
            place: place(target),
        };
        let order = Order { load, cpu_millicores: 1000, environment: Vec::new(), task_time: Duration::from_secs(60) };
        host.start(id, async { Ok(order) });
        match happened.recv().await {
            Some((_, WorkerEvent::Ready)) => {}
            other => bail!("the worker is not ready: {other:?}"),
        }
        let (told, ends) = mpsc::unbounded_channel();
        let listener = Arc::new(move |says| drop(told.send(says)));
        let port = host.attach(id, listener).context("the worker takes attempts")?;
        Ok(Self { host, port, ends, sent: 0 })
    }

    async fn send(&mut self, input: &InputKind, payload: &Bytes) -> anyhow::Result<()> {
        self.sent += 1;
        let task = TaskId { stream: StreamId(1), sequence: Sequence(self.sent) };
        let (input, payload) = (input.clone(), payload.clone());
        let attempt = Attempt { task, attempt: 1, input, payload, checkpoint: Bytes::new() };
        self.port.attempts.send(attempt).await.context("the worker is gone")
    }

    async fn answer(&mut self) -> anyhow::Result<()> {
        match self.ends.recv().await {
            Some(Says::End(end)) => end.result.map(drop).map_err(|fault| anyhow::anyhow!("{fault:?}")),
            other => bail!("the worker said {other:?}"),
        }
    }

    /// Answers a second while it always has as much to do as a gateway gives it.
    async fn saturate(&mut self, input: &InputKind, payload: &Bytes) -> anyhow::Result<f64> {
        for _ in 0..self.port.credits {
            self.send(input, payload).await?;
        }
        let begin = Instant::now();
        let mut count = 0_u32;
        while begin.elapsed() < RUN_TIME {
            self.answer().await?;
            count += 1;
            self.send(input, payload).await?;
        }
        let rate = f64::from(count) / begin.elapsed().as_secs_f64();
        for _ in 0..self.port.credits {
            self.answer().await?;
        }
        Ok(rate)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.host.stop(WorkerId(1));
    }
}

/// One thread on the processor.
fn place(target: TargetKind) -> Place {
    let folder = match target {
        TargetKind::Onnxruntime => "onnxruntime/capi",
        TargetKind::Openvino => "openvino/libs",
        TargetKind::Tract | TargetKind::Process | TargetKind::Simulated => return Place::default(),
    };
    let library = std::env::var_os(RUNTIMES).map(|runtimes| Path::new(&runtimes).join(folder));
    Place { library, ..Place::default() }
}

fn model(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../material/models").join(file)
}

//! How long the mesh takes to go on when something dies: a worker's node, or the leader; killed, or silent. etcd beside it, where
//! `ETCD` names its program. `cargo xtask bench failover`.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

mod etcd;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use report::{Metric, Report, median};
use skein_agent::api::{Answer, Change, MeshStatus, Request, SeatStatus};
use skein_agent::client::{Client, Order, TaskStream};
use skein_agent::demo::fleet::{Fleet, LOOK_EVERY};
use skein_agent::worker::protocol::InputKind;
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerStatus;
use skein_core::{NodeId, Resources, SessionId};
use skein_targets::{ElementType, TargetKind};
use tokio::time::{Instant, sleep, timeout};

/// Runs of which the median is told, each with a mesh of its own: what one loss leaves behind says nothing of the next.
const RUNS: usize = 5;
/// A mesh that outlives the loss of one.
const AGENTS: usize = 3;
/// On two nodes, so that one can take over.
const WORKERS: usize = 2;
/// More than both workers take at once, so that each has something in hand at any moment.
const UNDER_WAY: usize = 16;
/// Tasks before the loss: links are known by then.
const WARM_UP: Duration = Duration::from_secs(2);
/// After this something hangs.
const WAIT_MAX: Duration = Duration::from_secs(30);

const GOAL_WORKER_KILL_MS: f64 = 50.0;
const GOAL_WORKER_STOP_MS: f64 = 600.0;
const GOAL_LEADER_MS: f64 = 300.0;

/// How something is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// SIGKILL: the kernel refuses what is sent there.
    Kill,
    /// SIGSTOP: nothing says so.
    Stop,
}

/// What is lost.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// A node with a worker that has tasks in hand.
    Worker,
    /// The node that leads.
    Leader,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(measure())?.print("failover");
    Ok(())
}

async fn measure() -> anyhow::Result<Report> {
    let mut report = Report::default();
    for (part, loss, name, goal) in [
        (Part::Worker, Loss::Kill, "worker_kill_ms", GOAL_WORKER_KILL_MS),
        (Part::Worker, Loss::Stop, "worker_stop_ms", GOAL_WORKER_STOP_MS),
        (Part::Leader, Loss::Kill, "leader_kill_ms", GOAL_LEADER_MS),
        (Part::Leader, Loss::Stop, "leader_stop_ms", GOAL_LEADER_MS),
    ] {
        let mut gaps = Vec::new();
        for run in 0..RUNS {
            let gap = timeout(WAIT_MAX, once(part, loss)).await;
            let gap = gap.map_err(anyhow::Error::from).flatten();
            gaps.push(millis(gap.with_context(|| format!("{name}, run {}", run + 1))?));
        }
        report.add(Metric::new(name, median(gaps), "ms").at_most(goal));
    }
    if let Some(program) = std::env::var_os("ETCD").map(PathBuf::from) {
        for (timing, name) in [(etcd::DEFAULTS, "etcd_leader_kill_ms"), (etcd::TUNED, "etcd_leader_kill_20_200_ms")] {
            let gaps = (0..RUNS).map(|_| Ok(millis(etcd::leader_kill(&program, timing)?)));
            report.add(Metric::new(name, median(gaps.collect::<anyhow::Result<_>>()?), "ms"));
        }
    }
    Ok(report)
}

/// One loss in a mesh of its own; how long until it went on.
async fn once(part: Part, loss: Loss) -> anyhow::Result<Duration> {
    let mut fleet = Fleet::new(PathBuf::from(env!("CARGO_BIN_EXE_skein")))?;
    for _ in 0..AGENTS {
        fleet.start_one().await?;
    }
    let gap = match part {
        Part::Worker => worker_lost(&mut fleet, loss).await,
        Part::Leader => leader_lost(&mut fleet, loss).await,
    };
    gap.with_context(|| format!("the agents' last words:\n{}", fleet.last_words()))
}

fn lose(fleet: &mut Fleet, node: NodeId, loss: Loss) -> anyhow::Result<Instant> {
    match loss {
        Loss::Kill => fleet.kill(node),
        Loss::Stop => fleet.stop(node),
    }
}

/// From the loss to the first result of a task that the lost worker had in hand: that of a second attempt.
async fn worker_lost(fleet: &mut Fleet, loss: Loss) -> anyhow::Result<Duration> {
    let client = Client::connect(&fleet.addresses()).await?;
    let mesh = whole(&client).await?;
    let session = open_session(&client).await?;
    let workers = wait_for_workers(&client, session).await?;
    let victim = workers.into_iter().find(|node| Some(*node) != mesh.leader);
    let victim = victim.context("no worker stands beside the leader: were the workers spread over nodes?")?;
    let gateway = mesh.nodes.iter().map(|node| node.node).find(|node| *node != victim && Some(*node) != mesh.leader);
    let gateway = fleet.address_of(gateway.context("there is no third agent")?).context("the gateway is gone")?;
    let mut stream = TaskStream::open(Client::connect(&[gateway]).await?, session, Order::AsReady).await?;
    let begin = Instant::now();
    while begin.elapsed() < WARM_UP {
        keep_under_way(&mut stream).await?;
        stream.next().await?;
    }
    keep_under_way(&mut stream).await?;
    let lost = lose(fleet, victim, loss)?;
    loop {
        keep_under_way(&mut stream).await?;
        let result = stream.next().await?.context("a task is pending")?;
        if result.attempt > 1 {
            result.result.map_err(anyhow::Error::msg)?;
            ensure!(result.worker.is_some_and(|(_, node)| node != victim), "the lost node answered");
            return Ok(lost.elapsed());
        }
    }
}

async fn keep_under_way(stream: &mut TaskStream) -> anyhow::Result<()> {
    while stream.pending() < UNDER_WAY {
        // The trivial model's input: four numbers.
        let input = InputKind::Tensor { element: ElementType::F32, shape: vec![1, 4] };
        stream.submit(input, Bytes::from_static(&[0; 16])).await?;
    }
    Ok(())
}

/// From the loss to the next change that is committed, asked for at an agent that lives.
async fn leader_lost(fleet: &mut Fleet, loss: Loss) -> anyhow::Result<Duration> {
    let client = Client::connect(&fleet.addresses()).await?;
    let leader = whole(&client).await?.leader.context("nobody leads")?;
    client.add_model("trivial", &model_file(), String::new(), None).await?;
    let survivor = fleet.addresses().into_iter().find(|address| Some(*address) != fleet.address_of(leader));
    let client = Client::connect(&[survivor.context("there are three agents")?]).await?;
    // The way to it is open, and the model has reached its replica.
    create_session(&client, 1).await?;
    sleep(WARM_UP).await;
    let lost = lose(fleet, leader, loss)?;
    create_session(&client, 1).await?;
    Ok(lost.elapsed())
}

async fn status(client: &Client) -> anyhow::Result<MeshStatus> {
    match client.ask(Request::NodeStatus).await? {
        Answer::Nodes(mesh) => Ok(mesh),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

/// Waits until all agents are up and vote, and one of them leads.
async fn whole(client: &Client) -> anyhow::Result<MeshStatus> {
    loop {
        let mesh = status(client).await?;
        let votes = |seat| matches!(seat, SeatStatus::Leader | SeatStatus::Voter);
        let voters = mesh.nodes.iter().filter(|node| node.up && votes(node.seat)).count();
        if voters == AGENTS && mesh.leader.is_some() {
            return Ok(mesh);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn open_session(client: &Client) -> anyhow::Result<SessionId> {
    client.add_model("trivial", &model_file(), String::new(), None).await?;
    create_session(client, WORKERS).await
}

async fn create_session(client: &Client, workers: usize) -> anyhow::Result<SessionId> {
    let model = "trivial".parse().map_err(anyhow::Error::msg)?;
    let need = Resources { cpu_millicores: 100, memory_bytes: 64 << 20, ..Resources::default() };
    let workers = u32::try_from(workers)?;
    let claim = Some(skein_agent::client::random()?);
    let spec =
        SessionSpec { fixed: workers, max: workers, claim, ..SessionSpec::of(model, TargetKind::Tract.name(), need) };
    match client.ask(Request::Change(Change::SessionCreate(spec))).await? {
        Answer::Created(session) => Ok(session),
        _ => bail!("the session was not created"),
    }
}

/// Waits until all workers of the session are ready; where they stand.
async fn wait_for_workers(client: &Client, session: SessionId) -> anyhow::Result<Vec<NodeId>> {
    loop {
        let Answer::Sessions(sessions) = client.ask(Request::SessionStatus(Some(session))).await? else {
            bail!("the session has no status");
        };
        let workers = sessions.iter().flat_map(|session| &session.workers);
        let ready: Vec<NodeId> =
            workers.filter(|worker| worker.status == WorkerStatus::Ready).map(|worker| worker.node).collect();
        if ready.len() == WORKERS {
            return Ok(ready);
        }
        sleep(LOOK_EVERY).await;
    }
}

fn model_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../material/models/trivial.onnx")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

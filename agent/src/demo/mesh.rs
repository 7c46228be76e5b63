//! What the demo asks of the mesh, and waits for.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use skein_core::model::ModelQuery;
use skein_core::session::SessionSpec;
use skein_core::worker::{Duty, WorkerStatus};
use skein_core::{NodeId, Resources, SessionId};
use skein_targets::TargetKind;
use tokio::time::{Instant, sleep};

use crate::api::{Answer, Change, MeshStatus, Request, SeatStatus, SessionStatus};
use crate::client::{Client, random, read_manifest};
use crate::demo::fleet::LOOK_EVERY;
use crate::demo::material::Material;

/// How long anything that the mesh does by itself may take here.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The mesh as one agent shows it.
pub(super) async fn status(client: &Client) -> anyhow::Result<MeshStatus> {
    match client.ask(Request::NodeStatus).await? {
        Answer::Nodes(mesh) => Ok(mesh),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

/// The session as one agent shows it.
pub(super) async fn session(client: &Client, session: SessionId) -> anyhow::Result<SessionStatus> {
    match client.ask(Request::SessionStatus(Some(session))).await? {
        Answer::Sessions(mut sessions) => sessions.pop().context("the session is not there"),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

/// Adds the model and opens a session on it.
pub(super) async fn open_session(client: &Client, material: &Material, fixed: u32) -> anyhow::Result<SessionId> {
    let (manifest, labels) = read_manifest(&material.model, None)?;
    client.add_model(&material.model_name, &material.model, manifest, labels.as_deref()).await?;
    let model = ModelQuery { name: material.model_name.clone(), version: None };
    let need = Resources { cpu_millicores: 1000, memory_bytes: 256 << 20, ..Resources::default() };
    let spec = SessionSpec {
        fixed,
        max: fixed,
        claim: Some(random()?),
        ..SessionSpec::of(model, TargetKind::Tract.name(), need)
    };
    match client.ask(Request::Change(Change::SessionCreate(spec))).await? {
        Answer::Created(session) => Ok(session),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

/// Waits until every agent is up and votes, and one of them leads.
pub(super) async fn wait_until_whole(addresses: &[SocketAddr], count: usize) -> anyhow::Result<()> {
    until(addresses, async |client| {
        let mesh = status(client).await?;
        let votes = |seat| matches!(seat, SeatStatus::Leader | SeatStatus::Voter);
        let voters = mesh.nodes.iter().filter(|node| node.up && votes(node.seat)).count();
        Ok((voters == count && mesh.leader.is_some()).then_some(()))
    })
    .await
}

/// Waits until a session has all its workers ready, none of them on a node to be avoided.
pub(super) async fn wait_for_workers(
    addresses: &[SocketAddr],
    id: SessionId,
    workers: u32,
    avoid: &[NodeId],
) -> anyhow::Result<()> {
    until(addresses, async |client| {
        let session = session(client, id).await?;
        let serving = session.workers.iter().filter(|worker| worker.duty == Duty::Serving);
        let good = |status, node| status == WorkerStatus::Ready && !avoid.contains(&node);
        let ready = serving.filter(|worker| good(worker.status, worker.node)).count();
        Ok((ready >= workers as usize).then_some(()))
    })
    .await
}

/// Waits until somebody other than `old` leads, and the agent asked has heard of it.
pub(super) async fn wait_for_new_leader(addresses: &[SocketAddr], old: NodeId) -> anyhow::Result<()> {
    until(addresses, async |client| Ok(status(client).await?.leader.filter(|leader| *leader != old).map(drop))).await
}

/// Looks again and again, at whichever agent answers, until it is so.
async fn until<T>(
    addresses: &[SocketAddr],
    look: impl AsyncFn(&Client) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + WAIT_MAX;
    let mut client = None;
    loop {
        let held = match client.take() {
            Some(held) => Some(held),
            None => Client::connect(addresses).await.ok(),
        };
        if let Some(held) = held {
            match look(&held).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => client = Some(held),
                // The agent may be the one that was killed: another is asked.
                Err(error) => tracing::debug!("looking again: {error:#}"),
            }
        }
        if Instant::now() >= deadline {
            bail!("it did not happen within {} s", WAIT_MAX.as_secs());
        }
        sleep(LOOK_EVERY).await;
    }
}

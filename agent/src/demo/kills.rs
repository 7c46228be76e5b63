//! Who is killed, when, and how long the mesh takes to be whole again.

use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use skein_core::{NodeId, SessionId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::Client;
use crate::demo::fleet::Fleet;
use crate::demo::{WORKERS, mesh};

/// Who plays which part.
#[derive(Debug)]
pub(super) struct Cast {
    /// Holds a worker and is killed first.
    pub(super) worker: NodeId,
    /// Takes the client's tasks, and is spared.
    pub(super) gateway: NodeId,
}

/// One kill.
#[derive(Debug)]
pub(super) struct Kill {
    pub(super) name: String,
    pub(super) at: Instant,
    /// When the mesh was whole again.
    pub(super) whole: Instant,
}

/// Both kills.
#[derive(Debug)]
pub(super) struct Kills {
    pub(super) worker: Kill,
    pub(super) leader: Kill,
    /// From the leader's end to the next leader.
    pub(super) election: Duration,
    /// Who is who, for the report.
    pub(super) names: Vec<(NodeId, String)>,
}

/// Gives out the parts: the first to die holds a worker and does not lead; the client goes to the third agent.
pub(super) async fn cast(client: &Client, session: SessionId) -> anyhow::Result<Cast> {
    let status = mesh::status(client).await?;
    let workers = mesh::session(client, session).await?.workers;
    let leads = |node: NodeId| status.leader == Some(node);
    let worker = workers.iter().map(|worker| worker.node).find(|node| !leads(*node));
    let worker = worker.context("no worker stands beside the leader: were the workers spread over nodes?")?;
    let mut others = status.nodes.iter().map(|node| node.node).filter(|node| *node != worker && !leads(*node));
    let gateway = others.next_back().context("there is no third agent")?;
    Ok(Cast { worker, gateway })
}

/// Half way through the stream the first dies; when its work is done elsewhere it is started again; then the leader dies.
pub(super) async fn carry_out(
    fleet: &mut Fleet,
    cast: &Cast,
    session: SessionId,
    tasks: u64,
    mut progress: watch::Receiver<u64>,
    bar: &ProgressBar,
) -> anyhow::Result<Kills> {
    bar.set_message("streaming");
    let gateway = fleet.address_of(cast.gateway).context("the gateway is gone")?;
    let client = Client::connect(&[gateway]).await?;
    let names: Vec<_> = mesh::status(&client).await?.nodes.into_iter().map(|node| (node.node, node.name)).collect();
    let name = |id: NodeId| {
        names.iter().find(|(node, _)| *node == id).map_or_else(|| id.to_string(), |(_, name)| name.clone())
    };

    progress.wait_for(|delivered| *delivered >= tasks / 2).await.context("the stream ended before it was half way")?;
    let at = fleet.kill(cast.worker)?;
    bar.set_message(format!("killed {} (held a worker)", name(cast.worker)));
    mesh::wait_for_workers(&[gateway], session, WORKERS, &[cast.worker]).await.context("no worker took over")?;
    let worker = Kill { name: name(cast.worker), at, whole: Instant::now() };

    bar.set_message(format!("starting {} again", worker.name));
    fleet.restart(cast.worker).await?;
    mesh::wait_until_whole(&[gateway], fleet.len()).await.context("the killed agent did not come back")?;

    // A quarter more of the stream in peace, so that the two gaps are apart.
    let calm = *progress.borrow() + tasks / 4;
    progress.wait_for(|delivered| *delivered >= calm).await.context("the stream stopped")?;
    let leader = mesh::status(&client).await?.leader.context("nobody leads")?;
    let at = fleet.kill(leader)?;
    bar.set_message(format!("killed {} (led)", name(leader)));
    let rest = fleet.addresses();
    mesh::wait_for_new_leader(&rest, leader).await.context("no new leader was elected")?;
    let election = at.elapsed();
    mesh::wait_for_workers(&rest, session, WORKERS, &[leader]).await.context("no worker took over")?;
    let leader = Kill { name: name(leader), at, whole: Instant::now() };

    let calm = *progress.borrow() + tasks / 8;
    progress.wait_for(|delivered| *delivered >= calm).await.context("the stream stopped")?;
    bar.set_message("finishing");
    Ok(Kills { worker, leader, election, names })
}

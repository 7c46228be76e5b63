//! Tells others what the node did while it was cut off: gateways of their attempts, and the mesh for its account.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skein_core::SessionId;
use skein_core::dispatch::TaskId;
use skein_core::island::IslandAccount;
use skein_core::{NodeId, WorkerId};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::api::handle::Api;
use crate::api::{ApiError, Change, Request};
use crate::island::ledger::Late;
use crate::link::{Open, ask};

/// How often the account is written down, and told where there is a mesh to tell.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Attempts in one message.
const LATE_A_MESSAGE_MAX: usize = 256;
/// How long a gateway may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// Attempts of a gateway that ended where it could not hear of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LateEnds {
    /// Whose workers.
    pub session: SessionId,
    /// At which worker, which task, and which try.
    pub ends: Vec<(WorkerId, TaskId, u32)>,
}

/// What they were to the gateway. Those that it had heard of all the same are in neither.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct LateAnswer {
    /// Given up, and tried again: their tasks were done twice.
    pub repeated: u64,
    /// Of streams that are gone.
    pub unclaimed: u64,
}

/// Looks for something to tell for as long as the agent runs.
pub async fn tell(api: Api) {
    let ledger = api.islands.ledger();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let is_cut = api.islands.is_cut();
        ledger.look(is_cut);
        if !is_cut {
            tell_gateways(&api).await;
            tell_mesh(&api).await;
        }
        ledger.save().await;
    }
}

/// Each gateway once a look.
async fn tell_gateways(api: &Api) {
    let ledger = api.islands.ledger();
    let mut asked: Vec<(NodeId, SessionId)> = Vec::new();
    loop {
        let late = ledger.next_late(LATE_A_MESSAGE_MAX);
        let Some(Late { gateway, session, .. }) = late.first().copied() else { return };
        if asked.contains(&(gateway, session)) {
            return;
        }
        let Some(LateAnswer { repeated, unclaimed }) = tell_gateway(api, gateway, session, &late).await else {
            asked.push((gateway, session));
            ledger.put_off(&late);
            continue;
        };
        // A stranger's numbers: it cannot speak of more than it was told.
        let repeated = repeated.min(late.len() as u64);
        let unclaimed = unclaimed.min(late.len() as u64 - repeated);
        ledger.told(&late, IslandAccount { repeated, unclaimed, ..IslandAccount::default() });
    }
}

async fn tell_gateway(api: &Api, gateway: NodeId, session: SessionId, late: &[Late]) -> Option<LateAnswer> {
    if !api.seat.read(|state| state.nodes.get(&gateway).is_some_and(|node| node.up)) {
        // Its clients have gone to another by now.
        return Some(LateAnswer { repeated: 0, unclaimed: late.len() as u64 });
    }
    let ends = late.iter().map(|late| (late.worker, late.task, late.attempt)).collect();
    let open = Open::Late(LateEnds { session, ends });
    let exchange = async {
        let connection = api.pool.connection(gateway).await?;
        ask::<LateAnswer>(&connection, &open, Bytes::new()).await
    };
    timeout(ANSWER_TIME_MAX, exchange).await.ok()?.ok().map(|(answer, _)| answer)
}

async fn tell_mesh(api: &Api) {
    let ledger = api.islands.ledger();
    loop {
        let entered = api.seat.read(|state| state.island_reports.get(&api.node).copied().unwrap_or_default());
        let Some(report) = ledger.next_report(api.node, entered) else { return };
        // On disk with its number before anybody hears of it.
        ledger.save().await;
        match api.answer(Request::Change(Change::IslandReport(report)), false).await {
            Ok(_) => {}
            Err(ApiError::Unavailable(why)) => return tracing::debug!("the account of an island waits: {why}"),
            Err(error) => {
                tracing::warn!("the account of what was done while this node was cut off was not taken: {error}");
            }
        }
        ledger.entered();
    }
}

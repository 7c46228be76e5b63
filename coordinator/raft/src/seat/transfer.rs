//! Hands leadership to another voter.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use skein_core::NodeId;
use skein_core::election::Release;
use tokio::time::timeout;

use super::elect::Elections;
use super::{ChangeError, Seat};
use crate::codec;
use crate::transport::{Call, Transport, TransportError};

/// How long each half may take, as proposals wait meanwhile: to have the whole log there, and to be elected.
const HALF_TIME_MAX: Duration = Duration::from_secs(3);

type Carried = Pin<Box<dyn Future<Output = Result<Vec<u8>, TransportError>> + Send>>;

/// Brings a release to the heir.
pub(super) type Courier = Box<dyn Fn(NodeId, Release) -> Carried + Send + Sync>;

pub(super) fn courier<T: Transport>(transport: Arc<T>) -> Courier {
    Box::new(move |to, release| {
        let transport = Arc::clone(&transport);
        Box::pin(async move { transport.call(to, Call::TakeOver, codec::encode(&release)).await })
    })
}

impl Seat {
    /// Makes another voter the leader, and returns when this node follows it. Proposals wait meanwhile. Allowed on the
    /// leader, for a voter that answers; after an error, this node leads on if nobody else was elected.
    pub async fn transfer(&self, to: NodeId) -> Result<(), ChangeError> {
        let role = self.role();
        if !role.is_leader {
            return Err(ChangeError::NotLeader { leader: role.leader.filter(|leader| *leader != role.node) });
        }
        if to == role.node {
            return Ok(());
        }
        if !role.voters.contains(&to) {
            return Err(ChangeError::NoVoter(to));
        }
        if role.changing {
            return Err(ChangeError::InProgress);
        }
        // 1. Write no more, and wait until the heir has all.
        let _pause = self.0.proposals.pause().await;
        let mut roles = self.roles();
        let has_all = roles.wait_for(|role| role.matched.get(&to).copied() >= role.last_log);
        if !matches!(timeout(HALF_TIME_MAX, has_all).await, Ok(Ok(_))) {
            return Err(ChangeError::Behind(to));
        }
        // 2. Give up the lease, and say so to the heir alone: it shows that to the others when it asks for their votes.
        let Some(release) = self.0.elections.with(|election, _| election.hand_over()) else {
            return Err(ChangeError::NotLeader { leader: None });
        };
        let _kept = Kept(&self.0.elections);
        let takes = match timeout(HALF_TIME_MAX, (self.0.courier)(to, release)).await {
            Ok(Ok(answer)) => codec::decode::<bool>(&answer).unwrap_or(false),
            Ok(Err(_)) | Err(_) => false,
        };
        // 3. Wait until it leads.
        let led = roles.wait_for(|role| role.term > release.term && role.leader == Some(to));
        if takes && matches!(timeout(HALF_TIME_MAX, led).await, Ok(Ok(_))) {
            Ok(())
        } else {
            Err(ChangeError::NotTaken(to))
        }
    }
}

/// Leads on at the end, if it still does: also where whoever asked does not wait any more.
struct Kept<'a>(&'a Elections);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.with(|election, _| election.keep());
    }
}

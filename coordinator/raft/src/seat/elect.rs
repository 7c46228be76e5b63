//! Carries out what [`skein_core::election`] decides: the timer, the calls, and what Raft has to be told.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::ServerState;
use openraft::raft::{VoteRequest, VoteResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_core::election::{Action, Ask, Beat, Election, LogEnd, Release, Ticket, View};
use skein_core::{Millis, NodeId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::watch_role::Lease;
use crate::codec;
use crate::log::End;
use crate::network::Released;
use crate::store::Pace;
use crate::transport::{Call, Transport};
use crate::types::{Fatal, Metrics, Raft};

/// Beats under way to one voter: more would only queue up on a link that carries none.
const BEATS_UNDER_WAY_MAX: usize = 8;

/// How long a beat or a question may be under way; a later answer would say nothing of now.
const WORD_TIME_MAX: Duration = Duration::from_secs(2);

/// A disk that has not come back from a flush for so long is broken rather than slow (a card that tidies up takes a second
/// or two), and another should lead.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The task looks no more often than this, whatever is due.
const LOOK_MIN: Duration = Duration::from_millis(2);

/// The matter of elections, shared between its task and the calls that come in.
pub(super) struct Elections {
    pub(super) raft: Raft,
    pub(super) lease: Lease,
    pub(super) end: End,
    pub(super) pace: Arc<Pace>,
    pub(super) released: Released,
    metrics: watch::Receiver<Metrics>,
    election: Mutex<Election>,
    begin: Instant,
    news: Notify,
    under_way: Mutex<BTreeMap<NodeId, usize>>,
}

/// What elections need to know of the disk.
pub(super) struct Disk {
    pub(super) end: End,
    pub(super) pace: Arc<Pace>,
}

impl Elections {
    pub(super) fn new(node: NodeId, raft: Raft, lease: Lease, disk: Disk, released: Released) -> Self {
        let metrics = raft.metrics();
        let is_new = metrics.borrow().vote.leader_id().term == 0;
        // Any number will do that other nodes do not draw as well.
        let seed = RandomState::new().hash_one(node.0);
        Self {
            election: Mutex::new(Election::new(Millis(0), node, is_new, seed)),
            raft,
            lease,
            end: disk.end,
            pace: disk.pace,
            released,
            metrics,
            begin: Instant::now(),
            news: Notify::new(),
            under_way: Mutex::default(),
        }
    }

    fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Millis {
        millis(instant.saturating_duration_since(self.begin))
    }

    /// Does something with the decisions as they are now, and lets the task look at what came of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Election, Millis) -> T) -> T {
        let mut election = self.lock();
        let now = self.now();
        // Raft may have heard something that its watcher has not been told yet.
        election.on_view(now, self.view());
        let done = act(&mut election, now);
        self.publish(&election);
        drop(election);
        self.news.notify_one();
        done
    }

    pub(super) fn gone(&self, node: NodeId, at: std::time::Instant) {
        let at = self.at(at.into());
        self.with(|election, now| election.on_gone(now, node, at));
    }

    /// Another node wants this node's vote.
    pub(super) async fn vote(
        self: &Arc<Self>,
        request: VoteRequest<u64>,
        release: Option<Release>,
    ) -> Result<VoteResponse<u64>, Fatal> {
        let (candidate, term) = (NodeId(request.vote.leader_id().node_id), request.vote.leader_id().term);
        let Some(ticket) = self.with(|election, now| election.may_vote(now, candidate, term, release)) else {
            let (vote, last_log_id) = (self.metrics.borrow().vote, self.end.get());
            return Ok(VoteResponse { vote, vote_granted: false, last_log_id });
        };
        // A call may be dropped half way, and Raft votes all the same: so this goes on by itself.
        let this = Arc::clone(self);
        let voted = tokio::spawn(async move {
            let answer = this.raft.vote(request).await;
            let (term, granted) = match &answer {
                Ok(answer) => (answer.vote.leader_id().term, answer.vote_granted),
                Err(_) => (term, false),
            };
            this.with(|election, now| election.voted(now, ticket, term, granted));
            answer
        });
        match voted.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(openraft::error::RaftError::Fatal(fatal))) => Err(fatal),
            Ok(Err(openraft::error::RaftError::APIError(never))) => match never {},
            Err(_) => Err(Fatal::Stopped),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Election> {
        self.election.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, election: &Election) {
        let until = election.sure_until();
        self.lease.set(until.map(|(term, until)| {
            // A lone voter is sure for ever; an hour at a time is as good.
            let length = Duration::from_millis(until.since(self.now()).0).min(Duration::from_secs(3600));
            (term, std::time::Instant::now() + length)
        }));
    }

    fn view(&self) -> View {
        let metrics = self.metrics.borrow();
        let membership = metrics.membership_config.membership();
        let voters = membership.get_joint_config().iter();
        let log = self.end.get().map(|id| LogEnd { term: id.leader_id.term, index: id.index });
        View {
            term: metrics.current_term,
            leads: metrics.running_state.is_ok()
                && metrics.state == ServerState::Leader
                && metrics.vote.is_committed()
                && metrics.vote.leader_id().node_id == metrics.id,
            voters: voters.map(|voters| voters.iter().copied().map(NodeId).collect()).collect(),
            log: log.unwrap_or_default(),
            flush: millis(self.pace.flush()),
            is_stuck: self.pace.running() > STUCK_AFTER,
        }
    }

    fn others(&self) -> Vec<NodeId> {
        let metrics = self.metrics.borrow();
        let voters = metrics.membership_config.membership().voter_ids();
        voters.filter(|voter| *voter != metrics.id).map(NodeId).collect()
    }
}

/// Follows Raft and the clock until the seat is closed.
pub(super) async fn run<T: Transport>(elections: Arc<Elections>, transport: Arc<T>) {
    let mut metrics = elections.metrics.clone();
    loop {
        let (actions, wake_at) = {
            let mut election = elections.lock();
            let now = elections.now();
            election.on_view(now, elections.view());
            let actions: Vec<Action> = std::iter::from_fn(|| election.next_action(now)).collect();
            elections.publish(&election);
            (actions, election.wake_at())
        };
        for action in actions {
            act(&elections, &transport, action);
        }
        // An hour is as good as never.
        let sleep = Duration::from_millis(wake_at.since(elections.now()).0.min(3_600_000)).max(LOOK_MIN);
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { return },
            () = elections.news.notified() => {}
            () = sleep_until(Instant::now() + sleep) => {}
        }
    }
}

fn act<T: Transport>(elections: &Arc<Elections>, transport: &Arc<T>, action: Action) {
    match action {
        Action::Beat(beat) => {
            for to in elections.others() {
                send_beat(elections, transport, to, beat);
            }
        }
        Action::Ask(round, ask) => {
            tracing::debug!(round, "the leader is silent: asking the other voters");
            for to in elections.others() {
                send_ask(elections, transport, to, round, ask);
            }
        }
        Action::Stand(ticket, release) => {
            tokio::spawn(stand(Arc::clone(elections), ticket, release));
        }
        Action::Probe => {
            let raft = elections.raft.clone();
            // Where it fails, Raft has stopped, and everybody sees that.
            tokio::spawn(async move { raft.trigger().heartbeat().await.is_ok() });
        }
    }
}

fn send_beat<T: Transport>(elections: &Arc<Elections>, transport: &Arc<T>, to: NodeId, beat: Beat) {
    {
        let mut under_way = elections.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(to).or_default();
        if *count >= BEATS_UNDER_WAY_MAX {
            return;
        }
        *count += 1;
    }
    let (elections, transport) = (Arc::clone(elections), Arc::clone(transport));
    // The lease counts from here.
    let sent = elections.now();
    tokio::spawn(async move {
        let answer = word(&*transport, to, Call::Beat, &beat).await;
        if let Some(count) = elections.under_way.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&to) {
            *count -= 1;
        }
        if let Some(answer) = answer {
            elections.with(|election, now| election.on_beat_answer(now, to, sent, beat, answer));
        }
    });
}

fn send_ask<T: Transport>(elections: &Arc<Elections>, transport: &Arc<T>, to: NodeId, round: u64, ask: Ask) {
    let (elections, transport) = (Arc::clone(elections), Arc::clone(transport));
    tokio::spawn(async move {
        if let Some(would) = word(&*transport, to, Call::Ask, &ask).await {
            elections.with(|election, now| election.on_ask_answer(now, to, round, would));
        }
    });
}

/// One small call; no answer is an answer, too.
async fn word<T: Transport, Q: Serialize, A: DeserializeOwned>(
    transport: &T,
    to: NodeId,
    call: Call,
    question: &Q,
) -> Option<A> {
    let answer = timeout(WORD_TIME_MAX, transport.call(to, call, codec::encode(question))).await.ok()?.ok()?;
    codec::decode(&answer).ok()
}

async fn stand(elections: Arc<Elections>, ticket: Ticket, release: Option<Release>) {
    elections.released.set(release);
    let stood = elections.raft.trigger().elect().await;
    // Behind that in Raft's queue: by then it has voted.
    let vote = elections.raft.with_raft_state(|state| *state.vote_ref()).await;
    if let (Ok(()), Ok(vote)) = (stood, vote) {
        tracing::info!(term = vote.leader_id().term, "stands for election");
        elections.with(|election, _| election.stood(ticket, vote.leader_id().term));
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

//! Durable tasks at this agent: it takes them in for clients ([`serve`]), runs those of the streams that the mesh has given
//! it ([`run`]), and keeps what is too large for the log in files, here and on another node ([`files`]).
//!
//! What was accepted and what has ended is the state's word alone. Whoever waits for news of a stream watches its
//! [`Mark`]: the state is looked at once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skein_core::durable::DurableStream;
use skein_core::{NodeId, State, StreamId};
use tokio::sync::watch;

use crate::api::handle::Api;
use crate::gateway::Gateway;
use crate::island::waiting::Waiting;
use commits::Commits;
use files::Files;

mod aside;
mod commits;
pub mod files;
mod run;
mod serve;
pub mod wire;

pub use aside::deliver;
pub use serve::serve_client;

/// Durable tasks at one agent.
#[derive(Clone, Debug)]
pub struct Durable {
    api: Api,
    gateway: Gateway,
    commits: Commits,
    /// What is too large for the log.
    pub files: Files,
    /// Ends that wait for the mesh.
    waiting: Waiting,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    marks: HashMap<StreamId, watch::Sender<Mark>>,
    /// Streams that are run here, each for one tenure.
    running: HashMap<StreamId, u32>,
}

/// How far a stream is: while it stays the same, there is no news of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    gateway: Option<NodeId>,
    tenure: u32,
    accepted: u64,
    ends: u64,
    fetched: u64,
}

impl Mark {
    fn of(stream: Option<&DurableStream>) -> Self {
        let Some(stream) = stream else { return Self::default() };
        let account = stream.account;
        Self {
            gateway: Some(stream.gateway),
            tenure: stream.tenure,
            accepted: account.accepted,
            ends: account.done + account.failed,
            fetched: account.fetched,
        }
    }

    /// Whether it has tasks that this gateway has to run in this tenure.
    fn is_run_by(&self, node: NodeId, tenure: u32) -> bool {
        self.gateway == Some(node) && self.tenure == tenure && self.accepted > self.ends
    }
}

impl Durable {
    /// None so far.
    pub fn new(api: Api, gateway: Gateway, files: Files, waiting: Waiting) -> Self {
        let commits = Commits::new(api.clone());
        Self { api, gateway, commits, files, waiting, inner: Arc::default() }
    }

    /// The state changed, or may have: whoever watches a stream is told, and what is given to this gateway is run.
    pub fn on_state(&self, state: &State) {
        let mut inner = self.lock();
        inner.marks.retain(|id, mark| {
            let now = Mark::of(state.durable.stream(*id));
            mark.send_if_modified(|known| std::mem::replace(known, now) != now);
            !mark.is_closed()
        });
        for (id, stream) in state.durable.streams_of(self.api.node) {
            let known = inner.running.get(&id);
            if !stream.pending.is_empty() && known != Some(&stream.tenure) {
                inner.running.insert(id, stream.tenure);
                let watch = subscribe(&mut inner, id, Mark::of(Some(stream)));
                tokio::spawn(run::run(self.clone(), id, stream.tenure, watch));
            }
        }
    }

    /// Every change of a stream's mark from now on.
    fn watch(&self, id: StreamId) -> watch::Receiver<Mark> {
        let now = self.api.seat.read(|state| Mark::of(state.durable.stream(id)));
        subscribe(&mut self.lock(), id, now)
    }

    /// A stream is run here no longer, unless there is something to run by now: then it is, and this says so.
    fn retires(&self, id: StreamId, tenure: u32) -> bool {
        let mut inner = self.lock();
        let mark = inner.marks.get(&id).map(|mark| *mark.borrow()).unwrap_or_default();
        if mark.is_run_by(self.api.node, tenure) {
            return false;
        }
        if inner.running.get(&id) == Some(&tenure) {
            inner.running.remove(&id);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn subscribe(inner: &mut Inner, id: StreamId, now: Mark) -> watch::Receiver<Mark> {
    inner.marks.entry(id).or_insert_with(|| watch::Sender::new(now)).subscribe()
}

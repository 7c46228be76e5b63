//! The gateway: takes tasks in, hands them to workers, gives results back. No coordinator stands on this path.
//!
//! All decisions are the core's [`Dispatcher`](skein_core::dispatch::Dispatcher), one for each session that has a client
//! here ([`session`]). This module keeps it supplied: with tasks ([`client`]), with ways to workers ([`attach`], on this
//! node or over QUIC), and with the plan.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skein_core::dispatch::events::TaskEvent;
use skein_core::worker::Worker;
use skein_core::{NodeId, SessionId, State, WorkerId};

use crate::island::Islands;
use crate::island::tell::{LateAnswer, LateEnds};
use crate::link::Pool;
use crate::worker::host::Host;
use session::Given;

mod attach;
mod client;
mod session;
pub mod wire;

pub use attach::serve_worker;
pub(crate) use client::find_session;
pub use client::serve_client;
pub(crate) use session::{Delivery, Kept, Opened, Payload, Session, Source, WINDOW};

/// The most payload that all tasks at one gateway hold in memory, in bytes. A task beyond it is refused with a time to
/// come again.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// The gateway of one agent.
#[derive(Clone, Debug)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: NodeId,
    host: Host,
    pool: Pool,
    islands: Islands,
    sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    payload_bytes: Arc<AtomicUsize>,
}

/// A part of the gateway's memory, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    from: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.from.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Gateway {
    /// A gateway without sessions.
    pub fn new(node: NodeId, host: Host, pool: Pool, islands: Islands) -> Self {
        let payload_bytes = Arc::new(AtomicUsize::new(0));
        let inner = Inner { node, host, pool, islands, sessions: Mutex::default(), payload_bytes };
        Self { inner: Arc::new(inner) }
    }

    /// The plan changed, or may have: sessions in use here get their ready workers, and ended ones end.
    pub fn on_state(&self, state: &State) {
        let mut sessions = self.sessions();
        sessions.retain(|id, session| {
            let open = state.sessions.contains_key(id);
            if !open {
                session.end();
            }
            open
        });
        for (id, session) in sessions.iter() {
            if self.stopped_words(*id, state).is_some() {
                session.close_clients();
            }
            self.supply(*id, session, state);
        }
    }

    /// Why clients of a session are not served here now, where they are not: the node is cut off for longer than it may go on.
    fn stopped_words(&self, id: SessionId, state: &State) -> Option<String> {
        self.inner.islands.stopped_words(id, state.sessions.get(&id)?.spec.offline)
    }

    /// The session's place at this gateway, made when its first client comes.
    fn session(&self, id: SessionId, state: &State) -> Option<Arc<Session>> {
        let retry = state.sessions.get(&id)?.spec.retry;
        let mut sessions = self.sessions();
        let session =
            sessions.entry(id).or_insert_with(|| Session::new(id, self.inner.node, retry, self.inner.islands.clone()));
        self.supply(id, session, state);
        Some(session.clone())
    }

    /// What each session in use here has to do: tasks that wait, and tasks that run.
    pub fn demand(&self) -> Vec<(SessionId, u64, u64)> {
        let sessions: Vec<Arc<Session>> = self.sessions().values().cloned().collect();
        let demand = sessions.iter().map(|session| {
            let (waiting, running) = session.demand();
            (session.id, waiting, running)
        });
        demand.collect()
    }

    /// What happened to the tasks of a session here after the event of this number, oldest first, and the number of the last;
    /// 0 where none came through here.
    pub(crate) fn task_events(&self, id: SessionId, after: u64, most: usize) -> (Vec<TaskEvent>, u64) {
        let session = self.sessions().get(&id).cloned();
        session.map_or((vec![], 0), |session| session.events(after, most))
    }

    fn supply(&self, id: SessionId, session: &Arc<Session>, state: &State) {
        // On an island nobody can commit that a worker has become ready. Whether one of this node's is, its host knows.
        let is_cut = self.inner.islands.is_cut();
        let takes_tasks =
            |worker: &Worker| worker.takes_tasks() || (is_cut && worker.node == self.inner.node && worker.serves());
        // One that takes no more may still have attempts of this gateway: the way to it stays open until it is gone.
        let given =
            state.workers_of(id).filter(|(id, worker)| takes_tasks(worker) || (!worker.serves() && session.holds(*id)));
        let given = given.map(|(id, worker)| (id, Given { node: worker.node, takes_tasks: takes_tasks(worker) }));
        let given: HashMap<WorkerId, Given> = given.collect();
        session.on_plan(&given, |worker, node| attach::keep(self, session, worker, node));
    }

    /// What attempts of this gateway were that ended where it could not hear of it.
    pub fn late(&self, late: &LateEnds) -> LateAnswer {
        let session = self.sessions().get(&late.session).cloned();
        match session {
            Some(session) => session.late(&late.ends),
            None => LateAnswer { repeated: 0, unclaimed: late.ends.len() as u64 },
        }
    }

    /// Memory for a payload; none where the gateway holds too much already.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        let from = &self.inner.payload_bytes;
        let add = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= PAYLOAD_BYTES_MAX);
        from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Held { bytes, from: from.clone() })
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

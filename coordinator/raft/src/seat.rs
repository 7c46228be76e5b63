//! A node's place in the mesh's brain: the public face of the crate.

mod change;
mod compact;
mod config;
mod elect;
mod error;
mod propose;
mod receive;
mod role;
mod transfer;
mod watch_role;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use openraft::error::RaftError;
use skein_core::{Entry, Event, NodeId, Refusal, State};
use tokio::sync::watch;

pub use self::config::SeatConfig;
use self::elect::{Disk, Elections};
pub use self::error::{ChangeError, ProposeError, SeatError};
use self::propose::Proposals;
pub use self::role::Role;
use self::transfer::Courier;
use self::watch_role::Lease;
use crate::log::{Growth, Log};
use crate::network::{Incoming, Network, Released};
use crate::replica::{Replica, Shared};
use crate::store::Store;
use crate::transport::Transport;
use crate::types::Raft;

/// This node's seat. Clones are the same seat; the directory is free again when it was closed and the last clone is gone.
#[derive(Clone)]
pub struct Seat(Arc<Inner>);

struct Inner {
    node: NodeId,
    raft: Raft,
    proposals: Proposals,
    replica: Arc<Shared>,
    roles: watch::Receiver<Role>,
    lease: Lease,
    elections: Arc<Elections>,
    courier: Courier,
    incoming: tokio::sync::Mutex<Incoming>,
    /// How far behind a new voter may be.
    lag_max: u64,
    /// Kept to flush what is left at the end.
    store: Mutex<Option<Store>>,
}

impl Seat {
    /// Takes the seat whose log is in the directory, or a new one that waits to found a mesh or to be called into one.
    pub async fn open<T: Transport>(config: SeatConfig, transport: T) -> Result<Self, SeatError> {
        let store = Store::open_slow(&config.directory, config.flush_delay).await?;
        let growth = Arc::new(Growth::new(config.snapshot_bytes));
        let log = Log::open(&store, Arc::clone(&growth))?;
        log.forget_reign(config.node)?;
        let (entries, disk) = (log.entries(), Disk { end: log.end(), pace: store.pace() });
        let replica = Replica::open(&store, Arc::clone(&growth))?;
        let shared = replica.shared();
        let (transport, released) = (Arc::new(transport), Released::default());
        let network = Network::new(Arc::clone(&transport), config::RETRY, released.clone());
        let raft = Raft::new(config.node.0, Arc::new(SeatConfig::raft()), network, log, replica).await?;
        // The first metrics are a blank; after this answer they are what the disk says.
        raft.is_initialized().await?;
        tokio::spawn(compact::run(raft.clone(), growth, entries, config.keep_entries));
        let lease = Lease::default();
        let elections = Arc::new(Elections::new(config.node, raft.clone(), lease.clone(), disk, released));
        tokio::spawn(elect::run(Arc::clone(&elections), Arc::clone(&transport)));
        let roles = watch_role::spawn(raft.metrics(), lease.clone());
        Ok(Self(Arc::new(Inner {
            node: config.node,
            proposals: Proposals::new(raft.clone()),
            raft,
            replica: shared,
            roles,
            lease,
            elections,
            courier: transfer::courier(transport),
            incoming: tokio::sync::Mutex::default(),
            lag_max: config.keep_entries,
            store: Mutex::new(Some(store)),
        })))
    }

    /// Founds a mesh with this node as its only voter, and returns when it leads. Allowed only on a seat that belongs to
    /// no mesh.
    pub async fn found(&self) -> Result<(), SeatError> {
        self.0.raft.initialize(BTreeSet::from([self.0.node.0])).await.map_err(|error| match error {
            RaftError::APIError(_) => SeatError::AlreadyMember,
            RaftError::Fatal(fatal) => fatal.into(),
        })?;
        let mut roles = self.roles();
        let led = roles.wait_for(|role| role.is_leader || role.failure.is_some()).await;
        match led.map(|role| role.failure.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(SeatError::Stopped(why)),
            Err(_) => Err(SeatError::Stopped("it was closed".into())),
        }
    }

    /// Commits an entry and applies it. Allowed on the leader.
    ///
    /// It waits for a quorum for as long as it takes; dropping the future gives up the answer, while the entry itself may
    /// still be committed. The same holds for every error but `TooLarge`: who must know asks the state.
    pub async fn propose(&self, entry: Entry) -> Result<Result<Vec<Event>, Refusal>, ProposeError> {
        let answers = self.propose_all(vec![entry]).await?;
        answers.into_iter().next().ok_or_else(|| ProposeError::Stopped("it gave no answer".into()))
    }

    /// As [`Self::propose`] for many entries at once, which are applied in their order, with the answers in the same.
    /// They share one entry of the log where they fit it (256 KiB, 4096 entries) and are then committed all or none; more
    /// are committed piece by piece, so that after an error the first pieces may be there and the others not. None is,
    /// where one is too large.
    pub async fn propose_all(&self, entries: Vec<Entry>) -> Result<Vec<Result<Vec<Event>, Refusal>>, ProposeError> {
        self.0.proposals.propose(entries).await
    }

    /// Returns when this node is known to lead still and its state holds everything acknowledged before the call.
    /// Allowed on the leader.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        self.0.raft.ensure_linearizable().await.map(|_| ()).map_err(ProposeError::from)
    }

    /// Looks at this node's copy of the state. Nothing is applied meanwhile, so `look` should be short.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.0.replica.read(look)
    }

    /// Counts up with everything that is applied to the state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.replica.changes()
    }

    /// What this node is in the mesh now.
    pub fn role(&self) -> Role {
        let mut role = self.0.roles.borrow().clone();
        // The watch follows a moment later when the process was stopped or starved; here the clock decides.
        role.is_leader &= self.0.lease.holds(role.term);
        role
    }

    /// The process of this node was found gone at that time: what it was promised as a leader is void, and another may be
    /// elected at once. The time is that before it was looked for: a promise that came later was given to its successor.
    pub fn leader_is_gone(&self, node: NodeId, at: Instant) {
        self.0.elections.gone(node, at);
    }

    /// What this node is in the mesh, and every change of it. It ends when the seat is closed or has failed.
    pub fn roles(&self) -> watch::Receiver<Role> {
        self.0.roles.clone()
    }

    /// Whether this node belongs to a mesh, as a voter or a learner.
    pub fn is_member(&self) -> bool {
        self.0.roles.borrow().is_member()
    }

    /// Leaves the table: stops taking part and writes down what is left.
    pub async fn close(&self) {
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "the seat's task did not end by itself");
        }
        let store = self.0.store.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(store) = store
            && let Err(error) = store.flush().await
        {
            tracing::warn!(%error, "the last flush failed");
        }
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("role", &*self.0.roles.borrow()).finish_non_exhaustive()
    }
}

fn numbers(nodes: &BTreeSet<NodeId>) -> BTreeSet<u64> {
    nodes.iter().map(|node| node.0).collect()
}

//! What is left of a mesh on one node, and how it goes on from there when most of its voters are gone for good.
//!
//! Nobody runs the seat meanwhile: the database lets one process in at a time.
//!
//! The naive way is to strike the lost from the membership and start. But an entry that the lost majority had committed may be
//! missing here, and a voter of it that comes back would meet a leader whose log contradicts what was acknowledged: Raft takes that
//! for granted never to happen. So what goes on is another mesh, by its name, with an empty log behind a snapshot; whoever is
//! still in the old one is told apart by that name, and has nothing to add.
//!
//! All entries that are here are taken, also those of which this node never learnt whether they were committed: what was
//! acknowledged may be among them, and what was not may take effect all the same, as after any lost answer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::CommittedLeaderId;
use skein_core::{Entry, Millis, NodeId, Refusal, State};

use crate::log::{Growth, Log};
use crate::replica::{GoOnError, Replica};
use crate::store::{Store, StoreError};
use crate::types::{LogEntry, LogId, Membership, Vote};

/// What is left of a mesh on one node.
#[derive(Debug)]
pub struct Remains {
    node: NodeId,
    directory: PathBuf,
    store: Store,
    log: Log,
    replica: Replica,
    last: LogId,
    about: About,
}

/// What a node knows of the mesh it is left from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The term of the last entry it has.
    pub term: u64,
    /// The index of that entry.
    pub index: u64,
    /// When the last command that it has was taken in, since the Unix epoch; none where it has none.
    pub last_at: Option<Millis>,
    /// How many of its last entries it never learnt to be committed.
    pub unsure: u64,
    /// Who voted.
    pub voters: BTreeSet<NodeId>,
    /// Who had a copy and no vote.
    pub learners: BTreeSet<NodeId>,
}

/// Why a mesh does not go on from here.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No mesh was ever here.
    #[error("there is nothing to recover from in {}: this node never had a copy of a mesh's log; look on another node", .0.display())]
    Nothing(PathBuf),
    /// The state is not one that it could go on from.
    #[error("the mesh cannot go on from this node: {0}")]
    Refused(Refusal),
    /// An entry could not be applied.
    #[error("applying entry {0} panicked; please report this with the log above")]
    Panicked(u64),
}

impl Remains {
    /// Looks at what the directory of a node's seat holds. It changes nothing that counts, and keeps others out until it is dropped.
    pub async fn open(directory: &Path, node: NodeId) -> Result<Self, RecoverError> {
        let nothing = || RecoverError::Nothing(directory.to_path_buf());
        // Opening would make an empty one.
        if !directory.join("db").exists() {
            return Err(nothing());
        }
        let store = Store::open(directory).await?;
        // Nobody makes snapshots here, so how far the log has grown is nobody's concern.
        let growth = Arc::new(Growth::new(u64::MAX));
        let log = Log::open(&store, Arc::clone(&growth))?;
        let replica = Replica::open(&store, growth)?;
        let entries = log.all()?;
        let committed = log.committed()?.or(replica.applied().0);
        let last_at = last_time(&entries)
            .or_else(|| replica.shared().read(|state| state.history.back().map(|numbered| numbered.at)));
        replica.catch_up(entries).map_err(|id| RecoverError::Panicked(id.index))?;
        let (applied, membership) = replica.applied();
        let last = applied.ok_or_else(nothing)?;
        let about = About {
            term: last.leader_id.term,
            index: last.index,
            last_at,
            unsure: last.index.saturating_sub(committed.map_or(0, |id| id.index)),
            voters: membership.membership().voter_ids().map(NodeId).collect(),
            learners: membership.membership().learner_ids().map(NodeId).collect(),
        };
        Ok(Self { node, directory: directory.to_path_buf(), store, log, replica, last, about })
    }

    /// What it knows.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Looks at the state with all entries applied.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.replica.shared().read(look)
    }

    /// Makes this node the only voter of a mesh that goes on from here; `last` is applied as its last entry, and should give the
    /// mesh another name ([`skein_core::Command::Recover`]). On the disk when it returns. Done twice, it is done again.
    pub async fn go_on(self, last: Entry) -> Result<(), RecoverError> {
        // Above every term that this node has seen. The lost may have seen later ones: the name keeps those apart.
        let seen = self.log.vote()?.leader_id().term.max(self.last.leader_id.term);
        let term = seen + 1;
        let id = LogId::new(CommittedLeaderId::new(term, self.node.0), self.last.index + 1);
        let alone = openraft::Membership::new(vec![BTreeSet::from([self.node.0])], None);
        self.replica.go_on(id, last, Membership::new(Some(id), alone)).await.map_err(|error| match error {
            GoOnError::Panicked(id) => RecoverError::Panicked(id.index),
            GoOnError::Refused(refusal) => RecoverError::Refused(refusal),
            GoOnError::Store(error) => RecoverError::Store(error),
        })?;
        self.log.begin_after(&id, &Vote::new(term, self.node.0))?;
        self.store.flush().await?;
        tracing::info!(directory = %self.directory.display(), index = id.index, term, "the mesh goes on from here");
        Ok(())
    }
}

fn last_time(entries: &[LogEntry]) -> Option<Millis> {
    entries.iter().rev().find_map(|entry| match &entry.payload {
        openraft::EntryPayload::Normal(batch) => batch.0.last().map(|entry| entry.at),
        _ => None,
    })
}

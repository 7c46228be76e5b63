//! This agent's contact with the mesh, and what goes on without it: the core's [`Island`] with a clock and a disk.
//!
//! The loop tells it when the agent was in contact ([`Islands::contact`]) and has it look around ([`Islands::look`]); everybody else
//! asks whether the node is cut off now, or waits until it is.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use skein_core::island::{Island, IslandAccount};
use skein_core::{Millis, NodeId, SessionId, State};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::agent::MESH_FILE;
use ledger::Ledger;

pub mod ledger;
pub mod tell;
pub mod waiting;

/// The file in the state directory that says how much time as an island is spent, in milliseconds; there is none while the mesh is.
const CHARGED_FILE: &str = "offline";

/// One agent's contact with the mesh. Clones share it.
#[derive(Clone, Debug)]
pub struct Islands {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: NodeId,
    begin: Instant,
    path: PathBuf,
    /// It was in a mesh when it last ran.
    had_mesh: bool,
    account: Mutex<Account>,
    cut: watch::Sender<bool>,
    ledger: Ledger,
}

#[derive(Debug)]
struct Account {
    island: Island,
    stopped: BTreeSet<SessionId>,
    /// Whether it was cut off at the last look.
    was_cut: bool,
    /// There is a file to be removed once the mesh is back.
    is_charged: bool,
}

/// What an agent tells of its contact with the mesh, where it has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IslandStatus {
    /// For how long it has heard nobody, while it ran.
    pub cut_off_for: Millis,
    /// Sessions that it no longer goes on with.
    pub stopped: Vec<SessionId>,
}

/// How a session stands at an agent that is cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionIsland {
    /// Whether this node goes on with it.
    pub goes_on: bool,
    /// For how much longer; none where that is for ever.
    pub left: Option<Millis>,
    /// Why it has stopped here, where it has.
    pub stopped: Option<String>,
}

impl Islands {
    /// The account of an agent that starts with this state directory.
    pub fn open(node: NodeId, state_dir: &Path, down_after_max: Millis) -> Self {
        let path = state_dir.join(CHARGED_FILE);
        let had_mesh = state_dir.join(MESH_FILE).exists();
        let carried = read_charged(&path);
        let island = Island::new(Millis(0), down_after_max, carried);
        let cut = watch::Sender::new(island.is_cut(Millis(0)));
        let ledger = Ledger::open(state_dir);
        let account = Account { island, stopped: BTreeSet::new(), was_cut: false, is_charged: carried > Millis(0) };
        Self {
            inner: Arc::new(Inner {
                node,
                begin: Instant::now(),
                path,
                had_mesh,
                account: Mutex::new(account),
                cut,
                ledger,
            }),
        }
    }

    /// A leader that is sure of itself was heard, or is this agent.
    pub fn contact(&self) {
        let now = self.now();
        let (was_cut, was_charged) = {
            let mut account = self.lock();
            (account.island.on_contact(now), std::mem::take(&mut account.is_charged))
        };
        if was_cut {
            tracing::info!("the mesh is back");
        }
        self.inner.cut.send_if_modified(std::mem::take);
        if was_charged
            && let Err(error) = std::fs::remove_file(&self.inner.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove {}: {error}", self.inner.path.display());
        }
    }

    /// Looks at the clock. The sessions that this node does not go on with, where that has changed, or whether it is cut off.
    pub fn look(&self, state: &State) -> Option<BTreeSet<SessionId>> {
        if state.mesh.is_none() && !self.inner.had_mesh {
            // It has no mesh to be cut off from. One that had, may still be reading its log.
            self.contact();
            return None;
        }
        let now = self.now();
        let mut account = self.lock();
        let is_cut = account.island.is_cut(now);
        let news = std::mem::replace(&mut account.was_cut, is_cut) != is_cut;
        self.inner.cut.send_if_modified(|cut| std::mem::replace(cut, is_cut) != is_cut);
        if news && is_cut {
            tracing::warn!("cut off from the mesh: going on with the sessions that this node holds");
        }
        if let Some(charged) = account.island.to_charge(now) {
            account.is_charged = true;
            let path = self.inner.path.clone();
            // A slow card must not hold the loop up. Behind a contact it may come too late, and then costs a restart some seconds.
            tokio::task::spawn_blocking(move || write_charged(&path, charged));
        }
        let stopped = if is_cut { account.island.stopped(now, state) } else { BTreeSet::new() };
        if stopped == account.stopped && !news {
            return None;
        }
        for session in stopped.difference(&account.stopped) {
            let Some(known) = state.sessions.get(session) else { continue };
            tracing::warn!("session {session} stops here: {}", self.words(&account.island, known.spec.offline));
        }
        account.stopped.clone_from(&stopped);
        Some(stopped)
    }

    /// What is done while the mesh is gone.
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// So much more was done for a session, if this node is cut off now.
    pub fn count(&self, session: SessionId, more: IslandAccount) {
        if self.is_cut() && more != IslandAccount::default() {
            self.inner.ledger.count(session, more);
        }
    }

    /// Whether this node is cut off from the mesh.
    pub fn is_cut(&self) -> bool {
        *self.inner.cut.borrow()
    }

    /// Returns when this node is cut off from the mesh, or not, as asked.
    pub async fn until(&self, is_cut: bool) {
        // The sender lives as long as this does.
        let _ = self.inner.cut.subscribe().wait_for(|cut| *cut == is_cut).await;
    }

    /// Why this node does not go on with a session now, if it does not.
    pub fn stopped_words(&self, session: SessionId, offline: Millis) -> Option<String> {
        let account = self.lock();
        account.stopped.contains(&session).then(|| self.words(&account.island, offline))
    }

    /// What is told of this node, where it is cut off.
    pub fn status(&self) -> Option<IslandStatus> {
        let account = self.lock();
        let (now, stopped) = (self.now(), account.stopped.iter().copied().collect());
        self.is_cut().then(|| IslandStatus { cut_off_for: account.island.silence(now), stopped })
    }

    /// What is told of a session with this setting, where this node is cut off.
    pub fn session_status(&self, session: SessionId, offline: Millis) -> Option<SessionIsland> {
        if !self.is_cut() {
            return None;
        }
        let stopped = self.stopped_words(session, offline);
        let left = self.lock().island.left(self.now(), offline);
        Some(SessionIsland { goes_on: stopped.is_none(), left, stopped })
    }

    fn words(&self, island: &Island, offline: Millis) -> String {
        island.stopped_words(self.now(), self.inner.node, offline)
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.inner.begin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.inner.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that cannot be read says nothing: it is written whole or not at all, so somebody else wrote it.
fn read_charged(path: &Path) -> Millis {
    let read = std::fs::read_to_string(path).ok();
    read.and_then(|text| text.trim().parse().ok()).map_or(Millis(0), Millis)
}

fn write_charged(path: &Path, charged: Millis) {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        writeln!(file, "{}", charged.0)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    if let Err(error) = write() {
        tracing::warn!(
            "cannot write {}: {error}; a restart would begin the time without the mesh anew",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_the_mesh_outlives_the_agent_until_the_mesh_is_back() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Islands::open(NodeId(1), directory.path(), Millis(3_000));
        assert!(!open().is_cut(), "it has only just started");
        let path = directory.path().join(CHARGED_FILE);
        write_charged(&path, Millis(9_000));
        let again = open();
        assert!(again.is_cut(), "it was cut off when it last ran");
        assert!(again.status().is_some_and(|status| status.cut_off_for >= Millis(9_000)));
        again.contact();
        assert!(!again.is_cut() && !path.exists() && !open().is_cut());
    }
}

//! What this node did while it was cut off, for the mesh's account: counted, kept on disk, and told once.
//!
//! The counts are written down every few seconds, so a kill costs the last of them. A report is on disk with its number before it
//! is sent, and is sent under that number until the mesh has entered it.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use skein_core::dispatch::TaskId;
use skein_core::island::{IslandAccount, IslandReport, REPORT_SESSIONS_MAX};
use skein_core::{NodeId, SessionId, WorkerId};
use skein_raft::codec;

/// The file in the state directory.
const FILE: &str = "island-ledger";
/// Sessions that are counted: as many as an agent takes connections. What is done for more of them is not counted.
const SESSIONS_MAX: usize = 1_024;
/// Attempts that wait to be told to their gateways. The oldest has to go where there are more, and counts as done for nobody.
const LATE_MAX: usize = 4_096;
/// An attempt whose way broke waits for so many looks for the node to find itself cut off; if it does not, its gateway went away by
/// itself, and knows what it gave up.
const LOOKS_MAX: u8 = 3;

/// An attempt that ended here after the way to its gateway broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Whose attempt.
    pub gateway: NodeId,
    /// Whose worker.
    pub session: SessionId,
    /// The worker.
    pub worker: WorkerId,
    /// The task.
    pub task: TaskId,
    /// Which try.
    pub attempt: u32,
}

/// The account of one agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    book: Mutex<Book>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Book {
    /// The number of the last report.
    number: u64,
    /// It was made and is not known to be entered.
    report: Option<IslandReport>,
    sessions: BTreeMap<SessionId, IslandAccount>,
    late: VecDeque<Late>,
    /// Attempts of which it is not known yet whether the node is cut off, each with the looks it has waited.
    #[serde(skip)]
    unsure: VecDeque<(Late, u8)>,
    #[serde(skip)]
    is_changed: bool,
}

impl Ledger {
    /// The account in this state directory; an empty one where there is none that can be read.
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let book = std::fs::read(&path).ok().and_then(|text| codec::decode(&text).ok()).unwrap_or_default();
        Self { inner: Arc::new(Inner { path, book: Mutex::new(book) }) }
    }

    /// So much more was done for a session.
    pub fn count(&self, session: SessionId, more: IslandAccount) {
        self.lock().count(session, more);
    }

    /// An attempt ended whose way is broken.
    pub fn late(&self, late: Late) {
        let mut book = self.lock();
        book.unsure.push_back((late, 0));
        let surplus = book.unsure.len().saturating_sub(LATE_MAX);
        book.unsure.drain(..surplus);
    }

    /// A look every few seconds: late attempts count once the node is cut off.
    pub fn look(&self, is_cut: bool) {
        let mut book = self.lock();
        let unsure = std::mem::take(&mut book.unsure);
        if !is_cut {
            let waited = unsure.into_iter().map(|(late, looks)| (late, looks + 1));
            book.unsure = waited.filter(|(_, looks)| *looks < LOOKS_MAX).collect();
            return;
        }
        for (late, _) in unsure {
            book.is_changed = true;
            book.late.push_back(late);
            if book.late.len() > LATE_MAX
                && let Some(oldest) = book.late.pop_front()
            {
                book.count(oldest.session, IslandAccount { unclaimed: 1, ..IslandAccount::default() });
            }
        }
    }

    /// The late attempts of one gateway and session, at most so many; none where there are none.
    pub fn next_late(&self, most: usize) -> Vec<Late> {
        let book = self.lock();
        let Some(first) = book.late.front() else { return Vec::new() };
        let same = |late: &&Late| late.gateway == first.gateway && late.session == first.session;
        book.late.iter().filter(same).take(most).copied().collect()
    }

    /// Their gateway could not be asked: others come first.
    pub fn put_off(&self, late: &[Late]) {
        let mut book = self.lock();
        book.late.retain(|known| !late.contains(known));
        book.late.extend(late);
    }

    /// Their gateway has heard of them, and this is what they were.
    pub fn told(&self, late: &[Late], were: IslandAccount) {
        let mut book = self.lock();
        book.is_changed = true;
        book.late.retain(|known| !late.contains(known));
        if let Some(first) = late.first().filter(|_| were != IslandAccount::default()) {
            book.count(first.session, were);
        }
    }

    /// What is to be told to the mesh, if there is something, where it has entered this node's reports up to a number.
    pub fn next_report(&self, node: NodeId, entered: u64) -> Option<IslandReport> {
        let mut book = self.lock();
        if book.report.is_none() {
            let first: Vec<SessionId> = book.sessions.keys().copied().take(REPORT_SESSIONS_MAX).collect();
            let sessions: Vec<_> = first.into_iter().filter_map(|id| book.sessions.remove_entry(&id)).collect();
            if sessions.is_empty() {
                return None;
            }
            book.number = book.number.max(entered) + 1;
            book.report = Some(IslandReport { node, number: book.number, sessions });
            book.is_changed = true;
        }
        book.report.clone()
    }

    /// The mesh has the report, or will never take it.
    pub fn entered(&self) {
        let mut book = self.lock();
        book.report = None;
        book.is_changed = true;
    }

    /// Writes down what has changed.
    pub async fn save(&self) {
        let book = {
            let mut book = self.lock();
            if !std::mem::take(&mut book.is_changed) {
                return;
            }
            book.clone()
        };
        let path = self.inner.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &codec::encode(&book))).await;
        let failed = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.lock().is_changed = true;
        tracing::warn!("cannot write {}: {failed}", self.inner.path.display());
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn count(&mut self, session: SessionId, more: IslandAccount) {
        if self.sessions.len() >= SESSIONS_MAX && !self.sessions.contains_key(&session) {
            return;
        }
        let account = self.sessions.entry(session).or_default();
        *account = account.plus(more);
        self.is_changed = true;
    }
}

fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_core::{Sequence, StreamId};

    const NODE: NodeId = NodeId(1);

    fn done(done: u64) -> IslandAccount {
        IslandAccount { done, ..IslandAccount::default() }
    }

    fn late(gateway: u64, task: u64) -> Late {
        let task = TaskId { stream: StreamId(1), sequence: Sequence(task) };
        Late { gateway: NodeId(gateway), session: SessionId(3), worker: WorkerId(1), task, attempt: 1 }
    }

    #[tokio::test]
    async fn a_report_keeps_its_number_until_the_mesh_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path());
        assert_eq!(ledger.next_report(NODE, 7), None);
        ledger.count(SessionId(3), done(2));
        ledger.count(SessionId(3), done(1));
        let report = ledger.next_report(NODE, 7).unwrap();
        assert_eq!((report.number, &report.sessions[..]), (8, &[(SessionId(3), done(3))][..]));
        ledger.count(SessionId(3), done(4));
        ledger.save().await;
        // It dies before it hears that the report was entered.
        let ledger = Ledger::open(directory.path());
        assert_eq!(ledger.next_report(NODE, 8), Some(report));
        ledger.entered();
        let next = ledger.next_report(NODE, 8).unwrap();
        assert_eq!((next.number, &next.sessions[..]), (9, &[(SessionId(3), done(4))][..]));
    }

    #[test]
    fn late_attempts_count_only_where_the_node_was_cut_off() {
        let ledger = Ledger::open(Path::new("/no/such/directory"));
        ledger.late(late(2, 1));
        for _ in 0..LOOKS_MAX {
            ledger.look(false);
        }
        ledger.look(true);
        assert!(ledger.next_late(10).is_empty(), "its gateway went away by itself");
        ledger.late(late(2, 1));
        ledger.late(late(4, 2));
        ledger.late(late(2, 3));
        ledger.look(false);
        ledger.look(true);
        let first = ledger.next_late(10);
        assert_eq!(first, [late(2, 1), late(2, 3)]);
        ledger.put_off(&first);
        assert_eq!(ledger.next_late(10), [late(4, 2)]);
        ledger.told(&[late(4, 2)], IslandAccount { repeated: 1, ..IslandAccount::default() });
        assert_eq!(ledger.next_late(1), [late(2, 1)]);
        assert_eq!(ledger.next_report(NODE, 0).unwrap().sessions[0].1.repeated, 1);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let ledger = Ledger::open(Path::new("/no/such/directory"));
        for task in 0..LATE_MAX as u64 + 10 {
            ledger.late(late(2, task));
            ledger.look(true);
        }
        assert_eq!(ledger.next_late(usize::MAX).len(), LATE_MAX);
        for session in 0..2 * SESSIONS_MAX as u64 {
            ledger.count(SessionId(session), done(1));
        }
        assert_eq!(ledger.lock().sessions.len(), SESSIONS_MAX);
        assert_eq!(ledger.lock().sessions[&SessionId(3)].unclaimed, 10);
    }
}

//! What this agent looks at over and over, and tells the leader without waiting for an answer: that it is here, what its
//! gateway has to do, and what its workers use.

use std::collections::BTreeSet;
use std::time::Duration;

use skein_core::supervise::WorkerEvent;
use skein_core::{Millis, NodeId, SessionId};
use tokio::time::timeout;

use crate::api::handle::Api;
use crate::link::{Beat, ENTRIES_MAX, Word, send_beat};
use crate::runtime::Runtime;
use crate::worker::usage::Meter;

/// How often the agent looks around: fast enough that a session gets more workers well within a second.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Work at stake is told from a second on, so this is soon enough.
const LOOKS_PER_STAKE: u64 = 2;
/// Every five seconds: the slots of [`skein_core::adapt`].
const LOOKS_PER_USAGE: u64 = 20;
/// Every ten seconds: what the node states of itself changes no faster.
const LOOKS_PER_STATEMENT: u64 = 40;
/// Twice a second: ten of them in a row have to get lost before a node takes itself for cut off.
const LOOKS_PER_LED: u64 = 2;
/// How long a word may wait for a connection; then the next one is due.
const TELL_TIME_MAX: Duration = Duration::from_secs(1);
/// Sessions, or workers, that are told of at once; the first by number where there are more.
const TOLD_MAX: usize = 8 * ENTRIES_MAX;

/// The way of words to the leader.
#[derive(Debug)]
pub(super) struct Teller {
    api: Api,
    looks: u64,
    /// Sessions that had pending tasks the last time.
    pending: BTreeSet<SessionId>,
    meter: Meter,
    /// What this node's workers used when it was last looked at.
    pub(super) memory_of_workers: u64,
}

impl Teller {
    pub(super) fn new(api: Api) -> Self {
        Self { api, looks: 0, pending: BTreeSet::new(), meter: Meter::default(), memory_of_workers: 0 }
    }

    /// Tells the leader, if it is another node and can be reached.
    pub(super) fn tell(&self, word: Word) {
        let role = self.api.seat.role();
        if let Some(leader) = self.api.leader(&role).filter(|leader| *leader != self.api.node) {
            self.tell_node(leader, word);
        }
    }

    /// Tells every other node that it is led. Those that are down, too: one that is held back has not lost the mesh.
    fn tell_led(&self) {
        let own = self.api.node;
        let others: Vec<NodeId> =
            self.api.seat.read(|state| state.nodes.keys().copied().filter(|node| *node != own).collect());
        for node in others {
            self.tell_node(node, Word::Led);
        }
    }

    fn tell_node(&self, to: NodeId, word: Word) {
        let (pool, node) = (self.api.pool.clone(), self.api.node);
        tokio::spawn(async move {
            if let Ok(Ok(connection)) = timeout(TELL_TIME_MAX, pool.connection(to)).await {
                parts(word).for_each(|word| send_beat(&connection, &Beat { node, word }));
            }
        });
    }
}

/// What to say of pending tasks: those that there are, and once of each session that it has none any more.
fn demand(told: &mut BTreeSet<SessionId>, mut now: Vec<(SessionId, u64, u64)>) -> Option<Word> {
    now.retain(|(_, waiting, running)| *waiting > 0 || *running > 0);
    now.sort_unstable();
    now.truncate(TOLD_MAX);
    let pending: BTreeSet<SessionId> = now.iter().map(|(session, ..)| *session).collect();
    now.extend(told.difference(&pending).map(|session| (*session, 0, 0)));
    *told = pending;
    (!now.is_empty()).then_some(Word::Pending(now))
}

/// A word in parts that fit in a packet each.
fn parts(word: Word) -> Box<dyn Iterator<Item = Word> + Send> {
    fn cut<T: Clone + Send + 'static>(entries: &[T]) -> impl Iterator<Item = Vec<T>> + Send + use<T> {
        entries.chunks(ENTRIES_MAX).map(<[T]>::to_vec).collect::<Vec<_>>().into_iter()
    }
    match word {
        Word::Here | Word::Led => Box::new(std::iter::once(word)),
        Word::Pending(entries) => Box::new(cut(&entries).map(Word::Pending)),
        Word::Usage(entries) => Box::new(cut(&entries).map(Word::Usage)),
    }
}

impl Runtime {
    /// A look around, four times a second. Whether what there is to do has changed.
    pub(super) fn look(&mut self) -> bool {
        self.teller.looks += 1;
        let is_due = |every: u64| self.teller.looks.is_multiple_of(every);
        let (stake, usage, statement) = (is_due(LOOKS_PER_STAKE), is_due(LOOKS_PER_USAGE), is_due(LOOKS_PER_STATEMENT));
        if self.lead.is_some() {
            self.api.islands.contact();
            if is_due(LOOKS_PER_LED) {
                self.teller.tell_led();
            }
        }
        if let Some(word) = demand(&mut self.teller.pending, self.gateway.demand()) {
            self.tell_leader(word);
        }
        if stake {
            let now = self.now();
            for (worker, length) in self.host.at_stake() {
                self.supervisor.on_worker(now, worker, WorkerEvent::Stake(length));
            }
            self.note_ended();
        }
        if usage {
            self.host.refresh_memory_kills();
            self.tell_usage();
        }
        if statement {
            self.state_anew();
        }
        self.look_at_island()
    }

    /// Which sessions this node goes on with. Whether that has changed, or whether it has the mesh.
    pub(super) fn look_at_island(&mut self) -> bool {
        let Some(stopped) = self.api.seat.read(|state| self.api.islands.look(state)) else { return false };
        self.supervisor.stop_sessions(stopped);
        // The plan is the same, and means something else.
        self.seen = None;
        true
    }

    fn tell_usage(&mut self) {
        let mut processes = self.host.processes();
        processes.sort_unstable();
        processes.truncate(TOLD_MAX);
        let used = self.teller.meter.read(&processes);
        self.teller.memory_of_workers = used.iter().map(|(_, used)| used.memory_bytes).sum();
        for (worker, used) in &used {
            self.host.note_memory(*worker, used.memory_bytes, self.config.worker_growth);
        }
        let used: Vec<_> = used.into_iter().map(|(id, used)| (id, used.cpu_millicores, used.memory_bytes)).collect();
        if !used.is_empty() {
            self.tell_leader(Word::Usage(used));
        }
    }

    /// The leader may be this agent itself.
    fn tell_leader(&mut self, word: Word) {
        let (now, node): (Millis, _) = (self.now(), self.api.node);
        match &mut self.lead {
            Some(lead) => lead.told(now, node, word),
            None => self.teller.tell(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_without_pending_tasks_is_told_of_once_more() {
        let (one, two) = (SessionId(1), SessionId(2));
        let mut told = BTreeSet::new();
        assert_eq!(demand(&mut told, vec![(one, 0, 0)]), None);
        let both = vec![(one, 3, 1), (two, 0, 2)];
        assert_eq!(demand(&mut told, both.clone()), Some(Word::Pending(both)));
        let fewer = vec![(one, 3, 1), (two, 0, 0)];
        assert_eq!(demand(&mut told, fewer.clone()), Some(Word::Pending(fewer)));
        assert_eq!(
            demand(&mut told, vec![]),
            Some(Word::Pending(vec![(one, 0, 0)])),
            "it ended, or all its clients left"
        );
        assert_eq!(demand(&mut told, vec![]), None);
    }

    #[test]
    fn a_long_word_goes_in_parts_and_a_short_one_as_it_is() {
        let entries: Vec<_> = (0..70).map(|number| (SessionId(number), number, 0)).collect();
        let parts: Vec<Word> = parts(Word::Pending(entries.clone())).collect();
        let sizes = parts.iter().map(|part| if let Word::Pending(part) = part { part.len() } else { 0 });
        assert_eq!(sizes.collect::<Vec<_>>(), [32, 32, 6]);
        assert_eq!(super::parts(Word::Here).collect::<Vec<_>>(), [Word::Here]);
        assert_eq!(super::parts(Word::Usage(Vec::new())).count(), 0);
    }
}

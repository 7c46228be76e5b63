//! How many workers each session's pending tasks could keep busy: the leader's account of what gateways say.
//!
//! Asking for the number of the moment would be the plain way, and it fails: a burst of a few milliseconds would start workers
//! that find nothing left to do, and each pause would send them away again. So a session is given more only when what it has
//! was too little for a while, and then no more than what would have been busy all that while; and it gives back only what
//! was not needed at any time of a longer while.

use alloc::collections::BTreeMap;

use crate::command::Command;
use crate::ids::{NodeId, SessionId};
use crate::session::Session;
use crate::state::State;
use crate::time::Millis;

/// Pending tasks that keep one worker busy: one runs, and one waits so that the worker need not.
pub const TASKS_PER_WORKER: u64 = 2;
/// Pending tasks must outrun the workers for so long before there are more: longer than two words of a gateway are apart.
pub const GROW_AFTER: Millis = Millis(300);
/// Fewer workers must have been enough for so long before some are given back: many times what starting one takes.
pub const SHRINK_AFTER: Millis = Millis(10_000);
/// A gateway speaks several times a second while it has tasks; one that was silent for so long has none, or is gone.
pub const SILENT_AFTER: Millis = Millis(3_000);
/// The most words that are kept, one for each session at each gateway: a large mesh in which each session is used from several
/// gateways. What does not fit is told again shortly.
pub const WORDS_MAX: usize = 65_536;

/// Tasks of one session at one gateway that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// They wait for a worker.
    pub waiting: u64,
    /// A worker has them.
    pub running: u64,
}

/// The account. A new leader starts a new one: it takes nothing away before [`SHRINK_AFTER`], when all gateways have long
/// found it.
#[derive(Debug, Default)]
pub struct Demand {
    words: BTreeMap<(SessionId, NodeId), Word>,
    trends: BTreeMap<SessionId, Trend>,
}

/// What a gateway last said of a session.
#[derive(Clone, Copy, Debug)]
struct Word {
    at: Millis,
    tasks: u64,
    running: u64,
}

/// In which direction a session's wish differs from what it has, since when, and by how much at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    /// It could always have used so many.
    More { since: Millis, least: u32 },
    /// It never needed more than so many.
    Fewer { since: Millis, most: u32 },
}

impl Demand {
    /// A gateway says what it has of a session.
    pub fn observe(&mut self, now: Millis, gateway: NodeId, session: SessionId, pending: Pending) {
        let key = (session, gateway);
        let tasks = pending.waiting.saturating_add(pending.running);
        if tasks == 0 {
            self.words.remove(&key);
        } else if self.words.len() < WORDS_MAX || self.words.contains_key(&key) {
            self.words.insert(key, Word { at: now, tasks, running: pending.running });
        }
    }

    /// The first change that the account calls for.
    pub fn next_command(&mut self, now: Millis, state: &State) -> Option<Command> {
        self.forget(now, state);
        let sharing = state.sessions.iter().filter(|(_, session)| session.spec.share > 0);
        // Every trend is kept up to date, also when another session has its turn.
        let mut due = None;
        for (id, session) in sharing {
            let before = self.trends.get(id).copied();
            let trend = follow(before, now, session.target(), self.wish(state, *id, session));
            match trend {
                Some(trend) => drop(self.trends.insert(*id, trend)),
                None => drop(self.trends.remove(id)),
            }
            due = due.or_else(|| Some((*id, trend?.due(now)?)));
        }
        let (session, workers) = due?;
        self.trends.remove(&session);
        Some(Command::SessionWant { session, workers })
    }

    /// When [`Self::next_command`] may have something though nobody says anything.
    pub fn wake_at(&self) -> Option<Millis> {
        let trends = self.trends.values().map(|trend| trend.due_at());
        trends.chain(self.words.values().map(|word| word.at + SILENT_AFTER)).min()
    }

    /// Sessions that ended, gateways that are gone or silent.
    fn forget(&mut self, now: Millis, state: &State) {
        self.words.retain(|(session, gateway), word| {
            let is_heard = now.since(word.at) < SILENT_AFTER && state.nodes.get(gateway).is_some_and(|node| node.up);
            is_heard && state.sessions.contains_key(session)
        });
        self.trends.retain(|session, _| state.sessions.contains_key(session));
    }

    /// How many workers its pending tasks could keep busy, as far as that can make a difference to what it gets. Those that
    /// have a long task in hand are busy with that alone: none of them is one too many, and what waits for them waits long.
    fn wish(&self, state: &State, id: SessionId, session: &Session) -> u32 {
        let words = self.words.range((id, NodeId(0))..=(id, NodeId(u64::MAX)));
        let sum = |(tasks, running): (u64, u64), word: &Word| {
            (tasks.saturating_add(word.tasks), running.saturating_add(word.running))
        };
        let (tasks, running) = words.fold((0, 0), |counts, (_, word)| sum(counts, word));
        // Whether they are long is seen by looking at each worker, and makes a difference only between the least and the most.
        let could = tasks.div_ceil(TASKS_PER_WORKER);
        let makes_a_difference = tasks > u64::from(session.spec.fixed) && could < u64::from(session.workers_max());
        let are_long = || {
            let mut serving = state.workers_of(id).filter(|(_, worker)| worker.serves());
            serving.any(|(_, worker)| worker.at_stake > Millis(0))
        };
        let could = if makes_a_difference && are_long() { tasks } else { could };
        let busy = running.min(u64::from(state.index().serving(id)));
        let workers = u32::try_from(could.max(busy)).unwrap_or(u32::MAX);
        workers.min(session.workers_max()).max(session.spec.fixed)
    }
}

/// How a trend goes on when a session should have `has` workers by now and could use `wish`.
fn follow(before: Option<Trend>, now: Millis, has: u32, wish: u32) -> Option<Trend> {
    match (wish.cmp(&has), before) {
        (core::cmp::Ordering::Equal, _) => None,
        (core::cmp::Ordering::Greater, Some(Trend::More { since, least })) => {
            Some(Trend::More { since, least: least.min(wish) })
        }
        (core::cmp::Ordering::Greater, _) => Some(Trend::More { since: now, least: wish }),
        (core::cmp::Ordering::Less, Some(Trend::Fewer { since, most })) => {
            Some(Trend::Fewer { since, most: most.max(wish) })
        }
        (core::cmp::Ordering::Less, _) => Some(Trend::Fewer { since: now, most: wish }),
    }
}

impl Trend {
    fn due_at(self) -> Millis {
        match self {
            Self::More { since, .. } => since + GROW_AFTER,
            Self::Fewer { since, .. } => since + SHRINK_AFTER,
        }
    }

    /// How many workers the session should have now.
    fn due(self, now: Millis) -> Option<u32> {
        let (Self::More { least: workers, .. } | Self::Fewer { most: workers, .. }) = self;
        (self.due_at() <= now).then_some(workers)
    }
}

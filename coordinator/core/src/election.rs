//! When a voter stands for election, whom it may vote for, and until when a leader may be sure of itself.
//!
//! Raft alone says that a term has one leader. It does not say when to call an election, and a leader that was cut off goes
//! on believing in itself. This module decides both, beside Raft:
//!
//! - The leader sends [`Beat`]s. A voter that answers one *promises* to vote for nobody else for the beat's lease.
//! - A voter that has heard no beat for a while, and is bound by no promise, first *asks* the others ([`Ask`]). It stands only
//!   if a majority would have it: whoever still hears the leader says no, so a node that comes back from a cut or a pause
//!   disturbs nobody.
//! - The leader measures how long beats take and dictates the lease: short on a wire, longer on a radio or a busy machine.
//!
//! **Why two leaders are never sure at once.** Leader A of term a is sure until t only if each voter of a majority answered a
//! beat of a that was sent at most a lease before t; so each promised, on receipt and thus later than it was sent, until t at
//! least. Let B be elected in a later term b while A is sure. The two majorities share a voter v.
//! If v voted for B after its promise, the promise was over, or A had given up its lease (a [`Release`], or A's process was
//! gone): then A was not sure any more. If v voted for B before, it refused the promise, as it promises to no term older
//! than one that it has voted in, or is about to. A leader counts itself among its majority, and votes for nobody while it
//! is sure. A voter that restarts does not know what it promised, so it votes for nobody for the longest lease there is.
//! All clocks are taken to run equally fast, give or take an eighth: so much less than promised a leader believes.
//!
//! A leader's disk plays no part: beats come from a timer, and Raft's own messages may wait for a flush as long as it takes.

mod leading;
mod voting;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use self::leading::Reign;
use self::voting::Promise;
use crate::ids::NodeId;
use crate::time::Millis;

/// How often a leader says that it is there. Four fit in the least lease, so that three may be late or lost.
pub const BEAT_EVERY: Millis = Millis(50);

/// The least lease. On a wire a beat takes a few milliseconds; the rest is for a scheduler that lets a process wait.
pub const LEASE_MIN: Millis = Millis(200);

/// The most lease. So long a restarted voter votes for nobody, and so long a silent leader is waited for at most. A leader
/// whose beats take most of a second is not sure of itself all the time, and on such a link nothing else would help.
pub const LEASE_MAX: Millis = Millis(1_000);

/// The most that a voter waits for a beat, however irregular they came before.
const SILENCE_MAX: Millis = Millis(5_000);

/// Voters that miss the same leader should not stand at the same moment: each waits for a random part of this longer. Asking
/// takes a round trip, far below that on a wire, and where two ask at once one of them gives way.
const STAGGER: Millis = Millis(40);

/// Who said that it would vote for somebody lets it try for so long.
const GIVE_WAY: Millis = Millis(100);

/// How long an answer is waited for before asking again.
const ASK_PATIENCE: Millis = Millis(500);

/// How long a vote may take beside the flushes that it needs; then it is tried again.
const VOTE_PATIENCE: Millis = Millis(300);

/// A leader that no majority has answered for so many leases makes its beats carry none: whoever hears it should not be
/// kept from electing another by a leader that cannot hear.
const LEASES_UNHEARD_MAX: u64 = 2;

/// What a leader says to every other voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Who.
    pub leader: NodeId,
    /// In which term it leads.
    pub term: u64,
    /// Counts up with each [`Release`] in this term.
    pub generation: u64,
    /// For how long to vote for nobody else. Zero asks for an answer only, and does not count as being heard.
    pub lease: Millis,
}

/// What a voter answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatAnswer {
    /// The latest term that it knows of.
    pub term: u64,
    /// Whether it follows this leader, and so promised what the beat asked for.
    pub follows: bool,
}

/// How far a log goes: later terms go further, whatever their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogEnd {
    /// The term of its last entry.
    pub term: u64,
    /// The index of its last entry.
    pub index: u64,
}

/// "Would you vote for me?"
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks.
    pub candidate: NodeId,
    /// How far its log goes.
    pub log: LogEnd,
}

/// A leader's word that it is not sure of itself by any promise of this term and generation, or an older one: whoever shows
/// it need not wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Who gave it.
    pub leader: NodeId,
    /// Its term.
    pub term: u64,
    /// Promises of later generations still hold.
    pub generation: u64,
}

/// What Raft on this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The term of its vote.
    pub term: u64,
    /// Whether it was elected in that term.
    pub leads: bool,
    /// The voters: one set, or two while they change. A majority is one of each.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// How far its log goes.
    pub log: LogEnd,
    /// How long its disk takes for a flush.
    pub flush: Millis,
    /// Whether its disk has not come back from a flush for so long that another should lead.
    pub is_stuck: bool,
}

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to every other voter, and hand in what they answer.
    Beat(Beat),
    /// Ask every other voter, and hand in what they answer for this round.
    Ask(u64, Ask),
    /// Stand for election, and say when Raft has voted for this node. The others may need to see the release.
    Stand(Ticket, Option<Release>),
    /// Somebody has heard of a later term: let Raft find out.
    Probe,
}

/// A vote that is being cast. Until it is known which term it ended in, nothing older is promised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// One voter's view of the matter.
#[derive(Debug)]
pub struct Election {
    node: NodeId,
    chance: u64,
    view: View,
    actions: VecDeque<Action>,

    /// Votes for nobody until then, as it does not know what it promised before it was restarted.
    blind_until: Millis,
    promise: Option<Promise>,
    /// Promises to no term before this: it has voted in it, or heard of it.
    floor: u64,
    /// The terms of votes that are being cast.
    casting: BTreeMap<Ticket, u64>,
    tickets: u64,

    /// When the last beat came, and from whom in which term.
    heard: Option<(Millis, NodeId, u64)>,
    /// The longest wait between two beats lately.
    gap: Peak,
    /// When to ask whether to stand.
    due: Millis,
    stand: Stand,
    round: u64,

    reign: Option<Reign>,
}

#[derive(Debug)]
enum Stand {
    No,
    /// Asks the others.
    Asking {
        until: Millis,
        yes: BTreeSet<NodeId>,
        no: BTreeSet<NodeId>,
    },
    /// Raft is voting.
    Voting {
        until: Millis,
        from: u64,
    },
}

impl Election {
    /// A voter that was just started. `is_new` is one that never voted or promised before.
    pub fn new(now: Millis, node: NodeId, is_new: bool, seed: u64) -> Self {
        let blind_until = if is_new { now } else { now + LEASE_MAX };
        let mut election = Self {
            node,
            chance: seed,
            view: View::default(),
            actions: VecDeque::new(),
            blind_until,
            promise: None,
            floor: 0,
            casting: BTreeMap::new(),
            tickets: 0,
            heard: None,
            gap: Peak::default(),
            due: blind_until,
            stand: Stand::No,
            round: 0,
            reign: None,
        };
        election.due = blind_until + election.random(STAGGER);
        election
    }

    /// What Raft knows has changed, or may have.
    pub fn on_view(&mut self, now: Millis, view: View) {
        self.floor = self.floor.max(view.term);
        self.view = view;
        if let Stand::Voting { from, .. } = self.stand
            && (self.view.leads || self.view.term > from + 1)
        {
            // Elected; or another's later vote got in between, and a new try may come soon.
            self.stand = Stand::No;
            self.put_off(now, BEAT_EVERY);
        }
        self.rule(now);
    }

    /// The next thing to do, until there is none.
    pub fn next_action(&mut self, now: Millis) -> Option<Action> {
        if self.actions.is_empty() {
            self.beat(now);
            self.consider(now);
        }
        self.actions.pop_front()
    }

    /// When there may be something to do next, if nothing happens before.
    pub fn wake_at(&self) -> Millis {
        let stand = match self.stand {
            Stand::No => self.due.max(self.bound_until()),
            Stand::Asking { until, .. } | Stand::Voting { until, .. } => until,
        };
        match &self.reign {
            Some(reign) => reign.next_beat(),
            None if !self.is_voter() => Millis(u64::MAX),
            None => stand,
        }
    }

    fn is_voter(&self) -> bool {
        self.view.voters.iter().any(|voters| voters.contains(&self.node))
    }

    fn is_majority(&self, of: &BTreeSet<NodeId>) -> bool {
        !self.view.voters.is_empty()
            && self.view.voters.iter().all(|voters| voters.intersection(of).count() > voters.len() / 2)
    }

    /// A random length below `most`.
    fn random(&mut self, most: Millis) -> Millis {
        // SplitMix64, by Steele, Lea and Flood.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Millis((z ^ (z >> 31)) % most.0.max(1))
    }
}

/// The largest of the samples of late. A mean would forget a machine that is busy now and then before the next time; this
/// halves in about twenty samples, a second of beats.
#[derive(Clone, Copy, Debug, Default)]
struct Peak(u64);

impl Peak {
    fn sample(&mut self, length: Millis) {
        self.0 = (self.0 - self.0.div_ceil(32)).max(length.0);
    }

    fn length(self) -> Millis {
        Millis(self.0)
    }
}

//! The leader's side: beats, and until when they make it sure.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{
    Action, BEAT_EVERY, Beat, BeatAnswer, Election, LEASE_MAX, LEASE_MIN, LEASES_UNHEARD_MAX, Peak, Release, Stand,
};
use crate::ids::NodeId;
use crate::time::Millis;

/// One term's leadership.
#[derive(Debug)]
pub(super) struct Reign {
    term: u64,
    since: Millis,
    generation: u64,
    /// It is being handed over: no lease is asked for.
    is_handing: bool,
    next_beat: Millis,
    /// The slowest answer, and the latest start of a beat, of late.
    answer: Peak,
    late: Peak,
    /// Until when each other voter has promised, as this node may believe.
    promised: BTreeMap<NodeId, Millis>,
    /// When the last beat was sent that each answered.
    answered: BTreeMap<NodeId, Millis>,
    probed: bool,
}

impl Reign {
    pub(super) fn next_beat(&self) -> Millis {
        self.next_beat
    }

    /// As long as beats take, twice, and two of them lost beside.
    fn lease(&self) -> Millis {
        let slow = self.answer.length().0 + self.late.length().0;
        Millis(2 * BEAT_EVERY.0 + 2 * slow).clamp(LEASE_MIN, LEASE_MAX)
    }
}

impl Election {
    /// Until when this node, as a leader, may be sure that nobody else leads.
    pub fn sure_until(&self) -> Option<(u64, Millis)> {
        let reign = self.reign.as_ref()?;
        (!reign.is_handing).then(|| (reign.term, self.kth_latest(&reign.promised)))
    }

    /// What a voter said to a beat that was sent then.
    pub fn on_beat_answer(&mut self, now: Millis, from: NodeId, sent: Millis, beat: Beat, answer: BeatAnswer) {
        let Some(reign) = self.reign.as_mut().filter(|reign| reign.term == beat.term) else { return };
        if !answer.follows {
            if answer.term > reign.term && !reign.probed {
                reign.probed = true;
                self.actions.push_back(Action::Probe);
            }
            return;
        }
        reign.answer.sample(now.since(sent));
        let answered = reign.answered.entry(from).or_default();
        *answered = sent.max(*answered);
        if beat.lease > Millis(0) && beat.generation == reign.generation && !reign.is_handing {
            // An eighth less, for clocks that do not run equally fast, and a millisecond for what was rounded.
            let sure = Millis(sent.0 + beat.lease.0 - beat.lease.0 / 8 - 1);
            let promised = reign.promised.entry(from).or_default();
            *promised = sure.max(*promised);
        }
    }

    /// Gives up the lease, so that another may be elected at once. It stays so until [`Self::keep`].
    pub fn hand_over(&mut self) -> Option<Release> {
        let leader = self.node;
        let reign = self.reign.as_mut()?;
        let release = Release { leader, term: reign.term, generation: reign.generation };
        // The release may be shown late. What is promised from now on does not fall under it.
        reign.generation += 1;
        reign.is_handing = true;
        reign.promised.clear();
        Some(release)
    }

    /// Nobody took over: leads on.
    pub fn keep(&mut self) {
        if let Some(reign) = &mut self.reign {
            reign.is_handing = false;
        }
    }

    /// Begins or ends a reign, as Raft says.
    pub(super) fn rule(&mut self, now: Millis) {
        let (leads, term) = (self.view.leads, self.view.term);
        match &self.reign {
            Some(reign) if leads && reign.term == term => {}
            _ if leads && self.floor == term => {
                self.stand = Stand::No;
                self.promise = None;
                self.reign = Some(Reign {
                    term,
                    since: now,
                    generation: 0,
                    is_handing: false,
                    next_beat: now,
                    answer: Peak::default(),
                    late: Peak::default(),
                    promised: BTreeMap::new(),
                    answered: BTreeMap::new(),
                    probed: false,
                });
            }
            Some(_) => {
                self.reign = None;
                self.put_off(now, LEASE_MIN);
            }
            None => {}
        }
    }

    pub(super) fn beat(&mut self, now: Millis) {
        let asks = self.asks_for_promises(now);
        let Some(reign) = self.reign.as_mut().filter(|reign| now >= reign.next_beat) else { return };
        reign.late.sample(if reign.next_beat == reign.since { Millis(0) } else { now.since(reign.next_beat) });
        reign.next_beat = now + BEAT_EVERY;
        reign.probed = false;
        let lease = if asks { reign.lease() } else { Millis(0) };
        let beat = Beat { leader: self.node, term: reign.term, generation: reign.generation, lease };
        self.actions.push_back(Action::Beat(beat));
    }

    /// Whether it should keep others from being elected: not where it cannot write or hear, and not while it hands over.
    pub(super) fn asks_for_promises(&self, now: Millis) -> bool {
        let Some(reign) = &self.reign else { return false };
        let unheard = now.since(self.kth_latest(&reign.answered).max(reign.since));
        let patience = Millis(LEASES_UNHEARD_MAX * reign.lease().0);
        !self.view.is_stuck && !reign.is_handing && unheard < patience
    }

    /// The latest time that a majority reaches; this node itself counts as reaching any.
    fn kth_latest(&self, times: &BTreeMap<NodeId, Millis>) -> Millis {
        let latest = |voters: &alloc::collections::BTreeSet<NodeId>| {
            let time = |voter: &NodeId| match times.get(voter) {
                _ if *voter == self.node => Millis(u64::MAX),
                time => time.copied().unwrap_or_default(),
            };
            let mut times: Vec<Millis> = voters.iter().map(time).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.get(voters.len() / 2).copied().unwrap_or_default()
        };
        self.view.voters.iter().map(latest).min().unwrap_or_default()
    }
}

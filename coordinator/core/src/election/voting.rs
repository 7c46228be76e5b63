//! The voter's side: promises, votes, and when to stand.

use alloc::collections::BTreeSet;

use super::{
    ASK_PATIENCE, Action, Ask, Beat, BeatAnswer, Election, GIVE_WAY, LEASE_MAX, LEASE_MIN, Peak, Release, SILENCE_MAX,
    STAGGER, Stand, Ticket, VOTE_PATIENCE,
};
use crate::ids::NodeId;
use crate::time::Millis;

/// "I vote for nobody else."
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    to: NodeId,
    term: u64,
    generation: u64,
    given: Millis,
    until: Millis,
}

impl Promise {
    fn is_released_by(&self, release: Release) -> bool {
        self.to == release.leader && self.term == release.term && self.generation <= release.generation
    }
}

impl Election {
    /// A beat came.
    pub fn on_beat(&mut self, now: Millis, beat: Beat) -> BeatAnswer {
        if beat.term < self.floor || self.casting.values().any(|term| *term > beat.term) {
            return BeatAnswer { term: self.floor, follows: false };
        }
        self.floor = beat.term;
        if self.reign.is_some() && beat.leader != self.node {
            // A later term than this node's own: Raft will hear the same.
            self.reign = None;
        }
        if beat.lease > Millis(0) {
            self.hear(now, beat);
        }
        BeatAnswer { term: self.floor, follows: true }
    }

    fn hear(&mut self, now: Millis, beat: Beat) {
        let Beat { leader, term, generation, lease } = beat;
        let lease = lease.min(LEASE_MAX);
        let until = self.promise.filter(|promise| promise.term == term).map(|promise| promise.until);
        let until = until.unwrap_or_default().max(now + lease);
        self.promise = Some(Promise { to: leader, term, generation, given: now, until });
        match self.heard {
            Some((last, from, of)) if from == leader && of == term => self.gap.sample(now.since(last)),
            _ => self.gap = Peak::default(),
        }
        self.heard = Some((now, leader, term));
        self.stand = Stand::No;
        let silence = Millis(2 * self.gap.length().0).clamp(lease, SILENCE_MAX);
        self.due = now + silence + self.random(STAGGER);
    }

    /// Somebody stands: whether Raft may be asked for this node's vote. Say with [`Self::voted`] what it said.
    pub fn may_vote(&mut self, now: Millis, candidate: NodeId, term: u64, release: Option<Release>) -> Option<Ticket> {
        (!self.is_bound(now, candidate, release)).then(|| self.cast(term))
    }

    /// Raft has answered: the term that its vote is in, and whether the vote was given.
    pub fn voted(&mut self, now: Millis, ticket: Ticket, term: u64, granted: bool) {
        self.casting.remove(&ticket);
        self.floor = self.floor.max(term);
        if granted {
            self.put_off(now, self.vote_patience());
        }
    }

    /// Raft has voted for this node, whose [`Action::Stand`] that was, in this term.
    pub fn stood(&mut self, ticket: Ticket, term: u64) {
        self.casting.remove(&ticket);
        self.floor = self.floor.max(term);
    }

    /// Somebody asks whether to stand.
    pub fn on_ask(&mut self, now: Millis, ask: Ask) -> bool {
        let (mine, theirs) = ((self.view.log, self.node), (ask.log, ask.candidate));
        let competes = !matches!(self.stand, Stand::No) && mine > theirs;
        let rules = self.reign.is_some() && self.asks_for_promises(now);
        if rules || competes || ask.log < self.view.log || self.is_bound(now, ask.candidate, None) {
            return false;
        }
        if let Stand::Asking { .. } = self.stand {
            self.stand = Stand::No;
        }
        self.put_off(now, GIVE_WAY);
        true
    }

    /// What somebody said to that.
    pub fn on_ask_answer(&mut self, now: Millis, from: NodeId, round: u64, would: bool) {
        if round != self.round {
            return;
        }
        let Stand::Asking { yes, no, .. } = &mut self.stand else { return };
        if would {
            yes.insert(from)
        } else {
            no.insert(from)
        };
        let (yes, no) = (yes.clone(), no.clone());
        if self.is_majority(&yes) {
            self.stand_up(now, None);
        } else if self.is_lost(&no) {
            self.stand = Stand::No;
            self.put_off(now, GIVE_WAY);
        }
    }

    /// The leader asks this node to take over.
    pub fn take_over(&mut self, now: Millis, release: Release) -> bool {
        let may = self.is_voter() && self.reign.is_none() && release.term >= self.floor;
        if may && !self.is_bound(now, self.node, Some(release)) {
            self.stand_up(now, Some(release));
            return true;
        }
        false
    }

    /// A node's process was found gone at that time: it is sure of nothing any more.
    pub fn on_gone(&mut self, now: Millis, node: NodeId, at: Millis) {
        self.promise = self.promise.filter(|promise| promise.to != node || promise.given >= at);
        if let Some((last, leader, _)) = self.heard
            && leader == node
            && last < at
        {
            self.due = self.due.min(now + self.random(STAGGER));
        }
    }

    /// Asks, stands or gives up, where it is time.
    pub(super) fn consider(&mut self, now: Millis) {
        if self.reign.is_some() || self.view.leads || !self.is_voter() || self.is_bound(now, self.node, None) {
            return;
        }
        let alone = BTreeSet::from([self.node]);
        let (is_due, is_alone) = (now >= self.due, self.is_majority(&alone));
        match self.stand {
            Stand::No if is_due && is_alone => self.stand_up(now, None),
            Stand::No if is_due => {
                self.round += 1;
                let until = now + ASK_PATIENCE;
                self.stand = Stand::Asking { until, yes: alone, no: BTreeSet::new() };
                let ask = Ask { candidate: self.node, log: self.view.log };
                self.actions.push_back(Action::Ask(self.round, ask));
            }
            Stand::Asking { until, .. } | Stand::Voting { until, .. } if now >= until => {
                self.stand = Stand::No;
                self.put_off(now, Millis(1));
            }
            _ => {}
        }
    }

    fn stand_up(&mut self, now: Millis, release: Option<Release>) {
        // Whatever term it will be, it is later than any that is promised to now.
        let ticket = self.cast(u64::MAX);
        self.stand = Stand::Voting { until: now + self.vote_patience(), from: self.view.term };
        self.actions.push_back(Action::Stand(ticket, release));
    }

    fn cast(&mut self, term: u64) -> Ticket {
        self.tickets += 1;
        self.casting.insert(Ticket(self.tickets), term);
        Ticket(self.tickets)
    }

    /// Whether it must not vote for this candidate. A promise to the candidate itself does not stand in its way: it is not
    /// sure by it any more, or it would not stand.
    fn is_bound(&self, now: Millis, candidate: NodeId, release: Option<Release>) -> bool {
        let promised = self.promise.filter(|promise| now <= promise.until && promise.to != candidate);
        let promised = promised.filter(|promise| release.is_none_or(|release| !promise.is_released_by(release)));
        let is_sure = self.sure_until().is_some_and(|(_, until)| now <= until);
        // A lone voter has promised to nobody.
        let is_blind = now < self.blind_until && !self.is_majority(&BTreeSet::from([self.node]));
        is_blind || promised.is_some() || (is_sure && candidate != self.node)
    }

    /// When it may stop being bound.
    pub(super) fn bound_until(&self) -> Millis {
        let promised = self.promise.map_or(Millis(0), |promise| promise.until + Millis(1));
        let is_alone = self.is_majority(&BTreeSet::from([self.node]));
        if is_alone { promised } else { promised.max(self.blind_until) }
    }

    /// Whether so many said no that a majority cannot be had.
    fn is_lost(&self, no: &BTreeSet<NodeId>) -> bool {
        self.view.voters.iter().any(|voters| voters.difference(no).count() <= voters.len() / 2)
    }

    /// A vote is flushed by the candidate, then by the others.
    fn vote_patience(&self) -> Millis {
        Millis(VOTE_PATIENCE.0 + 4 * self.view.flush.0).min(SILENCE_MAX)
    }

    /// Waits for that long, and a random part of the least lease more, before it asks.
    pub(super) fn put_off(&mut self, now: Millis, length: Millis) {
        let more = self.random(LEASE_MIN);
        self.due = self.due.max(now + length + more);
    }
}

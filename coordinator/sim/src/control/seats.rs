//! Who votes.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::seats::{BEHIND_MAX, Proposal, REPLACE_AFTER, Rules, SeatChange, View, Why, may_evict, next_change};
use skein_core::{Command, Millis, NodeId};

use super::{Happening, World};

impl World {
    pub(super) fn seat(&mut self) {
        if self.lead.as_ref().is_none_or(|lead| lead.is_seating) {
            return;
        }
        if let Some(proposal) = self.next_seat_change() {
            self.check_proposal(&proposal);
            self.lead.iter_mut().for_each(|lead| lead.is_seating = true);
            let delay = self.chance.number(5..500);
            self.after(Millis(delay), Happening::Seats { term: self.term, change: proposal.change });
        }
    }

    pub(super) fn next_seat_change(&self) -> Option<Proposal> {
        self.look_at_seats(next_change)?
    }

    /// As the leader sees them; nothing where nobody leads.
    fn look_at_seats<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> Option<T> {
        let leader = self.leader()?;
        let behind = self.behind();
        Some(look(&View {
            state: &self.state,
            leader,
            voters: &self.voters,
            learners: &self.learners,
            behind: &behind,
            now: self.epoch(leader),
        }))
    }

    /// What each replica lacks.
    fn behind(&self) -> BTreeMap<NodeId, u64> {
        let lacks = |applied: usize| (self.log.len() - applied) as u64;
        self.machines.iter().map(|(id, machine)| (*id, lacks(machine.applied))).collect()
    }

    pub(super) fn change_seats(&mut self, term: u64, change: SeatChange) {
        let Some(lead) = self.lead.as_mut().filter(|_| term == self.term) else { return };
        lead.is_seating = false;
        let leader = lead.node;
        match change {
            // Adding a learner waits until it has the log: one that is away holds the leader up, and fails.
            SeatChange::AddLearner(node) if self.is_reachable(node) => {
                self.learners.insert(node);
                self.chance.count("seat_learner_added");
            }
            SeatChange::SetVoters(voters) if self.has_majority(&voters) && self.has_majority(&self.voters) => {
                self.learners.extend(&self.voters);
                self.voters = voters;
                self.learners.retain(|node| !self.voters.contains(node));
                self.chance.count("seat_voters_set");
                if !self.voters.contains(&leader) {
                    self.chance.count("seat_leader_gave_way");
                    self.depose();
                }
            }
            _ => self.chance.count("seat_change_failed"),
        }
        self.drive_leader();
    }

    /// Whatever is proposed keeps a majority as far as the leader can know, and only those get a vote who have the log.
    fn check_proposal(&mut self, proposal: &Proposal) {
        let SeatChange::SetVoters(new) = &proposal.change else { return };
        self.chance.count(match proposal.why {
            Why::Joined | Why::MoreVoters => "seat_proposed_more",
            Why::FewerVoters => "seat_proposed_fewer",
            Why::Evicted(_) => "seat_proposed_for_an_evicted_voter",
            Why::Gone(_) => "seat_proposed_for_a_gone_voter",
            Why::OnBattery(_) => "seat_proposed_for_a_voter_on_battery",
            Why::SharesItsZone(_) => "seat_proposed_for_a_doubled_zone",
        });
        let leader = self.leader();
        let is_up = |node: &NodeId| leader == Some(*node) || self.state.nodes.get(node).is_some_and(|node| node.up);
        let majority = |of: &BTreeSet<NodeId>| of.iter().filter(|node| is_up(node)).count() * 2 > of.len();
        let behind = self.behind();
        let has_log = |node: &NodeId| behind.get(node).is_some_and(|lacks| *lacks <= BEHIND_MAX);
        let seats = &self.state.seats;
        let may_come = |node: &NodeId| {
            self.learners.contains(node) && is_up(node) && has_log(node) && !seats.evicted.contains(node)
        };
        let is_right = new.len() % 2 == 1
            && new.len() <= self.voters.len().max(seats.rules.voters)
            && majority(&self.voters)
            && majority(new)
            && new.difference(&self.voters).all(may_come);
        self.chance.check(is_right, || format!("voters {:?} become {proposal:?}", self.voters));
    }

    /// An operator evicts a voter, or allows one again, or sets how many there should be.
    pub(super) fn ask_about_seats(&mut self) {
        match self.chance.number(0..10) {
            0..3 => {
                let voters = self.chance.pick([3, 5]).unwrap_or(3);
                // In so short a life, voters have to be replaced sooner.
                let replace_after = Millis(self.chance.number(1_000..REPLACE_AFTER.0 / 4));
                self.say("asked_seats_set", |_| Command::SeatsSet(Rules { voters, replace_after }));
            }
            3..7 => {
                let Some(node) = self.some_machine(|_| true) else { return };
                // The leader looks first whether another can take its place.
                match self.look_at_seats(|view| may_evict(view, node)) {
                    Some(Ok(())) => self.say("asked_evict", |_| Command::SeatEvict(node)),
                    Some(Err(_)) => self.chance.count("asked_evict_refused"),
                    None => {}
                }
            }
            _ => {
                let evicted: Vec<NodeId> = self.state.seats.evicted.iter().copied().collect();
                let Some(node) = self.chance.pick(evicted) else { return };
                self.say("asked_allow", |_| Command::SeatAllow(node));
            }
        }
    }
}

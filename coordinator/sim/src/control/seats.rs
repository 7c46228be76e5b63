//! Who votes.

use std::collections::BTreeSet;

use skein_core::seats::{SeatChange, VOTERS, next_change};
use skein_core::{Millis, NodeId};

use super::{Happening, World};

impl World {
    pub(super) fn seat(&mut self) {
        let Some(lead) = self.lead.as_mut().filter(|lead| !lead.is_seating) else { return };
        if let Some(change) = next_change(&self.state, &self.voters, &self.learners) {
            lead.is_seating = true;
            let delay = self.chance.number(5..500);
            self.after(Millis(delay), Happening::Seats { term: self.term, change });
        }
    }

    pub(super) fn change_seats(&mut self, term: u64, change: SeatChange) {
        let Some(lead) = self.lead.as_mut().filter(|_| term == self.term) else { return };
        lead.is_seating = false;
        match change {
            // Adding a learner waits until it has the log: one that is away holds the leader up, and fails.
            SeatChange::AddLearner(node) if self.is_reachable(node) => {
                self.learners.insert(node);
                self.chance.count("seat_learner_added");
            }
            SeatChange::SetVoters(voters) if self.has_majority(&voters) && self.has_majority(&self.voters) => {
                self.check_voters(&voters);
                self.learners.extend(&self.voters);
                self.voters = voters;
                self.learners.retain(|node| !self.voters.contains(node));
                self.chance.count("seat_voters_set");
            }
            _ => self.chance.count("seat_change_failed"),
        }
        self.drive_leader();
    }

    fn check_voters(&mut self, voters: &BTreeSet<NodeId>) {
        let is_odd = voters.len() % 2 == 1 && voters.len() <= VOTERS;
        let caught_up = voters.iter().all(|node| self.voters.contains(node) || self.learners.contains(node));
        let keeps = voters.is_superset(&self.voters);
        self.chance.check(is_odd && caught_up && keeps, || format!("voters {:?} become {voters:?}", self.voters));
    }
}

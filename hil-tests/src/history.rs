//! The history of control writes, and whether it could have happened one after another.
//!
//! Clients write down what they asked, when, and what they were told. [`check`] looks for an order of all of it in which each
//! took effect at one moment between its question and its answer, and every answer was right: linearizability, by the search of
//! Wing and Gong with the memory of Lowe. What ended without a clear answer may have taken effect at any time since, or never.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// States that the search may visit before it gives up: a thousand operations of a few clients take some thousands.
const STEPS_MAX: usize = 200_000;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A session.
    Create,
    /// A session's end.
    End(u64),
    /// The mesh's policy.
    SetPolicy(String),
    /// All open sessions and the policy, of a replica that had come to rest.
    Read,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// To a create: it has this number.
    Created(u64),
    /// To an end, or to a policy: it is done.
    Done,
    /// To an end: there is no such session. An agent that tried again may have ended it itself.
    Gone,
    /// To a read.
    Holds(State),
    /// Nothing, or that nobody knows. Its effect may come at any time, or never.
    Unknown,
}

/// One question and its answer. Times count from one moment, the same for all clients.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What was asked.
    pub call: Call,
    /// What came back.
    pub told: Told,
    /// Before it was asked.
    pub asked: Duration,
    /// After the answer was there.
    pub answered: Duration,
}

/// What the mesh holds, as far as these operations go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The number of the last session.
    pub last: u64,
    /// Open sessions.
    pub open: BTreeSet<u64>,
    /// The policy.
    pub policy: String,
}

impl State {
    /// The state after an operation; none where the answer would have been wrong.
    fn after(&self, operation: &Operation) -> Option<Self> {
        let mut next = self.clone();
        let right = match (&operation.call, &operation.told) {
            (Call::Create, Told::Created(_) | Told::Unknown) => {
                next.last += 1;
                next.open.insert(next.last);
                operation.told == Told::Unknown || operation.told == Told::Created(next.last)
            }
            (Call::End(session), Told::Done) => next.open.remove(session),
            (Call::End(session), Told::Gone | Told::Unknown) => {
                next.open.remove(session);
                true
            }
            (Call::SetPolicy(policy), Told::Done | Told::Unknown) => {
                next.policy.clone_from(policy);
                true
            }
            // A read does not say which number was the last.
            (Call::Read, Told::Holds(seen)) => (&seen.open, &seen.policy) == (&self.open, &self.policy),
            _ => false,
        };
        right.then_some(next)
    }
}

/// Whether there is such an order, from this state on. The error says how far the longest attempt came.
pub fn check(start: &State, history: &[Operation]) -> Result<(), String> {
    let mut operations: Vec<&Operation> = history.iter().collect();
    // Those answered first are tried first, which is most often right; those without an answer last.
    operations.sort_by_key(|operation| (operation.told == Told::Unknown, operation.answered));
    let start = Point { state: start.clone(), done: Done::default() };
    let mut longest = start.clone();
    let mut seen = HashSet::new();
    let mut left = vec![start];
    while let Some(point) = left.pop() {
        if seen.len() >= STEPS_MAX {
            return Err(format!("no order was found within {STEPS_MAX} steps, and not every order was tried"));
        }
        let open = || operations.iter().enumerate().filter(|(at, _)| !point.done.has(*at));
        let Some(horizon) = open().filter(|(_, open)| open.told != Told::Unknown).map(|(_, open)| open.answered).min()
        else {
            return Ok(());
        };
        // Nothing can be next that was asked after another was answered which is still open.
        let candidates = open().filter(|(_, open)| open.asked <= horizon);
        let next = candidates.filter_map(|(at, open)| point.after(at, open)).filter(|next| seen.insert(next.clone()));
        let next: Vec<Point> = next.collect();
        left.extend(next.into_iter().rev());
        if point.done.count() > longest.done.count() {
            longest = point;
        }
    }
    Err(longest.report(&operations))
}

/// How far one attempt came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Point {
    state: State,
    done: Done,
}

impl Point {
    /// After one more operation; none where its answer would be wrong, or where it would change nothing that anybody sees.
    fn after(&self, at: usize, operation: &Operation) -> Option<Self> {
        let state = self.state.after(operation)?;
        let is_idle = operation.told == Told::Unknown && state == self.state;
        (!is_idle).then(|| Self { state, done: self.done.with(at) })
    }

    fn report(&self, operations: &[&Operation]) -> String {
        let left = operations.iter().enumerate().filter(|(at, _)| !self.done.has(*at)).map(|(_, operation)| operation);
        let mut left: Vec<&&Operation> = left.collect();
        left.sort_by_key(|operation| operation.asked);
        left.truncate(10);
        let (all, fit, state) = (operations.len(), self.done.count(), &self.state);
        format!(
            "of {all} operations at most {fit} fit one after another, which leaves {state:?}; then none of {left:#?}"
        )
    }
}

/// Which operations took effect: a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    fn with(&self, at: usize) -> Self {
        let mut bits = self.0.clone();
        bits.resize(bits.len().max(at / 64 + 1), 0);
        bits[at / 64] |= 1 << (at % 64);
        Self(bits)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests;

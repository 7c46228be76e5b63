//! Which processor cores each worker runs on: those of its own need, so that workers do not push each other out of their caches.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use skein_core::WorkerId;

/// Thousandths of a core.
const WHOLE: u64 = 1_000;

/// The cores of this machine, and who has them.
#[derive(Debug)]
pub(super) struct Cores(Mutex<Shares>);

/// What is left of each core, and what each worker has of it. A need of whole cores gets cores that nobody else has, while
/// there are such; one of less than a core shares it with others of that kind, which is what it asked for.
#[derive(Debug, Default)]
struct Shares {
    /// What is left of each core, in thousandths; none of a machine whose workers run where they like.
    left: BTreeMap<usize, u64>,
    given: BTreeMap<WorkerId, Vec<(usize, u64)>>,
}

impl Cores {
    /// All cores that this process may run on; none where workers are to run where they like.
    pub(super) fn new(bind: bool) -> Self {
        let mut shares = Shares::default();
        if bind {
            match sched_getaffinity(None) {
                Ok(own) => shares.left = in_set(&own).map(|core| (core, WHOLE)).collect(),
                Err(error) => {
                    tracing::warn!("workers run on any core: the system does not say which there are: {error}");
                }
            }
        }
        Self(Mutex::new(shares))
    }

    /// Cores for a worker; none: it runs where it likes.
    pub(super) fn take(&self, worker: WorkerId, millicores: u64) -> Vec<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(worker, millicores)
    }

    /// The worker is gone.
    pub(super) fn give_back(&self, worker: WorkerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).give_back(worker);
    }
}

impl Shares {
    fn take(&mut self, worker: WorkerId, millicores: u64) -> Vec<usize> {
        self.give_back(worker);
        let mut parts = Vec::new();
        let mut rest = millicores;
        while rest > 0 {
            let part = rest.min(WHOLE);
            let Some(core) = self.core_for(part, &parts) else { break };
            if let Some(left) = self.left.get_mut(&core) {
                let given = part.min(*left);
                *left -= given;
                parts.push((core, given));
            }
            rest -= part;
        }
        // It was promised more than there are cores left: half bound, it would be worse off than with all others.
        if rest > 0 {
            self.return_parts(&parts);
            return Vec::new();
        }
        let mut cores: Vec<usize> = parts.iter().map(|(core, _)| *core).collect();
        cores.sort_unstable();
        self.given.insert(worker, parts);
        cores
    }

    /// The fullest core that has room for this part, so that whole ones stay whole; else the emptiest. Never one that has a part
    /// of the same worker already.
    fn core_for(&self, part: u64, taken: &[(usize, u64)]) -> Option<usize> {
        let free = || self.left.iter().filter(|(core, _)| taken.iter().all(|(other, _)| other != *core));
        let fitting = free().filter(|(_, left)| **left >= part).min_by_key(|(_, left)| **left);
        let core = fitting.or_else(|| free().filter(|(_, left)| **left > 0).min_by_key(|(_, left)| Reverse(**left)));
        core.map(|(core, _)| *core)
    }

    fn give_back(&mut self, worker: WorkerId) {
        if let Some(parts) = self.given.remove(&worker) {
            self.return_parts(&parts);
        }
    }

    fn return_parts(&mut self, parts: &[(usize, u64)]) {
        for (core, part) in parts {
            if let Some(left) = self.left.get_mut(core) {
                *left += part;
            }
        }
    }
}

/// Does something, most of all starting a process, as if this thread ran on these cores only: a child, and every thread of it, is
/// bound so from its first moment on. Without cores it is done as ever.
pub(super) fn on_cores<T>(cores: &[usize], act: impl FnOnce() -> T) -> T {
    if cores.is_empty() {
        return act();
    }
    let bound = sched_getaffinity(None).and_then(|before| {
        let mut set = CpuSet::new();
        for core in cores {
            set.set(*core);
        }
        sched_setaffinity(None, &set).map(|()| before)
    });
    let done = act();
    match bound {
        Ok(before) => {
            if let Err(error) = sched_setaffinity(None, &before) {
                tracing::warn!("a thread of the agent stays on the cores of a worker: {error}");
            }
        }
        // A core may have been taken off line.
        Err(error) => tracing::warn!("a worker runs on any core: it cannot be bound to {cores:?}: {error}"),
    }
    done
}

fn in_set(set: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(cores: usize) -> Shares {
        Shares { left: (0..cores).map(|core| (core, WHOLE)).collect(), given: BTreeMap::new() }
    }

    #[test]
    fn whole_cores_are_not_shared_and_parts_of_cores_are() {
        let mut shares = shares(4);
        assert_eq!(shares.take(WorkerId(1), 500), [0]);
        assert_eq!(shares.take(WorkerId(2), 1_000), [1]);
        assert_eq!(shares.take(WorkerId(3), 300), [0], "the fullest that has room");
        assert_eq!(shares.take(WorkerId(4), 2_000), [2, 3]);
        assert_eq!(shares.take(WorkerId(5), 200), [0]);
        assert_eq!(shares.take(WorkerId(6), 100), Vec::<usize>::new(), "nothing is left");
        shares.give_back(WorkerId(2));
        assert_eq!(shares.take(WorkerId(6), 100), [1]);
    }

    #[test]
    fn a_need_of_one_and_a_half_gets_two_cores_and_shares_one() {
        let mut shares = shares(2);
        assert_eq!(shares.take(WorkerId(1), 1_500), [0, 1]);
        assert_eq!(shares.take(WorkerId(2), 500), [1]);
        shares.give_back(WorkerId(1));
        assert_eq!(shares.take(WorkerId(3), 1_000), [0]);
        assert_eq!(shares.take(WorkerId(3), 1_000), [0], "started again, it has what it had");
    }

    #[test]
    fn pieces_of_cores_are_better_than_none() {
        let mut shares = shares(2);
        shares.take(WorkerId(1), 600);
        shares.take(WorkerId(2), 600);
        assert_eq!(shares.take(WorkerId(3), 800), [0], "no core has room for it: the emptiest");
        assert_eq!(shares.take(WorkerId(4), 3_000), Vec::<usize>::new(), "more than there is");
        assert_eq!(shares.left.values().sum::<u64>(), 400);
    }

    #[test]
    fn a_child_is_bound_and_the_agent_is_not() {
        let before = sched_getaffinity(None).unwrap();
        let core = in_set(&before).last().unwrap();
        let bound = on_cores(&[core], || sched_getaffinity(None).unwrap());
        assert_eq!(in_set(&bound).collect::<Vec<_>>(), [core]);
        assert_eq!(in_set(&sched_getaffinity(None).unwrap()).count(), in_set(&before).count());
        assert!(Cores::new(false).take(WorkerId(1), 1_000).is_empty());
        assert!(!Cores::new(true).take(WorkerId(1), 1_000).is_empty());
    }
}

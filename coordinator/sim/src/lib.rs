//! Replays the decisions of a mesh under faults, from a seed.
//!
//! The code under test is the real `skein-core`; everything around it (clocks, network, processes, clients) is simulated
//! here in virtual time, from one seeded source of chance. Three worlds stand apart, the first two as
//! in the agent:
//!
//! - [`control`]: the replicated state, its leader, and every node's supervisor;
//! - [`dispatch`]: one gateway, its clients and its workers;
//! - [`scarce`]: a mesh with too little for everybody, without faults: shares over time, and nobody starves.
//!
//! Each of the first two runs through a safety phase, in which anything may go wrong and the invariants must hold after every step, and a
//! healing phase, in which nothing goes wrong any more and everything must come right within a bounded time.

use std::collections::BTreeMap;

use chance::Chance;

mod chance;
pub mod control;
pub mod dispatch;
pub mod kinds;
pub mod scarce;

/// What happened in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which run.
    pub seed: u64,
    /// Things that happened, one after another.
    pub steps: u64,
    /// How long it would have taken.
    pub virtual_ms: u64,
    /// How often each kind of fault, event and decision happened, also those that never did, so that a run in which nothing was
    /// tried is seen.
    pub counts: BTreeMap<&'static str, u64>,
    /// What should hold and did not; the first few.
    pub violations: Vec<String>,
}

/// Runs all worlds from one seed.
pub fn run(seed: u64) -> Report {
    let mut report = control::run(seed);
    for other in [dispatch::run(seed), scarce::run(seed)] {
        report.steps += other.steps;
        report.virtual_ms += other.virtual_ms;
        report.violations.extend(other.violations);
        for (kind, count) in other.counts {
            *report.counts.entry(kind).or_default() += count;
        }
    }
    for kind in kinds::EXPECTED.into_iter().chain(kinds::RARE) {
        report.counts.entry(kind).or_default();
    }
    report
}

/// The account of one world.
fn report(seed: u64, steps: u64, virtual_ms: u64, chance: Chance) -> Report {
    Report { seed, steps, virtual_ms, counts: chance.counts, violations: chance.violations }
}

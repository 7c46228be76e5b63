//! `cargo xtask simulate`: the real decisions under faults, a seed at a time.

use std::collections::BTreeMap;
use std::panic;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use skein_sim::Report;
use skein_sim::kinds::EXPECTED;

/// From so many seeds on, everything that a run counts must have happened.
const SEEDS_FOR_ALL: u64 = 300;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seeds, from `--from` on: by default always the same ones, so that a failure is a change's doing
    #[arg(long, default_value_t = SEEDS_FOR_ALL)]
    pub(crate) seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    pub(crate) from: u64,
    /// Goes on with the seeds after those for so many seconds
    #[arg(long, default_value_t = 0)]
    pub(crate) more_s: u64,
    /// And with no more than so many
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) more_max: u64,
    /// Replays this one alone
    #[arg(long, conflicts_with_all = ["seeds", "from", "more_s", "more_max"])]
    pub(crate) seed: Option<u64>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What all seeds of a run came to.
#[derive(Default)]
struct Totals {
    seeds: u64,
    steps: u64,
    virtual_ms: u64,
    violations: u64,
    counts: BTreeMap<&'static str, u64>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (first, count) = args.seed.map_or((args.from, args.seeds), |seed| (seed, 1));
    ensure!(count > 0, "no seed to run: say --seeds 1 or more");
    let mut totals = Totals::default();
    (first..first.saturating_add(count)).for_each(|seed| totals.add(replay(seed)));
    // How many more there are depends on the machine: what must be met, these meet.
    let never: Vec<&str> =
        EXPECTED.into_iter().filter(|kind| totals.counts.get(kind).is_none_or(|count| *count == 0)).collect();
    let must_meet_all = args.seed.is_none() && count >= SEEDS_FOR_ALL;
    if args.more_s > 0 {
        totals.add_more(first.saturating_add(count), Duration::from_secs(args.more_s), args.more_max);
    }
    totals.print(&never, args.json);
    ensure!(totals.violations == 0, "{} violations, listed above with their seeds", totals.violations);
    ensure!(never.is_empty() || !must_meet_all, "never happened in {count} seeds: {}", never.join(", "));
    Ok(())
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.steps += report.steps;
        self.virtual_ms += report.virtual_ms;
        self.violations += report.violations.len() as u64;
        for (name, count) in report.counts {
            *self.counts.entry(name).or_default() += count;
        }
        for violation in &report.violations {
            eprintln!("seed {}: {violation}\n  again: cargo xtask simulate --seed {}", report.seed, report.seed);
        }
    }

    /// The seeds from this one on. (Seeds that nobody has run before would find more; but what is then found is not the doing of
    /// whoever is told, so they are run by hand: `--from`.)
    fn add_more(&mut self, first: u64, time: Duration, most: u64) {
        let (begin, before) = (Instant::now(), self.seeds);
        while begin.elapsed() < time && self.seeds - before < most {
            self.add(replay(first.wrapping_add(self.seeds - before)));
        }
        let count = self.seeds - before;
        eprintln!("{count} seeds more; again: cargo xtask simulate --from {first} --seeds {count}");
    }

    fn print(&self, never: &[&str], json: bool) {
        let Self { seeds, steps, virtual_ms, violations, counts } = self;
        if json {
            let object = serde_json::json!({
                "seeds": seeds, "steps": steps, "virtual_ms": virtual_ms, "violations": violations, "counts": counts, "never": never,
            });
            println!("{object}");
            return;
        }
        for (name, value) in
            [("seeds", seeds), ("steps", steps), ("virtual_ms", virtual_ms), ("violations", violations)]
        {
            println!("{name:<44}{value:>14}");
        }
        for (name, value) in counts {
            println!("{name:<44}{value:>14}");
        }
        if !never.is_empty() {
            println!("never happened: {}", never.join(", "));
        }
    }
}

/// A failed assertion is a finding like any other: it needs its seed beside it.
fn replay(seed: u64) -> Report {
    panic::catch_unwind(|| skein_sim::run(seed)).unwrap_or_else(|_| {
        let violations = vec!["panicked, as said above".to_owned()];
        Report { seed, steps: 0, virtual_ms: 0, counts: BTreeMap::new(), violations }
    })
}

//! `cargo xtask simulate`: the real decisions under faults, a seed at a time.

use std::collections::BTreeMap;
use std::panic;

use anyhow::{Result, ensure};
use skein_sim::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seeds, from 0 on: always the same ones, so that a failure is a change's doing
    #[arg(long, default_value_t = 300)]
    pub(crate) seeds: u64,
    /// Replays this one alone
    #[arg(long, conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let seeds = args.seed.map_or(0..args.seeds, |seed| seed..seed.saturating_add(1));
    ensure!(!seeds.is_empty(), "no seed to run: say --seeds 1 or more");
    let mut totals =
        BTreeMap::from([("seeds", seeds.end - seeds.start), ("steps", 0), ("virtual_ms", 0), ("violations", 0)]);
    let mut counts = BTreeMap::new();
    for report in seeds.map(replay) {
        let (steps, virtual_ms, violations) = (report.steps, report.virtual_ms, report.violations.len() as u64);
        for (name, value) in [("steps", steps), ("virtual_ms", virtual_ms), ("violations", violations)] {
            *totals.entry(name).or_default() += value;
        }
        for (name, count) in report.counts {
            *counts.entry(name).or_default() += count;
        }
        for violation in &report.violations {
            eprintln!("seed {}: {violation}\n  again: cargo xtask simulate --seed {}", report.seed, report.seed);
        }
    }
    let violations = totals["violations"];
    if args.json {
        let mut object = serde_json::json!(totals);
        object["counts"] = serde_json::json!(counts);
        println!("{object}");
    } else {
        for (name, value) in totals.into_iter().chain(counts) {
            println!("{name:<28}{value:>14}");
        }
    }
    ensure!(violations == 0, "{violations} violations, listed above with their seeds");
    Ok(())
}

/// A failed assertion is a finding like any other: it needs its seed beside it.
fn replay(seed: u64) -> Report {
    panic::catch_unwind(|| skein_sim::run(seed)).unwrap_or_else(|_| {
        let violations = vec!["panicked, as said above".to_owned()];
        Report { seed, steps: 0, virtual_ms: 0, counts: BTreeMap::new(), violations }
    })
}

//! The commands of the house: `cargo xtask --help`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its streams")]

mod bench;
mod demo;
mod docs;
mod hil;
mod house;
mod mutants;
mod runtimes;
mod simulate;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// The commands of the house.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Cli {
    /// Set-up, format, lints, tidy, licences, all tests, the simulator, the demo: what CI runs
    Test {
        /// One step only
        #[arg(long, value_name = "NAME", value_parser = test::names())]
        step: Option<String>,
    },
    /// Floors, names, sizes, links and lists
    Tidy,
    /// The simulator over many seeds, or one again
    Simulate(simulate::Args),
    /// A benchmark: medians of several runs, both sides in one run
    Bench(Measure),
    /// Whole meshes of real processes
    Hil(Measure),
    /// Breaks one rule of the scheduler at a time, on a copy, and sees whether the tests notice
    Mutants {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// The book in `docs/`
    Docs,
}

#[derive(Debug, clap::Args)]
struct Measure {
    name: String,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let house = house::House::find()?;
    match cli {
        Cli::Test { step } => test::run(&house, step.as_deref()),
        Cli::Tidy => tidy::check(&house),
        Cli::Simulate(args) => simulate::run(&args),
        Cli::Bench(Measure { name, json }) => bench::run(&house, &name, json),
        Cli::Hil(Measure { name, json }) => hil::run(&house, &name, json),
        Cli::Mutants { json } => mutants::run(&house, json),
        Cli::Docs => docs::build(&house),
    }
}

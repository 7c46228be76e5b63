//! `cargo xtask test`: what the README and `.ci/run` call. On a fresh machine it sets up what it needs.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;

use crate::house::{self, House};
use crate::{demo, runtimes, simulate, tidy};

type Step = fn(&House) -> Result<()>;

/// How long the simulator goes on after its fixed seeds: a few hundred more, and little beside the tests.
const MORE_SEEDS_S: u64 = 60;
/// How many more it runs at most, which only a very quick machine reaches: so many were run when this was written. What is found
/// beyond is not the doing of whoever is told.
const MORE_SEEDS_MAX: u64 = 2_700;

/// The quick ones first. The documentation's examples come before the tests, whose closing line CI reads as the last.
const STEPS: [(&str, Step); 11] = [
    ("set-up", set_up),
    ("runtimes", |house| runtimes::installed(house).map(drop)),
    ("format", |house| house::run(house.cargo(&["fmt", "--all", "--check"]))),
    ("tidy", tidy::check),
    ("clippy", |house| house::run(house.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
    ("deny", deny),
    ("build", |house| build(house).map(drop)),
    ("examples", |house| house::run(house.cargo(&["test", "--doc", "--workspace", "--quiet"]))),
    ("tests", tests),
    ("simulate", |_| {
        let (more_s, more_max) = (MORE_SEEDS_S, MORE_SEEDS_MAX);
        simulate::run(&simulate::Args { seeds: 300, from: 0, more_s, more_max, seed: None, json: false })
    }),
    ("demo", demo::check),
];

pub(crate) fn names() -> PossibleValuesParser {
    STEPS.map(|(name, _)| name).into()
}

pub(crate) fn run(house: &House, only: Option<&str>) -> Result<()> {
    let start = Instant::now();
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        println!("== {name}");
        let since = Instant::now();
        step(house).with_context(|| format!("step {name} failed; again: cargo xtask test --step {name}"))?;
        println!("== {name}: well after {:.1} s", since.elapsed().as_secs_f64());
    }
    println!("== all well after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn set_up(house: &House) -> Result<()> {
    for tool in ["fmt", "clippy"] {
        if !house::works(house.cargo(&[tool, "--version"])) {
            let component = if tool == "fmt" { "rustfmt" } else { tool };
            house::run(house.program("rustup", &["component", "add", component]))?;
        }
    }
    let present =
        |tool: &str| house::works(house.program(tool, &["--version"])) || house::works(house.program(tool, &["-V"]));
    let pip = house::works(house.program("python3", &["-m", "pip", "--version"]));
    if present("ip") && present("nft") && present("faketime") && pip {
        return Ok(());
    }
    let id = house.program("id", &["-u"]).output().map(|output| output.stdout).unwrap_or_default();
    if id.trim_ascii() != b"0" || !house::works(house.program("apt-get", &["--version"])) {
        println!(
            "ip, nft, faketime or pip is missing: as root, `apt-get install iproute2 nftables faketime python3-pip`; tests of faults and of runtimes need them"
        );
        return Ok(());
    }
    house::run(house.program("apt-get", &["update", "-qq"]))?;
    let packages = ["iproute2", "nftables", "faketime", "python3-pip"];
    let mut install =
        house.program("apt-get", &[&["install", "-qq", "--no-install-recommends"], &packages[..]].concat());
    install.env("DEBIAN_FRONTEND", "noninteractive");
    house::run(install)
}

/// Costs four minutes to install, so it is kept in the cache, beside the target directory that `.ci/run` uses.
fn deny(house: &House) -> Result<()> {
    let (tools, mut program) = (house::cache()?.join("tools"), "cargo-deny".to_owned());
    if !house::works(house.program(&program, &["--version"])) {
        program = tools.join("bin/cargo-deny").to_string_lossy().into_owned();
    }
    if !house::works(house.program(&program, &["--version"])) {
        println!("cargo-deny is missing: it is built once, in about four minutes, into {}", tools.display());
        // Without default features, which fetch advisories; the version is the one that deny.toml was written for.
        let what = ["install", "cargo-deny@0.20.2", "--locked", "--no-default-features", "--quiet"];
        let mut install = house.cargo(&what);
        install.arg("--root").arg(&tools);
        house::run(install)?;
    }
    house::run(
        house.program(
            &program,
            &["--log-level", "error", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"],
        ),
    )
}

/// The `skein` binary of the dev profile. Everything that the tests need is built with it: alone, its dependencies would
/// be built with fewer features, and once more for the tests.
pub(crate) fn build(house: &House) -> Result<PathBuf> {
    house::run(house.cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    Ok(house.0.target_directory.join("debug/skein").into())
}

fn tests(house: &House) -> Result<()> {
    let binary = build(house)?;
    let mut tests = house.cargo(&["nextest", "run", "--workspace", "--profile", "ci"]);
    if !house::works(house.cargo(&["nextest", "--version"])) {
        println!(
            "cargo-nextest is missing (`cargo install cargo-nextest --locked`): cargo test, with no limit on a test that hangs"
        );
        tests = house.cargo(&[
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
            "--",
            "--test-threads",
            "1",
        ]);
    }
    tests.env("SKEIN_BIN", binary);
    tests.envs(runtimes::installed(house)?.map(|folder| (runtimes::VARIABLE, folder)));
    house::run(tests)
}

//! What an idle agent costs: memory, processor, and the size of its binary. `cargo xtask bench footprint`.

#![expect(clippy::print_stdout, reason = "a benchmark speaks on standard output")]

mod report;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use report::{Metric, Report, median};
use skein_agent::demo::fleet::Fleet;

/// What an idle agent may take.
const GOAL_RSS_MB: f64 = 20.0;
const GOAL_CPU_PERCENT: f64 = 0.5;
/// What the binary may have.
const GOAL_BINARY_MB: f64 = 25.0;
/// How long an agent settles before it counts as idle.
const SETTLE: Duration = Duration::from_secs(3);
/// How long it is watched, a run.
const WATCH: Duration = Duration::from_secs(10);
/// Runs of which the median is told.
const RUNS: usize = 3;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())?.print("footprint");
    Ok(())
}

async fn measure() -> anyhow::Result<Report> {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_skein"));
    let mut report = Report::default();
    let (rss, cpu) = idle(&binary, 1).await?;
    report.add(Metric::new("idle_rss_mb", rss, "MB").at_most(GOAL_RSS_MB));
    report.add(Metric::new("idle_cpu_percent", cpu, "%").at_most(GOAL_CPU_PERCENT));
    let (rss, cpu) = idle(&binary, 3).await?;
    report.add(Metric::new("idle_rss_in_mesh_of_3_mb", rss, "MB").at_most(GOAL_RSS_MB));
    report.add(Metric::new("idle_cpu_in_mesh_of_3_percent", cpu, "%").at_most(GOAL_CPU_PERCENT));
    report.add(Metric::new("binary_mb", stripped_bytes(&binary)? / 1e6, "MB").at_most(GOAL_BINARY_MB));
    Ok(report)
}

/// Resident memory in MB and processor time in percent of one core of the first of so many agents: it leads, so it does most.
async fn idle(binary: &Path, agents: usize) -> anyhow::Result<(f64, f64)> {
    let mut fleet = Fleet::new(binary.to_owned())?;
    for _ in 0..agents {
        fleet.start_one().await?;
    }
    let process = *fleet.processes().first().context("no agent runs")?;
    tokio::time::sleep(SETTLE).await;
    let (mut rss, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let before = processor_time(process)?;
        tokio::time::sleep(WATCH).await;
        let used = processor_time(process)?.saturating_sub(before);
        cpu.push(used.as_secs_f64() / WATCH.as_secs_f64() * 100.0);
        rss.push(resident_bytes(process)? / 1e6);
    }
    Ok((median(rss), median(cpu)))
}

fn resident_bytes(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident size")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0)
}

/// From the scheduler's own account, in nanoseconds: the ticks of /proc/PID/stat are too coarse for half a percent.
fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let account = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanoseconds: u64 = account.split_whitespace().next().context("no account")?.parse()?;
        sum += nanoseconds;
    }
    Ok(Duration::from_nanos(sum))
}

fn stripped_bytes(binary: &Path) -> anyhow::Result<f64> {
    let place = tempfile::tempdir()?;
    let copy = place.path().join("skein");
    let stripped = Command::new("strip").arg("-o").arg(&copy).arg(binary).status();
    anyhow::ensure!(stripped.is_ok_and(|status| status.success()), "`strip` of the C compiler's binutils is needed");
    #[expect(clippy::cast_precision_loss, reason = "a size to two places")]
    Ok(std::fs::metadata(copy)?.len() as f64)
}

//! `skein demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::Common;
use crate::cli::output::{Output, Show, table};
use crate::demo::{self, Options, Report};

/// What `skein demo` takes.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many tasks to stream at least; the stream goes on until both kills are over
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(40..=1_000_000))]
    tasks: u64,
    /// Directory with the model and the pictures [default: `material` here, above, or beside the program]
    #[arg(long, env = "SKEIN_MATERIAL", value_name = "DIR")]
    material: Option<PathBuf>,
}

pub(crate) async fn run(common: &Common, arguments: DemoArgs) -> anyhow::Result<ExitCode> {
    let options =
        Options { tasks: arguments.tasks, material: arguments.material, progress: common.output() == Output::Table };
    let report = demo::run(options).await?;
    common.output().show(&report)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Show for Report {
    fn table(&self) -> String {
        let seen = self.pictures.iter().map(|seen| {
            let right = format!("{} of {}", seen.right, seen.answers);
            [seen.file.clone(), seen.label.clone(), format!("{:.2}", seen.score), right]
        });
        let nodes = self.tasks_by_node.iter().map(|(node, tasks)| {
            let fate = match self.killed.iter().position(|name| name == node) {
                Some(0) => "held a worker; killed half way, started again",
                Some(_) => "led; killed later",
                None => "-",
            };
            [node.clone(), tasks.to_string(), fate.to_owned()]
        });
        let kill = |gap: f64, whole: f64| [format!("{gap:.0} ms"), format!("{whole:.0} ms")];
        let [gap, whole] = kill(self.gap_worker_ms, self.whole_again_worker_ms);
        let [leader_gap, leader_whole] = kill(self.gap_leader_ms, self.whole_again_leader_ms);
        let kills = vec![
            [format!("{} (worker)", self.killed[0]), gap, whole, "-".into()],
            [format!("{} (leader)", self.killed[1]), leader_gap, leader_whole, format!("{:.0} ms", self.election_ms)],
        ];
        format!(
            "{}\n{}\n{}\nLatency: p50 {:.1} ms, p99 {:.1} ms (in the worker p50 {:.1} ms); usual gap between results {:.1} ms\n\
             Ledger:  submitted {} = done {}; failed {}, lost {}, delivered twice {}, wrong {}; run again {}\n\n{}",
            table(["PICTURE", "RECOGNISED", "SCORE", "RIGHT"], seen.collect()),
            table(["NODE", "TASKS", "FATE"], nodes.collect()),
            table(["KILLED", "LONGEST GAP", "WORKERS AGAIN", "NEW LEADER"], kills),
            self.p50_ms,
            self.p99_ms,
            self.run_p50_ms,
            self.usual_gap_ms,
            self.submitted,
            self.done,
            self.failed,
            self.lost,
            self.duplicates,
            self.wrong,
            self.repeated,
            if self.ok { "The ledger balances and every answer is right." } else { "NOT as it should be: see above." },
        )
    }

    fn quiet(&self) -> String {
        if self.ok { "ok".into() } else { "failed".into() }
    }
}

//! `skein demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::Common;
use crate::cli::output::{Output, Show};
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
        self.text()
    }

    fn quiet(&self) -> String {
        if self.ok { "ok".into() } else { "failed".into() }
    }
}

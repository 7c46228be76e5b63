//! `skein agent`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::agent;
use crate::config::{Config, Settings};

/// What `skein agent` takes.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    settings: Settings,
    /// Settings file [default: ./skein.toml or /etc/skein/skein.toml, where there is one]
    #[arg(long, env = "SKEIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// End when the process that started this one ends
    #[arg(long, hide = true)]
    end_with_parent: bool,
    /// Take what lies here for this machine's `/proc`, `/sys` and the rest: for tests with a recorded machine
    #[arg(long, hide = true, value_name = "PATH", default_value = "/")]
    root: PathBuf,
}

pub(crate) async fn run(arguments: AgentArgs) -> anyhow::Result<ExitCode> {
    if arguments.end_with_parent {
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    let config = Config { root: arguments.root, ..arguments.settings.resolve(arguments.config.as_deref())? };
    agent::run(config).await?;
    Ok(ExitCode::SUCCESS)
}

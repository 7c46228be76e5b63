//! The command line: a file per noun.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::client::Client;
use crate::config::LISTEN;
use crate::worker::program::become_program;
use output::Output;

mod agent;
mod amounts;
mod coordinator;
mod demo;
mod device;
mod events;
mod explain;
mod find;
mod model;
mod node;
mod output;
mod plan;
mod policy;
mod run;
mod session;
mod task;

/// What is logged unless a person asks for something else. openraft reports every message that an absent node does not
/// answer, ten times a second; that the node is down is in our own log.
const LOG_DEFAULT: &str = "warn,openraft=off,skein_agent=info,skein_raft=info";

/// An edge-first mesh that runs AI inference on whatever machines a site has.
#[derive(Debug, Parser)]
#[command(name = "skein", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Agent to talk to; several are tried in turn
    #[arg(long, env = "SKEIN_ADDRESS", global = true, value_name = "ADDRESS:PORT", value_delimiter = ',',
          default_values_t = [LISTEN])]
    address: Vec<SocketAddr>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    json: bool,
    /// Print only what a script needs, such as the new session's number
    #[arg(long, short, global = true, conflicts_with = "json")]
    quiet: bool,
    /// What to log to standard error, as in `debug` or `warn,skein_agent=debug`
    #[arg(long, env = "SKEIN_LOG", global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run this machine's part of a mesh
    Agent(Box<agent::AgentArgs>),
    /// Show the nodes of the mesh, and take them out of placement
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Show devices: the processors, GPUs and sticks that models run on
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Show the coordinator's seats and move them: who votes, who leads
    #[command(subcommand)]
    Coordinator(coordinator::CoordinatorCommand),
    /// Add and list models
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Open, show and end sessions: claims on the mesh for one model
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Show what would happen if a session were opened, whom it would displace included; nothing changes
    Plan(Box<session::claim::ClaimArgs>),
    /// Explain why a session waits, or a worker stands where it stands
    #[command(subcommand)]
    Explain(explain::ExplainCommand),
    /// Show the policy that orders the mesh's sessions, or set another
    Policy {
        #[command(subcommand)]
        command: Option<policy::PolicyCommand>,
    },
    /// Show what happened in the mesh, and why
    Events(events::EventsArgs),
    /// Send pictures to a session and show what its model sees in them
    Run(run::RunArgs),
    /// Show durable tasks, and fetch what became of them
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Show it all on this machine: three agents, a real model, two kills, and the account
    Demo(demo::DemoArgs),
    /// Run a worker on standard input and output; agents start it
    #[command(hide = true)]
    Worker {
        /// Become this program, with all arguments that follow, in place of a worker
        #[arg(long = "become", num_args = 1.., allow_hyphen_values = true, value_name = "PROGRAM")]
        becomes: Vec<OsString>,
    },
}

impl Common {
    async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.address).await?)
    }

    fn output(&self) -> Output {
        match (self.json, self.quiet) {
            (true, _) => Output::Json,
            (false, true) => Output::Quiet,
            (false, false) => Output::Table,
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    if let Command::Worker { becomes } = &cli.command {
        if !becomes.is_empty() {
            let program = becomes[0].to_string_lossy().into_owned();
            return finish(Err(anyhow::Error::new(become_program(becomes)).context(format!("cannot run {program}"))));
        }
        return finish(crate::worker::child::run().map(|()| ExitCode::SUCCESS).map_err(Into::into));
    }
    if let Err(error) = start_log(cli.common.log.as_deref()) {
        return finish(Err(error));
    }
    // One thread: a task on its way through an agent crosses several async tasks, and handing it from one thread to another each
    // time costs more than a second core gains; what is heavy runs in worker processes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    finish(match runtime {
        Ok(runtime) => runtime.block_on(execute(cli)),
        Err(error) => Err(anyhow::Error::new(error).context("cannot start the async runtime")),
    })
}

async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let common = cli.common;
    match cli.command {
        Command::Agent(arguments) => agent::run(*arguments).await,
        Command::Node(command) => node::run(&common, command).await,
        Command::Device(command) => device::run(&common, command).await,
        Command::Coordinator(command) => coordinator::run(&common, command).await,
        Command::Model(command) => model::run(&common, command).await,
        Command::Session(command) => session::run(&common, command).await,
        Command::Plan(claim) => plan::run(&common, *claim).await,
        Command::Explain(command) => explain::run(&common, command).await,
        Command::Policy { command } => policy::run(&common, command).await,
        Command::Events(arguments) => events::run(&common, arguments).await,
        Command::Run(arguments) => run::run(&common, arguments).await,
        Command::Task(command) => task::run(&common, command).await,
        Command::Demo(arguments) => demo::run(&common, arguments).await,
        Command::Worker { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn start_log(filter: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(LOG_DEFAULT))
        .map_err(|error| anyhow::anyhow!("--log is no filter ({error}); write it as in warn,skein_agent=debug"))?;
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_target(false).with_ansi(colours).init();
    Ok(())
}

#[expect(clippy::print_stderr, reason = "this is where every error ends")]
fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("skein: {}", chain(&error));
        ExitCode::FAILURE
    })
}

/// An error and its causes, without those whose text the error before them holds already.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}

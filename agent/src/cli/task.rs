//! `skein task`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use skein_core::{Sequence, StreamId};

use crate::api::{Answer, Request, TaskStatus};
use crate::cli::Common;
use crate::cli::amounts::time;
use crate::cli::output::{Show, table};
use crate::cli::run::held::Held;
use crate::cli::run::row::{Told, node_names};
use crate::cli::run::row_of;
use crate::client::{Client, DurableNews, DurableTasks};

/// What `skein task` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Show the streams of durable tasks, or one
    Status {
        /// The stream's name
        stream: Option<StreamId>,
    },
    /// Show what became of a stream's tasks, and have the mesh forget it
    Fetch {
        /// The stream's name
        stream: StreamId,
        /// Wait for tasks that have not ended
        #[arg(long)]
        wait: bool,
    },
}

pub(crate) async fn run(common: &Common, command: TaskCommand) -> anyhow::Result<ExitCode> {
    let mut client = common.connect().await?;
    match command {
        TaskCommand::Status { stream } => {
            common.output().show(&status(&client, stream).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        TaskCommand::Fetch { stream, wait } => {
            client.learn_addresses().await?;
            fetch(common, client, stream, wait).await
        }
    }
}

async fn status(client: &Client, stream: Option<StreamId>) -> anyhow::Result<Vec<TaskStatus>> {
    match client.ask(Request::TaskStatus(stream)).await? {
        Answer::Tasks(tasks) => Ok(tasks),
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
}

/// Shows the ends that are kept, and, where they are waited for, those still to come.
async fn fetch(common: &Common, client: Client, stream: StreamId, wait: bool) -> anyhow::Result<ExitCode> {
    let names = node_names(&client).await?;
    let Some(known) = status(&client, Some(stream)).await?.pop() else {
        bail!("the agent gave an answer that does not fit the question");
    };
    let expected = if wait { known.kept + known.pending } else { known.kept };
    let mut tasks = DurableTasks::resume(client, stream).await?;
    let mut told = Told::new(common.output());
    let mut held = Held::default();
    while told.count() < expected {
        let DurableNews::Ended(head, _) = tasks.news().await? else { continue };
        let sequence: Sequence = head.sequence;
        if held.has(sequence) {
            continue;
        }
        let place = usize::try_from(sequence.0).unwrap_or(usize::MAX);
        told.tell(place, row_of(head, None))?;
        held.take(sequence, &mut tasks, &mut told, &names).await?;
    }
    held.show(&mut tasks, &mut told, &names).await?;
    if known.pending == 0 || wait {
        tasks.close().await?;
    } else {
        tell_pending(known.pending);
    }
    told.finish(&names)
}

#[expect(clippy::print_stderr, reason = "a word to whoever looks")]
fn tell_pending(count: usize) {
    eprintln!("skein: {count} tasks have not ended yet; --wait waits for them");
}

impl Show for Vec<TaskStatus> {
    fn table(&self) -> String {
        let row = |task: &TaskStatus| {
            let kept = match task.expires {
                Some(expires) if task.kept > 0 => format!("{} until {}", task.kept, time(expires)),
                _ => task.kept.to_string(),
            };
            [
                task.stream.to_string(),
                task.session.to_string(),
                task.gateway_name.clone(),
                task.account.accepted.to_string(),
                task.pending.to_string(),
                task.account.done.to_string(),
                task.account.failed.to_string(),
                kept,
            ]
        };
        let headings = ["STREAM", "SESSION", "GATEWAY", "ACCEPTED", "PENDING", "DONE", "FAILED", "KEPT"];
        table(headings, self.iter().map(row).collect())
    }

    fn quiet(&self) -> String {
        self.iter().map(|task| task.stream.to_string() + "\n").collect()
    }
}

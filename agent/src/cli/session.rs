//! `skein session`.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use skein_core::model::ModelQuery;
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerStatus;
use skein_core::{Resources, SessionId};
use skein_targets::TargetKind;

use crate::api::{Answer, Change, Request, SessionStatus};
use crate::cli::Common;
use crate::cli::output::{Show, table};
use crate::client::{ClientError, random};

/// What `skein session` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Open a session: its fixed workers are started, and their model loaded, before any task comes
    Create(CreateArgs),
    /// Show the open sessions, or one with its workers
    Status {
        /// The session's number
        session: Option<SessionId>,
    },
    /// End a session and its workers
    End {
        /// The session's number
        session: SessionId,
    },
}

/// What `skein session create` takes.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The model: NAME for its newest version, NAME@2 for one
    #[arg(long)]
    model: ModelQuery,
    /// How many workers to keep ready
    #[arg(long, default_value_t = 1, value_name = "WORKERS")]
    fixed: u32,
    /// What one worker needs of the processor, in thousandths of a core
    #[arg(long, default_value_t = 1000, value_name = "MILLICORES")]
    cpu: u64,
    /// What one worker needs of memory, in MiB
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    memory: u64,
    /// How to run the model
    #[arg(long, default_value_t = TargetKind::Tract)]
    target: TargetKind,
}

/// What `skein session create` and `end` show.
#[derive(Debug, Serialize)]
struct Word {
    session: SessionId,
    state: &'static str,
}

pub(crate) async fn run(common: &Common, command: SessionCommand) -> anyhow::Result<ExitCode> {
    let client = common.connect().await?;
    let request = match command {
        SessionCommand::Create(arguments) => Request::Change(Change::SessionCreate(arguments.spec()?)),
        SessionCommand::Status { session } => Request::SessionStatus(session),
        SessionCommand::End { session } => Request::Change(Change::SessionEnd(session)),
    };
    match client.ask(request).await? {
        Answer::Created(session) => common.output().show(&Word { session, state: "open" })?,
        Answer::Ended(session) => common.output().show(&Word { session, state: "ended" })?,
        Answer::Sessions(sessions) => common.output().show(&sessions)?,
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
    Ok(ExitCode::SUCCESS)
}

impl CreateArgs {
    fn spec(self) -> Result<SessionSpec, ClientError> {
        let memory_bytes = self.memory.saturating_mul(1 << 20);
        Ok(SessionSpec {
            model: self.model,
            fixed: self.fixed,
            need: Resources { cpu_millicores: self.cpu, memory_bytes, ..Resources::default() },
            target: self.target.name().into(),
            claim: Some(random()?),
        })
    }
}

impl Show for Word {
    fn table(&self) -> String {
        format!("Session {} is {}", self.session, self.state)
    }

    fn quiet(&self) -> String {
        self.session.to_string()
    }
}

impl Show for Vec<SessionStatus> {
    fn table(&self) -> String {
        match self.as_slice() {
            [] => "No session is open: open one with `skein session create --model NAME`.".into(),
            [one] => overview(self) + "\n" + &details(one),
            _ => overview(self),
        }
    }

    fn quiet(&self) -> String {
        self.iter().map(|session| format!("{}\n", session.session)).collect()
    }
}

fn overview(sessions: &[SessionStatus]) -> String {
    let row = |session: &SessionStatus| {
        let ready = session.workers.iter().filter(|worker| worker.status == WorkerStatus::Ready).count();
        [
            session.session.to_string(),
            session.model.to_string(),
            session.target.clone(),
            format!("{ready} of {}", session.fixed),
            format!("{}m cpu, {} MiB", session.need.cpu_millicores, session.need.memory_bytes >> 20),
        ]
    };
    table(["SESSION", "MODEL", "TARGET", "READY", "EACH NEEDS"], sessions.iter().map(row).collect())
}

fn details(session: &SessionStatus) -> String {
    let rows = session.workers.iter().map(|worker| {
        [worker.worker.to_string(), worker.node_name.clone(), worker.device.clone(), worker.status.to_string()]
    });
    let mut text = table(["WORKER", "NODE", "DEVICE", "STATE"], rows.collect());
    for reason in &session.waiting_for {
        text += &format!("no worker on {reason}\n");
    }
    for (node, failure) in &session.failures {
        text += &format!("failed {} times in a row on node {node}: {}\n", failure.times, failure.reason);
    }
    text
}

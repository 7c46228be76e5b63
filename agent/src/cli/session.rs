//! `skein session`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;
use skein_core::SessionId;
use skein_core::session::SessionSpec;

use crate::api::{Answer, Change, Request};
use crate::cli::output::Show;
use crate::cli::{Common, find};
use crate::client::{Client, random};
use claim::ClaimArgs;

pub(crate) mod claim;
pub(crate) mod show;

/// What `skein session` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// Open a session: its fixed workers are started, and their model loaded, before any task comes
    Create(Box<ClaimArgs>),
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

/// What `skein session create` and `end` show.
#[derive(Debug, Serialize)]
struct Word {
    session: SessionId,
    state: &'static str,
}

pub(crate) async fn run(common: &Common, command: SessionCommand) -> anyhow::Result<ExitCode> {
    let (client, request) = match command {
        SessionCommand::Create(claim) => {
            let (client, spec) = asked_for(common, *claim).await?;
            // Asked again because no answer came, the mesh still makes one session.
            let spec = SessionSpec { claim: Some(random()?), ..spec };
            (client, Request::Change(Change::SessionCreate(spec)))
        }
        SessionCommand::Status { session } => (common.connect().await?, Request::SessionStatus(session)),
        SessionCommand::End { session } => (common.connect().await?, Request::Change(Change::SessionEnd(session))),
    };
    match client.ask(request).await? {
        Answer::Created(session) => common.output().show(&Word { session, state: "open" })?,
        Answer::Ended(session) => common.output().show(&Word { session, state: "ended" })?,
        Answer::Sessions(sessions) => common.output().show(&sessions)?,
        _ => bail!("the agent gave an answer that does not fit the question"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The session that the flags and the file ask for, and who to ask. What is wrong with them is said before anybody is asked.
pub(crate) async fn asked_for(common: &Common, claim: ClaimArgs) -> anyhow::Result<(Client, SessionSpec)> {
    let asked = claim.read()?;
    if !asked.names_a_node() {
        let spec = asked.spec(&[])?;
        return Ok((common.connect().await?, spec));
    }
    let client = common.connect().await?;
    let mesh = find::mesh(&client).await?;
    Ok((client, asked.spec(&mesh.nodes)?))
}

impl Show for Word {
    fn table(&self) -> String {
        format!("Session {} is {}", self.session, self.state)
    }

    fn quiet(&self) -> String {
        self.session.to_string()
    }
}

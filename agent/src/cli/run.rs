//! `skein run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use skein_core::durable::KEEP_MAX;
use skein_core::session::{PRIORITY_DEFAULT, PRIORITY_MAX};
use skein_core::{Millis, Sequence, SessionId};
use tokio::time::{Instant, sleep};

use crate::api::{Answer, Request};
use crate::cli::Common;
use crate::client::{Order, TaskResult, TaskStream};
use crate::frame::PAYLOAD_BYTES_MAX;
use crate::worker::protocol::InputKind;
use files::Files;
use row::{End, Row, Told, node_names};

mod durable;
mod files;
pub(crate) mod held;
pub(crate) mod row;

pub(crate) use durable::row as row_of;

/// Tasks under way at once: enough for a few quick workers, few enough that files are not read long before their turn.
const UNDER_WAY_MAX: usize = 32;
/// When a person is told why nothing comes.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// How often it is told again: a person who looks again sees that it still waits, and a log is not filled.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// What `skein run` takes.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The session's number
    session: SessionId,
    /// 0 to 100; of the tasks that wait in the session, higher ones go first
    #[arg(long, default_value_t = PRIORITY_DEFAULT, value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_MAX)))]
    priority: u8,
    /// Have the mesh promise the tasks: once accepted, they outlive this command, its agent and a power cut
    #[arg(long)]
    durable: bool,
    /// How long the mesh keeps what became of durable tasks if nobody fetches it
    #[arg(long, requires = "durable", value_name = "TIME", default_value = "24h", value_parser = keep_time)]
    keep: Millis,
    /// Return when the durable tasks are accepted, and fetch what became of them later
    #[arg(long, requires = "durable")]
    detach: bool,
    /// Pictures, PNG or JPEG; a lone `-` takes their names from standard input, a line each, until it ends
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(common: &Common, arguments: RunArgs) -> anyhow::Result<ExitCode> {
    if arguments.durable {
        return durable::run(common, arguments).await;
    }
    let mut client = common.connect().await?;
    client.learn_addresses().await?;
    let names = node_names(&client).await?;
    let mut stream = TaskStream::open(client, arguments.session, Order::Kept).await?;
    stream.set_priority(arguments.priority);
    let mut files = Files::of(arguments.files);
    // What was sent and has no answer yet.
    let mut sent: BTreeMap<Sequence, (usize, PathBuf)> = BTreeMap::new();
    let mut told = Told::new(common.output());
    let mut taken = 0;
    loop {
        while stream.pending() < UNDER_WAY_MAX {
            let next = if stream.pending() == 0 { files.next().await } else { files.known() };
            let Some(file) = next else { break };
            let place = taken;
            taken += 1;
            match read(&file).await {
                Ok(payload) => {
                    sent.insert(stream.submit(InputKind::Picture, payload).await?, (place, file));
                }
                Err(error) => told.tell(place, Row::failed(file.display().to_string(), error))?,
            }
        }
        let Some(result) = next_or_tell(common, &mut stream, arguments.session).await? else { break };
        let (place, file) = sent.remove(&result.sequence).context("a result came for a task that was not sent")?;
        let end = End {
            attempt: result.attempt,
            history: result.history,
            worker: result.worker,
            ran: result.ran,
            latency: Some(result.latency),
            result: result.result,
        };
        told.tell(place, Row::of(file.display().to_string(), end))?;
    }
    told.finish(&names)
}

async fn read(file: &Path) -> Result<Bytes, String> {
    let size = tokio::fs::metadata(file).await.map_err(|error| format!("cannot read the file: {error}"))?.len();
    if size > PAYLOAD_BYTES_MAX as u64 {
        return Err(format!("the file has {} MiB; a picture may have {}", size >> 20, PAYLOAD_BYTES_MAX >> 20));
    }
    tokio::fs::read(file).await.map(Bytes::from).map_err(|error| format!("cannot read the file: {error}"))
}

fn keep_time(text: &str) -> Result<Millis, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as in 90m or 24h"))?;
    match u64::try_from(time.as_millis()) {
        Ok(millis) if millis <= KEEP_MAX.0 => Ok(Millis(millis)),
        _ => Err("the mesh keeps them for 30 days at most".into()),
    }
}

#[expect(clippy::print_stderr, reason = "a word to whoever waits")]
async fn next_or_tell(
    common: &Common,
    stream: &mut TaskStream,
    session: SessionId,
) -> anyhow::Result<Option<TaskResult>> {
    let next = stream.next();
    tokio::pin!(next);
    tokio::select! {
        result = &mut next => return Ok(result?),
        () = sleep(TELL_AFTER) => {}
    }
    let begin = Instant::now();
    loop {
        let so_far = (TELL_AFTER + begin.elapsed()).as_secs();
        eprintln!("skein: no result for {so_far} s; {}", why_none(common, session).await);
        tokio::select! {
            result = &mut next => return Ok(result?),
            () = sleep(TELL_EVERY) => {}
        }
    }
}

/// Why a session has no result yet, as far as that can be seen.
async fn why_none(common: &Common, session: SessionId) -> String {
    let asked = async {
        let client = common.connect().await?;
        Ok::<_, anyhow::Error>(client.ask(Request::SessionStatus(Some(session))).await?)
    };
    match asked.await {
        Ok(Answer::Sessions(sessions)) => match &sessions[..] {
            [status] if status.serving == 0 => {
                let why = status.never_fits.as_ref().or(status.waiting_for.first());
                let why = why.map_or(String::new(), |why| format!(": {why}"));
                format!("session {session} has no worker now{why} (`skein session status {session}` says more)")
            }
            [status] => format!("session {session} has {} workers, which are starting or at work", status.serving),
            _ => format!("session {session} is not open any more"),
        },
        Ok(_) => "the agent gave an answer that does not fit the question".into(),
        Err(error) => format!("and why cannot be learnt: {error:#}"),
    }
}

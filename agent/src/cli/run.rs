//! `skein run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use skein_core::session::{PRIORITY_DEFAULT, PRIORITY_MAX};
use skein_core::{NodeId, Sequence, SessionId, WorkerId};
use skein_targets::Class;
use tokio::time::sleep;

use crate::api::{Answer, Request};
use crate::cli::Common;
use crate::cli::output::{Output, json_line, print, table};
use crate::client::{Client, Order, TaskResult, TaskStream};
use crate::frame::PAYLOAD_BYTES_MAX;
use crate::worker::protocol::{AnswerKind, InputKind};

/// Tasks under way at once: enough for a few quick workers, few enough that files are not read long before their turn.
const UNDER_WAY_MAX: usize = 32;
/// When a person is told why nothing comes.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// What `skein run` takes.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The session's number
    session: SessionId,
    /// 0 to 100; of the tasks that wait in the session, higher ones go first
    #[arg(long, default_value_t = PRIORITY_DEFAULT, value_parser = clap::value_parser!(u8).range(0..=i64::from(PRIORITY_MAX)))]
    priority: u8,
    /// Pictures, PNG or JPEG
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// One file's end.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<WorkerId>,
    attempt: u32,
    /// From submission to result.
    latency_ms: f64,
    /// In the worker.
    run_ms: f64,
}

pub(crate) async fn run(common: &Common, arguments: RunArgs) -> anyhow::Result<ExitCode> {
    let mut client = common.connect().await?;
    client.learn_addresses().await?;
    let names = node_names(&client).await?;
    let mut stream = TaskStream::open(client, arguments.session, Order::Kept).await?;
    stream.set_priority(arguments.priority);
    let mut files = arguments.files.iter().enumerate();
    // Which file each task is, by its place on the command line.
    let mut sent: BTreeMap<Sequence, usize> = BTreeMap::new();
    let mut rows = BTreeMap::new();
    let output = common.output();
    loop {
        while stream.pending() < UNDER_WAY_MAX {
            let Some((place, file)) = files.next() else { break };
            match read(file).await {
                Ok(payload) => {
                    sent.insert(stream.submit(InputKind::Picture, payload).await?, place);
                }
                Err(error) => keep(output, &mut rows, place, Row::failed(file, error))?,
            }
        }
        let Some(result) = next_or_tell(&mut stream, arguments.session).await? else { break };
        let place = sent.remove(&result.sequence).context("a result came for a task that was not sent")?;
        keep(output, &mut rows, place, Row::of(&arguments.files[place], result))?;
    }
    let rows: Vec<Row> = rows.into_values().collect();
    match output {
        Output::Table => print(&as_table(&rows, &names))?,
        Output::Quiet => print(&rows.iter().map(Row::best).collect::<String>())?,
        Output::Json => {}
    }
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    if failed > 0 {
        bail!("{failed} of {} files have no answer", rows.len());
    }
    Ok(ExitCode::SUCCESS)
}

async fn node_names(client: &Client) -> anyhow::Result<BTreeMap<NodeId, String>> {
    let Answer::Nodes(mesh) = client.ask(Request::NodeStatus).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    Ok(mesh.nodes.into_iter().map(|node| (node.node, node.name)).collect())
}

/// JSON goes out line by line as it comes; a table needs all of its rows.
fn keep(output: Output, rows: &mut BTreeMap<usize, Row>, place: usize, row: Row) -> anyhow::Result<()> {
    if output == Output::Json {
        json_line(&row)?;
    }
    rows.insert(place, row);
    Ok(())
}

async fn read(file: &Path) -> Result<Bytes, String> {
    let size = tokio::fs::metadata(file).await.map_err(|error| format!("cannot read the file: {error}"))?.len();
    if size > PAYLOAD_BYTES_MAX as u64 {
        return Err(format!("the file has {} MiB; a picture may have {}", size >> 20, PAYLOAD_BYTES_MAX >> 20));
    }
    tokio::fs::read(file).await.map(Bytes::from).map_err(|error| format!("cannot read the file: {error}"))
}

#[expect(clippy::print_stderr, reason = "a word to whoever waits")]
async fn next_or_tell(stream: &mut TaskStream, session: SessionId) -> anyhow::Result<Option<TaskResult>> {
    let next = stream.next();
    tokio::pin!(next);
    tokio::select! {
        result = &mut next => return Ok(result?),
        () = sleep(TELL_AFTER) => {}
    }
    eprintln!("skein: no result yet; `skein session status {session}` shows whether the session has workers");
    Ok(next.await?)
}

impl Row {
    fn failed(file: &Path, error: String) -> Self {
        Self {
            file: file.display().to_string(),
            classes: Vec::new(),
            error: Some(error),
            node: None,
            worker: None,
            attempt: 0,
            latency_ms: 0.0,
            run_ms: 0.0,
        }
    }

    fn of(file: &Path, result: TaskResult) -> Self {
        let (classes, error) = match result.result {
            Ok(AnswerKind::Classes(classes)) => (classes, None),
            Ok(AnswerKind::Tensors(_)) => {
                let why = "the model gives tensors, no classes: give it a manifest that says what they mean";
                (Vec::new(), Some(why.into()))
            }
            Err(error) => (Vec::new(), Some(error)),
        };
        Self {
            classes,
            error,
            node: result.worker.map(|(_, node)| node),
            worker: result.worker.map(|(worker, _)| worker),
            attempt: result.attempt,
            latency_ms: result.latency.as_secs_f64() * 1e3,
            run_ms: result.ran.as_secs_f64() * 1e3,
            ..Self::failed(file, String::new())
        }
    }

    /// The one word that matters, on its line.
    fn best(&self) -> String {
        self.classes.first().map_or("-", |best| best.label.as_str()).to_owned() + "\n"
    }
}

fn as_table(rows: &[Row], names: &BTreeMap<NodeId, String>) -> String {
    let row = |row: &Row| {
        let (answer, score) = match (&row.error, row.classes.first()) {
            (Some(error), _) => (format!("ERROR: {error}"), "-".into()),
            (None, Some(best)) => (best.label.clone(), format!("{:.2}", best.score)),
            (None, None) => ("-".into(), "-".into()),
        };
        let node = row.node.map_or("-".into(), |node| names.get(&node).cloned().unwrap_or_else(|| node.to_string()));
        [row.file.clone(), answer, score, node, format!("{:.1}", row.latency_ms)]
    };
    table(["FILE", "ANSWER", "SCORE", "NODE", "MS"], rows.iter().map(row).collect())
}

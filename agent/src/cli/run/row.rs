//! One task's end as the command line shows it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use skein_core::dispatch::history::FailedAttempt;
use skein_core::{NodeId, WorkerId};
use skein_targets::Class;

use crate::api::{Answer, Request};
use crate::cli::output::{Output, json_line, print, table};
use crate::client::Client;
use crate::worker::protocol::AnswerKind;

/// One file's end.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
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
    /// What failed before, and at what workers died.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<FailedAttempt>,
    /// From submission to result, where that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    /// In the worker.
    run_ms: f64,
}

/// How a task ended, by whichever way it came.
pub(crate) struct End {
    pub(crate) attempt: u32,
    /// What failed before.
    pub(crate) history: Vec<FailedAttempt>,
    pub(crate) worker: Option<(WorkerId, NodeId)>,
    pub(crate) ran: Duration,
    /// From submission to result, where that was seen.
    pub(crate) latency: Option<Duration>,
    pub(crate) result: Result<AnswerKind, String>,
}

/// What nodes are called.
pub(crate) type Names = BTreeMap<NodeId, String>;

pub(crate) async fn node_names(client: &Client) -> anyhow::Result<Names> {
    let Answer::Nodes(mesh) = client.ask(Request::NodeStatus).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    Ok(mesh.nodes.into_iter().map(|node| (node.node, node.name)).collect())
}

/// The ends of tasks, as they come.
pub(crate) struct Told {
    pub(crate) output: Output,
    /// By their place; those that were printed already are not kept.
    rows: BTreeMap<usize, Row>,
    /// Whether some were printed.
    is_begun: bool,
    count: usize,
    /// The file of the first that failed, and what is wrong with it.
    failed: Option<String>,
    failed_count: usize,
}

impl Told {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, rows: BTreeMap::new(), is_begun: false, count: 0, failed: None, failed_count: 0 }
    }

    /// JSON goes out line by line as it comes; a table needs all of its rows.
    pub(crate) fn tell(&mut self, place: usize, row: Row) -> anyhow::Result<()> {
        self.count += 1;
        if let Some(error) = &row.error {
            self.failed_count += 1;
            self.failed.get_or_insert_with(|| format!("{}: {error}", row.file));
        }
        if self.output == Output::Json {
            return json_line(&row);
        }
        self.rows.insert(place, row);
        Ok(())
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// How many failed, and what is wrong with the first of them.
    pub(crate) fn failed(&self) -> Option<(usize, &str)> {
        self.failed.as_deref().map(|first| (self.failed_count, first))
    }

    /// Shows those that were not printed yet, in the order of their places.
    pub(crate) fn show(&mut self, names: &Names) -> anyhow::Result<()> {
        let rows: Vec<Row> = std::mem::take(&mut self.rows).into_values().collect();
        if rows.is_empty() && self.is_begun {
            return Ok(());
        }
        self.is_begun = true;
        match self.output {
            Output::Table => print(&as_table(&rows, names)),
            Output::Quiet => print(&rows.iter().map(Row::best).collect::<String>()),
            Output::Json => Ok(()),
        }
    }

    /// Shows all of them. An error where some have no answer.
    pub(crate) fn finish(mut self, names: &Names) -> anyhow::Result<ExitCode> {
        self.show(names)?;
        if self.failed_count > 0 {
            bail!("{} of {} tasks have no answer", self.failed_count, self.count);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Row {
    pub(crate) fn failed(file: String, error: String) -> Self {
        Self {
            file,
            classes: Vec::new(),
            error: Some(error),
            node: None,
            worker: None,
            attempt: 0,
            attempts: Vec::new(),
            latency_ms: None,
            run_ms: 0.0,
        }
    }

    pub(crate) fn of(file: String, end: End) -> Self {
        let (classes, error) = match end.result {
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
            node: end.worker.map(|(_, node)| node),
            worker: end.worker.map(|(worker, _)| worker),
            attempt: end.attempt,
            attempts: end.history,
            latency_ms: end.latency.map(|latency| latency.as_secs_f64() * 1e3),
            run_ms: end.ran.as_secs_f64() * 1e3,
            ..Self::failed(file, String::new())
        }
    }

    /// The one word that matters, on its line.
    fn best(&self) -> String {
        self.classes.first().map_or("-", |best| best.label.as_str()).to_owned() + "\n"
    }
}

fn as_table(rows: &[Row], names: &Names) -> String {
    let row = |row: &Row| {
        let (answer, score) = match (&row.error, row.classes.first()) {
            (Some(error), _) => (format!("ERROR: {error}"), "-".into()),
            (None, Some(best)) => (best.label.clone(), format!("{:.2}", best.score)),
            (None, None) => ("-".into(), "-".into()),
        };
        let node = row.node.map_or("-".into(), |node| names.get(&node).cloned().unwrap_or_else(|| node.to_string()));
        let latency = row.latency_ms.map_or("-".into(), |latency| format!("{latency:.1}"));
        [row.file.clone(), answer, score, node, latency]
    };
    table(["FILE", "ANSWER", "SCORE", "NODE", "MS"], rows.iter().map(row).collect())
}

//! What the demo found, as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::client::TaskResult;
use crate::demo::kills::{Kill, Kills};
use crate::demo::material::{Material, Picture};
use crate::demo::stream::Record;
use crate::worker::protocol::AnswerKind;

/// The demo's account.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether every task has one right answer.
    pub ok: bool,
    /// Tasks sent.
    pub submitted: u64,
    /// Tasks with an answer.
    pub done: u64,
    /// Tasks that ended without one.
    pub failed: u64,
    /// Tasks of which nothing came back.
    pub lost: u64,
    /// Tasks that were delivered more than once.
    pub duplicates: u64,
    /// Tasks with a wrong answer.
    pub wrong: u64,
    /// Tasks that were tried more than once because a worker was lost.
    pub repeated: u64,
    /// Answers of old attempts that reached the client and were kept back.
    pub kept_back: u64,
    /// Median time from submission to result.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
    /// Median time in the worker: the bare model with decoding.
    pub run_p50_ms: f64,
    /// The longest silence of the ordered stream from the kill of a worker's node until the mesh was whole again.
    pub gap_worker_ms: f64,
    /// The same for the kill of the leader.
    pub gap_leader_ms: f64,
    /// Median time between two results when nothing happens, to read the gaps by.
    pub usual_gap_ms: f64,
    /// From the kill of a worker's node until all workers were ready again.
    pub whole_again_worker_ms: f64,
    /// The same for the kill of the leader.
    pub whole_again_leader_ms: f64,
    /// From the kill of the leader until there was another.
    pub election_ms: f64,
    /// From the first start until three agents were a mesh of three voters.
    pub formed_ms: f64,
    /// Results by node.
    pub tasks_by_node: BTreeMap<String, u64>,
    /// Who was killed: the worker's node, the leader.
    pub killed: [String; 2],
    /// What was seen in each picture.
    pub pictures: Vec<Seen>,
}

/// What was seen in one picture.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// The picture.
    pub file: String,
    /// The best class of its last answer.
    pub label: String,
    /// Its score.
    pub score: f32,
    /// What it should be.
    pub expected: String,
    /// Right answers of all.
    pub right: u64,
    /// Answers.
    pub answers: u64,
}

impl Report {
    pub(super) fn new(material: &Material, record: &Record, kills: &Kills, formed: Duration) -> Self {
        let results = || record.results.iter().map(|(_, result)| result);
        let distinct: BTreeSet<u64> = results().map(|result| result.sequence.0).collect();
        let done = results().filter(|result| result.result.is_ok()).count() as u64;
        let delivered = record.results.len() as u64;
        let pictures: Vec<Seen> =
            material.pictures.iter().enumerate().map(|(at, _)| seen(material, record, at)).collect();
        let answers: u64 = pictures.iter().map(|seen| seen.answers).sum();
        let right: u64 = pictures.iter().map(|seen| seen.right).sum();
        let latencies = results().map(|result| ms(result.latency)).collect();
        let runs = results().filter(|result| result.result.is_ok()).map(|result| ms(result.ran)).collect();
        let latencies = Sorted::new(latencies);
        let times: Vec<Instant> = record.results.iter().map(|(at, _)| *at).collect();
        let gaps = times.windows(2).map(|pair| ms(pair[1] - pair[0])).collect();
        let mut report = Self {
            ok: false,
            submitted: record.submitted,
            done,
            failed: delivered - done,
            lost: record.submitted - distinct.len() as u64,
            duplicates: delivered - distinct.len() as u64,
            wrong: answers - right,
            repeated: results().filter(|result| result.attempt > 1).count() as u64,
            kept_back: record.kept_back,
            p50_ms: latencies.percentile(50),
            p99_ms: latencies.percentile(99),
            run_p50_ms: Sorted::new(runs).percentile(50),
            gap_worker_ms: longest_gap(&times, &kills.worker),
            gap_leader_ms: longest_gap(&times, &kills.leader),
            usual_gap_ms: Sorted::new(gaps).percentile(50),
            whole_again_worker_ms: ms(kills.worker.whole - kills.worker.at),
            whole_again_leader_ms: ms(kills.leader.whole - kills.leader.at),
            election_ms: ms(kills.election),
            formed_ms: ms(formed),
            tasks_by_node: by_node(record, kills),
            killed: [kills.worker.name.clone(), kills.leader.name.clone()],
            pictures,
        };
        report.ok =
            report.submitted == report.done && report.failed + report.lost + report.duplicates + report.wrong == 0;
        report
    }
}

/// The pictures were sent round and round, so a task's number says which one it was.
fn seen(material: &Material, record: &Record, at: usize) -> Seen {
    let count = material.pictures.len() as u64;
    let picture = &material.pictures[at];
    let mine = || record.results.iter().filter(move |(_, result)| result.sequence.0 % count == at as u64);
    let best = |result: &TaskResult| match &result.result {
        Ok(AnswerKind::Classes(classes)) => classes.first().cloned(),
        _ => None,
    };
    let last = mine().last().and_then(|(_, result)| best(result));
    let answers = mine().filter(|(_, result)| result.result.is_ok());
    let right = answers
        .clone()
        .filter(|(_, result)| best(result).is_some_and(|best| is_right(material, picture, best.index, best.score)));
    Seen {
        file: picture.expected.file.clone(),
        label: last.as_ref().map_or("-".into(), |class| class.label.clone()),
        score: last.map_or(0.0, |class| class.score),
        expected: picture.expected.label.clone(),
        right: right.count() as u64,
        answers: answers.count() as u64,
    }
}

fn is_right(material: &Material, picture: &Picture, class: u32, score: f32) -> bool {
    class == picture.expected.class && (score - picture.expected.score).abs() <= material.score_tolerance
}

fn by_node(record: &Record, kills: &Kills) -> BTreeMap<String, u64> {
    let mut tasks: BTreeMap<String, u64> = kills.names.iter().map(|(_, name)| (name.clone(), 0)).collect();
    for (_, node) in record.results.iter().filter_map(|(_, result)| result.worker) {
        let name =
            kills.names.iter().find(|(id, _)| *id == node).map_or_else(|| node.to_string(), |(_, name)| name.clone());
        *tasks.entry(name).or_default() += 1;
    }
    tasks
}

/// The longest time between two results of which the later came after the kill and the earlier before all was whole.
fn longest_gap(times: &[Instant], kill: &Kill) -> f64 {
    let touched = times.windows(2).filter(|pair| pair[1] >= kill.at && pair[0] <= kill.whole);
    touched.map(|pair| ms(pair[1] - pair[0])).fold(0.0, f64::max)
}

fn ms(length: Duration) -> f64 {
    (length.as_secs_f64() * 1e5).round() / 1e2
}

struct Sorted(Vec<f64>);

impl Sorted {
    fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Nearest rank; zero where there is no value.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

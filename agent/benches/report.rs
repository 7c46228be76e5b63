//! How benchmarks tell their results: a table, or an object a line with `--json`.

use serde::Serialize;

/// One number.
#[derive(Debug, Serialize)]
pub(crate) struct Metric {
    #[serde(rename = "metric")]
    name: String,
    value: f64,
    unit: &'static str,
    goal: Option<f64>,
    #[serde(skip)]
    is_least: bool,
    ok: bool,
}

impl Metric {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value: (value * 100.0).round() / 100.0, unit, goal: None, is_least: false, ok: true }
    }

    /// It is well when it is at most this.
    #[allow(dead_code, reason = "not every benchmark has such a goal")]
    pub(crate) fn at_most(self, goal: f64) -> Self {
        Self { goal: Some(goal), ok: self.value <= goal, ..self }
    }

    /// It is well when it is at least this.
    #[allow(dead_code, reason = "not every benchmark has such a goal")]
    pub(crate) fn at_least(self, goal: f64) -> Self {
        Self { goal: Some(goal), is_least: true, ok: self.value >= goal, ..self }
    }
}

/// All numbers of a benchmark.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Metric>);

impl Report {
    pub(crate) fn add(&mut self, metric: Metric) {
        self.0.push(metric);
    }

    pub(crate) fn print(&self, bench: &str) {
        if std::env::args().any(|argument| argument == "--json") {
            for metric in &self.0 {
                let mut object = serde_json::json!(metric);
                object["bench"] = bench.into();
                println!("{object}");
            }
            return;
        }
        println!("| {bench} | value | unit | goal | |\n| --- | ---: | --- | ---: | --- |");
        for Metric { name, value, unit, goal, is_least, ok } in &self.0 {
            let sign = if *is_least { '≥' } else { '≤' };
            let goal_text = goal.map_or(String::new(), |goal| format!("{sign} {goal}"));
            let verdict = if goal.is_none() {
                ""
            } else if *ok {
                "met"
            } else {
                "missed"
            };
            println!("| {name} | {value} | {unit} | {goal_text} | {verdict} |");
        }
    }
}

/// The middle of several runs.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

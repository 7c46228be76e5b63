//! The demo as the README runs it, with every claim of its JSON checked.

use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::house::{self, House};

/// The demo takes seconds; on a loaded machine of one core it may take minutes. Past this it hangs.
const TIME_MAX: Duration = Duration::from_mins(5);

pub(crate) fn check(house: &House) -> Result<()> {
    // Built first, so that the limit is on the demo alone.
    house::run(house.cargo(&["build", "--release"]))?;
    let child = house.cargo(&["run", "--release", "--", "demo", "--json"]).stdout(Stdio::piped()).spawn()?;
    let id = child.id().to_string();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    let Ok(output) = receive.recv_timeout(TIME_MAX) else {
        // A plain TERM: the demo takes its agents along.
        house::run(house.program("kill", &[&id]))?;
        bail!("the demo was still running after {} s", TIME_MAX.as_secs());
    };
    let output = output?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.trim());
    ensure!(output.status.success(), "the demo ended with {}", output.status);
    verdict(&serde_json::from_str(&text).context("the demo's output is not one JSON object")?)
}

fn verdict(report: &Value) -> Result<()> {
    let number = |name: &str| report[name].as_f64().with_context(|| format!("the demo's JSON has no number `{name}`"));
    let (submitted, done) = (number("submitted")?, number("done")?);
    ensure!(submitted > 0.0 && (done - submitted).abs() < 0.5, "{submitted} submitted, but {done} done");
    for name in ["lost", "duplicates", "wrong"] {
        ensure!(number(name)? < 0.5, "the demo counts {} {name}", report[name]);
    }
    for name in ["p50_ms", "p99_ms", "gap_worker_ms", "gap_leader_ms"] {
        ensure!(number(name)? > 0.0, "`{name}` is {}: nothing was measured", report[name]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_passes_only_if_all_of_it_holds() {
        let good = serde_json::json!({ "submitted": 300, "done": 300, "lost": 0, "duplicates": 0, "wrong": 0,
            "p50_ms": 31.5, "p99_ms": 80.0, "gap_worker_ms": 140.0, "gap_leader_ms": 210 });
        verdict(&good).unwrap();
        for (name, bad) in
            [("done", 299), ("lost", 1), ("duplicates", 1), ("wrong", 1), ("p50_ms", 0), ("submitted", 0)]
        {
            let mut report = good.clone();
            report[name] = bad.into();
            verdict(&report).unwrap_err();
            report[name] = Value::Null;
            assert!(verdict(&report).unwrap_err().to_string().contains(name));
        }
    }
}

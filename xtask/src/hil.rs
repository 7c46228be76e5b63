//! `cargo xtask hil NAME`: whole meshes of real processes. A test measures by printing an object with a `metric`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::TargetKind;
use serde_json::{Value, json};

use crate::house::{self, House};
use crate::{runtimes, test};

/// The tests that need the libraries of runtimes.
const RUNTIMES: &str = "targets";

pub(crate) fn run(house: &House, name: &str, json: bool) -> Result<()> {
    house.expect_target("skein-hil-tests", &TargetKind::Test, name)?;
    let binary = test::build(house)?;
    if !house::works(house.cargo(&["nextest", "--version"])) {
        ensure!(!json, "--json is read from cargo-nextest, which is missing: `cargo install cargo-nextest --locked`");
        let mut plain = house.cargo(&["test", "--workspace", "--test", name, "--", "--test-threads", "1"]);
        plain.env("SKEIN_BIN", binary);
        return house::run(plain);
    }
    // Where `.config/nextest.toml` says, in the clone, whatever the target directory is.
    let report = house.0.workspace_root.join("target/nextest/ci/junit.xml");
    // One that an earlier run left would be taken for this one's.
    let _ = fs::remove_file(&report);
    let mut only = format!("package(skein-hil-tests) & binary(={name})");
    if name == RUNTIMES {
        // How far targets agree is measured on the floor that has them.
        only += " | package(skein-targets) & test(agreement::)";
    }
    let mut tests = house.cargo(&["nextest", "run", "--workspace", "--profile", "ci", "-E", &only]);
    tests.env("SKEIN_BIN", binary);
    if name == RUNTIMES {
        tests.envs(runtimes::installed(house)?.map(|folder| (runtimes::VARIABLE, folder)));
    }
    let outcome = house::run(tests);
    let report = fs::read_to_string(&report).with_context(|| format!("nextest has left no {report}"));
    if json {
        for line in lines(report.as_deref().unwrap_or_default()) {
            println!("{line}");
        }
    }
    outcome.and(report.map(drop))
}

/// One object a test, after those that it printed itself.
fn lines(junit: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    for case in junit.split("<testcase ").skip(1) {
        let test = attribute(case, "name");
        let seconds: f64 = attribute(case, "time").parse().unwrap_or_default();
        // Output is escaped in it, so a tag is a tag.
        let ok = !case.contains("<failure") && !case.contains("<error");
        for mut printed in unescape(case).lines().filter_map(measured) {
            printed["test"] = Value::from(test.clone());
            lines.push(printed);
        }
        lines.push(json!({ "test": test, "metric": "seconds", "value": seconds, "unit": "s", "goal": null, "ok": ok }));
    }
    lines
}

fn measured(line: &str) -> Option<Value> {
    let from = line.find('{')?;
    serde_json::from_str(&line[from..]).ok().filter(|value: &Value| value["metric"].is_string())
}

fn attribute(case: &str, name: &str) -> String {
    let found = case.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
    unescape(found.map_or("", |(value, _)| value))
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_becomes_an_object_a_line() {
        let junit = r#"<testsuites><testsuite name="skein-hil-tests::mesh">
            <testcase name="a_kill&lt;9&gt;" classname="skein-hil-tests::mesh" time="2.5">
                <system-out>running 1 test
{&quot;metric&quot;:&quot;gap_ms&quot;,&quot;value&quot;:41.5,&quot;unit&quot;:&quot;ms&quot;,&quot;goal&quot;:500,&quot;ok&quot;:true}
test a ... ok &lt;failure</system-out>
            </testcase>
            <testcase name="b" classname="x" time="0.1"><failure type="test failure"/></testcase>
        </testsuite></testsuites>"#;
        let want = [
            json!({ "test": "a_kill<9>", "metric": "gap_ms", "value": 41.5, "unit": "ms", "goal": 500, "ok": true }),
            json!({ "test": "a_kill<9>", "metric": "seconds", "value": 2.5, "unit": "s", "goal": null, "ok": true }),
            json!({ "test": "b", "metric": "seconds", "value": 0.1, "unit": "s", "goal": null, "ok": false }),
        ];
        assert_eq!(lines(junit), want);
    }
}

//! Looks at a mesh through its command line.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::bed::{Bed, text};
use crate::material;

/// Adds the bundled model and opens a session with so many workers, all ready. The session's number.
pub fn open_session(bed: &Bed, workers: usize) -> String {
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    let session = bed.cli(&["session", "create", "--model", "lite0", "--fixed", &workers.to_string(), "-q"]);
    let session = session.trim().to_owned();
    wait_for_workers(bed, &session, workers);
    session
}

/// Waits until a session has so many ready workers.
pub fn wait_for_workers(bed: &Bed, session: &str, workers: usize) {
    bed.wait("the session's workers are ready", || ready_nodes(bed, session).len() >= workers);
}

/// The names of the nodes on which a session has workers that take tasks, a name a worker.
pub fn ready_nodes(bed: &Bed, session: &str) -> Vec<String> {
    let status = bed.json(&["session", "status", session]);
    let workers = status[0]["workers"].as_array().cloned().unwrap_or_default();
    let ready = workers.iter().filter(|worker| worker["status"] == "ready" && worker["duty"] == "serving");
    ready.filter_map(|worker| Some(worker["node_name"].as_str()?.to_owned())).collect()
}

/// The number of the agent that leads, as any running agent knows.
pub fn leader(bed: &Bed) -> Option<usize> {
    let mesh = bed.json(&["node", "status"]);
    let nodes = mesh["nodes"].as_array()?;
    let leader = nodes.iter().find(|node| node["node"] == mesh["leader"])?;
    bed.agents.iter().position(|agent| leader["name"] == agent.name.as_str())
}

/// The number of the agent of this name.
pub fn number_of(bed: &Bed, name: &str) -> usize {
    bed.agents.iter().position(|agent| agent.name == name).expect("an agent of that name was started")
}

/// What `skein run --json` printed: an object a line.
pub fn rows(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

/// Checks that every row has the right answer, and that there are as many as asked for. The nodes that answered.
pub fn check_rows(rows: &[Value], count: usize) -> BTreeSet<String> {
    assert_eq!(rows.len(), count, "a row for each picture: {rows:?}");
    let check = |row: &Value| {
        let file = row["file"].as_str().expect("a row names its file");
        assert_eq!(row["classes"][0]["label"], material::right_label(file), "{row}");
        row["node"].as_str().expect("a row names its node").to_owned()
    };
    rows.iter().map(check).collect()
}

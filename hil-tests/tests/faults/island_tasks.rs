//! Durable tasks on a node that loses the mesh: what it does of them is kept on its disk, and delivered once when the mesh is back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skein_hil_tests::bed::{Bed, host, text};
use skein_hil_tests::trial::Trial;
use skein_hil_tests::{fault, material, probe};

/// Tasks enough that most of them are pending when the node takes itself for cut off, some seconds after they were accepted.
const TASKS: usize = 50;

/// A mesh with a session that only one node can serve, which is also the gateway of a stream of durable tasks.
struct Scene {
    bed: Bed,
    name: &'static str,
    session: String,
    stream: String,
    /// That node.
    island: usize,
    /// One that leads, or does not.
    other: usize,
}

impl Scene {
    fn new(name: &'static str, settings: &[&str]) -> Option<Self> {
        let mut bed = Trial::hosts_with(name, 3, settings)?;
        for _ in 0..3 {
            bed.start();
        }
        bed.wait_until_whole();
        bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
        let leader = probe::leader(&bed).expect("the mesh is whole");
        let island = (0..3).find(|number| *number != leader).expect("there are three");
        let device = format!("{}/cpu", bed.agents[island].name);
        let session = bed.cli(&["session", "create", "--model", "lite0", "--bind", &device, "-q"]).trim().to_owned();
        probe::wait_for_workers(&bed, &session, 1);
        let files = material::pictures(TASKS);
        let mut arguments = vec!["run", &session, "--durable", "--detach", "-q"];
        arguments.extend(files.iter().map(String::as_str));
        let said = bed.try_cli_at(island, &arguments).unwrap_or_else(|error| panic!("{error}\n{}", bed.logs()));
        let stream = said.trim().to_owned();
        Some(Self { bed, name, session, stream, island, other: leader })
    }

    /// What waits on the island's disk, as it says itself.
    fn waiting(&self, of: &str) -> u64 {
        self.bed.json_beside(self.island, &["node", "status"])["waiting"][of].as_u64().unwrap_or_default()
    }

    fn cut(&self) {
        self.bed.lan().set_link(host(self.island), false);
    }

    fn account(&self, of: &str) -> u64 {
        let status = self.bed.json_at(self.other, &["task", "status", &self.stream]);
        status[0][of].as_u64().unwrap_or_default()
    }

    /// Brings the network back; when everything is done, fetches it and prints the row.
    #[expect(clippy::print_stdout, reason = "`cargo xtask hil --json` reads what the test measured from there")]
    fn comes_back(self) -> (Bed, Vec<Value>) {
        self.bed.lan().set_link(host(self.island), true);
        let back = Instant::now();
        self.bed.wait("every task has its end", || self.account("done") == TASKS as u64);
        let gap = back.elapsed().as_secs_f64() * 1e3;
        self.bed.wait("nothing waits any more", || self.waiting("ends") == 0);
        self.bed.wait_until_whole();
        let repeated = self.account("fenced");
        let fetched = self.bed.try_cli_at(self.other, &["task", "fetch", &self.stream, "--wait", "--json"]);
        let rows = probe::rows(&fetched.unwrap_or_else(|error| panic!("{error}\n{}", self.bed.logs())));
        let (lost, duplicates) = (TASKS.saturating_sub(rows.len()), rows.len().saturating_sub(TASKS));
        println!(
            "{}",
            json!({
                "metric": "gap_ms", "value": gap, "unit": "ms", "goal": null, "ok": lost + duplicates == 0, "fault": self.name,
                "gap_ms": gap, "repeated": repeated, "lost": lost, "duplicates": duplicates, "tasks": TASKS,
            })
        );
        probe::check_rows(&rows, TASKS);
        (self.bed, rows)
    }
}

#[test]
fn ends_of_durable_tasks_wait_on_an_island_through_a_kill_and_are_delivered_once() {
    let name = "the gateway and only worker of durable tasks is cut off and killed";
    let Some(mut scene) = Scene::new(name, &[]) else { return };
    scene.cut();
    scene.bed.wait("ends wait on its disk", || scene.waiting("ends") >= 5);
    let before = scene.waiting("ends");
    fault::kill(&mut scene.bed, scene.island);
    scene.bed.launch(scene.island);
    scene.bed.wait("they are there again", || scene.waiting("ends") >= before);
    let pending = scene.bed.json_beside(scene.island, &["task", "status", &scene.stream])[0]["pending"].as_u64();
    scene.bed.wait("it has done everything that it knew of", || Some(scene.waiting("ends")) == pending);
    let session = scene.session.clone();
    let rows = scene.comes_back().1;
    // Another gateway has had the stream meanwhile; attempts of the first have numbers up to 4096. Its work was not done again.
    let of_island = rows.iter().filter(|row| row["attempt"].as_u64().is_some_and(|attempt| attempt <= 4_096)).count();
    assert!(
        of_island > TASKS / 2,
        "only {of_island} of {TASKS} tasks of session {session} ended by their first gateway"
    );
}

#[test]
fn a_full_store_takes_nothing_more_and_what_it_did_not_take_is_done_again() {
    let name = "a node is cut off and has no room for what it does";
    let Some(scene) = Scene::new(name, &["--island-store", "8KiB"]) else { return };
    scene.cut();
    scene.bed.wait("it finds no room", || scene.waiting("dropped") > 0);
    let (dropped, since) = (scene.waiting("dropped"), Instant::now());
    scene.bed.wait("three seconds are over", || since.elapsed() >= Duration::from_secs(3));
    assert_eq!(scene.waiting("dropped"), dropped, "it goes on with what it cannot keep");
    let files = std::fs::read_dir(scene.bed.state_dir(scene.island).join("waiting")).map_or(0, Iterator::count);
    assert!(files <= 2 && scene.waiting("bytes") <= 8 << 10, "{files} files, {} bytes", scene.waiting("bytes"));
    let session = scene.session.clone();
    let bed = scene.comes_back().0;
    let told = || bed.json(&["session", "status", &session])[0]["islands"]["no_room"].as_u64();
    bed.wait("the mesh has the account", || told() == Some(dropped));
    let events = bed.cli(&["events"]);
    assert!(events.contains("was cut off and did for session"), "{events}");
}

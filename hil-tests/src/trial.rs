//! A mesh at work while something fails: tasks and control writes go on all the time, and at the end both accounts are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::{Bed, text, wait_for_at_most};
use crate::history::{self, Call, Operation, State, Told};
use crate::ledger::Account;
use crate::load::{Kind, Load};
use crate::material::Colours;
use crate::writers::Writers;
use crate::{material, net, probe};

/// Results that show that a stream flows: more than were under way.
const RESULTS_OF_A_FLOW: usize = 30;
/// How long a mesh may take to come to rest after a fault, in debug builds on two cores that others use, too.
const REST_MAX: Duration = Duration::from_secs(90);

/// One mesh, its load, and what was noted.
#[derive(Debug)]
pub struct Trial {
    // Fields are dropped in this order: the work ends before the mesh does.
    load: Option<Load>,
    durable: Option<Load>,
    writers: Option<Writers>,
    /// The mesh.
    pub bed: Bed,
    /// The session that the tasks run in.
    pub session: String,
    name: String,
    start: State,
    fault: Option<Instant>,
    gap: Duration,
}

impl Trial {
    /// A mesh of so many agents on hosts of their own; none, with a word that says so, where there can be none.
    pub fn mesh(name: &str, agents: usize) -> Option<Self> {
        let mut bed = Self::hosts(name, agents)?;
        for _ in 0..agents {
            bed.start();
        }
        Some(Self::over(name, bed))
    }

    /// Hosts for so many agents, none of them started; none, with a word that says so, where there can be none.
    pub fn hosts(name: &str, agents: usize) -> Option<Bed> {
        Self::hosts_with(name, agents, &[])
    }

    /// The same with more settings for each agent.
    #[expect(clippy::print_stdout, reason = "whoever runs the tests is told what was left out")]
    pub fn hosts_with(name: &str, agents: usize, settings: &[&str]) -> Option<Bed> {
        if !net::is_possible() || !net::can_filter() {
            println!("skipped: {name}: network namespaces need root, `ip` and `nft`");
            return None;
        }
        // A worker takes half of what an agent offers: so there is room, and two workers of one session have two nodes.
        Some(Bed::on_hosts(agents, &[&["--offer-cpu", "1000", "--offer-memory", "1GiB"], settings].concat()))
    }

    /// A bed whose agents are started: waits until it is whole, and opens a session with two workers.
    pub fn over(name: &str, bed: Bed) -> Self {
        Self::with_session(name, bed, &[])
    }

    /// The same with more asked of the session.
    pub fn with_session(name: &str, bed: Bed, asked: &[&str]) -> Self {
        bed.wait_until_whole();
        let model = bed.path("colours.onnx");
        std::fs::copy(material::test_model("colour-nchw.onnx"), &model).expect("the model can be copied");
        std::fs::write(bed.path("colours.toml"), material::COLOURS_MANIFEST).expect("its manifest can be written");
        std::fs::write(bed.path("colours.txt"), "red\ngreen\nblue\n").expect("its labels can be written");
        bed.cli(&["model", "add", text(&model), "--name", "colours"]);
        let size = ["--fixed", "2", "--cpu", "500", "--memory", "128", "-q"];
        let session = bed.cli(&[&["session", "create", "--model", "colours"], &size[..], asked].concat());
        let session = session.trim().to_owned();
        probe::wait_for_workers(&bed, &session, 2);
        let policy = bed.cli(&["policy", "-q"]).trim().to_owned();
        let last = session.parse().expect("a session is a number");
        let start = State { last, open: [last].into(), policy };
        Self {
            load: None,
            durable: None,
            writers: None,
            bed,
            session,
            name: name.into(),
            start,
            fault: None,
            gap: Duration::ZERO,
        }
    }

    /// Lets tasks flow through the first of these agents, in real time and durable ones, and writes through all; waits until all
    /// do.
    pub fn work_at(&mut self, gateways: &[usize]) {
        self.work(gateways, material::photographs());
    }

    /// The same with tasks of a hundred bytes, so that it is the network's answers that take the time.
    pub fn work_lightly_at(&mut self, gateways: &[usize]) {
        let pixels = material::pixels(&self.bed.path(""));
        self.work(gateways, pixels);
    }

    /// Lets tasks in real time flow from the host of an agent, through that agent, and writes through all.
    pub fn work_beside(&mut self, agent: usize) {
        let load = Load::start_beside(&self.bed, &self.session, agent, material::photographs());
        self.go_to_work(load, None);
    }

    fn work(&mut self, gateways: &[usize], pictures: Colours) {
        let load = |kind, pictures| Load::start(&self.bed, kind, &self.session, gateways, pictures);
        let durable = load(Kind::Durable, pictures.clone());
        let load = load(Kind::RealTime, pictures);
        self.go_to_work(load, Some(durable));
    }

    fn go_to_work(&mut self, load: Load, durable: Option<Load>) {
        let begin = Instant::now();
        (self.load, self.durable) = (Some(load), durable);
        self.writers = Some(Writers::start(&self.bed));
        self.wait_until_tasks_flow();
        self.wait_until_durable_tasks_end();
        self.wait_until_written_since(begin);
    }

    /// The fault comes now. The moment.
    pub fn fails(&mut self) -> Instant {
        *self.fault.insert(Instant::now())
    }

    /// Waits until more results came than were under way.
    pub fn wait_until_tasks_flow(&self) {
        let load = self.load.as_ref().expect("the work has begun");
        let enough = load.results() + RESULTS_OF_A_FLOW;
        self.wait("tasks flow", || load.results() >= enough);
    }

    /// Waits until more durable tasks, where there are any, have their ends at the client than were under way.
    pub fn wait_until_durable_tasks_end(&self) {
        let Some(durable) = &self.durable else { return };
        let enough = durable.results() + RESULTS_OF_A_FLOW;
        self.wait("durable tasks end", || durable.results() >= enough);
    }

    /// Waits until a write is acknowledged that was asked from now on.
    pub fn wait_until_written(&self) {
        self.wait_until_written_since(Instant::now());
    }

    fn wait_until_written_since(&self, from: Instant) {
        let writers = self.writers.as_ref().expect("the work has begun");
        self.wait("writes are acknowledged", || writers.acknowledged_since(from) > 0);
    }

    /// Writes that were asked since this moment and are acknowledged.
    pub fn acknowledged_since(&self, from: Instant) -> usize {
        self.writers.as_ref().expect("the work has begun").acknowledged_since(from)
    }

    /// The fault is over and has to heal: waits until the mesh is whole, has its workers, and works.
    pub fn heals(&mut self) {
        self.bed.wait_until_whole();
        probe::wait_for_workers(&self.bed, &self.session, 2);
        self.wait_until_tasks_flow();
        self.wait_until_durable_tasks_end();
        self.wait_until_written();
        if let (Some(load), Some(fault)) = (&self.load, self.fault) {
            self.gap = self.gap.max(load.gap_since(fault));
        }
    }

    /// Ends the work, waits until the mesh has come to rest, checks all accounts and the replicas, and prints the row.
    ///
    /// # Panics
    /// Where a task was lost, came twice, late or wrong; where the mesh keeps something of a durable stream whose client has
    /// everything; where the writes could not have happened one after another; where replicas
    /// differ.
    #[expect(clippy::print_stdout, reason = "`cargo xtask hil --json` reads what a test measured from there")]
    pub fn end(mut self) {
        let durable = self.durable.take().map(Load::end);
        let account = self.load.take().expect("the work has begun").end();
        let mut writes = self.writers.take().expect("the work has begun").end();
        let unknown = writes.iter().filter(|write| write.told == Told::Unknown).count();
        let count = writes.len();
        writes.push(self.read_at_rest());
        let written = history::check(&self.start, &writes);
        let agreed = self.check_that_replicas_agree();
        let forgotten = durable.map_or(Ok(()), |durable| self.check_that_streams_are_forgotten(durable));
        let durable = durable.unwrap_or_default();
        let ok = account.balances() && durable.balances() && written.is_ok() && agreed.is_ok() && forgotten.is_ok();
        let gap = self.gap.as_secs_f64() * 1e3;
        let row = json!({
            "metric": "gap_ms", "value": gap, "unit": "ms", "goal": null, "ok": ok, "fault": self.name, "gap_ms": gap,
            "repeated": account.repeated + durable.repeated, "lost": account.lost + durable.lost,
            "duplicates": account.duplicates + durable.duplicates,
            "tasks": account.sent, "durable_tasks": durable.sent, "writes": count, "unknown_writes": unknown,
        });
        println!("{row}");
        assert!(account.balances(), "the ledger does not balance: {account:?}\n{}", self.bed.logs());
        assert!(durable.balances(), "the ledger of durable tasks does not balance: {durable:?}\n{}", self.bed.logs());
        forgotten.unwrap_or_else(|error| panic!("{error}\n{}", self.bed.logs()));
        written.unwrap_or_else(|error| panic!("the writes cannot have happened one after another: {error}"));
        agreed.unwrap_or_else(|error| panic!("replicas differ: {error}"));
    }

    /// The time, in milliseconds, that the leader gave the newest event that any agent knows of; 0 where none is told.
    pub fn newest_event_at(&self) -> u64 {
        let printed = self.bed.try_cli_at(self.bed.any(), &["events", "--json"]).unwrap_or_default();
        probe::rows(&printed).last().and_then(|event| event["at"].as_u64()).unwrap_or_default()
    }

    /// What all replicas hold, once they hold the same.
    fn read_at_rest(&self) -> Operation {
        let mut seen = Vec::new();
        self.wait("all replicas hold the same", || {
            seen = self.bed.running().map(|number| self.read(number)).collect();
            seen.windows(2).all(|pair| pair[0] == pair[1])
        });
        let state = seen.pop().flatten().expect("an agent runs and answers");
        // After all that anybody was told.
        Operation { call: Call::Read, told: Told::Holds(state), asked: Duration::MAX, answered: Duration::MAX }
    }

    fn read(&self, number: usize) -> Option<State> {
        let sessions = self.bed.json_at(number, &["session", "status"]);
        let open: BTreeSet<u64> =
            sessions.as_array()?.iter().filter_map(|session| session["session"].as_u64()).collect();
        let policy = self.bed.json_at(number, &["policy"])["policy"].as_str()?.to_owned();
        Some(State { last: 0, open, policy })
    }

    /// Once its client has everything, the mesh keeps nothing of a durable stream but the account in its last event.
    fn check_that_streams_are_forgotten(&self, account: Account) -> Result<(), String> {
        let any = self.bed.any();
        let kept = self.bed.try_cli_at(any, &["task", "status", "-q"])?;
        if !kept.trim().is_empty() {
            return Err(format!("the mesh still keeps streams of durable tasks: {kept}"));
        }
        let closed = probe::rows(&self.bed.try_cli_at(any, &["events", "--json"])?);
        let closed =
            closed.iter().rev().map(|row| &row["event"]["StreamClosed"]["account"]).find(|told| told.is_object());
        let closed = closed.ok_or("no event tells of the end of the durable stream")?;
        let told = ["accepted", "done", "failed", "fetched"].map(|what| closed[what].as_u64());
        let sent = Some(account.sent as u64);
        if told == [sent, sent, Some(0), sent] {
            Ok(())
        } else {
            Err(format!("{} durable tasks were sent, and the mesh's account of them is {closed}", account.sent))
        }
    }

    /// No two agents may tell different things of one event.
    fn check_that_replicas_agree(&self) -> Result<(), String> {
        let mut known: BTreeMap<u64, (usize, Value)> = BTreeMap::new();
        for number in self.bed.running() {
            let printed = self.bed.try_cli_at(number, &["events", "--json"])?;
            for event in probe::rows(&printed).into_iter().filter(|row| row["sequence"].is_u64()) {
                let sequence = event["sequence"].as_u64().unwrap_or_default();
                let (by, first) = known.entry(sequence).or_insert_with(|| (number, event.clone()));
                if (&first["event"], &first["at"]) != (&event["event"], &event["at"]) {
                    return Err(format!("{} tells {first}, {} {event}", self.name_of(*by), self.name_of(number)));
                }
            }
        }
        Ok(())
    }

    fn name_of(&self, number: usize) -> &str {
        &self.bed.agents[number].name
    }

    fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        let came = wait_for_at_most(REST_MAX, condition);
        assert!(came, "{what}: not within {} s\n{}", REST_MAX.as_secs(), self.bed.logs());
    }
}

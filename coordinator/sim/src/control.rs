//! A mesh of nodes under faults: the replicated state with its lagging replicas, the leader's decisions (who is up, who
//! votes, what is planned), and on every node the real supervisor over simulated processes.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::liveness::Patience;
use skein_core::supervise::WorkerEvent;
use skein_core::{Command, Entry, Event, Millis, NodeId, Refusal, SessionId, State, StreamId, WorkerId};

use crate::Report;
use crate::chance::Chance;
use check::tasks::Accounts;
use clients::Client;
use gateways::Word;
use leader::Lead;
use machine::Machine;
use stored::Snapshot;

pub(crate) mod check;
mod clients;
mod devices;
pub(crate) mod draw;
mod faults;
mod gateways;
mod healing;
mod leader;
mod log;
mod machine;
mod people;
mod planned;
mod reports;
mod seats;
mod stored;

/// How long the safety phase is, in virtual time: some hundred faults, and hold-offs that grow and end.
const FAULTS_FOR: Millis = Millis(300_000);
/// How often a node says that it is there, about.
const BEAT: Millis = Millis(500);
/// A node may be silent for three beats at least, so that lost ones rarely look like a loss of the node, and for twenty at most: its
/// link is bad.
const PATIENCE: Patience =
    Patience { beat_every: BEAT, down_after: Millis(1_500), down_after_max: Millis(10_000), up_after: Millis(1_500) };
/// What a process says when it dies after it was ready.
const DIED: &str = "signal 9";

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    /// A node beats, and looks after itself.
    Tick(NodeId),
    /// A beat arrives at the leader of a term.
    Beat { term: u64, node: NodeId },
    /// A node tells the leader of a term something.
    Word { term: u64, node: NodeId, word: Word },
    /// A known-answer run on a device is over.
    Tested { node: NodeId, device: String, boot: u64 },
    /// A client of durable tasks looks after them.
    Client(StreamId),
    /// A command that somebody proposed arrives at whoever leads.
    Proposal(Command),
    /// A command that a leader took in is committed, if the leader still leads.
    Commit { term: u64, own: bool, entry: Entry },
    /// A change of seats is through, or given up.
    Seats { term: u64, change: skein_core::seats::SeatChange },
    /// News of the log reaches a node.
    Replicate(NodeId),
    /// Something happens to a process, unless it was replaced since.
    Process { node: NodeId, worker: WorkerId, birth: u64, event: WorkerEvent },
    /// The voters try to elect a leader.
    Elect,
    /// Something goes wrong.
    Fault,
    /// The load changes.
    Load,
}

/// What was committed, and what the first replica made of it.
#[derive(Debug)]
struct Logged {
    entry: Entry,
    outcome: Result<Vec<Event>, Refusal>,
}

#[derive(Debug)]
struct World {
    chance: Chance,
    now: Millis,
    queue: BTreeMap<(Millis, u64), Happening>,
    queued: u64,
    log: Vec<Logged>,
    /// The state at the end of the log.
    state: State,
    machines: BTreeMap<NodeId, Machine>,
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    term: u64,
    lead: Option<Lead>,
    last_commit: Millis,
    /// Of all that were ever planned.
    newest_worker: WorkerId,
    /// Nothing goes wrong any more.
    is_healing: bool,
    /// On which nodes the workers of which sessions never become ready, while things go wrong.
    poisoned: BTreeSet<(SessionId, NodeId)>,
    /// Devices on which attempts fail.
    bad_devices: BTreeSet<(NodeId, String)>,
    evictions: Evictions,
    /// How much the workers of a session use, in percent of what they may have at most.
    uses: BTreeMap<SessionId, u64>,
    clients: BTreeMap<StreamId, Client>,
    /// What became of every durable task.
    accounts: Accounts,
    snapshot: Option<Snapshot>,
}

/// Workers that were told to leave since something last came from outside.
#[derive(Debug, Default)]
struct Evictions {
    told: usize,
    /// The most workers there were since.
    workers: usize,
}

/// Runs this world from a seed.
pub fn run(seed: u64) -> Report {
    let mut world = World::new(seed);
    let mut steps = 0;
    while world.now < FAULTS_FOR && !world.chance.is_over() {
        world.step();
        steps += 1;
    }
    steps += world.heal();
    crate::report(seed, steps, world.now.0, world.chance)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0xc0de);
        let count = 1 + chance.number(0..8);
        let machines: BTreeMap<NodeId, Machine> =
            (1..=count).map(|id| (NodeId(id), Machine::new(NodeId(id), &mut chance))).collect();
        let mut world = Self {
            chance,
            now: Millis(0),
            queue: BTreeMap::new(),
            queued: 0,
            log: Vec::new(),
            state: State::default(),
            machines,
            voters: BTreeSet::from([NodeId(1)]),
            learners: BTreeSet::new(),
            term: 0,
            lead: None,
            last_commit: Millis(0),
            newest_worker: WorkerId(0),
            is_healing: false,
            poisoned: BTreeSet::new(),
            bad_devices: BTreeSet::new(),
            evictions: Evictions::default(),
            uses: BTreeMap::new(),
            clients: BTreeMap::new(),
            accounts: Accounts::default(),
            snapshot: None,
        };
        world.after(Millis(0), Happening::Elect);
        for id in 1..=count {
            world.after(Millis(id * 50), Happening::Tick(NodeId(id)));
        }
        for name in draw::MODELS {
            let spec = draw::session::model_of(name);
            world.after(Millis(800), Happening::Proposal(Command::ModelAdd(spec)));
        }
        world.after(Millis(1_000), Happening::Fault);
        world.after(Millis(1_500), Happening::Load);
        world
    }

    /// The next thing happens, or the next wake-up comes.
    fn step(&mut self) {
        let next = self.queue.keys().next().map(|(at, _)| *at);
        let wakes = self.machines.values().filter_map(|machine| machine.wake);
        let wake = wakes.chain(self.lead.as_ref().and_then(|lead| lead.wake)).min();
        if let Some(wake) = wake.filter(|wake| next.is_none_or(|next| *wake < next)) {
            self.now = wake.max(self.now);
            self.wake();
        } else if let Some(((at, _), happening)) = self.queue.pop_first() {
            self.now = at.max(self.now);
            self.happen(happening);
        }
    }

    fn wake(&mut self) {
        let now = self.now;
        let due = |wake: Option<Millis>| wake.is_some_and(|at| at <= now);
        let ids: Vec<NodeId> = self.machines.values().filter(|machine| due(machine.wake)).map(|m| m.id).collect();
        for id in ids {
            self.drive_machine(id);
        }
        if due(self.lead.as_ref().and_then(|lead| lead.wake)) {
            self.drive_leader();
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick(node) => self.tick(node),
            Happening::Beat { term, node } => self.beat(term, node),
            Happening::Word { term, node, word } => self.hear(term, node, word),
            Happening::Tested { node, device, boot } => self.tested(node, &device, boot),
            Happening::Client(stream) => self.client(stream),
            Happening::Proposal(command) => self.take_in(command),
            Happening::Commit { term, own, entry } => self.commit(term, own, entry),
            Happening::Seats { term, change } => self.change_seats(term, change),
            Happening::Replicate(node) => self.replicate(node),
            Happening::Process { node, worker, birth, event } => self.process(node, worker, birth, &event),
            Happening::Elect => self.elect(),
            Happening::Fault => self.fault(),
            Happening::Load => self.load(),
        }
    }

    fn after(&mut self, length: Millis, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + length, self.queued), happening);
    }

    /// A message to the leader: late, twice or never while things go wrong.
    fn send(&mut self, from: NodeId, message: impl Fn() -> Happening) {
        if self.machines.get(&from).is_none_or(|machine| !machine.is_reachable()) {
            return;
        }
        if !self.is_healing && self.chance.percent(5) {
            self.chance.count("message_lost");
            return;
        }
        let late = !self.is_healing && self.chance.percent(5);
        let delay = self.chance.number(if late { 500..6_000 } else { 1..30 });
        if late {
            self.chance.count("message_late");
        }
        self.after(Millis(delay), message());
        if !self.is_healing && self.chance.percent(3) {
            self.chance.count("message_doubled");
            let delay = self.chance.number(1..3_000);
            self.after(Millis(delay), message());
        }
    }

    fn is_reachable(&self, node: NodeId) -> bool {
        self.machines.get(&node).is_some_and(Machine::is_reachable)
    }

    /// Whether most of these can hear each other.
    fn has_majority(&self, of: &BTreeSet<NodeId>) -> bool {
        of.iter().filter(|node| self.is_reachable(**node)).count() * 2 > of.len()
    }
}

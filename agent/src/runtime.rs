//! The one loop of an agent: gather what happened, decide with the core, act.
//!
//! It waits for any news, then looks at the whole: its own workers against the plan ([`Supervisor`]), the gateway's view of
//! the plan, and, while this agent leads, what the leader owes the mesh ([`lead`]). Everything slow runs beside the loop and
//! comes back as news.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use skein_core::capability::NodeSpec;
use skein_core::offering::Offering;
use skein_core::supervise::{Action, Supervisor, WorkerEvent};
use skein_core::testing::Bench;
use skein_core::{MeshId, Millis, NodeId, WorkerId};
use skein_raft::Role;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::agent::MESH_FILE;
use crate::api::handle::{Api, now as epoch_now};
use crate::api::{Change, Request};
use crate::config::Config;
use crate::durable::Durable;
use crate::gateway::Gateway;
use crate::gossip::{Announcement, Gossip};
use crate::inventory::Inventory;
use crate::link::{Beat, Word};
use crate::seat::moved_words;
use crate::worker::host::{Host, STOPPED};
use lead::{Lead, Settled};

mod devices;
pub(crate) mod files;
mod join;
mod lead;
mod measured;
mod tell;

/// How often this node states itself to the leader while the mesh holds something else of it.
const RESTATE_EVERY: Duration = Duration::from_secs(1);

/// What an agent hears.
#[derive(Debug)]
pub struct Inputs {
    /// Heartbeats of other nodes, and what goes with them.
    pub beats: mpsc::Receiver<Beat>,
    /// Nodes whose process is known to be gone, and since when at the latest.
    pub gone: mpsc::Receiver<(NodeId, Instant)>,
    /// What happens to this node's worker processes.
    pub workers: mpsc::UnboundedReceiver<(WorkerId, WorkerEvent)>,
    /// Gossip.
    pub heard: mpsc::Receiver<Announcement>,
}

/// What an agent's loop acts on.
#[derive(Debug)]
pub struct Parts {
    /// Requests, and the replica.
    pub api: Api,
    /// Tasks in real time.
    pub gateway: Gateway,
    /// Durable tasks.
    pub durable: Durable,
    /// Worker processes.
    pub host: Host,
    /// What is told to all.
    pub gossip: Gossip,
    /// This machine's devices.
    pub inventory: Inventory,
    /// How fast the disk is, once that is measured.
    pub flush_ms: Arc<OnceLock<u16>>,
}

/// An agent's loop and what it acts on.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    spec: NodeSpec,
    api: Api,
    gateway: Gateway,
    durable: Durable,
    host: Host,
    gossip: Gossip,
    supervisor: Supervisor,
    bench: Bench,
    test: mpsc::UnboundedSender<devices::Tested>,
    tested: mpsc::UnboundedReceiver<devices::Tested>,
    teller: tell::Teller,
    measured: measured::Measured,
    offering: Offering,
    inventory: Inventory,
    /// How fast the disk is, once that is measured.
    flush_ms: Arc<OnceLock<u16>>,
    lead: Option<Lead>,
    /// Nodes whose process is known to be gone, and since when: most often the leader before this one.
    gone: BTreeMap<NodeId, Millis>,
    settle: mpsc::UnboundedSender<Settled>,
    settled: mpsc::UnboundedReceiver<Settled>,
    joiner: join::Joiner,
    keeper: files::Keeper,
    announced: Option<Announcement>,
    mesh: Option<MeshId>,
    /// The number of the last event, and the count of changes to nodes and workers, that everything here was shown.
    seen: Option<(u64, u64)>,
    restated: Option<Instant>,
    begin: Instant,
}

impl Runtime {
    /// A loop that has seen nothing yet.
    pub fn new(config: Config, spec: NodeSpec, parts: Parts) -> Self {
        let Parts { api, gateway, durable, host, gossip, inventory, flush_ms } = parts;
        let (settle, settled) = mpsc::unbounded_channel();
        let (test, tested) = mpsc::unbounded_channel();
        let joiner = join::Joiner::start(&config, &spec, &api, &gossip);
        let keeper = files::Keeper::new(api.clone());
        let (supervisor, bench) = (Supervisor::new(api.node), Bench::new(api.node));
        let teller = tell::Teller::new(api.clone());
        let offering = Offering::new(spec.capability.offers.clone());
        let begin = Instant::now();
        Self {
            config,
            spec,
            api,
            gateway,
            durable,
            host,
            gossip,
            supervisor,
            bench,
            test,
            tested,
            teller,
            measured: measured::Measured::default(),
            offering,
            inventory,
            flush_ms,
            lead: None,
            gone: BTreeMap::new(),
            settle,
            settled,
            joiner,
            keeper,
            announced: None,
            mesh: None,
            seen: None,
            restated: None,
            begin,
        }
    }

    /// Runs for as long as the agent lives; returns why its seat failed, if it does.
    pub async fn run(mut self, mut inputs: Inputs) -> String {
        let mut changes = self.api.seat.changes();
        let mut roles = self.api.seat.roles();
        let mut beat = interval(self.config.beat_every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(tell::LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A node that was cut off when it last ran may have to leave some of its plan alone.
        self.look_at_island();
        // The first look is due before anything happened: there may be a plan from before a restart.
        let mut state_changed = true;
        loop {
            // 1. Act on what is known.
            self.step(state_changed);
            state_changed = false;
            // 2. Wait for news.
            let wake = self.wake_at();
            tokio::select! {
                changed = changes.changed() => match changed {
                    Ok(()) => { changes.mark_unchanged(); state_changed = true; }
                    Err(_) => return "its state machine stopped".into(),
                },
                changed = roles.changed() => {
                    if changed.is_err() { return "Raft stopped".into(); }
                    if let Some(failure) = roles.borrow_and_update().failure.clone() { return failure; }
                }
                Some(beat) = inputs.beats.recv() => self.on_beat(beat),
                Some((node, since)) = inputs.gone.recv() => self.on_gone(node, since),
                Some((worker, event)) = inputs.workers.recv() => self.on_worker(worker, event),
                Some(announcement) = inputs.heard.recv() => self.on_heard(announcement),
                Some(settled) = self.settled.recv() => self.on_settled(settled),
                Some(tested) = self.tested.recv() => self.on_tested(tested),
                () = self.inventory.changed() => self.state_anew(),
                _ = beat.tick() => self.teller.tell(Word::Here),
                _ = look.tick() => state_changed |= self.look(),
                () = sleep_until(wake) => {}
            }
        }
    }

    fn step(&mut self, state_changed: bool) {
        let now = self.now();
        if state_changed {
            if self.api.islands.is_cut() {
                // The log may only now have been read, and tells of sessions whose time here is over.
                self.look_at_island();
            }
            self.note_mesh();
            let seen = self.seen;
            self.seen = self.api.seat.read(|state| {
                self.durable.on_state(state);
                // Durable tasks change the state thousands of times a second, and nothing that the rest looks at.
                let revision = Some((state.last_event, state.index().revision()));
                if revision == seen {
                    return revision;
                }
                for (id, node) in &state.nodes {
                    if let Ok(address) = node.spec.address.parse()
                        && *id != self.api.node
                    {
                        self.api.pool.set_address(*id, address);
                    }
                }
                self.supervisor.on_state(now, state);
                self.bench.on_state(state);
                self.gateway.on_state(state);
                revision
            });
            self.adopt_profiles();
        }
        while let Some(action) = self.supervisor.next_action(now) {
            self.act(action);
        }
        self.tend_devices(now);
        let role = self.api.seat.role();
        self.api.contacts.note_leader(role.leader.is_some(), epoch_now());
        self.lead(now, &role);
        self.keeper.keep(&role);
        self.announce(&role);
        self.restate(&role);
    }

    /// Writes down, once, which mesh this node is in: see [`crate::agent::MESH_FILE`].
    fn note_mesh(&mut self) {
        let mesh = self.api.seat.read(|state| state.mesh);
        if self.mesh == mesh {
            return;
        }
        self.mesh = mesh;
        let path = self.config.state_dir.join(MESH_FILE);
        let Some(mesh) = mesh else { return };
        self.api.contacts.set_mesh(mesh);
        if let Err(error) = std::fs::write(&path, format!("{mesh}\n")) {
            tracing::warn!("cannot write {}: {error}", path.display());
        }
    }

    fn act(&self, action: Action) {
        match action {
            Action::Start(worker) => {
                tracing::info!(worker = worker.0, "worker starts");
                self.host.start(worker, files::prepare(self.api.clone(), worker));
            }
            Action::Stop(worker) => {
                tracing::info!(worker = worker.0, "worker is no longer planned here");
                self.host.stop(worker);
            }
            Action::Finish(worker) => {
                tracing::info!(worker = worker.0, "worker has to leave when it is done");
                self.host.finish(worker);
            }
            Action::Resume(worker) => {
                tracing::info!(worker = worker.0, "worker may stay");
                self.host.resume(worker);
            }
            Action::Report(worker, report) => {
                self.report(Change::WorkerReport { node: self.api.node, worker, report });
            }
        }
    }

    /// Tells the leader. A report that gets lost is due again a second later.
    fn report(&self, change: Change) {
        let api = self.api.clone();
        tokio::spawn(async move {
            if let Err(error) = api.answer(Request::Change(change), false).await {
                tracing::debug!("a report was not taken: {error}");
            }
        });
    }

    fn lead(&mut self, now: Millis, role: &Role) {
        if !role.is_leader {
            if self.lead.take().is_some() {
                tracing::info!(term = role.term, "this node no longer leads");
            }
            return;
        }
        if self.lead.is_none() {
            tracing::info!(term = role.term, "this node leads");
            let mut lead = Lead::new(now, self.config.patience(), &self.api, &self.spec);
            self.forget_old_losses(now);
            self.gone.keys().for_each(|node| lead.gone(*node));
            self.lead = Some(lead);
        }
        if let Some(lead) = &mut self.lead {
            lead.step(now, role, &self.settle);
        }
    }

    fn on_beat(&mut self, Beat { node, word }: Beat) {
        let now = self.now();
        self.gone.remove(&node);
        if word == Word::Led && self.api.seat.read(|state| state.nodes.contains_key(&node)) {
            self.api.islands.contact();
        }
        if let Some(lead) = &mut self.lead {
            lead.told(now, node, word);
        }
    }

    fn on_gone(&mut self, node: NodeId, since: Instant) {
        let now = self.now();
        self.api.seat.leader_is_gone(node, since.into_std());
        self.forget_old_losses(now);
        self.gone.insert(node, now);
        if let Some(lead) = &mut self.lead {
            lead.gone(node);
        }
    }

    /// A loss from long ago says nothing of now: an election would have been over.
    fn forget_old_losses(&mut self, now: Millis) {
        let most = self.config.patience().down_after_max;
        self.gone.retain(|_, since| now.since(*since) < most);
    }

    fn on_worker(&mut self, worker: WorkerId, event: WorkerEvent) {
        match &event {
            WorkerEvent::Ready => tracing::info!(worker = worker.0, "worker is ready"),
            WorkerEvent::Exited { reason } if reason == STOPPED => tracing::info!(worker = worker.0, "worker ended"),
            WorkerEvent::Exited { reason } => tracing::warn!(worker = worker.0, "worker ended: {reason}"),
            WorkerEvent::Unusable { reason } => tracing::warn!(worker = worker.0, "worker cannot run here: {reason}"),
            WorkerEvent::Outgrown => {
                tracing::warn!(worker = worker.0, "worker is started anew: it takes more and more memory");
            }
            WorkerEvent::OutOfMemory => tracing::warn!(worker = worker.0, "worker was killed: memory ran out"),
            WorkerEvent::Finished => tracing::info!(worker = worker.0, "worker has finished what it had"),
            WorkerEvent::Stake(_) => {}
        }
        self.supervisor.on_worker(self.now(), worker, event);
    }

    fn on_heard(&mut self, announcement: Announcement) {
        let mesh = self.api.seat.read(|state| state.mesh);
        if mesh.is_none() {
            self.joiner.hear(&announcement);
            return;
        }
        if announcement.mesh != mesh {
            self.on_stranger(&announcement);
            return;
        }
        if let Some((term, leader)) = announcement.leader {
            self.api.contacts.hear_leader(term, leader);
        }
        if let Ok(address) = announcement.spec.address.parse() {
            self.api.pool.set_address(announcement.spec.id, address);
        }
        if let Some(lead) = &mut self.lead {
            lead.hear(announcement.spec);
        }
    }

    /// A node of another mesh. Where it was one of this mesh, this mesh may have been recovered there: a learner is called by
    /// nobody then, and learns it only so.
    fn on_stranger(&mut self, announcement: &Announcement) {
        let node = announcement.spec.id;
        let is_member = self.api.seat.read(|state| state.nodes.contains_key(&node));
        if let Some(mesh) = announcement.mesh.filter(|_| is_member)
            && self.api.contacts.note_moved(node, mesh)
        {
            tracing::warn!(%node, "if this mesh has no leader: {}", moved_words(&announcement.spec.name, mesh));
        }
    }

    fn on_settled(&mut self, settled: Settled) {
        if let Some(lead) = &mut self.lead {
            lead.settled(settled);
        }
    }

    fn announce(&mut self, role: &Role) {
        let mesh = self.api.seat.read(|state| state.mesh);
        let leader = role.leader.map(|leader| (role.term, leader));
        let unchanged = self.announced.as_ref().is_some_and(|announced| {
            announced.mesh == mesh && announced.leader == leader && announced.spec == self.spec
        });
        if !unchanged {
            let announcement = Announcement::new(self.spec.clone(), mesh, leader);
            self.gossip.announce(announcement.clone());
            self.announced = Some(announcement);
        }
    }

    /// While the mesh holds something else of this node than it is (it came back at another address, or with other
    /// devices), it says so: gossip may not have found its way yet.
    fn restate(&mut self, role: &Role) {
        let differs = self.api.seat.read(|state| {
            state.mesh.is_some() && state.nodes.get(&self.spec.id).is_some_and(|node| node.spec != self.spec)
        });
        let due = self.restated.is_none_or(|last| last.elapsed() >= RESTATE_EVERY);
        if !differs || !due || self.api.leader(role).is_none() {
            return;
        }
        self.restated = Some(Instant::now());
        let (api, spec) = (self.api.clone(), self.spec.clone());
        tokio::spawn(async move {
            if let Err(error) = api.answer(Request::Change(Change::Join(spec)), false).await {
                tracing::debug!("the leader did not take this node's new description: {error}");
            }
        });
    }

    fn wake_at(&self) -> Instant {
        // Nothing may be due for long; an hour is as good as never.
        let never = Millis(self.now().0 + 3_600_000);
        let lead = self.lead.as_ref().and_then(|lead| lead.wake_at(self.now()));
        let wake = [self.supervisor.wake_at(), self.bench.wake_at(), lead].into_iter().flatten().min().unwrap_or(never);
        // A due time that lies behind us was acted on; do not spin on it.
        let wake = wake.max(self.now() + Millis(1));
        self.begin + Duration::from_millis(wake.0)
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

//! A few seats, and the links between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skein_core::capability::{Capability, NodeSpec};
use skein_core::command::{Command, Entry};
use skein_core::{Event, Millis, NodeId, State};
use skein_raft::{Call, ProposeError, Role, Seat, SeatConfig, SeatError, Transport, TransportError};
use tempfile::TempDir;

/// Nothing here takes a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct World {
    hub: Arc<Hub>,
    directories: BTreeMap<u64, TempDir>,
    snapshot_bytes: Option<u64>,
    flush_delays: BTreeMap<u64, Duration>,
}

#[derive(Default)]
struct Hub {
    seats: Mutex<BTreeMap<NodeId, Seat>>,
    cut: Mutex<BTreeSet<NodeId>>,
    hung: Mutex<BTreeSet<NodeId>>,
    calls: Mutex<BTreeMap<(NodeId, &'static str), u64>>,
}

pub(crate) struct Wire {
    hub: Arc<Hub>,
    from: NodeId,
}

impl Transport for Wire {
    async fn call(&self, to: NodeId, call: Call, body: Vec<u8>) -> Result<Vec<u8>, TransportError> {
        let is_in = |set: &Mutex<BTreeSet<NodeId>>| set.lock().unwrap().contains(&to);
        if is_in(&self.hub.hung) {
            std::future::pending::<()>().await;
        }
        if is_in(&self.hub.cut) || self.hub.cut.lock().unwrap().contains(&self.from) {
            return Err(TransportError("the link is cut".into()));
        }
        let name = match call {
            Call::Append => "append",
            Call::Vote => "vote",
            Call::InstallSnapshot => "snapshot",
            Call::Beat => "beat",
            Call::Ask => "ask",
            Call::TakeOver => "take over",
        };
        *self.hub.calls.lock().unwrap().entry((to, name)).or_default() += 1;
        let seat = self.hub.seats.lock().unwrap().get(&to).cloned();
        let seat = seat.ok_or_else(|| TransportError("nobody is there".into()))?;
        seat.receive(call, &body).await.map_err(|error| TransportError(error.to_string()))
    }
}

impl World {
    /// A mesh of so many voters, led by somebody.
    pub(crate) async fn of(count: u64) -> Self {
        let mut world = Self::default();
        world.grow(count).await;
        world
    }

    /// Nobody yet, and snapshots after every 2 KiB of log, or as much as the last one has.
    pub(crate) fn with_short_logs() -> Self {
        Self { snapshot_bytes: Some(2048), ..Self::default() }
    }

    /// Nobody yet; every flush of these nodes' disks will take so much longer.
    pub(crate) fn with_slow_disks(nodes: RangeInclusive<u64>, flush_delay: Duration) -> Self {
        Self { flush_delays: nodes.map(|node| (node, flush_delay)).collect(), ..Self::default() }
    }

    pub(crate) async fn grow(&mut self, count: u64) {
        let first = self.start(1).await;
        first.found().await.unwrap();
        for node in 2..=count {
            self.start(node).await;
            first.add_learner(NodeId(node)).await.unwrap();
        }
        for node in 2..=count {
            until(&first, "caught up", |role| role.matched.get(&NodeId(node)) == role.last_log.as_ref()).await;
        }
        first.set_voters((1..=count).map(NodeId).collect()).await.unwrap();
    }

    /// Opens a seat on its directory, new or old.
    pub(crate) async fn start(&mut self, node: u64) -> Seat {
        self.directories.entry(node).or_insert_with(|| tempfile::tempdir().unwrap());
        let seat = self.try_open(node).await.unwrap();
        self.hub.seats.lock().unwrap().insert(NodeId(node), seat.clone());
        seat
    }

    pub(crate) async fn try_open(&self, node: u64) -> Result<Seat, SeatError> {
        let mut config = SeatConfig::new(self.directory(node), NodeId(node));
        config.flush_delay = self.flush_delays.get(&node).copied().unwrap_or_default();
        if let Some(bytes) = self.snapshot_bytes {
            config.snapshot_bytes = bytes;
            config.keep_entries = 5;
        }
        Seat::open(config, Wire { hub: Arc::clone(&self.hub), from: NodeId(node) }).await
    }

    pub(crate) fn directory(&self, node: u64) -> &Path {
        self.directories[&node].path()
    }

    pub(crate) fn seat(&self, node: u64) -> Seat {
        self.hub.seats.lock().unwrap()[&NodeId(node)].clone()
    }

    pub(crate) fn seats(&self) -> Vec<Seat> {
        self.hub.seats.lock().unwrap().values().cloned().collect()
    }

    /// Ends a seat in good order.
    pub(crate) async fn stop(&self, node: u64) {
        let seat = self.hub.seats.lock().unwrap().remove(&NodeId(node)).unwrap();
        seat.close().await;
    }

    /// Ends a seat as SIGKILL would: what counts afterwards is what its files held at that moment.
    pub(crate) async fn kill(&mut self, node: u64) {
        let seat = self.hub.seats.lock().unwrap().remove(&NodeId(node)).unwrap();
        let left = copy(self.directory(node));
        seat.close().await;
        self.directories.insert(node, left);
    }

    pub(crate) fn cut(&self, node: u64) {
        self.hub.cut.lock().unwrap().insert(NodeId(node));
    }

    pub(crate) fn mend(&self, node: u64) {
        self.hub.cut.lock().unwrap().remove(&NodeId(node));
        self.hub.hung.lock().unwrap().remove(&NodeId(node));
    }

    /// Calls to it are taken and never answered.
    pub(crate) fn hang(&self, node: u64) {
        self.hub.hung.lock().unwrap().insert(NodeId(node));
    }

    pub(crate) fn calls(&self, node: u64, name: &'static str) -> u64 {
        self.hub.calls.lock().unwrap().get(&(NodeId(node), name)).copied().unwrap_or(0)
    }

    /// Waits until one of the seats leads.
    pub(crate) async fn leader(&self) -> Seat {
        let seats = self.seats();
        within("a leader", async {
            loop {
                for seat in &seats {
                    let role = seat.role();
                    if role.is_leader {
                        return seat.clone();
                    }
                }
                any_change(&seats).await;
            }
        })
        .await
    }

    /// Proposes to whoever leads, as an agent does.
    pub(crate) async fn propose(&self, entry: Entry) -> Vec<Event> {
        within("a commit", async {
            loop {
                match self.leader().await.propose(entry.clone()).await {
                    Ok(events) => return events.unwrap(),
                    Err(ProposeError::NotLeader { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
    }
}

async fn any_change(seats: &[Seat]) {
    let mut changes = tokio::task::JoinSet::new();
    for mut role in seats.iter().map(Seat::roles) {
        changes.spawn(async move {
            // A closed seat changes no more.
            if role.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        });
    }
    // A change may have come between the look and the subscription: look again soon.
    let _ = tokio::time::timeout(Duration::from_millis(50), changes.join_next()).await;
}

/// The files as they are now, without asking the seat that writes them.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join("blobs")).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|file| file.file_type().unwrap().is_file()) {
        fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(done) => done,
        Err(elapsed) => panic!("no {what} within {PATIENCE:?}: {elapsed}"),
    }
}

/// Waits until a role is as wanted.
pub(crate) async fn until(seat: &Seat, what: &str, wanted: impl Fn(&Role) -> bool) -> Role {
    let mut roles = seat.roles();
    within(what, async { roles.wait_for(|role| wanted(role)).await.unwrap().clone() }).await
}

/// Waits until a seat's state is as wanted.
pub(crate) async fn until_state(seat: &Seat, what: &str, wanted: impl Fn(&State) -> bool) {
    let mut changes = seat.changes();
    within(what, async {
        while !seat.read(&wanted) {
            changes.changed().await.unwrap();
        }
    })
    .await;
}

/// An entry that leaves a mark in the state.
pub(crate) fn join(node: u64) -> Entry {
    named(node, "n")
}

pub(crate) fn named(node: u64, name: &str) -> Entry {
    let spec = NodeSpec {
        id: NodeId(node),
        name: name.into(),
        address: String::new(),
        version: String::new(),
        capability: Capability::default(),
    };
    Entry { at: Millis(node), command: Command::NodeJoin(spec) }
}

/// An entry that leaves 8 KiB in the state.
pub(crate) fn fat(node: u64) -> Entry {
    let mut entry = join(node);
    let labels = (0..32).map(|label| (format!("{label:0>128}"), "x".repeat(128)));
    if let Command::NodeJoin(spec) = &mut entry.command {
        spec.capability.labels = labels.collect();
    }
    entry
}

pub(crate) fn has(state: &State, node: u64) -> bool {
    state.nodes.contains_key(&NodeId(node))
}

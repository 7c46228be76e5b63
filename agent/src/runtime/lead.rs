//! What this agent does for the mesh while it leads: who is up, who votes, what is planned.

use std::collections::BTreeMap;
use std::time::Duration;

use skein_core::capability::NodeSpec;
use skein_core::liveness::Liveness;
use skein_core::seats::{SeatChange, next_change};
use skein_core::{Command, Event, MeshId, Millis, NodeId, State, plan};
use skein_raft::{Role, Seat};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::api::handle::{Api, now as epoch_now, propose};

/// How long a change of seats may take before it is tried again.
const SEAT_CHANGE_TIME_MAX: Duration = Duration::from_secs(10);
/// After a change that failed, the next try waits so long: there is no leader to try it, or no quorum.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Something that the leader set about is over, well or not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settled {
    /// A command.
    Command,
    /// A change of seats.
    Seats,
}

/// One term's leadership.
#[derive(Debug)]
pub(super) struct Lead {
    node: NodeId,
    seat: Seat,
    own: NodeSpec,
    liveness: Liveness,
    /// What nodes gossip of themselves, until the state holds it.
    heard: BTreeMap<NodeId, NodeSpec>,
    /// One command at a time: the next is decided on the state that the last one made.
    proposing: bool,
    /// Seats change beside that, as a change may wait for a node to catch up.
    seating: bool,
}

impl Lead {
    pub(super) fn new(now: Millis, down_after: Millis, api: &Api, own: &NodeSpec) -> Self {
        let seat = api.seat.clone();
        let liveness = seat.read(|state| Liveness::new(now, down_after, state));
        Self {
            node: api.node,
            seat,
            own: own.clone(),
            liveness,
            heard: BTreeMap::new(),
            proposing: false,
            seating: false,
        }
    }

    /// A node was heard.
    pub(super) fn observe(&mut self, now: Millis, node: NodeId) {
        self.liveness.observe(now, node);
    }

    /// A node's process is known to be gone.
    pub(super) fn gone(&mut self, node: NodeId) {
        self.liveness.lose(node);
    }

    /// A node gossips what it is.
    pub(super) fn hear(&mut self, spec: NodeSpec) {
        self.heard.insert(spec.id, spec);
    }

    /// Something is over.
    pub(super) fn settled(&mut self, settled: Settled) {
        match settled {
            Settled::Command => self.proposing = false,
            Settled::Seats => self.seating = false,
        }
    }

    /// Sets about the next thing to do, if there is one and its like is not under way.
    pub(super) fn step(&mut self, now: Millis, role: &Role, settle: &mpsc::UnboundedSender<Settled>) {
        self.liveness.observe(now, self.node);
        let seat = self.seat.clone();
        if !self.proposing
            && let Some(command) = seat.read(|state| self.next_command(now, state))
        {
            self.proposing = true;
            tokio::spawn(carry_out(seat.clone(), command, settle.clone()));
        }
        if !self.seating
            && let Some(change) = next_seat_change(&seat, role)
        {
            self.seating = true;
            tokio::spawn(change_seats(seat, change, settle.clone()));
        }
    }

    /// When there may be something to do though nothing was heard. While a command is under way its end is what to wait for.
    pub(super) fn wake_at(&self, now: Millis) -> Option<Millis> {
        if self.proposing {
            return None;
        }
        self.seat.read(|state| {
            let epoch = epoch_now();
            let plan = plan::wake_at(state, epoch).map(|at| now + at.since(epoch));
            [self.liveness.wake_at(state), plan].into_iter().flatten().min()
        })
    }

    fn next_command(&mut self, now: Millis, state: &State) -> Option<Command> {
        // 1. The mesh itself, right after it was founded.
        if state.mesh.is_none() {
            return new_mesh().map(|mesh| Command::Found { mesh });
        }
        if !state.nodes.contains_key(&self.node) {
            return Some(Command::NodeJoin(self.own.clone()));
        }
        // 2. Who is there, and as what.
        if let Some(command) = self.liveness.next_command(now, state) {
            return Some(command);
        }
        self.heard.retain(|id, spec| state.nodes.get(id).is_some_and(|node| node.spec != *spec));
        if let Some((_, spec)) = self.heard.pop_first() {
            return Some(Command::NodeJoin(spec));
        }
        // 3. Who works for whom.
        let plan = plan(state, epoch_now());
        (!plan.is_empty()).then_some(Command::Plan(plan))
    }
}

/// A change of voters that a leader died over is ended before another begins.
fn next_seat_change(seat: &Seat, role: &Role) -> Option<SeatChange> {
    if role.changing {
        return Some(SeatChange::SetVoters(role.voters.clone()));
    }
    seat.read(|state| next_change(state, &role.voters, &role.learners))
}

async fn carry_out(seat: Seat, command: Command, settle: mpsc::UnboundedSender<Settled>) {
    match propose(&seat, command).await {
        Ok(events) => events.iter().for_each(log),
        Err(error) => {
            tracing::debug!("the leader's command failed: {error}");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
    let _ = settle.send(Settled::Command);
}

async fn change_seats(seat: Seat, change: SeatChange, settle: mpsc::UnboundedSender<Settled>) {
    tracing::debug!(?change, "the seats change");
    let changing = async {
        match change {
            SeatChange::AddLearner(node) => seat.add_learner(node).await,
            SeatChange::SetVoters(voters) => seat.set_voters(voters).await,
        }
    };
    match timeout(SEAT_CHANGE_TIME_MAX, changing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            // Most often a new voter that still catches up with the log: it is asked again shortly.
            tracing::debug!("the seats did not change: {error}");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
        Err(_) => tracing::warn!("the seats did not change in time; trying again"),
    }
    let _ = settle.send(Settled::Seats);
}

fn new_mesh() -> Option<MeshId> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).ok()?;
    Some(MeshId(u64::from_be_bytes(id)))
}

fn log(event: &Event) {
    match event {
        Event::NodeDown(node) => tracing::warn!(%node, "node is down"),
        Event::NodeUp(node) => tracing::info!(%node, "node is up again"),
        Event::NodeJoined(node) => tracing::info!(%node, "node joined"),
        Event::WorkerRemoved { worker, reason } => {
            tracing::info!(worker = worker.0, "worker leaves the plan: {reason}");
        }
        Event::PlacementRefused { placement, reason } => tracing::warn!(?placement, "placement refused: {reason}"),
        other => tracing::debug!(event = ?other, "committed"),
    }
}

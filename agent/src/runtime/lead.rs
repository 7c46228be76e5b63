//! What this agent does for the mesh while it leads: who is up, who votes, what is planned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skein_core::adapt::{Adapt, Usage};
use skein_core::capability::{Capability, Heat, NodeSpec, Power};
use skein_core::demand::{Demand, Pending};
use skein_core::durable::keep;
use skein_core::liveness::{Liveness, Patience};
use skein_core::plan::{CHANGES_MAX, Planner};
use skein_core::seats::{Proposal, SeatChange, next_change};
use skein_core::{Command, MeshId, Millis, NodeId, Resources, State, health, plan};
use skein_raft::{Role, Seat};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::api::handle::{Api, now as epoch_now, propose};
use crate::link::Word;
use crate::seat::look_at_seats;

mod log;

/// How long a change of seats may take before it is tried again.
const SEAT_CHANGE_TIME_MAX: Duration = Duration::from_secs(10);
/// After a change that failed, the next try waits so long: there is no leader to try it, or no quorum.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Durable tasks are kept for hours, and this looks at each of their streams.
const EXPIRY_LOOK_EVERY: Millis = Millis(10_000);

/// Something that the leader set about is over, well or not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settled {
    /// A command.
    Command,
    /// A change of seats.
    Seats,
}

/// Tells one state from the next: the number of its last event, and the count of changes to nodes and workers.
type Revision = (u64, u64);

/// One term's leadership.
#[derive(Debug)]
pub(super) struct Lead {
    node: NodeId,
    seat: Seat,
    own: NodeSpec,
    liveness: Liveness,
    demand: Demand,
    adapt: Adapt,
    planner: Planner,
    /// The state for which there was nothing to plan, and when there may be all the same.
    at_rest: Option<(Revision, Option<Millis>)>,
    /// When no durable task was found to have expired.
    expiry_looked_at: Option<Millis>,
    /// What nodes gossip of themselves, until the state holds it.
    heard: BTreeMap<NodeId, NodeSpec>,
    /// One command at a time: the next is decided on the state that the last one made.
    proposing: bool,
    /// Seats change beside that, as a change may wait for a node to catch up.
    seating: bool,
}

impl Lead {
    pub(super) fn new(now: Millis, patience: Patience, api: &Api, own: &NodeSpec) -> Self {
        let seat = api.seat.clone();
        let liveness = seat.read(|state| Liveness::new(api.node, now, patience, state));
        Self {
            node: api.node,
            seat,
            own: own.clone(),
            liveness,
            demand: Demand::default(),
            adapt: Adapt::default(),
            planner: Planner::default(),
            at_rest: None,
            expiry_looked_at: None,
            heard: BTreeMap::new(),
            proposing: false,
            seating: false,
        }
    }

    /// A node tells what goes on there.
    pub(super) fn told(&mut self, now: Millis, node: NodeId, word: Word) {
        match word {
            Word::Here => self.liveness.observe(now, node),
            // Another was sure that it led: its term is over, or this one's is about to be.
            Word::Led => {}
            Word::Pending(sessions) => {
                for (session, waiting, running) in sessions {
                    self.demand.observe(now, node, session, Pending { waiting, running });
                }
            }
            Word::Usage(mut workers) => {
                // A node speaks of its own workers only.
                self.seat.read(|state| {
                    workers.retain(|(id, ..)| state.workers.get(id).is_some_and(|worker| worker.node == node));
                });
                for (worker, cpu_millicores, memory_bytes) in workers {
                    let usage = Usage { cpu_millicores, memory_bytes, ..Usage::default() };
                    self.adapt.observe(now, worker, usage);
                }
            }
        }
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
        self.liveness.look(now);
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
            let planned = self.at_rest.and_then(|(_, wake)| wake);
            let by_epoch = [health::wake_at(state), planned].into_iter().flatten().map(|at| now + at.since(epoch));
            let by_own = [self.liveness.wake_at(state), self.demand.wake_at(), self.adapt.wake_at()];
            by_epoch.chain(by_own.into_iter().flatten()).min()
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
        if let Some(command) = keep::next_move(state) {
            return Some(command);
        }
        if let Some(spec) = next_news(state, &mut self.heard) {
            return Some(Command::NodeJoin(spec));
        }
        // 3. Which devices rest, how many workers sessions could use, and how large.
        let controlled = health::next_command(state, epoch_now())
            .or_else(|| self.demand.next_command(now, state))
            .or_else(|| self.adapt.next_command(now, state));
        // 4. Who works for whom.
        let planned = controlled.or_else(|| self.plan(state));
        // 5. Which durable tasks nobody came for.
        planned.or_else(|| self.expire(now, state))
    }

    fn expire(&mut self, now: Millis, state: &State) -> Option<Command> {
        if self.expiry_looked_at.is_some_and(|last| now.since(last) < EXPIRY_LOOK_EVERY) {
            return None;
        }
        let command = keep::next_expiry(state, epoch_now());
        if command.is_none() {
            self.expiry_looked_at = Some(now);
        }
        command
    }

    /// Plans, unless nothing has changed since there was nothing to plan.
    fn plan(&mut self, state: &State) -> Option<Command> {
        let now = epoch_now();
        let revision = (state.last_event, state.index().revision());
        if let Some((known, wake)) = self.at_rest
            && known == revision
            && wake.is_none_or(|wake| wake > now)
        {
            return None;
        }
        let plan = self.planner.plan(state, now, CHANGES_MAX);
        self.at_rest = plan.is_empty().then(|| (revision, plan::wake_at(state, now)));
        (!plan.is_empty()).then_some(Command::Plan(plan))
    }
}

/// What gossip says of a node that is up, where that is news. To state a node anew marks it as up, and what is gossiped of one that is
/// down may be from before: it waits until the node itself is heard.
fn next_news(state: &State, heard: &mut BTreeMap<NodeId, NodeSpec>) -> Option<NodeSpec> {
    heard.retain(|id, spec| state.nodes.get(id).is_some_and(|node| is_news(&node.spec, spec)));
    let next = heard.keys().find(|id| state.nodes.get(id).is_some_and(|node| node.up)).copied()?;
    heard.remove(&next)
}

/// Whether gossip says something of a node that the state does not hold. What changes all the time, how hot and how fast it
/// is, what it offers now and what it lives on, the node states by itself: gossip may be older than that.
fn is_news(known: &NodeSpec, heard: &NodeSpec) -> bool {
    let lasting = |spec: &NodeSpec| {
        let mut devices = spec.capability.devices.clone();
        for device in &mut devices {
            device.heat = Heat::Cool;
        }
        let power = Power::Unknown;
        let capability = Capability {
            offers: Resources::default(),
            devices,
            profiles: Vec::new(),
            power,
            flush_ms: None,
            ..spec.capability.clone()
        };
        NodeSpec { capability, ..spec.clone() }
    };
    known != heard && lasting(known) != lasting(heard)
}

/// A change of voters that a leader died over is ended before another begins.
fn next_seat_change(seat: &Seat, role: &Role) -> Option<SeatChange> {
    if role.changing {
        return Some(SeatChange::SetVoters(role.goal.clone()));
    }
    let Proposal { change, why } = look_at_seats(seat, role, epoch_now(), next_change)?;
    match &change {
        SeatChange::AddLearner(node) => tracing::debug!(%node, "a node gets a replica of the log"),
        SeatChange::SetVoters(voters) => {
            let names = |of: Vec<&NodeId>| of.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (come, go) =
                (names(voters.difference(&role.voters).collect()), names(role.voters.difference(voters).collect()));
            tracing::info!(come, go, "the voters change: {why}");
        }
    }
    Some(change)
}

async fn carry_out(seat: Seat, command: Command, settle: mpsc::UnboundedSender<Settled>) {
    match propose(&seat, command).await {
        Ok(events) => events.iter().for_each(log::committed),
        Err(error) => {
            tracing::debug!("the leader's command failed: {error}");
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
        }
    }
    let _ = settle.send(Settled::Command);
}

async fn change_seats(seat: Seat, change: SeatChange, settle: mpsc::UnboundedSender<Settled>) {
    let changing = async {
        match change {
            SeatChange::AddLearner(node) => seat.add_learner(node).await,
            SeatChange::SetVoters(voters) => match heir(&seat.role(), &voters) {
                Some(heir) => seat.transfer(heir).await,
                None => seat.set_voters(voters).await,
            },
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

/// Who has to lead before these may be the voters: a leader that gives up its own seat hands leadership over first, to whoever
/// keeps a seat and is furthest; that one then makes the change. Otherwise the mesh would wait for an election.
fn heir(role: &Role, voters: &BTreeSet<NodeId>) -> Option<NodeId> {
    if voters.contains(&role.node) {
        return None;
    }
    let staying = role.voters.intersection(voters).copied();
    staying.max_by_key(|node| role.matched.get(node).copied())
}

fn new_mesh() -> Option<MeshId> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).ok()?;
    Some(MeshId(u64::from_be_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use skein_core::capability::{Device, DeviceKind, Profile};
    use skein_core::model::ModelRef;

    fn node() -> NodeSpec {
        let device = Device {
            name: "cpu".into(),
            kind: DeviceKind::Cpu,
            hardware: "board".into(),
            offers: skein_core::Resources::default(),
            heat: Heat::Cool,
        };
        let capability = Capability { devices: vec![device], ..Capability::default() };
        let (name, address, version) = ("one".into(), "[::1]:1".into(), "1".into());
        NodeSpec { id: NodeId(1), name, address, version, capability }
    }

    #[test]
    fn gossip_is_believed_of_what_lasts_and_not_of_what_changes_all_the_time() {
        let known = node();
        let mut heard = node();
        heard.capability.devices[0].heat = Heat::Hot;
        let (model, target, device) = (ModelRef { name: "cats".into(), version: 1 }, "tract".into(), "cpu".into());
        heard.capability.profiles.push(Profile { model, target, device, run_micros: 7 });
        assert!(!is_news(&known, &heard) && !is_news(&heard, &known));
        heard.address = "[::1]:2".into();
        assert!(is_news(&known, &heard));
    }
    #[test]
    fn gossip_of_a_node_that_is_down_does_not_bring_it_up() {
        let mut state = State::default();
        let mut apply = |command| {
            skein_core::apply(&mut state, &skein_core::Entry { at: Millis(1), command }).unwrap();
            state.clone()
        };
        apply(Command::NodeJoin(node()));
        let down = apply(Command::NodeDown(NodeId(1)));
        let news = NodeSpec { address: "[::1]:2".into(), ..node() };
        let mut heard = BTreeMap::from([(NodeId(1), news.clone()), (NodeId(2), NodeSpec { id: NodeId(2), ..node() })]);
        assert_eq!(next_news(&down, &mut heard), None);
        let up = apply(Command::NodeUp(NodeId(1)));
        assert_eq!(next_news(&up, &mut heard), Some(news));
        assert!(heard.is_empty(), "a node that never joined is no news either");
    }
}

//! Who leads, and what it decides.

use std::collections::{BTreeMap, VecDeque};

use skein_core::adapt::Adapt;
use skein_core::demand::Demand;
use skein_core::durable::keep;
use skein_core::liveness::Liveness;
use skein_core::plan::{CHANGES_MAX, Planner};
use skein_core::{Command, Entry, MeshId, Millis, NodeId, health, plan};

use super::gateways::Words;
use super::log::up;
use super::{Happening, PATIENCE, World};

/// The leader's clock at the start of the run, as time since the Unix epoch.
const EPOCH: u64 = 1_700_000_000_000;

/// How long a command may be under way.
const LATE: Millis = Millis(100);
/// How often the leader looks for durable tasks that nobody came for: as in the agent.
const EXPIRY_LOOK_EVERY: Millis = Millis(10_000);
/// So many gaps are remembered well enough that one as long is not taken for a loss.
const GAPS_KNOWN: usize = 32;

#[derive(Debug)]
pub(super) struct Lead {
    pub(super) node: NodeId,
    liveness: Liveness,
    /// When each node was heard in this term: the simulator's own account, to check the other.
    heard: BTreeMap<NodeId, Heard>,
    is_proposing: bool,
    pub(super) is_seating: bool,
    pub(super) wake: Option<Millis>,
    pub(super) planner: Planner,
    pub(super) changes_max: usize,
    /// For which state there was nothing to plan: the number of its last event, and the count of changes to nodes and workers.
    at_rest: Option<(u64, u64)>,
    pub(super) demand: Demand,
    pub(super) words: Words,
    pub(super) adapt: Adapt,
    /// When no durable task was found to have expired.
    expiry_looked_at: Option<Millis>,
}

/// What the simulator knows of a node's beats in this term.
#[derive(Debug)]
struct Heard {
    at: Millis,
    /// Since when no silence was as long as one that takes any node down.
    since: Millis,
    /// Gaps of late, newest last.
    gaps: VecDeque<Millis>,
}

impl Heard {
    fn new(now: Millis) -> Self {
        Self { at: now, since: now, gaps: VecDeque::new() }
    }

    fn again(&mut self, now: Millis) {
        let gap = now.since(self.at);
        if gap >= PATIENCE.down_after_max {
            *self = Self::new(now);
            return;
        }
        self.at = now;
        self.gaps.push_back(gap);
        if self.gaps.len() > GAPS_KNOWN {
            self.gaps.pop_front();
        }
    }
}

impl World {
    /// What the clock of a node shows.
    pub(super) fn epoch(&self, node: NodeId) -> Millis {
        Millis(EPOCH + self.now.0 + self.machines.get(&node).map_or(0, |machine| machine.clock_ahead))
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        self.lead.as_ref().map(|lead| lead.node)
    }

    pub(super) fn elect(&mut self) {
        if self.lead.is_some() {
            return;
        }
        let able: Vec<NodeId> = self.voters.iter().copied().filter(|voter| self.is_reachable(*voter)).collect();
        let Some(node) = self.chance.pick(able).filter(|_| self.has_majority(&self.voters)) else {
            self.chance.count("election_without_quorum");
            self.after(Millis(500), Happening::Elect);
            return;
        };
        self.term += 1;
        self.chance.count("leader_elected");
        let liveness = Liveness::new(node, self.now, PATIENCE, &self.state);
        let heard = up(&self.state).map(|node| (node, Heard::new(self.now))).collect();
        // Some plan in small steps.
        let changes_max = if self.chance.percent(15) { 1 + self.chance.index(6) } else { CHANGES_MAX };
        self.lead = Some(Lead {
            node,
            liveness,
            heard,
            is_proposing: false,
            is_seating: false,
            wake: None,
            planner: Planner::default(),
            changes_max,
            at_rest: None,
            demand: Demand::default(),
            words: Words::default(),
            adapt: Adapt::default(),
            expiry_looked_at: None,
        });
        self.drive_leader();
    }

    /// The leader leads no longer; what it has not committed may be lost.
    pub(super) fn depose(&mut self) {
        self.lead = None;
        let delay = self.chance.number(200..1_500);
        self.after(Millis(delay), Happening::Elect);
    }

    pub(super) fn beat(&mut self, term: u64, node: NodeId) {
        let now = self.now;
        let Some(lead) = self.lead.as_mut().filter(|_| term == self.term) else { return };
        lead.liveness.observe(now, node);
        lead.heard.entry(node).or_insert_with(|| Heard::new(now)).again(now);
        self.drive_leader();
    }

    /// A command from outside; it waits for a leader if there is none.
    pub(super) fn take_in(&mut self, command: Command) {
        if let Some(node) = self.leader() {
            self.commit_later(false, node, command);
        } else if self.chance.percent(70) {
            self.after(Millis(300), Happening::Proposal(command));
        }
    }

    /// Entries are committed in the order in which the leader stamped them.
    fn commit_later(&mut self, own: bool, leader: NodeId, command: Command) {
        let delay = self.chance.number(1..60);
        let at = self.last_commit.max(self.now + Millis(delay));
        self.last_commit = at;
        let entry = Entry { at: self.epoch(leader), command };
        self.after(at.since(self.now), Happening::Commit { term: self.term, own, entry });
    }

    pub(super) fn commit(&mut self, term: u64, own: bool, entry: Entry) {
        if self.lead.is_some() && !self.has_majority(&self.voters) {
            self.chance.count("leader_lost_its_quorum");
            self.depose();
        }
        let Some(lead) = self.lead.as_mut() else {
            // The next leader decides what becomes of it.
            self.after(Millis(200), Happening::Commit { term, own, entry });
            return;
        };
        if term == self.term {
            lead.is_proposing &= !own;
            self.append(entry, own);
        } else if self.chance.percent(40) {
            // Enough voters had it, so the new leader committed what the old one left.
            self.chance.count("entry_committed_by_successor");
            self.append(entry, own);
        } else {
            let kind = if matches!(entry.command, Command::Plan(_)) {
                "plan_lost_uncommitted"
            } else {
                "entry_lost_uncommitted"
            };
            self.chance.count(kind);
        }
        self.drive_leader();
    }

    pub(super) fn drive_leader(&mut self) {
        let now = self.now;
        let Some(node) = self.leader() else { return };
        let epoch = self.epoch(node);
        let Some(lead) = &mut self.lead else { return };
        lead.liveness.look(now);
        if !lead.is_proposing
            && let Some(command) = self.decide(node, epoch)
        {
            self.commit_later(true, node, command);
            self.lead.iter_mut().for_each(|lead| lead.is_proposing = true);
        }
        self.seat();
        let state = &self.state;
        let Some(lead) = &mut self.lead else { return };
        let wakes = [plan::wake_at(state, epoch), health::wake_at(state)].into_iter().flatten();
        let wakes = wakes.map(|at| now + at.since(epoch));
        let own = [lead.liveness.wake_at(state), lead.demand.wake_at(), lead.adapt.wake_at()];
        let wake = wakes.chain(own.into_iter().flatten()).min();
        // What is due already waits for the command under way.
        lead.wake = wake.filter(|_| !lead.is_proposing);
        self.chance
            .check(lead.wake.is_none_or(|wake| wake > now), || "the leader wakes now again, with nothing to do".into());
    }

    fn decide(&mut self, node: NodeId, epoch: Millis) -> Option<Command> {
        if self.state.mesh.is_none() {
            return Some(Command::Found { mesh: MeshId(7) });
        }
        if !self.state.nodes.contains_key(&node) {
            return self.machines.get(&node).map(|machine| Command::NodeJoin(machine.spec.clone()));
        }
        let lead = self.lead.as_mut()?;
        if let Some(command) = lead.liveness.next_command(self.now, &self.state) {
            self.check_liveness(&command);
            return Some(command);
        }
        self.check_nobody_silent();
        if let Some(command) = keep::next_move(&self.state) {
            return Some(command);
        }
        if let Some(command) = health::next_command(&self.state, epoch) {
            self.chance.count("health_command");
            return Some(command);
        }
        let (now, state) = (self.now, &self.state);
        let lead = self.lead.as_mut()?;
        lead.words.forget(now, state);
        let observed = lead.demand.next_command(now, state).or_else(|| lead.adapt.next_command(now, state));
        if let Some(command) = observed {
            self.check_observed(&command);
            return Some(command);
        }
        self.plan(epoch).or_else(|| self.expire(epoch))
    }

    fn expire(&mut self, epoch: Millis) -> Option<Command> {
        let lead = self.lead.as_mut()?;
        if lead.expiry_looked_at.is_some_and(|last| self.now.since(last) < EXPIRY_LOOK_EVERY) {
            return None;
        }
        let command = keep::next_expiry(&self.state, epoch);
        if command.is_none() {
            lead.expiry_looked_at = Some(self.now);
        }
        command
    }

    fn plan(&mut self, epoch: Millis) -> Option<Command> {
        let revision = (self.state.last_event, self.state.index().revision());
        let lead = self.lead.as_mut()?;
        // Nothing changed, and the time has not come at which that alone would do. Now and then, it is planned all the same.
        let is_due = lead.wake.is_none_or(|wake| wake <= self.now);
        let rests = lead.at_rest == Some(revision) && !is_due;
        if rests && !self.chance.percent(3) {
            return None;
        }
        let plan = lead.planner.plan(&self.state, epoch, lead.changes_max);
        lead.at_rest = plan.is_empty().then_some(revision);
        self.chance.check(!rests || plan.is_empty(), || format!("nobody was woken for {plan:?}"));
        self.check_plan(epoch, &plan);
        self.chance.count(if plan.is_empty() { "plan_empty" } else { "plan_made" });
        (!plan.is_empty()).then_some(Command::Plan(plan))
    }

    /// How long a node has been silent, as far as the leader can know. It hears itself.
    fn silence(&self, node: NodeId) -> Millis {
        let Some(lead) = self.lead.as_ref().filter(|lead| lead.node != node) else { return Millis(0) };
        lead.heard.get(&node).map_or(Millis(u64::MAX), |heard| self.now.since(heard.at))
    }

    /// A node came up by the log: beats from before it went down must not count against it.
    pub(super) fn came_up(&mut self, node: NodeId) {
        let now = self.now;
        if let Some(lead) = &mut self.lead {
            lead.heard.entry(node).or_insert_with(|| Heard::new(now)).at = now;
        }
    }

    fn check_liveness(&mut self, command: &Command) {
        let Some(lead) = &self.lead else { return };
        match command {
            Command::NodeDown(node) => {
                let silence = self.silence(*node);
                let longest =
                    lead.heard.get(node).and_then(|heard| heard.gaps.iter().max()).copied().unwrap_or_default();
                let least = PATIENCE.down_after.max(longest).min(PATIENCE.down_after_max);
                self.chance
                    .check(silence >= least, || format!("{command:?} after {silence}, gaps of {longest} are usual"));
                self.chance.count(if longest > PATIENCE.down_after { "radio_down" } else { "wire_down" });
            }
            Command::NodeUp(node) if *node != lead.node => {
                let flaps = self.state.nodes.get(node).map_or(0, |known| known.flaps);
                let hold = PATIENCE.hold(flaps);
                let heard = lead.heard.get(node).map_or(Millis(0), |heard| heard.at.since(heard.since));
                self.chance.check(heard >= hold, || format!("{command:?}: heard for {heard}, must be for {hold}"));
                self.chance.count(if flaps > 1 { "flapping_node_up" } else { "node_up_first_time" });
            }
            _ => {}
        }
    }

    /// Where liveness has nothing to say, everyone who is up was heard of late.
    fn check_nobody_silent(&mut self) {
        for node in up(&self.state).collect::<Vec<_>>() {
            let silence = self.silence(node);
            let most = PATIENCE.down_after_max + LATE;
            self.chance.check(silence < most, || format!("node {node} is up after a silence of {silence}"));
        }
    }
}

//! Who has what, and who would fit where: counted from the workers, one by one, in numbers that cannot overflow.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::capability::{Device, DeviceKind};
use skein_core::health::Phase;
use skein_core::policy::PolicyName;
use skein_core::session::{Failure, Hold, Session};
use skein_core::state::Node;
use skein_core::worker::{Duty, Why, Worker};
use skein_core::{Millis, NodeId, Resources, SessionId, State, WorkerId};

/// How far ahead something may have been stamped by a leader whose clock is only a little off.
const AHEAD_MAX: u64 = 5_000;
/// How long a session waits before a place is kept free for it.
const STARVES_AFTER: u64 = 60_000;
/// Shares of the mesh are compared in billionths.
const BILLION: u128 = 1_000_000_000;

/// Amounts of everything, summed up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    cpu: u128,
    memory: u128,
    gpu: u128,
    gpu_memory: u128,
    named: BTreeMap<String, u128>,
}

impl Sum {
    pub(crate) fn of<'a>(each: impl Iterator<Item = &'a Resources>) -> Self {
        let mut sum = Self::default();
        each.for_each(|one| sum.add(one));
        sum
    }

    pub(crate) fn add(&mut self, more: &Resources) {
        self.cpu += u128::from(more.cpu_millicores);
        self.memory += u128::from(more.memory_bytes);
        self.gpu += u128::from(more.gpu_milli);
        self.gpu_memory += u128::from(more.gpu_memory_bytes);
        for (name, amount) in &more.named {
            *self.named.entry(name.clone()).or_default() += u128::from(*amount);
        }
    }

    fn of_name(&self, name: &str) -> u128 {
        self.named.get(name).copied().unwrap_or(0)
    }

    /// Whether a node that offers so much holds it.
    pub(crate) fn fits_node(&self, offers: &Resources) -> bool {
        let offered = |name: &str| u128::from(offers.named.get(name).copied().unwrap_or(0));
        self.cpu <= u128::from(offers.cpu_millicores)
            && self.memory <= u128::from(offers.memory_bytes)
            && self.named.iter().all(|(name, amount)| *amount <= offered(name))
    }

    /// Whether a device that offers so much holds it.
    pub(crate) fn fits_device(&self, offers: &Resources) -> bool {
        self.gpu <= u128::from(offers.gpu_milli) && self.gpu_memory <= u128::from(offers.gpu_memory_bytes)
    }

    /// In which dimensions, by number, a node and one device are over what they offer; the last stands for all named things.
    pub(crate) fn excess(&self, offers: &Resources, on_device: &Self, device: &Resources) -> Vec<usize> {
        let named = |name: &String| u128::from(offers.named.get(name).copied().unwrap_or(0));
        let over = [
            self.cpu > u128::from(offers.cpu_millicores),
            self.memory > u128::from(offers.memory_bytes),
            on_device.gpu > u128::from(device.gpu_milli),
            on_device.gpu_memory > u128::from(device.gpu_memory_bytes),
            self.named.iter().any(|(name, amount)| *amount > named(name)),
        ];
        (0..over.len()).filter(|at| over[*at]).collect()
    }

    /// Whether it is no more of anything than so much.
    pub(crate) fn is_within(&self, most: &Resources) -> bool {
        self.fits_node(most) && self.fits_device(most)
    }

    /// The largest part that so much is of this, in billionths.
    fn part(&self, amount: &Resources) -> u128 {
        let counted = [
            (amount.cpu_millicores, self.cpu),
            (amount.memory_bytes, self.memory),
            (amount.gpu_milli, self.gpu),
            (amount.gpu_memory_bytes, self.gpu_memory),
        ];
        let named = amount.named.iter().map(|(name, amount)| (*amount, self.of_name(name)));
        let part = |(amount, of): (u64, u128)| (u128::from(amount) * BILLION).checked_div(of).unwrap_or(0);
        counted.into_iter().chain(named).map(part).max().unwrap_or(0)
    }
}

/// The state by node and by session.
pub(crate) struct Mesh<'a> {
    pub(crate) state: &'a State,
    pub(crate) now: Millis,
    on: BTreeMap<NodeId, Vec<(WorkerId, &'a Worker)>>,
    serving: BTreeMap<SessionId, u32>,
    /// What all usable places offer.
    capacity: Sum,
}

impl<'a> Mesh<'a> {
    pub(crate) fn of(state: &'a State, now: Millis) -> Self {
        let mut mesh = Self { state, now, on: BTreeMap::new(), serving: BTreeMap::new(), capacity: Sum::default() };
        for (id, worker) in &state.workers {
            mesh.on.entry(worker.node).or_default().push((*id, worker));
            *mesh.serving.entry(worker.session).or_default() += u32::from(worker.duty == Duty::Serving);
        }
        for node in state.nodes.values().filter(|node| node.up && node.block.is_none()) {
            mesh.capacity.add(&node.spec.capability.offers);
            let devices = node.spec.capability.devices.iter().filter(|device| takes_work(node, &device.name));
            devices.for_each(|device| mesh.capacity.add(&device.offers));
        }
        mesh
    }

    pub(crate) fn on(&self, node: NodeId) -> &[(WorkerId, &'a Worker)] {
        self.on.get(&node).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn serving(&self, id: SessionId) -> u32 {
        self.serving.get(&id).copied().unwrap_or(0)
    }

    pub(crate) fn lacking(&self, id: SessionId, session: &Session) -> u32 {
        session.spec.fixed.saturating_sub(self.serving(id))
    }

    /// How many workers it has beyond its fixed ones.
    pub(crate) fn spare(&self, id: SessionId, session: &Session) -> u32 {
        self.serving(id).saturating_sub(session.spec.fixed)
    }

    /// Whether it competes for what is spare.
    pub(crate) fn is_hungry(&self, id: SessionId, session: &Session) -> bool {
        session.spec.share > 0 && self.lacking(id, session) == 0 && self.serving(id) < target(session)
    }

    /// The dominant share of so many of its workers beyond the fixed ones, divided by its weight; in billionths of
    /// billionths, so that nothing is lost to rounding.
    pub(crate) fn weighted(&self, session: &Session, spare: u32) -> u128 {
        self.capacity.part(&session.reserved) * u128::from(spare) * BILLION / u128::from(session.spec.share.max(1))
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (NodeId, &'a Device)> {
        let nodes = self.state.nodes.iter();
        nodes.flat_map(|(id, node)| node.spec.capability.devices.iter().map(move |device| (*id, device)))
    }

    /// Whether one more worker of a session may stand somewhere, if those who are meant by `gone` were not there.
    pub(crate) fn fits(
        &self,
        id: SessionId,
        session: &Session,
        place: (NodeId, &Device),
        gone: impl Fn(WorkerId, &Worker) -> bool,
    ) -> bool {
        let (node_id, device) = place;
        let Some(node) = self.state.nodes.get(&node_id) else { return false };
        if !may_serve(session, node, node_id, device, self.now) {
            return false;
        }
        if session.policy == PolicyName::GpuBinding && device.kind == DeviceKind::Cpu {
            return false;
        }
        let stays: Vec<&Worker> =
            self.on(node_id).iter().filter(|(id, worker)| !gone(*id, worker)).map(|(_, worker)| *worker).collect();
        let in_the_way = |other: &&Worker| {
            let theirs = self.state.sessions.get(&other.session).map(|session| &session.hold);
            is_shared(id, &session.hold, other.session, theirs, other.device == device.name)
        };
        if stays.iter().any(in_the_way) || self.is_kept_from(id, session, place) {
            return false;
        }
        let mut taken = Sum::of(stays.iter().map(|worker| &worker.need));
        let mut of_device =
            Sum::of(stays.iter().filter(|worker| worker.device == device.name).map(|worker| &worker.need));
        taken.add(&session.reserved);
        of_device.add(&session.reserved);
        taken.fits_node(&node.spec.capability.offers) && of_device.fits_device(&device.offers)
    }

    /// Whether a session keeps a place, where it has no worker now, from this one: all but those that could have made the worker
    /// there leave, for their fixed workers. Of a session that has all its fixed ones that was lent, and so anybody's for those.
    fn is_kept_from(&self, id: SessionId, session: &Session, (node, device): (NodeId, &Device)) -> bool {
        let lacks = self.lacking(id, session) > 0;
        self.state.sessions.iter().filter(|(other, _)| **other != id).any(|(other, keeper)| {
            let is_lower = keeper.spec.priority < session.spec.priority;
            let may_evict = session.policy == PolicyName::Preemptive && is_lower;
            let is_open = lacks && (may_evict || self.lacking(*other, keeper) == 0);
            let there = keeper.kept.iter().filter(|(kept, _)| *kept == node);
            let mut there = there.map(|(_, kept)| kept == &device.name);
            !is_open && there.any(|same| is_shared(id, &session.hold, *other, Some(&keeper.hold), same))
        })
    }

    /// Whether somebody is about to leave a node, so that its room may be meant for somebody.
    pub(crate) fn is_left(&self, node: NodeId) -> bool {
        self.on(node).iter().any(|(_, worker)| matches!(worker.duty, Duty::Leaving { .. }))
    }

    /// How many workers are about to leave for a session.
    pub(crate) fn left_for(&self, id: SessionId) -> u32 {
        self.state.nodes.keys().map(|node| self.left_on(*node, id)).sum()
    }

    /// How many of them on a node.
    pub(crate) fn left_on(&self, node: NodeId, id: SessionId) -> u32 {
        let for_it = self.on(node).iter().filter(|(_, worker)| leaves_for(worker) == Some(id));
        u32::try_from(for_it.count()).unwrap_or(u32::MAX)
    }

    /// Whether a session may have taken a place that others are about to leave.
    pub(crate) fn may_claim(&self, id: SessionId, session: &Session) -> bool {
        let mut left = self.places().filter(|(node, _)| self.is_left(*node));
        left.any(|place| self.fits(id, session, place, |_, worker| worker.duty != Duty::Serving))
    }

    /// How many nodes may be kept free for sessions other than this one: for those that have waited long and would stand
    /// somewhere if only others went; one node of eight, and one at least.
    pub(crate) fn promised(&self, not: SessionId) -> usize {
        let waits = |id: &SessionId, session: &Session| {
            *id != not && self.starves(*id, session) && self.places().any(|place| self.waits_for(*id, session, place))
        };
        let others = self.state.sessions.iter().filter(|(id, session)| waits(id, session)).count();
        others.min((self.state.nodes.len() / 8).clamp(1, 8))
    }

    /// Whether all of these nodes may be kept free for sessions other than this one.
    pub(crate) fn may_be_promised(&self, not: SessionId, nodes: &BTreeSet<NodeId>) -> bool {
        let starving = || self.state.sessions.iter().filter(|(id, session)| **id != not && self.starves(**id, session));
        let is_waited_for = |node: &NodeId| {
            let mut there = self.places().filter(|(known, _)| known == node);
            there.any(|place| starving().any(|(id, session)| self.waits_for(*id, session, place)))
        };
        nodes.len() <= self.promised(not) && nodes.iter().all(is_waited_for)
    }

    /// Whether one more worker of a session would stand at a place beside its own, once all others have gone.
    fn waits_for(&self, id: SessionId, session: &Session, place: (NodeId, &Device)) -> bool {
        self.fits(id, session, place, |_, worker| worker.session != id || worker.duty != Duty::Serving)
    }

    /// Whether it has waited so long that a place may be kept free for it.
    pub(crate) fn starves(&self, id: SessionId, session: &Session) -> bool {
        let long = |since: Millis| since.0 + STARVES_AFTER <= self.now.0 || since.0 > self.now.0 + AHEAD_MAX;
        self.lacking(id, session) > 0 && session.lacking_since.is_some_and(long)
    }

    /// The sessions that lack fixed workers, in the order in which they are served.
    pub(crate) fn queue(&self) -> Vec<(SessionId, &'a Session)> {
        let lacking = self.state.sessions.iter().filter(|(id, session)| self.lacking(**id, session) > 0);
        let mut queue: Vec<(SessionId, &Session)> = lacking.map(|(id, session)| (*id, session)).collect();
        queue.sort_by_key(|(id, session)| (rank(self.state.policy, session), session.evicted == 0, *id));
        // Whoever may evict takes the turn of the first whom it may; those of low priority first, as others may evict them.
        let mut takers = queue.clone();
        takers.retain(|(_, session)| session.policy == PolicyName::Preemptive);
        takers.sort_by_key(|(_, session)| session.spec.priority);
        for (taker, session) in takers {
            let Some(own) = queue.iter().position(|(id, _)| *id == taker) else { continue };
            let lower = |(_, other): &(SessionId, &Session)| other.spec.priority < session.spec.priority;
            if let Some(first) = queue[..own].iter().position(lower) {
                queue[first..=own].rotate_right(1);
            }
        }
        queue
    }
}

/// For which session a worker has to leave, if it is for one.
pub(crate) fn leaves_for(worker: &Worker) -> Option<SessionId> {
    match worker.duty {
        Duty::Leaving { why: Why::Preempted { by } | Why::Reclaimed { by }, .. } => Some(by),
        _ => None,
    }
}

/// How many workers a session should have.
pub(crate) fn target(session: &Session) -> u32 {
    let most = session.spec.fixed.max(session.spec.max);
    if session.wanted <= session.spec.fixed { session.spec.fixed } else { session.wanted.min(most) }
}

/// Smaller goes first.
pub(crate) fn rank(mesh: PolicyName, session: &Session) -> u8 {
    let by_priority = matches!(mesh, PolicyName::Priority | PolicyName::Preemptive);
    if by_priority { 100 - session.spec.priority } else { u8::MAX }
}

/// Whether a worker of one session and one of another, or of the same, may not stand together.
pub(crate) fn is_shared(
    one: SessionId,
    hold: &Hold,
    other: SessionId,
    their_hold: Option<&Hold>,
    same_device: bool,
) -> bool {
    if one == other {
        return same_device && *hold == Hold::EachDevice;
    }
    [Some(hold), their_hold].into_iter().flatten().any(|hold| match hold {
        Hold::Nothing => false,
        Hold::Device | Hold::EachDevice | Hold::Named { .. } => same_device,
        Hold::Node => true,
    })
}

/// Whether nobody took the device out of placement.
pub(crate) fn takes_work(node: &Node, device: &str) -> bool {
    let is_sound = node
        .devices
        .get(device)
        .is_none_or(|health| health.block.is_none() && matches!(health.phase, Phase::Sound | Phase::Probation { .. }));
    node.up && node.block.is_none() && is_sound
}

/// Whether a device is one on which workers of a session may stand, as far as that does not depend on who is there.
pub(crate) fn may_serve(session: &Session, node: &Node, id: NodeId, device: &Device, now: Millis) -> bool {
    let held_off = session.failures.get(&id).is_some_and(|failure| holds(failure, now));
    let bound_elsewhere = match &session.hold {
        Hold::Named { node: bound, device: name } => *bound != id || *name != device.name,
        _ => false,
    };
    !held_off && !bound_elsewhere && takes_work(node, &device.name) && runs(session, node, device)
}

/// Whether workers of the session failed of late, anywhere.
pub(crate) fn is_failing(session: &Session, now: Millis) -> bool {
    session.failures.values().any(|failure| holds(failure, now))
}

fn holds(failure: &Failure, now: Millis) -> bool {
    let length = 5_000 << failure.times.clamp(1, 7).saturating_sub(1);
    // A leader's clock was wrong where a failure lies far ahead.
    failure.at.0 + length > now.0 && failure.at.0 <= now.0 + AHEAD_MAX
}

/// Whether the session's workers may stand on a device: its target runs there, the node can have it work, and what they use of a
/// GPU or stick is counted, or nobody else's.
pub(crate) fn runs(session: &Session, node: &Node, device: &Device) -> bool {
    let target = &session.spec.target;
    let suits = match device.kind {
        DeviceKind::Cpu => ["tract", "onnxruntime", "openvino", "simulated"].contains(&target.as_str()),
        DeviceKind::Gpu => ["onnxruntime", "simulated"].contains(&target.as_str()),
        DeviceKind::Movidius => ["openvino", "simulated"].contains(&target.as_str()),
    };
    let is_counted = device.kind == DeviceKind::Cpu || session.spec.need.gpu_milli > 0 || session.hold != Hold::Nothing;
    let is_driven = device.kind == DeviceKind::Cpu || device.offers.gpu_milli != 0;
    suits && is_driven && is_counted && node.spec.capability.targets.iter().any(|known| known == target)
}

/// Whether a worker that has to leave has no time left: also where a leader whose clock was wrong gave it more than its
/// session does.
pub(crate) fn has_no_time_left(state: &State, worker: &Worker, now: Millis) -> bool {
    let grace = state.sessions.get(&worker.session).map_or(0, |session| session.spec.grace.0);
    match worker.duty {
        Duty::Leaving { until, why: Why::Drained } => until <= now,
        Duty::Leaving { until, .. } => until <= now || until.0 > now.0 + grace + AHEAD_MAX,
        _ => false,
    }
}

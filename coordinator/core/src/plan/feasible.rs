//! Where a worker may stand, and why not elsewhere. What is said here holds whatever a policy says: `apply` checks it again.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::capability::{Capability, Device, DeviceKind};
use crate::health::{DeviceHealth, Phase};
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::plan::Placement;
use crate::policy::Place;
use crate::resources::{Dimension, Resources};
use crate::session::{Hold, Session};
use crate::state::{Node, State};
use crate::time::Millis;
use crate::worker::{Why, Worker};

/// Why a worker may not stand in a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfit {
    /// The session is over.
    NoSession(SessionId),
    /// It has as many workers as it may have.
    SessionFull(SessionId),
    /// The node never joined.
    NoNode(NodeId),
    /// The node is not heard.
    NodeDown(NodeId),
    /// The node or the device takes no work by somebody's word.
    Blocked(String),
    /// Attempts failed on the device.
    Quarantined(String),
    /// Its workers failed there of late.
    HeldOff(NodeId, Millis),
    /// The node's binary lacks the target.
    NoTarget(NodeId, String),
    /// The target does not run on this kind of device.
    WrongDevice(String),
    /// No target of the node drives the device.
    NotDriven(String),
    /// The device has room that is counted, and the session asks for none of it.
    AsksForNone(String),
    /// The node has no such device.
    NoDevice(String),
    /// The session is bound to another place.
    BoundElsewhere,
    /// Another session keeps the node or device to itself.
    KeptBy(SessionId),
    /// The session wants it for itself, and others are there.
    SharedWith(SessionId),
    /// It is kept free for a session that has waited long.
    PromisedTo(SessionId),
    /// The session's policy keeps it off.
    Policy(String),
    /// Too little is left of one resource.
    NoRoom {
        /// Which.
        dimension: Dimension,
        /// How much the worker needs.
        need: u64,
        /// How much is left.
        room: u64,
    },
    /// No such worker.
    NoWorker(WorkerId),
    /// The worker is there for something else.
    WrongDuty(WorkerId),
    /// It leaves for a session that lacks it still.
    StillNeeded(SessionId),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession(session) => write!(f, "session {session} is over"),
            Self::SessionFull(session) => write!(f, "session {session} has all its workers"),
            Self::NoNode(node) => write!(f, "node {node} never joined"),
            Self::NodeDown(node) => write!(f, "node {node} is down"),
            Self::Blocked(reason) => write!(f, "it is blocked: {reason}"),
            Self::Quarantined(reason) => write!(f, "it is in quarantine: {reason}"),
            Self::HeldOff(node, _) => {
                write!(f, "its workers failed on node {node} of late, so it is passed over for a while")
            }
            Self::NoTarget(node, target) => write!(f, "node {node} has no target '{target}'"),
            Self::WrongDevice(device) => write!(f, "the target does not run on device '{device}'"),
            Self::NotDriven(device) => {
                write!(
                    f,
                    "nothing on its node can have device '{device}' work now: no target drives it, or it is broken"
                )
            }
            Self::AsksForNone(device) => write!(
                f,
                "its need has no part of a GPU or stick, and device '{device}' is shared by parts: give --gpu, or let the session have its devices to itself"
            ),
            Self::NoDevice(device) => write!(f, "there is no device '{device}'"),
            Self::BoundElsewhere => f.write_str("the session is bound to another device"),
            Self::KeptBy(session) => write!(f, "session {session} keeps it to itself"),
            Self::SharedWith(session) => write!(f, "the session wants it for itself, and session {session} is there"),
            Self::PromisedTo(session) => write!(f, "it is kept free for session {session}, which has waited long"),
            Self::Policy(reason) => write!(f, "its policy keeps it off: {reason}"),
            Self::NoRoom { dimension, need, room } => {
                write!(f, "it needs {}, {} are left", dimension.amount(*need), dimension.amount(*room))
            }
            Self::NoWorker(worker) => write!(f, "worker {worker} is not in the plan"),
            Self::WrongDuty(worker) => write!(f, "worker {worker} is there for something else by now"),
            Self::StillNeeded(session) => write!(f, "session {session}, which it leaves for, lacks its room still"),
        }
    }
}

/// Whether a placement holds against the state it meets; the session it is for, if so.
pub fn check<'state>(state: &'state State, now: Millis, placement: &Placement) -> Result<&'state Session, Unfit> {
    let id = placement.session;
    let session = state.sessions.get(&id).ok_or(Unfit::NoSession(id))?;
    if state.index().serving(id) >= session.workers_max() {
        return Err(Unfit::SessionFull(id));
    }
    let node = state.nodes.get(&placement.node).ok_or(Unfit::NoNode(placement.node))?;
    let device = node.spec.capability.device(&placement.device);
    let device = device.ok_or_else(|| Unfit::NoDevice(placement.device.clone()))?;
    node_may_serve(session, node, now)?;
    device_may_serve(session, node, device)?;
    let others = state.workers_on(placement.node).filter_map(|(_, worker)| beside(state, worker, &device.name));
    let is_fixed = state.index().serving(id) < session.spec.fixed;
    let keepers = state.keepers_on(placement.node);
    let keepers = keepers.filter(|(keeper, kept_by, _)| {
        let is_lent = state.index().serving(*keeper) >= kept_by.spec.fixed;
        is_closed((id, session), is_fixed, (*keeper, kept_by), is_lent)
    });
    let keepers = keepers.map(|(keeper, kept_by, kept)| (keeper, &kept_by.hold, *kept == device.name));
    company(id, &session.hold, others.chain(keepers))?;
    has_room(&session.reserved, &state.room(node, device))?;
    Ok(session)
}

/// Whether a worker that has to leave for a session may stay, in the state as it is.
pub(crate) fn leaves_for_nothing(state: &State, why: Why) -> Result<(), Unfit> {
    let (Why::Preempted { by } | Why::Reclaimed { by }) = why else { return Ok(()) };
    let Some(session) = state.sessions.get(&by) else { return Ok(()) };
    let lacks = lacked_by(session, why, state.index().serving(by));
    let leaving = state.index().leaving().filter_map(|(_, id)| state.workers.get(&id));
    let for_it = leaving.filter(|worker| worker.duty.leaves_for() == Some(by)).count();
    if is_one_too_many(lacks, for_it) { Ok(()) } else { Err(Unfit::StillNeeded(by)) }
}

/// How many workers a session, of which so many serve, lacks of those that others may have to leave for, for such a reason:
/// of the fixed ones, or of all that it wants.
pub(crate) fn lacked_by(session: &Session, why: Why, serving: u32) -> usize {
    let most = if matches!(why, Why::Preempted { .. }) { session.spec.fixed } else { session.target() };
    most.saturating_sub(serving) as usize
}

/// Whether one of so many that leave for a session may stay: it lacks nothing, or fewer workers than leave for it.
pub(crate) fn is_one_too_many(lacks: usize, leaving: usize) -> bool {
    lacks == 0 || leaving > lacks
}

/// Whether the node as such may hold a worker of this session.
pub(crate) fn node_may_serve(session: &Session, node: &Node, now: Millis) -> Result<(), Unfit> {
    let id = node.spec.id;
    if !node.up {
        return Err(Unfit::NodeDown(id));
    }
    if let Some(block) = &node.block {
        return Err(Unfit::Blocked(block.reason.clone()));
    }
    if matches!(&session.hold, Hold::Named { node, .. } if *node != id) {
        return Err(Unfit::BoundElsewhere);
    }
    if !node.spec.capability.targets.contains(&session.spec.target) {
        return Err(Unfit::NoTarget(id, session.spec.target.clone()));
    }
    match session.failures.get(&id) {
        Some(failure) if failure.holds(now) => Err(Unfit::HeldOff(id, failure.until())),
        _ => Ok(()),
    }
}

/// Whether the device as such may hold a worker of this session.
pub(crate) fn device_may_serve(session: &Session, node: &Node, device: &Device) -> Result<(), Unfit> {
    if !runs_on(&session.spec.target, device.kind) {
        return Err(Unfit::WrongDevice(device.name.clone()));
    }
    if !device.is_driven() {
        return Err(Unfit::NotDriven(device.name.clone()));
    }
    if !is_counted_on(session, device.kind) {
        return Err(Unfit::AsksForNone(device.name.clone()));
    }
    if matches!(&session.hold, Hold::Named { device: name, .. } if *name != device.name) {
        return Err(Unfit::BoundElsewhere);
    }
    node.devices.get(&device.name).map_or(Ok(()), is_usable)
}

fn is_usable(health: &DeviceHealth) -> Result<(), Unfit> {
    if let Some(block) = &health.block {
        return Err(Unfit::Blocked(block.reason.clone()));
    }
    match &health.phase {
        Phase::Quarantined { reason, .. } | Phase::Testing { reason, .. } => Err(Unfit::Quarantined(reason.clone())),
        Phase::Sound | Phase::Probation { .. } => Ok(()),
    }
}

/// Whether so much fits in a room.
pub(crate) fn has_room(need: &Resources, room: &Resources) -> Result<(), Unfit> {
    match need.first_excess(room) {
        Some((dimension, need, room)) => Err(Unfit::NoRoom { dimension, need, room }),
        None => Ok(()),
    }
}

/// A worker that stands on the node: whose it is, what its session keeps to itself, whether it is on this device.
pub(crate) type Beside<'state> = (SessionId, &'state Hold, bool);

fn beside<'state>(state: &'state State, worker: &Worker, device: &str) -> Option<Beside<'state>> {
    let session = state.sessions.get(&worker.session)?;
    Some((worker.session, &session.hold, worker.device == device))
}

/// Whether a place that a session keeps without a worker there is closed to another one: to all but those that could have made the
/// worker leave. For more than fixed workers nobody could; for those anybody could, where the session has its own fixed ones and
/// keeps what was only lent.
pub(crate) fn is_closed(
    (id, session): (SessionId, &Session),
    is_fixed: bool,
    (keeper, kept_by): (SessionId, &Session),
    is_lent: bool,
) -> bool {
    id != keeper && !(is_fixed && (is_lent || session.policy.policy().may_evict(session, kept_by)))
}

/// Whether one more worker of a session may stand beside those that are there, as far as anybody keeps a place to himself.
pub(crate) fn company<'state>(
    id: SessionId,
    hold: &Hold,
    others: impl Iterator<Item = Beside<'state>>,
) -> Result<(), Unfit> {
    for (other, their_hold, on_device) in others {
        if other == id {
            if on_device && *hold == Hold::EachDevice {
                return Err(Unfit::SharedWith(id));
            }
        } else if their_hold.keeps_node() || (on_device && their_hold.keeps_device()) {
            return Err(Unfit::KeptBy(other));
        } else if hold.keeps_node() || (on_device && hold.keeps_device()) {
            return Err(Unfit::SharedWith(other));
        }
    }
    Ok(())
}

/// Whether a worker that stands on this device may stay: what its node can run may have changed since it was placed.
pub(crate) fn can_run(capability: &Capability, device: &Device, session: &Session) -> bool {
    capability.targets.contains(&session.spec.target) && device.is_driven() && suits(session, device.kind)
}

/// Whether workers of a session may stand on this kind of device at all, where its node drives it.
pub(crate) fn suits(session: &Session, kind: DeviceKind) -> bool {
    runs_on(&session.spec.target, kind) && is_counted_on(session, kind)
}

/// What a worker uses of a GPU or stick is counted by its need. One that asks for nothing would use it all the same, so it
/// stands there only where nobody else can.
fn is_counted_on(session: &Session, kind: DeviceKind) -> bool {
    kind == DeviceKind::Cpu || session.spec.need.gpu_milli > 0 || session.hold.keeps_device()
}

/// Which kinds of device a target runs on. The node's own list of targets says what its binary holds.
fn runs_on(target: &str, kind: DeviceKind) -> bool {
    match target {
        "tract" => kind == DeviceKind::Cpu,
        "onnxruntime" => matches!(kind, DeviceKind::Cpu | DeviceKind::Gpu),
        "openvino" => matches!(kind, DeviceKind::Cpu | DeviceKind::Movidius),
        "simulated" => true,
        // A program drives what its node's operator says, which shows in what the node's devices offer.
        _ => target.starts_with("process:"),
    }
}

/// Whether a target runs on any kind of device that is no processor.
pub(crate) fn runs_beside_cpus(target: &str) -> bool {
    [DeviceKind::Gpu, DeviceKind::Movidius].into_iter().any(|kind| runs_on(target, kind))
}

/// Why the nodes that ever joined could not hold the fixed workers of this session, even if they were empty, or not one
/// worker where it has none fixed; none where they could.
pub fn never_fits(state: &State, session: &Session) -> Option<String> {
    let fixed = u64::from(session.spec.fixed.max(1));
    let mut hold: u64 = 0;
    let mut largest: Option<Resources> = None;
    let mut kept_off = None;
    for node in state.nodes.values() {
        let capability = &node.spec.capability;
        let mut on_devices: u64 = 0;
        for device in capability.devices.iter().filter(|device| is_meant(session, node, device)) {
            let place = Place { node, device, node_room: &capability.offers, device_room: &device.offers };
            if let Err(why) = session.policy.policy().filter(session, &place) {
                kept_off = Some(why);
                continue;
            }
            let offers = capability.offers.at(&device.offers);
            let most = if session.hold == Hold::EachDevice { 1 } else { u64::MAX };
            let count = session.reserved.count_on_device(&device.offers).min(most);
            let fits = session.reserved.fits(&offers);
            on_devices = on_devices.saturating_add(if fits { count } else { 0 });
            largest = Some(largest.map_or_else(|| offers.clone(), |largest| largest.max(&offers)));
        }
        hold = hold.saturating_add(on_devices.min(session.reserved.count_on_node(&capability.offers)));
        if hold >= fixed {
            return None;
        }
    }
    Some(match (largest, &session.hold, kept_off) {
        (Some(_), _, _) if hold > 0 => {
            alloc::format!("it asks for {fixed} fixed workers; all nodes together could hold {hold}")
        }
        (None, _, Some(why)) => alloc::format!("its policy keeps it off every device it could run on: {why}"),
        (None, Hold::Named { node, device }, _) => {
            alloc::format!("node {node} has no device '{device}' that target '{}' runs on", session.spec.target)
        }
        (None, _, _) => alloc::format!("no node has a device that target '{}' runs on", session.spec.target),
        (Some(largest), _, _) => match session.reserved.first_excess(&largest) {
            Some((dimension, need, most)) => {
                alloc::format!("it needs {}; the largest device has {}", dimension.amount(need), dimension.amount(most))
            }
            None => String::from("each of its needs could be met somewhere, but not all of them on one device"),
        },
    })
}

/// What of a reservation a session can be given: no less than it asked for, no more than it allows, and no more than some
/// place that is up offers. What is beyond all places would keep every worker from starting, and so from being measured.
pub fn within_reach(state: &State, session: &Session, reserved: &Resources) -> Resources {
    let most = session.spec.need_max.as_ref().unwrap_or(&session.spec.need);
    let asked = reserved.min(most).max(&session.spec.need);
    if asked.fits(&session.reserved) {
        return asked;
    }
    let mut best: Option<Resources> = None;
    for node in state.nodes.values().filter(|node| node.up) {
        let capability = &node.spec.capability;
        for device in capability.devices.iter().filter(|device| is_meant(session, node, device)) {
            let reached = asked.min(&capability.offers.at(&device.offers));
            if reached == asked {
                return asked;
            }
            // Of places that are too small, one that takes nothing away from what the session has.
            let is_more = |best: &Resources| reached.memory_bytes > best.memory_bytes;
            if session.reserved.fits(&reached) && best.as_ref().is_none_or(is_more) {
                best = Some(reached);
            }
        }
    }
    best.unwrap_or_else(|| session.reserved.clone())
}

/// Whether the session's target runs on a device, and it is not bound to another.
fn is_meant(session: &Session, node: &Node, device: &Device) -> bool {
    let is_named = match &session.hold {
        Hold::Named { node: named, device: name } => node.spec.id == *named && device.name == *name,
        _ => true,
    };
    is_named && can_run(&node.spec.capability, device, session)
}

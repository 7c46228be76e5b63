//! Where a worker may stand, and why not elsewhere. What is said here holds whatever a policy says: `apply` checks it again.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::capability::{Capability, Device, DeviceKind};
use crate::health::{DeviceHealth, Phase};
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::plan::Placement;
use crate::resources::{Dimension, Resources};
use crate::session::{Hold, Session};
use crate::state::{Node, State};
use crate::time::Millis;
use crate::worker::Worker;

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
    company(id, &session.hold, others)?;
    has_room(&session.reserved, &state.room(node, device))?;
    Ok(session)
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
pub(crate) fn can_run(capability: &Capability, device: &Device, target: &str) -> bool {
    capability.targets.iter().any(|known| known == target) && runs_on(target, device.kind)
}

/// Which kinds of device a target runs on. The node's own list of targets says what its binary holds.
pub(crate) fn runs_on(target: &str, kind: DeviceKind) -> bool {
    match target {
        "tract" => kind == DeviceKind::Cpu,
        "onnxruntime" => matches!(kind, DeviceKind::Cpu | DeviceKind::Gpu),
        "openvino" => matches!(kind, DeviceKind::Cpu | DeviceKind::Movidius),
        "simulated" => true,
        _ => false,
    }
}

/// Why no node that ever joined could hold a worker of this session, even if it were empty; none where one could.
pub fn never_fits(state: &State, session: &Session) -> Option<String> {
    let nodes = state.nodes.values().map(|node| &node.spec);
    let places = nodes.flat_map(|spec| spec.capability.devices.iter().map(move |device| (spec, device)));
    let mut largest: Option<Resources> = None;
    for (spec, device) in places {
        let is_named = match &session.hold {
            Hold::Named { node, device: name } => spec.id == *node && device.name == *name,
            _ => true,
        };
        if is_named && can_run(&spec.capability, device, &session.spec.target) {
            let offers = spec.capability.offers.at(&device.offers);
            if session.reserved.fits(&offers) {
                return None;
            }
            largest = Some(largest.map_or_else(|| offers.clone(), |largest| largest.max(&offers)));
        }
    }
    Some(match (largest, &session.hold) {
        (None, Hold::Named { node, device }) => {
            alloc::format!("node {node} has no device '{device}' that target '{}' runs on", session.spec.target)
        }
        (None, _) => alloc::format!("no node has a device that target '{}' runs on", session.spec.target),
        (Some(largest), _) => match session.reserved.first_excess(&largest) {
            Some((dimension, need, most)) => {
                alloc::format!("it needs {}; the largest device has {}", dimension.amount(need), dimension.amount(most))
            }
            None => String::from("each of its needs could be met somewhere, but not all of them on one device"),
        },
    })
}

//! Where a worker may stand, and why not elsewhere.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::capability::{Capability, Device, DeviceKind};
use crate::ids::{NodeId, SessionId};
use crate::plan::Placement;
use crate::resources::{Dimension, Resources};
use crate::session::Session;
use crate::state::{Node, State};
use crate::time::Millis;

/// Why a worker may not stand in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The session is over.
    NoSession(SessionId),
    /// It has all its workers.
    SessionFull(SessionId),
    /// The node never joined.
    NoNode(NodeId),
    /// The node is not heard.
    NodeDown(NodeId),
    /// Its workers failed there of late.
    HeldOff(NodeId, Millis),
    /// The node's binary lacks the target.
    NoTarget(NodeId, String),
    /// The target does not run on this kind of device.
    WrongDevice(String),
    /// The node has no such device.
    NoDevice(String),
    /// Too little is left of one resource.
    NoRoom {
        /// Which.
        dimension: Dimension,
        /// How much the worker needs.
        need: u64,
        /// How much is left.
        room: u64,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession(session) => write!(f, "session {session} is over"),
            Self::SessionFull(session) => write!(f, "session {session} has all its workers"),
            Self::NoNode(node) => write!(f, "node {node} never joined"),
            Self::NodeDown(node) => write!(f, "node {node} is down"),
            Self::HeldOff(node, _) => {
                write!(f, "its workers failed on node {node} of late, so it is passed over for a while")
            }
            Self::NoTarget(node, target) => write!(f, "node {node} has no target '{target}'"),
            Self::WrongDevice(device) => write!(f, "the target does not run on device '{device}'"),
            Self::NoDevice(device) => write!(f, "there is no device '{device}'"),
            Self::NoRoom { dimension, need, room } => {
                write!(f, "it needs {}, {} are left", dimension.amount(*need), dimension.amount(*room))
            }
        }
    }
}

/// Whether a placement holds against the state it meets; the session it is for, if so.
pub fn check<'state>(state: &'state State, now: Millis, placement: &Placement) -> Result<&'state Session, Unfit> {
    let session = state.sessions.get(&placement.session).ok_or(Unfit::NoSession(placement.session))?;
    if state.workers_of(placement.session).count() >= session.fixed as usize {
        return Err(Unfit::SessionFull(placement.session));
    }
    let node = state.nodes.get(&placement.node).ok_or(Unfit::NoNode(placement.node))?;
    let device = node.spec.capability.device(&placement.device);
    let device = device.ok_or_else(|| Unfit::NoDevice(placement.device.clone()))?;
    node_may_serve(session, node, now)?;
    device_may_serve(session, device, &state.room(placement.node, device))?;
    Ok(session)
}

/// Whether the node as such may hold a worker of this session.
pub(crate) fn node_may_serve(session: &Session, node: &Node, now: Millis) -> Result<(), Unfit> {
    let id = node.spec.id;
    if !node.up {
        return Err(Unfit::NodeDown(id));
    }
    if !node.spec.capability.targets.contains(&session.target) {
        return Err(Unfit::NoTarget(id, session.target.clone()));
    }
    match session.failures.get(&id) {
        Some(failure) if failure.holds(now) => Err(Unfit::HeldOff(id, failure.until())),
        _ => Ok(()),
    }
}

/// Whether the device, with this much room left, may hold a worker of this session.
pub(crate) fn device_may_serve(session: &Session, device: &Device, room: &Resources) -> Result<(), Unfit> {
    if !runs_on(&session.target, device.kind) {
        return Err(Unfit::WrongDevice(device.name.clone()));
    }
    match session.need.first_excess(room) {
        Some((dimension, need, room)) => Err(Unfit::NoRoom { dimension, need, room }),
        None => Ok(()),
    }
}

/// Whether a worker that stands on this device may stay: what its node can run may have changed since it was placed.
pub(crate) fn can_run(capability: &Capability, device: &Device, target: &str) -> bool {
    capability.targets.iter().any(|known| known == target) && runs_on(target, device.kind)
}

/// Which kinds of device a target runs on. `tract` is pure Rust on the processor; the node's own list of targets says
/// what its binary holds.
fn runs_on(target: &str, kind: DeviceKind) -> bool {
    match target {
        "tract" => kind == DeviceKind::Cpu,
        _ => false,
    }
}

/// Why one more worker of this session stands nowhere: a sentence for each place that was refused.
pub fn obstacles(state: &State, now: Millis, session: &Session) -> Vec<String> {
    let mut found = Vec::new();
    for (id, node) in &state.nodes {
        if let Err(unfit) = node_may_serve(session, node, now) {
            found.push(alloc::format!("{}: {unfit}", node.spec.name));
            continue;
        }
        for device in &node.spec.capability.devices {
            if let Err(unfit) = device_may_serve(session, device, &state.room(*id, device)) {
                found.push(alloc::format!("{}, device '{}': {unfit}", node.spec.name, device.name));
            }
        }
    }
    found
}

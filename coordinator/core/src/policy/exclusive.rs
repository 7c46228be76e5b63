//! Devices or nodes of one's own.

use crate::policy::{Place, Policy, fcfs};
use crate::resources::Resources;
use crate::session::{Hold, Session};

/// A session has its devices, or nodes, to itself until it ends. What it does not use there is lost to others, so it is
/// given the smallest places that will do.
#[derive(Debug)]
pub struct Exclusive;

impl Policy for Exclusive {
    fn rank(&self, _session: &Session) -> u8 {
        fcfs::BY_AGE
    }

    fn score(&self, session: &Session, place: &Place) -> Option<i64> {
        // What would be left of what it keeps, as a part of all there is: the less, the better. A processor has nothing of its
        // own beside its node.
        let keeps_node = session.hold.keeps_node() || place.device.offers == Resources::default();
        let (room, offers) = if keeps_node {
            (place.node_room, &place.node.spec.capability.offers)
        } else {
            (place.device_room, &place.device.offers)
        };
        let wasted = room.minus(&session.reserved).dominant_share(offers);
        Some(-i64::try_from(wasted).unwrap_or(i64::MAX))
    }

    fn hold(&self) -> Hold {
        Hold::Device
    }
}

//! Devices or nodes of one's own.

use crate::policy::{Place, Policy, fcfs};
use crate::session::{Hold, Session};

/// A session has its devices, or nodes, to itself until it ends. What it does not use there is lost to others, so it is
/// given the smallest places that will do.
#[derive(Debug)]
pub struct Exclusive;

impl Policy for Exclusive {
    fn rank(&self, session: &Session) -> u8 {
        fcfs::by_age(session)
    }

    fn score(&self, session: &Session, place: &Place) -> Option<i64> {
        // What would be left of the place, as a part of all it has: the less, the better.
        let room = place.node_room.at(place.device_room);
        let offers = place.node.spec.capability.offers.at(&place.device.offers);
        let wasted = room.minus(&session.reserved).dominant_share(&offers);
        Some(-i64::try_from(wasted).unwrap_or(i64::MAX))
    }

    fn hold(&self) -> Hold {
        Hold::Device
    }
}

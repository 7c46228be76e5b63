//! Why a session waits, why a worker stands where it stands, and what would happen: with the code that decides it.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::capability::Heat;
use crate::ids::{NodeId, SessionId, WorkerId};
use crate::plan::feasible::{self, Unfit};
use crate::plan::weigh;
use crate::policy::PolicyName;
use crate::resources::Resources;
use crate::state::State;
use crate::time::Millis;

pub use forecast::{Forecast, Step, Victim, forecast};

mod forecast;

/// The most places one explanation lists: the chosen, the best of the others, and the refused by node.
pub const PLACES_MAX: usize = 1_000;

/// Where one more worker of a session could stand, and why nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The session.
    pub session: SessionId,
    /// The worker that was asked about, where one was: it is weighed as if it were not there yet.
    pub worker: Option<WorkerId>,
    /// The policy it is placed by.
    pub policy: PolicyName,
    /// The policy that orders the mesh.
    pub mesh_policy: PolicyName,
    /// How many workers it has.
    pub serving: u32,
    /// See [`crate::session::SessionSpec::fixed`].
    pub fixed: u32,
    /// See [`crate::session::Session::target`].
    pub target: u32,
    /// How many sessions that lack fixed workers come before it; none where it lacks none itself.
    pub before_it: Option<u32>,
    /// What each worker is given.
    pub reserved: Resources,
    /// Why no node could ever hold one, where that is so.
    pub never_fits: Option<String>,
    /// Every place: the best first, then those refused.
    pub places: Vec<PlaceVerdict>,
    /// Places beyond [`PLACES_MAX`].
    pub left_out: usize,
}

/// What is said of one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceVerdict {
    /// The node.
    pub node: NodeId,
    /// Its name, for people.
    pub node_name: String,
    /// The device.
    pub device: String,
    /// Whether a worker may stand there, and how good that would be.
    pub verdict: Verdict,
}

/// Whether a worker may stand at a place, and how good that would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It may not.
    Refused(Unfit),
    /// It may.
    Scored(Score),
}

/// What makes a place better or worse, the weightiest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Workers of the same session on the node: fewer is better, so that one loss never takes them all.
    pub same_session: u32,
    /// How fast the model was measured to run on the device, or on those like it where it was not measured itself, in
    /// microseconds. None where neither was: then it is taken to be as fast as the best of its kind, until it is tried.
    pub run_micros: Option<u64>,
    /// What the session's policy makes of it; larger is better.
    pub policy: i64,
    /// Whether the model is loaded on the node.
    pub warm: bool,
    /// How hot the device is.
    pub heat: Heat,
    /// Whether the device is on probation.
    pub probation: bool,
    /// How much of the place is taken, in percent of the scarcest dimension.
    pub load_percent: u8,
}

/// Explains a session; none where there is no such session.
pub fn session(state: &State, now: Millis, id: SessionId) -> Option<Explanation> {
    explain(state, now, id, None)
}

/// Explains a worker; none where there is no such worker.
pub fn worker(state: &State, now: Millis, id: WorkerId) -> Option<Explanation> {
    explain(state, now, state.workers.get(&id)?.session, Some(id))
}

fn explain(state: &State, now: Millis, id: SessionId, worker: Option<WorkerId>) -> Option<Explanation> {
    let session = state.sessions.get(&id)?;
    let mut places = weigh::weigh(state, now, id, session, worker);
    let left_out = places.len().saturating_sub(PLACES_MAX);
    places.truncate(PLACES_MAX);
    Some(Explanation {
        session: id,
        worker,
        policy: session.policy,
        mesh_policy: state.policy,
        serving: state.index().serving(id),
        fixed: session.spec.fixed,
        target: session.target(),
        before_it: weigh::before_it(state, now, id),
        reserved: session.reserved.clone(),
        never_fits: feasible::never_fits(state, session),
        places,
        left_out,
    })
}

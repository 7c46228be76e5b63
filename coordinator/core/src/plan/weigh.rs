//! What the planner thinks of every place, for whoever asks why.

use alloc::vec::Vec;

use crate::explain::{PlaceVerdict, Score, Verdict};
use crate::ids::{SessionId, WorkerId};
use crate::plan;
use crate::plan::class::{Key, Speeds};
use crate::plan::cycle::{Cycle, Spot};
use crate::plan::fixed;
use crate::plan::places::Places;
use crate::plan::request::Request;
use crate::session::Session;
use crate::state::State;
use crate::time::Millis;
use crate::worker::Worker;

/// What comes first in a list of places: as the planner would take them; what is refused last.
type Order = Result<(u32, u32, i64, bool, Key), Spot>;

/// Every place for one more worker of a session when its turn comes, the best first: with what is kept for others, and what
/// those before it take. A worker that is named is weighed as if it were not there.
pub(crate) fn weigh(
    state: &State,
    now: Millis,
    id: SessionId,
    session: &Session,
    without: Option<WorkerId>,
) -> Vec<PlaceVerdict> {
    let mut places = Places::default();
    places.follow(state);
    let mut cycle = Cycle::new(state, now, &mut places, usize::MAX);
    plan::decide(&mut cycle, Some(id));
    let served = without.is_some_and(|worker| state.workers.get(&worker).is_some_and(Worker::serves));
    let is_fixed = cycle.serving(id).saturating_sub(u32::from(served)) < session.spec.fixed;
    let mut request = Request::new(&mut cycle, id, session, is_fixed);
    request.count_own(&cycle);
    if let Some((worker, slot)) = without.and_then(|worker| Some((worker, cycle.slot_of(worker)?))) {
        cycle.places.change(slot, |slot| slot.take(worker));
        if served {
            request.gave_up(slot);
        }
    }
    let slots = cycle.places.slots().iter().enumerate();
    let spots = slots.flat_map(|(number, slot)| (0..slot.devices.len()).map(move |at| (number, at)));
    let mut weighed: Vec<(Order, PlaceVerdict)> = spots.filter_map(|spot| verdict(&cycle, &request, spot)).collect();
    // `Ok` is less than `Err`.
    weighed.sort_by_key(|(order, _)| *order);
    weighed.into_iter().map(|(_, verdict)| verdict).collect()
}

/// How many sessions that lack fixed workers are served before this one; none where it lacks none.
pub(crate) fn before_it(state: &State, now: Millis, id: SessionId) -> Option<u32> {
    let mut places = Places::default();
    let cycle = Cycle::new(state, now, &mut places, 0);
    let at = fixed::lacking(&cycle).iter().position(|(waits, _)| *waits == id)?;
    u32::try_from(at).ok()
}

fn verdict(cycle: &Cycle, request: &Request, spot: Spot) -> Option<(Order, PlaceVerdict)> {
    let (number, at) = spot;
    let slot = cycle.places.slot(number);
    let node = cycle.state.nodes.get(&slot.node)?;
    let device = slot.devices.get(at)?;
    let (order, verdict) = match (request.misfit(cycle, spot), device.key()) {
        (None, Some(key)) => {
            let score = score(cycle, request, spot, key);
            let same = if request.is_fixed { score.same_session } else { 0 };
            (Ok((same, request.pace_at(cycle, spot), -score.policy, !score.warm, key)), Verdict::Scored(score))
        }
        (unfit, _) => (Err(spot), Verdict::Refused(unfit?)),
    };
    let node_name = node.spec.name.clone();
    Some((order, PlaceVerdict { node: slot.node, node_name, device: device.name.clone(), verdict }))
}

fn score(cycle: &Cycle, request: &Request, spot: Spot, key: Key) -> Score {
    let slot = cycle.places.slot(spot.0);
    let class = &cycle.places.classes()[slot.devices[spot.1].class];
    let Session { model, spec, .. } = request.session;
    let own = slot.run_micros(spot.1, model, &spec.target);
    Score {
        same_session: request.own_on(spot.0),
        run_micros: own.or_else(|| class.speeds(model, &spec.target).map(Speeds::run_micros)),
        policy: request.score(cycle, spot).unwrap_or(0),
        warm: slot.has_loaded(request.model),
        heat: key.heat,
        probation: key.probation,
        load_percent: key.load * 5,
    }
}

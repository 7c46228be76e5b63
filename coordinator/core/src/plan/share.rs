//! What is spare, by weighted dominant-resource fairness (Ghodsi et al., NSDI 2011).
//!
//! A session's dominant share is the largest part, over all dimensions, that its spare workers take of the mesh; divided by
//! its `share`, it is what sessions are compared by. Whoever has least gets one worker more, until nobody can be given one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::ids::SessionId;
use crate::plan::cycle::Cycle;
use crate::plan::evict::{self, Donor};
use crate::plan::fixed;
use crate::plan::needs::{self, Needs};
use crate::plan::request::Request;
use crate::session::Session;
use crate::worker::Why;

/// The richest sessions that are asked for a worker; if none of so many has one in the right place, the next may not either.
const DONORS_MAX: usize = 64;

/// How a session stands among those that compete: by the rank of the mesh's policy, then by what it has for its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    rank: u8,
    /// Its dominant share in millionths, times a thousand, divided by its weight.
    weighted: u64,
    session: SessionId,
}

/// Keeps what others leave for those that compete.
pub(super) fn keep_left<'state>(cycle: &mut Cycle<'state>, requests: &mut Requests<'state>) {
    for (id, session) in cycle.expected() {
        let count = wants(cycle, id, session);
        if count > 0 {
            let request = requests.of(cycle, id, session);
            fixed::keep(cycle, request, count);
        }
    }
}

/// Shares out what is spare; up to the turn of one session where one is named.
pub(super) fn share_out<'state>(cycle: &mut Cycle<'state>, requests: &mut Requests<'state>, up_to: Option<SessionId>) {
    let state = cycle.state;
    let hungry = state.sessions.iter().filter(|(id, session)| competes(cycle, **id, session));
    let mut hungry: BTreeSet<Standing> = hungry.map(|(id, session)| standing(cycle, *id, session, 1)).collect();
    if hungry.is_empty() {
        return;
    }
    let lent = state.sessions.iter().filter(|(id, session)| cycle.lent(**id, session) > 0);
    let mut lent: BTreeSet<Standing> = lent.map(|(id, session)| standing(cycle, *id, session, 0)).collect();
    // The needs of a mesh come in few sizes: what nobody has room for, and what nobody can be asked to make room for. Whoever
    // comes later has less of a right to the latter.
    let (mut full, mut unasked) = (Needs::default(), Needs::default());
    while let Some(first) = hungry.pop_first() {
        let Some(session) = state.sessions.get(&first.session).filter(|_| !cycle.is_cut()) else { return };
        let id = first.session;
        cycle.release(id);
        if up_to == Some(id) {
            return;
        }
        let before = standing(cycle, id, session, 0);
        let mut taken = false;
        if !full.cover(session) || cycle.may_get_back(id) {
            let request = requests.of(cycle, id, session);
            taken = take(cycle, request, &mut full);
        }
        if !taken && !unasked.cover(session) {
            taken = exchange(cycle, id, session, requests, &mut lent);
            if !taken && needs::is_like_others(session, cycle.now) {
                unasked.insert(session);
            }
        }
        if taken {
            lent.remove(&before);
            if cycle.lent(id, session) > 0 {
                lent.insert(standing(cycle, id, session, 0));
            }
            let more = wants(cycle, id, session);
            if more > 0 {
                hungry.insert(standing(cycle, id, session, 1));
                let request = requests.of(cycle, id, session);
                fixed::keep(cycle, request, more);
            }
        }
    }
}

/// The searches of this cycle: a session comes back for each worker, and what its search is made of stays the same.
#[derive(Default)]
pub(super) struct Requests<'state>(BTreeMap<SessionId, Request<'state>>);

impl<'state> Requests<'state> {
    fn of(&mut self, cycle: &mut Cycle<'state>, id: SessionId, session: &'state Session) -> &mut Request<'state> {
        self.0.entry(id).or_insert_with(|| Request::new(cycle, id, session, false))
    }
}

/// How many workers of what is spare it wants.
fn wants(cycle: &Cycle, id: SessionId, session: &Session) -> u32 {
    if competes(cycle, id, session) { session.target() - cycle.serving(id) } else { 0 }
}

/// Whether a session wants more than it has, and may.
fn competes(cycle: &Cycle, id: SessionId, session: &Session) -> bool {
    let serving = cycle.serving(id);
    session.spec.share > 0 && serving >= session.spec.fixed && serving < session.target()
}

/// One worker more without anybody leaving; whether there was one.
fn take<'state>(cycle: &mut Cycle<'state>, request: &mut Request<'state>, full: &mut Needs<'state>) -> bool {
    let taken = fixed::take_one(cycle, request);
    if !taken && request.is_hopeless(cycle) {
        full.insert(request.session);
    }
    taken
}

/// How a session stands, or would with so many workers more or less.
fn standing(cycle: &Cycle, id: SessionId, session: &Session, more: i64) -> Standing {
    let spare = i64::from(cycle.spare(id, session)) + more;
    let share = session.reserved.dominant_share(cycle.places.capacity());
    let weighted = share.saturating_mul(u64::try_from(spare).unwrap_or(0)).saturating_mul(1_000)
        / u64::from(session.spec.share.max(1));
    Standing { rank: cycle.state.policy.policy().rank(session), weighted, session: id }
}

/// Those that have more for their weight than the session would have with one worker more give one back. It stops where
/// one more exchange would only turn the tables.
fn exchange<'state>(
    cycle: &mut Cycle<'state>,
    id: SessionId,
    session: &'state Session,
    requests: &mut Requests<'state>,
    lent: &mut BTreeSet<Standing>,
) -> bool {
    let after = standing(cycle, id, session, 1);
    let richer = |standing: &&Standing| (standing.rank, standing.weighted) > (after.rank, after.weighted);
    let richest: Vec<Standing> = lent.iter().rev().take_while(richer).take(DONORS_MAX).copied().collect();
    let donor = |(turn, standing): (usize, &Standing)| {
        let holder = cycle.state.sessions.get(&standing.session).filter(|_| standing.session != id)?;
        let most = may_lose(cycle, standing.session, holder, after);
        Some(Donor { session: standing.session, priority: holder.spec.priority, is_fixed: false, most, turn })
    };
    let donors: Vec<Donor> = richest.iter().enumerate().filter_map(donor).collect();
    if donors.is_empty() {
        return false;
    }
    let request = requests.of(cycle, id, session);
    let taken = evict::evict(cycle, request, &donors, |_, by| Why::Reclaimed { by });
    for old in richest.iter().filter(|_| taken) {
        lent.remove(old);
        if let Some(holder) = cycle.state.sessions.get(&old.session)
            && cycle.lent(old.session, holder) > 0
        {
            lent.insert(standing(cycle, old.session, holder, 0));
        }
    }
    taken
}

/// How many workers a donor may lose, one after another, each time as long as it has more than the session would have.
fn may_lose(cycle: &Cycle, id: SessionId, holder: &Session, after: Standing) -> u32 {
    let spare = cycle.spare(id, holder);
    let still_richer = |lost: &u32| {
        let standing = standing(cycle, id, holder, -i64::from(*lost));
        (standing.rank, standing.weighted) > (after.rank, after.weighted)
    };
    let lent = cycle.lent(id, holder);
    u32::try_from((0..spare.min(lent)).take_while(still_richer).count()).unwrap_or(spare)
}

//! What sessions' workers are given, by what they are measured to use: quick up, slow down.
//!
//! For each session that allows it, a window of [`SLOTS`] slots holds the most that any of its workers used. Following the
//! newest number would be the plain way, and it fails: a reservation that shrinks in each pause is gone when the work comes
//! back. So it rises at once with what nearly always was enough, and falls only when nothing in the whole window needed it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::command::Command;
use crate::ids::{SessionId, WorkerId};
use crate::plan::feasible;
use crate::resources::Resources;
use crate::session::Session;
use crate::state::State;
use crate::time::Millis;

/// The length of one slot: agents say what their workers use about as often.
pub const SLOT: Millis = Millis(5_000);
/// Slots of the window: five minutes, so that work which comes once a minute is in it several times.
pub const SLOTS: usize = 60;
/// The part of the slots whose use is covered, in percent: the rarest peaks are left to the head-room.
pub const PERCENTILE: usize = 95;
/// What is given above the use, in percent: the next task may need a little more than the last.
pub const HEAD_ROOM_PERCENT: u64 = 15;
/// A reservation rises when more than this part of it is missing, in percent: less is not worth a change of the plan.
pub const RISE_PERCENT: u64 = 5;
/// A reservation falls when less than this part of it was needed, in percent.
pub const FALL_BELOW_PERCENT: u64 = 80;
/// By so much it falls at once, in percent.
pub const FALL_STEP_PERCENT: u64 = 10;
/// And not again before this time.
pub const FALL_EVERY: Millis = Millis(60_000);
/// Workers whose use was told and not yet taken up; what does not fit is told again with the next slot.
pub const TOLD_MAX: usize = 65_536;
/// Two slots running that need more are no accident, however many before did not.
const LASTING_SLOTS: usize = 2;

/// What one worker was measured to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Thousandths of a core.
    pub cpu_millicores: u64,
    /// Bytes of main memory.
    pub memory_bytes: u64,
    /// Thousandths of a GPU, where that can be measured.
    pub gpu_milli: Option<u64>,
    /// Bytes of GPU memory, where that can be measured.
    pub gpu_memory_bytes: Option<u64>,
}

/// The account. A new leader starts a new one, and so takes nothing away for the length of a window.
#[derive(Debug, Default)]
pub struct Adapt {
    told: BTreeMap<WorkerId, (Millis, Usage)>,
    sessions: BTreeMap<SessionId, Window>,
}

#[derive(Debug)]
struct Window {
    /// By number, oldest first.
    slots: VecDeque<(u64, Usage)>,
    /// It falls only when nobody needed more since then for the length of a window.
    since: Millis,
    fell: Option<Millis>,
    /// What the session was given when it was last looked at.
    reserved: Resources,
    /// When it falls next, if nothing else happens.
    falls_at: Option<Millis>,
}

impl Adapt {
    /// A worker was measured.
    pub fn observe(&mut self, now: Millis, worker: WorkerId, usage: Usage) {
        if self.told.len() < TOLD_MAX || self.told.contains_key(&worker) {
            let told = self.told.entry(worker).or_insert((now, usage));
            *told = (now, told.1.most(&usage));
        }
    }

    /// The first change that the account calls for.
    pub fn next_command(&mut self, now: Millis, state: &State) -> Option<Command> {
        self.take_up(now, state);
        let (session, reserved) = self.sessions.iter_mut().find_map(|(id, window)| {
            let session = state.sessions.get(id)?;
            let reserved = feasible::within_reach(state, session, &window.next(now, session)?);
            (reserved != session.reserved).then_some((*id, reserved))
        })?;
        Some(Command::SessionReserve { session, reserved })
    }

    /// When [`Self::next_command`] may have something though nobody says anything.
    pub fn wake_at(&self) -> Option<Millis> {
        self.sessions.values().filter_map(|window| window.falls_at).min()
    }

    /// Sorts what was told by session, and drops sessions that ended.
    fn take_up(&mut self, now: Millis, state: &State) {
        self.sessions.retain(|id, _| state.sessions.contains_key(id));
        for (worker, (at, usage)) in core::mem::take(&mut self.told) {
            let Some(worker) = state.workers.get(&worker) else { continue };
            let Some(session) = state.sessions.get(&worker.session) else { continue };
            if session.spec.need_max.is_some() {
                let window = self.sessions.entry(worker.session).or_insert_with(|| Window::new(now, session));
                window.add(at, &usage);
            }
        }
    }
}

impl Window {
    fn new(now: Millis, session: &Session) -> Self {
        Self { slots: VecDeque::new(), since: now, fell: None, reserved: session.reserved.clone(), falls_at: None }
    }

    fn add(&mut self, at: Millis, usage: &Usage) {
        let number = at.0 / SLOT.0;
        match self.slots.back_mut() {
            Some((newest, most)) if *newest >= number => *most = most.most(usage),
            _ => self.slots.push_back((number, *usage)),
        }
    }

    /// What the session should be given, if that is something else than it is.
    fn next(&mut self, now: Millis, session: &Session) -> Option<Resources> {
        let oldest = (now.0 / SLOT.0 + 1).saturating_sub(SLOTS as u64);
        while self.slots.front().is_some_and(|(number, _)| *number < oldest) {
            self.slots.pop_front();
        }
        if !session.reserved.fits(&self.reserved) {
            // A worker ran out of memory, or we said so ourselves: what is needed is more than was measured so far.
            self.since = now;
        }
        self.reserved = session.reserved.clone();
        let full = self.since + Millis(SLOT.0 * SLOTS as u64);
        let may_fall_at = self.fell.map_or(full, |fell| full.max(fell + FALL_EVERY));
        let wish = self.wish(&session.reserved, may_fall_at <= now);
        let falls_later = self.wish(&session.reserved, true) != self.wish(&session.reserved, false);
        self.falls_at = (falls_later && may_fall_at > now).then_some(may_fall_at);
        let most = session.spec.need_max.as_ref().unwrap_or(&session.spec.need);
        let next = wish.min(most).max(&session.spec.need);
        if next == session.reserved {
            return None;
        }
        if !session.reserved.fits(&next) {
            self.fell = Some(now);
        }
        Some(next)
    }

    /// Each dimension by itself; named things are counted out, not measured.
    fn wish(&self, reserved: &Resources, may_fall: bool) -> Resources {
        let of = |reserved: u64, used: fn(&Usage) -> Option<u64>| self.follow(reserved, used, may_fall);
        Resources {
            cpu_millicores: of(reserved.cpu_millicores, |used| Some(used.cpu_millicores)),
            memory_bytes: of(reserved.memory_bytes, |used| Some(used.memory_bytes)),
            gpu_milli: of(reserved.gpu_milli, |used| used.gpu_milli),
            gpu_memory_bytes: of(reserved.gpu_memory_bytes, |used| used.gpu_memory_bytes),
            named: reserved.named.clone(),
        }
    }

    fn follow(&self, reserved: u64, used: fn(&Usage) -> Option<u64>, may_fall: bool) -> u64 {
        let mut amounts: Vec<u64> = self.slots.iter().filter_map(|(_, usage)| used(usage)).collect();
        let lasting = amounts.iter().rev().take(LASTING_SLOTS).min().copied().unwrap_or(0);
        amounts.sort_unstable();
        let Some(peak) = amounts.last().copied() else { return reserved };
        let rank = (amounts.len() * PERCENTILE).div_ceil(100).saturating_sub(1);
        let mostly = amounts.get(rank).copied().unwrap_or(peak);
        let wish = with_head_room(mostly.max(lasting));
        if is_above(wish, reserved, 100 + RISE_PERCENT) {
            return wish;
        }
        let least = with_head_room(peak);
        let falls = may_fall && is_above(percent(reserved, FALL_BELOW_PERCENT), least, 100);
        if falls { least.max(percent(reserved, 100 - FALL_STEP_PERCENT)) } else { reserved }
    }
}

impl Usage {
    /// The larger of both in each dimension.
    fn most(&self, other: &Self) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores.max(other.cpu_millicores),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            gpu_milli: self.gpu_milli.max(other.gpu_milli),
            gpu_memory_bytes: self.gpu_memory_bytes.max(other.gpu_memory_bytes),
        }
    }
}

fn with_head_room(amount: u64) -> u64 {
    percent(amount, 100 + HEAD_ROOM_PERCENT)
}

/// So many percent of an amount. What was measured comes from outside, and may be any number.
fn percent(amount: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// Whether an amount is more than so many percent of another.
fn is_above(amount: u64, of: u64, percent: u64) -> bool {
    u128::from(amount) * 100 > u128::from(of) * u128::from(percent)
}

//! What the agent sees of one worker process from outside: its pid, its attempts, and how they ended.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skein_core::dispatch::TaskId;
use skein_core::dispatch::history::Fault;
use tokio::sync::Notify;

/// Runs after which a worker takes as much memory as it should: heaps and caches have filled up by then.
const RUNS_BEFORE_BASE: u64 = 32;
/// See [`Ended::suspects`].
const SUSPECTS_MAX: usize = 2;

/// The eye on one worker, from its start to its end.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
    /// Something changed for a worker that has grown too large.
    outgrown: Notify,
}

#[derive(Debug)]
struct Seen {
    pid: Option<u32>,
    /// What the process has and has not answered, oldest first: at most what the host's queue lets through.
    under_way: VecDeque<TaskId>,
    /// Since when the oldest attempt under way runs or last wrote a checkpoint, or since when there is none.
    since: Instant,
    ended: Ended,
    growth: Growth,
}

/// How its memory grew.
#[derive(Debug, Default)]
struct Growth {
    /// Attempts that went well since its start.
    runs: u64,
    /// What it took, in bytes, when it had done enough of them.
    base: Option<u64>,
    is_too_large: bool,
}

/// What ended since it was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Attempts that went well.
    pub runs: u64,
    /// How long these took in all, in microseconds.
    pub run_micros: u64,
    /// How long the run took that was made before the first attempt, in microseconds.
    pub first_micros: Option<u64>,
    /// Faults after the last attempt that went well.
    pub faults: u32,
    /// What the last of them was.
    pub last_fault: String,
    /// At which tasks they happened: the first two will do, as all that matters is whether it was always the same.
    pub suspects: Vec<TaskId>,
}

impl Ended {
    fn add_fault(&mut self, task: TaskId, what: &str) {
        self.faults = self.faults.saturating_add(1);
        if self.suspects.len() < SUSPECTS_MAX && !self.suspects.contains(&task) {
            self.suspects.push(task);
        }
        what.clone_into(&mut self.last_fault);
    }
}

impl Watch {
    pub(super) fn new() -> Self {
        let seen = Seen {
            pid: None,
            under_way: VecDeque::new(),
            since: Instant::now(),
            ended: Ended::default(),
            growth: Growth::default(),
        };
        Self { seen: Mutex::new(seen), outgrown: Notify::new() }
    }

    /// Its process runs.
    pub(super) fn started(&self, pid: Option<u32>) {
        self.seen().pid = pid;
    }

    /// The run before it was ready took so long.
    pub(super) fn ran_once(&self, micros: u64) {
        self.seen().ended.first_micros = Some(micros);
    }

    /// An attempt goes to the process.
    pub(super) fn sent(&self, task: TaskId) {
        let mut seen = self.seen();
        seen.under_way.push_back(task);
        if seen.under_way.len() == 1 {
            seen.since = Instant::now();
        }
    }

    /// The process answered an attempt, with what it was asked for or with a fault. A fault of the task says nothing of the
    /// device.
    pub(super) fn answered(&self, task: TaskId, run_micros: u64, fault: Option<&Fault>) {
        let mut seen = self.seen();
        let place = seen.under_way.iter().position(|under_way| *under_way == task);
        place.and_then(|place| seen.under_way.remove(place));
        // A worker does one thing after the other: the next one begins now.
        seen.since = Instant::now();
        match fault {
            None => {
                seen.growth.runs += 1;
                let (runs, micros) = (seen.ended.runs + 1, seen.ended.run_micros.saturating_add(run_micros));
                let first_micros = seen.ended.first_micros;
                seen.ended = Ended { runs, run_micros: micros, first_micros, ..Ended::default() };
            }
            Some(Fault::Place(reason)) => seen.ended.add_fault(task, reason),
            Some(Fault::Task(_)) => {}
        }
    }

    /// The process died by itself. That is a fault where it had something to do.
    pub(super) fn died(&self, how: &str) {
        let mut seen = self.seen();
        seen.pid = None;
        if let Some(oldest) = std::mem::take(&mut seen.under_way).front() {
            seen.ended.add_fault(*oldest, how);
        }
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.seen().pid
    }

    /// The oldest attempt under way wrote a checkpoint: what it did before is not lost with it.
    pub(super) fn kept(&self) {
        self.seen().since = Instant::now();
    }

    /// For how long the oldest attempt under way has run since its beginning or its last checkpoint.
    pub(super) fn at_stake(&self) -> Duration {
        let seen = self.seen();
        if seen.under_way.is_empty() { Duration::ZERO } else { seen.since.elapsed() }
    }

    /// For how long no attempt has been under way.
    pub(super) fn idle_for(&self) -> Duration {
        let seen = self.seen();
        if seen.under_way.is_empty() { seen.since.elapsed() } else { Duration::ZERO }
    }

    /// What ended since this was last called.
    pub(super) fn take_ended(&self) -> Ended {
        std::mem::take(&mut self.seen().ended)
    }

    /// It takes so many bytes now, and may grow by so many.
    pub(super) fn takes(&self, bytes: u64, growth_max: u64) {
        let mut seen = self.seen();
        if seen.growth.runs < RUNS_BEFORE_BASE {
            return;
        }
        let base = *seen.growth.base.get_or_insert(bytes);
        if bytes.saturating_sub(base) > growth_max {
            seen.growth.is_too_large = true;
            drop(seen);
            self.outgrown.notify_one();
        }
    }

    /// Whether it has to be started anew as soon as it is between two tasks.
    pub(super) fn is_outgrown(&self) -> bool {
        self.seen().growth.is_too_large
    }

    /// Returns when it has to be started anew and has nothing to do.
    pub(super) async fn outgrown_and_idle(&self) {
        loop {
            self.outgrown.notified().await;
            if self.seen().under_way.is_empty() {
                return;
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_core::{Sequence, StreamId};

    fn task(number: u64) -> TaskId {
        TaskId { stream: StreamId(1), sequence: Sequence(number) }
    }

    #[test]
    fn attempts_are_counted_from_their_way_in_to_their_answer() {
        let watch = Watch::new();
        assert_eq!(watch.at_stake(), Duration::ZERO);
        watch.sent(task(1));
        watch.sent(task(2));
        assert_eq!(watch.idle_for(), Duration::ZERO);
        watch.answered(task(1), 100, None);
        assert_eq!(watch.idle_for(), Duration::ZERO, "one is left");
        watch.answered(task(2), 300, None);
        assert_eq!(watch.at_stake(), Duration::ZERO);
        assert_eq!(watch.take_ended(), Ended { runs: 2, run_micros: 400, ..Ended::default() });
        assert_eq!(watch.take_ended(), Ended::default());
    }

    #[test]
    fn it_has_outgrown_itself_when_it_takes_much_more_than_once_it_was_warm() {
        let watch = Watch::new();
        watch.takes(1_000, 50);
        for number in 0..RUNS_BEFORE_BASE {
            watch.takes(number * 1_000, 50);
            watch.sent(task(number));
            watch.answered(task(number), 1, None);
        }
        watch.takes(2_000, 50);
        watch.takes(2_050, 50);
        assert!(!watch.is_outgrown(), "what it took before it was warm says nothing");
        watch.takes(2_051, 50);
        assert!(watch.is_outgrown());
    }

    #[test]
    fn a_death_at_work_is_a_fault_and_a_death_in_idleness_is_none() {
        let watch = Watch::new();
        watch.died("signal 9");
        assert_eq!(watch.take_ended(), Ended::default());
        watch.sent(task(1));
        watch.answered(task(1), 0, Some(&Fault::Task("no picture".into())));
        assert_eq!(watch.take_ended(), Ended::default(), "a bad picture is not the device's fault");
        watch.sent(task(1));
        watch.sent(task(2));
        watch.died("signal 9");
        assert_eq!(
            watch.take_ended(),
            Ended { faults: 1, last_fault: "signal 9".into(), suspects: vec![task(1)], ..Ended::default() }
        );
    }

    #[test]
    fn a_run_that_fails_on_the_device_is_a_fault_and_one_that_succeeds_ends_the_row() {
        let watch = Watch::new();
        let fails = |number| {
            watch.sent(task(number));
            watch.answered(task(number), 0, Some(&Fault::Place("the driver is gone".into())));
        };
        fails(1);
        fails(2);
        fails(2);
        fails(3);
        assert_eq!(
            watch.take_ended(),
            Ended {
                faults: 4,
                last_fault: "the driver is gone".into(),
                suspects: vec![task(1), task(2)],
                ..Ended::default()
            }
        );
        fails(1);
        watch.sent(task(2));
        watch.answered(task(2), 100, None);
        assert_eq!(watch.take_ended(), Ended { runs: 1, run_micros: 100, ..Ended::default() });
    }
}

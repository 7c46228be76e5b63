//! The life of a ready worker: it is fed, and heard, until one of the two ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use skein_core::dispatch::history::Fault;
use skein_core::dispatch::{Loss, TaskId};
use tokio::io::BufReader;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::worker::host::watch::Watch;
use crate::worker::host::{AttemptEnd, Checkpoint, Job, Listener, Says};
use crate::worker::process::{self, Ending, Process};
use crate::worker::protocol::{FromWorker, ToWorker};
use crate::worker::shared::{PIPE_BYTES_MAX, Slots};

/// An answer that is in the pipe when the time is up still counts: an agent that was itself held up must read it first.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Why a worker serves no more.
#[derive(Debug)]
pub(super) enum Over {
    /// Its process ended or broke the protocol. How it ended, and that for people.
    Ended(Ending, String),
    /// It was at one task for too long.
    Hung(String),
    /// It had grown too large.
    Outgrown,
}

/// What made it stop.
enum Broke {
    Pipe(Option<String>),
    Hung,
    Outgrown,
}

/// What a running worker has to answer, by ticket.
#[derive(Default)]
struct Outstanding {
    jobs: HashMap<u64, Held>,
    last_ticket: u64,
}

/// One attempt that it has, and who waits for it.
#[derive(Clone)]
struct Held {
    task: TaskId,
    attempt: u32,
    listener: Listener,
    /// In which slot of shared memory its input lies.
    slot: Option<usize>,
}

/// Feeds a ready worker until it ends. Whoever waits for an answer of it is told that it is lost, also when this future is dropped.
pub(super) async fn serve(process: Process, jobs: mpsc::Receiver<Job>, watch: &Watch, task_time: Duration) -> Over {
    let Process { child, mut input, mut output, slots } = process;
    let outstanding = Arc::new(Mutex::new(Outstanding::default()));
    let told = TellLost(outstanding.clone());
    let broke = tokio::select! {
        error = write_all(&mut input, slots.as_ref(), jobs, &outstanding, watch) => Broke::Pipe(error),
        broke = read_all(&mut output, slots.as_ref(), &outstanding, watch) => broke,
        () = hangs(watch, task_time) => Broke::Hung,
        () = watch.outgrown_and_idle() => Broke::Outgrown,
    };
    let process = Process { child, input, output, slots };
    match broke {
        Broke::Pipe(error) => {
            // It ended by itself, or broke its word. Whoever waits hears of it at once: before the plan does, which blames nobody.
            told.tell(true);
            let end = process.end().await;
            let reason = match error {
                Some(error) => format!("the worker process {end} ({error})"),
                None => format!("the worker process {end}"),
            };
            Over::Ended(end, reason)
        }
        Broke::Hung => {
            let limit = humantime::format_duration(task_time);
            let reason =
                format!("it hung: it was at one task for {limit}, the most that its session allows (--task-time)");
            if let Some(task) = told.fail_oldest(&reason) {
                watch.answered(task, 0, Some(&Fault::Place(reason.clone())));
            }
            told.tell(false);
            process.end().await;
            Over::Hung(reason)
        }
        Broke::Outgrown => {
            told.tell(false);
            process.end().await;
            Over::Outgrown
        }
    }
}

async fn write_all(
    input: &mut ChildStdin,
    slots: Option<&Slots>,
    mut jobs: mpsc::Receiver<Job>,
    outstanding: &Mutex<Outstanding>,
    watch: &Watch,
) -> Option<String> {
    while let Some(Job { attempt, listener }) = jobs.recv().await {
        let (span, payload) = match slots.filter(|_| attempt.bytes() > PIPE_BYTES_MAX) {
            None => (None, attempt.joined()),
            Some(slots) => match slots.put([&attempt.checkpoint, &attempt.payload]).await {
                Some(span) => (Some(span), Bytes::new()),
                // It and its checkpoint together may be more than a slot holds, as they may be more than a message.
                None => (None, attempt.joined()),
            },
        };
        let ticket = {
            let mut held = lock(outstanding);
            held.last_ticket += 1;
            let ticket = held.last_ticket;
            let slot = span.map(|span| span.slot);
            held.jobs.insert(ticket, Held { task: attempt.task, attempt: attempt.attempt, listener, slot });
            ticket
        };
        watch.sent(attempt.task);
        let checkpoint_bytes = attempt.checkpoint.len();
        let task = ToWorker::Task { ticket, input: attempt.input, checkpoint_bytes, span };
        if let Err(error) = process::send(input, &task, &payload).await {
            return Some(error.to_string());
        }
    }
    None
}

async fn read_all(
    output: &mut BufReader<ChildStdout>,
    slots: Option<&Slots>,
    outstanding: &Mutex<Outstanding>,
    watch: &Watch,
) -> Broke {
    loop {
        let message = match process::receive(output).await {
            Ok(Some(message)) => message,
            Ok(None) => return Broke::Pipe(None),
            Err(error) => return Broke::Pipe(Some(error.to_string())),
        };
        let broke = |why: &str| Broke::Pipe(Some(why.into()));
        let (ticket, run_micros, result) = match message.header() {
            Ok(FromWorker::Result { ticket, run_micros, result }) => (ticket, run_micros, result),
            Ok(FromWorker::Checkpoint { ticket }) => {
                let of = lock(outstanding).jobs.get(&ticket).cloned();
                let Some(Held { task, attempt, listener, .. }) = of else {
                    return broke("it is at what it was not asked");
                };
                watch.kept();
                listener(Says::Checkpoint(Checkpoint { task, attempt, bytes: message.payload }));
                continue;
            }
            Ok(_) => return broke("it spoke out of turn"),
            Err(error) => return broke(&error.to_string()),
        };
        let job = lock(outstanding).jobs.remove(&ticket);
        let Some(Held { task, attempt, listener, slot }) = job else {
            return broke("it answered what it was not asked");
        };
        if let (Some(slots), Some(slot)) = (slots, slot) {
            slots.release(slot);
        }
        watch.answered(task, run_micros, result.as_ref().err());
        listener(Says::End(AttemptEnd { task, attempt, run_micros, result, payload: message.payload }));
        // Between two tasks nothing is lost with it: what waits in its pipe has not begun.
        if watch.is_outgrown() {
            return Broke::Outgrown;
        }
    }
}

/// Returns when the oldest attempt under way has taken longer than it may.
async fn hangs(watch: &Watch, task_time: Duration) {
    loop {
        let left = task_time.saturating_sub(watch.at_stake());
        if left.is_zero() {
            sleep(LAST_WORD).await;
            if watch.at_stake() >= task_time {
                return;
            }
        } else {
            // What begins meanwhile is looked at in time, too: it cannot be over before this is.
            sleep(left).await;
        }
    }
}

/// Tells everybody who still waits, whatever way the worker ended.
struct TellLost(Arc<Mutex<Outstanding>>);

impl TellLost {
    /// A worker does one thing after the other: where it died, it was at the oldest of what it had.
    fn tell(&self, died: bool) {
        let jobs = std::mem::take(&mut lock(&self.0).jobs);
        let mut jobs: Vec<_> = jobs.into_iter().collect();
        jobs.sort_unstable_by_key(|(ticket, _)| *ticket);
        // A listener takes the first word only, so the one that knows the most comes first.
        for (place, (_, Held { task, attempt, listener, .. })) in jobs.into_iter().enumerate() {
            let at_work = died && place == 0;
            listener(Says::Lost(if at_work { Loss::Died { task, attempt } } else { Loss::Gone }));
        }
    }

    /// What it was at has failed here, for this reason. Which task that was.
    fn fail_oldest(&self, reason: &str) -> Option<TaskId> {
        let Held { task, attempt, listener, .. } = {
            let mut held = lock(&self.0);
            let oldest = *held.jobs.keys().min()?;
            held.jobs.remove(&oldest)?
        };
        let result = Err(Fault::Place(reason.into()));
        listener(Says::End(AttemptEnd { task, attempt, run_micros: 0, result, payload: Bytes::new() }));
        Some(task)
    }
}

impl Drop for TellLost {
    fn drop(&mut self) {
        self.tell(false);
    }
}

fn lock(outstanding: &Mutex<Outstanding>) -> MutexGuard<'_, Outstanding> {
    outstanding.lock().unwrap_or_else(PoisonError::into_inner)
}

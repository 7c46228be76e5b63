//! What the runtime asks of the host beside starting and stopping: to let workers finish, and how they do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skein_core::supervise::WorkerEvent;
use skein_core::{Millis, WorkerId};
use tokio::time::sleep;

use crate::worker::host::watch::{Ended, Watch};
use crate::worker::host::{Host, QUEUE_MAX};

/// No attempt must have been under way for so long before a worker counts as finished: by then every gateway has heard that
/// it takes no more, and what one sent before has arrived.
const QUIET_BEFORE_FINISHED: Duration = Duration::from_millis(300);
/// How often that is looked at, while a worker is leaving.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Host {
    /// Says [`WorkerEvent::Finished`] once the worker has had nothing to do for a moment.
    pub fn finish(&self, worker: WorkerId) {
        let (host, told) = (self.clone(), Instant::now());
        let waiting = tokio::spawn(async move {
            while let Some(idle_for) = host.idle_for(worker) {
                // That it was idle before gateways could hear of it says nothing.
                if idle_for.min(told.elapsed()) >= QUIET_BEFORE_FINISHED {
                    return host.tell(worker, WorkerEvent::Finished);
                }
                sleep(LOOK_EVERY).await;
            }
        });
        match self.running().get_mut(&worker) {
            // From now on only what is asked after this counts.
            Some(running) => running.finishing = Some(waiting.abort_handle()),
            None => waiting.abort(),
        }
    }

    /// It need not finish after all.
    pub fn resume(&self, worker: WorkerId) {
        if let Some(finishing) = self.running().get_mut(&worker).and_then(|running| running.finishing.take()) {
            finishing.abort();
        }
    }

    /// How much work would be lost with each worker now.
    pub fn at_stake(&self) -> Vec<(WorkerId, Millis)> {
        let stake = |watch: &Watch| Millis(u64::try_from(watch.at_stake().as_millis()).unwrap_or(u64::MAX));
        self.watched().into_iter().map(|(worker, watch)| (worker, stake(&watch))).collect()
    }

    /// The process of each worker that has one.
    pub fn processes(&self) -> Vec<(WorkerId, u32)> {
        self.watched().into_iter().filter_map(|(worker, watch)| Some((worker, watch.pid()?))).collect()
    }

    /// A worker takes so many bytes now; where these are many more than at first, it is started anew.
    pub fn note_memory(&self, worker: WorkerId, bytes: u64, growth_max: u64) {
        if let Some(running) = self.running().get(&worker) {
            running.watch.takes(bytes, growth_max);
        }
    }

    /// Looks at what the kernel killed for want of memory: that explains only what ends soon after.
    pub fn refresh_memory_kills(&self) {
        self.oom.refresh();
    }

    /// What ended since this was last called, also with workers that are gone meanwhile.
    pub fn take_ended(&self) -> Vec<(WorkerId, Ended)> {
        let running = self.watched().into_iter().map(|(worker, watch)| (worker, watch.take_ended()));
        let gone = std::mem::take(&mut *self.gone());
        gone.into_iter().chain(running).filter(|(_, ended)| *ended != Ended::default()).collect()
    }

    fn idle_for(&self, worker: WorkerId) -> Option<Duration> {
        let running = self.running();
        let running = running.get(&worker)?;
        let is_queue_empty = running.queue.as_ref().is_none_or(|queue| queue.capacity() == QUEUE_MAX);
        Some(if is_queue_empty { running.watch.idle_for() } else { Duration::ZERO })
    }

    fn watched(&self) -> Vec<(WorkerId, Arc<Watch>)> {
        self.running().iter().map(|(worker, running)| (*worker, running.watch.clone())).collect()
    }
}

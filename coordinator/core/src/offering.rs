//! What a node offers now, of all that it could: less while it is hot, or while other programs use its memory.
//!
//! Both are taken off in steps, and given back more slowly than taken: an offer that follows every degree would move workers about
//! for nothing.

use crate::capability::Heat;
use crate::resources::Resources;
use crate::time::Millis;

/// So long a device has to be hot before the node offers less, and each further step comes after as long again: a peak of one task
/// is over by then, and a device that slows down has not yet slowed many.
pub const HOT_FOR: Millis = Millis(30_000);
/// So long it has to be hot no more before a step is given back: fans and heat sinks take minutes.
pub const COOL_FOR: Millis = Millis(120_000);
/// In how many steps the processor is taken off, each a quarter; the last one is never taken.
const CPU_STEPS: u64 = 4;
/// In how many parts memory is offered: other programs come and go by less.
const MEMORY_PARTS: u64 = 16;
/// So long memory has to be there again before it is offered again.
pub const MEMORY_BACK_AFTER: Millis = Millis(60_000);

/// What is seen of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How hot its hottest device is.
    pub heat: Heat,
    /// Bytes of memory that could be had now without swapping; none where the machine does not say.
    pub memory_available: Option<u64>,
    /// Bytes that this node's workers use: they are not others.
    pub memory_of_workers: u64,
    /// Bytes that the plan has promised to workers here: they keep that, as whoever came first.
    pub memory_planned: u64,
}

/// What one node offers.
#[derive(Clone, Debug)]
pub struct Offering {
    full: Resources,
    /// Quarters of the processor that are taken off.
    hot_steps: u64,
    /// Since when it has been hot, or not hot, and when the last step was taken.
    heat_since: Option<(bool, Millis)>,
    /// Sixteenths of the memory that are offered.
    memory_parts: u64,
    /// Since when more than that could be offered.
    memory_since: Option<Millis>,
}

impl Offering {
    /// All that there is.
    pub fn new(full: Resources) -> Self {
        Self { full, hot_steps: 0, heat_since: None, memory_parts: MEMORY_PARTS, memory_since: None }
    }

    /// The machine has so much in all from now on: some switch cores off, and on again, while they run.
    pub fn restate(&mut self, full: Resources) {
        self.full = full;
    }

    /// What to offer from now on.
    pub fn look(&mut self, now: Millis, load: Load) -> Resources {
        self.look_at_heat(now, load.heat == Heat::Hot);
        if let Some(available) = load.memory_available {
            self.look_at_memory(now, available.saturating_add(load.memory_of_workers));
        }
        Resources {
            cpu_millicores: self.full.cpu_millicores / CPU_STEPS * (CPU_STEPS - self.hot_steps)
                + if self.hot_steps == 0 { self.full.cpu_millicores % CPU_STEPS } else { 0 },
            memory_bytes: memory(&self.full, self.memory_parts).max(load.memory_planned).min(self.full.memory_bytes),
            ..self.full.clone()
        }
    }

    fn look_at_heat(&mut self, now: Millis, is_hot: bool) {
        let since = match self.heat_since {
            Some((was_hot, since)) if was_hot == is_hot => since,
            _ => now,
        };
        let due = now.since(since) >= if is_hot { HOT_FOR } else { COOL_FOR };
        if due {
            self.hot_steps =
                if is_hot { (self.hot_steps + 1).min(CPU_STEPS - 1) } else { self.hot_steps.saturating_sub(1) };
        }
        self.heat_since = Some((is_hot, if due { now } else { since }));
    }

    /// Less at once: memory that is not there ends processes. More when it has been there for a while.
    fn look_at_memory(&mut self, now: Millis, possible: u64) {
        let fits = (1..=MEMORY_PARTS).rev().find(|parts| memory(&self.full, *parts) <= possible).unwrap_or(0);
        if fits <= self.memory_parts {
            (self.memory_parts, self.memory_since) = (fits, None);
            return;
        }
        let since = *self.memory_since.get_or_insert(now);
        if now.since(since) >= MEMORY_BACK_AFTER {
            (self.memory_parts, self.memory_since) = (fits, None);
        }
    }
}

fn memory(full: &Resources, parts: u64) -> u64 {
    if parts == MEMORY_PARTS { full.memory_bytes } else { full.memory_bytes / MEMORY_PARTS * parts }
}

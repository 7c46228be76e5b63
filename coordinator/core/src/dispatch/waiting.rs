//! Tasks that wait for a worker, in the order in which they are sent.

use alloc::collections::{BTreeMap, VecDeque};
use core::cmp::Reverse;

use crate::dispatch::TaskId;
use crate::ids::NodeId;
use crate::time::Millis;

/// When a task's turn comes: higher priorities first, then whoever came first. A task that is sent again keeps its place, so
/// it goes before all that came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) priority: Reverse<u8>,
    pub(crate) arrival: u64,
}

/// One queue. A tree of turns would do; but most tasks come last in theirs and leave first, which takes no memory here.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// By priority, each in the order of arrival. A priority that was in use keeps its place and its memory.
    levels: BTreeMap<Reverse<u8>, VecDeque<(u64, TaskId)>>,
}

impl Queue {
    pub(crate) fn insert(&mut self, turn: Turn, id: TaskId) {
        let level = self.levels.entry(turn.priority).or_default();
        if level.back().is_none_or(|(last, _)| *last < turn.arrival) {
            level.push_back((turn.arrival, id));
        } else {
            let at = level.partition_point(|(arrival, _)| *arrival < turn.arrival);
            level.insert(at, (turn.arrival, id));
        }
    }

    pub(crate) fn first(&self) -> Option<Turn> {
        let mut levels = self.levels.iter();
        levels.find_map(|(priority, level)| Some(Turn { priority: *priority, arrival: level.front()?.0 }))
    }

    pub(crate) fn pop_first(&mut self) -> Option<TaskId> {
        self.levels.values_mut().find_map(VecDeque::pop_front).map(|(_, id)| id)
    }

    fn retain(&mut self, keep: &impl Fn(TaskId) -> bool) {
        for level in self.levels.values_mut() {
            level.retain(|(_, id)| keep(*id));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Turn, TaskId)> {
        let of_level = |(priority, level): (&Reverse<u8>, _)| {
            let priority = *priority;
            VecDeque::iter(level).map(move |(arrival, id)| (Turn { priority, arrival: *arrival }, *id))
        };
        self.levels.iter().flat_map(of_level)
    }
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Those that any worker may have.
    pub(crate) anywhere: Queue,
    /// Those that failed before, by the node where they are tried next; those for whom there is no node by none. Empty queues
    /// are not kept.
    pub(crate) placed: BTreeMap<Option<NodeId>, Queue>,
    /// Those whose time has not come, by when it does.
    pub(crate) resting: BTreeMap<(Millis, Turn), TaskId>,
}

impl Waiting {
    pub(crate) fn place(&mut self, node: Option<NodeId>, turn: Turn, id: TaskId) {
        self.placed.entry(node).or_default().insert(turn, id);
    }

    /// The next one that is tried on this node.
    pub(crate) fn pop_placed(&mut self, node: NodeId) -> Option<TaskId> {
        let queue = self.placed.get_mut(&Some(node))?;
        let id = queue.pop_first();
        if queue.first().is_none() {
            self.placed.remove(&Some(node));
        }
        id
    }

    /// One whose time has come.
    pub(crate) fn pop_rested(&mut self, now: Millis) -> Option<TaskId> {
        let first = self.resting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(TaskId) -> bool) {
        self.anywhere.retain(&keep);
        self.resting.retain(|_, id| keep(*id));
        self.placed.retain(|_, queue| {
            queue.retain(&keep);
            queue.first().is_some()
        });
    }
}

//! The tasks that wait in a large mesh, in the real queues of its gateways, and the way on which the leader learns of them: never
//! one by one, but as each gateway's number for each session.

use std::collections::BTreeMap;

use skein_core::demand::{Demand, Pending, SHRINK_AFTER};
use skein_core::dispatch::retry::Retry;
use skein_core::dispatch::{Dispatcher, Limits, TaskId};
use skein_core::{Command, Millis, NodeId, Sequence, SessionId, State, StreamId};

use crate::large_mesh::{Size, change};

/// Each session is used from so many nodes.
const GATEWAYS_PER_SESSION: u64 = 4;
/// The most tasks of one client.
const STREAM_TASKS: u64 = 125;
/// A gateway speaks more often than it is taken for silent.
const SPEAKS_EVERY: Millis = Millis(1_000);
/// Some time in the life of a leader.
const BEGIN: Millis = Millis(1_000_000);

type Queue = Dispatcher<(), (), ()>;

/// All gateways, and the leader's account of what they say.
pub(crate) struct Waiting {
    queues: BTreeMap<(SessionId, NodeId), (Queue, Vec<StreamId>)>,
    demand: Demand,
    now: Millis,
}

impl Waiting {
    /// All tasks of a mesh of this size, evenly, in streams of a few.
    pub(crate) fn of(size: Size) -> Self {
        let mut waiting = Self { queues: BTreeMap::new(), demand: Demand::default(), now: BEGIN };
        let mut streams = 0;
        for session in 1..=size.sessions {
            for gateway in 0..GATEWAYS_PER_SESSION {
                let node = NodeId(1 + (session * GATEWAYS_PER_SESSION + gateway) % size.nodes);
                let parts = size.sessions * GATEWAYS_PER_SESSION;
                let at = (session - 1) * GATEWAYS_PER_SESSION + gateway;
                let tasks = size.tasks * (at + 1) / parts - size.tasks * at / parts;
                waiting.queues.insert((SessionId(session), node), queue(tasks, &mut streams));
            }
        }
        waiting
    }

    /// How many tasks wait, in all.
    pub(crate) fn tasks(&self) -> u64 {
        self.queues.values().map(|(queue, _)| queue.demand().waiting).sum()
    }

    /// How many tasks of a session wait.
    pub(crate) fn tasks_of(&self, session: SessionId) -> u64 {
        let queues = self.queues.range((session, NodeId(0))..=(session, NodeId(u64::MAX)));
        queues.map(|(_, (queue, _))| queue.demand().waiting).sum()
    }

    /// So many tasks of a session, or a few more, are done. How many were.
    pub(crate) fn finish(&mut self, session: SessionId, most: u64) -> u64 {
        let mut done = 0;
        for (_, (queue, streams)) in self.queues.range_mut((session, NodeId(0))..=(session, NodeId(u64::MAX))) {
            while done < most
                && let Some(stream) = streams.pop()
            {
                done += queue.pending(stream);
                queue.close_stream(stream);
            }
        }
        done
    }

    /// Every gateway says what it has.
    fn speak(&mut self) {
        for ((session, node), (queue, _)) in &self.queues {
            let said = queue.demand();
            let pending = Pending { waiting: said.waiting, running: said.running };
            self.demand.observe(self.now, *node, *session, pending);
        }
    }

    /// Gateways speak until the leader believes them.
    pub(crate) fn pass(&mut self, state: &State) {
        let end = self.now + SHRINK_AFTER;
        self.speak();
        // It notes what it hears with every look.
        assert!(self.demand.next_command(self.now, state).is_none(), "nothing is believed at once");
        while self.now < end {
            self.now = self.now + SPEAKS_EVERY;
            self.speak();
        }
    }

    /// The next session that wants something else by now.
    pub(crate) fn next_want(&mut self, state: &State) -> Option<Command> {
        self.demand.next_command(self.now, state)
    }

    /// All of them, until none is left.
    pub(crate) fn settle(&mut self, state: &mut State) {
        self.pass(state);
        while let Some(command) = self.next_want(state) {
            change(state, command);
        }
    }
}

fn queue(tasks: u64, streams: &mut u64) -> (Queue, Vec<StreamId>) {
    let limits = Limits { tasks_max: usize::MAX, streams_max: usize::MAX, losses_max: 1 };
    let mut queue = Queue::new(limits, Retry::default());
    let mut open = Vec::new();
    for number in 0..tasks {
        if number.is_multiple_of(STREAM_TASKS) {
            *streams += 1;
            open.push(StreamId(*streams));
            queue.open_stream(StreamId(*streams), false, Sequence(0)).expect("there is room for a stream");
        }
        let task = TaskId { stream: StreamId(*streams), sequence: Sequence(number % STREAM_TASKS) };
        queue.submit(task, 1, 50, ()).expect("there is room for a task");
    }
    (queue, open)
}

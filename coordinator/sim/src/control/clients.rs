//! Durable tasks: clients that submit them, gateways that run them, and both over messages that get lost.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::durable::{Bytes, DurableTask, End, Payload, TaskCommand};
use skein_core::worker::WorkerStatus;
use skein_core::{Command, Entry, Event, Millis, NodeId, Refusal, Sequence, SessionId, StreamId};

use super::check::tasks::Closed;
use super::{Happening, Machine, World};

/// The most clients at once: each makes a command a second or so.
const CLIENTS_MAX: usize = 4;
/// The most tasks of one stream that a gateway ends with one beat.
const ENDS_MAX: usize = 4;

/// Somebody who submits tasks, counted from 0, and comes for their ends.
#[derive(Debug)]
pub(super) struct Client {
    session: SessionId,
    keep: Millis,
    /// So many were acknowledged.
    acknowledged: u64,
    /// So many more were sent, and no answer came.
    under_way: u64,
    /// It submits no more.
    is_closing: bool,
    /// It is somewhere else, and may be for longer than its results are kept.
    is_away: bool,
    /// Every end that it has seen.
    seen: BTreeMap<u64, End>,
}

impl World {
    /// Somebody comes with tasks for a session.
    pub(super) fn come_with_tasks(&mut self) {
        let open: Vec<SessionId> = self.state.sessions.keys().copied().collect();
        let Some(session) = self.chance.pick(open).filter(|_| self.clients.len() < CLIENTS_MAX) else { return };
        let keep = Millis(self.chance.pick([2_000, 20_000, 3_600_000]).unwrap_or(0));
        let (seen, is_closing, is_away) = (BTreeMap::new(), false, false);
        let client = Client { session, keep, acknowledged: 0, under_way: 0, is_closing, is_away, seen };
        // Drawn, as clients do.
        let stream = StreamId(self.chance.number(0..u64::MAX));
        self.clients.insert(stream, client);
        self.chance.count("client_came");
        self.after(Millis(1), Happening::Client(stream));
    }

    /// A client looks after its tasks, by way of some node.
    pub(super) fn client(&mut self, stream: StreamId) {
        let Some(mut client) = self.clients.remove(&stream) else { return };
        // What is said again after its stream is gone makes a new one, of which nobody knows.
        if self.is_done(stream, &client) {
            return;
        }
        if self.is_healing {
            (client.is_away, client.is_closing) = (false, true);
        } else if self.chance.percent(15) {
            client.is_away = !client.is_away;
        }
        if !client.is_away
            && let Some(entry) = self.some_machine(Machine::is_reachable)
        {
            self.see(stream, entry, &mut client);
            self.submit(stream, entry, &mut client);
        }
        self.clients.insert(stream, client);
        let pause = if self.is_healing { 300..900 } else { 500..3_000 };
        let pause = self.chance.number(pause);
        self.after(Millis(pause), Happening::Client(stream));
    }

    /// It sees what has ended, as far as the node knows, and says so. What it saw once never becomes something else.
    fn see(&mut self, stream: StreamId, entry: NodeId, client: &mut Client) {
        let Some(known) = self.machines.get(&entry).and_then(|machine| machine.view.durable.stream(stream)) else {
            return;
        };
        let ended: Vec<(Sequence, End)> =
            known.ended.iter().map(|(sequence, ended)| (*sequence, ended.end.clone())).collect();
        for (sequence, end) in &ended {
            let before = client.seen.entry(sequence.0).or_insert_with(|| end.clone());
            let is_same = before == end;
            self.chance
                .check(is_same, || format!("task {sequence} of stream {stream} ended twice: {before:?} and {end:?}"));
        }
        let close = client.is_closing && client.under_way == 0 && client.seen.len() as u64 >= client.acknowledged;
        if !ended.is_empty() || close {
            let sequences: Vec<Sequence> = ended.into_iter().map(|(sequence, _)| sequence).collect();
            let command = TaskCommand::Fetched { stream, sequences, close };
            self.send(entry, || Happening::Proposal(Command::Tasks(command.clone())));
        }
    }

    /// It sends what was not acknowledged again, or something new.
    fn submit(&mut self, stream: StreamId, entry: NodeId, client: &mut Client) {
        client.is_closing |= self.chance.percent(5);
        if client.under_way == 0 && !client.is_closing && self.chance.percent(60) {
            client.under_way = self.chance.number(1..6);
        }
        if client.under_way == 0 {
            return;
        }
        let (head, payload) = (Bytes::default(), payload(7));
        let task = DurableTask { label: "one.png".into(), head, payload, priority: 50, checkpoint: None };
        let tasks = (0..client.under_way).map(|_| task.clone()).collect();
        let (session, keep, first) = (client.session, client.keep, Sequence(client.acknowledged));
        let command = TaskCommand::Accept { stream, session, gateway: entry, keep, first, tasks };
        self.send(entry, || Happening::Proposal(Command::Tasks(command.clone())));
    }

    /// Whether it has nothing more to do: then every task that was acknowledged has an end that it saw, or expired.
    fn is_done(&mut self, stream: StreamId, client: &Client) -> bool {
        if let Some(how) = self.accounts.closed.get(&stream).copied() {
            let lost = (0..client.acknowledged).find(|sequence| !client.seen.contains_key(sequence));
            let is_right = how == Closed::Expired || lost.is_none();
            self.chance.check(is_right, || format!("task {lost:?} of stream {stream} was accepted, and has no end"));
            self.chance.count("client_went");
            return true;
        }
        // Nothing of it was ever accepted, and nothing will be.
        client.is_closing
            && client.under_way == 0
            && client.acknowledged == 0
            && self.state.durable.stream(stream).is_none()
    }

    /// With every beat, some of the tasks that a gateway has to run have ended, as far as it knows.
    pub(super) fn work_off(&mut self, id: NodeId) {
        let Some(machine) = self.machines.get(&id) else { return };
        let view = &machine.view;
        let is_served = |session: SessionId| {
            let mut workers = view.workers_of(session);
            workers.any(|(_, worker)| worker.serves() && worker.status == WorkerStatus::Ready)
        };
        let streams = view.durable.streams_of(id).filter(|(_, stream)| is_served(stream.session));
        let mut due = Vec::new();
        for (stream, known) in streams {
            let numbers: Vec<Sequence> = known.pending.keys().take(ENDS_MAX).copied().collect();
            due.push((stream, known.tenure, known.attempt_first(), numbers));
        }
        for (stream, tenure, attempt, numbers) in due {
            let percent = if self.is_healing { 100 } else { 40 };
            let (ended, others): (Vec<Sequence>, Vec<Sequence>) =
                numbers.into_iter().partition(|_| self.chance.percent(percent));
            let so_far: Vec<Sequence> = others.into_iter().filter(|_| self.chance.percent(20)).collect();
            let checkpoints: Vec<(Sequence, Payload)> =
                so_far.into_iter().map(|sequence| (sequence, payload(self.chance.number(0..u64::MAX)))).collect();
            if !checkpoints.is_empty() {
                let command = TaskCommand::Checkpoint { stream, tenure, checkpoints };
                self.send(id, || Happening::Proposal(Command::Tasks(command.clone())));
            }
            let ends: Vec<(Sequence, End)> = ended.into_iter().map(|sequence| (sequence, self.end(attempt))).collect();
            if !ends.is_empty() {
                let command = TaskCommand::End { stream, tenure, ends };
                self.send(id, || Happening::Proposal(Command::Tasks(command.clone())));
            }
        }
    }

    /// No two ends are alike.
    fn end(&mut self, attempt: u32) -> End {
        let result = match self.chance.number(0..10) {
            0 => Err("it cannot be read".into()),
            _ => Ok((Bytes::default(), payload(self.chance.number(0..u64::MAX)))),
        };
        End { attempt, worker: None, run_micros: self.chance.number(0..1_000_000), result }
    }

    /// An entry was committed: the account of durable tasks goes on, and clients may hear of it.
    pub(super) fn tasks_follow(
        &mut self,
        entry: &Entry,
        outcome: &Result<Vec<Event>, Refusal>,
        was_up: &BTreeSet<NodeId>,
    ) {
        // A session that is ended once more changes nothing.
        let is_repeated = matches!(entry.command, Command::SessionEnd(_)) && outcome.as_ref().is_ok_and(Vec::is_empty);
        if outcome.is_ok() && !is_repeated {
            for kind in self.accounts.follow(was_up, entry.at, &entry.command) {
                self.chance.count(kind);
            }
        }
        if matches!(entry.command, Command::Tasks(_) | Command::SessionEnd(_)) {
            for violation in self.accounts.violations(&self.state) {
                self.chance.check(false, || format!("after {entry:?}: {violation}"));
            }
        }
        let Command::Tasks(TaskCommand::Accept { stream, first, tasks, .. }) = &entry.command else { return };
        let is_heard = self.is_healing || self.chance.percent(80);
        let Some(client) = self.clients.get_mut(stream).filter(|_| is_heard) else { return };
        if outcome.is_err() {
            (client.under_way, client.is_closing) = (0, true);
            return;
        }
        let new = (first.0 + tasks.len() as u64).saturating_sub(client.acknowledged);
        client.acknowledged += new;
        client.under_way = client.under_way.saturating_sub(new);
    }

    /// Every client has what it came for, unless its session has nobody to work on it.
    pub(super) fn tasks_are_left(&self, found: &mut Vec<String>) {
        let is_served = |session: &SessionId| {
            let mut workers = self.state.workers.values();
            workers.any(|worker| worker.session == *session && worker.serves() && worker.status == WorkerStatus::Ready)
        };
        for (stream, client) in &self.clients {
            if is_served(&client.session) || !self.state.sessions.contains_key(&client.session) {
                found.push(format!("the client of stream {stream} still waits: {client:?}"));
            }
        }
        // Whoever waits for a worker may yet be waiting with all that has ended in hand; but nothing is under way.
        let waits = self.clients.values().any(|client| client.under_way > 0);
        found.extend(waits.then(|| "a client still submits".into()));
    }
}

fn payload(number: u64) -> Payload {
    Payload::Inline(Bytes::from(&number.to_be_bytes()[..]))
}

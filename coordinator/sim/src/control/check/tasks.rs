//! What became of every durable task, by the plainest account of what was committed: the state must say the same.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::durable::{End, KEEP_MAX, Payload, TaskCommand};
use skein_core::{Command, Millis, NodeId, Sequence, SessionId, State, StreamId};

/// All streams that there are, and how those that are no more came to an end.
#[derive(Debug, Default)]
pub(in crate::control) struct Accounts {
    streams: BTreeMap<StreamId, Account>,
    pub(in crate::control) closed: BTreeMap<StreamId, Closed>,
}

/// How a stream came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Closed {
    /// Its client said that it had everything.
    ByClient,
    /// Nobody came for so long.
    Expired,
}

#[derive(Debug)]
struct Account {
    session: SessionId,
    gateway: NodeId,
    tenure: u32,
    next: u64,
    /// Each has one end, or none yet.
    ends: BTreeMap<u64, End>,
    fetched: BTreeSet<u64>,
    /// How far those without an end are.
    checkpoints: BTreeMap<u64, Payload>,
    fenced: u64,
    keep: Millis,
    touched: Millis,
}

impl Accounts {
    /// An entry was taken, when these nodes were up. What is to be counted.
    pub(in crate::control) fn follow(
        &mut self,
        was_up: &BTreeSet<NodeId>,
        at: Millis,
        command: &Command,
    ) -> Vec<&'static str> {
        match command {
            Command::Tasks(command) => return self.take(was_up, at, command),
            Command::SessionEnd(session) => self.session_ended(*session, at),
            _ => {}
        }
        vec![]
    }

    fn take(&mut self, was_up: &BTreeSet<NodeId>, at: Millis, command: &TaskCommand) -> Vec<&'static str> {
        let mut met = Vec::new();
        match command {
            TaskCommand::Accept { stream, session, gateway, keep, first, tasks } => {
                let account = self.streams.entry(*stream).or_insert_with(|| Account {
                    session: *session,
                    gateway: *gateway,
                    tenure: 1,
                    next: 0,
                    ends: BTreeMap::new(),
                    fetched: BTreeSet::new(),
                    checkpoints: BTreeMap::new(),
                    fenced: 0,
                    keep: (*keep).min(KEEP_MAX),
                    touched: at,
                });
                let next = account.next.max(first.0 + tasks.len() as u64);
                met.push(if next > account.next { "task_accepted" } else { "task_accepted_again" });
                account.next = next;
                account.touch(at);
            }
            TaskCommand::End { stream, tenure, ends } => {
                let Some(account) = self.streams.get_mut(stream) else { return met };
                for (sequence, end) in ends {
                    let is_pending = sequence.0 < account.next && !account.ends.contains_key(&sequence.0);
                    // What a gateway answers that was given up is as good as any; that it failed there says nothing.
                    let is_late = *tenure < account.tenure;
                    if is_pending && (*tenure == account.tenure || (is_late && end.result.is_ok())) {
                        account.ends.insert(sequence.0, end.clone());
                        account.checkpoints.remove(&sequence.0);
                        met.push(if is_late { "task_ended_by_an_earlier_tenure" } else { "task_ended" });
                    } else {
                        account.fenced += 1;
                        met.push(if is_pending { "task_end_of_an_earlier_tenure" } else { "task_ended_again" });
                    }
                }
                account.touch(at);
            }
            TaskCommand::Checkpoint { stream, tenure, checkpoints } => {
                let Some(account) = self.streams.get_mut(stream) else { return met };
                for (sequence, checkpoint) in checkpoints {
                    let is_pending = sequence.0 < account.next && !account.ends.contains_key(&sequence.0);
                    if is_pending && *tenure == account.tenure {
                        account.checkpoints.insert(sequence.0, checkpoint.clone());
                        met.push("checkpoint_kept");
                    } else {
                        met.push("checkpoint_left_alone");
                    }
                }
                account.touch(at);
            }
            TaskCommand::Fetched { stream, sequences, close } => {
                let Some(account) = self.streams.get_mut(stream) else { return met };
                let known = sequences.iter().filter(|sequence| account.ends.contains_key(&sequence.0));
                account.fetched.extend(known.map(|sequence| sequence.0));
                account.touch(at);
                if *close && account.fetched.len() as u64 == account.next {
                    self.streams.remove(stream);
                    self.closed.insert(*stream, Closed::ByClient);
                    met.push("stream_closed_by_its_client");
                }
            }
            TaskCommand::Move { streams } => {
                for (stream, to) in streams {
                    let Some(account) = self.streams.get_mut(stream) else { continue };
                    if !was_up.contains(&account.gateway) && was_up.contains(to) {
                        account.gateway = *to;
                        account.tenure += 1;
                        met.push("stream_moved");
                    }
                }
            }
            TaskCommand::Expire { streams } => {
                for stream in streams {
                    let is_over =
                        |account: &Account| account.pending().next().is_none() && account.touched + account.keep <= at;
                    if self.streams.get(stream).is_some_and(is_over) {
                        self.streams.remove(stream);
                        self.closed.insert(*stream, Closed::Expired);
                        met.push("stream_expired");
                    }
                }
            }
        }
        met
    }

    /// What was pending ended with it.
    fn session_ended(&mut self, session: SessionId, at: Millis) {
        for account in self.streams.values_mut().filter(|account| account.session == session) {
            let attempt = account.attempt_first();
            for sequence in account.pending().collect::<Vec<_>>() {
                let result = Err(format!("session {session} ended before the task did"));
                account.ends.insert(sequence, End { attempt, worker: None, run_micros: 0, result });
            }
            account.checkpoints.clear();
            account.touch(at);
        }
    }

    /// Where the state says otherwise.
    pub(in crate::control) fn violations(&self, state: &State) -> Vec<String> {
        let mut found = Vec::new();
        let is: Vec<StreamId> = state.durable.streams().map(|(id, _)| id).collect();
        let should: Vec<StreamId> = self.streams.keys().copied().collect();
        if is != should {
            found.push(format!("there are streams {is:?}, and should be {should:?}"));
        }
        for (id, account) in &self.streams {
            let Some(stream) = state.durable.stream(*id) else { continue };
            let numbers = |keys: Vec<&Sequence>| keys.into_iter().map(|sequence| sequence.0).collect::<Vec<u64>>();
            let kept: BTreeMap<u64, &End> =
                stream.ended.iter().map(|(sequence, ended)| (sequence.0, &ended.end)).collect();
            let unfetched = account.ends.iter().filter(|(sequence, _)| !account.fetched.contains(sequence));
            let with_checkpoint =
                stream.pending.iter().filter_map(|(sequence, task)| Some((sequence.0, task.checkpoint.clone()?)));
            let is_right = account.checkpoints == with_checkpoint.collect()
                && numbers(stream.pending.keys().collect()) == account.pending().collect::<Vec<u64>>()
                && kept == unfetched.map(|(sequence, end)| (*sequence, end)).collect()
                && (stream.gateway, stream.tenure, stream.next.0) == (account.gateway, account.tenure, account.next)
                && (stream.account.fenced, stream.account.accepted) == (account.fenced, account.next);
            if !is_right {
                found.push(format!("stream {id} is {stream:?}, and should be {account:?}"));
            }
        }
        found
    }
}

impl Account {
    fn pending(&self) -> impl Iterator<Item = u64> {
        (0..self.next).filter(|sequence| !self.ends.contains_key(sequence))
    }

    /// Each tenure has numbers of attempts of its own.
    fn attempt_first(&self) -> u32 {
        (self.tenure - 1) * skein_core::dispatch::ATTEMPTS_MAX + 1
    }

    fn touch(&mut self, at: Millis) {
        self.touched = self.touched.max(at);
    }
}

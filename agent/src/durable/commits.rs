//! What this agent has the mesh commit about durable tasks: everybody's words go out together.
//!
//! Each word by itself would be a request to the leader, and at a follower a stream over the network. The naive way to save that is to
//! wait a moment for others to come; but whoever is alone then waits for nobody. So a word goes out at once, as long as few
//! requests are under way, and what comes meanwhile shares the next one.

use skein_core::Sequence;
use skein_core::durable::{DurableTask, End, TaskCommand};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::api::handle::Api;
use crate::api::{Answer, ApiError, Change, Request};

/// Words that wait; beyond it those who have one wait themselves.
const WAITING_MAX: usize = 4_096;
/// Requests under way at once: one waits for the disks while the next is on its way, and one more for each of the two. More
/// would only make them smaller.
const UNDER_WAY_MAX: usize = 4;
/// The most words in one request.
const WORDS_MAX: usize = 512;
/// The most bytes in one request, as far as is known: what one word may have, so that a message always has room for it.
const BYTES_MAX: u64 = 512 * 1024;

/// The way to the mesh's word. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Commits(mpsc::Sender<Word>);

#[derive(Debug)]
struct Word {
    command: TaskCommand,
    told: oneshot::Sender<Result<(), ApiError>>,
}

impl Commits {
    /// Works for as long as there is a clone.
    pub(super) fn new(api: Api) -> Self {
        let (words, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(api, waiting));
        Self(words)
    }

    /// Has a command committed, and says what came of it.
    pub(super) async fn commit(&self, command: TaskCommand) -> Result<(), ApiError> {
        let (told, answer) = oneshot::channel();
        let gone = || ApiError::Unavailable("the agent is about to end".into());
        self.0.send(Word { command, told }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn run(api: Api, mut waiting: mpsc::Receiver<Word>) {
    let mut under_way = JoinSet::new();
    while let Some(first) = waiting.recv().await {
        let mut words = Batch::of(first);
        // While as many are under way as may be, the next gets larger.
        while under_way.len() >= UNDER_WAY_MAX {
            tokio::select! {
                _ = under_way.join_next() => {}
                Some(word) = waiting.recv(), if words.has_room() => words.push(word),
            }
        }
        while under_way.try_join_next().is_some() {}
        while words.has_room()
            && let Ok(word) = waiting.try_recv()
        {
            words.push(word);
        }
        under_way.spawn(send(api.clone(), words.words));
    }
}

/// Words of one request.
struct Batch {
    words: Vec<Word>,
    bytes: u64,
}

impl Batch {
    fn of(first: Word) -> Self {
        let bytes = bytes_of(&first.command);
        Self { words: vec![first], bytes }
    }

    fn has_room(&self) -> bool {
        self.words.len() < WORDS_MAX && self.bytes < BYTES_MAX
    }

    fn push(&mut self, word: Word) {
        self.bytes += bytes_of(&word.command);
        self.words.push(word);
    }
}

async fn send(api: Api, words: Vec<Word>) {
    let (commands, told): (Vec<_>, Vec<_>) = words.into_iter().map(|word| (word.command, word.told)).unzip();
    let answers = match api.answer(Request::Change(Change::Tasks(commands)), false).await {
        Ok(Answer::Committed(answers)) => answers.into_iter().map(|answer| answer.map_err(ApiError::Refused)).collect(),
        Ok(_) => vec![Err(ApiError::Unavailable("the leader's answer does not fit".into())); told.len()],
        Err(error) => vec![Err(error); told.len()],
    };
    // Whoever is not told, as the leader gave too few answers, hears that nobody knows.
    for (told, answer) in told.into_iter().zip(answers) {
        // It may not wait any more.
        let _ = told.send(answer);
    }
}

/// What a command takes in a message, nearly.
fn bytes_of(command: &TaskCommand) -> u64 {
    match command {
        TaskCommand::Accept { tasks, .. } => tasks.iter().map(DurableTask::bytes).sum(),
        TaskCommand::End { ends, .. } => ends.iter().map(|(_, end): &(Sequence, End)| end.bytes()).sum(),
        TaskCommand::Checkpoint { checkpoints, .. } => {
            checkpoints.iter().map(|(_, checkpoint)| checkpoint.inline_bytes()).sum()
        }
        TaskCommand::Fetched { .. } | TaskCommand::Move { .. } | TaskCommand::Expire { .. } => 0,
    }
}

//! Proposals share log entries: many commands, one flush.
//!
//! The naive way is an entry of the log for each. But openraft 0.9 waits for the disk after each entry before it takes the
//! next, so a disk that flushes in 5 ms would commit 200 of them a second, however many ask. Here whatever waits goes into
//! one entry of the log, and the rest gathers while that is written. Nothing waits for company: a lone proposal goes at once.

use std::sync::Arc;

use openraft::ServerState;
use openraft::error::ClientWriteError;
use skein_core::{Entry, NodeId};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::ProposeError;
use crate::codec;
use crate::types::{Answer, Batch, Metrics, Raft};

/// What one entry of the core may have, encoded. The largest that the mesh makes, a model with a full manifest, stays below
/// 32 KiB.
pub(super) const ENTRY_BYTES_MAX: usize = 1024 * 1024;

/// What shares one entry of the log, unless a single one is larger. A slow radio (10 Mbit/s) carries it in 0.2 s, and sled
/// writes it as 64 pieces; more would win nothing, as the flush is by then the smaller part of the time.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// How many share one entry of the log: applying so many takes some milliseconds, for which readers of the state wait.
const BATCH_COUNT_MAX: usize = 4096;

/// How many batches are under way: one on the leader's own disk and one on the others', which openraft writes one after
/// the other. A third would only wait, and gather less company.
const UNDER_WAY_MAX: usize = 2;

/// What may wait for its turn, in bytes. Who comes later waits before it is taken in; so many are written in a second or
/// two by the slowest of disks.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a waiting entry costs beside its encoded bytes, so that tiny ones are bounded in number, too.
const WAITING_EXTRA_BYTES: usize = 256;

/// The way in: proposals that wait to be written.
#[derive(Debug)]
pub(super) struct Proposals {
    /// Bounded by `room`: each that waits holds its bytes of it.
    queue: mpsc::UnboundedSender<Proposal>,
    room: Arc<Semaphore>,
    gate: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Proposal {
    entries: Vec<Entry>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<Answer>, ProposeError>>,
    _room: OwnedSemaphorePermit,
}

impl Proposals {
    pub(super) fn new(raft: Raft) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        let under_way = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let metrics = raft.metrics();
        let gate = Arc::new(Mutex::new(()));
        tokio::spawn(Writer { raft, metrics, waiting, under_way, gate: Arc::clone(&gate), next: None }.run());
        Self { queue, room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)), gate }
    }

    /// Nothing more is written while this is held.
    pub(super) async fn pause(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.gate).lock_owned().await
    }

    /// Commits entries in their order and gives their answers in the same.
    pub(super) async fn propose(&self, entries: Vec<Entry>) -> Result<Vec<Answer>, ProposeError> {
        let mut sent = vec![];
        for (entries, bytes) in cut(entries)? {
            let cost = u32::try_from(bytes + entries.len() * WAITING_EXTRA_BYTES).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room).acquire_many_owned(cost).await;
            let room = room.map_err(|closed| ProposeError::Stopped(closed.to_string()))?;
            let (answer, answered) = oneshot::channel();
            let proposal = Proposal { entries, bytes, answer, _room: room };
            self.queue.send(proposal).map_err(|_| ProposeError::Stopped("it was closed".into()))?;
            sent.push(answered);
        }
        let mut answers = vec![];
        for answered in sent {
            answers.extend(answered.await.map_err(|_| ProposeError::Stopped("it was closed".into()))??);
        }
        Ok(answers)
    }
}

/// Cuts a list into pieces that fit one entry of the log each.
fn cut(entries: Vec<Entry>) -> Result<Vec<(Vec<Entry>, usize)>, ProposeError> {
    let mut pieces: Vec<(Vec<Entry>, usize)> = vec![];
    for entry in entries {
        let bytes = codec::encode(&entry).len();
        if bytes > ENTRY_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes, bytes_max: ENTRY_BYTES_MAX });
        }
        match pieces.last_mut() {
            Some((piece, total)) if fits(piece.len() + 1, *total + bytes) => {
                piece.push(entry);
                *total += bytes;
            }
            _ => pieces.push((vec![entry], bytes)),
        }
    }
    Ok(pieces)
}

fn fits(count: usize, bytes: usize) -> bool {
    count <= BATCH_COUNT_MAX && bytes <= BATCH_BYTES_MAX
}

/// Takes what waits and writes it, for as long as somebody may propose.
struct Writer {
    raft: Raft,
    metrics: watch::Receiver<Metrics>,
    waiting: mpsc::UnboundedReceiver<Proposal>,
    under_way: Arc<Semaphore>,
    gate: Arc<Mutex<()>>,
    /// Taken out, and too large for the batch before.
    next: Option<Proposal>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.first().await {
            let turn = self.turn().await;
            let (batch, asked) = self.gather(first);
            // Handed over here, one after the other, so that entries keep their order.
            let _open = self.gate.lock().await;
            let handed = self.raft.client_write_ff(Batch(batch)).await;
            tokio::spawn(async move {
                let _turn = turn;
                let answers = match handed {
                    Ok(answer) => match answer.await {
                        Ok(written) => written.map(|written| written.data.0).map_err(explain),
                        Err(_) => Err(ProposeError::Stopped("it was closed".into())),
                    },
                    Err(fatal) => Err(ProposeError::Stopped(fatal.to_string())),
                };
                give_out(asked, answers);
            });
        }
    }

    async fn first(&mut self) -> Option<Proposal> {
        match self.next.take() {
            Some(next) => Some(next),
            None => self.waiting.recv().await,
        }
    }

    /// Waits until fewer batches are under way. A leader that was deposed may not hear for long what became of its last
    /// ones; whoever asks it now should hear at once that it does not lead, so it does not wait then.
    async fn turn(&mut self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            turn = Arc::clone(&self.under_way).acquire_owned() => turn.ok(),
            _ = self.metrics.wait_for(|metrics| metrics.state != ServerState::Leader) => None,
        }
    }

    fn gather(&mut self, first: Proposal) -> (Vec<Entry>, Vec<Asked>) {
        let mut bytes = first.bytes;
        let mut batch = first.entries;
        let mut asked = vec![Asked { count: batch.len(), answer: first.answer }];
        while let Ok(proposal) = self.waiting.try_recv() {
            if !fits(batch.len() + proposal.entries.len(), bytes + proposal.bytes) {
                self.next = Some(proposal);
                break;
            }
            bytes += proposal.bytes;
            asked.push(Asked { count: proposal.entries.len(), answer: proposal.answer });
            batch.extend(proposal.entries);
        }
        (batch, asked)
    }
}

/// Who waits for how many answers.
struct Asked {
    count: usize,
    answer: oneshot::Sender<Result<Vec<Answer>, ProposeError>>,
}

fn give_out(asked: Vec<Asked>, answers: Result<Vec<Answer>, ProposeError>) {
    match answers {
        Err(error) => {
            for Asked { answer, .. } in asked {
                // Who gave up does not hear it.
                let _ = answer.send(Err(error.clone()));
            }
        }
        Ok(mut answers) => {
            for Asked { count, answer } in asked {
                let rest = answers.split_off(count.min(answers.len()));
                let _ = answer.send(Ok(std::mem::replace(&mut answers, rest)));
            }
        }
    }
}

fn explain(error: ClientWriteError<u64, openraft::EmptyNode>) -> ProposeError {
    match error {
        ClientWriteError::ForwardToLeader(to) => ProposeError::NotLeader { leader: to.leader_id.map(NodeId) },
        error @ ClientWriteError::ChangeMembershipError(_) => ProposeError::Stopped(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use skein_core::capability::{Capability, NodeSpec};
    use skein_core::command::Command;
    use skein_core::{MeshId, Millis};

    use super::*;

    fn small(at: u64) -> Entry {
        Entry { at: Millis(at), command: Command::Found { mesh: MeshId(at) } }
    }

    fn large(bytes: usize) -> Entry {
        let spec = NodeSpec {
            id: NodeId(1),
            name: "x".repeat(bytes),
            address: String::new(),
            version: String::new(),
            capability: Capability::default(),
        };
        Entry { at: Millis(1), command: Command::NodeJoin(spec) }
    }

    #[test]
    fn a_list_is_cut_in_order_by_count_and_by_bytes() {
        let pieces = cut((0..10_000).map(small).collect()).unwrap();
        assert_eq!(pieces.iter().map(|(piece, _)| piece.len()).collect::<Vec<_>>(), [4096, 4096, 1808]);
        let all: Vec<Entry> = pieces.into_iter().flat_map(|(piece, _)| piece).collect();
        assert_eq!(all, (0..10_000).map(small).collect::<Vec<_>>());

        let pieces = cut(vec![small(1), large(200_000), large(200_000), large(500_000), small(2)]).unwrap();
        assert_eq!(pieces.iter().map(|(piece, _)| piece.len()).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert!(matches!(cut(vec![small(1), large(ENTRY_BYTES_MAX)]), Err(ProposeError::TooLarge { .. })));
    }
}

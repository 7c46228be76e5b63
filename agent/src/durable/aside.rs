//! Ends of durable tasks that came while the node was cut off: set aside on disk, and delivered once when the mesh is back.
//!
//! What is delivered and not yet forgotten when the agent dies is delivered again, and refused: its task has an end by then.

use std::time::Duration;

use skein_core::durable::{End, TaskCommand};
use skein_core::island::IslandAccount;
use skein_core::{Sequence, SessionId, StreamId};
use tokio::time::sleep;

use crate::api::ApiError;
use crate::durable::Durable;
use crate::island::waiting::Record;

/// When what the mesh could not take is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Delivers what waits, the oldest first, whenever there is a mesh, for as long as the agent runs.
pub async fn deliver(durable: Durable) {
    let islands = durable.api.islands.clone();
    loop {
        let (number, record) = durable.waiting.next().await;
        islands.until(false).await;
        let (stream, count) = (record.stream, record.ends.len());
        match durable.commit_ends(stream, record.tenure, record.ends).await {
            Ok(()) => tracing::info!(%stream, "{count} ends from while this node was cut off are delivered"),
            Err(ApiError::Unavailable(why)) => {
                tracing::debug!(%stream, "ends wait on: {why}");
                sleep(AGAIN_AFTER).await;
                continue;
            }
            Err(error) => {
                tracing::warn!(%stream, "{count} ends from while this node was cut off do not count: {error}");
            }
        }
        durable.waiting.remove(number).await;
    }
}

impl Durable {
    /// Has ends committed. Answers that only this node has go to another one first.
    pub(super) async fn commit_ends(
        &self,
        stream: StreamId,
        tenure: u32,
        mut ends: Vec<(Sequence, End)>,
    ) -> Result<(), ApiError> {
        for (_, end) in &mut ends {
            if let Ok((_, payload)) = &mut end.result {
                *payload = self.files.spread(payload.clone()).await?;
            }
        }
        self.commits.commit(TaskCommand::End { stream, tenure, ends }).await
    }

    /// Whether a task of a stream need not be run here now: its end waits already, or would find no room.
    pub(super) fn is_set_aside(&self, stream: StreamId, task: Sequence) -> bool {
        self.waiting.holds(stream, task) || self.is_full()
    }

    /// Whether what ends now would have to be done again.
    pub(super) fn is_full(&self) -> bool {
        self.api.islands.is_cut() && self.waiting.is_full()
    }

    /// Has ends committed, for as long as it takes; or sets them aside where the mesh is gone. An error is the mesh's word that they
    /// do not count, or that there was no room for them.
    pub(super) async fn end(
        &self,
        session: SessionId,
        stream: StreamId,
        tenure: u32,
        ends: Vec<(Sequence, End)>,
    ) -> Result<(), ApiError> {
        let islands = &self.api.islands;
        loop {
            if islands.is_cut() {
                let count = ends.len() as u64;
                if self.waiting.put(Record { stream, tenure, ends }).await {
                    return Ok(());
                }
                islands.ledger().count(session, IslandAccount { no_room: count, ..IslandAccount::default() });
                return Err(ApiError::Unavailable("there is no room for them".into()));
            }
            let committed = tokio::select! {
                committed = self.commit_ends(stream, tenure, ends.clone()) => committed,
                // It may have been committed all the same. Then it is refused when it is delivered.
                () = islands.until(true) => continue,
            };
            match committed {
                Err(ApiError::Unavailable(why)) => {
                    tracing::debug!(%stream, "ends of durable tasks wait: {why}");
                    sleep(super::run::AGAIN_AFTER).await;
                }
                done => return done,
            }
        }
    }
}

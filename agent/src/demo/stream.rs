//! The demo's stream of pictures, and the record of what came back.

use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::{TaskResult, TaskStream};
use crate::demo::material::Material;
use crate::worker::protocol::InputKind;

/// Tasks under way at once: two for each worker, so that none ever waits for the client.
const UNDER_WAY: usize = 4;

/// Everything that came back.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) submitted: u64,
    /// Every result with the time it came, in the order it came.
    pub(super) results: Vec<(Instant, TaskResult)>,
    /// Answers that the client kept back because their task had one.
    pub(super) kept_back: u64,
}

/// Streams the pictures round and round, until there were enough tasks and the kills are over.
pub(super) async fn run(
    mut stream: TaskStream,
    material: &Material,
    tasks: u64,
    delivered: watch::Sender<u64>,
    kills_over: watch::Receiver<bool>,
    bar: &ProgressBar,
) -> anyhow::Result<Record> {
    let mut results = Vec::new();
    let mut pictures = material.pictures.iter().cycle();
    let mut submitted = 0;
    loop {
        while stream.pending() < UNDER_WAY && (submitted < tasks || !*kills_over.borrow()) {
            let Some(picture) = pictures.next() else { break };
            stream.submit(InputKind::Picture, picture.encoded.clone()).await?;
            submitted += 1;
        }
        let Some(result) = stream.next().await? else { break };
        results.push((Instant::now(), result));
        let count = results.len() as u64;
        bar.set_length(tasks.max(count));
        bar.set_position(count);
        let _ = delivered.send(count);
    }
    Ok(Record { submitted, results, kept_back: stream.duplicates() })
}

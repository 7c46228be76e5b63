//! Tries a model before the mesh takes it in, in a process of its own: a hostile file cannot hurt the agent.

use std::time::Duration;

use skein_targets::TensorSpec;
use tokio::time::timeout;

use crate::worker::process::{Bound, Process, ProcessError};
use crate::worker::protocol::{FromWorker, Load};

/// How long loading and one run may take: minutes on a small board, for a model that would be of use there.
const CHECK_TIME_MAX: Duration = Duration::from_secs(120);

/// What a model takes and gives.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What it takes.
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
}

/// Loads a model and runs it once on zeros.
pub async fn check(load: Load) -> Result<Checked, ProcessError> {
    let name = load.name.clone();
    match timeout(CHECK_TIME_MAX, Process::start(Bound::default(), load)).await {
        Err(_) => {
            let seconds = CHECK_TIME_MAX.as_secs();
            Err(ProcessError::Unusable(format!("{name} did not load and run once within {seconds} s on this node")))
        }
        Ok(Err(error)) => Err(error),
        Ok(Ok((process, ready))) => {
            process.end().await;
            match ready {
                FromWorker::Ready { inputs, outputs, .. } => Ok(Checked { inputs, outputs }),
                _ => Ok(Checked::default()),
            }
        }
    }
}

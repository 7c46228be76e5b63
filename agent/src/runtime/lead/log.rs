//! What the leader's own commands changed, in the log: at a glance what a person may have to look into.

use skein_core::{Event, Resources};

/// One event of a command that was committed.
pub(super) fn committed(event: &Event) {
    match event {
        Event::NodeDown(node) => tracing::warn!(%node, "node is down"),
        Event::NodeUp(node) => tracing::info!(%node, "node is up again"),
        Event::NodeJoined { node, reason } => tracing::info!(%node, "node joined: {reason}"),
        Event::DeviceTested { node, device } => tracing::info!(%node, device, "device is tested"),
        Event::DeviceTrusted { node, device } => tracing::info!(%node, device, "device is sound again"),
        Event::SessionWants { session, workers } => {
            tracing::info!(session = session.0, workers, "the session's tasks could keep so many workers busy");
        }
        Event::SessionReserved { session, reserved, reason } => {
            let Resources { cpu_millicores, memory_bytes, .. } = reserved;
            tracing::info!(session = session.0, cpu_millicores, memory_bytes, "a worker now gets so much: {reason}");
        }
        Event::WorkerLeaving { worker, until, why } => {
            tracing::info!(worker = worker.0, until = until.0, "worker has to leave: {why}");
        }
        Event::WorkerReturned { worker, .. } => tracing::info!(worker = worker.0, "worker is given back and kept warm"),
        Event::WorkerRevived { worker, reason, .. } => {
            tracing::info!(worker = worker.0, "worker serves again: {reason}");
        }
        Event::WorkerResized { worker, .. } => tracing::info!(worker = worker.0, "worker gets more or less"),
        Event::WorkerRemoved { worker, session, reason } => {
            tracing::info!(worker = worker.0, session = session.0, "worker leaves the plan: {reason}");
        }
        Event::ChangeRefused { change, reason } => tracing::warn!(?change, "a change was refused: {reason}"),
        other => tracing::debug!(event = ?other, "committed"),
    }
}

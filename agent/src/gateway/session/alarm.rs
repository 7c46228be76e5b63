//! Wakes a session when the wait before a retry is over: nothing else may happen by then.

use std::sync::Weak;
use std::time::Instant;

use tokio::task::AbortHandle;
use tokio::time::sleep_until;

use crate::gateway::session::Session;

/// At most one, for the earliest time.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<(Instant, AbortHandle)>);

impl Alarm {
    /// From now on it is set to this time, or to none.
    pub(super) fn set(&mut self, at: Option<Instant>, session: &Weak<Session>) {
        if self.0.as_ref().map(|(set, _)| *set) == at {
            return;
        }
        if let Some((_, task)) = self.0.take() {
            task.abort();
        }
        let Some(at) = at else { return };
        let session = session.clone();
        let task = tokio::spawn(async move {
            sleep_until(at.into()).await;
            if let Some(session) = session.upgrade() {
                session.wake();
            }
        });
        self.0 = Some((at, task.abort_handle()));
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some((_, task)) = self.0.take() {
            task.abort();
        }
    }
}

//! What the other end of a connection owes: while it owes something, its silence is looked at closely.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The debts of one peer: attempts at its workers that have not ended, or a client's tasks. Clones are of the same account.
#[derive(Clone, Debug, Default)]
pub struct Owed(Arc<Account>);

#[derive(Debug, Default)]
struct Account {
    count: AtomicUsize,
    silent: Notify,
}

/// What one stream has of them; settled when it is dropped.
#[derive(Debug)]
pub struct Debts {
    owed: Owed,
    count: AtomicUsize,
}

impl Owed {
    /// The part of one stream, nothing yet.
    pub fn debts(&self) -> Debts {
        Debts { owed: self.clone(), count: AtomicUsize::new(0) }
    }

    /// Whether anything is owed now.
    pub(super) fn is_some(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) > 0
    }

    /// The peer is silent for longer than its link explains; told again and again while that is so.
    pub(super) fn tell_silent(&self) {
        self.0.silent.notify_waiters();
    }

    /// Waits until that is so.
    pub async fn silence(&self) {
        self.0.silent.notified().await;
    }
}

impl Debts {
    /// One more.
    pub fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.owed.0.count.fetch_add(1, Ordering::Relaxed);
    }

    /// One less. What was never owed is not counted, whatever a peer answers.
    pub fn settle(&self) {
        let less = |count: usize| count.checked_sub(1);
        if self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            self.owed.0.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Debts {
    fn drop(&mut self) {
        self.owed.0.count.fetch_sub(*self.count.get_mut(), Ordering::Relaxed);
    }
}

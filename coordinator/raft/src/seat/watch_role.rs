//! Turns openraft's metrics, which change with every tick, into a role that changes when something changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};

use super::Role;
use crate::types::Metrics;

/// Until when a leader may be sure of itself, as [`skein_core::election`] has it, and in which term.
///
/// A leader that was cut off does not notice that another was elected; openraft 0.9 lets it lead for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    until: Mutex<Option<(u64, Instant)>>,
    renewed: Notify,
}

impl Lease {
    pub(super) fn holds(&self, term: u64) -> bool {
        self.until().is_some_and(|(of, until)| of == term && Instant::now() < until)
    }

    pub(super) fn set(&self, until: Option<(u64, Instant)>) {
        let before = std::mem::replace(&mut *self.lock(), until);
        let held = |lease: Option<(u64, Instant)>| lease.filter(|(_, until)| Instant::now() < *until).map(|(of, _)| of);
        if held(before) != held(until) {
            self.0.renewed.notify_one();
        }
    }

    fn until(&self) -> Option<(u64, Instant)> {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, Instant)>> {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it no longer holds.
    async fn expired(&self) {
        if let Some((_, until)) = self.until() {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

/// Follows the metrics for as long as there are any.
pub(super) fn spawn(metrics: watch::Receiver<Metrics>, lease: Lease) -> watch::Receiver<Role> {
    let mut observer = Observer { metrics, lease, reign: None };
    let (roles, receiver) = watch::channel(observer.look());
    tokio::spawn(observer.follow(roles));
    receiver
}

struct Observer {
    metrics: watch::Receiver<Metrics>,
    lease: Lease,
    reign: Option<Reign>,
}

/// What an elected node must have applied before it may lead: everything that its log held when it was first seen
/// elected, as what was acknowledged before is in there. That the applied entries reach its own term is not enough:
/// openraft lets a leader that restarts go on in the same term, with a state that is still being rebuilt.
struct Reign {
    term: u64,
    from: Option<u64>,
}

impl Observer {
    async fn follow(mut self, roles: watch::Sender<Role>) {
        loop {
            let leads = roles.borrow().is_leader;
            let goes_on = tokio::select! {
                changed = self.metrics.changed() => changed.is_ok(),
                () = self.lease.expired(), if leads => true,
                () = self.lease.0.renewed.notified() => true,
            };
            if !goes_on {
                return;
            }
            let now = self.look();
            roles.send_if_modified(|role| {
                let changed = *role != now;
                *role = now;
                changed
            });
        }
    }

    fn look(&mut self) -> Role {
        let metrics = self.metrics.borrow_and_update();
        let mut role = Role::of(&metrics);
        self.reign = match self.reign.take() {
            _ if !role.is_leader => None,
            Some(reign) if reign.term == role.term => Some(reign),
            _ => Some(Reign { term: role.term, from: role.last_log }),
        };
        let has_all = self.reign.as_ref().is_some_and(|reign| role.applied >= reign.from);
        role.is_leader = has_all && self.lease.holds(role.term);
        role
    }
}

//! Turns openraft's metrics, which change with every tick, into a role that changes when something changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Role;
use crate::types::Metrics;

/// Until when a leader may be sure of itself.
///
/// A leader that was cut off does not notice that another was elected; openraft 0.9 lets it lead for ever. But a majority
/// that has answered it votes for nobody else for the longer election timeout, so for that long, and no longer, it is the
/// only one.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    length: Duration,
    until: Arc<Mutex<Until>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    /// The only voter: nobody else can be elected.
    Ever,
    Then(Instant),
}

impl Lease {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, until: Arc::new(Mutex::new(Until::Then(Instant::now()))) }
    }

    pub(super) fn holds(&self) -> bool {
        match self.until() {
            Until::Ever => true,
            Until::Then(then) => Instant::now() < then,
        }
    }

    fn until(&self) -> Until {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self, role: &Role, millis_since_quorum: Option<u64>) {
        let now = Instant::now();
        let until = match millis_since_quorum {
            _ if role.voters.len() == 1 && role.voters.contains(&role.node) => Until::Ever,
            Some(age) => Until::Then((now + self.length).checked_sub(Duration::from_millis(age)).unwrap_or(now)),
            None => Until::Then(now),
        };
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Returns when it no longer holds, or never.
    async fn expired(&self) {
        match self.until() {
            Until::Ever => std::future::pending().await,
            Until::Then(then) => tokio::time::sleep_until(then.into()).await,
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
        self.lease.renew(&role, metrics.millis_since_quorum_ack);
        self.reign = match self.reign.take() {
            _ if !role.is_leader => None,
            Some(reign) if reign.term == role.term => Some(reign),
            _ => Some(Reign { term: role.term, from: role.last_log }),
        };
        let has_all = self.reign.as_ref().is_some_and(|reign| role.applied >= reign.from);
        role.is_leader = has_all && self.lease.holds();
        role
    }
}

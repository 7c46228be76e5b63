//! Finds out quickly that the other end of a connection is gone.
//!
//! The naive way is to wait until the connection has been silent for too long; but a time short enough to be quick takes a busy
//! peer for a dead one. There are two better ones. When a peer owes an answer it is knocked at ([`Knocker`]): a refusal is proof,
//! however early it comes. And while it owes results ([`Owed`]) it is asked for a sign of life over and over, which takes its process
//! a moment, whatever its workers do; so a silence that its link does not explain ([`Gaps`]) says that it does not run, or cannot be
//! reached. That is no proof, so the connection stays: whoever waits there for results has them made elsewhere.

use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, VarInt};
use skein_core::Millis;
use skein_core::liveness::Patience;
use skein_core::liveness::gaps::Gaps;
use tokio::time::{Instant, sleep};

use crate::link::knock::Knocker;
use crate::link::owed::Owed;

/// How often to look while no results are owed. Two looks without an answer to something lead to a knock.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How often to look while results are owed: a silence of one look leads to a knock, so that a dead process is found within two.
/// More often would wake a busy machine for little.
const LOOK_IN_DEBT: Duration = Duration::from_millis(15);
/// On a slow link it is looked twice a round trip, so that it is not filled with knocks, but never less often than this.
const LOOK_MAX: Duration = Duration::from_millis(200);
/// After so long a silence, and then as often, a peer in debt is asked for a sign of life: five may get lost before even the least
/// silence is one.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Watches a connection until it ends. Where it ended because nobody listens at the other end any more, it is closed at once, and
/// this says since when at the latest: a time before the first of the knocks that were refused.
pub async fn watch(connection: Connection, owed: Owed, patience: Patience) -> Option<Instant> {
    let mut knocker = Knocker::new(connection.remote_address());
    let mut traffic = Traffic::default();
    let mut silence = Silence::new(patience);
    let mut knocked: Option<Instant> = None;
    loop {
        let is_in_debt = owed.is_some();
        let pause = if is_in_debt { look_in_debt(connection.rtt()) } else { LOOK_EVERY };
        let begin = Instant::now();
        tokio::select! {
            _ = connection.closed() => return None,
            () = knocker.refused() => {
                close(&connection);
                return knocked;
            }
            () = sleep(pause) => {}
        }
        let answered = traffic.look(&connection);
        if answered {
            knocked = None;
        }
        let mut knocks = traffic.unanswered >= 2;
        if is_in_debt {
            // Time in which this process did not run is no silence of the other.
            match silence.look(begin.elapsed().min(pause * 2), answered) {
                Sign::Life => {}
                Sign::Silence => knocks = true,
                Sign::Ask => {
                    knocks = true;
                    // An empty datagram says nothing, but has to be acknowledged. Where it cannot be sent the connection has ended.
                    let _ = connection.send_datagram(Bytes::new());
                }
                Sign::Loss => {
                    knocks = true;
                    owed.tell_silent();
                }
            }
        } else {
            silence.forget();
        }
        if knocks {
            knocked.get_or_insert(begin);
            if knocker.knock().await {
                close(&connection);
                return knocked;
            }
        }
    }
}

fn look_in_debt(round_trip: Duration) -> Duration {
    LOOK_IN_DEBT.max(round_trip / 2).min(LOOK_MAX)
}

fn close(connection: &Connection) {
    connection.close(VarInt::from_u32(1), b"nobody listens there any more");
}

/// Datagrams of a connection as of the last look.
#[derive(Debug, Default)]
struct Traffic {
    sent: u64,
    received: u64,
    /// So many looks ago the first was sent that was not answered since.
    unanswered: u32,
}

impl Traffic {
    /// Whether something came since.
    fn look(&mut self, connection: &Connection) -> bool {
        let stats = connection.stats();
        let (sent, received) = (stats.udp_tx.datagrams, stats.udp_rx.datagrams);
        let answered = received != self.received;
        // A peer owes an answer from the first datagram after its last.
        let owes = self.unanswered > 0 || sent != self.sent;
        self.unanswered = if answered { 0 } else { self.unanswered + u32::from(owes) };
        (self.sent, self.received) = (sent, received);
        answered
    }
}

/// How long a peer in debt has been silent.
#[derive(Debug)]
struct Silence {
    patience: Patience,
    gaps: Gaps,
    length: Duration,
    asked: Duration,
}

/// What a silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// It ended.
    Life,
    /// It goes on.
    Silence,
    /// It is time to ask for a sign of life.
    Ask,
    /// It is a loss.
    Loss,
}

impl Silence {
    fn new(patience: Patience) -> Self {
        let gaps = Gaps::expecting(millis(ASK_EVERY));
        Self { patience, gaps, length: Duration::ZERO, asked: Duration::ZERO }
    }

    fn look(&mut self, passed: Duration, answered: bool) -> Sign {
        self.length += passed;
        if answered {
            if millis(self.length) < self.patience.down_after_max {
                self.gaps.note(millis(self.length));
            }
            self.forget();
            return Sign::Life;
        }
        let most = self.gaps.silence_max(self.patience.down_after, self.patience.down_after_max);
        if millis(self.length) >= most {
            return Sign::Loss;
        }
        if self.length >= self.asked + ASK_EVERY {
            self.asked = self.length;
            return Sign::Ask;
        }
        Sign::Silence
    }

    /// From now on a new silence counts.
    fn forget(&mut self) {
        (self.length, self.asked) = (Duration::ZERO, Duration::ZERO);
    }
}

fn millis(length: Duration) -> Millis {
    Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;

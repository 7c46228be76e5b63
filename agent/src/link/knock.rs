//! Finds out quickly that the process at the other end is gone.
//!
//! The naive way is to wait until the connection has been silent for too long; but a QUIC peer that was killed says nothing, and a
//! time short enough to be quick takes a busy peer for a dead one. The kernel of a machine whose process died does know:
//! it refuses datagrams to a closed port (ICMP port unreachable, RFC 1122, 3.2.2.1). quinn's socket is not connected, so it is
//! never told. So when a peer owes an answer for a moment, one byte is sent to its port from a socket that is connected:
//! a live peer drops it, a dead one's kernel refuses. Where refusals do not come through, silence decides as before.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use quinn::{Connection, VarInt};
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often to look. Two looks without an answer lead to a knock: a dead process is found within about three.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long a refusal may be under way: longer than any local network's round trip.
const REFUSAL_TIME_MAX: Duration = Duration::from_millis(20);
/// What is sent: no QUIC packet is so short, so a live endpoint drops it unread.
const KNOCK: [u8; 1] = [0];

/// Watches a connection until it ends; whether it ended because nobody listens at the other end any more, in which case it is
/// closed at once.
pub async fn watch(connection: Connection) -> bool {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut received, mut owed) = (0, 0, 0);
    loop {
        tokio::select! {
            _ = connection.closed() => return false,
            _ = look.tick() => {}
        }
        let stats = connection.stats();
        let answered = stats.udp_rx.datagrams != received;
        // A peer owes an answer from the first datagram after its last.
        owed = if answered { 0 } else { owed + u32::from(owed > 0 || stats.udp_tx.datagrams != sent) };
        (sent, received) = (stats.udp_tx.datagrams, stats.udp_rx.datagrams);
        if owed >= 2 && is_refused(connection.remote_address()).await {
            connection.close(VarInt::from_u32(1), b"nobody listens there any more");
            return true;
        }
    }
}

async fn is_refused(address: SocketAddr) -> bool {
    let knock = async {
        let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        socket.send(&KNOCK).await?;
        socket.recv(&mut [0; 1]).await
    };
    matches!(timeout(REFUSAL_TIME_MAX, knock).await, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_port_refuses_and_an_open_one_does_not() {
        let open = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = open.local_addr().unwrap();
        assert!(!is_refused(address).await);
        drop(open);
        assert!(is_refused(address).await);
    }
}

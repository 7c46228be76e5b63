//! Asks the kernel at the other end whether anybody still listens there.
//!
//! A QUIC peer that was killed says nothing. But the kernel of a machine whose process died refuses datagrams to the closed
//! port (ICMP port unreachable, RFC 1122, 3.2.2.1). quinn's socket is not connected, so it is never told. So one byte is sent to the
//! peer's port from a socket that is connected: a live peer drops it, a dead one's kernel refuses, and the socket says so.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// What is sent: no QUIC packet is so short, so a live endpoint drops it unread.
const KNOCK: [u8; 1] = [0];

/// Knocks at one address. It takes a socket with the first knock and keeps it.
#[derive(Debug)]
pub(super) struct Knocker {
    at: SocketAddr,
    socket: Option<UdpSocket>,
}

impl Knocker {
    pub(super) fn new(at: SocketAddr) -> Self {
        Self { at, socket: None }
    }

    /// Sends a knock; whether an earlier one was refused. One that cannot be sent is as one that is not answered.
    pub(super) async fn knock(&mut self) -> bool {
        if self.socket.is_none() {
            self.socket = connected(self.at).await.ok();
        }
        let Some(socket) = &self.socket else { return false };
        matches!(socket.send(&KNOCK).await, Err(error) if error.kind() == ErrorKind::ConnectionRefused)
    }

    /// Waits until a knock is refused; for ever where none was sent.
    pub(super) async fn refused(&self) {
        let Some(socket) = &self.socket else { return std::future::pending().await };
        loop {
            match socket.recv(&mut [0; 1]).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                // Of other errors (no route, an interface that is down) none is a proof; and they may come at once again.
                Err(_) => return std::future::pending().await,
                // Whatever answers a knock is no endpoint of ours, but it is there.
                Ok(_) => {}
            }
        }
    }
}

async fn connected(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_closed_port_refuses_and_an_open_one_does_not() {
        let open = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut knocker = Knocker::new(open.local_addr().unwrap());
        assert!(!knocker.knock().await);
        let mut knocked = [0; 4];
        assert_eq!(open.recv(&mut knocked).await.unwrap(), KNOCK.len());
        assert!(timeout(Duration::ZERO, knocker.refused()).await.is_err());
        drop(open);
        assert!(!knocker.knock().await, "nothing was refused before");
        timeout(Duration::from_secs(5), knocker.refused()).await.expect("the kernel refuses");
    }
}

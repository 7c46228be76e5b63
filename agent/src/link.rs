//! The one QUIC endpoint between nodes, clients and agents: `skein/1` over quinn.
//!
//! A dialler opens one connection to a peer and a bidirectional stream for each thing it wants; the first message on a
//! stream ([`Open`]) says what. TLS is mutual: both sides prove a device key, and a dialler that expects a certain node
//! gets that node or an error.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_core::NodeId;
use thiserror::Error;

use crate::frame::{self, Frame, FrameError};

mod beat;
mod endpoint;
mod knock;
mod open;
mod owed;
mod pool;
mod tls;
mod watch;

pub use beat::{Beat, ENTRIES_MAX, Word, receive_beats, send_beat};
pub use endpoint::{Endpoint, Timing, peer_node};
pub use open::{Hello, HelloAnswer, ModelPut, Open, TasksOpen, WorkerOpen};
pub use owed::{Debts, Owed};
pub use pool::{Link, Pool};
pub use watch::watch;

/// How long a dial may take: a handshake on a slow radio, not more.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Why nothing came over a link.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The local port cannot be opened.
    #[error("cannot listen on UDP {address}: {source}; {advice}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    /// Nobody answers there.
    #[error("no agent answers at {address} ({reason}); is `skein agent` running there, and is the UDP port open?")]
    NoAnswer {
        /// Where.
        address: SocketAddr,
        /// How it failed.
        reason: String,
    },
    /// Somebody else answers there.
    #[error("{address} answers as node {found}, not as {expected}")]
    WrongNode {
        /// Where.
        address: SocketAddr,
        /// Who should be there.
        expected: NodeId,
        /// Who is.
        found: NodeId,
    },
    /// No address is known.
    #[error("no address of node {0} is known yet")]
    NoAddress(NodeId),
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Lost(String),
    /// A message broke a rule.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other side ended the stream where an answer was due.
    #[error("the other side ended the stream without an answer")]
    NoReply,
}

impl From<quinn::ConnectionError> for LinkError {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<quinn::WriteError> for LinkError {
    fn from(error: quinn::WriteError) -> Self {
        Self::Lost(error.to_string())
    }
}

/// How urgent a stream is against others of its connection: control is never queued behind tensors.
#[derive(Clone, Copy, Debug)]
pub enum Urgency {
    /// Raft, heartbeats, control.
    Control = 2,
    /// Tasks and results.
    Tasks = 1,
    /// Files.
    Bulk = 0,
}

/// One open stream, both ways.
#[derive(Debug)]
pub struct Stream {
    /// Towards the other side.
    pub send: SendStream,
    /// From the other side.
    pub recv: RecvStream,
}

impl Stream {
    /// Opens a stream and says what for.
    pub async fn open(connection: &Connection, what: &Open, payload: Bytes) -> Result<Self, LinkError> {
        let (send, recv) = connection.open_bi().await?;
        let _ = send.set_priority(what.urgency() as i32);
        let mut stream = Self { send, recv };
        send_message(&mut stream.send, what, payload).await?;
        Ok(stream)
    }

    /// The next message, which must come.
    pub async fn expect(&mut self) -> Result<Frame, LinkError> {
        frame::read(&mut self.recv).await?.ok_or(LinkError::NoReply)
    }
}

/// Writes one message.
pub async fn send_message<T: Serialize>(to: &mut SendStream, header: &T, payload: Bytes) -> Result<(), LinkError> {
    let head = Bytes::from(frame::head(header, payload.len())?);
    if payload.is_empty() {
        to.write_chunk(head).await?;
    } else {
        to.write_all_chunks(&mut [head, payload]).await?;
    }
    Ok(())
}

/// One question, one answer, on a stream of its own. The answer's header and payload.
pub async fn ask<A: DeserializeOwned>(
    connection: &Connection,
    what: &Open,
    payload: Bytes,
) -> Result<(A, Bytes), LinkError> {
    let mut stream = Stream::open(connection, what, payload).await?;
    // The other side may have read all it needs and reset the stream: then its answer says more than this error.
    let _ = stream.send.finish();
    let frame = stream.expect().await?;
    Ok((frame.header()?, frame.payload))
}

//! The envelope of every message, on the wire between nodes and on the pipe between an agent and its workers.
//!
//! ```text
//! byte 0     version of the protocol
//! bytes 1-3  length of the header, big endian
//! bytes 4-7  length of the payload, big endian
//! then       the header in CBOR, and the payload as it is
//! ```
//!
//! Tensors and pictures travel as payload and never pass through serde. Both lengths are checked before anything of
//! them is allocated.

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_raft::codec;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The version of the protocol that this binary speaks.
pub const VERSION: u8 = 1;
/// Length of the prefix in bytes.
const PREFIX_BYTES: usize = 8;
/// The longest header, in bytes: a status of a large mesh, with room.
pub const HEADER_BYTES_MAX: usize = 4 << 20;
/// The longest payload, in bytes: a 4K frame of f32 RGB does not fit, its encoded picture or a 6 MB frame does easily.
pub const PAYLOAD_BYTES_MAX: usize = 32 << 20;
/// Memory that is taken on the sender's word; from there on it doubles with what came.
const TAKEN_AT_ONCE_BYTES: usize = 1 << 20;

/// Why a message could not be read.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The transport failed.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// The other side stopped within a message.
    #[error("the message ends early")]
    Truncated,
    /// The other side speaks another protocol.
    #[error("protocol version {0}, and this binary speaks {VERSION}: bring both sides to the same release of skein")]
    Version(u8),
    /// A length over its bound.
    #[error("a message {part} of {length} bytes is over the bound of {bound}")]
    TooLong {
        /// Header or payload.
        part: &'static str,
        /// How long it says it is.
        length: usize,
        /// How long it may be.
        bound: usize,
    },
    /// The header is no message of the kind expected here.
    #[error("the message cannot be understood: {0}")]
    Header(String),
}

/// One message as it came.
#[derive(Clone, Debug)]
pub struct Frame {
    header: Vec<u8>,
    /// What the header is about, untouched.
    pub payload: Bytes,
}

impl Frame {
    /// The header as a message.
    pub fn header<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        codec::decode(&self.header).map_err(|error| FrameError::Header(error.to_string()))
    }
}

/// Prefix and header of a message; the payload follows it on the wire as it is.
pub fn head<T: Serialize>(header: &T, payload_bytes: usize) -> Result<Vec<u8>, FrameError> {
    let mut head = vec![0; PREFIX_BYTES];
    codec::encode_into(&mut head, header);
    let header_bytes = head.len() - PREFIX_BYTES;
    check("header", header_bytes, HEADER_BYTES_MAX)?;
    check("payload", payload_bytes, PAYLOAD_BYTES_MAX)?;
    let too_long = |_| FrameError::TooLong { part: "message", length: payload_bytes, bound: PAYLOAD_BYTES_MAX };
    head[..4].copy_from_slice(&u32::try_from(header_bytes).map_err(too_long)?.to_be_bytes());
    head[0] = VERSION;
    head[4..PREFIX_BYTES].copy_from_slice(&u32::try_from(payload_bytes).map_err(too_long)?.to_be_bytes());
    Ok(head)
}

/// Reads one message; none where the other side ended the stream between two.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R) -> Result<Option<Frame>, FrameError> {
    let mut prefix = [0; PREFIX_BYTES];
    let mut have = 0;
    while have < PREFIX_BYTES {
        match from.read(&mut prefix[have..]).await? {
            0 if have == 0 => return Ok(None),
            0 => return Err(FrameError::Truncated),
            more => have += more,
        }
    }
    let (header_bytes, payload_bytes) = lengths(prefix)?;
    let header = read_part(from, header_bytes).await?;
    let payload = read_part(from, payload_bytes).await?;
    Ok(Some(Frame { header, payload: payload.into() }))
}

/// Reads so many bytes. Memory is taken as they arrive: a length that is only claimed costs nothing.
async fn read_part<R: AsyncRead + Unpin>(from: &mut R, length: usize) -> Result<Vec<u8>, FrameError> {
    let mut part = Vec::with_capacity(length.min(TAKEN_AT_ONCE_BYTES));
    while part.len() < length {
        let have = part.len();
        let step = (length - have).min(have.max(TAKEN_AT_ONCE_BYTES));
        part.resize(have + step, 0);
        from.read_exact(&mut part[have..]).await.map_err(early)?;
    }
    Ok(part)
}

/// [`read`] for a worker process, which has nothing else to do while it waits.
pub fn read_blocking<R: Read>(from: &mut R) -> Result<Option<Frame>, FrameError> {
    let mut prefix = [0; PREFIX_BYTES];
    let mut have = 0;
    while have < PREFIX_BYTES {
        match from.read(&mut prefix[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Truncated),
            Ok(more) => have += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (header_bytes, payload_bytes) = lengths(prefix)?;
    let mut header = vec![0; header_bytes];
    from.read_exact(&mut header).map_err(early)?;
    let mut payload = vec![0; payload_bytes];
    from.read_exact(&mut payload).map_err(early)?;
    Ok(Some(Frame { header, payload: payload.into() }))
}

fn lengths(prefix: [u8; PREFIX_BYTES]) -> Result<(usize, usize), FrameError> {
    let [version, h1, h2, h3, p0, p1, p2, p3] = prefix;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let header = u32::from_be_bytes([0, h1, h2, h3]) as usize;
    let payload = u32::from_be_bytes([p0, p1, p2, p3]) as usize;
    check("header", header, HEADER_BYTES_MAX)?;
    check("payload", payload, PAYLOAD_BYTES_MAX)?;
    Ok((header, payload))
}

fn check(part: &'static str, length: usize, bound: usize) -> Result<(), FrameError> {
    if length > bound { Err(FrameError::TooLong { part, length, bound }) } else { Ok(()) }
}

fn early(error: std::io::Error) -> FrameError {
    if error.kind() == ErrorKind::UnexpectedEof { FrameError::Truncated } else { FrameError::Io(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let mut message = head(&("hello", 7_u32), 3).unwrap();
        message.extend(b"abc");
        message
    }

    #[tokio::test]
    async fn a_message_arrives_whole_on_both_paths() {
        let message = message();
        let frame = read(&mut message.as_slice()).await.unwrap().unwrap();
        assert_eq!(frame.header::<(String, u32)>().unwrap(), ("hello".into(), 7));
        assert_eq!(frame.payload.as_ref(), b"abc");
        let frame = read_blocking(&mut message.as_slice()).unwrap().unwrap();
        assert_eq!(frame.payload.as_ref(), b"abc");
        assert!(read(&mut [].as_slice()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn every_truncation_is_an_error_and_no_panic() {
        let message = message();
        for length in 1..message.len() {
            let error = read(&mut &message[..length]).await.unwrap_err();
            assert!(matches!(error, FrameError::Truncated), "{length}: {error}");
            assert!(matches!(read_blocking(&mut &message[..length]), Err(FrameError::Truncated)));
        }
    }

    #[test]
    fn lengths_are_bounded_before_they_are_allocated() {
        let huge = [VERSION, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert!(matches!(read_blocking(&mut huge.as_slice()), Err(FrameError::TooLong { part: "header", .. })));
        let huge = [VERSION, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(read_blocking(&mut huge.as_slice()), Err(FrameError::TooLong { part: "payload", .. })));
        assert!(matches!(read_blocking(&mut [9; 8].as_slice()), Err(FrameError::Version(9))));
    }
}

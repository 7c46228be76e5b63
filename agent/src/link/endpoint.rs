//! One UDP port that dials and is dialled.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Incoming, ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use skein_core::NodeId;
use tokio::time::timeout;

use crate::frame::PAYLOAD_BYTES_MAX;
use crate::identity::{Identity, node_id_of_certificate};
use crate::link::{DIAL_TIMEOUT, LinkError, tls};

/// The most streams one peer may have open towards us: a large gateway's workers and clients, with room.
const STREAMS_MAX: u32 = 1024;
/// What one stream may have under way: enough for a whole 6 MB frame, so that a large tensor does not stop half way.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// What a connection may have under way in all: the largest payload at least.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
const _: () = assert!(CONNECTION_WINDOW_BYTES as usize >= PAYLOAD_BYTES_MAX);
/// Room for beats that were not taken out yet; each has about twenty bytes.
const DATAGRAM_BUFFER_BYTES: usize = 16 << 10;

/// When a silent connection counts as lost.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long the other side may be silent.
    pub idle_max: Duration,
    /// How often this side breaks the silence.
    pub keep_alive: Duration,
}

/// A UDP port that speaks `skein/1`.
#[derive(Clone, Debug)]
pub struct Endpoint {
    quic: quinn::Endpoint,
    dialler: ClientConfig,
}

impl Endpoint {
    /// Listens on `address`, and dials from it.
    pub fn listen(address: SocketAddr, identity: &Identity, timing: Timing) -> Result<Self, LinkError> {
        let server = QuicServerConfig::try_from(tls::server(identity)?).map_err(|e| LinkError::Tls(e.to_string()))?;
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(Arc::new(transport(timing)?));
        let quic = quinn::Endpoint::server(server, address).map_err(|source| bind_error(address, source))?;
        Ok(Self { quic, dialler: dialler(identity, timing)? })
    }

    /// Only dials, from any free port.
    pub fn client(to: SocketAddr, identity: &Identity, timing: Timing) -> Result<Self, LinkError> {
        let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let quic = quinn::Endpoint::client(any).map_err(|source| bind_error(any, source))?;
        Ok(Self { quic, dialler: dialler(identity, timing)? })
    }

    /// The port as it was opened.
    pub fn address(&self) -> Result<SocketAddr, LinkError> {
        self.quic.local_addr().map_err(|error| LinkError::Lost(error.to_string()))
    }

    /// A new connection to whoever listens there, or to a certain node.
    pub async fn dial(&self, address: SocketAddr, expected: Option<NodeId>) -> Result<Connection, LinkError> {
        let failed = |reason: String| LinkError::NoAnswer { address, reason };
        let connecting = self.quic.connect_with(self.dialler.clone(), address, "skein");
        let connecting = connecting.map_err(|error| failed(error.to_string()))?;
        let connection = match timeout(DIAL_TIMEOUT, connecting).await {
            Ok(result) => result.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))),
        };
        if let Some(expected) = expected {
            let found = peer_node(&connection).ok_or_else(|| failed("it shows no device key".into()))?;
            if found != expected {
                return Err(LinkError::WrongNode { address, expected, found });
            }
        }
        Ok(connection)
    }

    /// The next connection that somebody opens; none once the endpoint is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        self.quic.accept().await
    }

    /// Ends every connection at once and tells the other sides.
    pub async fn close(&self) {
        self.quic.close(VarInt::from_u32(0), b"shutting down");
        self.quic.wait_idle().await;
    }
}

/// The node whose key the other side proved to hold.
pub fn peer_node(connection: &Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    node_id_of_certificate(chain.first()?)
}

fn dialler(identity: &Identity, timing: Timing) -> Result<ClientConfig, LinkError> {
    let client = QuicClientConfig::try_from(tls::client(identity)?).map_err(|e| LinkError::Tls(e.to_string()))?;
    let mut client = ClientConfig::new(Arc::new(client));
    client.transport_config(Arc::new(transport(timing)?));
    Ok(client)
}

fn transport(timing: Timing) -> Result<TransportConfig, LinkError> {
    let mut transport = TransportConfig::default();
    let idle = timing.idle_max.try_into().map_err(|_| LinkError::Tls("the idle time is too long".into()))?;
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(timing.keep_alive))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    Ok(transport)
}

fn bind_error(address: SocketAddr, source: std::io::Error) -> LinkError {
    let advice = match source.kind() {
        ErrorKind::AddrInUse => "the port is in use: stop what holds it, or choose another with --listen",
        ErrorKind::AddrNotAvailable => "this machine does not have that address: choose another with --listen",
        ErrorKind::PermissionDenied => "ports below 1024 need privileges: choose another with --listen",
        _ => "choose another address with --listen",
    };
    LinkError::Bind { address, source, advice }
}

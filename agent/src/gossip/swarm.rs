//! libp2p, set up small: QUIC only, one topic, bounds on everything.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::{Multiaddr, SwarmBuilder, identify, mdns};

use crate::gossip::{GossipConfig, announcement};

/// The one topic, with the version of what is said there.
pub(super) const TOPIC: &str = "skein/1/announce";
/// What libp2p's identify calls this protocol.
const PROTOCOL: &str = "/skein/1";
/// How often gossipsub looks after its mesh of peers. Nothing here is urgent.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a message is known as seen: longer than it can take through any mesh.
const SEEN_FOR: Duration = Duration::from_mins(1);
/// When a silent gossip connection is given up, and how often its silence is broken.
const IDLE_MAX_MS: u32 = 15_000;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// What gossipsub takes in at once. It measures the bytes that have come, not the message (0.50.1, `validate_rpc_limits`), and gives
/// the stream up with all that is on its way in it: so the largest message in its envelope must fit beside one read of what follows.
const TRANSMIT_MAX: usize = announcement::BYTES_MAX + ENVELOPE_MAX + READ_MAX;
/// Signature, signer, topic and number.
const ENVELOPE_MAX: usize = 1024;
/// What `asynchronous-codec` reads at once.
const READ_MAX: usize = 8 << 10;
/// Messages that a neighbour is told of at once, at some 80 bytes each: for a very large mesh the default makes messages beyond
/// [`TRANSMIT_MAX`].
const TOLD_OF_MAX: usize = 200;
/// Announcements are small: a stream needs no more under way, and an idle connection holds no more memory.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
const STREAMS_MAX: u32 = 32;
/// Connections in all, of one peer, and half open.
const CONNECTIONS_MAX: u32 = 128;
const CONNECTIONS_A_PEER_MAX: u32 = 2;
const HALF_OPEN_MAX: u32 = 32;

/// What the swarm does.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(super) gossipsub: gossipsub::Behaviour,
    identify: identify::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

pub(super) fn topic() -> IdentTopic {
    IdentTopic::new(TOPIC)
}

/// A swarm that listens.
pub(super) fn build(config: &GossipConfig) -> Result<Swarm<Behaviour>, String> {
    let keypair = Keypair::ed25519_from_bytes(config.seed).map_err(|error| error.to_string())?;
    let behaviour = behaviour(&keypair, config)?;
    let mut swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_quic_config(|mut quic| {
            quic.max_idle_timeout = IDLE_MAX_MS;
            quic.keep_alive_interval = KEEP_ALIVE;
            quic.max_concurrent_stream_limit = STREAMS_MAX;
            quic.max_stream_data = STREAM_WINDOW_BYTES;
            quic.max_connection_data = CONNECTION_WINDOW_BYTES;
            quic
        })
        .with_behaviour(|_| behaviour)
        .map_err(|error| error.to_string())?
        // A connection without a stream is a peer that has nothing to say now, not one to be cut off.
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(Duration::MAX))
        .build();
    let (ip, port) = (config.listen.ip(), config.listen.port());
    let listen = Multiaddr::from(ip);
    let listen = listen.with(libp2p::multiaddr::Protocol::Udp(port)).with(libp2p::multiaddr::Protocol::QuicV1);
    swarm.listen_on(listen).map_err(|error| error.to_string())?;
    Ok(swarm)
}

fn behaviour(keypair: &Keypair, config: &GossipConfig) -> Result<Behaviour, String> {
    let settings = gossipsub::ConfigBuilder::default()
        .heartbeat_interval(HEARTBEAT)
        .duplicate_cache_time(SEEN_FOR)
        .max_transmit_size(TRANSMIT_MAX)
        .max_control_messages_sent(TOLD_OF_MAX)
        .validation_mode(ValidationMode::Strict)
        // A message is passed on only when it was found to be what it says.
        .validate_messages()
        .flood_publish(true)
        .build()
        .map_err(|error| error.to_string())?;
    let signed = MessageAuthenticity::Signed(keypair.clone());
    let mut gossipsub = gossipsub::Behaviour::new(signed, settings).map_err(str::to_owned)?;
    gossipsub.subscribe(&topic()).map_err(|error| error.to_string())?;
    let limits = ConnectionLimits::default()
        .with_max_established(Some(CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(CONNECTIONS_A_PEER_MAX))
        .with_max_pending_incoming(Some(HALF_OPEN_MAX));
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        gossipsub,
        identify: identify::Behaviour::new(identify::Config::new(PROTOCOL.into(), keypair.public())),
        mdns: config.mdns.then(|| discovery(keypair)).flatten().into(),
    })
}

/// mDNS, where the system lets it be; a machine that does not (a container without multicast) still has peers that it is told of.
fn discovery(keypair: &Keypair) -> Option<mdns::tokio::Behaviour> {
    let started = mdns::tokio::Behaviour::new(mdns::Config::default(), keypair.public().to_peer_id());
    started.inspect_err(|error| tracing::warn!("no peers are looked for by mDNS: {error}; give --peer instead")).ok()
}

//! One agent, put together: started, run until it is told to stop, and taken apart.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use skein_core::capability::NodeSpec;
use skein_core::{MeshId, NodeId};
use skein_raft::{Seat, SeatConfig, SeatError};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::api::handle::{Api, now};
use crate::blobs::{BlobError, Blobs};
use crate::config::Config;
use crate::contacts::Contacts;
use crate::durable::files::Files;
use crate::durable::{Durable, deliver};
use crate::gateway::Gateway;
use crate::gossip::{Gossip, GossipConfig, GossipError};
use crate::identity::{Identity, IdentityError};
use crate::inventory::{self, Inventory};
use crate::island::Islands;
use crate::island::tell::tell;
use crate::island::waiting::{self, Waiting};
use crate::link::{Endpoint, LinkError, Pool, Timing};
use crate::runtime::{Inputs, Parts, Runtime};
use crate::runtimes::Runtimes;
use crate::seat::LinkTransport;
use crate::server::Server;
use crate::worker::host::Host;

/// A connection that was silent for so long is given up and made again: QUIC probes it ever more rarely, so that a handshake is soon
/// the quicker way back. That is no verdict on the node.
const IDLE_MIN: Duration = Duration::from_millis(1_500);
/// Where nodes are given more time, a connection has a little more than the least of it.
const IDLE_AFTER_DOWN: Duration = Duration::from_millis(500);
/// Connections are kept alive with so many packets in the time in which silence would end them.
const KEEP_ALIVE_PARTS: u32 = 4;
/// Beats, or lost nodes, that wait for the runtime; more say nothing new.
const NEWS_MAX: usize = 256;
/// How often an agent says what it can do though nothing changed.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// How long the start waits for the disk to be measured.
const FLUSH_PATIENCE: Duration = Duration::from_millis(300);
/// The coordinator's store in the state directory.
pub const COORDINATOR_DIRECTORY: &str = "coordinator";
/// How long saying goodbye may take.
const GOODBYE_TIME_MAX: Duration = Duration::from_millis(300);
/// The file in the state directory that says which mesh this node is in.
pub const MESH_FILE: &str = "mesh";
/// The file in the state directory that says where the agent listens, for as long as it runs.
pub const ADDRESS_FILE: &str = "address";

/// Why an agent does not run.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The state directory is of no use.
    #[error("cannot use the state directory {path}: {source}; give --state-dir a directory this user may write to")]
    StateDir {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// See [`IdentityError`].
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// See [`LinkError`].
    #[error(transparent)]
    Link(#[from] LinkError),
    /// See [`GossipError`].
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// See [`SeatError`].
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// See [`BlobError`].
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The device's own description is too long.
    #[error(
        "this node's name, or one of its labels, is too long: --name and each side of a --label may have 128 bytes, and there may be 32 labels"
    )]
    OutOfBounds,
    /// The node was in a mesh, and its part of the coordinator's log is gone.
    #[error(
        "this node was in mesh {mesh}, and {directory} no longer holds what it promised there: with an empty memory it could undo what the \
         mesh agreed on. To make it a new node, move the whole state directory away and start again with --peer"
    )]
    Forgotten {
        /// Which mesh.
        mesh: String,
        /// Where its log should be.
        directory: PathBuf,
    },
    /// The system does not let us hear signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// The coordinator's store failed while the agent ran.
    #[error("the coordinator's seat on this node failed: {0}")]
    SeatFailed(String),
}

/// Runs an agent until it gets SIGINT or SIGTERM.
pub async fn run(config: Config) -> Result<(), AgentError> {
    prepare_state_dir(&config.state_dir)?;
    let identity = Identity::load_or_create(&config.state_dir)?;
    let node = identity.node();
    let idle_max = IDLE_MIN.max(config.down_after + IDLE_AFTER_DOWN);
    let timing = Timing { idle_max, keep_alive: idle_max / KEEP_ALIVE_PARTS };
    let endpoint = Endpoint::listen(config.listen, &identity, timing)?;
    let listen = endpoint.address()?;
    let (tell_gone, gone) = mpsc::channel(NEWS_MAX);
    let pool = Pool::new(endpoint.clone(), tell_gone, config.patience());
    let blobs = Blobs::open(config.state_dir.join("models"))?;
    let flush_ms = measure_flush(&config.state_dir).await;
    let runtimes = Runtimes::find(config.runtimes.clone(), config.programs.clone(), &config.state_dir).await;
    let inventory = Inventory::start(&config.root, inventory::LOOK_EVERY, runtimes.driven()).await;
    let mut spec = NodeSpec {
        id: node,
        name: config.name.clone(),
        address: advertised(&config, listen).to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        capability: inventory.capability(&config.labels, &config.offer_max),
    };
    spec.capability.flush_ms = flush_ms.get().copied();
    spec.capability.targets = runtimes.targets();
    if !spec.within_bounds() {
        return Err(AgentError::OutOfBounds);
    }
    let contacts = Contacts::new(last_mesh(&config.state_dir), now());
    let seat = open_seat(&config, node, pool.clone(), contacts.clone()).await?;
    expect_memory(&config.state_dir, &seat)?;
    if let Some(mesh) = seat.read(|state| state.mesh) {
        contacts.set_mesh(mesh);
    }
    let (gossip, heard) = Gossip::start(GossipConfig {
        seed: identity.seed(),
        listen: config.gossip_listen,
        mdns: config.mdns,
        cache: Some(config.state_dir.join("peers")),
        announce_every: ANNOUNCE_EVERY,
    })
    .await?;
    let (worker_events, workers) = mpsc::unbounded_channel();
    let (beat, beats) = mpsc::channel(NEWS_MAX);
    let host = Host::new(worker_events, config.bind_cores);
    let islands = Islands::open(node, &config.state_dir, config.patience().down_after_max);
    let gateway = Gateway::new(node, host.clone(), pool.clone(), islands.clone());
    let trial = Arc::new(Semaphore::new(1));
    let waiting = open_waiting(&config)?;
    let api = Api {
        node,
        seat: seat.clone(),
        pool: pool.clone(),
        gateway: gateway.clone(),
        contacts,
        blobs,
        islands,
        waiting: waiting.clone(),
        trial,
        runtimes,
    };
    let files = Files::new(node, seat.clone(), pool, Blobs::open(config.state_dir.join("tasks"))?, waiting.clone());
    let sweeping = tokio::spawn(files.clone().sweep());
    let durable = Durable::new(api.clone(), gateway.clone(), files, waiting);
    let delivering = tokio::spawn(deliver(durable.clone()));
    let telling = tokio::spawn(tell(api.clone()));
    let server = Server {
        name: config.name.clone(),
        api: api.clone(),
        gateway: gateway.clone(),
        durable: durable.clone(),
        host: host.clone(),
        gossip: gossip.clone(),
        beats: beat,
    };
    let serving = tokio::spawn(server.run(endpoint.clone()));

    let address_file = write_address(&config.state_dir, listen)?;
    tracing::info!(%node, name = config.name, %listen, gossip = ?gossip.listen_addresses(), "agent runs");
    let runtime = Runtime::new(config, spec, Parts { api, gateway, durable, host, gossip, inventory, flush_ms });
    let ended = tokio::select! {
        failed = runtime.run(Inputs { beats, gone, workers, heard }) => Err(AgentError::SeatFailed(failed)),
        stopped = told_to_stop() => stopped,
    };
    tracing::info!("agent stops");
    let _ = std::fs::remove_file(address_file);
    serving.abort();
    sweeping.abort();
    delivering.abort();
    telling.abort();
    // Those at the other end are told; one that does not listen is not waited for.
    let _ = timeout(GOODBYE_TIME_MAX, endpoint.close()).await;
    seat.close().await;
    ended
}

fn prepare_state_dir(path: &Path) -> Result<(), AgentError> {
    let failed = |source| AgentError::StateDir { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(failed)?;
    // A directory that is there but cannot be written to would fail later, and less plainly.
    let probe = path.join(".probe");
    std::fs::write(&probe, b"").map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

/// What waits for the mesh from when the node was cut off.
fn open_waiting(config: &Config) -> Result<Waiting, AgentError> {
    let opened = Waiting::open(&config.state_dir, config.island_store);
    opened.map_err(|source| AgentError::StateDir { path: config.state_dir.join(waiting::DIRECTORY), source })
}

async fn open_seat(config: &Config, node: NodeId, pool: Pool, contacts: Contacts) -> Result<Seat, SeatError> {
    let seat = SeatConfig::new(config.state_dir.join(COORDINATOR_DIRECTORY), node);
    Seat::open(seat, LinkTransport { pool, contacts }).await
}

/// The mesh that the node was in when it last ran. The seat's first messages leave before its log is read, and name it.
fn last_mesh(state_dir: &Path) -> Option<MeshId> {
    std::fs::read_to_string(state_dir.join(MESH_FILE)).ok()?.trim().parse().ok()
}

/// A first measurement of the disk, which a good disk gives at once. A slow one goes on beside the agent's start, and is told
/// when it is known.
async fn measure_flush(state_dir: &Path) -> Arc<OnceLock<u16>> {
    let measured = Arc::new(OnceLock::new());
    let (known, directory) = (measured.clone(), state_dir.to_owned());
    let measuring = tokio::task::spawn_blocking(move || {
        if let Some(step) = inventory::flush::measure(&directory) {
            let _ = known.set(step);
        }
    });
    let _ = timeout(FLUSH_PATIENCE, measuring).await;
    measured
}

/// A voter that forgot its vote and log is worse than a lost one: Raft counts on what it acknowledged. A store that was emptied
/// looks like a new one, so that the node is in a mesh is written down beside it.
fn expect_memory(state_dir: &Path, seat: &Seat) -> Result<(), AgentError> {
    match std::fs::read_to_string(state_dir.join(MESH_FILE)) {
        Ok(mesh) if !seat.is_member() => {
            let (mesh, directory) = (mesh.trim().to_owned(), state_dir.join(COORDINATOR_DIRECTORY));
            Err(AgentError::Forgotten { mesh, directory })
        }
        _ => Ok(()),
    }
}

fn write_address(state_dir: &Path, listen: SocketAddr) -> Result<PathBuf, AgentError> {
    let path = state_dir.join(ADDRESS_FILE);
    let write = || {
        let beside = path.with_extension("new");
        let mut file = std::fs::File::create(&beside)?;
        writeln!(file, "{listen}")?;
        std::fs::rename(&beside, &path)
    };
    write().map_err(|source| AgentError::StateDir { path: path.clone(), source })?;
    Ok(path)
}

/// Where other nodes reach this one: as it was set, or as it listens; where it listens everywhere, the address that
/// packets to the first peer, or to the world, would leave from. Asking the kernel for that sends nothing.
fn advertised(config: &Config, listen: SocketAddr) -> SocketAddr {
    if let Some(advertise) = config.advertise {
        return advertise;
    }
    if !listen.ip().is_unspecified() {
        return listen;
    }
    // An address of the documentation range (RFC 5737): it stands for any address beyond the default route.
    let world = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let towards = config.peers.first().copied().unwrap_or(world);
    let from = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind(SocketAddr::new(listen.ip(), 0))?;
        socket.connect(towards)?;
        Ok(socket.local_addr()?.ip())
    };
    let ip = from().unwrap_or_else(|error| {
        tracing::warn!("cannot find the address that others reach this node at ({error}); set it with --advertise");
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    });
    SocketAddr::new(ip, listen.port())
}

async fn told_to_stop() -> Result<(), AgentError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signals)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

//! How an agent without a mesh gets one: it joins one that it was told of or hears of, or founds its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use skein_core::NodeId;
use skein_core::capability::NodeSpec;
use tokio::time::{Instant, sleep, timeout};

use crate::api::handle::Api;
use crate::api::{Answer, ApiError, Change, Request};
use crate::config::Config;
use crate::gossip::{Announcement, Gossip};
use crate::link::{Hello, HelloAnswer, Open, ask};

/// How long an agent that was told of nobody listens for others before it founds a mesh: mDNS answers within a second.
const LISTEN_BEFORE_FOUNDING: Duration = Duration::from_secs(2);
/// The wait between two rounds of asking.
const ROUND: Duration = Duration::from_millis(300);
/// How long one agent may take to answer.
const ASK_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the leader may take to bring a node that it admitted up to date before the node asks again.
const ADMITTED_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a person is told that nobody answers.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How many addresses heard by gossip are remembered while looking for a mesh.
const HEARD_MAX: usize = 64;

/// What the loop tells the task that looks for a mesh.
#[derive(Debug, Default)]
struct Heard {
    /// Where members of a mesh are.
    members: BTreeSet<SocketAddr>,
    /// Who else is looking for one.
    lookers: BTreeMap<NodeId, Instant>,
}

/// Looks for a mesh beside the loop, and introduces this node's gossip to the peers it was told of.
#[derive(Debug)]
pub(super) struct Joiner {
    heard: Arc<Mutex<Heard>>,
}

impl Joiner {
    pub(super) fn start(config: &Config, spec: &NodeSpec, api: &Api, gossip: &Gossip) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let search = Search {
            peers: config.peers.clone(),
            listen_first: config.mdns,
            spec: spec.clone(),
            api: api.clone(),
            gossip: gossip.clone(),
            heard: heard.clone(),
            introduced: BTreeSet::new(),
        };
        tokio::spawn(search.run());
        Self { heard }
    }

    /// An announcement came while this node has no mesh.
    pub(super) fn hear(&self, announcement: &Announcement) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match (announcement.mesh, announcement.spec.address.parse()) {
            (Some(_), Ok(address)) if heard.members.len() < HEARD_MAX => {
                heard.members.insert(address);
            }
            (None, _) if heard.lookers.len() < HEARD_MAX => {
                heard.lookers.insert(announcement.spec.id, Instant::now());
            }
            _ => {}
        }
    }
}

struct Search {
    peers: Vec<SocketAddr>,
    listen_first: bool,
    spec: NodeSpec,
    api: Api,
    gossip: Gossip,
    heard: Arc<Mutex<Heard>>,
    /// Peers whose gossip was introduced to ours.
    introduced: BTreeSet<SocketAddr>,
}

impl Search {
    async fn run(mut self) {
        let begin = Instant::now();
        let mut complained = begin;
        loop {
            let joined = self.api.seat.is_member();
            if joined && self.peers.iter().all(|peer| self.introduced.contains(peer)) {
                return;
            }
            let mut reached = false;
            let mut reason = String::from("no address to ask is known");
            for address in self.candidates(joined) {
                match timeout(ASK_TIME_MAX, self.visit(address, joined)).await {
                    Ok(Ok(())) => reached = true,
                    Ok(Err(why)) => reason = format!("{address}: {why}"),
                    Err(_) => reason = format!("{address}: no answer in time"),
                }
            }
            if !joined && !reached {
                if self.may_found(begin) {
                    match self.api.seat.found().await {
                        Ok(()) => tracing::info!("a new mesh is founded"),
                        Err(error) => tracing::warn!("cannot found a mesh: {error}"),
                    }
                } else if complained.elapsed() >= COMPLAIN_EVERY {
                    complained = Instant::now();
                    tracing::warn!("no way into a mesh yet, still trying; the last try: {reason}");
                }
            }
            sleep(ROUND).await;
        }
    }

    fn candidates(&self, joined: bool) -> Vec<SocketAddr> {
        let told = self.peers.iter().copied();
        if joined {
            return told.filter(|peer| !self.introduced.contains(peer)).collect();
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        told.chain(heard.members.iter().copied()).collect()
    }

    /// Asks who is there, introduces the gossip of both, and asks to be let in.
    async fn visit(&mut self, address: SocketAddr, joined: bool) -> Result<(), String> {
        let connection = self.api.pool.endpoint().dial(address, None).await.map_err(|error| error.to_string())?;
        let hello = Open::Hello(Hello { version: self.spec.version.clone() });
        let (answer, _): (HelloAnswer, Bytes) =
            ask(&connection, &hello, Bytes::new()).await.map_err(|e| e.to_string())?;
        for multiaddress in &answer.gossip {
            self.gossip.dial(multiaddress);
        }
        self.introduced.insert(address);
        if answer.node == self.spec.id {
            tracing::warn!(%address, "--peer names this agent itself; name another one");
            return Err("it is this agent itself".into());
        }
        if joined {
            let own = self.api.seat.read(|state| state.mesh);
            if own.is_some() && answer.mesh.is_some() && own != answer.mesh {
                tracing::warn!(%address, "that peer is in another mesh than this node; to move, empty the state directory");
            }
            return Ok(());
        }
        if answer.mesh.is_none() {
            return Err(format!("{} looks for a mesh itself", answer.name));
        }
        self.ask_to_join(&connection).await?;
        tracing::info!(by = answer.name, "admitted to the mesh");
        self.api.pool.set_address(answer.node, address);
        self.wait_for_the_log().await
    }

    async fn ask_to_join(&self, connection: &Connection) -> Result<(), String> {
        let open = Open::Api(Request::Change(Change::Join(self.spec.clone())));
        let answer = ask::<Result<Answer, ApiError>>(connection, &open, Bytes::new()).await;
        let (answer, _) = answer.map_err(|error| error.to_string())?;
        answer.map(drop).map_err(|error| error.to_string())
    }

    async fn wait_for_the_log(&self) -> Result<(), String> {
        let mut changes = self.api.seat.changes();
        let shown = async {
            while !self.api.seat.is_member() {
                if changes.changed().await.is_err() {
                    break;
                }
            }
        };
        timeout(ADMITTED_TIME_MAX, shown).await.map_err(|_| "the leader does not reach this node back".to_owned())
    }

    /// Whether to found a mesh: only an agent that was told of nobody does, and of several that look at the same time,
    /// the one with the lowest id.
    fn may_found(&self, begin: Instant) -> bool {
        if !self.peers.is_empty() {
            return false;
        }
        if !self.listen_first {
            return true;
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = heard.lookers.iter().filter(|(_, at)| at.elapsed() < LISTEN_BEFORE_FOUNDING * 15);
        begin.elapsed() >= LISTEN_BEFORE_FOUNDING && recent.into_iter().all(|(node, _)| *node > self.spec.id)
    }
}

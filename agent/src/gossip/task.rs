//! The task that runs the swarm: gathers what happened, then acts on it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;
use libp2p::gossipsub::{self, MessageAcceptance, MessageId, PublishError};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, mdns};
use skein_core::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::gossip::announcement::Announcement;
use crate::gossip::peers::Peers;
use crate::gossip::rate::Rate;
use crate::gossip::swarm::{Behaviour, BehaviourEvent, topic};
use crate::gossip::{GossipConfig, cache};

/// How often peers are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the first listen address may take.
const LISTEN_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an older stamp is not believed. A board whose clock was set back by a reboot is believed again after it.
const STAMP_HOLDS: Duration = Duration::from_secs(60);
/// Nodes of which the newest stamp is remembered.
const STAMPS_MAX: usize = 4096;

pub(super) struct Task {
    config: GossipConfig,
    swarm: Swarm<Behaviour>,
    peers: Peers,
    rate: Rate,
    /// The newest stamp of each node, and when it was heard.
    stamps: HashMap<NodeId, (u64, Instant)>,
    /// The newest of our own.
    stamp: u64,
    heard: mpsc::Sender<Announcement>,
    listening: Arc<RwLock<BTreeSet<Multiaddr>>>,
    saved: Vec<Multiaddr>,
    /// What to say, and when it was last said to anybody.
    own: Option<Announcement>,
    said: Option<Instant>,
}

impl Task {
    pub(super) fn new(
        config: GossipConfig,
        swarm: Swarm<Behaviour>,
        heard: mpsc::Sender<Announcement>,
        listening: Arc<RwLock<BTreeSet<Multiaddr>>>,
    ) -> Self {
        let mut peers = Peers::new(*swarm.local_peer_id(), config.listen.ip());
        let saved = config.cache.as_deref().map(cache::load).unwrap_or_default();
        for address in &saved {
            peers.learn(Instant::now(), address.clone());
        }
        let (rate, stamps) = (Rate::default(), HashMap::new());
        Self { config, swarm, peers, rate, stamps, stamp: 0, heard, listening, saved, own: None, said: None }
    }

    /// Runs the swarm until it knows where it listens.
    pub(super) async fn wait_for_address(&mut self) -> Result<(), String> {
        let listens = async {
            while self.listening.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
                let event = self.swarm.select_next_some().await;
                self.on_event(event);
            }
        };
        timeout(LISTEN_TIME_MAX, listens).await.map_err(|_| "no address to listen on came up".to_owned())
    }

    pub(super) async fn run(
        mut self,
        mut announcements: watch::Receiver<Option<Announcement>>,
        mut dials: mpsc::Receiver<Multiaddr>,
    ) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(address) = dials.recv() => self.peers.learn(Instant::now(), address),
                changed = announcements.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.own.clone_from(&announcements.borrow_and_update());
                    self.say();
                }
                _ = look.tick() => self.look_after(),
            }
            self.dial();
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let own = address.with(Protocol::P2p(*self.swarm.local_peer_id()));
                self.listening.write().unwrap_or_else(PoisonError::into_inner).insert(own);
                // Others should hear of it.
                self.say();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let own = address.with(Protocol::P2p(*self.swarm.local_peer_id()));
                self.listening.write().unwrap_or_else(PoisonError::into_inner).remove(&own);
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                let dialled = endpoint.is_dialer().then(|| endpoint.get_remote_address().clone());
                self.peers.connected(now, peer_id, dialled);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => self.peers.lost(now, peer_id),
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, "a gossip peer does not answer: {error}");
                if !self.swarm.is_connected(&peer) {
                    self.peers.lost(now, peer);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                for (peer, address) in found {
                    tracing::debug!(%peer, %address, "found by mDNS");
                    let named = crate::gossip::peers::peer_of(&address).is_some();
                    self.peers.learn(now, if named { address } else { address.with(Protocol::P2p(peer)) });
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => self.on_gossip(now, event),
            _ => {}
        }
    }

    fn on_gossip(&mut self, now: Instant, event: gossipsub::Event) {
        match event {
            // Whoever is new hears at once what there is to know.
            gossipsub::Event::Subscribed { .. } => self.say(),
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let acceptance = match message.source {
                    Some(signer) => self.hear(now, signer, &message.data),
                    None => MessageAcceptance::Reject,
                };
                self.settle(&message_id, &propagation_source, acceptance);
            }
            _ => {}
        }
    }

    /// Takes an announcement in; whether it is passed on to others.
    fn hear(&mut self, now: Instant, signer: PeerId, data: &[u8]) -> MessageAcceptance {
        if !self.rate.allows(now, signer) {
            return MessageAcceptance::Ignore;
        }
        let announcement = match Announcement::verify(data, &signer) {
            Ok(announcement) => announcement,
            Err(why) => {
                tracing::debug!(%signer, "an announcement is not believed: {why}");
                return MessageAcceptance::Reject;
            }
        };
        let node = announcement.spec.id;
        if self.stamps.len() >= STAMPS_MAX && !self.stamps.contains_key(&node) {
            return MessageAcceptance::Ignore;
        }
        let (newest, heard) = self.stamps.entry(node).or_insert((0, now));
        if announcement.stamp <= *newest && now.duration_since(*heard) < STAMP_HOLDS {
            return MessageAcceptance::Ignore;
        }
        (*newest, *heard) = (announcement.stamp, now);
        for address in announcement.gossip.iter().filter_map(|address| address.parse().ok()) {
            // A node may name only itself.
            if crate::gossip::peers::peer_of(&address) == Some(signer) {
                self.peers.learn(now, address);
            }
        }
        // An agent that is too busy to listen hears it again in a while.
        let _ = self.heard.try_send(announcement);
        MessageAcceptance::Accept
    }

    fn settle(&mut self, message: &MessageId, from: &PeerId, acceptance: MessageAcceptance) {
        let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
        gossipsub.report_message_validation_result(message, from, acceptance);
    }

    /// Says what there is to say to all who listen.
    fn say(&mut self) {
        let Some(own) = &self.own else { return };
        let listening = self.listening.read().unwrap_or_else(PoisonError::into_inner);
        let gossip = listening.iter().map(ToString::to_string).collect();
        drop(listening);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        // Two within a millisecond are still told apart, and a clock that steps back does not silence us.
        self.stamp = clock.max(self.stamp + 1);
        let message = Announcement { gossip, stamp: self.stamp, ..own.clone() }.encode();
        match self.swarm.behaviour_mut().gossipsub.publish(topic(), message) {
            Ok(_) => self.said = Some(Instant::now()),
            // Nobody listens yet: whoever comes is told then.
            Err(PublishError::NoPeersSubscribedToTopic) => {}
            Err(error) => tracing::debug!("cannot announce: {error}"),
        }
    }

    fn look_after(&mut self) {
        if self.said.is_none_or(|said| said.elapsed() >= self.config.announce_every) {
            self.say();
        }
        let remembered = self.peers.remembered();
        if let Some(path) = &self.config.cache
            && !remembered.is_empty()
            && remembered != self.saved
        {
            cache::save(path, &remembered);
            self.saved = remembered;
        }
    }

    fn dial(&mut self) {
        for (peer, addresses) in self.peers.due(Instant::now()) {
            let options = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing);
            if let Err(error) = self.swarm.dial(options.addresses(addresses).build()) {
                tracing::debug!(%peer, "not dialled: {error}");
            }
        }
    }
}

//! The task that runs the swarm: gathers what happened, then acts on it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{FutureExt, StreamExt};
use libp2p::gossipsub::{self, PublishError};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, mdns};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::gossip::announcement::{self, Announcement, Beat, Message};
use crate::gossip::ear::Ear;
use crate::gossip::peers::Peers;
use crate::gossip::reach::{Reach, named, peer_of};
use crate::gossip::swarm::{Behaviour, BehaviourEvent, topic};
use crate::gossip::voice::{Say, Voice};
use crate::gossip::{GossipConfig, cache};

/// How often peers are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the first listen address may take.
const LISTEN_TIME_MAX: Duration = Duration::from_secs(5);
/// How often the peer cache is written at most: it may be on a flash card.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Where this agent listens, in the order in which the addresses came up.
pub(super) type Listening = Arc<RwLock<Vec<Multiaddr>>>;

pub(super) struct Task {
    swarm: Swarm<Behaviour>,
    reach: Reach,
    peers: Peers,
    ear: Ear,
    voice: Voice,
    heard: mpsc::Sender<Announcement>,
    listening: Listening,
    /// What to say, and the stamp of the last message and of the last full one.
    own: Option<Announcement>,
    stamp: u64,
    stamp_full: Option<u64>,
    cache: Option<PathBuf>,
    saved: Vec<Multiaddr>,
    saved_at: Option<Instant>,
}

impl Task {
    pub(super) fn new(
        config: GossipConfig,
        swarm: Swarm<Behaviour>,
        seed: u64,
        heard: mpsc::Sender<Announcement>,
        listening: Listening,
    ) -> Self {
        let reach = Reach::new(config.listen.ip());
        let mut peers = Peers::new(*swarm.local_peer_id(), reach, seed);
        let saved = config.cache.as_deref().map(cache::load).unwrap_or_default();
        for address in &saved {
            peers.recall(Instant::now(), address.clone());
        }
        Self {
            swarm,
            reach,
            peers,
            ear: Ear::new(),
            voice: Voice::new(config.announce_every),
            heard,
            listening,
            own: None,
            stamp: 0,
            stamp_full: None,
            cache: config.cache,
            saved,
            saved_at: None,
        }
    }

    /// Runs the swarm until it knows where it listens.
    pub(super) async fn wait_for_address(&mut self) -> Result<(), String> {
        let listens = async {
            while self.listening.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
                let event = self.swarm.select_next_some().await;
                self.on_event(Instant::now(), event);
            }
        };
        timeout(LISTEN_TIME_MAX, listens).await.map_err(|_| "no address to listen on came up".to_owned())?;
        // On all interfaces, the first is loopback; the others are known by then.
        while let Some(event) = self.swarm.select_next_some().now_or_never() {
            self.on_event(Instant::now(), event);
        }
        Ok(())
    }

    /// Runs until nobody holds the other end.
    pub(super) async fn run(
        mut self,
        mut announcements: watch::Receiver<Option<Announcement>>,
        mut dials: mpsc::Receiver<Multiaddr>,
    ) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let speak_at = self.voice.wake_at(Instant::now());
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(Instant::now(), event),
                Some(address) = dials.recv() => self.peers.learn(Instant::now(), address),
                changed = announcements.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.own.clone_from(&announcements.borrow_and_update());
                    self.voice.want();
                }
                () = sleep_until(speak_at) => {}
                _ = look.tick() => self.look_after(Instant::now()),
            }
            self.speak(Instant::now());
            self.dial(Instant::now());
        }
    }

    fn on_event(&mut self, now: Instant, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let own = named(address, *self.swarm.local_peer_id());
                self.listening.write().unwrap_or_else(PoisonError::into_inner).push(own);
                // Others should hear of it.
                self.voice.want();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let own = named(address, *self.swarm.local_peer_id());
                self.listening.write().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != own);
                self.voice.want();
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                let dialled = endpoint.is_dialer().then(|| endpoint.get_remote_address().clone());
                self.peers.connected(now, peer_id, dialled);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => self.peers.closed(now, peer_id),
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, "a gossip peer does not answer: {error}");
                self.peers.unreachable(now, peer);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
                for (peer, address) in found {
                    tracing::debug!(%peer, %address, "found by mDNS");
                    self.peers.learn(now, named(address, peer));
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => self.on_gossip(now, event),
            _ => {}
        }
    }

    fn on_gossip(&mut self, now: Instant, event: gossipsub::Event) {
        match event {
            // Whoever is new hears at once what there is to know.
            gossipsub::Event::Subscribed { .. } => self.voice.want(),
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                // Strict validation lets no message without a signer through to here.
                let Some(signer) = message.source else { return };
                let heard = self.ear.hear(now, propagation_source, signer, &message.data);
                let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
                gossipsub.report_message_validation_result(&message_id, &propagation_source, heard.acceptance);
                if let Some(announcement) = heard.announcement {
                    self.tell(now, signer, announcement);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, now: Instant, signer: PeerId, announcement: Announcement) {
        for address in announcement.gossip.iter().filter_map(|address| address.parse().ok()) {
            // A node may name only itself.
            if peer_of(&address) == Some(signer) {
                self.peers.learn(now, address);
            }
        }
        // An agent that is too busy to listen hears it again with the next beat.
        let _ = self.heard.try_send(announcement);
    }

    /// Says to all who listen what there is to say now.
    fn speak(&mut self, now: Instant) {
        let Some(say) = self.voice.next(now) else { return };
        let stamp = next_stamp(self.stamp);
        let Some(message) = self.compose(say, stamp) else { return };
        let bytes = message.encode();
        if bytes.len() > announcement::BYTES_MAX {
            tracing::warn!(
                "this node's description takes {} bytes, and others take at most {}: give it fewer or shorter labels",
                bytes.len(),
                announcement::BYTES_MAX
            );
            return;
        }
        self.stamp = stamp;
        if matches!(message, Message::Full(_)) {
            self.stamp_full = Some(stamp);
        }
        match self.swarm.behaviour_mut().gossipsub.publish(topic(), bytes) {
            // Where nobody listens yet: whoever comes is told then.
            Ok(_) | Err(PublishError::NoPeersSubscribedToTopic) => {}
            Err(error) => {
                tracing::debug!("cannot announce yet: {error}");
                self.voice.want();
            }
        }
    }

    fn compose(&self, say: Say, stamp: u64) -> Option<Message> {
        let own = self.own.as_ref()?;
        if let (Say::Beat, Some(full)) = (say, self.stamp_full) {
            return Some(Message::Beat(Beat { stamp, full }));
        }
        let gossip = self.reach.told(&self.listening.read().unwrap_or_else(PoisonError::into_inner));
        Some(Message::Full(Box::new(Announcement { gossip, stamp, ..own.clone() })))
    }

    fn dial(&mut self, now: Instant) {
        for (peer, addresses) in self.peers.due(now) {
            let options = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing);
            if let Err(error) = self.swarm.dial(options.addresses(addresses).build()) {
                tracing::debug!(%peer, "not dialled: {error}");
                self.peers.unreachable(now, peer);
            }
        }
    }

    fn look_after(&mut self, now: Instant) {
        for peer in self.peers.surplus(now) {
            // An error says that it went by itself.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        self.save(now);
    }

    fn save(&mut self, now: Instant) {
        let Some(path) = self.cache.clone() else { return };
        if self.saved_at.is_some_and(|at| now.duration_since(at) < SAVE_EVERY) {
            return;
        }
        let remembered = self.peers.remembered();
        if remembered != self.saved {
            self.saved_at = Some(now);
            self.saved.clone_from(&remembered);
            // Beside the loop: a flash card may take long.
            drop(tokio::task::spawn_blocking(move || cache::save(&path, &remembered)));
        }
    }
}

/// The time, but later than the last stamp: two within a millisecond are told apart, and a clock that steps back does not silence
/// us.
fn next_stamp(last: u64) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(last.saturating_add(1))
}

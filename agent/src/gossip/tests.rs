//! Whole swarms on loopback. Most announce once an hour, so that what is heard was told for a reason.

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Swarm, gossipsub};
use skein_core::capability::{Capability, NodeSpec};
use skein_core::{MeshId, NodeId};
use tokio::time::timeout;

use super::announcement::{BYTES_MAX, Message};
use super::swarm::{Behaviour, BehaviourEvent};
use super::*;
use crate::identity::Identity;

const WAIT_MAX: Duration = Duration::from_secs(60);

struct Node {
    identity: Identity,
    gossip: Gossip,
    heard: mpsc::Receiver<Announcement>,
}

fn config(identity: &Identity) -> GossipConfig {
    GossipConfig {
        seed: identity.seed(),
        listen: "127.0.0.1:0".parse().unwrap(),
        mdns: false,
        cache: None,
        announce_every: Duration::from_hours(1),
    }
}

fn announcement(id: NodeId, name: &str) -> Announcement {
    let spec = NodeSpec {
        id,
        name: name.into(),
        address: "127.0.0.1:1".into(),
        version: "1".into(),
        capability: Capability::default(),
    };
    Announcement::new(spec, Some(MeshId(7)), None)
}

impl Node {
    async fn start(name: &str) -> Self {
        let identity = Identity::ephemeral().unwrap();
        let config = config(&identity);
        Self::start_with(identity, config, name).await
    }

    async fn start_with(identity: Identity, config: GossipConfig, name: &str) -> Self {
        let (gossip, heard) = Gossip::start(config).await.unwrap();
        gossip.announce(announcement(identity.node(), name));
        Self { identity, gossip, heard }
    }

    fn dial(&self, other: &Self) {
        for address in other.gossip.listen_addresses() {
            self.gossip.dial(&address);
        }
    }

    /// The UDP address it came to listen on.
    fn address(&self) -> SocketAddr {
        let address = self.gossip.listen_addresses().remove(0);
        let port = address.split('/').nth(4).unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    async fn hears(&mut self, node: NodeId, name: &str) {
        let heard = async {
            while let Some(announcement) = self.heard.recv().await {
                if announcement.spec.id == node && announcement.spec.name == name {
                    return;
                }
            }
            panic!("gossip stopped");
        };
        timeout(WAIT_MAX, heard).await.unwrap_or_else(|_| panic!("{name} is not heard"));
    }

    /// Stops, and waits until the port is free.
    async fn stop(self) -> Identity {
        let address = self.address();
        let Self { identity, gossip, heard } = self;
        drop((gossip, heard));
        until(|| UdpSocket::bind(address).is_ok()).await;
        identity
    }
}

async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WAIT_MAX, holds).await.expect("it comes to hold in time");
}

#[tokio::test]
async fn peers_of_a_peer_are_met_and_outlive_it() {
    let a = Node::start("a").await;
    let (mut b, mut c) = (Node::start("b").await, Node::start("c").await);
    b.dial(&a);
    c.dial(&a);
    b.hears(a.identity.node(), "a").await;
    b.hears(c.identity.node(), "c").await;
    c.hears(b.identity.node(), "b").await;
    a.stop().await;
    c.gossip.announce(announcement(c.identity.node(), "c changed"));
    b.hears(c.identity.node(), "c changed").await;
    b.gossip.announce(announcement(b.identity.node(), "b changed"));
    c.hears(b.identity.node(), "b changed").await;
}

#[tokio::test]
async fn who_says_nothing_new_is_heard_again_and_again() {
    let identity = Identity::ephemeral().unwrap();
    let chatty = GossipConfig { announce_every: Duration::from_millis(300), ..config(&identity) };
    let a = Node::start_with(identity, chatty, "a").await;
    let mut b = Node::start("b").await;
    b.dial(&a);
    let mut stamps = std::collections::BTreeSet::new();
    for _ in 0..9 {
        let heard = timeout(WAIT_MAX, b.heard.recv()).await.unwrap().unwrap();
        assert_eq!((heard.spec.id, heard.spec.name.as_str()), (a.identity.node(), "a"));
        assert_eq!(heard.gossip, a.gossip.listen_addresses());
        stamps.insert(heard.stamp);
    }
    assert!(stamps.len() < 5, "most are beats that stand for one announcement: {stamps:?}");
}

#[tokio::test]
async fn a_peer_is_found_again_from_the_cache() {
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("peers");
    let a = Node::start("a").await;
    let identity = Identity::ephemeral().unwrap();
    let config = GossipConfig { cache: Some(cache.clone()), ..config(&identity) };
    let mut b = Node::start_with(identity.clone(), config.clone(), "b").await;
    b.dial(&a);
    b.hears(a.identity.node(), "a").await;
    until(|| cache.exists()).await;
    b.stop().await;
    let mut b = Node::start_with(identity, config, "b").await;
    b.hears(a.identity.node(), "a").await;
}

#[tokio::test]
async fn a_cached_peer_that_is_off_at_the_start_is_found_when_it_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("peers");
    let a = Node::start("a").await;
    let address = a.gossip.listen_addresses().remove(0);
    let listen = a.address();
    let identity = a.stop().await;
    std::fs::write(&cache, format!("no address\n{address}\n")).unwrap();
    let own = Identity::ephemeral().unwrap();
    let with_cache = GossipConfig { cache: Some(cache), ..config(&own) };
    let mut b = Node::start_with(own, with_cache, "b").await;
    let back = GossipConfig { listen, ..config(&identity) };
    let a = Node::start_with(identity, back, "a again").await;
    b.hears(a.identity.node(), "a again").await;
}

#[tokio::test]
async fn a_peer_that_was_restarted_is_met_again_by_who_was_met_by_it() {
    let mut a = Node::start("a").await;
    let b = Node::start("b").await;
    b.dial(&a);
    a.hears(b.identity.node(), "b").await;
    let listen = b.address();
    let identity = b.stop().await;
    // It came without being dialled by us before, and this time it dials nobody.
    let back = GossipConfig { listen, ..config(&identity) };
    let mut b = Node::start_with(identity, back, "b again").await;
    a.hears(b.identity.node(), "b again").await;
    b.hears(a.identity.node(), "a").await;
}

/// A swarm that says what it likes.
struct Rogue {
    swarm: Swarm<Behaviour>,
    node: NodeId,
}

impl Rogue {
    /// Connected, and heard.
    async fn at(victim: &Node) -> Self {
        let identity = Identity::ephemeral().unwrap();
        let mut swarm = super::swarm::build(&config(&identity)).unwrap();
        swarm.dial(victim.gossip.listen_addresses()[0].parse::<Multiaddr>().unwrap()).unwrap();
        loop {
            let event = timeout(WAIT_MAX, swarm.select_next_some()).await.expect("the victim answers");
            if let SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(gossipsub::Event::Subscribed { .. })) = event {
                return Self { swarm, node: identity.node() };
            }
        }
    }

    fn say(&mut self, bytes: Vec<u8>) {
        self.swarm.behaviour_mut().gossipsub.publish(super::swarm::topic(), bytes).unwrap();
    }
}

fn full(announcement: Announcement) -> Vec<u8> {
    Message::Full(Box::new(announcement)).encode()
}

#[tokio::test]
async fn lies_and_garbage_are_not_heard_and_what_follows_is() {
    let mut honest = Node::start("honest").await;
    let mut rogue = Rogue::at(&honest).await;
    rogue.say(full(announcement(NodeId(42), "somebody else")));
    rogue.say(full(announcement(honest.identity.node(), "the victim itself")));
    rogue.say(full(announcement(rogue.node, &"long ".repeat(1000))));
    rogue.say(vec![0xff; 100]);
    // What is large must not take along what is behind it (see `TRANSMIT_MAX`).
    rogue.say(vec![1; BYTES_MAX + 1]);
    // Says that an array of 2^60 elements follows.
    rogue.say(vec![1, 0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    let own = full(Announcement { stamp: 5, ..announcement(rogue.node, "true") });
    rogue.say(own[..20].to_vec());
    rogue.say(own);
    rogue.say(full(Announcement { stamp: 4, ..announcement(rogue.node, "an old one played back") }));
    rogue.say(full(Announcement { stamp: 6, ..announcement(rogue.node, "last") }));
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("last") {
        tokio::select! {
            _ = rogue.swarm.select_next_some() => {}
            said = timeout(WAIT_MAX, honest.heard.recv()) => {
                heard.push(said.expect("the truth is heard").expect("gossip runs").spec.name);
            }
        }
    }
    assert_eq!(heard, ["true", "last"]);
}

#[tokio::test]
async fn noise_on_the_port_changes_nothing() {
    let mut a = Node::start("a").await;
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut bytes = vec![0; 1400];
    for round in 0..500_usize {
        getrandom::fill(&mut bytes).unwrap();
        // Every other one looks like the first packet of a QUIC connection.
        if round % 2 == 0 {
            bytes[..5].copy_from_slice(&[0xc0, 0, 0, 0, 1]);
        }
        noise.send_to(&bytes[..round * 37 % 1400], a.address()).unwrap();
    }
    let mut b = Node::start("b").await;
    b.dial(&a);
    b.hears(a.identity.node(), "a").await;
    a.hears(b.identity.node(), "b").await;
}

#[tokio::test]
async fn what_is_no_address_or_our_own_is_not_dialled_and_does_no_harm() {
    let (a, mut b) = (Node::start("a").await, Node::start("b").await);
    for text in ["", "nonsense", "/ip4/127.0.0.1/tcp/1", "/ip4/10.1.2.3/udp/1/quic-v1"] {
        b.gossip.dial(text);
    }
    b.gossip.dial(&format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{}", PeerId::random()));
    b.dial(&Node { identity: b.identity.clone(), gossip: b.gossip.clone(), heard: mpsc::channel(1).1 });
    b.dial(&a);
    b.hears(a.identity.node(), "a").await;
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let identity = Identity::ephemeral().unwrap();
    // Set aside for documentation (RFC 5737): no machine has it.
    for listen in [taken.local_addr().unwrap(), "203.0.113.1:7434".parse().unwrap()] {
        let error = Gossip::start(GossipConfig { listen, ..config(&identity) }).await.unwrap_err();
        assert!(matches!(error, GossipError::Bind { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(&listen.to_string()) && error.contains("--gossip-listen"), "{error}");
    }
}

#[test]
fn the_peer_id_is_made_of_the_device_key() {
    let identity = Identity::ephemeral().unwrap();
    let peer = Keypair::ed25519_from_bytes(identity.seed()).unwrap().public().to_peer_id();
    assert_eq!(super::announcement::node_of(&peer), Some(identity.node()));
}

//! Whole swarms on loopback.

use std::net::UdpSocket;

use libp2p::gossipsub::IdentTopic;
use libp2p::identity::Keypair;
use skein_core::capability::{Capability, NodeSpec};
use skein_core::{MeshId, NodeId};
use tokio::time::timeout;

use super::*;
use crate::identity::Identity;

const WAIT_MAX: Duration = Duration::from_secs(20);

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
        announce_every: Duration::from_secs(1),
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
    drop(a);
    c.gossip.announce(announcement(c.identity.node(), "c changed"));
    b.hears(c.identity.node(), "c changed").await;
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
    let saved = async {
        while !cache.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WAIT_MAX, saved).await.unwrap();
    drop(b);
    let mut b = Node::start_with(identity, config, "b").await;
    b.hears(a.identity.node(), "a").await;
}

#[tokio::test]
async fn only_a_node_itself_is_believed() {
    let mut honest = Node::start("honest").await;
    let liar = Node::start("liar").await;
    liar.dial(&honest);
    honest.hears(liar.identity.node(), "liar").await;
    liar.gossip.announce(announcement(NodeId(42), "somebody else"));
    liar.gossip.announce(announcement(NodeId(42), "somebody else again"));
    let too_long = "x".repeat(1000);
    liar.gossip.announce(announcement(liar.identity.node(), &too_long));
    liar.gossip.announce(announcement(liar.identity.node(), "honest again"));
    let first = timeout(WAIT_MAX, honest.heard.recv()).await.unwrap().unwrap();
    assert_eq!((first.spec.id, first.spec.name.as_str()), (liar.identity.node(), "honest again"));
}

#[test]
fn an_announcement_is_of_its_signer() {
    let identity = Identity::ephemeral().unwrap();
    let peer = Keypair::ed25519_from_bytes(identity.seed()).unwrap().public().to_peer_id();
    let good = announcement(identity.node(), "a").encode();
    assert!(Announcement::verify(&good, &peer).is_ok());
    assert!(Announcement::verify(&good, &libp2p::PeerId::random()).is_err());
    for length in 0..good.len() {
        assert!(Announcement::verify(&good[..length], &peer).is_err());
    }
    assert_eq!(super::swarm::topic().hash(), IdentTopic::new(super::swarm::TOPIC).hash());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let identity = Identity::ephemeral().unwrap();
    let error = Gossip::start(GossipConfig { listen, ..config(&identity) }).await.unwrap_err().to_string();
    assert!(error.contains(&listen.to_string()) && error.contains("--gossip-listen"), "{error}");
}

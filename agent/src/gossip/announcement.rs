//! What an agent says of itself, and when it is believed.
//!
//! On the wire: one byte of version, then CBOR.

use libp2p::PeerId;
use libp2p::identity::PublicKey;
use serde::{Deserialize, Serialize};
use skein_core::capability::NodeSpec;
use skein_core::{MeshId, NodeId};
use skein_raft::codec;

use crate::gossip::reach::ADDRESSES_MAX;
use crate::identity::node_id_of_key;

/// The largest message, in bytes: the description of a node with a great many devices and labels.
pub(super) const BYTES_MAX: usize = 16 << 10;
/// The version of what is said.
const VERSION: u8 = 1;

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Who it is and what it can do.
    pub spec: NodeSpec,
    /// Its mesh; none while it looks for one.
    pub mesh: Option<MeshId>,
    /// The term and the leader that it knows of.
    pub leader: Option<(u64, NodeId)>,
    /// Where its gossip listens. Filled in as it is sent.
    pub gossip: Vec<String>,
    /// Milliseconds since the Unix epoch when it was sent: of two, the later holds, and an old one that is played back is
    /// not believed.
    pub stamp: u64,
}

/// "Still the same": instead of a whole announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// As [`Announcement::stamp`].
    pub(super) stamp: u64,
    /// The stamp of the announcement that still holds.
    pub(super) full: u64,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    Full(Box<Announcement>),
    Beat(Beat),
}

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doubt {
    #[error("it is too long")]
    TooLong,
    #[error("it is of another version of skein")]
    Version,
    #[error("it cannot be understood")]
    Garbage,
    #[error("it speaks for another node than the one that signed it")]
    Forged,
    #[error("it is out of bounds")]
    OutOfBounds,
}

impl Announcement {
    /// What to say from now on.
    pub fn new(spec: NodeSpec, mesh: Option<MeshId>, leader: Option<(u64, NodeId)>) -> Self {
        Self { spec, mesh, leader, gossip: Vec::new(), stamp: 0 }
    }
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        codec::encode_into(&mut bytes, self);
        bytes
    }

    /// The node that signed a message, and the message, if it is one, within its bounds, and about that node.
    pub(super) fn verify(bytes: &[u8], signer: &PeerId) -> Result<(NodeId, Self), Doubt> {
        if bytes.len() > BYTES_MAX {
            return Err(Doubt::TooLong);
        }
        let node = node_of(signer).ok_or(Doubt::Forged)?;
        let (version, body) = bytes.split_first().ok_or(Doubt::Garbage)?;
        if *version != VERSION {
            return Err(Doubt::Version);
        }
        let message: Self = codec::decode(body).map_err(|_| Doubt::Garbage)?;
        if let Self::Full(announcement) = &message {
            if announcement.spec.id != node {
                return Err(Doubt::Forged);
            }
            if !announcement.spec.within_bounds() || announcement.gossip.len() > ADDRESSES_MAX {
                return Err(Doubt::OutOfBounds);
            }
        }
        Ok((node, message))
    }
}

/// The node whose device key a peer id holds. An Ed25519 key is its peer id, wrapped (libp2p peer-ids specification).
pub(super) fn node_of(peer: &PeerId) -> Option<NodeId> {
    let hash = peer.as_ref();
    // Code 0 is the identity: the "hash" is the key itself.
    if hash.code() != 0 {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()?;
    Some(node_id_of_key(&key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use skein_core::Resources;
    use skein_core::capability::{Capability, DEVICES_MAX, Device, DeviceKind, Heat};

    use super::*;
    use crate::identity::Identity;

    fn message(node: NodeId, name: &str) -> Message {
        let spec = NodeSpec {
            id: node,
            name: name.into(),
            address: "127.0.0.1:1".into(),
            version: "1".into(),
            capability: Capability::default(),
        };
        Message::Full(Box::new(Announcement::new(spec, Some(MeshId(7)), Some((3, node)))))
    }

    fn signer() -> (NodeId, PeerId) {
        let identity = Identity::ephemeral().unwrap();
        (identity.node(), Keypair::ed25519_from_bytes(identity.seed()).unwrap().public().to_peer_id())
    }

    #[test]
    fn only_the_node_itself_is_believed() {
        let (node, peer) = signer();
        let good = message(node, "a");
        assert_eq!(Message::verify(&good.encode(), &peer), Ok((node, good.clone())));
        let beat = Message::Beat(Beat { stamp: 2, full: 1 });
        assert_eq!(Message::verify(&beat.encode(), &peer), Ok((node, beat)));
        assert_eq!(Message::verify(&good.encode(), &signer().1), Err(Doubt::Forged));
        assert_eq!(Message::verify(&message(NodeId(42), "a").encode(), &peer), Err(Doubt::Forged));
        // A random peer id is a hash of some key, not a key.
        assert_eq!(Message::verify(&good.encode(), &PeerId::random()), Err(Doubt::Forged));
    }

    #[test]
    fn what_is_cut_too_long_or_of_another_version_is_refused() {
        let (node, peer) = signer();
        let good = message(node, "a").encode();
        for length in 0..good.len() {
            assert_eq!(Message::verify(&good[..length], &peer), Err(Doubt::Garbage), "cut at {length}");
        }
        let trailing = [good.as_slice(), &[0]].concat();
        assert_eq!(Message::verify(&trailing, &peer), Err(Doubt::Garbage));
        assert_eq!(Message::verify(&vec![VERSION; BYTES_MAX + 1], &peer), Err(Doubt::TooLong));
        let later = [&[VERSION + 1], &good[1..]].concat();
        assert_eq!(Message::verify(&later, &peer), Err(Doubt::Version));
        assert_eq!(Message::verify(&message(node, &"x".repeat(1000)).encode(), &peer), Err(Doubt::OutOfBounds));
        let Message::Full(mut crowded) = message(node, "a") else { unreachable!() };
        crowded.gossip = vec![String::new(); ADDRESSES_MAX + 1];
        assert_eq!(Message::verify(&Message::Full(crowded).encode(), &peer), Err(Doubt::OutOfBounds));
    }

    #[test]
    fn a_node_with_as_many_devices_as_there_may_be_can_say_so() {
        let (node, peer) = signer();
        let Message::Full(mut crowded) = message(node, "a") else { unreachable!() };
        let stick = |number: usize| Device {
            name: format!("stick-2-1.4.4.{number}"),
            kind: DeviceKind::Movidius,
            hardware: "Movidius NCS2 (Myriad X)".into(),
            offers: Resources { gpu_milli: 1_000, gpu_memory_bytes: 512 << 20, ..Resources::default() },
            heat: Heat::Cool,
        };
        crowded.spec.capability.devices = (0..DEVICES_MAX).map(stick).collect();
        let crowded = Message::Full(crowded);
        assert_eq!(Message::verify(&crowded.encode(), &peer), Ok((node, crowded)));
    }

    #[test]
    fn a_beat_is_small() {
        let beat = Message::Beat(Beat { stamp: u64::MAX, full: u64::MAX }).encode();
        assert!(beat.len() < 64, "{} bytes", beat.len());
    }
}

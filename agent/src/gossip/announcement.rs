//! What an agent says of itself, and when it is believed.

use libp2p::PeerId;
use libp2p::identity::PublicKey;
use serde::{Deserialize, Serialize};
use skein_core::capability::NodeSpec;
use skein_core::{MeshId, NodeId};
use skein_raft::codec;

use crate::identity::node_id_of_key;

/// The largest announcement, in bytes: a node with all devices and labels that it may have.
pub(super) const BYTES_MAX: usize = 16 << 10;
/// The most gossip addresses that one node may name.
const ADDRESSES_MAX: usize = 16;

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

impl Announcement {
    /// What to say from now on.
    pub fn new(spec: NodeSpec, mesh: Option<MeshId>, leader: Option<(u64, NodeId)>) -> Self {
        Self { spec, mesh, leader, gossip: Vec::new(), stamp: 0 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// A message as an announcement, if it is one, within its bounds, and about the node whose key signed it.
    pub(super) fn verify(message: &[u8], signer: &PeerId) -> Result<Self, &'static str> {
        if message.len() > BYTES_MAX {
            return Err("it is too long");
        }
        let announcement: Self = codec::decode(message).map_err(|_| "it cannot be understood")?;
        if node_of(signer) != Some(announcement.spec.id) {
            return Err("it speaks for another node than the one that signed it");
        }
        if !announcement.spec.within_bounds() || announcement.gossip.len() > ADDRESSES_MAX {
            return Err("it is out of bounds");
        }
        Ok(announcement)
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

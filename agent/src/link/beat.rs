//! Heartbeats, and what goes with them: small datagrams from each agent to the leader, which may get lost without harm.

use quinn::Connection;
use serde::{Deserialize, Serialize};
use skein_core::{NodeId, SessionId, WorkerId};
use skein_raft::codec;
use tokio::sync::mpsc;

use crate::link::peer_node;

/// Entries of one word: three numbers of at most nine bytes each, so that a word fits in the smallest packet that QUIC has.
pub const ENTRIES_MAX: usize = 32;

/// What a node tells the leader over and over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Who.
    pub node: NodeId,
    /// What.
    pub word: Word,
}

/// What a beat says beside "I am here".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// Nothing.
    Here,
    /// From the leader to everybody: the mesh is led, by this node, and it is sure of that.
    Led,
    /// Tasks at its gateway that have not ended: of each session, those that wait and those that run.
    Pending(Vec<(SessionId, u64, u64)>),
    /// What its workers use: of each, thousandths of a core and bytes of memory.
    Usage(Vec<(WorkerId, u64, u64)>),
}

/// Sends a beat. A beat that cannot be sent is a beat that is missed: the receiver counts.
pub fn send_beat(connection: &Connection, beat: &Beat) {
    let _ = connection.send_datagram(codec::encode(beat).into());
}

/// Takes beats in until the connection ends. A beat counts only for the node whose key the connection proved.
pub async fn receive_beats(connection: &Connection, heard: &mpsc::Sender<Beat>) {
    let peer = peer_node(connection);
    while let Ok(datagram) = connection.read_datagram().await {
        if let Ok(beat) = codec::decode::<Beat>(&datagram)
            && Some(beat.node) == peer
        {
            // A full queue means that the leader has many unread beats already: one more says nothing new.
            let _ = heard.try_send(beat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that every path carries in one packet, less what QUIC puts around it.
    const DATAGRAM_BYTES_MIN: usize = 1_100;

    #[test]
    fn the_longest_word_fits_in_one_packet() {
        let most = vec![(SessionId(u64::MAX), u64::MAX, u64::MAX); ENTRIES_MAX];
        let beat = Beat { node: NodeId(u64::MAX), word: Word::Pending(most) };
        let bytes = codec::encode(&beat);
        assert!(bytes.len() <= DATAGRAM_BYTES_MIN, "{} bytes", bytes.len());
        assert_eq!(codec::decode::<Beat>(&bytes).unwrap(), beat);
    }
}

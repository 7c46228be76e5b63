//! Heartbeats: one small datagram from each agent to the leader, which may get lost without harm.

use quinn::Connection;
use serde::{Deserialize, Serialize};
use skein_core::NodeId;
use skein_raft::codec;
use tokio::sync::mpsc;

use crate::link::peer_node;

/// "I am here."
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Beat {
    /// Who.
    pub node: NodeId,
}

/// Sends a beat. A beat that cannot be sent is a beat that is missed: the receiver counts.
pub fn send_beat(connection: &Connection, beat: Beat) {
    let _ = connection.send_datagram(codec::encode(&beat).into());
}

/// Takes beats in until the connection ends. A beat counts only for the node whose key the connection proved.
pub async fn receive_beats(connection: &Connection, heard: &mpsc::Sender<NodeId>) {
    let peer = peer_node(connection);
    while let Ok(datagram) = connection.read_datagram().await {
        if let Ok(beat) = codec::decode::<Beat>(&datagram)
            && Some(beat.node) == peer
        {
            // A full queue means that the leader has many unread beats already: one more says nothing new.
            let _ = heard.try_send(beat.node);
        }
    }
}

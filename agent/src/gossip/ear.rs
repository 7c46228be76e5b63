//! What to make of a message: whether it is passed on, and what the agent is told.

use libp2p::PeerId;
use libp2p::gossipsub::MessageAcceptance;
use tokio::time::Instant;

use crate::gossip::announcement::{Announcement, Doubt, Message};
use crate::gossip::book::{Book, Told};
use crate::gossip::rate::{CARRIED_MAX, OWN_MAX, Rate};

/// Listens within bounds.
#[derive(Debug)]
pub(super) struct Ear {
    own: Rate,
    carried: Rate,
    book: Book,
}

/// What a message comes to.
#[derive(Debug)]
pub(super) struct Heard {
    /// Whether it is passed on to others.
    pub(super) acceptance: MessageAcceptance,
    /// What holds of its signer now, if that is known.
    pub(super) announcement: Option<Announcement>,
}

impl Ear {
    pub(super) fn new() -> Self {
        Self { own: Rate::new(OWN_MAX), carried: Rate::new(CARRIED_MAX), book: Book::default() }
    }

    /// Takes in a message of this signer that this neighbour handed on.
    pub(super) fn hear(&mut self, now: Instant, neighbour: PeerId, signer: PeerId, data: &[u8]) -> Heard {
        if !self.carried.allows(now, neighbour) || !self.own.allows(now, signer) {
            return Heard::nothing(MessageAcceptance::Ignore);
        }
        let (node, message) = match Message::verify(data, &signer) {
            Ok(verified) => verified,
            Err(doubt) => {
                tracing::debug!(%signer, "an announcement is not believed: {doubt}");
                // A neighbour of another release has done nothing wrong by passing it on.
                let other_release = doubt == Doubt::Version;
                let verdict = if other_release { MessageAcceptance::Ignore } else { MessageAcceptance::Reject };
                return Heard::nothing(verdict);
            }
        };
        let told = match message {
            Message::Full(announcement) if self.book.full(now, &announcement, data.len()) => Told::Holds(announcement),
            Message::Full(_) => Told::NoNews,
            Message::Beat(beat) => self.book.beat(now, node, &beat),
        };
        match told {
            Told::Holds(announcement) => {
                Heard { acceptance: MessageAcceptance::Accept, announcement: Some(*announcement) }
            }
            // It is passed on: others may have heard what we missed.
            Told::Missed => Heard::nothing(MessageAcceptance::Accept),
            Told::NoNews => Heard::nothing(MessageAcceptance::Ignore),
        }
    }
}

impl Heard {
    fn nothing(acceptance: MessageAcceptance) -> Self {
        Self { acceptance, announcement: None }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use skein_core::capability::{Capability, NodeSpec};

    use super::*;
    use crate::gossip::announcement::{Beat, node_of};

    fn key() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    fn full(signer: PeerId, stamp: u64) -> Vec<u8> {
        let spec = NodeSpec {
            id: node_of(&signer).unwrap(),
            name: "a".into(),
            address: "10.0.0.2:7433".into(),
            version: "1".into(),
            capability: Capability::default(),
        };
        Message::Full(Box::new(Announcement { stamp, ..Announcement::new(spec, None, None) })).encode()
    }

    #[test]
    fn a_beat_tells_the_agent_as_much_as_what_it_stands_for() {
        let (mut ear, now, signer) = (Ear::new(), Instant::now(), key());
        let beat = |stamp, full| Message::Beat(Beat { stamp, full }).encode();
        let early = ear.hear(now, signer, signer, &beat(1, 1));
        assert!(matches!(early.acceptance, MessageAcceptance::Accept) && early.announcement.is_none());
        let first = ear.hear(now, signer, signer, &full(signer, 2)).announcement.unwrap();
        let again = ear.hear(now, signer, signer, &beat(3, 2));
        assert_eq!(again.announcement, Some(first));
        let echo = ear.hear(now, signer, signer, &beat(3, 2));
        assert!(matches!(echo.acceptance, MessageAcceptance::Ignore) && echo.announcement.is_none());
    }

    #[test]
    fn one_neighbour_cannot_invent_any_number_of_nodes() {
        let (mut ear, now, neighbour) = (Ear::new(), Instant::now(), key());
        let most = CARRIED_MAX as usize;
        let told = (0..most + 500).filter(|_| {
            let signer = key();
            ear.hear(now, neighbour, signer, &full(signer, 1)).announcement.is_some()
        });
        assert_eq!(told.count(), most);
        let honest = key();
        assert!(ear.hear(now, honest, honest, &full(honest, 1)).announcement.is_some(), "others are still heard");
    }

    #[test]
    fn what_is_not_believed_is_not_passed_on() {
        let (mut ear, now, signer) = (Ear::new(), Instant::now(), key());
        for (data, verdict) in [
            (full(key(), 1), "Reject"),
            (b"garbage".to_vec(), "Ignore"),
            ([&[1], b"garbage".as_slice()].concat(), "Reject"),
            (Vec::new(), "Reject"),
        ] {
            let heard = ear.hear(now, signer, signer, &data);
            assert_eq!((format!("{:?}", heard.acceptance).as_str(), heard.announcement), (verdict, None));
        }
    }
}

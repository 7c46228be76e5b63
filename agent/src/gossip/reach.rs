//! Which addresses may be dialled, and which of our own are worth telling.

use std::net::IpAddr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// The most gossip addresses that one node may name; what it has beyond them (a host full of container bridges) it leaves out.
pub(super) const ADDRESSES_MAX: usize = 16;

/// The side of the machine that we are on. A peer on loopback talks only to others on loopback, and one that is not, never to
/// them: what is loopback to the one who says it is another machine to the one who hears it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    on_loopback: bool,
}

impl Reach {
    pub(super) fn new(listen: IpAddr) -> Self {
        Self { on_loopback: listen.is_loopback() }
    }

    /// Whether a connection to this address can be tried at all: `/ip4 or ip6/udp/quic-v1`, of a peer that it names.
    pub(super) fn may_dial(self, address: &Multiaddr) -> bool {
        let parts: Vec<Protocol<'_>> = address.iter().collect();
        let [host, Protocol::Udp(port), Protocol::QuicV1, Protocol::P2p(_)] = parts.as_slice() else { return false };
        *port != 0 && ip_of(host).is_some_and(|ip| ip.is_loopback() == self.on_loopback && is_one_host(ip))
    }

    /// Our listen addresses that others can use, the first to come up first: the system lists real interfaces before bridges.
    pub(super) fn told(self, listening: &[Multiaddr]) -> Vec<String> {
        let useful = listening.iter().filter(|address| self.may_dial(address));
        useful.take(ADDRESSES_MAX).map(ToString::to_string).collect()
    }
}

/// The peer that an address is of.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    })
}

/// The address, with the id of its peer where it has none.
pub(super) fn named(address: Multiaddr, peer: PeerId) -> Multiaddr {
    if peer_of(&address).is_some() { address } else { address.with(Protocol::P2p(peer)) }
}

fn ip_of(part: &Protocol<'_>) -> Option<IpAddr> {
    match part {
        Protocol::Ip4(ip) => Some((*ip).into()),
        Protocol::Ip6(ip) => Some((*ip).into()),
        _ => None,
    }
}

/// A link-local IPv6 address means nothing without its interface, which a multiaddress does not carry.
fn is_one_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str) -> Multiaddr {
        let kind = if ip.contains(':') { "ip6" } else { "ip4" };
        format!("/{kind}/{ip}/udp/7434/quic-v1/p2p/{}", PeerId::random()).parse().unwrap()
    }

    #[test]
    fn only_what_can_be_reached_is_dialled() {
        let (lan, loopback) = (Reach::new([10, 0, 0, 1].into()), Reach::new([127, 0, 0, 1].into()));
        for reachable in ["10.0.0.2", "192.168.3.4", "169.254.1.1", "fd00::2"] {
            assert!(lan.may_dial(&at(reachable)) && !loopback.may_dial(&at(reachable)), "{reachable}");
        }
        for own in ["127.0.0.1", "::1"] {
            assert!(!lan.may_dial(&at(own)) && loopback.may_dial(&at(own)), "{own}");
        }
        for nobody in ["0.0.0.0", "224.0.0.251", "255.255.255.255", "::", "ff02::fb", "fe80::1"] {
            assert!(!lan.may_dial(&at(nobody)) && !loopback.may_dial(&at(nobody)), "{nobody}");
        }
        let peer = PeerId::random();
        for other in [
            "/ip4/10.0.0.2/udp/7434/quic-v1".to_owned(),
            format!("/ip4/10.0.0.2/udp/0/quic-v1/p2p/{peer}"),
            format!("/ip4/10.0.0.2/tcp/7434/p2p/{peer}"),
            format!("/ip4/10.0.0.2/udp/7434/quic-v1/p2p/{peer}/p2p-circuit"),
        ] {
            assert!(!lan.may_dial(&other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn a_host_with_many_interfaces_tells_the_first_and_not_its_loopback() {
        let listening: Vec<Multiaddr> =
            std::iter::once(at("127.0.0.1")).chain((0..40).map(|n| at(&format!("172.17.{n}.1")))).collect();
        let told = Reach::new([0, 0, 0, 0].into()).told(&listening);
        assert_eq!(told.len(), ADDRESSES_MAX);
        assert!(told[0].starts_with("/ip4/172.17.0.1/"), "{}", told[0]);
    }
}

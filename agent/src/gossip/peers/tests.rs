//! What is decided about peers, at times of the test's choosing.

use super::*;

fn address(ip: &str, peer: PeerId) -> Multiaddr {
    format!("/ip4/{ip}/udp/7434/quic-v1/p2p/{peer}").parse().unwrap()
}

fn peers(seed: u64) -> Peers {
    Peers::new(PeerId::random(), Reach::new([10, 0, 0, 1].into()), seed)
}

/// Knows so many peers, all of which it dialled and met.
fn crowd(now: Instant, size: usize) -> Peers {
    let mut peers = peers(1);
    for _ in 0..size {
        peers.connected(now, PeerId::random(), Some("/ip4/10.0.0.2/udp/1/quic-v1".parse().unwrap()));
    }
    peers
}

#[test]
fn a_new_peer_is_dialled_once_and_a_silent_one_later_and_later() {
    let (mut peers, mut now, peer) = (peers(1), Instant::now(), PeerId::random());
    peers.learn(now, address("10.0.0.2", peer));
    assert_eq!(peers.due(now).len(), 1);
    assert!(peers.due(now).is_empty(), "it is being dialled");
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        peers.unreachable(now, peer);
        now += Duration::from_secs(seconds);
        assert!(peers.due(now - Duration::from_millis(1)).is_empty());
        assert_eq!(peers.due(now).len(), 1, "after {seconds} seconds");
    }
}

#[test]
fn a_peer_that_went_is_dialled_soon_and_one_that_keeps_going_later_and_later() {
    let (mut peers, mut now, peer) = (peers(1), Instant::now(), PeerId::random());
    let dialled = || Some(address("10.0.0.2", peer));
    for (lasted, wait) in [(60, 1), (60, 1), (1, 2), (1, 4), (60, 1)] {
        peers.connected(now, peer, dialled());
        now += Duration::from_secs(lasted);
        peers.closed(now, peer);
        now += Duration::from_secs(wait);
        assert!(peers.due(now - Duration::from_millis(1)).is_empty());
        assert_eq!(peers.due(now).len(), 1, "lasted {lasted}, wait {wait}");
    }
}

#[test]
fn a_new_address_is_a_new_chance_but_no_whip() {
    let (mut peers, now, peer) = (peers(1), Instant::now(), PeerId::random());
    peers.learn(now, address("10.0.0.2", peer));
    for _ in 0..6 {
        peers.due(now);
        peers.unreachable(now, peer);
    }
    for host in 3..100 {
        peers.learn(now, address(&format!("10.0.0.{host}"), peer));
        assert!(peers.due(now).is_empty());
    }
    let [(_, addresses)] = peers.due(now + AGAIN_FIRST).try_into().unwrap();
    assert_eq!((addresses.len(), &addresses[0]), (ADDRESSES_MAX, &address("10.0.0.99", peer)));
}

#[test]
fn who_dialled_us_is_not_dialled_and_is_remembered_once_it_says_where_it_is() {
    let (mut peers, now, peer) = (peers(1), Instant::now(), PeerId::random());
    peers.connected(now, peer, None);
    assert!(peers.remembered().is_empty());
    peers.learn(now, address("10.0.0.2", peer));
    assert!(peers.due(now).is_empty());
    assert_eq!(peers.remembered(), [address("10.0.0.2", peer)]);
    peers.closed(now, peer);
    assert_eq!(peers.due(now + AGAIN_FIRST).len(), 1);
}

#[test]
fn what_is_ourselves_or_out_of_reach_is_not_dialled() {
    let (mut peers, now) = (peers(1), Instant::now());
    peers.learn(now, address("127.0.0.1", PeerId::random()));
    peers.learn(now, address("10.0.0.1", peers.own));
    peers.learn(now, "/ip4/10.0.0.3/udp/7434/quic-v1".parse().unwrap());
    assert!(peers.due(now).is_empty());
}

#[test]
fn what_answered_is_remembered_also_over_a_restart_at_which_it_does_not() {
    let (mut peers, now) = (peers(1), Instant::now());
    let (good, silent, off) = (PeerId::random(), PeerId::random(), PeerId::random());
    peers.recall(now, address("10.0.0.4", off));
    peers.learn(now, address("10.0.0.2", good));
    peers.learn(now, address("10.0.0.3", silent));
    assert_eq!(peers.due(now).len(), 3);
    peers.connected(now, good, Some(address("10.0.0.2", good)));
    peers.unreachable(now, silent);
    peers.unreachable(now, off);
    assert_eq!(peers.remembered(), [address("10.0.0.2", good), address("10.0.0.4", off)]);
}

#[test]
fn of_many_those_that_are_there_are_remembered() {
    let now = Instant::now();
    let mut peers = crowd(now, cache::ADDRESSES_MAX);
    let there = peers.remembered();
    for host in 1..200 {
        peers.recall(now, address(&format!("10.0.1.{host}"), PeerId::random()));
    }
    assert_eq!(peers.remembered(), there);
}

#[test]
fn a_large_mesh_is_not_dialled_whole_and_who_fails_is_replaced() {
    let (mut peers, now) = (peers(1), Instant::now());
    for _ in 0..200 {
        peers.learn(now, address("10.0.0.2", PeerId::random()));
    }
    let first = peers.due(now);
    assert_eq!(first.len(), CONNECTED_MAX);
    assert!(peers.due(now).is_empty());
    first.iter().take(5).for_each(|(peer, _)| peers.unreachable(now, *peer));
    let second = peers.due(now);
    assert_eq!(second.len(), 5);
    assert!(second.iter().all(|(peer, _)| first.iter().all(|(other, _)| peer != other)));
}

#[test]
fn a_large_mesh_in_which_each_chooses_for_itself_is_one() {
    let now = Instant::now();
    let ids: Vec<PeerId> = (0..150).map(|_| PeerId::random()).collect();
    let mut group: Vec<usize> = (0..ids.len()).collect();
    for (at, own) in ids.iter().enumerate() {
        let mut peers = Peers::new(*own, Reach::new([10, 0, 0, 1].into()), at as u64);
        for id in &ids {
            peers.learn(now, address("10.0.0.2", *id));
        }
        for (other, _) in peers.due(now) {
            let to = ids.iter().position(|id| *id == other).unwrap();
            let (a, b) = (group[at], group[to]);
            group.iter_mut().filter(|group| **group == b).for_each(|group| *group = a);
        }
    }
    assert!(group.iter().all(|one| *one == group[0]), "{group:?}");
}

#[test]
fn who_has_enough_still_looks_now_and_then_for_one_that_it_lost() {
    let now = Instant::now();
    let mut peers = crowd(now, CONNECTED_MAX + 2);
    peers.learn(now, address("10.0.0.9", PeerId::random()));
    assert!(peers.due(now).is_empty(), "strangers are not needed");
    let lost: Vec<PeerId> = peers.connected.keys().copied().take(2).collect();
    for peer in lost {
        peers.closed(now, peer);
    }
    let later = now + AGAIN_FIRST;
    assert_eq!(peers.due(later).len(), 1);
    assert!(peers.due(later + AGAIN_MAX).is_empty());
    assert_eq!(peers.due(later + SCOUT_EVERY).len(), 1);
}

#[test]
fn a_crowd_is_thinned_but_not_of_newcomers() {
    let now = Instant::now();
    let mut peers = crowd(now, CONNECTED_CROWD + 10);
    assert!(peers.surplus(now).is_empty());
    let later = now + YOUNG;
    assert_eq!(peers.surplus(later).len(), 10);
    for peer in peers.surplus(later) {
        peers.closed(later, peer);
    }
    assert!(peers.surplus(later).is_empty());
}

#[test]
fn the_dead_make_room_for_the_living() {
    let (mut peers, now) = (peers(1), Instant::now());
    let known: Vec<PeerId> = (0..KNOWN_MAX).map(|_| PeerId::random()).collect();
    for peer in &known {
        peers.learn(now, address("10.0.0.2", *peer));
    }
    let newcomer = PeerId::random();
    peers.learn(now, address("10.0.0.3", newcomer));
    assert!(!peers.known.contains_key(&newcomer), "nobody of the others is known to be dead");
    let dead = peers.due(now)[0].0;
    peers.unreachable(now, dead);
    peers.learn(now, address("10.0.0.3", newcomer));
    assert!(peers.known.contains_key(&newcomer) && !peers.known.contains_key(&dead));
    assert_eq!(peers.known.len(), KNOWN_MAX);
}

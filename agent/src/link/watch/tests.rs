//! A peer behind a relay, which can be cut like a cable and closed like a port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::identity::Identity;
use crate::link::{Endpoint, Timing};

/// What must come comes sooner than this, also on a machine with much to do.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// So long that neither decides anything here.
const TIMING: Timing = Timing { idle_max: Duration::from_secs(60), keep_alive: Duration::from_secs(20) };
const PATIENCE: Patience =
    Patience { beat_every: Millis(150), down_after: Millis(500), down_after_max: Millis(3_000), up_after: Millis(500) };

/// Two endpoints, a connection between them through a relay, and the watch over it.
struct Pair {
    connection: Connection,
    owed: Owed,
    watch: JoinHandle<Option<Instant>>,
    relay: JoinHandle<()>,
    cut: Arc<AtomicBool>,
    /// Lives as long as the pair.
    _ends: (Endpoint, Endpoint, Connection),
}

impl Pair {
    async fn new() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = || Endpoint::listen(any, &Identity::ephemeral().unwrap(), TIMING).unwrap();
        let (near, far) = (listen(), listen());
        let cut = Arc::new(AtomicBool::new(false));
        let socket = UdpSocket::bind(any).await.unwrap();
        let address = socket.local_addr().unwrap();
        let relay = tokio::spawn(relay(socket, near.address().unwrap(), far.address().unwrap(), cut.clone()));
        let accepting = async { far.accept().await.unwrap().await.unwrap() };
        let (connection, accepted) = tokio::join!(near.dial(address, None), accepting);
        let connection = connection.unwrap();
        let owed = Owed::default();
        let watch = tokio::spawn(watch(connection.clone(), owed.clone(), PATIENCE));
        Self { connection, owed, watch, relay, cut, _ends: (near, far, accepted) }
    }

    /// Waits for so many more datagrams.
    async fn hear(&self, datagrams: u64) {
        let received = || self.connection.stats().udp_rx.datagrams;
        let enough = received() + datagrams;
        while received() < enough {
            sleep(LOOK_IN_DEBT).await;
        }
    }
}

async fn relay(socket: UdpSocket, near: SocketAddr, far: SocketAddr, cut: Arc<AtomicBool>) {
    let mut buffer = [0; 2_048];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        // A knock is for the port, not for whoever is behind it.
        if !cut.load(Ordering::Relaxed) && length > 1 {
            let to = if from == near { far } else { near };
            let _ = socket.send_to(&buffer[..length], to).await;
        }
    }
}

#[tokio::test]
async fn a_refusal_is_found_while_results_are_owed() {
    let mut pair = Pair::new().await;
    let debts = pair.owed.debts();
    debts.add();
    pair.relay.abort();
    let _ = (&mut pair.relay).await;
    let gone = timeout(WAIT_MAX, &mut pair.watch).await.expect("a refusal comes").unwrap();
    assert!(gone.is_some() && pair.connection.close_reason().is_some());
}

#[tokio::test]
async fn a_peer_that_owes_results_and_is_silent_is_told_of_and_its_connection_stays() {
    let mut pair = Pair::new().await;
    let debts = pair.owed.debts();
    debts.add();
    pair.cut.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    timeout(WAIT_MAX, pair.owed.silence()).await.expect("the silence is told");
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    assert!(pair.connection.close_reason().is_none(), "silence is no proof");
    // It is heard again over the same connection.
    pair.cut.store(false, Ordering::Relaxed);
    timeout(WAIT_MAX, pair.hear(1)).await.expect("it is heard again");
    drop(debts);
    assert!(!pair.owed.is_some());
    pair.connection.close(VarInt::from_u32(0), b"");
    assert!(timeout(WAIT_MAX, &mut pair.watch).await.expect("the watch ends").unwrap().is_none());
}

/// It works on something long: its process answers for it all the while.
#[tokio::test]
async fn a_peer_that_takes_long_is_not_taken_for_silent() {
    let pair = Pair::new().await;
    let debts = pair.owed.debts();
    debts.add();
    let begin = Instant::now();
    let signs = async {
        // Longer than the silence that is borne.
        while begin.elapsed() < Duration::from_millis(PATIENCE.down_after.0 * 2) {
            timeout(WAIT_MAX, pair.hear(1)).await.expect("it is asked for signs of life");
        }
    };
    tokio::select! {
        () = signs => {}
        () = pair.owed.silence() => panic!("it was alive"),
    }
}

#[test]
fn debts_are_settled_once() {
    let owed = Owed::default();
    let (one, other) = (owed.debts(), owed.debts());
    one.add();
    other.settle();
    assert!(owed.is_some(), "nobody settles another's debt, or one that was never there");
    one.settle();
    assert!(!owed.is_some());
    other.add();
    other.add();
    drop(other);
    assert!(!owed.is_some());
}

#[test]
fn silence_is_asked_into_before_it_is_a_loss() {
    let mut silence = Silence::new(PATIENCE);
    let look = Duration::from_millis(20);
    for _ in 0..50 {
        assert_eq!(silence.look(look, true), Sign::Life);
    }
    let signs: Vec<Sign> = (0..26).map(|_| silence.look(look, false)).collect();
    assert_eq!(signs.iter().filter(|sign| **sign == Sign::Ask).count(), 4, "{signs:?}");
    assert_eq!(signs.iter().position(|sign| *sign == Sign::Loss), Some(24), "{signs:?}");
    assert_eq!(silence.look(look, true), Sign::Life);
    assert_eq!(silence.look(look, false), Sign::Silence, "a new silence");
}

/// A radio with gaps of a second: the next one is usual.
#[test]
fn a_link_with_long_gaps_is_given_time() {
    let mut silence = Silence::new(PATIENCE);
    let look = Duration::from_millis(20);
    for gap in [20, 25, 25, 50, 50] {
        for _ in 0..gap {
            let _ = silence.look(look, false);
        }
        assert_eq!(silence.look(look, true), Sign::Life);
    }
    let signs: Vec<Sign> = (0..51).map(|_| silence.look(look, false)).collect();
    assert!(!signs.contains(&Sign::Loss), "{signs:?}");
}

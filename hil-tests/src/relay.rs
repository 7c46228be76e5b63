//! A relay for UDP datagrams that delays, loses and doubles them, for kernels without netem.
//!
//! It stands in front of one agent: others are told of the relay's address in place of the agent's own. To the agent, each of them
//! is a port of the relay. What it does with a datagram follows from a seed and from how many came before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// How often a thread that waits for datagrams looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Ports that one relay keeps for those who send to the agent: more than a small mesh and its commands have at once.
const SENDERS_MAX: usize = 1024;

/// What a relay does.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of a hundred datagrams, how many are lost, each way.
    pub loss_percent: u8,
    /// Of a hundred datagrams, how many come twice, each way.
    pub double_percent: u8,
    /// How long each takes at least, each way.
    pub delay: Duration,
    /// How much longer it may take, so that one overtakes another.
    pub jitter: Duration,
    /// What chance follows from.
    pub seed: u64,
}

/// What a relay did so far.
#[derive(Debug, Default)]
pub struct Count {
    /// Datagrams that came.
    pub came: AtomicU64,
    /// Of these, lost.
    pub lost: AtomicU64,
    /// Of these, sent twice.
    pub doubled: AtomicU64,
}

/// One relay. Dropping it ends it.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it did.
    pub count: Arc<Count>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A datagram on its way.
struct Parcel {
    due: Instant,
    bytes: Vec<u8>,
    by: Arc<UdpSocket>,
    to: SocketAddr,
}

impl Relay {
    /// A relay to an agent, listening at an address of the network namespace of this file.
    pub fn start(namespace: &Path, listen: IpAddr, agent: SocketAddr, weather: Weather) -> io::Result<Self> {
        let front = Arc::new(bind_in(namespace, listen)?);
        let address = front.local_addr()?;
        let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(Count::default()));
        let (post, parcels) = channel();
        let carrier = std::thread::spawn(move || carry(&parcels));
        let desk = Desk { post, count: Arc::clone(&count), over: Arc::clone(&over), weather };
        let namespace = namespace.to_owned();
        let inward = std::thread::spawn(move || desk.take_in(&front, &namespace, listen, agent));
        Ok(Self { address, count, over, threads: vec![carrier, inward] })
    }
}

impl Relay {
    /// Whether it has lost datagrams and sent others twice.
    pub fn has_done_all(&self) -> bool {
        [&self.count.lost, &self.count.doubled].iter().all(|count| count.load(Ordering::Relaxed) > 0)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Where datagrams come in.
#[derive(Clone)]
struct Desk {
    post: Sender<Parcel>,
    count: Arc<Count>,
    over: Arc<AtomicBool>,
    weather: Weather,
}

impl Desk {
    /// Everybody who sends gets a port of its own towards the agent, so that the agent can answer it.
    fn take_in(self, front: &Arc<UdpSocket>, namespace: &Path, listen: IpAddr, agent: SocketAddr) {
        let mut senders: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
        let mut answers = Vec::new();
        self.each(front, self.weather.seed, |from, bytes, chance| {
            if !senders.contains_key(&from) {
                let back = bind_in(namespace, listen).ok().filter(|_| senders.len() < SENDERS_MAX).map(Arc::new);
                // Without a port for it the datagram is lost, as in a router that is full.
                let Some(back) = back else { return };
                senders.insert(from, Arc::clone(&back));
                let (desk, front) = (self.clone(), Arc::clone(front));
                let seed = self.weather.seed.wrapping_add(senders.len() as u64);
                answers.push(std::thread::spawn(move || {
                    desk.each(&back, seed, |_, bytes, chance| desk.pass(bytes, &front, from, chance));
                }));
            }
            self.pass(bytes, &senders[&from], agent, chance);
        });
        for thread in answers {
            let _ = thread.join();
        }
    }

    fn each(&self, socket: &UdpSocket, seed: u64, mut take: impl FnMut(SocketAddr, &[u8], &mut fastrand::Rng)) {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !self.over.load(Ordering::Relaxed) {
            // It fails when nothing came in time, and where an earlier datagram was refused: then the next may come.
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                take(from, &buffer[..length], &mut chance);
            }
        }
    }

    fn pass(&self, bytes: &[u8], by: &Arc<UdpSocket>, to: SocketAddr, chance: &mut fastrand::Rng) {
        self.count.came.fetch_add(1, Ordering::Relaxed);
        let mut happens = |percent: u8| chance.u8(..100) < percent;
        if happens(self.weather.loss_percent) {
            self.count.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let twice = happens(self.weather.double_percent);
        self.count.doubled.fetch_add(u64::from(twice), Ordering::Relaxed);
        for _ in 0..=u8::from(twice) {
            let due = Instant::now() + self.weather.delay + self.weather.jitter.mul_f64(chance.f64());
            let parcel = Parcel { due, bytes: bytes.to_vec(), by: Arc::clone(by), to };
            // The carrier ends with the last desk.
            let _ = self.post.send(parcel);
        }
    }
}

/// Sends each parcel when it is due, until nobody brings any more.
fn carry(parcels: &Receiver<Parcel>) {
    // By when they are due; the place keeps apart those that are due together.
    let mut held: BTreeMap<(Instant, u64), Parcel> = BTreeMap::new();
    for place in 0.. {
        let first = held.keys().next();
        let patience = first.map_or(LOOK_EVERY, |(due, _)| due.saturating_duration_since(Instant::now()));
        match parcels.recv_timeout(patience) {
            Ok(parcel) => drop(held.insert((parcel.due, place), parcel)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(next) = held.first_entry().filter(|next| next.key().0 <= Instant::now()) {
            let parcel = next.remove();
            // Whom it cannot reach, it does not.
            let _ = parcel.by.send_to(&parcel.bytes, parcel.to);
        }
    }
}

/// A socket of another network namespace, made by a thread that enters it and ends.
fn bind_in(namespace: &Path, listen: IpAddr) -> io::Result<UdpSocket> {
    let namespace = File::open(namespace)?;
    let bind = move || {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), None)?;
        let socket = UdpSocket::bind((listen, 0))?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        Ok(socket)
    };
    std::thread::spawn(bind).join().expect("making a socket does not panic")
}

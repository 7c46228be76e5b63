//! What one seat costs: memory, the time of a commit beside the disk's own, commits a second by how many propose at once, the
//! file's growth, and an idle processor.
//!
//! `cargo run --release -p skein-raft --example seat [ENTRIES]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement is its output, and a failed one may panic")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use skein_core::capability::{Capability, NodeSpec};
use skein_core::command::{Command, Entry};
use skein_core::{Millis, NodeId};
use skein_raft::{Call, Seat, SeatConfig, Transport, TransportError};

struct Nobody;

impl Transport for Nobody {
    async fn call(&self, _: NodeId, _: Call, _: Vec<u8>) -> Result<Vec<u8>, TransportError> {
        Err(TransportError("nobody is there".into()))
    }
}

#[tokio::main]
async fn main() {
    let entries: u64 = std::env::args().nth(1).map_or(2000, |count| count.parse().unwrap());
    let directory = tempfile::tempdir_in(".").unwrap();
    println!("bare fdatasync after 200 B   {:>9.1?} p50", fsync_p50(directory.path()));
    println!("resident before              {:>9.1} MB", resident_mb());
    let state = directory.path().join("state");
    let seat = Seat::open(SeatConfig::new(&state, NodeId(1)), Nobody).await.unwrap();
    seat.found().await.unwrap();
    println!("resident with an empty seat  {:>9.1} MB", resident_mb());
    let mut times = vec![];
    for entry in 0..entries {
        let started = Instant::now();
        seat.propose(join(entry % 50)).await.unwrap().unwrap();
        times.push(started.elapsed());
        if entry % (entries / 10).max(1) == 0 {
            println!("  after {entry:>7} entries      {:>9.1} MB on disk", bytes_mb(&state));
        }
    }
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100];
    println!("commit                       {:>9.1?} p50, {:.1?} p99", at(50), at(99));
    println!("resident afterwards          {:>9.1} MB", resident_mb());
    println!("bare fdatasync, one by one   {:>9.0} a second", 1.0 / fsync_p50(directory.path()).as_secs_f64());
    for proposers in [1, 8, 64, 512] {
        println!("{proposers:>3} propose at once          {:>9.0} commits a second", rate(&seat, proposers).await);
    }
    println!("a list of 10,000             {:>9.0} commits a second", list_rate(&seat).await);
    let before = processor_ticks();
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!("idle for 20 s                {:>9.2} % of a core", (processor_ticks() - before) / 20.0);
    println!("on disk                      {:>9.1} MB", bytes_mb(&state));
    seat.close().await;
    drop(seat);
    let started = Instant::now();
    let seat = Seat::open(SeatConfig::new(&state, NodeId(1)), Nobody).await.unwrap();
    println!("opened again in              {:>9.1?}", started.elapsed());
    seat.close().await;
}

/// For so long each number of proposers is measured.
const MEASURE: Duration = Duration::from_secs(3);

async fn rate(seat: &Seat, proposers: u64) -> f64 {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for proposer in 0..proposers {
        let seat = seat.clone();
        tasks.spawn(async move {
            let mut commits = 0.0;
            while started.elapsed() < MEASURE {
                seat.propose(join(proposer % 50)).await.unwrap().unwrap();
                commits += 1.0;
            }
            commits
        });
    }
    tasks.join_all().await.iter().sum::<f64>() / started.elapsed().as_secs_f64()
}

async fn list_rate(seat: &Seat) -> f64 {
    let list = (0..10_000).map(|entry| join(entry % 50)).collect();
    let started = Instant::now();
    seat.propose_all(list).await.unwrap();
    10_000.0 / started.elapsed().as_secs_f64()
}

fn join(node: u64) -> Entry {
    let spec = NodeSpec {
        id: NodeId(node),
        name: "board".into(),
        address: "10.0.0.1:7700".into(),
        version: "0.1.0".into(),
        capability: Capability::default(),
    };
    Entry { at: Millis(node), command: Command::NodeJoin(spec) }
}

fn fsync_p50(directory: &Path) -> Duration {
    let mut file = fs::File::create(directory.join("probe")).unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let started = Instant::now();
            file.write_all(&[7; 200]).unwrap();
            file.sync_data().unwrap();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[allow(clippy::cast_precision_loss, reason = "megabytes with one decimal")]
fn resident_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() as f64 / 1024.0
}

/// Processor time so far, in hundredths of a second.
fn processor_ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

#[allow(clippy::cast_precision_loss, reason = "megabytes with one decimal")]
fn bytes_mb(directory: &Path) -> f64 {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().metadata().unwrap());
    files.map(|file| file.len()).sum::<u64>() as f64 / 1_048_576.0
}

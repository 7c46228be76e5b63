//! What can go wrong, done on purpose.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use crate::bed::Bed;

/// Ends an agent as a power cut would: SIGKILL.
pub fn kill(bed: &mut Bed, number: usize) {
    let mut process = bed.agents[number].process.take().expect("the agent runs");
    process.kill().expect("it can be killed");
    process.wait().expect("it ends");
}

/// Ends a process that an agent started, by its id.
pub fn kill_process(id: u32) {
    assert!(signal(id, "KILL"), "process {id} can be killed");
}

/// Sends a signal to a process; whether it was there.
pub fn signal(id: u32, name: &str) -> bool {
    Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().is_ok_and(|status| status.success())
}

/// The processes whose parent this is.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// The parent stands behind the program's name, which is in parentheses and may hold anything.
fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Throws so many datagrams of noise at an address. The noise is the same each time.
pub fn throw_noise(at: SocketAddr, datagrams: u32) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..datagrams {
        let length = [1, 2, 7, 20, 64, 600, 1200, 1452][number as usize % 8];
        let noise: Vec<u8> = std::iter::repeat_with(|| next(&mut state)).take(length).collect();
        // A full socket drops it, as a network would.
        let _ = socket.send_to(&noise, at);
        // The same dressed as the first packet of a QUIC connection: long header, version 1, then noise.
        let dressed = [&[0xc3, 0, 0, 0, 1, 8][..], &noise].concat();
        let _ = socket.send_to(&dressed, at);
    }
}

/// One step of a xorshift generator (Marsaglia, 2003).
fn next(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.to_be_bytes()[0]
}

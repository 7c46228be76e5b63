//! What can go wrong, done on purpose.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use crate::bed::Bed;

/// Ends an agent as a power cut would: SIGKILL.
pub fn kill(bed: &mut Bed, number: usize) {
    let mut process = bed.agents[number].process.take().expect("the agent runs");
    process.kill().expect("it can be killed");
    process.wait().expect("it ends");
}

/// Ends an agent as an operator would: SIGTERM.
pub fn terminate(bed: &mut Bed, number: usize) {
    let mut process = bed.agents[number].process.take().expect("the agent runs");
    assert!(signal(process.id(), "TERM"), "the agent can be told to stop");
    assert!(process.wait().expect("it ends").success(), "an agent that is told to stop ends with 0\n{}", bed.logs());
}

/// Freezes an agent and its workers, as a machine that is suspended or starved: SIGSTOP.
pub fn freeze(bed: &Bed, number: usize) {
    signal_all(bed, number, "STOP");
}

/// Lets them go on: SIGCONT.
pub fn thaw(bed: &Bed, number: usize) {
    signal_all(bed, number, "CONT");
}

fn signal_all(bed: &Bed, number: usize, name: &str) {
    let agent = bed.agents[number].process.as_ref().expect("the agent runs").id();
    assert!(signal(agent, name), "the agent can be signalled");
    for worker in children(agent) {
        // One that ended meanwhile needs no signal.
        signal(worker, name);
    }
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

/// Cuts so many bytes off the end of a file.
pub fn truncate(file: &Path, bytes: u64) {
    let open = OpenOptions::new().write(true).open(file).expect("the file can be opened");
    let length = open.metadata().expect("it has a length").len();
    open.set_len(length.saturating_sub(bytes)).expect("it can be cut");
}

/// Turns over one bit of each of the last so many bytes of a file.
pub fn flip_bits(file: &Path, bytes: u64) {
    let mut open = OpenOptions::new().read(true).write(true).open(file).expect("the file can be opened");
    let length = open.metadata().expect("it has a length").len();
    let from = SeekFrom::Start(length.saturating_sub(bytes));
    let mut tail = Vec::new();
    open.seek(from).expect("it can be sought");
    open.read_to_end(&mut tail).expect("it can be read");
    for byte in &mut tail {
        *byte ^= 1;
    }
    open.seek(from).expect("it can be sought");
    open.write_all(&tail).expect("it can be written");
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

//! Three members of etcd on loopback, and what they take to go on when their leader is killed. Spoken to by its JSON gateway, so that
//! no client of it is needed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Its heartbeat interval and its election timeout, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    heartbeat: u32,
    election: u32,
}

/// As it comes.
pub(crate) const DEFAULTS: Timing = Timing { heartbeat: 100, election: 1_000 };
/// As low as its documentation lets it go on one machine.
#[allow(dead_code, reason = "each benchmark asks for its part")]
pub(crate) const TUNED: Timing = Timing { heartbeat: 20, election: 200 };

/// After this something hangs.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long one request may take before it is made again. A member that has handed a write to a leader that died waits seconds for
/// it, though another leads long since; a write takes a few milliseconds.
const REQUEST_TIME_MAX: Duration = Duration::from_millis(50);
/// The pause before a request that failed is made again.
const AGAIN: Duration = Duration::from_millis(2);

/// Three members; dropping them ends them.
struct Members {
    members: Vec<(SocketAddr, Child)>,
    /// Removed with them.
    directory: TempDir,
}

/// From the leader's SIGKILL to the next write that another member acknowledges.
#[allow(dead_code, reason = "each benchmark asks for its part")]
pub(crate) fn leader_kill(program: &Path, timing: Timing) -> anyhow::Result<Duration> {
    let mut cluster = Members::start(program, timing)?;
    let begin = Instant::now();
    let leader = loop {
        if let Some(leader) = cluster.leader() {
            break leader;
        }
        anyhow::ensure!(begin.elapsed() < WAIT_MAX, "etcd elected no leader");
        std::thread::sleep(AGAIN);
    };
    let survivor = cluster.members[(leader + 1) % cluster.members.len()].0;
    write_until_acknowledged(survivor)?;
    // As ours: links are known by then.
    std::thread::sleep(Duration::from_secs(2));
    let lost = Instant::now();
    cluster.members[leader].1.kill()?;
    write_until_acknowledged(survivor)?;
    Ok(lost.elapsed())
}

/// How many writes so many clients have acknowledged in a second, each with a connection of its own and one write after another.
#[allow(dead_code, reason = "each benchmark asks for its part")]
pub(crate) fn writes_per_second(program: &Path, clients: usize, length: Duration) -> anyhow::Result<f64> {
    let cluster = Members::start(program, DEFAULTS)?;
    for (address, _) in &cluster.members {
        write_until_acknowledged(*address)?;
    }
    let begin = Instant::now();
    let addresses: Vec<SocketAddr> = cluster.members.iter().map(|(address, _)| *address).collect();
    let writing = (0..clients).map(|number| {
        let address = addresses[number % addresses.len()];
        std::thread::spawn(move || write_for(address, begin, length))
    });
    let writing: Vec<_> = writing.collect();
    let mut writes = 0;
    for client in writing {
        writes += client.join().map_err(|_| anyhow::anyhow!("a client of etcd panicked"))??;
    }
    Ok(f64::from(writes) / begin.elapsed().as_secs_f64())
}

/// Over one connection that stays open.
fn write_for(address: SocketAddr, begin: Instant, length: Duration) -> anyhow::Result<u32> {
    let stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let body = json!({ "key": "a2V5", "value": "dmFsdWU=" }).to_string();
    let request = format!(
        "POST /v3/kv/put HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut writes = 0;
    while begin.elapsed() < length {
        stream.write_all(request.as_bytes())?;
        let (mut line, mut size) = (String::new(), None);
        answers.read_line(&mut line)?;
        ensure!(line.contains(" 200 "), "etcd answered {line:?}");
        loop {
            line.clear();
            answers.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => size = value.trim().parse().ok(),
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = vec![0; size.context("etcd's answer has a length")?];
        answers.read_exact(&mut answer)?;
        writes += 1;
    }
    Ok(writes)
}

impl Members {
    fn start(program: &Path, timing: Timing) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let addresses = (0..3).map(|_| Ok((free_address()?, free_address()?))).collect::<anyhow::Result<Vec<_>>>()?;
        let peers = addresses.iter().enumerate().map(|(number, (peer, _))| format!("m{number}=http://{peer}"));
        let peers = peers.collect::<Vec<_>>().join(",");
        let mut cluster = Self { members: Vec::new(), directory };
        for (number, (peer, client)) in addresses.into_iter().enumerate() {
            let name = format!("m{number}");
            let (peer, at) = (format!("http://{peer}"), format!("http://{client}"));
            let mut command = Command::new(program);
            command
                .args(["--name", &name, "--initial-cluster", &peers, "--initial-cluster-state", "new"])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--listen-client-urls", &at, "--advertise-client-urls", &at])
                .args(["--heartbeat-interval", &timing.heartbeat.to_string()])
                .args(["--election-timeout", &timing.election.to_string()])
                .arg("--data-dir")
                .arg(cluster.directory.path().join(&name))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            cluster.members.push((client, command.spawn().context("cannot start etcd")?));
        }
        Ok(cluster)
    }

    /// The place of the member that leads, by its own word.
    fn leader(&self) -> Option<usize> {
        self.members.iter().position(|(address, _)| {
            let status = request(*address, "/v3/maintenance/status", &json!({}));
            status.is_ok_and(|status| {
                status["leader"] != Value::Null && status["leader"] == status["header"]["member_id"]
            })
        })
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for (_, process) in &mut self.members {
            // It may be dead already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn write_until_acknowledged(at: SocketAddr) -> anyhow::Result<()> {
    let begin = Instant::now();
    // "key" and "value" in base64.
    while let Err(error) = request(at, "/v3/kv/put", &json!({ "key": "a2V5", "value": "dmFsdWU=" })) {
        anyhow::ensure!(begin.elapsed() < WAIT_MAX, "etcd took no write: {error:#}");
        std::thread::sleep(AGAIN);
    }
    Ok(())
}

/// One request by HTTP, and its answer where that is a success.
fn request(address: SocketAddr, path: &str, body: &Value) -> anyhow::Result<Value> {
    let body = body.to_string();
    let mut stream = TcpStream::connect_timeout(&address, REQUEST_TIME_MAX)?;
    stream.set_read_timeout(Some(REQUEST_TIME_MAX))?;
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    if !head.lines().next().is_some_and(|line| line.contains(" 200 ")) {
        bail!("{body}");
    }
    Ok(serde_json::from_str(body)?)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

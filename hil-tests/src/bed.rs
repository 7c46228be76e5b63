//! Agents as processes, each with a state directory of its own, on loopback or each on a host of its own. Dropping the bed ends
//! them all.

use std::ffi::OsString;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::disk::SmallDisk;
use crate::net::Lan;

/// How long anything that a mesh does by itself may take before a test fails. Debug builds on two busy cores are slow.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Where agents on hosts of their own listen; gossip takes the next port.
const PORT: u16 = 7433;

/// A mesh under test.
#[derive(Debug)]
pub struct Bed {
    /// Unmounted before their directory is removed.
    disks: Vec<SmallDisk>,
    directory: TempDir,
    /// What every agent of it is started with, beside what tells it from the others.
    settings: Vec<String>,
    /// Its agents, in the order they were started.
    pub agents: Vec<Agent>,
    /// Their hosts; none where they share loopback.
    lan: Option<Lan>,
}

/// One agent.
#[derive(Debug)]
pub struct Agent {
    /// Its name in the mesh.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its gossip listens.
    pub gossip: SocketAddr,
    /// Where others reach it, where that is not where it listens.
    pub advertise: Option<SocketAddr>,
    /// Variables that it is started with.
    pub environment: Vec<(OsString, OsString)>,
    /// Its process, while it runs.
    pub process: Option<Child>,
}

impl Default for Bed {
    fn default() -> Self {
        Self::new()
    }
}

impl Bed {
    /// A bed without agents.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self { disks: Vec::new(), directory, settings: Vec::new(), agents: Vec::new(), lan: None }
    }

    /// A bed without agents, with room for so many on hosts of their own, and one more host, from which commands run.
    pub fn on_hosts(count: usize, settings: &[&str]) -> Self {
        let mut bed = Self::new();
        // They are told of each other, so that nothing depends on multicast.
        bed.settings = ["--mdns", "false"].iter().chain(settings).map(ToString::to_string).collect();
        bed.lan = Some(Lan::new(count + 1));
        bed
    }

    /// A mesh of so many agents, up and with all of its voters.
    pub fn mesh(count: usize) -> Self {
        Self::mesh_with(count, &[])
    }

    /// The same, its agents started with these settings.
    pub fn mesh_with(count: usize, settings: &[&str]) -> Self {
        let mut bed = Self::new();
        bed.settings = settings.iter().map(ToString::to_string).collect();
        for _ in 0..count {
            bed.start();
        }
        bed.wait_until_whole();
        bed
    }

    /// Starts one more agent; all but the first are told of the first.
    pub fn start(&mut self) -> usize {
        let number = self.prepare();
        self.restart(number);
        number
    }

    /// Makes room for one more agent, for [`Bed::restart`] to start.
    pub fn prepare(&mut self) -> usize {
        let number = self.agents.len();
        let (address, gossip) = match &self.lan {
            None => (free_address(), free_address()),
            Some(lan) => {
                let at = |port| format!("{}:{port}", lan.address(host(number))).parse().expect("it is an address");
                (at(PORT), at(PORT + 1))
            }
        };
        let name = format!("node-{}", number + 1);
        self.agents.push(Agent { name, address, gossip, advertise: None, environment: Vec::new(), process: None });
        number
    }

    /// Starts an agent again, on its old addresses and state directory.
    pub fn restart(&mut self, number: usize) {
        self.launch(number);
        self.wait_until_answers(number);
    }

    /// The same, without waiting for it.
    pub fn launch(&mut self, number: usize) {
        let peer = self.agents.iter().enumerate().find(|(at, agent)| *at != number && agent.process.is_some());
        let peer = peer.map(|(_, agent)| agent.advertise.unwrap_or(agent.address).to_string());
        let agent = &self.agents[number];
        let log = std::fs::File::options().create(true).append(true).open(self.path(&format!("{}.log", agent.name)));
        let advertise = agent.advertise.map(|address| address.to_string());
        let mut command = self.on_host(host(number));
        command
            // All of them are on one machine: workers of two would be bound to the same cores.
            .env("SKEIN_BIND_CORES", "false")
            .envs(agent.environment.iter().map(|(name, value)| (name, value)))
            .args(["agent", "--name", &agent.name])
            .args(["--listen", &agent.address.to_string(), "--gossip-listen", &agent.gossip.to_string()])
            .args(peer.iter().flat_map(|peer| ["--peer", peer.as_str()]))
            .args(advertise.iter().flat_map(|address| ["--advertise", address.as_str()]))
            .arg("--state-dir")
            .arg(self.state_dir(number))
            .args(&self.settings)
            .arg("--end-with-parent")
            .stdout(Stdio::null())
            .stderr(log.expect("a log can be written"));
        let marker = self.state_dir(number).join("address");
        let _ = std::fs::remove_file(marker);
        self.agents[number].process = Some(command.spawn().expect("the agent starts"));
    }

    fn wait_until_answers(&self, number: usize) {
        let marker = self.state_dir(number).join("address");
        self.wait("the agent answers", || marker.exists() && self.try_cli_at(number, &["node", "status"]).is_ok());
    }

    /// Waits until an agent has ended by itself, which must not have been well.
    pub fn wait_until_ended(&mut self, number: usize) {
        let mut process = self.agents[number].process.take().expect("the agent runs");
        let ended = wait_for(|| process.try_wait().is_ok_and(|status| status.is_some()));
        // One that still runs must not outlive the test.
        let _ = process.kill();
        let status = process.wait().expect("it ends");
        assert!(ended, "{} goes on\n{}", self.agents[number].name, self.logs());
        assert!(!status.success(), "{} ended as if all were well\n{}", self.agents[number].name, self.logs());
    }

    /// Waits until every running agent is up in the mesh, there is a leader, and as many vote as should.
    pub fn wait_until_whole(&self) {
        let running = self.agents.iter().filter(|agent| agent.process.is_some()).count();
        // The largest odd number up to three.
        let voters = if running >= 3 { 3 } else { 1 };
        self.wait("the mesh is whole", || {
            self.running().all(|number| {
                let mesh = self.json_at(number, &["node", "status"]);
                let nodes = mesh["nodes"].as_array().cloned().unwrap_or_default();
                let up = nodes.iter().filter(|node| node["up"] == true).count();
                let votes = |seat: &str| seat == "leader" || seat == "voter";
                let voting = nodes.iter().filter(|node| votes(node["seat"].as_str().unwrap_or("-"))).count();
                up == running && voting >= voters && !mesh["leader"].is_null()
            })
        });
    }

    /// The agents that run.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        let running = self.agents.iter().enumerate().filter(|(_, agent)| agent.process.is_some());
        running.map(|(number, _)| number)
    }

    /// The first agent that runs.
    pub fn any(&self) -> usize {
        self.running().next().expect("an agent runs")
    }

    /// A command that talks to one agent.
    pub fn command_at(&self, number: usize, arguments: &[&str]) -> Command {
        self.command_at_any_of(&[number], arguments)
    }

    /// A command that talks to the first of these agents that answers.
    pub fn command_at_any_of(&self, numbers: &[usize], arguments: &[&str]) -> Command {
        let addresses: Vec<String> = numbers.iter().map(|number| self.agents[*number].address.to_string()).collect();
        let mut command = self.on_host(host(self.hosts()));
        command.args(["--address", &addresses.join(",")]).args(arguments);
        command
    }

    /// A command that talks to an agent from the agent's own host: the two lose the network together.
    pub fn command_beside(&self, number: usize, arguments: &[&str]) -> Command {
        let mut command = self.on_host(host(number));
        command.args(["--address", &self.agents[number].address.to_string()]).args(arguments);
        command
    }

    /// What such a command prints, or its error text.
    pub fn try_cli_beside(&self, number: usize, arguments: &[&str]) -> Result<String, String> {
        said(&output(&mut self.command_beside(number, arguments)))
    }

    /// The JSON that such a command prints; null where it fails.
    pub fn json_beside(&self, number: usize, arguments: &[&str]) -> serde_json::Value {
        let text = self.try_cli_beside(number, &[arguments, &["--json"]].concat()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The binary, to run on a host; on loopback that is this machine.
    fn on_host(&self, host: usize) -> Command {
        clean(self.lan.as_ref().map_or_else(|| Command::new(binary()), |lan| lan.on(host, &binary())))
    }

    /// How many agents there is room for, where they have hosts of their own.
    fn hosts(&self) -> usize {
        self.lan.as_ref().map_or(0, |lan| lan.hosts() - 1)
    }

    /// Gives an agent that was not started yet a disk of its own, of so many bytes, for its state directory.
    pub fn give_disk(&mut self, number: usize, bytes: u64) {
        let disk = SmallDisk::mount(&self.state_dir(number), bytes);
        self.disks.push(disk);
    }

    /// The network of a bed whose agents have hosts of their own.
    pub fn lan(&self) -> &Lan {
        self.lan.as_ref().expect("the bed was made with hosts")
    }

    /// What a command that talks to one agent prints, or its error text.
    pub fn try_cli_at(&self, number: usize, arguments: &[&str]) -> Result<String, String> {
        said(&output(&mut self.command_at(number, arguments)))
    }

    /// What a command prints that must succeed.
    pub fn cli(&self, arguments: &[&str]) -> String {
        match self.try_cli_at(self.any(), arguments) {
            Ok(text) => text,
            Err(error) => panic!("skein {arguments:?} failed: {error}\n{}", self.logs()),
        }
    }

    /// The JSON that a command prints at one agent; null where it fails.
    pub fn json_at(&self, number: usize, arguments: &[&str]) -> serde_json::Value {
        let text = self.try_cli_at(number, &[arguments, &["--json"]].concat()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The same at any agent.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        self.json_at(self.any(), arguments)
    }

    /// Waits for a condition.
    pub fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        let came = wait_for(condition);
        assert!(came, "{what}: not within {} s\n{}", WAIT_MAX.as_secs(), self.logs());
    }

    /// The state directory of an agent.
    pub fn state_dir(&self, number: usize) -> PathBuf {
        self.path(&self.agents[number].name)
    }

    /// A path of the bed's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The ends of all logs, for a failing test.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for agent in &self.agents {
            let log = std::fs::read_to_string(self.path(&format!("{}.log", agent.name))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            text += &format!("--- {} ---\n{}\n", agent.name, last.join("\n"));
        }
        text
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for process in self.agents.iter_mut().filter_map(|agent| agent.process.as_mut()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The host of an agent.
pub fn host(number: usize) -> usize {
    number + 1
}

/// Waits for a condition, for at most [`WAIT_MAX`]; whether it came.
pub fn wait_for(condition: impl FnMut() -> bool) -> bool {
    wait_for_at_most(WAIT_MAX, condition)
}

/// The same with a deadline of one's own.
pub fn wait_for_at_most(most: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + most;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    false
}

/// The binary under test: the one that `cargo xtask test` built, or the one beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SKEIN_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a file");
    let beside = test.ancestors().nth(2).map(|target| target.join("skein")).filter(|path| path.exists());
    beside.expect("no skein binary: run `cargo build -p skein-agent`, or `cargo xtask test`, which does")
}

/// A command without the settings of whoever runs the tests, in a directory without a settings file.
pub fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SKEIN_")) {
        command.env_remove(name);
    }
    command.current_dir("/");
    command
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the command starts")
}

/// Standard output of a command that succeeded, or standard error of one that did not.
pub fn said(output: &Output) -> Result<String, String> {
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A UDP address on loopback that nobody uses now.
pub fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    socket.local_addr().expect("a bound socket has an address")
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

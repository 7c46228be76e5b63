//! Agents on loopback as processes of one binary, each with a state directory of its own: for the demo, and for benchmarks.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use skein_core::NodeId;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::agent::ADDRESS_FILE;
use crate::client::Client;

/// How long an agent may take to answer after its start.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// How much of each agent's log is shown when the demo fails.
const LAST_LINES: usize = 8;
/// How often something is looked for that comes by itself.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// All of them. Dropping it ends them and removes their directories.
#[derive(Debug)]
pub struct Fleet {
    program: PathBuf,
    directory: TempDir,
    agents: Vec<Agent>,
}

#[derive(Debug)]
struct Agent {
    name: String,
    address: SocketAddr,
    node: NodeId,
    process: Option<Child>,
}

impl Fleet {
    /// No agents yet; they will run this program.
    pub fn new(program: PathBuf) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("skein-demo-").tempdir();
        let directory =
            directory.context("cannot make a temporary directory; set TMPDIR to one that can be written to")?;
        Ok(Self { program, directory, agents: Vec::new() })
    }

    /// How many agents were started.
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether none was started.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// Starts one more agent: the first founds a mesh, the others join it.
    pub async fn start_one(&mut self) -> anyhow::Result<()> {
        let at = self.agents.len();
        let name = format!("demo-{}", at + 1);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = self.agents.first().map(|agent| agent.address);
        let process = self.spawn(&name, any, first)?;
        self.agents.push(Agent { name, address: any, node: NodeId::default(), process: Some(process) });
        let (address, node) = self.wait_until_up(at).await?;
        let agent = &mut self.agents[at];
        (agent.address, agent.node) = (address, node);
        Ok(())
    }

    /// The processes that run.
    pub fn processes(&self) -> Vec<u32> {
        self.agents.iter().filter_map(|agent| agent.process.as_ref()).map(Child::id).collect()
    }

    /// Where the agents listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.agents.iter().filter(|agent| agent.process.is_some()).map(|agent| agent.address).collect()
    }

    /// Where one of them listens.
    pub fn address_of(&self, node: NodeId) -> Option<SocketAddr> {
        self.agents.iter().find(|agent| agent.node == node).map(|agent| agent.address)
    }

    /// Ends an agent as a power cut would: SIGKILL, nothing said.
    pub fn kill(&mut self, node: NodeId) -> anyhow::Result<Instant> {
        let agent = self.agents.iter_mut().find(|agent| agent.node == node).context("no such agent")?;
        let mut process = agent.process.take().context("the agent is dead already")?;
        let at = Instant::now();
        process.kill()?;
        process.wait()?;
        Ok(at)
    }

    /// Stops an agent without ending it: SIGSTOP. It says nothing more and keeps its port. It ends with the fleet.
    pub fn stop(&self, node: NodeId) -> anyhow::Result<Instant> {
        let agent = self.agents.iter().find(|agent| agent.node == node).context("no such agent")?;
        let process = agent.process.as_ref().context("the agent is dead already")?;
        let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        let at = Instant::now();
        kill_process(id, Signal::STOP)?;
        Ok(at)
    }

    /// Starts a killed agent again, on its old directory and address.
    pub async fn restart(&mut self, node: NodeId) -> anyhow::Result<()> {
        let at = self.agents.iter().position(|agent| agent.node == node).context("no such agent")?;
        let peer = self.agents.iter().find(|agent| agent.process.is_some()).map(|agent| agent.address);
        let (name, address) = (self.agents[at].name.clone(), self.agents[at].address);
        let _ = std::fs::remove_file(self.state_dir(&name).join(ADDRESS_FILE));
        self.agents[at].process = Some(self.spawn(&name, address, peer)?);
        self.wait_until_up(at).await?;
        Ok(())
    }

    /// Ends every agent as a power cut of all machines would.
    pub fn kill_all(&mut self) -> anyhow::Result<()> {
        let mut processes: Vec<Child> = self.agents.iter_mut().filter_map(|agent| agent.process.take()).collect();
        processes.iter_mut().try_for_each(Child::kill)?;
        processes.iter_mut().try_for_each(|process| process.wait().map(drop))?;
        Ok(())
    }

    /// Starts all killed agents again, at once and on their old directories and addresses; returns when the first answers.
    pub async fn restart_all(&mut self, within: Duration) -> anyhow::Result<()> {
        let first = self.agents.first().map(|agent| agent.address);
        for at in 0..self.agents.len() {
            let (name, address) = (self.agents[at].name.clone(), self.agents[at].address);
            let _ = std::fs::remove_file(self.state_dir(&name).join(ADDRESS_FILE));
            let peer = first.filter(|peer| *peer != address);
            self.agents[at].process = Some(self.spawn(&name, address, peer)?);
        }
        let deadline = Instant::now() + within;
        while Client::connect(&self.addresses()).await.is_err() {
            if Instant::now() >= deadline {
                bail!("no agent came up within {} s", within.as_secs());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Where the agents keep their state.
    pub fn state_dirs(&self) -> Vec<PathBuf> {
        self.agents.iter().map(|agent| self.state_dir(&agent.name)).collect()
    }

    /// The last lines that each agent logged, for when something went wrong.
    pub fn last_words(&self) -> String {
        let mut words = String::new();
        for agent in &self.agents {
            let log = std::fs::read_to_string(self.log(&agent.name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
                words += &format!("{}: {line}\n", agent.name);
            }
        }
        words
    }

    /// Ends everything. Dropping does the same; this says so where it is meant.
    pub fn end(self) {}

    fn spawn(&self, name: &str, listen: SocketAddr, peer: Option<SocketAddr>) -> anyhow::Result<Child> {
        let log =
            File::options().create(true).append(true).open(self.log(name)).context("cannot write an agent's log")?;
        let mut command = Command::new(&self.program);
        // The demo is itself and nothing else: what is set for agents on this machine does not apply to it.
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for variable in foreign.filter(|name| name.to_string_lossy().starts_with("SKEIN_")) {
            command.env_remove(variable);
        }
        command
            .arg("agent")
            .arg("--end-with-parent")
            .args(["--name", name, "--gossip-listen", "127.0.0.1:0"])
            // Its agents share this machine, and would bind their workers to the same cores.
            .args(["--bind-cores", "false"])
            .args(["--listen", &listen.to_string()])
            .args(peer.iter().flat_map(|peer| ["--peer".to_owned(), peer.to_string()]))
            .arg("--state-dir")
            .arg(self.state_dir(name))
            // An empty settings file of our own: none of the machine's.
            .arg("--config")
            .arg(self.settings()?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command.spawn().context("cannot start an agent")
    }

    async fn wait_until_up(&mut self, at: usize) -> anyhow::Result<(SocketAddr, NodeId)> {
        let deadline = Instant::now() + START_TIME_MAX;
        let file = self.state_dir(&self.agents[at].name).join(ADDRESS_FILE);
        while Instant::now() < deadline {
            let agent = &mut self.agents[at];
            if let Some(process) = &mut agent.process
                && let Some(status) = process.try_wait()?
            {
                bail!("the agent {} ended with {status}", agent.name);
            }
            let address = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            if let Some(address) = address
                && let Ok(client) = Client::connect(&[address]).await
            {
                return Ok((address, client.hello().await?.node));
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("the agent {} did not come up within {} s", self.agents[at].name, START_TIME_MAX.as_secs())
    }

    fn settings(&self) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join("skein.toml");
        if !path.exists() {
            std::fs::write(&path, "")?;
        }
        Ok(path)
    }

    fn state_dir(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).with_extension("log")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in self.agents.iter_mut().filter_map(|agent| agent.process.as_mut()) {
            // It may have ended by itself; then there is nothing to end.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

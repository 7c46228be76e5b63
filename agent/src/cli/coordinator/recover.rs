//! `skein coordinator recover`: a mesh goes on from one node's copy, without most of its voters.
//!
//! The agent of the node does not run meanwhile, so that this command opens the state directory itself.

use std::io::{BufRead, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use futures::future::join_all;
use serde::Serialize;
use skein_core::command::{Command, Entry};
use skein_core::{MeshId, Millis, NodeId};
use skein_raft::Remains;
use tokio::time::timeout;

use crate::agent::{COORDINATOR_DIRECTORY, MESH_FILE};
use crate::api::handle::now;
use crate::api::time;
use crate::cli::Common;
use crate::cli::output::{Output, Show, print};
use crate::client::{Client, random};
use crate::config::Settings;
use crate::identity::Identity;

/// How long each of the other voters is given to say that it is there.
const ASK_TIME_MAX: Duration = Duration::from_secs(5);

/// What `skein coordinator recover` takes.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The state directory of the agent to go on from; the agent must be stopped [default: as for `skein agent`]
    #[arg(long, env = "SKEIN_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The agent's settings file [default: ./skein.toml or /etc/skein/skein.toml, where there is one]
    #[arg(long, env = "SKEIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Do it, without asking on the terminal. Name the node that the mesh is to go on from
    #[arg(long, value_name = "NODE-NAME")]
    i_understand_that_acknowledged_changes_may_be_lost: Option<String>,
}

/// What the node knows, and what would be or was done.
#[derive(Debug, Serialize)]
struct Guide {
    mesh: MeshId,
    node: NodeId,
    name: String,
    term: u64,
    index: u64,
    unsure: u64,
    last_at: Option<Millis>,
    voters: Vec<Voter>,
    /// The mesh that it went on as; none before it is done.
    recovered_as: Option<MeshId>,
}

/// One voter of the old mesh.
#[derive(Debug, Serialize)]
struct Voter {
    node: NodeId,
    name: String,
    address: String,
    answers: bool,
}

pub(crate) async fn run(common: &Common, arguments: RecoverArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings { state_dir: arguments.state_dir, ..Settings::default() };
    let state_dir = settings.resolve(arguments.config.as_deref())?.state_dir;
    ensure!(
        state_dir.join(COORDINATOR_DIRECTORY).exists(),
        "there is no copy of a mesh in {}; name the state directory of a stopped agent with --state-dir",
        state_dir.display()
    );
    let node = Identity::load_or_create(&state_dir)?.node();
    let remains = Remains::open(&state_dir.join(COORDINATOR_DIRECTORY), node).await?;
    let mut guide = look(&remains, node).await?;
    // The dead do not answer; a majority that does has a leader, or soon will.
    let answering = guide.voters.iter().filter(|voter| voter.answers).count();
    let with_this_one = answering + usize::from(guide.voters.iter().any(|voter| voter.node == node));
    if with_this_one * 2 > guide.voters.len() {
        common.output().show(&guide)?;
        bail!(
            "nothing was changed: with this node, most voters are there. Start its agent again, and the mesh goes on by itself"
        );
    }
    if arguments.i_understand_that_acknowledged_changes_may_be_lost.is_none() || common.output() == Output::Table {
        common.output().show(&guide)?;
    }
    confirm(&guide, arguments.i_understand_that_acknowledged_changes_may_be_lost.as_deref())?;
    let mesh = MeshId(random()?);
    // Before the log: a node whose log and name differ is refused by everybody, and refuses them, until this was done again.
    write_mesh(&state_dir, mesh)?;
    let at = guide.last_at.map_or(now(), |last| last.max(now()));
    remains.go_on(Entry { at, command: Command::Recover { mesh, by: node } }).await?;
    guide.recovered_as = Some(mesh);
    common.output().show(&guide)?;
    Ok(ExitCode::SUCCESS)
}

async fn look(remains: &Remains, node: NodeId) -> anyhow::Result<Guide> {
    let about = remains.about().clone();
    let (mesh, name, voters) = remains.read(|state| {
        let name_of = |id: &NodeId| state.nodes.get(id).map_or_else(|| id.to_string(), |node| node.spec.name.clone());
        let voters: Vec<Voter> = about
            .voters
            .iter()
            .map(|id| Voter {
                node: *id,
                name: name_of(id),
                address: state.nodes.get(id).map_or_else(String::new, |node| node.spec.address.clone()),
                answers: false,
            })
            .collect();
        (state.mesh, name_of(&node), voters)
    });
    let mesh = mesh.context("this node's copy is of a mesh that was never founded: start its agent")?;
    let voters = join_all(voters.into_iter().map(|voter| async move {
        let answers = voter.node != node && answers(&voter, mesh).await;
        Voter { answers, ..voter }
    }));
    let (term, index, unsure, last_at) = (about.term, about.index, about.unsure, about.last_at);
    Ok(Guide { mesh, node, name, term, index, unsure, last_at, voters: voters.await, recovered_as: None })
}

/// Whether a voter is there, and still in the mesh.
async fn answers(voter: &Voter, mesh: MeshId) -> bool {
    let Ok(address) = voter.address.parse::<SocketAddr>() else { return false };
    let asked = async { Client::connect(&[address]).await.ok()?.hello().await.ok() };
    let hello = timeout(ASK_TIME_MAX, asked).await.ok().flatten();
    hello.is_some_and(|hello| hello.node == voter.node && hello.mesh == Some(mesh))
}

/// Whoever does this must have read what it costs: the name of the node is typed, or the mesh's on the terminal.
fn confirm(guide: &Guide, flag: Option<&str>) -> anyhow::Result<()> {
    let unchanged = "nothing was changed";
    if let Some(name) = flag {
        ensure!(name == guide.name, "{unchanged}: this node is {}, not {name}", guide.name);
        return Ok(());
    }
    ensure!(
        std::io::stdin().is_terminal(),
        "{unchanged}. To do it, add: --i-understand-that-acknowledged-changes-may-be-lost {}",
        guide.name
    );
    print(&format!("To go on from here, type the mesh's id, {}, and press Enter:", guide.mesh))?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    ensure!(typed.trim() == guide.mesh.to_string(), "{unchanged}: that is not the mesh's id");
    Ok(())
}

fn write_mesh(state_dir: &Path, mesh: MeshId) -> anyhow::Result<()> {
    let path = state_dir.join(MESH_FILE);
    let write = || {
        std::fs::write(&path, format!("{mesh}\n"))?;
        std::fs::File::open(&path)?.sync_all()
    };
    write().with_context(|| format!("nothing was changed: cannot write {}", path.display()))
}

impl Show for Guide {
    fn table(&self) -> String {
        match self.recovered_as {
            Some(mesh) => self.done(mesh),
            None => self.before(),
        }
    }

    fn quiet(&self) -> String {
        self.recovered_as.map_or_else(String::new, |mesh| mesh.to_string())
    }
}

impl Guide {
    fn before(&self) -> String {
        let last = self.last_at.map_or_else(|| "nothing".into(), |at| format!("a change of {}", time(at)));
        let mut lines = vec![
            format!("Mesh {}, as node {} ({}) has it:", self.mesh, self.name, self.node),
            format!(
                "  the last entry it has is number {} of term {}; the last that happened is {last}",
                self.index, self.term
            ),
        ];
        if self.unsure > 0 {
            lines.push(format!(
                "  of the last {} entries it never learnt whether a majority had them: they will be taken to be so",
                self.unsure
            ));
        }
        lines.push("Its voters:".into());
        lines.extend(self.voters.iter().map(|voter| {
            let state = match voter.answers {
                _ if voter.node == self.node => "this node",
                true => "answers",
                false => "does not answer",
            };
            format!("  {} ({}) at {}: {state}", voter.name, voter.node, voter.address)
        }));
        lines.extend([
            "If the voters that do not answer can be brought back, do that: nothing is lost then.".into(),
            "If they are gone for good, this node can go on alone, and others can join it. THEN:".into(),
            "  - what the lost voters had acknowledged after the entry above is LOST;".into(),
            "  - the mesh gets a new id, and every other node of it, also those that live, has to join anew: stop its agent,".into(),
            "    move 'coordinator' and 'mesh' out of its state directory, and start it again with --peer;".into(),
            "  - if a majority of the old voters runs somewhere after all, there are two meshes.".to_owned(),
            "On several nodes that are left, compare the number and term above, and recover on the highest term, then number, ONLY."
                .into(),
        ]);
        lines.join("\n")
    }

    fn done(&self, mesh: MeshId) -> String {
        format!(
            "Mesh {} goes on as mesh {mesh}, with {} as its only voter. Start its agent; then let the others join anew: stop each, move \
             'coordinator' and 'mesh' out of its state directory, and start it with --peer",
            self.mesh, self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> Guide {
        let voter = |name: &str, id: u64, answers| Voter {
            node: NodeId(id),
            name: name.into(),
            address: "10.0.0.1:7433".into(),
            answers,
        };
        Guide {
            mesh: MeshId(0xab),
            node: NodeId(1),
            name: "alpha".into(),
            term: 4,
            index: 77,
            unsure: 2,
            last_at: Some(Millis(1_795_478_400_000)),
            voters: vec![voter("alpha", 1, false), voter("beta", 2, false), voter("gamma", 3, true)],
            recovered_as: None,
        }
    }

    #[test]
    fn the_guide_says_what_is_known_what_may_be_lost_and_how_to_do_it() {
        let text = guide().table();
        for part in [
            "number 77 of term 4; the last that happened is a change of 2026-11-24T00:00:00.000Z",
            "of the last 2 entries",
            "alpha (0000000000000001) at 10.0.0.1:7433: this node",
            "beta (0000000000000002) at 10.0.0.1:7433: does not answer",
            "gamma (0000000000000003) at 10.0.0.1:7433: answers",
            "is LOST",
        ] {
            assert!(text.contains(part), "'{part}' should be in:\n{text}");
        }
    }

    #[test]
    fn the_name_of_the_node_has_to_be_right() {
        assert!(confirm(&guide(), Some("alpha")).is_ok());
        let refused = confirm(&guide(), Some("beta")).unwrap_err().to_string();
        assert!(refused.starts_with("nothing was changed: this node is alpha"), "{refused}");
    }
}

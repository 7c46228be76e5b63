//! What a person asked for: flags over a file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use skein_core::session::SessionSpec;

use crate::api::NodeStatus;
use crate::cli::session::claim::{Bind, Claim};

/// The largest session file that is read, in bytes: a page of settings, not data.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A session's claim from the command line: `-f FILE`, and flags over it.
#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ClaimArgs {
    /// Session file, in TOML: its keys are the names of these flags; flags are stronger
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: Claim,
}

/// All that a person asked for, and the file that was part of it.
#[derive(Debug)]
pub(crate) struct Asked {
    claim: Claim,
    file: Option<PathBuf>,
}

impl ClaimArgs {
    /// The flags over the file.
    pub(crate) fn read(self) -> anyhow::Result<Asked> {
        let claim = match &self.file {
            Some(file) => self.flags.over(read(file)?),
            None => self.flags,
        };
        Ok(Asked { claim, file: self.file })
    }
}

impl Asked {
    /// Whether it is bound to a node, which has to be found among those of the mesh.
    pub(crate) fn names_a_node(&self) -> bool {
        matches!(self.claim.bind, Some(Bind::To { .. }))
    }

    /// What is asked for. `nodes` are those of the mesh.
    pub(crate) fn spec(self, nodes: &[NodeStatus]) -> anyhow::Result<SessionSpec> {
        let spec = self.claim.spec(nodes);
        match self.file {
            Some(file) => spec.with_context(|| format!("the session file {} with these flags", file.display())),
            None => spec,
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Claim> {
    let shown = path.display();
    let unreadable = || format!("cannot read the session file {shown}");
    let mut text = String::new();
    // One byte more than may be: a file that goes on is seen, and a pipe that never ends is left.
    let file = File::open(path).with_context(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("the session file {shown} has more than {FILE_BYTES_MAX} bytes, which no session needs");
    }
    toml::from_str(&text).map_err(|error| anyhow::anyhow!("the session file {shown} is wrong: {error}"))
}

//! `skein device`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use skein_targets::{Device, Finder};

use crate::cli::{Common, find};
use list::MeshDevices;
use own::{OwnDevice, OwnDevices};

mod list;
mod own;

/// What `skein device` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Show every device of the mesh, or, with --root, of one machine without an agent
    List(ListArgs),
    /// Show all that one device of this machine says of itself; no agent is asked
    Show(ShowArgs),
}

/// What `skein device list` takes.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Look at the machine whose /proc, /sys and the rest lie here: / for this one, or a recording of another
    #[arg(long, value_name = "PATH")]
    root: Option<PathBuf>,
}

/// What `skein device show` takes.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The device, by its name in `skein device list --root /`
    device: String,
    /// Look at the machine whose /proc, /sys and the rest lie here
    #[arg(long, value_name = "PATH", default_value = "/")]
    root: PathBuf,
}

pub(crate) async fn run(common: &Common, command: DeviceCommand) -> anyhow::Result<ExitCode> {
    match command {
        DeviceCommand::List(ListArgs { root: Some(root) }) => common.output().show(&OwnDevices(look(&root)?))?,
        DeviceCommand::List(ListArgs { root: None }) => {
            let client = common.connect().await;
            let client = client
                .context("no agent to ask for the mesh's devices (`--root /` shows this machine's own without one)")?;
            common.output().show(&MeshDevices::of(&find::mesh(&client).await?))?;
        }
        DeviceCommand::Show(ShowArgs { device, root }) => common.output().show(&one(look(&root)?, &device)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn look(root: &Path) -> anyhow::Result<Vec<Device>> {
    if !["proc", "sys"].iter().any(|folder| root.join(folder).is_dir()) {
        bail!(
            "{} has neither `proc` nor `sys`: give --root the root folder of a machine, as in --root /",
            root.display()
        );
    }
    Ok(Finder::new(root).find())
}

fn one(devices: Vec<Device>, name: &str) -> anyhow::Result<OwnDevice> {
    let known: Vec<String> = devices.iter().map(|device| device.name.clone()).collect();
    let found = devices.into_iter().find(|device| device.name == name);
    found
        .map(OwnDevice)
        .ok_or_else(|| anyhow::anyhow!("this machine has no device '{name}'; it has: {}", known.join(", ")))
}

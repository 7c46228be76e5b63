//! `skein model`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use skein_targets::TensorSpec;

use crate::api::{Answer, ModelAdded, ModelStatus, Request};
use crate::cli::Common;
use crate::cli::output::{Show, bytes, table};
use crate::client::read_manifest;

/// What `skein model` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Check a model, and make it known to the mesh
    Add(AddArgs),
    /// Show the models of the mesh
    List,
}

/// What `skein model add` takes.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The model, in ONNX
    file: PathBuf,
    /// What to call it
    #[arg(long)]
    name: String,
    /// What goes in and comes out [default: the TOML file of the same name beside FILE, where there is one; else tensors]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

pub(crate) async fn run(common: &Common, command: ModelCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelCommand::Add(arguments) => add(common, arguments).await,
        ModelCommand::List => list(common).await,
    }
}

async fn add(common: &Common, arguments: AddArgs) -> anyhow::Result<ExitCode> {
    let (manifest, labels) = read_manifest(&arguments.file, arguments.manifest.as_deref())?;
    let client = common.connect().await?;
    let answer = client.add_model(&arguments.name, &arguments.file, manifest, labels.as_deref()).await;
    let Answer::Model(added) = answer.with_context(|| format!("cannot add {}", arguments.file.display()))? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&added)?;
    Ok(ExitCode::SUCCESS)
}

async fn list(common: &Common) -> anyhow::Result<ExitCode> {
    let client = common.connect().await?;
    let Answer::Models(models) = client.ask(Request::ModelList).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&models)?;
    Ok(ExitCode::SUCCESS)
}

impl Show for ModelAdded {
    fn table(&self) -> String {
        let tensors = |specs: &[TensorSpec]| specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let known = if self.known { "was there already" } else { "is added" };
        format!("Model {} {known}\n  takes {}\n  gives {}", self.model, tensors(&self.inputs), tensors(&self.outputs))
    }

    fn quiet(&self) -> String {
        self.model.to_string()
    }
}

impl Show for Vec<ModelStatus> {
    fn table(&self) -> String {
        if self.is_empty() {
            return "No model yet: add one with `skein model add FILE --name NAME`.".into();
        }
        let row = |model: &ModelStatus| {
            let digest = model.digest.chars().take(12).collect();
            [model.model.to_string(), bytes(model.size), model.sessions.to_string(), digest]
        };
        table(["MODEL", "SIZE", "SESSIONS", "DIGEST"], self.iter().map(row).collect())
    }

    fn quiet(&self) -> String {
        self.iter().map(|model| format!("{}\n", model.model)).collect()
    }
}

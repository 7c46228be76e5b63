//! `skein model`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use skein_core::model::ModelQuery;
use skein_targets::{TensorSpec, pack_ir};
use tempfile::NamedTempFile;

use crate::api::{Answer, ModelAdded, ModelShown, ModelStatus, Request};
use crate::cli::Common;
use crate::cli::output::{Show, bytes, table};
use crate::client::read_manifest;

mod profile;

/// What `skein model` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Check a model, and make it known to the mesh
    Add(AddArgs),
    /// Show the models of the mesh
    List,
    /// Show what a model takes and gives, and what runs it on the asked node: each target tries it
    Show {
        /// NAME for its newest version, NAME@2 for one
        #[arg(value_name = "NAME[@VERSION]")]
        model: ModelQuery,
    },
    /// Show how fast models were measured to run, on each device where they did
    Profile {
        /// NAME for all of its versions, NAME@2 for one [default: every model]
        #[arg(value_name = "NAME[@VERSION]")]
        model: Option<ModelQuery>,
    },
}

/// What `skein model add` takes.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The model: ONNX, or the graph (.xml) of an OpenVINO IR with its weights (.bin) beside it
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
        ModelCommand::Show { model } => show(common, model).await,
        ModelCommand::Profile { model } => profile::run(common, model).await,
    }
}

async fn add(common: &Common, arguments: AddArgs) -> anyhow::Result<ExitCode> {
    let (manifest, labels) = read_manifest(&arguments.file, arguments.manifest.as_deref())?;
    let client = common.connect().await?;
    let packed = packed(&arguments.file)?;
    let file = packed.as_ref().map_or(&*arguments.file, NamedTempFile::path);
    let answer = client.add_model(&arguments.name, file, manifest, labels.as_deref()).await;
    let Answer::Model(added) = answer.with_context(|| format!("cannot add {}", arguments.file.display()))? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&added)?;
    Ok(ExitCode::SUCCESS)
}

/// An OpenVINO IR as one file, which is what the mesh knows a model by; none for any other model.
fn packed(file: &Path) -> anyhow::Result<Option<NamedTempFile>> {
    if file.extension().is_none_or(|end| end != "xml") {
        return Ok(None);
    }
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (graph, weights) = (read(file)?, read(&file.with_extension("bin"))?);
    let mut packed = NamedTempFile::new().context("no room to put the two files of the model into one")?;
    packed.write_all(&pack_ir(&graph, &weights)).context("cannot put the two files of the model into one")?;
    Ok(Some(packed))
}

async fn list(common: &Common) -> anyhow::Result<ExitCode> {
    let client = common.connect().await?;
    let Answer::Models(models) = client.ask(Request::ModelList).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&models)?;
    Ok(ExitCode::SUCCESS)
}

async fn show(common: &Common, model: ModelQuery) -> anyhow::Result<ExitCode> {
    let Answer::ModelShown(shown) = common.connect().await?.show_model(model).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&*shown)?;
    Ok(ExitCode::SUCCESS)
}

impl Show for ModelShown {
    fn table(&self) -> String {
        let digest: String = self.digest.chars().take(12).collect();
        let row = |what: &str, spec: &TensorSpec| {
            let shape = spec.shape.iter().map(|axis| axis.map_or_else(|| "any".into(), |length| length.to_string()));
            let shape = format!("[{}]", shape.collect::<Vec<String>>().join(", "));
            [what.to_owned(), spec.name.clone(), spec.element.to_string(), shape]
        };
        let inputs = self.inputs.iter().map(|spec| row("takes", spec));
        let rows = inputs.chain(self.outputs.iter().map(|spec| row("gives", spec))).collect();
        let runs = self.runs.iter().map(|run| match &run.error {
            None => format!("{} runs it\n", run.target),
            Some(error) => format!("{} does not: {error}\n", run.target),
        });
        let manifest = if self.manifest.is_empty() { "none: tensors in, tensors out" } else { &self.manifest };
        format!(
            "Model {}, {}, {digest}, sessions: {}\n\n{}\nOn the asked node:\n{}\nManifest:\n{manifest}",
            self.model,
            bytes(self.size),
            self.sessions,
            table(["", "NAME", "TYPE", "SHAPE"], rows),
            runs.collect::<String>(),
        )
    }

    fn quiet(&self) -> String {
        self.runs.iter().filter(|run| run.error.is_none()).map(|run| format!("{}\n", run.target)).collect()
    }
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

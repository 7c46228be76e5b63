//! A model, from its file to its answers.

use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, best_classes};
use crate::error::{LoadError, RunError};
use crate::guard::guarded;
use crate::manifest::{InputSpec, Manifest, OutputSpec};
use crate::picture;
use crate::place::Place;
use crate::program::Program;
use crate::progress::Progress;
use crate::target::{Loaded, Order, TargetKind};
use crate::tensor::{ElementType, Tensor, TensorSpec, TensorView};

/// The longest model file that is read, in bytes: protobuf, and so ONNX, ends at 2 GiB.
pub const MODEL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// What a model is made from.
#[derive(Debug, Clone)]
pub struct ModelSource<'a> {
    /// The ONNX file, or what [`crate::pack_ir`] made of an OpenVINO IR. Weights in other files beside it are not read.
    pub file: &'a Path,
    pub manifest: Manifest,
    /// The lines of [`Manifest::labels_file`]; empty if it names none.
    pub labels: Vec<String>,
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDescription {
    /// At least one.
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

/// One task's input.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// An encoded picture, PNG or JPEG.
    Picture(&'a [u8]),
    /// A tensor for the model's one input.
    Tensor(TensorView<'a>),
    /// A tensor for each of the model's inputs, in their order.
    Tensors(&'a [TensorView<'a>]),
}

/// A model that is ready to run. Runs may come from several threads; each then works on its own memory.
#[derive(Debug)]
pub struct Model {
    target: TargetKind,
    loaded: Loaded,
    manifest: Manifest,
    labels: Vec<String>,
}

impl Model {
    /// Reads, checks and prepares a model. Call it in a worker process only: see the notes on this crate.
    pub fn load(target: TargetKind, source: ModelSource<'_>, place: &Place) -> Result<Model, LoadError> {
        let ModelSource { file: path, manifest, labels } = source;
        manifest.check()?;
        let picture_shape = match &manifest.input {
            InputSpec::Picture(picture) => Some(picture.tensor_shape()),
            InputSpec::Tensor => None,
        };
        let classes = matches!(manifest.output, OutputSpec::Classes { .. }).then_some(labels.len());
        let order = Order { path, file: open(path)?, manifest: &manifest, place, picture_shape, classes };
        let crashed = |reason| LoadError::Crashed { file: path.to_owned(), target, reason };
        let loaded = guarded(|| Loaded::load(target, order), crashed)?;
        Model::checked(target, loaded, path, manifest, labels)
    }

    /// The same for a model that a program has loaded.
    pub fn of_program(program: Program, source: ModelSource<'_>) -> Result<Model, LoadError> {
        source.manifest.check()?;
        if let InputSpec::Picture(picture) = &source.manifest.input {
            program.check_picture(&source, picture.tensor_shape())?;
        }
        let ModelSource { file, manifest, labels } = source;
        Model::checked(TargetKind::Process, Loaded::Process(program), file, manifest, labels)
    }

    fn checked(
        target: TargetKind,
        loaded: Loaded,
        path: &Path,
        manifest: Manifest,
        labels: Vec<String>,
    ) -> Result<Model, LoadError> {
        if loaded.description().inputs.is_empty() {
            let reason = "it has no input: it would answer every task alike".into();
            return Err(LoadError::Unsuitable { file: path.to_owned(), reason });
        }
        let contradiction = |reason| LoadError::Contradiction { file: path.to_owned(), reason };
        check_labels(&manifest.output, &labels, loaded.description()).map_err(contradiction)?;
        Ok(Model { target, loaded, manifest, labels })
    }

    pub fn target(&self) -> TargetKind {
        self.target
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn description(&self) -> &ModelDescription {
        self.loaded.description()
    }

    /// Whether [`Model::warm_up`] runs anything.
    pub fn is_warmed_up(&self) -> bool {
        self.description().inputs.iter().all(|input| input.fixed_shape().is_some())
    }

    /// One run on zeros, so that the first task does not pay for what a target puts off. A model that leaves an axis
    /// open is not warmed up: no length can be guessed that it surely takes.
    pub fn warm_up(&self) -> Result<(), RunError> {
        let inputs = &self.description().inputs;
        let shapes: Option<Vec<Vec<usize>>> = inputs.iter().map(TensorSpec::fixed_shape).collect();
        let Some(shapes) = shapes else {
            return Ok(());
        };
        let zeros = inputs.iter().zip(shapes).map(|(input, shape)| Tensor::zeros(input.element, shape));
        let zeros = zeros.collect::<Result<Vec<_>, _>>()?;
        let views: Vec<TensorView<'_>> = zeros.iter().map(Tensor::view).collect();
        let mut progress = Progress { from: None, keep: &mut |_| {} };
        self.guarded(|| self.loaded.run(&views, &mut progress)).map(drop)
    }

    /// Runs one task from its beginning to its end.
    pub fn run(&self, input: Input<'_>) -> Result<Answer, RunError> {
        self.run_from(input, Progress { from: None, keep: &mut |_| {} })
    }

    /// Runs one task from where an earlier attempt came to.
    pub fn run_from(&self, input: Input<'_>, mut progress: Progress<'_>) -> Result<Answer, RunError> {
        self.guarded(|| {
            let outputs = match (input, &self.manifest.input) {
                (Input::Picture(encoded), InputSpec::Picture(spec)) => {
                    let tensor = picture::prepare(encoded, spec)?;
                    self.loaded.run(&[tensor.view()], &mut progress)?
                }
                (Input::Tensor(tensor), InputSpec::Tensor) => self.run_tensors(&[tensor], &mut progress)?,
                (Input::Tensors(tensors), InputSpec::Tensor) => self.run_tensors(tensors, &mut progress)?,
                (Input::Tensor(_) | Input::Tensors(_), InputSpec::Picture(_)) => {
                    return Err(RunError::WrongKind { expected: "a picture (PNG or JPEG)", got: "a tensor" });
                }
                (Input::Picture(_), InputSpec::Tensor) => {
                    return Err(RunError::WrongKind {
                        expected: "a tensor (its manifest names no picture)",
                        got: "a picture",
                    });
                }
            };
            self.answer(outputs)
        })
    }

    fn run_tensors(&self, tensors: &[TensorView<'_>], progress: &mut Progress<'_>) -> Result<Vec<Tensor>, RunError> {
        let inputs = &self.description().inputs;
        if inputs.len() != tensors.len() {
            return Err(RunError::WrongCount { expected: inputs.clone(), got: tensors.len() });
        }
        for (input, tensor) in inputs.iter().zip(tensors) {
            input.check(tensor)?;
        }
        self.loaded.run(tensors, progress)
    }

    fn answer(&self, outputs: Vec<Tensor>) -> Result<Answer, RunError> {
        match (&self.manifest.output, outputs.first()) {
            (OutputSpec::Classes { top, .. }, Some(scores)) => {
                best_classes(scores, &self.labels, *top).map(Answer::Classes)
            }
            _ => Ok(Answer::Tensors(outputs)),
        }
    }

    fn guarded<T>(&self, work: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
        guarded(work, |reason| RunError::Crashed { target: self.target, reason })
    }
}

fn open(path: &Path) -> Result<File, LoadError> {
    let unreadable = |source| LoadError::Read { file: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > MODEL_BYTES_MAX {
        return Err(LoadError::TooLarge { file: path.to_owned(), bytes });
    }
    Ok(file)
}

/// Whether the first output is one f32 score for each label.
fn check_labels(output: &OutputSpec, labels: &[String], model: &ModelDescription) -> Result<(), String> {
    let OutputSpec::Classes { labels: file, .. } = output else {
        return Ok(());
    };
    let Some(scores) = model.outputs.first() else {
        return Err("it names classes, but the model has no output".into());
    };
    if scores.element != ElementType::F32 {
        return Err(format!("classes need f32 scores, but the model's first output is {scores}"));
    }
    let Some(shape) = scores.fixed_shape() else {
        return Err(format!("classes need a fixed number of scores, but the model's first output is {scores}"));
    };
    let classes: usize = shape.iter().product();
    if classes != labels.len() {
        return Err(format!(
            "{file} has {} labels, but the model's first output {scores} has {classes} classes",
            labels.len()
        ));
    }
    Ok(())
}

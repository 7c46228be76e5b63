//! The one table of targets: a new way to run models is a line in each function here, and a module beside this one.

#[cfg(target_pointer_width = "32")]
mod no_openvino;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LoadError, RunError};
use crate::manifest::Manifest;
use crate::model::ModelDescription;
use crate::onnxruntime::OnnxruntimeModel;
#[cfg(target_pointer_width = "64")]
use crate::openvino::OpenvinoModel;
use crate::place::Place;
use crate::program::Program;
use crate::progress::Progress;
use crate::simulated::SimulatedModel;
use crate::tensor::{Tensor, TensorView};
use crate::tract::TractModel;
#[cfg(target_pointer_width = "32")]
use no_openvino::OpenvinoModel;

/// A way to run a model on a kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// tract: pure Rust, on any CPU.
    Tract,
    /// ONNX Runtime, where its library is installed: any CPU, and NVIDIA's GPUs.
    Onnxruntime,
    /// OpenVINO, where its library is installed: Intel's and ARM's CPUs, and whatever it has a plugin for.
    Openvino,
    /// Another program on the machine, which its operator names; not in [`TargetKind::ALL`], as it is there by that alone.
    Process,
    /// No device at all: it takes its time and computes nothing.
    Simulated,
}

/// A name that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no target `{name}`: use one of {}", known())]
pub struct UnknownTarget {
    pub name: String,
}

impl TargetKind {
    pub const ALL: &[TargetKind] =
        &[TargetKind::Tract, TargetKind::Onnxruntime, TargetKind::Openvino, TargetKind::Simulated];

    pub const fn name(self) -> &'static str {
        match self {
            TargetKind::Tract => "tract",
            TargetKind::Onnxruntime => "onnxruntime",
            TargetKind::Openvino => "openvino",
            TargetKind::Process => "process",
            TargetKind::Simulated => "simulated",
        }
    }

    /// Whether its answers are the model's.
    pub const fn computes(self) -> bool {
        !matches!(self, TargetKind::Simulated)
    }

    /// The shared library that it needs on the machine; none where all of it is in this program.
    pub const fn library_name(self) -> Option<&'static str> {
        match self {
            TargetKind::Tract | TargetKind::Process | TargetKind::Simulated => None,
            TargetKind::Onnxruntime => Some("libonnxruntime.so"),
            TargetKind::Openvino => Some("libopenvino_c.so"),
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TargetKind {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<TargetKind, UnknownTarget> {
        let found = TargetKind::ALL.iter().copied().find(|target| target.name() == name);
        found.ok_or_else(|| UnknownTarget { name: name.to_owned() })
    }
}

fn known() -> String {
    TargetKind::ALL.iter().map(|target| target.name()).collect::<Vec<_>>().join(", ")
}

/// What every target is asked to load: an opened model file, its name for errors, its manifest and what that makes of
/// the input's shape, and what to run it with.
pub(crate) struct Order<'a> {
    pub(crate) path: &'a Path,
    pub(crate) file: File,
    pub(crate) manifest: &'a Manifest,
    pub(crate) place: &'a Place,
    pub(crate) picture_shape: Option<[usize; 4]>,
    /// How many classes the manifest's labels name; none where the answer has none.
    pub(crate) classes: Option<usize>,
}

/// A model in the hands of its target.
#[derive(Debug)]
pub(crate) enum Loaded {
    Tract(TractModel),
    Onnxruntime(OnnxruntimeModel),
    Openvino(OpenvinoModel),
    Process(Program),
    Simulated(SimulatedModel),
}

impl Loaded {
    pub(crate) fn load(target: TargetKind, order: Order<'_>) -> Result<Loaded, LoadError> {
        match target {
            TargetKind::Tract => TractModel::load(order).map(Loaded::Tract),
            TargetKind::Onnxruntime => OnnxruntimeModel::load(order).map(Loaded::Onnxruntime),
            TargetKind::Openvino => OpenvinoModel::load(order).map(Loaded::Openvino),
            TargetKind::Process => Err(LoadError::Target {
                file: order.path.to_owned(),
                target,
                step: "start",
                reason: "no program was started for it".into(),
            }),
            TargetKind::Simulated => SimulatedModel::load(&order).map(Loaded::Simulated),
        }
    }

    pub(crate) fn description(&self) -> &ModelDescription {
        match self {
            Loaded::Tract(model) => model.description(),
            Loaded::Onnxruntime(model) => model.description(),
            Loaded::Openvino(model) => model.description(),
            Loaded::Process(program) => &program.description,
            Loaded::Simulated(model) => model.description(),
        }
    }

    /// Runs tensors that have been checked against the description.
    pub(crate) fn run(&self, inputs: &[TensorView<'_>], progress: &mut Progress<'_>) -> Result<Vec<Tensor>, RunError> {
        match self {
            Loaded::Tract(model) => model.run(inputs),
            Loaded::Onnxruntime(model) => model.run(inputs),
            Loaded::Openvino(model) => model.run(inputs),
            Loaded::Process(program) => program.run(inputs, progress),
            Loaded::Simulated(model) => model.run(progress),
        }
    }
}

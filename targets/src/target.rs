//! The one table of targets: a new way to run models is a line in each function here, and a module beside this one.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{LoadError, RunError};
use crate::model::ModelDescription;
use crate::tensor::{Tensor, TensorView};
use crate::tract::TractModel;

/// A way to run a model on a kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// tract: pure Rust, on any CPU.
    Tract,
}

/// A name that is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no target `{name}`: use one of {}", known())]
pub struct UnknownTarget {
    pub name: String,
}

impl TargetKind {
    pub const ALL: &[TargetKind] = &[TargetKind::Tract];

    pub const fn name(self) -> &'static str {
        match self {
            TargetKind::Tract => "tract",
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

/// What every target is asked to load: an opened model file, its name for errors, and the shape that the input must
/// have if the manifest says so.
pub(crate) struct Order<'a> {
    pub(crate) path: &'a Path,
    pub(crate) file: File,
    pub(crate) picture_shape: Option<[usize; 4]>,
}

/// A model in the hands of its target.
#[derive(Debug)]
pub(crate) enum Loaded {
    Tract(TractModel),
}

impl Loaded {
    pub(crate) fn load(target: TargetKind, order: Order<'_>) -> Result<Loaded, LoadError> {
        match target {
            TargetKind::Tract => TractModel::load(order).map(Loaded::Tract),
        }
    }

    pub(crate) fn description(&self) -> &ModelDescription {
        match self {
            Loaded::Tract(model) => model.description(),
        }
    }

    /// Runs a tensor that has been checked against the description.
    pub(crate) fn run(&self, input: &TensorView<'_>) -> Result<Vec<Tensor>, RunError> {
        match self {
            Loaded::Tract(model) => model.run(input),
        }
    }
}

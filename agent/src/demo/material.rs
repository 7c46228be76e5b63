//! The bundled model and pictures, and what is right.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::Deserialize;

/// The file in which the right answers stand; where it is, the material is.
const EXPECTED: &str = "pictures/expected.toml";

/// What the demo works with.
#[derive(Debug)]
pub(super) struct Material {
    /// The model, with its manifest beside it.
    pub(super) model: PathBuf,
    pub(super) model_name: String,
    pub(super) score_tolerance: f32,
    pub(super) pictures: Vec<Picture>,
}

/// One picture and what is in it.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) expected: ExpectedPicture,
    pub(super) encoded: Bytes,
}

#[derive(Debug, Deserialize)]
struct Expected {
    model: String,
    score_tolerance: f32,
    picture: Vec<ExpectedPicture>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExpectedPicture {
    pub(super) file: String,
    pub(super) class: u32,
    pub(super) label: String,
    pub(super) score: f32,
}

impl Material {
    /// The material in this directory, or in the first place where it usually is.
    pub(super) fn find(directory: Option<&Path>) -> anyhow::Result<Self> {
        let directory = match directory {
            Some(directory) => directory.to_owned(),
            None => usual_place().context(
                "cannot find the demo's model and pictures: run it inside a clone of the repository, or give --material DIR",
            )?,
        };
        let path = directory.join(EXPECTED);
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let text = String::from_utf8(read(&path)?).with_context(|| format!("{} is no text", path.display()))?;
        let expected: Expected = toml::from_str(&text).with_context(|| format!("{} is wrong", path.display()))?;
        let picture = |expected: ExpectedPicture| {
            let encoded = read(&path.with_file_name(&expected.file))?.into();
            Ok(Picture { expected, encoded })
        };
        let pictures = expected.picture.into_iter().map(picture).collect::<anyhow::Result<Vec<_>>>()?;
        if pictures.is_empty() {
            bail!("{} names no picture", path.display());
        }
        Ok(Self {
            model: directory.join("models").join(&expected.model).with_extension("onnx"),
            model_name: expected.model,
            score_tolerance: expected.score_tolerance,
            pictures,
        })
    }
}

/// `material` in the working directory or above it (a clone), or above the program, or where packages put it.
fn usual_place() -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let above = [here, program]
        .into_iter()
        .flatten()
        .flat_map(|path| path.ancestors().map(|ancestor| ancestor.join("material")).collect::<Vec<_>>());
    above.chain([PathBuf::from("/usr/share/skein/material")]).find(|place| place.join(EXPECTED).is_file())
}

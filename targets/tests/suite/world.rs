//! What the tests tell their stories with.

use std::path::{Path, PathBuf};

use skein_targets::{Answer, Class, ElementType, Input, LoadError, Manifest, Model, ModelSource, RunError};
use skein_targets::{TargetKind, Tensor, TensorView, parse_labels};

/// A file of this crate's `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file of the bundled material.
pub(crate) fn material(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../material").join(name)
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn text(path: &Path) -> String {
    String::from_utf8(read(path)).expect("a text file")
}

/// The manifest of the small colour models, whose "classes" are the mean red, green and blue of an 8 x 8 picture.
pub(crate) fn colours(layout: &str, resize: &str) -> Manifest {
    let text = format!(
        "[input.picture]\nwidth = 8\nheight = 8\nlayout = \"{layout}\"\nmean = [0, 0, 0]\nstd = [255, 255, 255]\n\
         resize = {resize}\n[output.classes]\nlabels = \"colours.txt\"\ntop = 3\n"
    );
    Manifest::parse(&text).expect("a right manifest")
}

pub(crate) fn colour_labels() -> Vec<String> {
    parse_labels("red\ngreen\nblue\n").expect("right labels")
}

pub(crate) fn load(file: &Path, manifest: Manifest, labels: Vec<String>) -> Result<Model, LoadError> {
    Model::load(TargetKind::Tract, ModelSource { file, manifest, labels })
}

/// A model of tensors in, tensors out.
pub(crate) fn raw(file: &Path) -> Model {
    load(file, Manifest::default(), Vec::new()).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn refused(file: &Path) -> LoadError {
    load(file, Manifest::default(), Vec::new()).expect_err("a model that must be refused")
}

/// The bundled classifier, as `skein model add` would load it.
pub(crate) fn classifier() -> Model {
    let manifest = Manifest::parse(&text(&material("models/efficientnet-lite0.toml"))).expect("the bundled manifest");
    let labels = material("models").join(manifest.labels_file().expect("the bundled manifest has labels"));
    let labels = parse_labels(&text(&labels)).expect("the bundled labels");
    load(&material("models/efficientnet-lite0.onnx"), manifest, labels).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(crate) fn run(model: &Model, element: ElementType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, RunError> {
    match model.run(Input::Tensor(TensorView { element, shape, bytes }))? {
        Answer::Tensors(mut outputs) if outputs.len() == 1 => Ok(outputs.remove(0)),
        other => panic!("expected one tensor, got {other:?}"),
    }
}

pub(crate) fn classes(model: &Model, encoded: &[u8]) -> Result<Vec<Class>, RunError> {
    match model.run(Input::Picture(encoded))? {
        Answer::Classes(classes) => Ok(classes),
        Answer::Tensors(tensors) => panic!("expected classes, got {tensors:?}"),
    }
}

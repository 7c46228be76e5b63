//! The bundled model and pictures, and what is right.

use std::path::{Path, PathBuf};

/// Each picture with the label that is right for it.
pub const PICTURES: [(&str, &str); 4] =
    [("coffee.png", "espresso"), ("camera.png", "tripod"), ("chelsea.png", "Egyptian Mau"), ("rocket.jpg", "missile")];

/// Each coloured picture with the colour that it has most of.
pub const COLOURS: [(&str, &str); 3] = [("coffee.png", "red"), ("chelsea.png", "red"), ("rocket.jpg", "blue")];

/// What the model of colours takes and gives: so little work that what is measured around it is the mesh.
pub const COLOURS_MANIFEST: &str = "\
[input.picture]
width = 8
height = 8
layout = 'nchw'
mean = [0, 0, 0]
std = [255, 255, 255]
resize = 'stretch'

[output.classes]
labels = 'colours.txt'
top = 1
";

/// The bundled material.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../material")
}

/// The real model.
pub fn model() -> PathBuf {
    directory().join("models/efficientnet-lite0.onnx")
}

/// A picture.
pub fn picture(file: &str) -> PathBuf {
    directory().join("pictures").join(file)
}

/// The paths of so many pictures, round and round.
pub fn pictures(count: usize) -> Vec<String> {
    let files = PICTURES.iter().cycle().take(count);
    files.map(|(file, _)| picture(file).to_str().expect("test paths are UTF-8").to_owned()).collect()
}

/// The right label for a path that [`pictures`] gave.
pub fn right_label(path: &str) -> &'static str {
    let known = PICTURES.iter().find(|(file, _)| path.ends_with(file));
    known.expect("it is one of the bundled pictures").1
}

/// A model that the tests of the targets made.
pub fn test_model(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../targets/tests/data").join(file)
}

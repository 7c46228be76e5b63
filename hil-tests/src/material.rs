//! The bundled model and pictures, and what is right.

use std::path::{Path, PathBuf};

/// Each picture with the label that is right for it.
pub const PICTURES: [(&str, &str); 4] =
    [("coffee.png", "espresso"), ("camera.png", "tripod"), ("chelsea.png", "Egyptian Mau"), ("rocket.jpg", "missile")];

/// Each coloured photograph with the colour that it has most of. One takes a worker some milliseconds.
const PHOTOGRAPHS: [(&str, &str); 3] = [("coffee.png", "red"), ("chelsea.png", "red"), ("rocket.jpg", "blue")];

/// Pictures of one pixel, by their colours: for a network that carries little.
const PIXELS: [(&str, &[u8]); 3] = [
    ("red", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\xdac\xf8\xcf\xc0\0\0\x03\x01\x01\0\xf7\x03AC\0\0\0\0IEND\xaeB`\x82"),
    ("green", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\xdac`\xf8\xcf\0\0\x02\x02\x01\0E\xf4R\xd4\0\0\0\0IEND\xaeB`\x82"),
    ("blue", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\x0cIDATx\xdac``\xf8\x0f\0\x01\x03\x01\x006t\x11@\0\0\0\0IEND\xaeB`\x82"),
];

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

/// What a load is made of: pictures, each with the colour that is right for it.
pub type Colours = Vec<(PathBuf, &'static str)>;

/// The coloured photographs.
pub fn photographs() -> Colours {
    PHOTOGRAPHS.map(|(file, colour)| (picture(file).canonicalize().expect("the pictures are there"), colour)).into()
}

/// The pixels, written into a directory.
pub fn pixels(directory: &Path) -> Colours {
    let write = |(colour, png): (&'static str, &[u8])| {
        let file = directory.join(format!("{colour}.png"));
        std::fs::write(&file, png).expect("the directory can be written to");
        (file, colour)
    };
    PIXELS.map(write).into()
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

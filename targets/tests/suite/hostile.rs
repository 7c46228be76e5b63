//! Damaged and made-up bytes: an answer or an error, never a panic that gets out, and the model works on afterwards.
//!
//! Each loop is seeded by its round, which a failure prints: the round alone makes the bytes again.

use std::path::Path;

use skein_targets::{ElementType, Input, Manifest, Model, TargetKind, TensorSpec};

use crate::world::{classes, colour_labels, colours, data, floats, load, load_on, material, raw, read, run, targets};

/// Enough to reach most branches of a decoder, and still quick in a debug build.
const ROUNDS: u64 = 400;

/// A few bytes changed, or a piece cut out, or the end cut off.
fn damaged(whole: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match random.u8(0..4) {
        0 => bytes.truncate(random.usize(..bytes.len())),
        1 => {
            let start = random.usize(..bytes.len());
            let end = (start + random.usize(1..64)).min(bytes.len());
            bytes.drain(start..end);
        }
        _ => {
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
        }
    }
    bytes
}

fn survives_pictures(whole: &[u8], rounds: u64) {
    let model = load(&data("colour-nchw.onnx"), colours("nchw", "\"stretch\""), colour_labels()).expect("a model");
    let right = classes(&model, whole).expect("an answer");
    for round in 0..rounds {
        let mut random = fastrand::Rng::with_seed(round);
        if let Err(error) = model.run(Input::Picture(&damaged(whole, &mut random))) {
            assert!(!error.to_string().is_empty(), "round {round}");
        }
    }
    assert_eq!(classes(&model, whole).expect("an answer"), right);
}

#[test]
fn damaged_pngs() {
    survives_pictures(&small(image::ImageFormat::Png), ROUNDS);
}

#[test]
fn damaged_jpegs() {
    survives_pictures(&small(image::ImageFormat::Jpeg), ROUNDS);
    survives_pictures(&read(&material("pictures/rocket.jpg")), ROUNDS / 20);
}

#[test]
fn garbage_instead_of_pictures() {
    let model = load(&data("colour-nchw.onnx"), colours("nchw", "\"stretch\""), colour_labels()).expect("a model");
    for round in 0..ROUNDS {
        let mut random = fastrand::Rng::with_seed(round);
        let starts: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF\xE0", b""];
        let tail = std::iter::repeat_with(|| random.u8(..)).take(300);
        let start = starts[usize::try_from(round % 3).expect("below 3")];
        let bytes: Vec<u8> = start.iter().copied().chain(tail).collect();
        model.run(Input::Picture(&bytes)).expect_err("garbage");
    }
}

#[test]
fn damaged_models() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.onnx");
    let names = ["dynamic-batch", "colour-nchw", "colour-nhwc", "dynamic-length", "two-inputs", "wrong-shapes"];
    let targets = targets();
    for name in names {
        let whole = read(&data(&format!("{name}.onnx")));
        for round in 0..ROUNDS {
            std::fs::write(&file, damaged(&whole, &mut fastrand::Rng::with_seed(round))).expect("a file");
            in_turn(&targets, round).for_each(|target| use_if_loaded(target, &file));
        }
    }
}

#[test]
fn garbage_instead_of_models() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.onnx");
    let targets = targets();
    for round in 0..ROUNDS {
        let mut random = fastrand::Rng::with_seed(round);
        let length = random.usize(..600);
        std::fs::write(&file, std::iter::repeat_with(|| random.u8(..)).take(length).collect::<Vec<u8>>())
            .expect("a file");
        in_turn(&targets, round).for_each(|target| use_if_loaded(target, &file));
    }
}

/// tract, and each of the others now and then: they take twice as long over a model.
fn in_turn(targets: &[TargetKind], round: u64) -> impl Iterator<Item = TargetKind> {
    targets.iter().copied().filter(move |target| *target == TargetKind::Tract || round.is_multiple_of(5))
}

/// A damaged model may still be a model. One that takes a tensor of modest size is run.
fn use_if_loaded(target: TargetKind, file: &Path) {
    let loaded = load_on(target, file, Manifest::default(), Vec::new());
    let Ok(model) = loaded else { return };
    let elements = |input: &TensorSpec| input.shape.iter().flatten().product::<usize>();
    if model.description().inputs.iter().map(elements).sum::<usize>() < 1_000_000 {
        let _ = model.warm_up();
    }
}

#[test]
fn a_run_that_fails_leaves_the_model_in_order() {
    let model = raw(TargetKind::Tract, &data("dynamic-length.onnx"));
    let right = |model: &Model| run(model, ElementType::F32, &[1, 2], &floats(&[1.0, 2.0])).expect("an answer");
    let first = right(&model);
    for round in 0..50 {
        let mut random = fastrand::Rng::with_seed(round);
        let element = ElementType::ALL[random.usize(..ElementType::ALL.len())];
        let shape: Vec<usize> = (0..random.usize(..4)).map(|_| random.usize(..5)).collect();
        let bytes = vec![0; random.usize(..200)];
        let _ = run(&model, element, &shape, &bytes);
        assert_eq!(right(&model), first, "round {round}");
    }
}

fn small(format: image::ImageFormat) -> Vec<u8> {
    let shade = |n: u32| u8::try_from(n % 256).expect("below 256");
    let picture = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([shade(x * 6), shade(y * 8), shade(x * y)]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("memory takes every picture");
    bytes.into_inner()
}

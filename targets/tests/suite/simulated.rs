//! The simulated device does as its manifest says, and goes on from its own checkpoints.

use std::time::{Duration, Instant};

use skein_targets::{
    Answer, ElementType, Input, Manifest, Model, ModelSource, Place, Progress, TargetKind, TensorView,
};

use crate::world::material;

fn model(manifest: &str) -> Model {
    let manifest = Manifest::parse(manifest).expect("a manifest");
    let file = material("models/trivial.onnx");
    let source = ModelSource { file: &file, manifest, labels: vec![] };
    Model::load(TargetKind::Simulated, source, &Place::default()).expect("it loads")
}

/// What a run answers, and the checkpoints that it wrote.
fn run(model: &Model, from: Option<&[u8]>) -> (Result<[f32; 2], String>, Vec<Vec<u8>>) {
    let mut kept = Vec::new();
    let input = Input::Tensor(TensorView { element: ElementType::F32, shape: &[1, 4], bytes: &[0; 16] });
    let answer = model.run_from(input, Progress { from, keep: &mut |checkpoint| kept.push(checkpoint.to_vec()) });
    let parts = answer.map_err(|error| error.to_string()).map(|answer| {
        let Answer::Tensors(tensors) = answer else { panic!("{answer:?}") };
        let (numbers, _) = tensors[0].bytes().as_chunks::<4>();
        [f32::from_le_bytes(numbers[0]), f32::from_le_bytes(numbers[1])]
    });
    (parts, kept)
}

#[test]
fn a_run_takes_its_time_and_goes_on_from_where_another_came_to() {
    let model = model("[simulated]\nlatency_ms = 40\nsteps = 4\nload_ms = 20\nmemory_mib = 1\n");
    let begin = Instant::now();
    let (whole, kept) = run(&model, None);
    assert!(begin.elapsed() >= Duration::from_millis(40));
    assert_eq!((whole, kept.len()), (Ok([1.0, 0.0]), 3));
    let (rest, further) = run(&model, Some(&kept[1]));
    assert_eq!(rest, Ok([0.5, 0.5]));
    assert_eq!(further, kept[2..]);
    // What is no checkpoint of ours is left alone.
    for strange in [&b"?"[..], &[9, 0, 0, 0], &[0; 64]] {
        assert_eq!(run(&model, Some(strange)).0, Ok([1.0, 0.0]));
    }
}

#[test]
fn it_fails_as_often_as_it_is_told() {
    let model = model("[simulated]\nlatency_ms = 0\nfail_every = 3\n");
    let failed: Vec<bool> = (0..6).map(|_| run(&model, None).0.is_err()).collect();
    assert_eq!(failed, [false, false, true, false, false, true]);
}

#[test]
fn what_no_device_does_is_refused() {
    for (text, field) in [
        ("steps = 0", "steps"),
        ("steps = 10001", "steps"),
        ("latency_ms = 3600001", "latency_ms"),
        ("memory_mib = 65537", "memory_mib"),
        ("latency_ms = -1", "latency_ms"),
        ("speed = 1", "speed"),
    ] {
        let error = Manifest::parse(&format!("[simulated]\n{text}\n")).expect_err(text).to_string();
        assert!(error.contains(field), "{error}");
    }
}

//! Tensors in, tensors out: every type of element, open axes, and what does not fit.

use skein_targets::{
    Answer, ElementType, Input, Manifest, Model, RunError, TargetKind, Tensor, TensorError, TensorView,
};

use crate::world::{data, floats, load_on, material, raw, run, targets};

#[test]
fn the_trivial_model_adds_one() {
    for target in targets() {
        let model = raw(target, &material("models/trivial.onnx"));
        model.warm_up().expect("a run on zeros");
        for _ in 0..3 {
            let output = run(&model, ElementType::F32, &[1, 4], &floats(&[0.0, 1.0, -1.0, 41.0])).expect("an answer");
            assert_eq!((output.element(), output.shape()), (ElementType::F32, &[1, 4][..]), "{target}");
            assert_eq!(output.bytes(), floats(&[1.0, 2.0, 0.0, 42.0]), "{target}");
        }
    }
}

#[test]
fn each_type_of_element_goes_through() {
    let cases: [(&str, ElementType, Vec<u8>, Vec<u8>); 6] = [
        ("double-u8", ElementType::U8, vec![1, 2, 100], vec![2, 4, 200]),
        (
            "double-i32",
            ElementType::I32,
            numbers([1_i32, -2, 3], i32::to_le_bytes),
            numbers([2_i32, -4, 6], i32::to_le_bytes),
        ),
        (
            "double-i64",
            ElementType::I64,
            numbers([1_i64, -2, 1 << 20], i64::to_le_bytes),
            numbers([2_i64, -4, 1 << 21], i64::to_le_bytes),
        ),
        // 1, -2 and 0.5 in half precision, and their doubles.
        (
            "double-f16",
            ElementType::F16,
            numbers([0x3C00_u16, 0xC000, 0x3800], u16::to_le_bytes),
            numbers([0x4000_u16, 0xC400, 0x3C00], u16::to_le_bytes),
        ),
        (
            "double-f64",
            ElementType::F64,
            numbers([1.0_f64, -2.0, 0.5], f64::to_le_bytes),
            numbers([2.0_f64, -4.0, 1.0], f64::to_le_bytes),
        ),
        ("not-bool", ElementType::Bool, vec![0, 1, 0], vec![1, 0, 1]),
    ];
    for target in targets() {
        for (name, element, input, expected) in &cases {
            let model = raw(target, &data(&format!("{name}.onnx")));
            let output = run(&model, *element, &[3], input);
            let output = output.unwrap_or_else(|error| panic!("{name} on {target}: {error}"));
            assert_eq!((output.element(), output.bytes()), (*element, &expected[..]), "{name} on {target}");
        }
    }
}

/// OpenVINO computes with 32 bits whatever the model says: rather no answer than another one.
#[test]
fn a_large_whole_number_is_kept_or_refused() {
    for target in targets() {
        let model = raw(target, &data("double-i64.onnx"));
        let answer = run(&model, ElementType::I64, &[3], &numbers([1_i64, -2, 1 << 40], i64::to_le_bytes));
        if target == TargetKind::Openvino {
            let refused = answer.expect_err("a number of more than 32 bits");
            assert!(matches!(refused, RunError::Range { number: 0x100_0000_0000, .. }), "{refused:?}");
            assert!(refused.is_inputs_fault(), "it would fail on any node");
        } else {
            let right = numbers([2_i64, -4, 1 << 41], i64::to_le_bytes);
            assert_eq!(answer.expect("an answer").bytes(), right, "{target}");
        }
    }
}

fn numbers<T, const N: usize>(numbers: [T; 3], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.into_iter().flat_map(bytes).collect()
}

#[test]
fn an_open_batch_becomes_one() {
    for target in targets() {
        let model = raw(target, &data("dynamic-batch.onnx"));
        assert_eq!(model.description().inputs[0].shape, [Some(1), Some(4)], "{target}");
        assert_eq!(model.description().outputs[0].shape, [Some(1), Some(4)], "{target}");
        let output = run(&model, ElementType::F32, &[1, 4], &floats(&[1.0; 4])).expect("an answer");
        assert_eq!(output.bytes(), floats(&[2.0; 4]), "{target}");
    }
}

#[test]
fn any_other_open_axis_stays_open() {
    for target in targets() {
        let model = raw(target, &data("dynamic-length.onnx"));
        model.warm_up().expect("nothing to warm up");
        assert_eq!(model.description().inputs[0].shape, [Some(1), None], "{target}");
        assert_eq!(model.description().outputs[0].shape, [Some(1), None], "{target}");
        for length in [1, 7, 3, 0, 500] {
            let output = run(&model, ElementType::F32, &[1, length], &floats(&vec![1.0; length]));
            let output = output.unwrap_or_else(|error| panic!("{length} numbers on {target}: {error}"));
            let expected = floats(&vec![2.0; length]);
            assert_eq!((output.shape(), output.bytes()), (&[1, length][..], &expected[..]), "{target}");
        }
    }
}

#[test]
fn a_recurrent_model_remembers_nothing_of_the_task_before() {
    for target in targets() {
        let model = raw(target, &data("recurrent.onnx"));
        let task = |numbers: [f32; 3]| run(&model, ElementType::F32, &[3, 1, 1], &floats(&numbers)).expect("an answer");
        let first = task([1.0, 2.0, 3.0]);
        assert_ne!(task([9.0, -9.0, 9.0]), first, "{target}");
        assert_eq!(task([1.0, 2.0, 3.0]), first, "{target}");
    }
}

#[test]
fn a_model_of_two_inputs_takes_a_tensor_for_each() {
    for target in targets() {
        let model = raw(target, &data("two-inputs.onnx"));
        model.warm_up().expect("a run on zeros");
        let names: Vec<&str> = model.description().inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["a", "b"], "{target}");
        let (a, b) = (floats(&[1.0, 2.0]), floats(&[10.0, 20.0]));
        let view = |bytes| TensorView { element: ElementType::F32, shape: &[2], bytes };
        let Answer::Tensors(sum) = model.run(Input::Tensors(&[view(&a), view(&b)])).expect("an answer") else {
            panic!("no tensors")
        };
        assert_eq!(sum[0].bytes(), floats(&[11.0, 22.0]), "{target}");
        for tensors in [&[][..], &[view(&a)], &[view(&a); 3]] {
            let refused = model.run(Input::Tensors(tensors)).expect_err("too few or too many");
            let expected = format!("takes 2 tensors (`a` f32 [2], `b` f32 [2]), but got {}", tensors.len());
            assert!(refused.to_string().contains(&expected) && refused.is_inputs_fault(), "{refused}");
        }
        let refused = model.run(Input::Tensor(view(&a))).expect_err("one where two are needed");
        assert!(matches!(refused, RunError::WrongCount { got: 1, .. }), "{refused:?}");
        let wrong = model.run(Input::Tensors(&[view(&a), view(&[0; 4])])).expect_err("the second is too short");
        assert!(matches!(wrong, RunError::Tensor(TensorError::Length { .. })), "{wrong:?}");
    }
}

#[test]
fn a_tensor_that_does_not_fit_is_told_what_would() {
    for target in targets() {
        refuses_what_does_not_fit(&raw(target, &material("models/trivial.onnx")));
    }
}

fn refuses_what_does_not_fit(model: &Model) {
    for (element, shape) in [
        (ElementType::F64, &[1, 2][..]),
        (ElementType::F32, &[4]),
        (ElementType::F32, &[1, 5]),
        (ElementType::F32, &[]),
    ] {
        let refused = run(model, element, shape, &[0; 16]).expect_err("a wrong tensor");
        assert!(matches!(refused, RunError::WrongTensor { .. }), "{refused:?}");
        let expected = format!("takes `x` f32 [1, 4], but got {element} {shape:?}");
        assert!(refused.to_string().contains(&expected), "{refused}");
    }
    for bytes in [0, 15, 17] {
        let refused = run(model, ElementType::F32, &[1, 4], &vec![0; bytes]).expect_err("a wrong length");
        let RunError::Tensor(TensorError::Length { expected: 16, got, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(got, bytes);
    }
    let picture = model.run(Input::Picture(&[0; 16])).expect_err("a picture for a model of tensors");
    assert!(matches!(picture, RunError::WrongKind { got: "a picture", .. }), "{picture:?}");
    // And the model still works.
    run(model, ElementType::F32, &[1, 4], &[0; 16]).expect("an answer");
}

#[test]
fn a_byte_that_is_no_truth_value_never_reaches_a_runtime() {
    let refused =
        run(&raw(TargetKind::Tract, &data("not-bool.onnx")), ElementType::Bool, &[3], &[0, 1, 2]).expect_err("a two");
    assert!(matches!(refused, RunError::Tensor(TensorError::NotATruthValue)), "{refused:?}");
}

#[test]
fn a_tensor_of_absurd_size_is_refused_before_memory_is_taken() {
    let model = raw(TargetKind::Tract, &data("dynamic-length.onnx"));
    for length in [usize::MAX, usize::MAX / 4, 1 << 40] {
        let refused = run(&model, ElementType::F32, &[1, length], &[]).expect_err("an absurd length");
        assert!(matches!(refused, RunError::Tensor(TensorError::TooLarge { .. })), "{refused:?}");
    }
}

#[test]
fn a_tensor_owns_as_many_bytes_as_its_shape_needs() {
    assert!(Tensor::new(ElementType::I64, vec![2, 0], vec![]).is_ok());
    assert!(Tensor::new(ElementType::I64, vec![], vec![0; 8]).is_ok());
    assert!(Tensor::new(ElementType::I64, vec![2], vec![0; 8]).is_err());
    let (element, shape, bytes) = Tensor::new(ElementType::U8, vec![2], vec![1, 2]).expect("right").into_parts();
    assert_eq!((element, shape, bytes), (ElementType::U8, vec![2], vec![1, 2]));
}

#[test]
fn scores_that_are_not_numbers_are_an_error_and_not_an_answer() {
    for target in targets() {
        let manifest = Manifest::parse("[output.classes]\nlabels = \"colours.txt\"\ntop = 2\n").expect("a manifest");
        let model = load_on(target, &data("root.onnx"), manifest, crate::world::colour_labels()).expect("a model");
        let task =
            |bytes: &[u8]| model.run(Input::Tensor(TensorView { element: ElementType::F32, shape: &[1, 3], bytes }));
        let Answer::Classes(best) = task(&floats(&[4.0, 16.0, 4.0])).expect("an answer") else { panic!("no classes") };
        // Best first, the lower index first among equals, and only the two asked for.
        let best: Vec<_> = best.iter().map(|class| (class.label.as_str(), class.score)).collect();
        assert_eq!(best, [("green", 4.0), ("red", 2.0)], "{target}");
        let refused = task(&floats(&[4.0, -1.0, 4.0])).expect_err("the root of -1");
        assert!(matches!(refused, RunError::NotANumber { class: 1 }), "{target}: {refused:?}");
    }
}

#[test]
fn names_of_types_are_read_as_they_are_written() {
    for element in ElementType::ALL {
        assert_eq!(element.name().parse(), Ok(element));
    }
    assert!("float".parse::<ElementType>().expect_err("no such type").to_string().contains("f32"));
    let unknown = "cuda".parse::<skein_targets::TargetKind>().expect_err("no such target");
    assert_eq!(unknown.to_string(), "there is no target `cuda`: use one of tract, onnxruntime, openvino, simulated");
}

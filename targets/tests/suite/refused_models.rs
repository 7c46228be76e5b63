//! Models that cannot be loaded, each with an error of its own kind that names the file, on every target.

use std::path::Path;

use skein_targets::{LoadError, Manifest, TargetKind};

use crate::world::{colour_labels, colours, data, load_on, material, read, refused, targets};

#[test]
fn a_file_that_is_not_there_or_cannot_be_read() {
    for target in targets() {
        let missing = refused(target, Path::new("/nowhere/model.onnx"));
        assert!(matches!(&missing, LoadError::Read { .. }), "{missing:?}");
        assert!(missing.to_string().contains("/nowhere/model.onnx cannot be read: No such file"), "{missing}");
        let folder = refused(target, &data(""));
        assert!(matches!(folder, LoadError::Read { .. }), "{folder:?}");
    }
}

#[test]
fn a_file_that_is_no_onnx_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.onnx");
    let picture = read(&material("pictures/coffee.png"));
    for bytes in [&b""[..], b"hello, I am a text\n", &[0; 1000], &[0xFF; 1000], &picture] {
        std::fs::write(&file, bytes).expect("a file");
        for target in targets() {
            let error = refused(target, &file);
            assert!(matches!(error, LoadError::NotOnnx { .. }), "{error:?}");
            assert!(error.to_string().contains("model.onnx is no whole ONNX model"), "{error}");
        }
    }
}

#[test]
fn a_model_that_was_cut_short() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.onnx");
    let trivial = read(&material("models/trivial.onnx"));
    let large = read(&material("models/efficientnet-lite0.onnx"));
    let cut = (0..trivial.len()).map(|length| &trivial[..length]).chain([&large[..large.len() / 2]]);
    for bytes in cut {
        std::fs::write(&file, bytes).expect("a file");
        for target in targets() {
            let error = refused(target, &file);
            assert!(matches!(error, LoadError::NotOnnx { .. }), "{} bytes: {error:?}", bytes.len());
        }
    }
}

#[test]
fn operators_that_the_target_lacks_are_named() {
    let error = refused(TargetKind::Tract, &data("unsupported-operator.onnx"));
    let LoadError::Operators { operators, .. } = &error else { panic!("{error:?}") };
    assert_eq!(operators, &["Det", "com.example::Fancy"]);
    assert!(error.to_string().contains("operators that tract lacks: Det, com.example::Fancy;"), "{error}");
    for target in targets() {
        let error = refused(target, &data("unsupported-operator.onnx")).to_string();
        assert!(error.contains("Fancy") && error.contains(target.name()), "{error}");
    }
}

#[test]
fn an_operator_of_another_domain_is_not_taken_for_its_namesake() {
    for target in targets() {
        let error = refused(target, &data("foreign-domain.onnx")).to_string();
        assert!(error.contains("com.example") && error.contains("Relu"), "{error}");
    }
}

#[test]
fn a_model_whose_input_no_task_can_bring() {
    for (name, reason) in [
        ("text-input", "tring"),
        ("huge-input", "1073741824 bytes"),
        ("unknown-rank", "any number of axes"),
        ("external-weights", "`one` lie in another file"),
    ] {
        for target in targets() {
            let error = refused(target, &data(&format!("{name}.onnx")));
            assert!(matches!(error, LoadError::Unsuitable { .. }), "{name} on {target}: {error:?}");
            let text = error.to_string().replace("STRING", "String");
            assert!(text.contains(reason), "{name} on {target}: {text}");
        }
    }
}

#[test]
fn a_model_that_the_target_cannot_prepare() {
    for target in targets() {
        let error = refused(target, &data("wrong-shapes.onnx"));
        assert!(matches!(&error, LoadError::Target { target: of, .. } if *of == target), "{error:?}");
        assert!(error.to_string().contains("wrong-shapes.onnx"), "{error}");
    }
}

#[test]
fn a_manifest_that_contradicts_its_model() {
    for target in targets() {
        let contradiction = |name: &str, manifest: Manifest, labels: Vec<String>| {
            let error = load_on(target, &data(&format!("{name}.onnx")), manifest, labels).expect_err("a contradiction");
            assert!(matches!(error, LoadError::Contradiction { .. }), "{name} on {target}: {error:?}");
            error.to_string()
        };
        let nchw = || colours("nchw", "\"stretch\"");
        let size = contradiction("colour-nhwc", nchw(), colour_labels());
        assert!(size.contains("becomes f32 [1, 3, 8, 8], but the model takes `x` f32"), "{size}");
        let rank = contradiction("root", nchw(), colour_labels());
        assert!(rank.contains("becomes f32 [1, 3, 8, 8]"), "{rank}");
        let element = contradiction("double-u8", nchw(), colour_labels());
        assert!(element.contains("`x` u8"), "{element}");
        let labels = contradiction("colour-nchw", nchw(), vec!["red".into()]);
        assert!(labels.contains("colours.txt has 1 labels") && labels.contains("3 classes"), "{labels}");
        let classes = || Manifest::parse("[output.classes]\nlabels = \"l.txt\"\n").expect("a manifest");
        let scores = contradiction("double-i64", classes(), colour_labels());
        assert!(scores.contains("need f32 scores"), "{scores}");
        let open = contradiction("dynamic-length", classes(), colour_labels());
        assert!(open.contains("fixed number of scores"), "{open}");
        let two = load_on(target, &data("two-inputs.onnx"), nchw(), colour_labels()).expect_err("one picture");
        assert!(matches!(&two, LoadError::Inputs { inputs, .. } if inputs == &["a", "b"]), "{two:?}");
    }
}

#[test]
fn a_manifest_that_came_unchecked_is_checked_at_load() {
    let output = skein_targets::OutputSpec::Classes { labels: "../../etc/passwd".into(), top: 5 };
    let manifest = Manifest { output, ..Manifest::default() };
    let trivial = material("models/trivial.onnx");
    let error = load_on(TargetKind::Tract, &trivial, manifest, Vec::new()).expect_err("a bad name");
    assert!(matches!(error, LoadError::Manifest(_)), "{error:?}");
}

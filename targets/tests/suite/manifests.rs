//! Manifests and labels: what is read, and what is refused with a word on where.

use skein_targets::{
    Filter, InputSpec, Layout, Manifest, ManifestError, OutputSpec, PictureSpec, Precision, Provider, Resize,
    parse_labels,
};

use crate::world::{material, text};

const PICTURE: &str = "[input.picture]\nwidth = 4\nheight = 2\nlayout = \"nhwc\"\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n";

#[test]
fn an_empty_manifest_means_tensors_in_and_tensors_out() {
    let manifest = Manifest::parse("").expect("an empty manifest");
    assert_eq!((&manifest.input, &manifest.output), (&InputSpec::Tensor, &OutputSpec::Tensor));
    assert_eq!(manifest.labels_file(), None);
}

#[test]
fn a_manifest_says_how_a_picture_becomes_a_tensor() {
    let manifest = Manifest::parse(&text(&material("models/efficientnet-lite0.toml"))).expect("the bundled manifest");
    let expected = PictureSpec {
        width: 224,
        height: 224,
        layout: Layout::Nchw,
        mean: [127.0; 3],
        std: [128.0; 3],
        resize: Resize::CentreCrop(1.0),
        filter: Filter::Bilinear,
    };
    assert_eq!(expected.tensor_shape(), [1, 3, 224, 224]);
    assert_eq!(manifest.input, InputSpec::Picture(expected));
    assert_eq!(manifest.labels_file(), Some("imagenet-1000.txt"));
}

#[test]
fn what_a_manifest_leaves_out_is_filled_in() {
    let manifest = Manifest::parse(&format!("{PICTURE}[output.classes]\nlabels = \"a.txt\"\n")).expect("short forms");
    let InputSpec::Picture(picture) = &manifest.input else { panic!("{manifest:?}") };
    assert_eq!((picture.resize, picture.filter), (Resize::CentreCrop(1.0), Filter::Bilinear));
    assert_eq!(manifest.output, OutputSpec::Classes { labels: "a.txt".into(), top: 5 });
    assert_eq!(picture.tensor_shape(), [1, 2, 4, 3]);
}

#[test]
fn a_runtime_is_told_what_concerns_it_alone() {
    let nothing = Manifest::parse("").expect("an empty manifest");
    assert_eq!((nothing.openvino.precision, nothing.onnxruntime.provider), (Precision::F32, Provider::Cuda));
    let said = Manifest::parse("[openvino]\nprecision = \"bf16\"\n[onnxruntime]\nprovider = \"tensorrt\"\n");
    let said = said.expect("a right manifest");
    assert_eq!((said.openvino.precision, said.onnxruntime.provider), (Precision::Bf16, Provider::Tensorrt));
    for (toml, words) in [
        ("[openvino]\nprecision = \"i8\"\n", ["i8", "bf16"]),
        ("[onnxruntime]\nprovider = \"rocm\"\n", ["rocm", "tensorrt"]),
        ("[openvino]\nthreads = 3\n", ["threads", "precision"]),
    ] {
        let refused = Manifest::parse(toml).expect_err(toml).to_string();
        assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
    }
}

#[test]
fn a_value_out_of_range_is_named() {
    let cases = [
        (PICTURE.replace("width = 4", "width = 0"), "input.picture.width"),
        (PICTURE.replace("height = 2", "height = 100000"), "input.picture.height"),
        (PICTURE.replace("mean = [0", "mean = [nan"), "input.picture.mean"),
        (PICTURE.replace("mean = [0", "mean = [1e39"), "input.picture.mean"),
        (PICTURE.replace("std = [1", "std = [0"), "input.picture.std"),
        (PICTURE.replace("std = [1", "std = [-1"), "input.picture.std"),
        (PICTURE.replace("std = [1", "std = [inf"), "input.picture.std"),
        (format!("{PICTURE}resize = {{ centre-crop = 0 }}\n"), "input.picture.resize.centre-crop"),
        (format!("{PICTURE}resize = {{ centre-crop = 1.5 }}\n"), "input.picture.resize.centre-crop"),
        (format!("{PICTURE}resize = {{ centre-crop = nan }}\n"), "input.picture.resize.centre-crop"),
        ("[output.classes]\nlabels = \"a\"\ntop = 0\n".into(), "output.classes.top"),
        ("[output.classes]\nlabels = \"a\"\ntop = 1000000\n".into(), "output.classes.top"),
    ];
    for (toml, expected) in cases {
        match Manifest::parse(&toml) {
            Err(ManifestError::Value { field, .. }) => assert_eq!(field, expected, "{toml}"),
            other => panic!("{toml}\n{other:?}"),
        }
    }
}

#[test]
fn labels_lie_beside_the_manifest_and_nowhere_else() {
    for name in ["", ".", "..", "../secret", "/etc/passwd", "a/b", "a\\\\b", "c:b", "a\\u0000b", &"x".repeat(256)] {
        let toml = format!("[output.classes]\nlabels = \"{name}\"\n");
        let refused = Manifest::parse(&toml).expect_err(&toml);
        assert!(matches!(refused, ManifestError::Value { field: "output.classes.labels", .. }), "{toml}: {refused}");
    }
}

#[test]
fn what_a_manifest_does_not_know_is_an_error_with_its_place() {
    let cases = [
        ("[input.picture]\nwidth = 1\n", "height"),
        (&format!("{PICTURE}colour = \"bgr\"\n"), "line 7"),
        ("[outptu.classes]\n", "outptu"),
        ("[input.sound]\n", "sound"),
        ("[output.classes]\nlabels = \"a\"\nbest = 3\n", "best"),
        ("[output.classes]\nlabels = \"a\"\ntop = -1\n", "-1"),
        ("width = [", "line 1"),
        ("\u{0}", "line 1"),
    ];
    for (toml, expected) in cases {
        let refused = Manifest::parse(toml).expect_err(toml);
        assert!(matches!(refused, ManifestError::Syntax(_)), "{toml}: {refused:?}");
        assert!(refused.to_string().contains(expected), "{toml}: {refused}");
    }
    assert_eq!(Manifest::parse(&" ".repeat(70_000)), Err(ManifestError::TooLong { bytes: 70_000 }));
}

#[test]
fn labels_are_a_line_a_class() {
    assert_eq!(parse_labels("tench\r\n great white shark \n\n\n").expect("two labels"), ["tench", "great white shark"]);
    assert!(parse_labels(" \n\n").expect_err("no label").to_string().contains("empty"));
    assert!(parse_labels("a\n\nb\n").expect_err("a gap").to_string().contains("line 2"));
    assert!(parse_labels(&"a\n".repeat(3_000_000)).expect_err("too long").to_string().contains("6000000"));
}

//! The shared libraries of runtimes: found, missing, and what is none.

use std::path::{Path, PathBuf};

use skein_targets::{Answer, ElementType, Input, LoadError, Manifest, Model, ModelSource, Place, TargetKind};
use skein_targets::{TensorView, find_library};

use crate::world::{data, is_here, material, place};

const RUNTIMES: [TargetKind; 2] = [TargetKind::Onnxruntime, TargetKind::Openvino];

fn load(target: TargetKind, place: &Place) -> Result<Model, LoadError> {
    let file = material("models/trivial.onnx");
    Model::load(target, ModelSource { file: &file, manifest: Manifest::default(), labels: Vec::new() }, place)
}

fn refused(target: TargetKind, place: &Place) -> String {
    let error = load(target, place).expect_err("it must be refused");
    assert!(matches!(error, LoadError::Runtime(_)), "{error:?}");
    error.to_string()
}

/// A process keeps the library that it has loaded, so some tests need one of their own. Nextest gives each test one.
fn is_alone() -> bool {
    let is_alone = std::env::var_os("NEXTEST").is_some();
    if !is_alone {
        println!("skipped: another test of this process may have loaded a runtime; cargo-nextest keeps them apart");
    }
    is_alone
}

#[test]
fn a_library_is_found_where_it_is_stated_or_usually_lies() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, "").expect("a file");
        path
    };
    let usual = [PathBuf::from("/nowhere"), folder.path().to_owned()];
    let found = |stated: Option<&Path>| find_library(TargetKind::Onnxruntime, stated, &usual);
    let missing = found(None).expect_err("there is none").to_string();
    for word in ["onnxruntime cannot be used here", "libonnxruntime.so", "--onnxruntime PATH", "SKEIN_ONNXRUNTIME"] {
        assert!(missing.contains(word), "{missing}");
    }
    file("libonnxruntime_providers_shared.so");
    let second = file("libonnxruntime.so.1.9.0");
    let third = file("libonnxruntime.so.1.10.0");
    file("libonnxruntime.so.old");
    assert_eq!(found(None), Ok(third.clone()), "the highest version");
    assert_eq!(found(Some(folder.path())), Ok(third));
    assert_eq!(found(Some(&second)), Ok(second.clone()), "what is stated is meant");
    let plain = file("libonnxruntime.so");
    assert_eq!(found(None), Ok(plain));
    let nowhere = found(Some(Path::new("/nowhere/libonnxruntime.so"))).expect_err("there is none").to_string();
    assert!(nowhere.contains("no file /nowhere/libonnxruntime.so, which the setting `onnxruntime` names"), "{nowhere}");
    let openvino = find_library(TargetKind::Openvino, Some(folder.path()), &usual).expect_err("not here").to_string();
    assert!(openvino.contains("no libopenvino_c.so in "), "{openvino}");
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    if !is_alone() {
        return;
    }
    for target in RUNTIMES {
        let place = Place { library: Some(material("pictures/coffee.png")), ..Place::default() };
        let error = refused(target, &place);
        assert!(error.contains("coffee.png") && error.contains("install"), "{error}");
    }
}

#[test]
fn a_library_of_something_else_is_refused() {
    if !is_alone() {
        return;
    }
    // Every dynamically linked test has the library of C in its memory; the kernel says from where.
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this process's memory");
    let libc = maps.lines().find_map(|line| line.split_whitespace().last().filter(|path| path.contains("/libc.so")));
    let place = Place { library: Some(libc.expect("a library of C").into()), ..Place::default() };
    for target in RUNTIMES {
        let error = refused(target, &place);
        assert!(error.contains("libc.so") && error.contains("install"), "{error}");
    }
}

#[test]
fn an_openvino_without_plugins_says_so() {
    if !is_here(TargetKind::Openvino) || !is_alone() {
        return;
    }
    // The libraries without what drives a device, linked into a folder of their own.
    let libraries = place(TargetKind::Openvino).library.expect("the folder of the set-up");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(&libraries).expect("its libraries").flatten() {
        if !entry.file_name().to_string_lossy().contains("plugin") {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
        }
    }
    let error = refused(TargetKind::Openvino, &Place { library: Some(folder.path().to_owned()), ..Place::default() });
    assert!(error.contains("has no device CPU (it has none)") && error.contains("plugin"), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    if !is_here(TargetKind::Openvino) {
        return;
    }
    let on = |target: TargetKind, device: &str| Place { device: Some(device.into()), ..place(target) };
    let stick = refused(TargetKind::Openvino, &on(TargetKind::Openvino, "MYRIAD"));
    assert!(stick.contains("no device MYRIAD (it has CPU"), "{stick}");
    // This ONNX Runtime is one for processors: it must say so, and not run the model there all the same.
    let gpu = load(TargetKind::Onnxruntime, &on(TargetKind::Onnxruntime, "gpu:0")).expect_err("no GPU").to_string();
    assert!(gpu.contains("failed to use CUDA"), "{gpu}");
    let manifest = Manifest::parse("[onnxruntime]\nprovider = \"tensorrt\"\n").expect("a manifest");
    let file = data("double-i32.onnx");
    let source = ModelSource { file: &file, manifest, labels: Vec::new() };
    let gpu = Model::load(TargetKind::Onnxruntime, source, &on(TargetKind::Onnxruntime, "gpu:1"));
    let gpu = gpu.expect_err("no GPU").to_string();
    assert!(gpu.contains("failed to use TensorRT"), "{gpu}");
    let odd = load(TargetKind::Onnxruntime, &on(TargetKind::Onnxruntime, "npu")).expect_err("no device").to_string();
    assert!(odd.contains("`npu` is none: it knows CPU and gpu:0"), "{odd}");
}

#[test]
fn a_model_may_be_computed_with_fewer_digits_if_its_manifest_says_so() {
    if !is_here(TargetKind::Openvino) {
        return;
    }
    let file = material("models/blazeface-front-128.onnx");
    let scores = |precision: &str| {
        let manifest = Manifest::parse(&format!("[openvino]\nprecision = \"{precision}\"\n")).expect("a manifest");
        let source = ModelSource { file: &file, manifest, labels: Vec::new() };
        let model = Model::load(TargetKind::Openvino, source, &place(TargetKind::Openvino)).expect("it loads");
        let shape = [1, 128, 128, 3];
        let bytes = [0x3E_u8, 0x99].repeat(128 * 128 * 3 * 2);
        let input = TensorView { element: ElementType::F32, shape: &shape, bytes: &bytes };
        match model.run(Input::Tensor(input)).expect("an answer") {
            Answer::Tensors(tensors) => tensors,
            other @ Answer::Classes(_) => panic!("{other:?}"),
        }
    };
    let (full, again, fewer) = (scores("f32"), scores("f32"), scores("bf16"));
    assert_eq!(full, again);
    // A processor without such numbers computes with f32 all the same.
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if flags.contains("avx512_bf16") {
        assert_ne!(full, fewer, "the hint reaches the runtime");
    }
}

#[test]
fn what_was_compiled_before_is_loaded_from_disk() {
    if !is_here(TargetKind::Openvino) {
        return;
    }
    let cache = tempfile::tempdir().expect("a temporary folder");
    let place = Place { cache: Some(cache.path().to_owned()), ..place(TargetKind::Openvino) };
    let kept = || std::fs::read_dir(cache.path()).expect("the cache").count();
    for _ in 0..2 {
        load(TargetKind::Openvino, &place).expect("it loads").warm_up().expect("it runs");
        assert_eq!(kept(), 1, "compiled once");
    }
}

#[test]
fn an_openvino_ir_runs_on_openvino_alone() {
    // y = x + 1, written by hand: a graph with its constant in the weights.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.ir");
    let xml = std::fs::read(data("add-one.xml")).expect("the graph");
    std::fs::write(&file, skein_targets::pack_ir(&xml, &1.0_f32.to_le_bytes())).expect("a file");
    let source = || ModelSource { file: &file, manifest: Manifest::default(), labels: Vec::new() };
    for target in crate::world::targets() {
        let loaded = Model::load(target, source(), &place(target));
        if target != TargetKind::Openvino {
            let error = loaded.expect_err("it is no ONNX").to_string();
            assert!(error.contains("an OpenVINO IR, which only the target openvino runs"), "{error}");
            continue;
        }
        let model = loaded.expect("an IR");
        model.warm_up().expect("it runs");
        assert_eq!(model.description().inputs[0].to_string(), "`x` f32 [1, 4]", "an open batch is one");
        assert_eq!(model.description().outputs[0].to_string(), "`y` f32 [1, 4]");
        let answer = crate::world::run(&model, skein_targets::ElementType::F32, &[1, 4], &[0; 16]).expect("an answer");
        assert_eq!(answer.bytes(), crate::world::floats(&[1.0; 4]));
    }
    if !is_here(TargetKind::Openvino) {
        return;
    }
    for damaged in [skein_targets::pack_ir(b"<net", &[]), skein_targets::pack_ir(&xml, &[]), b"\xFFskeinIR".to_vec()] {
        std::fs::write(&file, damaged).expect("a file");
        let error = Model::load(TargetKind::Openvino, source(), &place(TargetKind::Openvino));
        assert!(!error.expect_err("a damaged IR").to_string().is_empty());
    }
}

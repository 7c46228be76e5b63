//! Targets that need a library on the machine: workers stand where it is, and the answers are the same everywhere.

use std::collections::BTreeSet;
use std::path::PathBuf;

use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::{material, probe};

const PICTURES: [&str; 3] = ["coffee.png", "camera.png", "chelsea.png"];
const RUNTIMES: [&str; 2] = ["onnxruntime", "openvino"];

/// The libraries that `cargo xtask test` has installed, as an agent is told of them.
fn libraries() -> Option<[(&'static str, PathBuf); 2]> {
    let Some(folder) = std::env::var_os("SKEIN_TEST_RUNTIMES").map(PathBuf::from) else {
        println!("skipped: no runtimes are here; `cargo xtask test` and `cargo xtask hil targets` install them");
        return None;
    };
    let (onnxruntime, openvino) = (folder.join("onnxruntime/capi"), folder.join("openvino/libs"));
    Some([("SKEIN_ONNXRUNTIME", onnxruntime), ("SKEIN_OPENVINO", openvino)])
}

/// An agent without runtimes, and one that is told of these.
fn mesh(libraries: &[(&str, PathBuf)]) -> Bed {
    let mut bed = Bed::new();
    bed.start();
    let second = bed.prepare();
    let told = libraries.iter().map(|(name, path)| ((*name).into(), path.into()));
    bed.agents[second].environment = told.collect();
    bed.restart(second);
    bed.wait_until_whole();
    bed
}

fn open(bed: &Bed, model: &str, target: &str) -> String {
    let session = bed.cli(&["session", "create", "--model", model, "--target", target, "--cpu", "200", "-q"]);
    session.trim().to_owned()
}

#[test]
fn a_session_stands_where_its_target_is_and_answers_as_on_every_other() {
    let Some(libraries) = libraries() else { return };
    let bed = mesh(&libraries);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    for target in RUNTIMES {
        let session = open(&bed, "lite0", target);
        probe::wait_for_workers(&bed, &session, 1);
        assert_eq!(probe::ready_nodes(&bed, &session), ["node-2"], "{target} is nowhere else");
        let pictures: Vec<PathBuf> = PICTURES.iter().map(|file| material::picture(file)).collect();
        let mut arguments = vec!["run", &session, "--json"];
        arguments.extend(pictures.iter().map(|path| text(path)));
        // By the node that cannot run it: what it says of the pictures is what tract would say.
        let printed = bed.try_cli_at(0, &arguments).expect("the pictures are answered");
        let nodes = probe::check_rows(&probe::rows(&printed), PICTURES.len());
        assert_eq!(nodes.len(), 1, "{nodes:?}");
        bed.cli(&["session", "end", &session]);
    }
    let compiled = std::fs::read_dir(bed.state_dir(1).join("compiled")).expect("compiled models are kept");
    assert!(compiled.count() >= 1);
}

#[test]
fn a_model_that_only_another_target_runs_is_taken_where_that_is() {
    let Some(libraries) = libraries() else { return };
    let bed = mesh(&libraries);
    // Its operator `Det` is none of tract's.
    let model = material::test_model("determinant.onnx");
    let arguments = ["model", "add", text(&model), "--name", "determinant"];
    let refused = bed.try_cli_at(0, &arguments).expect_err("tract lacks its operator");
    assert!(refused.contains("operators that tract lacks: Det"), "{refused}");
    bed.try_cli_at(1, &arguments).expect("onnxruntime runs it");
    let session = open(&bed, "determinant", "onnxruntime");
    probe::wait_for_workers(&bed, &session, 1);
}

#[test]
fn an_openvino_ir_is_added_by_its_graph() {
    let Some(libraries) = libraries() else { return };
    let bed = mesh(&libraries);
    let (graph, weights) = (bed.path("add-one.xml"), bed.path("add-one.bin"));
    std::fs::copy(material::test_model("add-one.xml"), &graph).expect("a copy");
    let arguments = ["model", "add", text(&graph), "--name", "add-one"];
    let alone = bed.try_cli_at(1, &arguments).expect_err("its weights are not there");
    assert!(alone.contains("add-one.bin"), "{alone}");
    std::fs::write(&weights, 1.0_f32.to_le_bytes()).expect("its weights");
    let refused = bed.try_cli_at(0, &arguments).expect_err("there is no OpenVINO");
    assert!(refused.contains("only the target openvino runs"), "{refused}");
    let added = bed.json_at(1, &arguments);
    assert_eq!(added["inputs"][0]["shape"], serde_json::json!([1, 4]), "{added}");
    let session = open(&bed, "add-one", "openvino");
    probe::wait_for_workers(&bed, &session, 1);
    assert_eq!(probe::ready_nodes(&bed, &session), ["node-2"]);
}

#[test]
fn a_runtime_that_is_none_is_not_offered_and_harms_nothing() {
    let picture = material::picture("coffee.png");
    let bed = mesh(&[("SKEIN_ONNXRUNTIME", picture), ("SKEIN_OPENVINO", "/nowhere/libopenvino_c.so".into())]);
    bed.cli(&["model", "add", text(&material::model()), "--name", "lite0"]);
    for target in RUNTIMES {
        let session = open(&bed, "lite0", target);
        let why = bed.cli(&["explain", "session", &session]);
        assert!(why.contains(target), "it says what is missing: {why}");
        bed.cli(&["session", "end", &session]);
    }
    let session = open(&bed, "lite0", "tract");
    probe::wait_for_workers(&bed, &session, 1);
    let log = bed.logs();
    let said: BTreeSet<&str> = ["coffee.png", "/nowhere/libopenvino_c.so"].into();
    assert!(said.iter().all(|word| log.contains(word)), "what was stated and is wrong is in the log: {log}");
}

//! Sessions on simulated devices.

use skein_hil_tests::bed::{Bed, text};
use skein_hil_tests::{material, probe};

/// A network on a device that is none; how it behaves follows.
const MANIFEST: &str = "\
[input.picture]
width = 8
height = 8
layout = 'nchw'
mean = [0, 0, 0]
std = [255, 255, 255]
resize = 'stretch'

[output.classes]
labels = 'parts.txt'
top = 1

[simulated]
";
/// What it says of every picture.
pub(crate) const ANSWER: &str = "done";

/// Opens a session of one worker, or of as many as the arguments say, whose simulated device behaves so.
pub(crate) fn open(bed: &Bed, name: &str, behaviour: &str, arguments: &[&str]) -> String {
    let model = bed.path(&format!("{name}.onnx"));
    std::fs::copy(material::test_model("colour-nchw.onnx"), &model).expect("the model can be copied");
    std::fs::write(bed.path(&format!("{name}.toml")), format!("{MANIFEST}{behaviour}\n")).expect("its manifest");
    std::fs::write(bed.path("parts.txt"), format!("{ANSWER}\ntaken over\nnothing\n")).expect("its labels");
    bed.cli(&["model", "add", text(&model), "--name", name]);
    let create = ["session", "create", "--model", name, "--target", "simulated", "-q"];
    let session = bed.cli(&[&create[..], arguments].concat()).trim().to_owned();
    probe::wait_for_workers(bed, &session, 1);
    session
}

//! Sessions on simulated devices.

use crate::bed::{Bed, text};
use crate::{material, probe};

/// What it says of every picture that one worker did alone; [`TAKEN_OVER`] is the part of the work that a checkpoint had.
pub const ANSWER: &str = "done";
/// See [`ANSWER`].
pub const TAKEN_OVER: &str = "taken over";

/// Opens a session of one worker, or of as many as the arguments say, whose simulated device behaves so.
pub fn open(bed: &Bed, name: &str, behaviour: &str, arguments: &[&str]) -> String {
    let model = bed.path(&format!("{name}.onnx"));
    std::fs::copy(material::test_model("colour-nchw.onnx"), &model).expect("the model can be copied");
    let manifest = material::COLOURS_MANIFEST.replace("colours.txt", "parts.txt").replace("top = 1", "top = 3");
    let manifest = format!("{manifest}\n[simulated]\n{behaviour}\n");
    std::fs::write(bed.path(&format!("{name}.toml")), manifest).expect("its manifest can be written");
    std::fs::write(bed.path("parts.txt"), format!("{ANSWER}\n{TAKEN_OVER}\nnothing\n")).expect("its labels");
    bed.cli(&["model", "add", text(&model), "--name", name]);
    let create = ["session", "create", "--model", name, "--target", "simulated", "-q"];
    let session = bed.cli(&[&create[..], arguments].concat()).trim().to_owned();
    probe::wait_for_workers(bed, &session, 1);
    session
}

//! Ways to run a model on a kind of device.
//!
//! A [`Model`] is loaded from a file and its [`Manifest`] by one target of [`TargetKind`]'s table, then takes an
//! [`Input`] and gives an [`Answer`]. A [`Finder`] says which devices this machine has, and how they are.
//!
//! What holds here, and why it matters to the floor above:
//!
//! - Nothing here knows of nodes, sessions or a network: files, pictures and tensors come in as paths and bytes.
//! - A bad file, picture or tensor is an error that says what, where and what to do. A target that panics is caught and
//!   becomes an error too. What cannot be caught is a target that runs out of stack or memory on a hostile model:
//!   so a model is loaded and run only in a worker process, never in the agent.
//! - Every size read from a file is checked against a limit before memory is taken for it.
//! - Tensors are little-endian bytes, rows first, on the wire and in memory.

mod answer;
mod device;
mod error;
mod guard;
mod inputs;
mod ir;
mod labels;
mod manifest;
mod model;
mod onnx;
mod onnxruntime;
#[cfg(target_pointer_width = "64")]
mod openvino;
mod picture;
mod place;
mod program;
mod progress;
mod simulated;
mod target;
mod tensor;
mod tract;

pub use answer::{Answer, Class};
pub use device::{ComputeCapability, CpuDetails, Details, Device, DeviceKind, Ecc, Feature, Finder, GpuProcess};
pub use device::{JetsonDetails, MovidiusDetails, NvidiaDetails, Rail, Slowdown, Temperature, discover};
pub use error::{LoadError, RunError, RuntimeError, TensorError};
pub use ir::pack_ir;
pub use labels::{LABELS_BYTES_MAX, LabelsError, parse_labels};
pub use manifest::{Filter, Layout, MANIFEST_BYTES_MAX, Manifest, ManifestError, OutputSpec, PictureSpec, Resize};
pub use manifest::{InputSpec, OnnxruntimeSpec, OpenvinoSpec, Precision, Provider, SimulatedSpec, TOP_MAX};
pub use model::{Input, MODEL_BYTES_MAX, Model, ModelDescription, ModelSource};
pub use picture::{PICTURE_PIXELS_MAX, PictureError};
pub use place::{Place, find_library, usual_folders};
pub use program::{Program, ProgramRun};
pub use progress::Progress;
pub use target::{TargetKind, UnknownTarget};
pub use tensor::{ElementType, TENSOR_BYTES_MAX, Tensor, TensorSpec, TensorView, UnknownElementType};

// Tensors are handed to the runtimes as they come from the wire; a big-endian board would have to turn every number.
const _: () = assert!(cfg!(target_endian = "little"), "skein-targets needs a little-endian machine");

//! What a model is run with: what belongs to this machine and not to the model.

mod library;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use library::{find_library, usual_folders};

/// Where and with how much a worker is to run its model. The default is the processor, one thread, and runtimes where they
/// usually lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// The target's shared library, or a folder that holds it; none: looked for where it usually lies.
    pub library: Option<PathBuf>,
    /// The device, as the target names it: `CPU`, `GPU.0` or `MYRIAD` for OpenVINO, `gpu:0` for ONNX Runtime.
    /// None: the processor.
    pub device: Option<String>,
    /// How many threads one run may use on the processor; at least 1.
    pub threads: usize,
    /// The program of the target `process`, and what it is called with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub program: Vec<String>,
    /// A folder for compiled models; none: nothing is kept from one load to the next.
    pub cache: Option<PathBuf>,
}

impl Place {
    /// Whether nothing is stated.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { library: None, device: None, threads: 1, program: Vec::new(), cache: None }
    }
}

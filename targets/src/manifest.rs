//! What a model expects and what its answers mean: a TOML file beside the model.
//!
//! ```toml
//! [input.picture]                      # without this table: raw tensors in
//! width = 224                          # pixels
//! height = 224
//! layout = "nchw"                      # or "nhwc"
//! mean = [127, 127, 127]               # red, green, blue, of values 0..255
//! std = [128, 128, 128]                # the model sees (value - mean) / std
//! resize = { centre-crop = 1.0 }       # or "stretch"; 1.0 is the default
//! filter = "bilinear"                  # or "nearest", "bicubic", "lanczos"; bilinear is the default
//!
//! [output.classes]                     # without this table: raw tensors out
//! labels = "imagenet-1000.txt"         # beside the manifest, a label a line
//! top = 5                              # how many classes an answer names; 5 is the default
//!
//! [onnxruntime]                        # looked at by target `onnxruntime` alone
//! provider = "cuda"                    # or "tensorrt": what runs the model on a GPU; cuda is the default
//!
//! [openvino]                           # looked at by target `openvino` alone
//! precision = "f32"                    # or "f16", "bf16": what it computes with; f32 is the default
//!
//! [simulated]                          # looked at by target `simulated` alone, which computes nothing
//! latency_ms = 10                      # of a run; the default
//! steps = 1                            # parts of a run, with a checkpoint between two
//! load_ms = 0
//! memory_mib = 0
//! fail_every = 0                       # each so-many-th run of a process fails
//! crash_every = 0                      # each so-many-th run ends the process
//! ```

mod check;
mod picture;
mod runtimes;
mod simulated;

use serde::{Deserialize, Serialize};

pub use check::ManifestError;
pub use picture::{Filter, Layout, PictureSpec, Resize};
pub use runtimes::{OnnxruntimeSpec, OpenvinoSpec, Precision, Provider};
pub use simulated::SimulatedSpec;

/// The longest manifest that is read, in bytes: a hundred times what one needs.
pub const MANIFEST_BYTES_MAX: usize = 64 * 1024;

/// The most classes an answer names: as many as the largest usual set has.
pub const TOP_MAX: usize = 1_000;

/// What a model expects and what its answers mean. The default is raw tensors in, raw tensors out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(default)]
    pub input: InputSpec,
    #[serde(default)]
    pub output: OutputSpec,
    /// How ONNX Runtime runs it.
    #[serde(default)]
    pub onnxruntime: OnnxruntimeSpec,
    /// How OpenVINO runs it.
    #[serde(default)]
    pub openvino: OpenvinoSpec,
    /// How a simulated device behaves.
    #[serde(default)]
    pub simulated: SimulatedSpec,
}

/// What a task brings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum InputSpec {
    /// A tensor of the model's own input type and shape.
    #[default]
    Tensor,
    /// An encoded picture (PNG or JPEG), which becomes the model's tensor by this rule.
    Picture(PictureSpec),
}

/// What a task gets back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OutputSpec {
    /// Every output of the model as it is.
    #[default]
    Tensor,
    /// The model's first output is a score for each class; the best `top` come back with their labels.
    Classes {
        /// Name of the file of labels beside the manifest, without any folder.
        labels: String,
        /// How many classes an answer names, best first, 1 to [`TOP_MAX`].
        #[serde(default = "top_by_default")]
        top: usize,
    },
}

// The accuracy of classifiers is quoted for the best one and the best five.
fn top_by_default() -> usize {
    5
}

impl Manifest {
    /// Reads a manifest from TOML and checks every value in it.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong { bytes: text.len() });
        }
        let manifest: Manifest = toml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks every value. [`Manifest::parse`] has done so; one that came over a wire has not been checked yet.
    pub fn check(&self) -> Result<(), ManifestError> {
        if let InputSpec::Picture(picture) = &self.input {
            picture.check()?;
        }
        self.simulated.check()?;
        if let OutputSpec::Classes { labels, top } = &self.output {
            check::file_name("output.classes.labels", labels)?;
            check::within("output.classes.top", *top, 1, TOP_MAX)?;
        }
        Ok(())
    }

    /// Name of the file of labels beside the manifest, if the answers have labels.
    pub fn labels_file(&self) -> Option<&str> {
        match &self.output {
            OutputSpec::Classes { labels, .. } => Some(labels),
            OutputSpec::Tensor => None,
        }
    }
}

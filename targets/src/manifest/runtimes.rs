//! What a manifest says to one runtime alone.

use serde::{Deserialize, Serialize};

/// What `[onnxruntime]` in a manifest says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnnxruntimeSpec {
    /// What runs the model where its worker stands on a GPU.
    pub provider: Provider,
}

/// A way of ONNX Runtime to use a GPU of NVIDIA.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Quick to load.
    #[default]
    Cuda,
    /// Quicker to run, with minutes to load for the first time.
    Tensorrt,
}

/// What `[openvino]` in a manifest says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenvinoSpec {
    /// What it computes with.
    pub precision: Precision,
}

/// The numbers that a model is computed with, whatever its own are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Left to itself, OpenVINO takes bf16 on processors that have it, and answers visibly otherwise.
    #[default]
    F32,
    F16,
    Bf16,
}

impl Precision {
    pub const fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
        }
    }
}

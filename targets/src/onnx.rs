//! ONNX files as they are, before a target sees them: whether they are whole, and what they take.

mod inputs;

use std::io::Read as _;
use std::path::Path;

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};
use tract_onnx::prelude::Framework as _;

use crate::error::LoadError;
use crate::ir;
use crate::target::Order;
use crate::tensor::TensorSpec;

/// A model as a runtime of its own is to read it.
#[derive(Debug)]
pub(crate) struct OnnxModel {
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// What it takes, with the lengths that tasks bring.
    pub(crate) inputs: Vec<TensorSpec>,
    /// The lengths of axes that the model leaves open and calls by a name.
    pub(crate) named: Vec<(String, usize)>,
    /// Whether a length of `inputs` is not in the file.
    #[cfg_attr(target_pointer_width = "32", expect(dead_code, reason = "OpenVINO asks, which is not there"))]
    pub(crate) is_fixed_by_us: bool,
}

/// Reads a model and checks it, and works out what a task brings for each input: what the manifest's picture becomes, or the
/// model's own shape with a batch of one. Any other axis that the model leaves open stays open.
pub(crate) fn read(order: &mut Order<'_>) -> Result<OnnxModel, LoadError> {
    let path = order.path;
    refuse_ir(order)?;
    let mut bytes = Vec::new();
    order.file.read_to_end(&mut bytes).map_err(|source| LoadError::Read { file: path.to_owned(), source })?;
    let model = tract_onnx::onnx().proto_model_for_read(&mut &bytes[..]);
    let model = model
        .map_err(|error| LoadError::NotOnnx { file: path.to_owned(), reason: format!("{error:#}") })
        .and_then(|model| check(path, &model).map(|()| model))?;
    let taken = inputs::taken(&model, order.picture_shape).map_err(|fault| fault.of(path))?;
    Ok(OnnxModel { bytes, inputs: taken.specs, named: taken.named, is_fixed_by_us: taken.is_fixed_by_us })
}

/// Whether a file is a whole model in one file.
///
/// Protobuf has no signature: an empty file is a valid message, and much garbage too. A file that was cut at the right byte
/// lacks only what comes last, the operator sets.
pub(crate) fn check(path: &Path, model: &ModelProto) -> Result<(), LoadError> {
    let not_onnx = |reason: &str| Err(LoadError::NotOnnx { file: path.to_owned(), reason: reason.into() });
    let Some(graph) = &model.graph else { return not_onnx("it has no graph") };
    if graph.output.is_empty() {
        return not_onnx("its graph has no outputs");
    }
    if model.opset_import.is_empty() {
        return not_onnx("it names no operator set");
    }
    match elsewhere(graph) {
        // A runtime would open whatever path stands there, and nobody brings that file along.
        Some(weights) => Err(LoadError::Unsuitable {
            file: path.to_owned(),
            reason: format!("its weights `{weights}` lie in another file: save it as one file"),
        }),
        None => Ok(()),
    }
}

/// Refuses what only OpenVINO reads, with a word on it.
pub(crate) fn refuse_ir(order: &mut Order<'_>) -> Result<(), LoadError> {
    let file = || order.path.to_owned();
    if ir::begins(&mut order.file).map_err(|source| LoadError::Read { file: file(), source })? {
        let reason = "it is an OpenVINO IR, which only the target openvino runs".into();
        return Err(LoadError::Unsuitable { file: file(), reason });
    }
    Ok(())
}

/// The name of a tensor whose numbers lie in another file, in the graph or any inner one.
fn elsewhere(graph: &GraphProto) -> Option<String> {
    let is_elsewhere = |tensor: &&TensorProto| {
        tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty()
    };
    let mut graphs = vec![graph];
    // The decoder bounds how deep graphs nest, and each is seen once: this ends.
    while let Some(graph) = graphs.pop() {
        let sparse = graph.sparse_initializer.iter().flat_map(|sparse| sparse.values.iter().chain(&sparse.indices));
        let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
        let in_nodes = attributes().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
        if let Some(tensor) = graph.initializer.iter().chain(sparse).chain(in_nodes).find(is_elsewhere) {
            return Some(tensor.name.clone());
        }
        graphs.extend(attributes().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)));
    }
    None
}

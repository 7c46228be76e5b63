//! Which operators of a model tract lacks.

use std::collections::BTreeSet;

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

/// The domains whose operators tract means by their names. tract looks at the name alone, so an operator of any other
/// domain that happens to be called `Relu` would run as the usual one and give wrong answers without a word.
const DOMAINS: &[&str] = &["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// How many missing operators an error names: enough to see what kind of model it is.
const NAMED_MAX: usize = 20;

/// The operators of the model and its inner graphs that tract lacks, each once, in order.
pub(super) fn missing(onnx: &Onnx, model: &ModelProto) -> Vec<String> {
    let mut missing = BTreeSet::new();
    let mut graphs: Vec<&GraphProto> = model.graph.iter().collect();
    // The decoder bounds how deep graphs nest, and each is seen once: this ends.
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            let known = DOMAINS.contains(&node.domain.as_str()) && onnx.op_register.0.contains_key(&node.op_type);
            if !known {
                missing.insert(name(node));
            }
            graphs.extend(node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)));
        }
    }
    missing.into_iter().take(NAMED_MAX).collect()
}

fn name(node: &NodeProto) -> String {
    if node.domain.is_empty() { node.op_type.clone() } else { format!("{}::{}", node.domain, node.op_type) }
}

//! A session of ONNX Runtime: threads, the lengths of axes, and what runs the graph.

use ort::environment::Environment;
use ort::ep;
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use crate::manifest::{OnnxruntimeSpec, Provider};
use crate::onnx::OnnxModel;
use crate::place::Place;

/// The step that failed, and why.
type Failure = (&'static str, String);

/// Prepares a model to run.
pub(super) fn build(
    environment: &Environment,
    place: &Place,
    spec: OnnxruntimeSpec,
    model: &OnnxModel,
) -> Result<Session, Failure> {
    let set_up = |why: ort::Error| ("set it up", why.to_string());
    let mut builder = on_processor(environment, place).map_err(set_up)?;
    for (axis, length) in &model.named {
        let length = i64::try_from(*length).map_err(|why| ("set it up", why.to_string()))?;
        builder = builder.with_dimension_override(axis, length).map_err(|why| set_up(why.into()))?;
    }
    if let Some(device) = place.device.as_deref().filter(|device| !device.eq_ignore_ascii_case("cpu")) {
        builder = on_gpu(builder, device, place, spec.provider)?;
    }
    builder.commit_from_memory(&model.bytes).map_err(|why| ("prepare it", why.to_string()))
}

fn on_processor(environment: &Environment, place: &Place) -> Result<SessionBuilder, ort::Error> {
    let builder = Session::builder(environment)?.with_intra_threads(place.threads.max(1))?;
    // Threads that spin while they wait take the time of other workers, and of the agent.
    Ok(builder.with_intra_op_spinning(false)?.with_inter_op_spinning(false)?)
}

/// A GPU of NVIDIA, all of the graph or nothing: a graph that is left to the processor in part would hold the GPU and be slow.
fn on_gpu(builder: SessionBuilder, device: &str, place: &Place, provider: Provider) -> Result<SessionBuilder, Failure> {
    let number = device.strip_prefix("gpu:").and_then(|number| number.parse().ok());
    let Some(number) = number else {
        return Err(("find its device", format!("`{device}` is none: it knows CPU and gpu:0, gpu:1 and so on")));
    };
    let cuda = ep::CUDA::default().with_device_id(number).build().error_on_failure();
    let providers = match provider {
        Provider::Cuda => vec![cuda],
        Provider::Tensorrt => {
            let mut tensorrt = ep::TensorRT::default().with_device_id(number);
            if let Some(cache) = &place.cache {
                tensorrt = tensorrt.with_engine_cache(true).with_engine_cache_path(cache.display());
            }
            // What TensorRT does not take, CUDA may.
            vec![tensorrt.build().error_on_failure(), cuda]
        }
    };
    let builder = builder.with_execution_providers(providers).and_then(SessionBuilder::with_disable_cpu_fallback);
    let step = match provider {
        Provider::Cuda => "use CUDA",
        Provider::Tensorrt => "use TensorRT",
    };
    builder.map_err(|why| (step, why.to_string()))
}

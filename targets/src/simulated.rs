//! A device that is none: it takes the time and the memory that the manifest states, fails as it states, writes a checkpoint
//! after each part of a run, and computes nothing. For tests, demos and experiments with scale.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::error::{LoadError, RunError};
use crate::manifest::SimulatedSpec;
use crate::model::ModelDescription;
use crate::progress::Progress;
use crate::target::{Order, TargetKind};
use crate::tensor::{ElementType, Tensor, TensorSpec};

/// A run that hangs sleeps for ever, in parts.
const HANG: Duration = Duration::from_secs(3_600);

/// A model on a simulated device. The model's file is not looked at.
///
/// It takes the picture's tensor where the manifest names a picture, else any row of f32. It gives a score for each label, or
/// two numbers: the first is the part of the work that was done in this run, the second the part that a checkpoint had, all
/// others are 0.
#[derive(Debug)]
pub(crate) struct SimulatedModel {
    description: ModelDescription,
    spec: SimulatedSpec,
    runs: AtomicU32,
    /// How many numbers it gives.
    scores: usize,
    /// What the model would take.
    _memory: Vec<u8>,
    /// What runs left behind.
    leaked: Mutex<Vec<Vec<u8>>>,
}

impl SimulatedModel {
    pub(crate) fn load(order: &Order<'_>) -> Result<Self, LoadError> {
        let spec = order.manifest.simulated;
        sleep(millis(spec.load_ms));
        let memory = memory(spec.memory_mib).map_err(|reason| LoadError::Target {
            file: order.path.to_owned(),
            target: TargetKind::Simulated,
            step: "take its memory",
            reason,
        })?;
        let scores = order.classes.unwrap_or(2);
        let shape = order.picture_shape.map_or_else(|| vec![Some(1), None], |shape| shape.map(Some).into());
        let input = TensorSpec { name: "input".into(), element: ElementType::F32, shape };
        let output = TensorSpec { name: "parts".into(), element: ElementType::F32, shape: vec![Some(1), Some(scores)] };
        let description = ModelDescription { inputs: vec![input], outputs: vec![output] };
        Ok(Self { description, spec, runs: AtomicU32::new(0), scores, _memory: memory, leaked: Mutex::default() })
    }

    pub(crate) fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// Whatever the input is, the run takes as long.
    pub(crate) fn run(&self, progress: &mut Progress<'_>) -> Result<Vec<Tensor>, RunError> {
        let SimulatedSpec { latency_ms, steps, fail_every, crash_every, hang_every, leak_mib, .. } = self.spec;
        let run = self.runs.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let is_each = |every: u32| every > 0 && run.is_multiple_of(every);
        let taken_over = progress.from.and_then(|from| step_of(from, steps)).unwrap_or(0);
        for step in taken_over + 1..=steps {
            sleep(millis(latency_ms) / steps);
            if step < steps {
                (progress.keep)(&step.to_le_bytes());
            }
            if is_each(crash_every) && step >= steps.div_ceil(2) {
                std::process::abort();
            }
        }
        while is_each(hang_every) {
            sleep(HANG);
        }
        let failed = |reason| RunError::Target { target: TargetKind::Simulated, reason };
        if leak_mib > 0 {
            self.leaked.lock().unwrap_or_else(PoisonError::into_inner).push(memory(leak_mib).map_err(failed)?);
        }
        if is_each(fail_every) {
            let reason = format!("it fails each {fail_every} runs, as its manifest says");
            return Err(failed(reason));
        }
        let part = |count: u32| f64::from(count) / f64::from(steps);
        let parts = [part(steps - taken_over), part(taken_over)].into_iter().chain(std::iter::repeat(0.0));
        #[expect(clippy::cast_possible_truncation, reason = "a part of one needs no more digits")]
        let bytes = parts.take(self.scores).flat_map(|part| (part as f32).to_le_bytes()).collect();
        Ok(vec![Tensor::new(ElementType::F32, vec![1, self.scores], bytes)?])
    }
}

/// Memory that is written to, so that the system really gives it.
fn memory(mib: u32) -> Result<Vec<u8>, String> {
    let bytes = (mib as usize) << 20;
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|error| error.to_string())?;
    memory.resize(bytes, 1);
    Ok(memory)
}

/// Up to which step a checkpoint is; none where it is none of ours.
fn step_of(checkpoint: &[u8], steps: u32) -> Option<u32> {
    let step = u32::from_le_bytes(checkpoint.try_into().ok()?);
    (step < steps).then_some(step)
}

fn millis(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

//! The runtimes of this machine: which targets really run here, and what their workers are run with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use skein_core::Resources;
use skein_core::capability::DeviceKind;
use skein_targets::{Place, TargetKind, find_library, usual_folders};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::Libraries;
use crate::worker::known_answer::known_answer;

mod cache;

/// How long an agent waits at its start for what it can run: with less than that every runtime we know starts on a small
/// board, and a node that is back with fewer targets than before would lose its workers to others.
const WAIT_AT_START: Duration = Duration::from_secs(5);

/// What is known of this machine's runtimes.
#[derive(Clone, Debug)]
pub struct Runtimes(Arc<Known>);

#[derive(Debug)]
struct Known {
    libraries: Libraries,
    cache: PathBuf,
    onnxruntime: OnceLock<bool>,
    openvino: OnceLock<bool>,
}

impl Runtimes {
    /// Tries every runtime that is installed, each in a process of its own: one that cannot do the simplest sum here is not
    /// offered. One that takes long is offered later.
    pub async fn find(libraries: Libraries, state_dir: &Path) -> Self {
        let cache = state_dir.join("compiled");
        cache::prune(&cache);
        let known = Known { libraries, cache, onnxruntime: OnceLock::new(), openvino: OnceLock::new() };
        let runtimes = Self(Arc::new(known));
        let mut trials = JoinSet::new();
        for target in TargetKind::ALL {
            if runtimes.0.is_known(*target).is_some() {
                trials.spawn(runtimes.clone().try_out(*target));
            }
        }
        let all = timeout(WAIT_AT_START, async { while trials.join_next().await.is_some() {} });
        if all.await.is_err() {
            trials.detach_all();
        }
        runtimes
    }

    /// The targets that run here, by name.
    pub fn targets(&self) -> Vec<String> {
        self.kinds().map(|target| target.name().to_owned()).collect()
    }

    /// The targets that run here and compute, the one that every node has first.
    pub fn computing(&self) -> impl Iterator<Item = TargetKind> {
        self.kinds().filter(|target| target.computes())
    }

    /// What a model is run with by this target, on this device of the node and with so much of the node.
    pub fn place(&self, target: &str, device: Option<(&str, DeviceKind)>, need: &Resources) -> Place {
        let target: Option<TargetKind> = target.parse().ok();
        let library = match target {
            Some(TargetKind::Onnxruntime) => self.0.libraries.onnxruntime.clone(),
            Some(TargetKind::Openvino) => self.0.libraries.openvino.clone(),
            Some(TargetKind::Tract | TargetKind::Simulated) | None => None,
        };
        // A worker that is given half a core still needs a thread.
        let threads = usize::try_from(need.cpu_millicores.div_ceil(1000)).unwrap_or(1).max(1);
        let device = device.and_then(|(name, kind)| named_by(target?, name, kind));
        Place { library, device, threads, cache: Some(self.0.cache.clone()) }
    }

    fn kinds(&self) -> impl Iterator<Item = TargetKind> {
        let runs = |target: &TargetKind| self.0.is_known(*target).is_none_or(|known| known.get() == Some(&true));
        TargetKind::ALL.iter().copied().filter(runs)
    }

    async fn try_out(self, target: TargetKind) {
        let place = self.place(target.name(), None, &Resources::default());
        let runs = match find_library(target, place.library.as_deref(), &usual_folders()) {
            Ok(library) => {
                let answer = known_answer(target.name(), place).await;
                match &answer {
                    Ok(()) => tracing::info!(%target, library = %library.display(), "runtime found"),
                    Err(error) => tracing::warn!(%target, library = %library.display(), "not offered: {error}"),
                }
                answer.is_ok()
            }
            Err(error) => {
                // Most machines have none, and that is well; but what somebody stated should be there.
                if place.library.is_some() {
                    tracing::warn!(%target, "not offered: {error}");
                }
                false
            }
        };
        if let Some(known) = self.0.is_known(target) {
            let _ = known.set(runs);
        }
    }
}

impl Known {
    /// Whether it is known of a target that needs a library that it runs; none where it needs none.
    fn is_known(&self, target: TargetKind) -> Option<&OnceLock<bool>> {
        match target {
            TargetKind::Onnxruntime => Some(&self.onnxruntime),
            TargetKind::Openvino => Some(&self.openvino),
            TargetKind::Tract | TargetKind::Simulated => None,
        }
    }
}

/// What a target calls a device of this node: the agent calls GPUs and sticks by their kind and a number from 0.
fn named_by(target: TargetKind, name: &str, kind: DeviceKind) -> Option<String> {
    let number = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    match (target, kind) {
        (TargetKind::Onnxruntime, DeviceKind::Gpu) => Some(format!("gpu:{number}")),
        (TargetKind::Openvino, DeviceKind::Movidius) => Some("MYRIAD".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_without_runtimes_offers_what_needs_none() {
        let state = tempfile::tempdir().unwrap();
        let nowhere = Some(PathBuf::from("/nowhere"));
        let libraries = Libraries { onnxruntime: nowhere.clone(), openvino: nowhere };
        let runtimes = Runtimes::find(libraries, state.path()).await;
        assert_eq!(runtimes.targets(), ["tract", "simulated"]);
        assert_eq!(runtimes.computing().collect::<Vec<_>>(), [TargetKind::Tract]);
    }

    #[tokio::test]
    async fn a_worker_gets_the_threads_that_it_asked_for_and_its_device() {
        let state = tempfile::tempdir().unwrap();
        let openvino = Some(PathBuf::from("/nowhere/libopenvino_c.so"));
        let libraries = Libraries { onnxruntime: Some("/nowhere".into()), openvino: openvino.clone() };
        let runtimes = Runtimes::find(libraries, state.path()).await;
        let need = |cpu_millicores| Resources { cpu_millicores, ..Resources::default() };
        let threads = |cpu_millicores| runtimes.place("openvino", None, &need(cpu_millicores)).threads;
        assert_eq!([0, 500, 1000, 1001, 4000].map(threads), [1, 1, 1, 2, 4]);
        let place = runtimes.place("openvino", Some(("cpu", DeviceKind::Cpu)), &need(1000));
        assert_eq!((place.library, place.device), (openvino, None));
        assert_eq!(place.cache, Some(state.path().join("compiled")));
        let gpu = runtimes.place("onnxruntime", Some(("gpu1", DeviceKind::Gpu)), &need(1000));
        assert_eq!(gpu.device.as_deref(), Some("gpu:1"));
    }
}

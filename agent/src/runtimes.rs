//! The runtimes of this machine: which targets really run here, and what their workers are run with.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use skein_core::Resources;
use skein_core::capability::{Device, DeviceKind};
use skein_targets::{Place, TargetKind, find_library, usual_folders};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{Libraries, Program};
use crate::worker::known_answer::known_answer;

mod cache;

/// What stands before a program's name in the name of its target.
pub const PROCESS: &str = "process:";
/// How long an agent waits at its start for what it can run: a node that is back with fewer targets than before would lose its
/// workers to others. On a PC both runtimes answer within half a second; a small board may take ten times as long.
const WAIT_AT_START: Duration = Duration::from_secs(5);

/// What is known of this machine's runtimes.
#[derive(Clone, Debug)]
pub struct Runtimes(Arc<Known>);

#[derive(Debug)]
struct Known {
    libraries: Libraries,
    /// Those that are there.
    programs: BTreeMap<String, Program>,
    cache: PathBuf,
    onnxruntime: OnceLock<bool>,
    openvino: OnceLock<bool>,
}

impl Runtimes {
    /// Tries every runtime that is installed, each in a process of its own: one that cannot do the simplest sum here is not
    /// offered. One that takes long is offered later.
    pub async fn find(libraries: Libraries, programs: BTreeMap<String, Program>, state_dir: &Path) -> Self {
        let cache = state_dir.join("compiled");
        cache::prune(&cache);
        let programs = programs.into_iter().filter(|(name, program)| is_there(name, program)).collect();
        let known = Known { libraries, programs, cache, onnxruntime: OnceLock::new(), openvino: OnceLock::new() };
        let runtimes = Self(Arc::new(known));
        let mut trials = JoinSet::new();
        for target in TargetKind::ALL {
            if runtimes.0.trial(*target).is_some() {
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
        let kinds = self.kinds().map(|target| target.name().to_owned());
        kinds.chain(self.0.programs.keys().map(|name| format!("{PROCESS}{name}"))).collect()
    }

    /// Kinds of device that programs drive here.
    pub fn driven(&self) -> BTreeSet<DeviceKind> {
        self.0.programs.values().flat_map(|program| &program.drives).map(|driven| driven.kind()).collect()
    }

    /// The targets that run here and compute, by name, the one that every node has first.
    pub fn computing(&self) -> impl Iterator<Item = String> {
        self.targets().into_iter().filter(|target| target != TargetKind::Simulated.name())
    }

    /// What a model is run with by this target, on this device of the node and with so much of the node.
    pub fn place(&self, target: &str, device: Option<DeviceKind>, need: &Resources) -> Place {
        let program = target.strip_prefix(PROCESS).and_then(|name| self.0.programs.get(name));
        let program = program.map(|program| program.command.clone()).unwrap_or_default();
        let target: Option<TargetKind> = target.parse().ok();
        let library = match target {
            Some(TargetKind::Onnxruntime) => self.0.libraries.onnxruntime.clone(),
            Some(TargetKind::Openvino) => self.0.libraries.openvino.clone(),
            Some(TargetKind::Tract | TargetKind::Process | TargetKind::Simulated) | None => None,
        };
        // A worker that is given half a core still needs a thread.
        let threads = usize::try_from(need.cpu_millicores.div_ceil(1000)).unwrap_or(1).max(1);
        let device = device.and_then(|kind| named_by(target?, kind));
        Place { library, device, threads, program, cache: Some(self.0.cache.clone()) }
    }

    fn kinds(&self) -> impl Iterator<Item = TargetKind> {
        let runs = |target: &TargetKind| self.0.trial(*target).is_none_or(|trial| trial.get() == Some(&true));
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
        if let Some(trial) = self.0.trial(target) {
            let _ = trial.set(runs);
        }
    }
}

impl Known {
    /// How the trial of a target went that needs a library; none where it needs none.
    fn trial(&self, target: TargetKind) -> Option<&OnceLock<bool>> {
        match target {
            TargetKind::Onnxruntime => Some(&self.onnxruntime),
            TargetKind::Openvino => Some(&self.openvino),
            TargetKind::Tract | TargetKind::Process | TargetKind::Simulated => None,
        }
    }
}

/// The environment that binds a worker to its device: it sees no other GPU, and a program is told which device is meant.
pub fn environment(devices: &[Device], device: &str) -> Vec<(&'static str, String)> {
    // GPUs are called by their place on the bus, in whose order CUDA is asked to count them.
    let is_gpu = |device: &&Device| device.kind == DeviceKind::Gpu;
    let own = devices.iter().find(|known| known.name == device).filter(is_gpu);
    let number = own.map(|own| devices.iter().filter(is_gpu).filter(|other| other.name < own.name).count());
    let visible = number.map(|number| number.to_string()).unwrap_or_default();
    vec![("SKEIN_DEVICE", device.into()), ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".into()), ("CUDA_VISIBLE_DEVICES", visible)]
}

/// Whether the program can be called. What it can do, each model shows.
fn is_there(name: &str, program: &Program) -> bool {
    let found = program.command.first().map(std::fs::metadata);
    match found {
        Some(Ok(file)) if file.is_file() && file.permissions().mode() & 0o111 != 0 => return true,
        Some(Ok(_)) => tracing::warn!("[process.{name}] is not offered: {} is no program", program.command[0]),
        Some(Err(error)) => tracing::warn!("[process.{name}] is not offered: {}: {error}", program.command[0]),
        None => {}
    }
    false
}

/// What a target calls the one device that a worker sees of its kind: see [`environment`].
fn named_by(target: TargetKind, kind: DeviceKind) -> Option<String> {
    match (target, kind) {
        (TargetKind::Onnxruntime, DeviceKind::Gpu) => Some("gpu:0".into()),
        (TargetKind::Openvino, DeviceKind::Movidius) => Some("MYRIAD".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Driven;
    use skein_core::capability::Heat;

    #[tokio::test]
    async fn a_machine_without_runtimes_offers_what_needs_none() {
        let state = tempfile::tempdir().unwrap();
        let nowhere = Some(PathBuf::from("/nowhere"));
        let libraries = Libraries { onnxruntime: nowhere.clone(), openvino: nowhere };
        let runtimes = Runtimes::find(libraries, BTreeMap::new(), state.path()).await;
        assert_eq!(runtimes.targets(), ["tract", "simulated"]);
        assert_eq!(runtimes.computing().collect::<Vec<_>>(), ["tract"]);
    }

    #[tokio::test]
    async fn a_worker_gets_the_threads_that_it_asked_for_and_its_device() {
        let state = tempfile::tempdir().unwrap();
        let openvino = Some(PathBuf::from("/nowhere/libopenvino_c.so"));
        let libraries = Libraries { onnxruntime: Some("/nowhere".into()), openvino: openvino.clone() };
        let runtimes = Runtimes::find(libraries, BTreeMap::new(), state.path()).await;
        let need = |cpu_millicores| Resources { cpu_millicores, ..Resources::default() };
        let threads = |cpu_millicores| runtimes.place("openvino", None, &need(cpu_millicores)).threads;
        assert_eq!([0, 500, 1000, 1001, 4000].map(threads), [1, 1, 1, 2, 4]);
        let place = runtimes.place("openvino", Some(DeviceKind::Cpu), &need(1000));
        assert_eq!((place.library, place.device), (openvino, None));
        assert_eq!(place.cache, Some(state.path().join("compiled")));
        let gpu = runtimes.place("onnxruntime", Some(DeviceKind::Gpu), &need(1000));
        assert_eq!(gpu.device.as_deref(), Some("gpu:0"));
    }

    #[test]
    fn a_worker_sees_no_gpu_but_its_own() {
        let device = |name: &str, kind| Device {
            name: name.into(),
            kind,
            hardware: String::new(),
            offers: Resources::default(),
            heat: Heat::Cool,
        };
        let devices = [
            device("cpu", DeviceKind::Cpu),
            device("gpu-65:00.0", DeviceKind::Gpu),
            device("gpu-17:00.0", DeviceKind::Gpu),
        ];
        let of = |name: &str| environment(&devices, name).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(of("cpu"), ["cpu", "PCI_BUS_ID", ""]);
        assert_eq!(of("gpu-17:00.0"), ["gpu-17:00.0", "PCI_BUS_ID", "0"]);
        assert_eq!(of("gpu-65:00.0"), ["gpu-65:00.0", "PCI_BUS_ID", "1"]);
    }

    #[tokio::test]
    async fn a_program_is_offered_where_it_can_be_called() {
        let state = tempfile::tempdir().unwrap();
        let program =
            |path: &str| Program { command: vec![path.into(), "--fast".into()], drives: [Driven::Gpu].into() };
        let programs = [("there", "/bin/sh"), ("missing", "/no/such/program"), ("file", "/etc/passwd")];
        let programs = programs.map(|(name, path)| (name.to_owned(), program(path))).into();
        let nowhere = Some(PathBuf::from("/nowhere"));
        let libraries = Libraries { onnxruntime: nowhere.clone(), openvino: nowhere };
        let runtimes = Runtimes::find(libraries, programs, state.path()).await;
        assert_eq!(runtimes.targets(), ["tract", "simulated", "process:there"]);
        assert_eq!(runtimes.driven(), [DeviceKind::Gpu].into());
        let place = |target: &str| runtimes.place(target, Some(DeviceKind::Gpu), &Resources::default()).program;
        assert_eq!(place("process:there"), ["/bin/sh", "--fast"]);
        assert_eq!((place("process:missing"), place("tract")), (vec![], vec![]));
    }
}

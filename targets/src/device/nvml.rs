//! NVIDIA's management library, loaded while the program runs: where there is none, there are no GPUs to ask about.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device as Gpu, EventSet, Nvml};

use super::Slowdown;
use super::nvidia::{ComputeCapability, Ecc, GpuProcess, NvidiaDetails, Told, address};
use super::thermal::Temperature;

/// The name under which the driver installs it.
const INSTALLED: &str = "libnvidia-ml.so.1";
/// More GPUs than any machine has.
const GPUS_MAX: u32 = 64;
/// Processes told of one GPU: those that use the most.
const PROCESSES_MAX: usize = 64;
/// Events taken of one GPU at one look: a broken one may send them faster than they are read.
const EVENTS_MAX: usize = 64;
/// Critical errors after which a GPU computes no more until it is reset, by NVIDIA's list ("XID Errors"). Others, such as 13 or 31,
/// are the fault of the program that ran.
const FATAL_XIDS: &[(u64, &str)] = &[
    (48, "memory error that could not be corrected"),
    (62, "its micro-controller stopped"),
    (64, "a broken row of memory could not be retired"),
    (74, "NVLink error"),
    (79, "it has fallen off the bus"),
    (95, "memory error that reached others"),
    (119, "its system processor does not answer"),
    (120, "error of its system processor"),
];

/// The library: where it is, and what was loaded from there.
#[derive(Debug)]
pub(super) struct Library {
    path: Option<OsString>,
    loaded: Option<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    nvml: &'static Nvml,
    driver: Option<String>,
    /// The GPUs that were seen, by their place on PCI.
    watched: BTreeMap<String, Watched>,
}

/// What is remembered of one GPU.
#[derive(Debug)]
struct Watched {
    /// None where it tells of no errors.
    events: Option<EventSet<'static>>,
    xid: Option<u64>,
    /// The last error that it does not recover from by itself.
    fatal: Option<u64>,
}

impl Library {
    pub(super) fn none() -> Self {
        Self { path: None, loaded: None }
    }

    pub(super) fn installed() -> Self {
        Self { path: Some(INSTALLED.into()), loaded: None }
    }

    pub(super) fn at(path: &Path) -> Self {
        Self { path: Some(path.into()), loaded: None }
    }

    /// What the library tells of each GPU that it knows. Nothing where it cannot be loaded or does not work; it is tried again
    /// the next time, as a driver may be installed at any time.
    pub(super) fn gpus(&mut self) -> Vec<Told> {
        if self.loaded.is_none() {
            self.loaded = self.path.as_ref().and_then(|path| Loaded::load(path).ok());
        }
        self.loaded.as_mut().map(Loaded::gpus).unwrap_or_default()
    }
}

impl Loaded {
    fn load(path: &OsString) -> Result<Self, NvmlError> {
        // Never unloaded: sets of events borrow it for as long as there are GPUs to watch, which is as long as the process lives.
        let nvml: &'static Nvml = Box::leak(Box::new(Nvml::builder().lib_path(path).init()?));
        Ok(Self { nvml, driver: nvml.sys_driver_version().ok(), watched: BTreeMap::new() })
    }

    fn gpus(&mut self) -> Vec<Told> {
        let count = self.nvml.device_count().unwrap_or(0).min(GPUS_MAX);
        let gpus = (0..count).filter_map(|index| {
            let gpu = self.nvml.device_by_index(index).ok()?;
            // A Jetson's own GPU is on no bus: its device tree tells more of it.
            let address = address(&gpu.pci_info().ok()?.bus_id)?;
            let watched = self.watched.entry(address.clone()).or_insert_with(|| Watched::begin(self.nvml, &gpu));
            watched.look();
            let mut told = tell(&gpu);
            told.fault = told.fault.or_else(|| watched.fatal.map(fault));
            told.details =
                NvidiaDetails { pci_address: address, driver: self.driver.clone(), xid: watched.xid, ..told.details };
            Some(told)
        });
        gpus.collect()
    }
}

impl Watched {
    fn begin(nvml: &'static Nvml, gpu: &Gpu<'static>) -> Self {
        let events = nvml.create_event_set().ok();
        let events = events.and_then(|events| gpu.register_events(EventTypes::CRITICAL_XID_ERROR, events).ok());
        Self { events, xid: None, fatal: None }
    }

    /// Takes in what has happened since the last look.
    fn look(&mut self) {
        let Some(events) = &self.events else { return };
        for _ in 0..EVENTS_MAX {
            let Ok(event) = events.wait(0) else { return };
            if let Some(XidError::Value(xid)) = event.event_data {
                self.xid = Some(xid);
                self.fatal = Some(xid).filter(|xid| FATAL_XIDS.iter().any(|(fatal, _)| fatal == xid)).or(self.fatal);
            }
        }
    }
}

fn fault(xid: u64) -> String {
    let why = FATAL_XIDS.iter().find(|(fatal, _)| *fatal == xid).map_or("critical error", |(_, why)| *why);
    format!("Xid {xid}: {why}; reset the GPU or restart the machine")
}

fn tell(gpu: &Gpu<'_>) -> Told {
    let memory = gpu.memory_info();
    let slows_at = gpu.temperature_threshold(TemperatureThreshold::Slowdown).ok().and_then(millidegrees);
    let temperature = gpu.temperature(TemperatureSensor::Gpu).ok().and_then(millidegrees);
    let capability = gpu.cuda_compute_capability().ok().and_then(|capability| {
        let (major, minor) = (u32::try_from(capability.major).ok()?, u32::try_from(capability.minor).ok()?);
        Some(ComputeCapability { major, minor })
    });
    Told {
        hardware: gpu.name().ok().filter(|name| !name.is_empty()),
        temperature: temperature.and_then(|temperature| Temperature::new(temperature, slows_at)),
        slowdowns: gpu.current_throttle_reasons().map(slowdowns).unwrap_or_default(),
        fault: match &memory {
            Err(NvmlError::GpuLost) => Some("it has fallen off the bus; restart the machine".into()),
            Err(NvmlError::ResetRequired) => Some("it has to be reset before it works again".into()),
            _ => None,
        },
        details: NvidiaDetails {
            uuid: gpu.uuid().ok(),
            compute_capability: capability,
            memory_used_bytes: memory.as_ref().ok().map(|memory| memory.used),
            power_milliwatts: gpu.power_usage().ok(),
            power_limit_milliwatts: gpu.enforced_power_limit().ok(),
            load_percent: gpu.utilization_rates().ok().map(|rates| rates.gpu),
            ecc: ecc(gpu),
            processes: processes(gpu),
            ..NvidiaDetails::default()
        },
        memory_bytes: memory.ok().map(|memory| memory.total),
    }
}

fn millidegrees(degrees: u32) -> Option<i32> {
    i32::try_from(degrees).ok()?.checked_mul(1000)
}

/// That it keeps to its power cap, or idles, is no slowdown.
fn slowdowns(reasons: ThrottleReasons) -> Vec<Slowdown> {
    let heat = ThrottleReasons::HW_THERMAL_SLOWDOWN | ThrottleReasons::SW_THERMAL_SLOWDOWN;
    let brake = ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
    // Older cards say only that the hardware slows down, which is for heat but where the power brake says otherwise.
    let is_slow = reasons.contains(ThrottleReasons::HW_SLOWDOWN);
    let mut slowdowns = Vec::new();
    if reasons.intersects(heat) || (is_slow && !reasons.contains(brake)) {
        slowdowns.push(Slowdown::Heat);
    }
    if reasons.contains(brake) {
        slowdowns.push(Slowdown::PowerBrake);
    }
    slowdowns
}

fn ecc(gpu: &Gpu<'_>) -> Option<Ecc> {
    gpu.is_ecc_enabled().ok().filter(|state| state.currently_enabled)?;
    let count = |kind| gpu.total_ecc_errors(kind, EccCounter::Volatile).ok();
    Some(Ecc { corrected: count(MemoryError::Corrected)?, uncorrected: count(MemoryError::Uncorrected)? })
}

fn processes(gpu: &Gpu<'_>) -> Vec<GpuProcess> {
    let running = gpu.running_compute_processes().unwrap_or_default();
    let mut processes: Vec<GpuProcess> = running
        .iter()
        .map(|process| GpuProcess {
            process: process.pid,
            memory_bytes: match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            },
        })
        .collect();
    processes.sort_unstable_by_key(|process| (std::cmp::Reverse(process.memory_bytes), process.process));
    processes.truncate(PROCESSES_MAX);
    processes
}

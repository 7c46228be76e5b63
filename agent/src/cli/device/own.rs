//! How the devices of one machine are shown, by their own account.

use serde::Serialize;
use skein_targets::{Details, Device, DeviceKind, JetsonDetails, MovidiusDetails, NvidiaDetails, Slowdown};

use crate::cli::output::{Show, bytes, table};

/// All devices of a machine.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct OwnDevices(pub(super) Vec<Device>);

/// One of them.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct OwnDevice(pub(super) Device);

impl Show for OwnDevices {
    fn table(&self) -> String {
        let rows = self.0.iter().map(|device| {
            [
                device.name.clone(),
                kind(device.kind).into(),
                device.hardware.clone(),
                if device.memory_bytes == 0 { "-".into() } else { bytes(device.memory_bytes) },
                device.temperature.map_or_else(|| "-".into(), |now| degrees(now.millidegrees)),
                condition(device),
                features(device),
            ]
        });
        table(["DEVICE", "KIND", "HARDWARE", "MEMORY", "TEMPERATURE", "CONDITION", "DETAILS"], rows.collect())
    }

    fn quiet(&self) -> String {
        self.0.iter().map(|device| device.name.clone() + "\n").collect()
    }
}

impl Show for OwnDevice {
    fn table(&self) -> String {
        let device = &self.0;
        let slows_at = device.temperature.map(|now| degrees(now.slows_at_millidegrees));
        let mut facts = vec![
            ("device", Some(device.name.clone())),
            ("kind", Some(kind(device.kind).into())),
            ("hardware", Some(device.hardware.clone())),
            ("memory", (device.memory_bytes > 0).then(|| bytes(device.memory_bytes))),
            ("temperature", device.temperature.map(|now| degrees(now.millidegrees))),
            ("slows down at", slows_at),
            ("condition", Some(condition(device))),
        ];
        facts.extend(details(device));
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let known = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        // Lists have a line for each of their members.
        let below = format!("\n{:width$}  ", "");
        known.map(|(name, value)| format!("{name:width$}  {}\n", value.replace('\n', &below))).collect()
    }

    fn quiet(&self) -> String {
        self.0.name.clone()
    }
}

fn kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "cpu",
        DeviceKind::Gpu => "gpu",
        DeviceKind::Movidius => "movidius",
    }
}

fn degrees(millidegrees: i32) -> String {
    let tenths = millidegrees / 100;
    format!("{}{}.{} °C", if tenths < 0 { "-" } else { "" }, (tenths / 10).abs(), (tenths % 10).abs())
}

fn condition(device: &Device) -> String {
    if let Some(fault) = &device.fault {
        return format!("BROKEN: {fault}");
    }
    if device.slowdowns.is_empty() { "good".into() } else { format!("SLOW: {}", reasons(&device.slowdowns)) }
}

fn reasons(slowdowns: &[Slowdown]) -> String {
    let reason = |slowdown: &Slowdown| match slowdown {
        Slowdown::Heat => "heat",
        Slowdown::UnderVoltage => "under-voltage",
        Slowdown::FrequencyCap => "frequency held down",
        Slowdown::PowerBrake => "power brake",
    };
    slowdowns.iter().map(reason).collect::<Vec<_>>().join(", ")
}

/// What matters most of a device, in a few words.
fn features(device: &Device) -> String {
    let parts: Vec<Option<String>> = match &device.details {
        Details::Cpu(cpu) => {
            let features = cpu.features.iter().map(|feature| Some(feature.name().to_owned()));
            [Some(cores(cpu.logical_cores))].into_iter().chain(features).chain([cpu.board.clone()]).collect()
        }
        Details::Nvidia(gpu) => {
            let capability = gpu.compute_capability.map(|capability| format!("compute {capability}"));
            let driver = gpu.driver.as_ref().map_or_else(|| "no driver".into(), |driver| format!("driver {driver}"));
            vec![capability, Some(driver), gpu.power_milliwatts.map(watts), gpu.load_percent.map(busy)]
        }
        Details::Jetson(gpu) => vec![
            Some(format!("compute {}", gpu.compute_capability)),
            gpu.module.clone(),
            gpu.power_mode.clone(),
            gpu.load_permille.map(|load| busy(load / 10)),
        ],
        Details::Movidius(stick) => vec![stick.megabits.map(usb), Some(in_use(stick).into())],
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// All the rest that a device says.
fn details(device: &Device) -> Vec<(&'static str, Option<String>)> {
    match &device.details {
        Details::Cpu(cpu) => {
            let features: Vec<&str> = cpu.features.iter().map(|feature| feature.name()).collect();
            let slowed = &cpu.slowed_since_start;
            vec![
                ("cores", Some(cpu.logical_cores.to_string())),
                ("features", (!features.is_empty()).then(|| features.join(", "))),
                ("board", cpu.board.clone()),
                ("slowed since start", (!slowed.is_empty()).then(|| reasons(slowed))),
            ]
        }
        Details::Nvidia(gpu) => nvidia(gpu),
        Details::Jetson(gpu) => jetson(gpu),
        Details::Movidius(stick) => vec![
            ("usb path", Some(stick.usb_path.clone())),
            ("connection", stick.megabits.map(usb)),
            ("state", Some(in_use(stick).into())),
        ],
    }
}

fn nvidia(gpu: &NvidiaDetails) -> Vec<(&'static str, Option<String>)> {
    let power = gpu.power_milliwatts.map(|power| match gpu.power_limit_milliwatts {
        Some(limit) => format!("{} of {}", watts(power), watts(limit)),
        None => watts(power),
    });
    let processes = gpu.processes.iter().map(|process| {
        let memory = process.memory_bytes.map_or_else(|| "unknown memory".into(), bytes);
        format!("{} ({memory})", process.process)
    });
    let processes: Vec<String> = processes.collect();
    vec![
        ("pci address", Some(gpu.pci_address.clone())),
        ("uuid", gpu.uuid.clone()),
        ("driver", Some(gpu.driver.clone().unwrap_or_else(|| "none".into()))),
        ("compute capability", gpu.compute_capability.map(|capability| capability.to_string())),
        ("memory used", gpu.memory_used_bytes.map(bytes)),
        ("power", power),
        ("load", gpu.load_percent.map(busy)),
        ("ecc errors", gpu.ecc.map(|ecc| format!("{} corrected, {} not", ecc.corrected, ecc.uncorrected))),
        ("last xid", gpu.xid.map(|xid| xid.to_string())),
        ("processes", (!processes.is_empty()).then(|| processes.join("\n"))),
    ]
}

fn jetson(gpu: &JetsonDetails) -> Vec<(&'static str, Option<String>)> {
    let rails: Vec<String> = gpu.rails.iter().map(|rail| format!("{} {} mW", rail.name, rail.milliwatts)).collect();
    vec![
        ("module", gpu.module.clone()),
        ("compute capability", Some(gpu.compute_capability.to_string())),
        ("memory is", Some("the board's own, shared with the processor".into())),
        ("load", gpu.load_permille.map(|load| busy(load / 10))),
        ("power mode", gpu.power_mode.clone()),
        ("rails", (!rails.is_empty()).then(|| rails.join("\n"))),
    ]
}

fn cores(count: u32) -> String {
    if count == 1 { "1 core".into() } else { format!("{count} cores") }
}

fn watts(milliwatts: u32) -> String {
    format!("{}.{} W", milliwatts / 1000, milliwatts % 1000 / 100)
}

fn busy(percent: u32) -> String {
    format!("{percent} % busy")
}

fn usb(megabits: u32) -> String {
    match megabits {
        ..=12 => format!("USB at {megabits} Mbit/s"),
        13..=480 => "USB 2".into(),
        _ => "USB 3".into(),
    }
}

fn in_use(stick: &MovidiusDetails) -> &'static str {
    if stick.is_booted { "in use" } else { "not in use" }
}

#[cfg(test)]
mod tests;

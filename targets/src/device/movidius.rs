//! Movidius sticks on USB: each one a device, named after the port it is plugged into.
//!
//! A stick has no serial number of its own, so the port is all that tells one from another. It comes up without its firmware, under
//! a number that says which it is; whoever opens it loads the firmware, and it comes back under another, at USB 3 speed where the
//! port has it, and so on another bus.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tree::Tree;
use super::{Details, Device, DeviceKind};

const VENDOR: &str = "03e7";
/// Both sticks have 4 Gbit of memory in the chip's package (MA2450, MA2485).
const MEMORY_BYTES: u64 = 512 << 20;

/// USB allows seven hubs in a row; this is a bus and twice as many ports of two digits.
const USB_PATH_BYTES_MAX: usize = 48;

/// What a stick says of itself beside its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovidiusDetails {
    /// Its place in sysfs, which OpenVINO knows it by: `1-1.4`.
    pub usb_path: String,
    /// Whether its firmware runs, which is so while somebody uses it.
    pub is_booted: bool,
    /// The speed of its connection in Mbit/s; 480 is USB 2, 5000 USB 3.
    pub megabits: Option<u32>,
}

/// Which stick it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Ncs1,
    Ncs2,
    /// One that was never seen without its firmware.
    Unknown,
}

impl Model {
    const fn hardware(self) -> &'static str {
        match self {
            Model::Ncs1 => "Movidius NCS1 (Myriad 2)",
            Model::Ncs2 => "Movidius NCS2 (Myriad X)",
            Model::Unknown => "Movidius stick",
        }
    }
}

/// All sticks; `known` is what was seen where, and becomes what is there by now.
pub(super) fn find(tree: &Tree, known: &mut BTreeMap<String, Model>) -> Vec<Device> {
    let devices = "sys/bus/usb/devices";
    let mut sticks: BTreeMap<String, (Model, MovidiusDetails)> = BTreeMap::new();
    for usb_path in tree.entries(devices).into_iter().filter(|entry| is_usb_path(entry)) {
        let read = |name: &str| tree.text(&format!("{devices}/{usb_path}/{name}")).to_lowercase();
        if read("idVendor") != VENDOR {
            continue;
        }
        let name = format!("stick-{}", port(tree, &usb_path));
        let (model, is_booted) = match read("idProduct").as_str() {
            "2150" => (Model::Ncs1, false),
            "2485" => (Model::Ncs2, false),
            "f63b" => (known.get(&name).copied().unwrap_or(Model::Unknown), true),
            _ => continue,
        };
        let megabits = read("speed").parse().ok();
        sticks.insert(name, (model, MovidiusDetails { usb_path, is_booted, megabits }));
    }
    *known = sticks.iter().map(|(name, (model, _))| (name.clone(), *model)).collect();
    let device = |(name, (model, details)): (String, (Model, MovidiusDetails))| Device {
        name,
        kind: DeviceKind::Movidius,
        hardware: model.hardware().to_owned(),
        memory_bytes: MEMORY_BYTES,
        temperature: None,
        slowdowns: Vec::new(),
        fault: None,
        details: Details::Movidius(details),
    };
    sticks.into_iter().map(device).collect()
}

/// Whether it is a bus and the ports on the way from there, as in `1-1.4`: the folder has interfaces, too.
fn is_usb_path(entry: &str) -> bool {
    entry.len() <= USB_PATH_BYTES_MAX && entry.chars().all(|sign| sign.is_ascii_digit() || sign == '-' || sign == '.')
}

/// The port of a stick: a USB 3 port belongs to two buses, and is named after the one of USB 2, where sticks come up. Where
/// the kernel does not say which ports are one, a stick has another name while it is in use.
fn port(tree: &Tree, usb_path: &str) -> String {
    let peer = tree.link_name(&format!("sys/bus/usb/devices/{usb_path}/port/peer"));
    // `usb1-port2` is port 2 of the bus itself, `1-1-port2` that of a hub at 1-1.
    let peer = peer.and_then(|peer| {
        let (hub, port) = peer.rsplit_once("-port")?;
        Some(hub.strip_prefix("usb").map_or_else(|| format!("{hub}.{port}"), |bus| format!("{bus}-{port}")))
    });
    let peer = peer.filter(|peer| is_usb_path(peer));
    let is_usb3 = tree.number::<u32>(&format!("sys/bus/usb/devices/{usb_path}/speed")).is_some_and(|speed| speed > 480);
    peer.filter(|_| is_usb3).unwrap_or_else(|| usb_path.to_owned())
}

//! How the devices of a mesh are shown.

use serde::Serialize;
use skein_core::NodeId;
use skein_core::capability::DeviceKind;
use skein_core::health::{Ending, Phase};

use crate::api::{DeviceStatus, MeshStatus, NodeStatus};
use crate::cli::node::heat;
use crate::cli::output::{Show, bytes, table};

/// Every device of a mesh, node by node.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct MeshDevices<'mesh>(Vec<MeshDevice<'mesh>>);

/// A device, and whose it is.
#[derive(Debug, Serialize)]
struct MeshDevice<'mesh> {
    node: NodeId,
    node_name: &'mesh str,
    state: &'static str,
    #[serde(flatten)]
    device: &'mesh DeviceStatus,
    #[serde(skip)]
    memory_bytes: u64,
    #[serde(skip)]
    used: String,
}

impl<'mesh> MeshDevices<'mesh> {
    pub(super) fn of(mesh: &'mesh MeshStatus) -> Self {
        let of_node = |node: &'mesh NodeStatus| node.devices.iter().map(move |device| MeshDevice::of(node, device));
        Self(mesh.nodes.iter().flat_map(of_node).collect())
    }
}

impl<'mesh> MeshDevice<'mesh> {
    fn of(node: &'mesh NodeStatus, device: &'mesh DeviceStatus) -> Self {
        let (memory_bytes, used) = match device.kind {
            // The processor offers through its node.
            DeviceKind::Cpu => {
                let (used, offers) = (device.used.cpu_millicores, node.offers.cpu_millicores);
                (node.offers.memory_bytes, format!("{used}m of {offers}m cpu"))
            }
            DeviceKind::Gpu | DeviceKind::Movidius => {
                let (used, offers) = (device.used.gpu_milli, device.offers.gpu_milli);
                (device.offers.gpu_memory_bytes, format!("{used}m of {offers}m gpu"))
            }
        };
        let used = if device.is_driven() { used } else { "-".into() };
        Self { node: node.node, node_name: &node.name, state: state(node, device), device, memory_bytes, used }
    }
}

fn state(node: &NodeStatus, device: &DeviceStatus) -> &'static str {
    let block = node.block.as_ref().or(device.block.as_ref());
    match (&device.phase, block) {
        _ if !node.up => "its node is DOWN",
        (_, Some(block)) if block.ending == Ending::AtOnce => "blocked",
        (_, Some(_)) => "drained",
        _ if !device.is_driven() => "nothing drives it",
        (Phase::Quarantined { .. } | Phase::Testing { .. }, None) => "quarantined",
        (Phase::Probation { .. }, None) => "on probation",
        (Phase::Sound, None) => "up",
    }
}

fn kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "cpu",
        DeviceKind::Gpu => "gpu",
        DeviceKind::Movidius => "movidius",
    }
}

impl Show for MeshDevices<'_> {
    fn table(&self) -> String {
        let rows = self.0.iter().map(|MeshDevice { node_name, state, device, memory_bytes, used, .. }| {
            [
                (*node_name).to_owned(),
                device.name.clone(),
                kind(device.kind).into(),
                device.hardware.clone(),
                if *memory_bytes == 0 { "-".into() } else { bytes(*memory_bytes) },
                used.clone(),
                heat(device.heat).into(),
                (*state).into(),
            ]
        });
        table(["NODE", "DEVICE", "KIND", "HARDWARE", "MEMORY", "USED", "HEAT", "STATE"], rows.collect())
    }

    fn quiet(&self) -> String {
        self.0.iter().map(|found| format!("{}/{}\n", found.node_name, found.device.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::node::tests::{device, mesh, shown};
    use skein_core::Resources;

    #[test]
    fn each_device_is_shown_with_its_node_and_why_it_gets_no_work() {
        let mut alpha = shown("alpha", 1);
        alpha.devices[0].used.cpu_millicores = 500;
        alpha.devices.push(device("gpu-01:00.0", DeviceKind::Gpu));
        alpha.devices[1].offers.gpu_memory_bytes = 24 << 30;
        alpha.devices.push(device("stick-1-1.4", DeviceKind::Movidius));
        alpha.devices[2].offers = Resources { gpu_milli: 1000, gpu_memory_bytes: 512 << 20, ..Resources::default() };
        let mut beta = shown("beta", 2);
        beta.up = false;
        let mesh = mesh(vec![alpha, beta]);
        let devices = MeshDevices::of(&mesh);
        let table = devices.table();
        let lines: Vec<&str> = table.lines().collect();
        let has = |line: usize, words: &[&str]| words.iter().all(|word| lines[line].contains(word));
        assert!(has(1, &["alpha", "cpu", "made up", "1024.0 MiB", "500m of 2000m cpu", "cool", "up"]), "{table}");
        assert!(has(2, &["gpu-01:00.0", "24576.0 MiB", "nothing drives it"]) && !has(2, &["0m of"]), "{table}");
        assert!(has(3, &["stick-1-1.4", "movidius", "512.0 MiB", "0m of 1000m gpu", "up"]), "{table}");
        assert!(has(4, &["beta", "its node is DOWN"]), "{table}");
        assert_eq!(devices.quiet(), "alpha/cpu\nalpha/gpu-01:00.0\nalpha/stick-1-1.4\nbeta/cpu\n");
        let json = serde_json::to_value(&devices).unwrap();
        assert_eq!(json[1]["node_name"], "alpha");
        assert_eq!((&json[1]["name"], &json[1]["state"]), (&"gpu-01:00.0".into(), &"nothing drives it".into()));
    }
}

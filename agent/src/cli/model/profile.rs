//! `skein model profile`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use skein_core::NodeId;
use skein_core::capability::{Heat, Profile};
use skein_core::model::ModelQuery;

use crate::api::{Answer, MeshStatus, Request};
use crate::cli::Common;
use crate::cli::output::{Show, table};

/// How fast a model runs on one device.
#[derive(Debug, PartialEq, Serialize)]
struct Speed {
    #[serde(flatten)]
    profile: Profile,
    node: NodeId,
    node_name: String,
    /// None where the device is gone.
    heat: Option<Heat>,
}

pub(super) async fn run(common: &Common, model: Option<ModelQuery>) -> anyhow::Result<ExitCode> {
    let Answer::Nodes(mesh) = common.connect().await?.ask(Request::NodeStatus).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&speeds(mesh, model.as_ref()))?;
    Ok(ExitCode::SUCCESS)
}

/// The quickest place of each model first.
fn speeds(mesh: MeshStatus, model: Option<&ModelQuery>) -> Vec<Speed> {
    let is_meant = |profile: &Profile| {
        let named = |query: &ModelQuery| query.name == profile.model.name;
        model.is_none_or(|query| named(query) && query.version.is_none_or(|version| version == profile.model.version))
    };
    let speeds = mesh.nodes.into_iter().flat_map(|status| {
        let heat = |device: &str| status.devices.iter().find(|known| known.name == device).map(|known| known.heat);
        let (node, name) = (status.node, status.name.clone());
        let profiles = status.profiles.iter().filter(|profile| is_meant(profile)).cloned();
        let speed = |profile: Profile| Speed { node, node_name: name.clone(), heat: heat(&profile.device), profile };
        profiles.map(speed).collect::<Vec<_>>()
    });
    let mut speeds: Vec<Speed> = speeds.collect();
    speeds.sort_by(|one, other| {
        let key = |speed: &Speed| (speed.profile.model.clone(), speed.profile.run_micros);
        key(one).cmp(&key(other))
    });
    speeds
}

impl Show for Vec<Speed> {
    fn table(&self) -> String {
        if self.is_empty() {
            return "Nothing was measured yet: a model is when a worker of it starts.".into();
        }
        let row = |speed: &Speed| {
            let micros = speed.profile.run_micros;
            let heat = speed.heat.map_or("gone".into(), |heat| format!("{heat:?}").to_lowercase());
            [
                speed.profile.model.to_string(),
                speed.profile.target.clone(),
                speed.node_name.clone(),
                speed.profile.device.clone(),
                format!("{}.{:03}", micros / 1_000, micros % 1_000),
                format!("{:.1}", Duration::from_micros(micros.max(1)).as_secs_f64().recip()),
                heat,
            ]
        };
        table(["MODEL", "TARGET", "NODE", "DEVICE", "MS", "RUNS/S", "HEAT"], self.iter().map(row).collect())
    }

    fn quiet(&self) -> String {
        self.iter().map(|speed| format!("{}\n", speed.profile.run_micros)).collect()
    }
}

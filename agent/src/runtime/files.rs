//! Model files: brought to this node for its workers, and kept by every voter.

use std::collections::BTreeSet;
use std::time::Duration;

use skein_core::capability::DeviceKind;
use skein_core::model::{Blob, Digest, ModelSpec};
use skein_core::{NodeId, WorkerId};
use skein_raft::Role;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::api::handle::Api;
use crate::blobs::BlobError;
use crate::runtimes::environment;
use crate::worker::host::Order;
use crate::worker::protocol::Load;

/// How often a file is asked for before a worker is given up: its only holder may just be coming back.
const TRIES_MAX: u32 = 10;
/// The wait between two tries.
const AGAIN: Duration = Duration::from_millis(500);

/// What a worker of this node is to be, once its files are here.
pub(super) async fn prepare(api: Api, worker: WorkerId) -> Result<Order, String> {
    let found = api.seat.read(|state| {
        let planned = state.workers.get(&worker)?;
        let session = state.sessions.get(&planned.session)?;
        let capability = &state.nodes.get(&planned.node)?.spec.capability;
        let kind = capability.device(&planned.device).map_or(DeviceKind::Cpu, |device| device.kind);
        let place = api.runtimes.place(&session.spec.target, Some(kind), &planned.need);
        let environment = environment(&capability.devices, &planned.device);
        let task_time = Duration::from_millis(session.spec.task_time.0);
        let given = (planned.need.cpu_millicores, task_time, place, environment);
        Some((given, session.spec.target.clone(), session.model.clone(), state.models.get(&session.model)?.clone()))
    });
    let Some(((cpu_millicores, task_time, place, environment), target, model, spec)) = found else {
        return Err("its session ended while it started".into());
    };
    let ModelSpec { file, labels, manifest, .. } = spec;
    for blob in [Some(file), labels].into_iter().flatten() {
        fetch(&api, blob).await.map_err(|error| format!("the model {model} did not arrive: {error}"))?;
    }
    let load = Load {
        target,
        file: api.blobs.path(file.digest),
        name: model.to_string(),
        manifest,
        labels: labels.map(|labels| api.blobs.path(labels.digest)),
        place,
    };
    Ok(Order { load, cpu_millicores, environment, task_time })
}

/// Brings a file here, from whoever has it.
pub(crate) async fn fetch(api: &Api, blob: Blob) -> Result<(), BlobError> {
    for _ in 1..TRIES_MAX {
        match api.blobs.fetch(blob, &api.pool, holders(api)).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(digest = %blob.digest, "a model file is not here yet: {error}"),
        }
        sleep(AGAIN).await;
    }
    api.blobs.fetch(blob, &api.pool, holders(api)).await
}

/// Who may have files, the likeliest first: voters keep all of them, others what their workers use.
fn holders(api: &Api) -> Vec<NodeId> {
    let voters = api.seat.role().voters;
    let mut nodes: Vec<NodeId> = api.seat.read(|state| {
        let up = state.nodes.iter().filter(|(_, node)| node.up).map(|(id, _)| *id);
        up.filter(|id| *id != api.node).collect()
    });
    nodes.sort_by_key(|node| !voters.contains(node));
    nodes
}

/// Keeps a copy of every model while this node votes, so that a model outlives the node it was added at.
#[derive(Debug)]
pub(super) struct Keeper {
    api: Api,
    fetching: Option<JoinHandle<()>>,
    /// The file that was last asked for: the next one is tried after it, so that one which nobody has holds up no other.
    last: Option<Digest>,
}

impl Keeper {
    pub(super) fn new(api: Api) -> Self {
        Self { api, fetching: None, last: None }
    }

    /// Looks for a file that is missing, and goes to get it, one at a time.
    pub(super) fn keep(&mut self, role: &Role) {
        if !role.voters.contains(&self.api.node) || self.fetching.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let missing = self.api.seat.read(|state| {
            let blobs = state.models.values().flat_map(ModelSpec::blobs);
            let missing: BTreeSet<Blob> = blobs.filter(|blob| !self.api.blobs.has(blob.digest)).collect();
            let next = missing.iter().find(|blob| self.last.is_none_or(|last| blob.digest > last));
            next.or(missing.first()).copied()
        });
        self.last = missing.map(|blob| blob.digest);
        self.fetching = missing.map(|blob| {
            let api = self.api.clone();
            tokio::spawn(async move {
                if let Err(error) = fetch(&api, blob).await {
                    tracing::warn!("cannot keep a copy of a model: {error}");
                }
            })
        });
    }
}

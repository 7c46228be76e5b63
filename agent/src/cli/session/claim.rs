//! What a session asks for, as a person says it: by flags, over a file with the same keys, over defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use skein_core::dispatch::retry::Retry;
use skein_core::model::ModelQuery;
use skein_core::policy::PolicyName;
use skein_core::session::{GRACE_DEFAULT, Hold, PRIORITY_DEFAULT, PRIORITY_MAX, SessionSpec};
use skein_core::{Millis, Resources};
use skein_targets::TargetKind;

use crate::api::NodeStatus;
use crate::cli::find;
use crate::config::Size;
pub(crate) use asked::ClaimArgs;
pub(crate) use words::millis;
use words::{duration, named, parsed, table};

mod asked;
mod words;

/// What a worker needs unless it is said: one core, and what the smaller vision models take.
const CPU_DEFAULT: u64 = 1000;
const MEMORY_DEFAULT: Size = Size { bytes: 256 << 20 };

/// What a session asks for; the same names as flags and in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Claim {
    /// The model: NAME for its newest version, NAME@2 for one
    #[arg(long)]
    #[serde(deserialize_with = "parsed")]
    pub(crate) model: Option<ModelQuery>,
    /// How many workers to keep ready; 0 is for sessions with a share alone [default: 1]
    #[arg(long, value_name = "WORKERS")]
    fixed: Option<u32>,
    /// Its part of what is spare, against those of other sessions with pending tasks; needs --max [default: 0]
    #[arg(long, value_name = "PARTS")]
    share: Option<u32>,
    /// The most workers it may have with its share [default: as many as --fixed]
    #[arg(long, value_name = "WORKERS")]
    max: Option<u32>,
    /// 0 to 100; higher goes first, where the policy looks at it [default: 50]
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=i64::from(PRIORITY_MAX)))]
    priority: Option<u8>,
    /// fcfs, priority, exclusive, preemptive or gpu-binding [default: that of the mesh]
    #[arg(long)]
    #[serde(deserialize_with = "parsed")]
    policy: Option<PolicyName>,
    /// Keep each device, or each node, on which it stands to itself
    #[arg(long, value_enum, conflicts_with = "bind")]
    exclusive: Option<Exclusive>,
    /// `each`: a device of its own for each worker; NODE/DEVICE: that device and no other
    #[arg(long, value_name = "each|NODE/DEVICE")]
    #[serde(deserialize_with = "parsed")]
    bind: Option<Bind>,
    /// What one worker needs of the processor, in thousandths of a core [default: 1000]
    #[arg(long, value_name = "MILLICORES")]
    cpu: Option<u64>,
    /// What one worker needs of memory, in MiB or with a unit, as in 2GiB [default: 256]
    #[arg(long, value_name = "MIB")]
    memory: Option<Size>,
    /// Up to how much processor a worker is given when it is measured to use it
    #[arg(long, value_name = "MILLICORES")]
    cpu_max: Option<u64>,
    /// Up to how much memory a worker is given when it is measured to use it
    #[arg(long, value_name = "MIB")]
    memory_max: Option<Size>,
    /// What one worker needs of a GPU or stick, in thousandths of it [default: 0]
    #[arg(long, value_name = "THOUSANDTHS")]
    gpu: Option<u64>,
    /// What one worker needs of GPU memory [default: 0]
    #[arg(long, value_name = "MIB")]
    gpu_memory: Option<Size>,
    /// What one worker needs of something with a name, as in camera=1; may be given several times
    #[arg(long, value_name = "NAME=COUNT", value_parser = named)]
    #[serde(deserialize_with = "table")]
    need: Option<Vec<(String, u64)>>,
    /// More tries of a failed task on the node where it failed [default: 1]
    #[arg(long, value_name = "TIMES")]
    retry_local: Option<u32>,
    /// Further nodes on which a failed task is tried [default: 2]
    #[arg(long, value_name = "NODES")]
    retry_hosts: Option<u32>,
    /// The wait before the first retry; each further one doubles it [default: 50ms]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(deserialize_with = "duration")]
    retry_back_off: Option<Duration>,
    /// How long a worker that has to leave may go on, to finish what it has [default: 2s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(deserialize_with = "duration")]
    grace: Option<Duration>,
    /// How long a worker may be at one task, or go without a checkpoint of it, before it counts as hung [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(deserialize_with = "duration")]
    task_time: Option<Duration>,
    /// How long a node that has lost the mesh goes on with the session: a duration, or `unlimited` [default: 1h]
    #[arg(long, value_name = "DURATION")]
    #[serde(deserialize_with = "parsed")]
    offline: Option<Offline>,
    /// Refuse the session at once where no node could ever hold a worker of it, in place of waiting for one that can
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    refuse_unfit: Option<bool>,
    /// How to run the model: tract, onnxruntime, openvino, simulated, or process:NAME [default: tract]
    #[arg(long)]
    #[serde(deserialize_with = "parsed")]
    target: Option<TargetName>,
}

/// What of a place it keeps to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Exclusive {
    /// Each device on which it stands
    Device,
    /// Each node on which it stands
    Node,
}

/// How long a node goes on without the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offline(pub(super) Millis);

/// A target by name: one of this binary's, or a program of the nodes that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetName(pub(super) String);

/// What it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// A device of its own for each worker.
    Each,
    /// One device, by the node's name or id and its own name.
    To {
        /// As the person wrote it.
        node: String,
        /// The device.
        device: String,
    },
}

impl Claim {
    pub(super) fn over(self, weaker: Self) -> Self {
        // Each of the two says what is kept, so one of the flags replaces either of the file.
        let (exclusive, bind) = match (self.exclusive, self.bind) {
            (None, None) => (weaker.exclusive, weaker.bind),
            stronger => stronger,
        };
        Self {
            model: self.model.or(weaker.model),
            fixed: self.fixed.or(weaker.fixed),
            share: self.share.or(weaker.share),
            max: self.max.or(weaker.max),
            priority: self.priority.or(weaker.priority),
            policy: self.policy.or(weaker.policy),
            exclusive,
            bind,
            cpu: self.cpu.or(weaker.cpu),
            memory: self.memory.or(weaker.memory),
            cpu_max: self.cpu_max.or(weaker.cpu_max),
            memory_max: self.memory_max.or(weaker.memory_max),
            gpu: self.gpu.or(weaker.gpu),
            gpu_memory: self.gpu_memory.or(weaker.gpu_memory),
            need: self.need.or(weaker.need),
            retry_local: self.retry_local.or(weaker.retry_local),
            retry_hosts: self.retry_hosts.or(weaker.retry_hosts),
            retry_back_off: self.retry_back_off.or(weaker.retry_back_off),
            grace: self.grace.or(weaker.grace),
            task_time: self.task_time.or(weaker.task_time),
            offline: self.offline.or(weaker.offline),
            refuse_unfit: self.refuse_unfit.or(weaker.refuse_unfit),
            target: self.target.or(weaker.target),
        }
    }

    pub(super) fn spec(self, nodes: &[NodeStatus]) -> anyhow::Result<SessionSpec> {
        let Some(model) = self.model.clone() else {
            bail!("it names no model: give --model NAME, or `model = \"NAME\"` in the session file");
        };
        let need = self.need()?;
        let target = self.target.as_ref().map_or(TargetKind::Tract.name(), |target| target.0.as_str());
        let default = SessionSpec::of(model, target, need.clone());
        let retry = Retry::default();
        let fixed = self.fixed.unwrap_or(default.fixed);
        let spec = SessionSpec {
            need_max: self.need_max(&need),
            fixed,
            share: self.share.unwrap_or(0),
            max: self.max.unwrap_or(fixed),
            priority: self.priority.unwrap_or(PRIORITY_DEFAULT),
            policy: self.policy,
            hold: self.hold(nodes)?,
            retry: Retry {
                local: self.retry_local.unwrap_or(retry.local),
                hosts: self.retry_hosts.unwrap_or(retry.hosts),
                back_off: self.retry_back_off.map_or(retry.back_off, millis),
            },
            grace: self.grace.map_or(GRACE_DEFAULT, millis),
            task_time: self.task_time.map_or(default.task_time, millis),
            offline: self.offline.map_or(default.offline, |offline| offline.0),
            refuse_unfit: self.refuse_unfit.unwrap_or(false),
            ..default
        };
        // The mesh checks it again; said here, the person also hears which file it is.
        spec.check().map_err(|why| anyhow::anyhow!("the session cannot be: {why}"))?;
        Ok(spec)
    }

    fn need(&self) -> anyhow::Result<Resources> {
        let mut named = BTreeMap::new();
        for (name, count) in self.need.iter().flatten() {
            if named.insert(name.clone(), *count).is_some() {
                bail!("it needs '{name}' twice: give the sum once");
            }
        }
        Ok(Resources {
            cpu_millicores: self.cpu.unwrap_or(CPU_DEFAULT),
            memory_bytes: self.memory.unwrap_or(MEMORY_DEFAULT).bytes,
            gpu_milli: self.gpu.unwrap_or(0),
            gpu_memory_bytes: self.gpu_memory.map_or(0, |size| size.bytes),
            named,
        })
    }

    fn need_max(&self, need: &Resources) -> Option<Resources> {
        if self.cpu_max.is_none() && self.memory_max.is_none() {
            return None;
        }
        Some(Resources {
            cpu_millicores: self.cpu_max.unwrap_or(need.cpu_millicores),
            memory_bytes: self.memory_max.map_or(need.memory_bytes, |size| size.bytes),
            ..need.clone()
        })
    }

    fn hold(&self, nodes: &[NodeStatus]) -> anyhow::Result<Option<Hold>> {
        Ok(match (self.exclusive, &self.bind) {
            (Some(_), Some(_)) => bail!("it is both exclusive and bound: give one of the two"),
            (None, None) => None,
            (Some(Exclusive::Device), None) => Some(Hold::Device),
            (Some(Exclusive::Node), None) => Some(Hold::Node),
            (None, Some(Bind::Each)) => Some(Hold::EachDevice),
            (None, Some(Bind::To { node, device })) => {
                let node = find::node(nodes, node)?;
                find::device(node, device)?;
                Some(Hold::Named { node: node.node, device: device.clone() })
            }
        })
    }
}

#[cfg(test)]
mod tests;

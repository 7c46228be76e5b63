//! `skein policy`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;
use skein_core::policy::{POLICIES, PolicyName};

use crate::api::{Answer, Change, Request};
use crate::cli::output::{Show, table};
use crate::cli::{Common, find};

/// What `skein policy` takes; nothing shows which it is.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Order the sessions of the mesh by another policy, and place new ones by it that name none
    Set {
        /// fcfs, priority, exclusive, preemptive or gpu-binding
        policy: PolicyName,
    },
}

/// The mesh's policy.
#[derive(Debug, Serialize)]
struct Shown {
    policy: PolicyName,
    #[serde(skip)]
    is_new: bool,
}

pub(crate) async fn run(common: &Common, command: Option<PolicyCommand>) -> anyhow::Result<ExitCode> {
    let client = common.connect().await?;
    let shown = match command {
        None => Shown { policy: find::mesh(&client).await?.policy, is_new: false },
        Some(PolicyCommand::Set { policy }) => match client.ask(Request::Change(Change::PolicySet(policy))).await? {
            Answer::Policy(policy) => Shown { policy, is_new: true },
            _ => bail!("the agent gave an answer that does not fit the question"),
        },
    };
    common.output().show(&shown)?;
    Ok(ExitCode::SUCCESS)
}

impl Show for Shown {
    fn table(&self) -> String {
        if self.is_new {
            return format!("The mesh's policy is {} from now on", self.policy);
        }
        let row = |name: PolicyName| {
            let mark = if name == self.policy { "in force" } else { "-" };
            [name.to_string(), mark.into(), meaning(name).into()]
        };
        table(["POLICY", "MESH", "MEANING"], POLICIES.iter().map(|(name, _, _)| row(*name)).collect())
    }

    fn quiet(&self) -> String {
        self.policy.to_string()
    }
}

fn meaning(policy: PolicyName) -> &'static str {
    match policy {
        PolicyName::Fcfs => "the oldest session first",
        PolicyName::Priority => "the highest priority first; nobody who runs has to leave for it",
        PolicyName::Exclusive => "the oldest session first, each with devices of its own",
        PolicyName::Preemptive => "the highest priority first, in the place of lower ones if need be",
        PolicyName::GpuBinding => "the oldest session first, each worker with a GPU or stick of its own",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_in_force_is_marked() {
        let shown = Shown { policy: PolicyName::Preemptive, is_new: false };
        let text = shown.table();
        let marked: Vec<&str> = text.lines().filter(|line| line.contains("in force")).collect();
        assert_eq!(marked.len(), 1, "{text}");
        assert!(marked[0].starts_with("preemptive"), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
        assert_eq!(serde_json::to_string(&shown).unwrap(), r#"{"policy":"preemptive"}"#);
        assert_eq!(shown.quiet(), "preemptive");
    }
}

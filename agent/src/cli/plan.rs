//! `skein plan`: what would happen.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use skein_core::NodeId;
use skein_core::explain::{Forecast, Victim};
use skein_core::plan::Placement;

use crate::api::{Answer, MeshStatus, Request};
use crate::cli::amounts::length;
use crate::cli::output::{Show, table};
use crate::cli::session::asked_for;
use crate::cli::session::claim::ClaimArgs;
use crate::cli::{Common, explain, find};

/// What would happen, and what the nodes are called.
#[derive(Debug, Serialize)]
struct Shown {
    outcome: Outcome,
    #[serde(flatten)]
    forecast: Forecast,
    #[serde(skip)]
    names: BTreeMap<NodeId, String>,
}

/// What would become of a session's fixed workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// All of them start at once.
    Starts,
    /// Others have to leave for some of them.
    Preempts,
    /// Some of them wait.
    Waits,
}

pub(crate) async fn run(common: &Common, claim: ClaimArgs) -> anyhow::Result<ExitCode> {
    let (client, spec) = asked_for(common, claim).await?;
    let Answer::Forecast(forecast) = client.ask(Request::PlanTrial(spec)).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    let shown = Shown::of(*forecast, &find::mesh(&client).await?);
    common.output().show(&shown)?;
    Ok(ExitCode::SUCCESS)
}

impl Shown {
    fn of(forecast: Forecast, mesh: &MeshStatus) -> Self {
        let outcome = if forecast.starts.len() >= forecast.explanation.fixed as usize {
            Outcome::Starts
        } else if forecast.victims.is_empty() {
            Outcome::Waits
        } else {
            Outcome::Preempts
        };
        let names = mesh.nodes.iter().map(|node| (node.node, node.name.clone())).collect();
        Self { outcome, forecast, names }
    }

    fn name(&self, node: NodeId) -> String {
        self.names.get(&node).cloned().unwrap_or_else(|| node.to_string())
    }

    fn starts(&self) -> String {
        let rows = self.forecast.starts.iter();
        let rows = rows.map(|start| [self.name(start.node), start.device.clone()]);
        format!("\nWould start at once:\n{}", table(["NODE", "DEVICE"], rows.collect()))
    }

    fn victims(&self) -> String {
        let row = |victim: &Victim| {
            [
                victim.worker.to_string(),
                victim.session.to_string(),
                self.name(victim.node),
                victim.device.clone(),
                length(victim.grace),
                victim.why.to_string(),
            ]
        };
        let headings = ["WORKER", "SESSION", "NODE", "DEVICE", "GRACE", "WHY"];
        format!("\nWould have to leave:\n{}", table(headings, self.forecast.victims.iter().map(row).collect()))
    }
}

impl Shown {
    /// What would follow, step by step.
    fn then(&self) -> String {
        let start = |placement: &Placement| {
            let (node, device) = (self.name(placement.node), &placement.device);
            format!("a worker of session {} starts on {node}, device '{device}'", placement.session)
        };
        let leave = |victim: &Victim| {
            let (node, why) = (self.name(victim.node), victim.why);
            format!("worker {} of session {} leaves {node}: {why}", victim.worker, victim.session)
        };
        let rows = (2..).zip(&self.forecast.then).flat_map(|(number, step)| {
            let lines = step.starts.iter().map(start).chain(step.victims.iter().map(leave));
            lines.map(move |line| [number.to_string(), line])
        });
        let more = if self.forecast.goes_on { "\n(and more than is shown)" } else { "" };
        format!("\nThen, once those have left:\n{}{more}", table(["STEP", "WHAT"], rows.collect()))
    }
}

impl Show for Shown {
    fn table(&self) -> String {
        let forecast = &self.forecast;
        let (now, fixed) = (forecast.starts.len(), forecast.explanation.fixed);
        let rest = match self.outcome {
            Outcome::Starts => "",
            Outcome::Preempts => "; others have to leave for more",
            Outcome::Waits => "; the rest would wait",
        };
        let mut text =
            format!("It would be session {}, with {now} of {fixed} fixed workers at once{rest}.\n", forecast.session);
        if !forecast.starts.is_empty() {
            text += &self.starts();
        }
        if !forecast.victims.is_empty() {
            text += &self.victims();
        }
        if !forecast.then.is_empty() {
            text += &self.then();
        }
        if self.outcome != Outcome::Starts {
            text += &format!("\n{}", explain::reasons(&forecast.explanation));
        }
        text + "\nNothing was changed.\n"
    }

    fn quiet(&self) -> String {
        match self.outcome {
            Outcome::Starts => "starts",
            Outcome::Preempts => "preempts",
            Outcome::Waits => "waits",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_core::explain::Step;
    use skein_core::policy::PolicyName;
    use skein_core::worker::Why;
    use skein_core::{Millis, SessionId, WorkerId};

    use crate::cli::explain::tests::explanation;
    use crate::cli::node::tests::shown as node;

    fn shown(starts: usize, victims: usize) -> Shown {
        let start = Placement { session: SessionId(4), node: NodeId(1), device: "cpu".into() };
        let victim = Victim {
            worker: WorkerId(9),
            session: SessionId(2),
            node: NodeId(2),
            device: "cpu".into(),
            why: Why::Preempted { by: SessionId(4) },
            grace: Millis(2000),
        };
        let forecast = Forecast {
            session: SessionId(4),
            then: if victims > 0 { vec![Step { starts: vec![start.clone()], victims: vec![] }] } else { vec![] },
            goes_on: false,
            starts: vec![start; starts],
            victims: vec![victim; victims],
            explanation: explanation(),
        };
        let mesh = MeshStatus {
            mesh: None,
            asked: NodeId(1),
            leader: None,
            term: 1,
            policy: PolicyName::Fcfs,
            island: None,
            waiting: crate::island::waiting::WaitingStatus::default(),
            nodes: vec![node("alpha", 1), node("beta", 2)],
        };
        Shown::of(forecast, &mesh)
    }

    #[test]
    fn victims_are_named_with_their_grace() {
        let shown = shown(1, 1);
        let text = shown.table();
        assert!(text.contains("session 4, with 1 of 2 fixed workers at once; others have to leave"), "{text}");
        let row = text.lines().find(|line| line.starts_with('9')).unwrap();
        let row: Vec<&str> = row.split_whitespace().take(5).collect();
        assert_eq!(row, ["9", "2", "beta", "cpu", "2s"]);
        assert!(text.contains("2     a worker of session 4 starts on alpha, device 'cpu'"), "{text}");
        assert!(text.contains("gamma") && text.ends_with("Nothing was changed.\n"), "{text}");
        assert_eq!(shown.quiet(), "preempts");
    }

    #[test]
    fn what_starts_needs_no_reasons_and_what_waits_has_them() {
        let text = shown(2, 0).table();
        assert!(text.contains("alpha") && !text.contains("gamma"), "{text}");
        assert_eq!(shown(2, 0).quiet(), "starts");
        assert!(shown(0, 0).table().contains("the rest would wait"));
        assert_eq!(shown(0, 0).quiet(), "waits");
        let json = serde_json::to_value(shown(1, 1)).unwrap();
        assert_eq!((&json["outcome"], &json["victims"][0]["session"]), (&"preempts".into(), &2.into()));
    }
}

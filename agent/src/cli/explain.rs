//! `skein explain`: why something waits, or stands where it stands.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use skein_core::explain::{Explanation, Score, Verdict};
use skein_core::{SessionId, WorkerId};

use crate::api::{Answer, Request, Subject};
use crate::cli::Common;
use crate::cli::amounts::resources;
use crate::cli::node::heat;
use crate::cli::output::{Show, table};

/// What `skein explain` takes.
#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Where one more worker of a session could stand, and why nowhere else
    Session {
        /// The session's number
        session: SessionId,
    },
    /// Why a worker stands where it stands
    Worker {
        /// The worker's number
        worker: WorkerId,
    },
}

pub(crate) async fn run(common: &Common, command: ExplainCommand) -> anyhow::Result<ExitCode> {
    let subject = match command {
        ExplainCommand::Session { session } => Subject::Session(session),
        ExplainCommand::Worker { worker } => Subject::Worker(worker),
    };
    let client = common.connect().await?;
    let Answer::Explained(explanation) = client.ask(Request::Explain(subject)).await? else {
        bail!("the agent gave an answer that does not fit the question");
    };
    common.output().show(&explanation)?;
    Ok(ExitCode::SUCCESS)
}

impl Show for Explanation {
    fn table(&self) -> String {
        let mut text = String::new();
        if let Some(worker) = self.worker {
            text += &format!("Worker {worker} of session {}, as if it were not there yet:\n", self.session);
        }
        text += &format!(
            "Session {} has {} workers of {} fixed, and should have {} now; each is given {}.\n\
             It is placed by {}; the mesh goes by {}.\n",
            self.session,
            self.serving,
            self.fixed,
            self.target,
            resources(&self.reserved),
            self.policy,
            self.mesh_policy,
        );
        text + "\n" + &best(self) + &reasons(self)
    }

    fn quiet(&self) -> String {
        let best = self.places.iter().filter(|place| matches!(place.verdict, Verdict::Scored(_)));
        best.map(|place| format!("{}/{}\n", place.node_name, place.device)).collect()
    }
}

/// The places where one may stand, the best first.
fn best(explanation: &Explanation) -> String {
    let places = explanation.places.iter().filter_map(|place| match &place.verdict {
        Verdict::Scored(score) => Some((place, score)),
        Verdict::Refused(_) => None,
    });
    let row = |(at, (place, score)): (usize, (&skein_core::explain::PlaceVerdict, &Score))| {
        let [same, speed, policy, model, heat, probation, load] = score_words(score);
        let (node, device) = (place.node_name.clone(), place.device.clone());
        [(at + 1).to_string(), node, device, same, speed, policy, model, heat, probation, load]
    };
    let rows: Vec<_> = places.enumerate().map(row).collect();
    if rows.is_empty() {
        return "No place for one more worker now.\n\n".into();
    }
    let headings = ["BEST", "NODE", "DEVICE", "OWN WORKERS", "SPEED", "POLICY", "MODEL", "HEAT", "TRUST", "LOAD"];
    table(headings, rows) + "\n"
}

fn score_words(score: &Score) -> [String; 7] {
    let speed = |micros: u64| format!("{}.{:01} ms", micros / 1000, micros % 1000 / 100);
    [
        score.same_session.to_string(),
        score.run_micros.map_or("not measured".into(), speed),
        score.policy.to_string(),
        if score.warm { "loaded".into() } else { "-".into() },
        heat(score.heat).into(),
        if score.probation { "on probation".into() } else { "sound".into() },
        format!("{} %", score.load_percent),
    ]
}

/// Whose turn comes first, why it can never be, and why it may not stand where it may not.
pub(crate) fn reasons(explanation: &Explanation) -> String {
    let mut text = String::new();
    if let Some(before) = explanation.before_it {
        text += &format!("Sessions that lack workers and come before it: {before}\n");
    }
    if let Some(why) = &explanation.never_fits {
        text += &format!("No node could ever hold a worker of it: {why}\n");
    }
    let refused = explanation.places.iter().filter_map(|place| match &place.verdict {
        Verdict::Refused(why) => Some([place.node_name.clone(), place.device.clone(), why.to_string()]),
        Verdict::Scored(_) => None,
    });
    let rows: Vec<_> = refused.collect();
    if !rows.is_empty() {
        text += &table(["NODE", "DEVICE", "WHY NOT"], rows);
    }
    if explanation.left_out > 0 {
        text += &format!("and {} further places\n", explanation.left_out);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use skein_core::capability::Heat;
    use skein_core::explain::PlaceVerdict;
    use skein_core::plan::feasible::Unfit;
    use skein_core::policy::PolicyName;
    use skein_core::resources::Dimension;
    use skein_core::{NodeId, Resources};

    /// A session that could have a worker at one place and not at another.
    pub(crate) fn explanation() -> Explanation {
        let score = Score {
            same_session: 1,
            run_micros: Some(12_345),
            policy: 0,
            warm: true,
            heat: Heat::Cool,
            probation: false,
            load_percent: 50,
        };
        let no_room = Unfit::NoRoom { dimension: Dimension::Cpu, need: 500, room: 250 };
        let place = |id, name: &str, verdict| PlaceVerdict {
            node: NodeId(id),
            node_name: name.into(),
            device: "cpu".into(),
            verdict,
        };
        Explanation {
            session: SessionId(4),
            worker: None,
            policy: PolicyName::Preemptive,
            mesh_policy: PolicyName::Fcfs,
            serving: 1,
            fixed: 2,
            target: 3,
            before_it: Some(2),
            reserved: Resources { cpu_millicores: 500, memory_bytes: 128 << 20, ..Resources::default() },
            never_fits: None,
            places: vec![place(2, "beta", Verdict::Scored(score)), place(3, "gamma", Verdict::Refused(no_room))],
            left_out: 0,
        }
    }

    #[test]
    fn an_explanation_reads_from_the_best_place_to_those_refused() {
        let want = "\
Session 4 has 1 workers of 2 fixed, and should have 3 now; each is given 500m cpu, 128 MiB.
It is placed by preemptive; the mesh goes by fcfs.

BEST  NODE  DEVICE  OWN WORKERS  SPEED    POLICY  MODEL   HEAT  TRUST  LOAD
1     beta  cpu     1            12.3 ms  0       loaded  cool  sound  50 %

Sessions that lack workers and come before it: 2
NODE   DEVICE  WHY NOT
gamma  cpu     it needs 500m cpu, 250m cpu are left
";
        assert_eq!(explanation().table(), want);
        assert_eq!(explanation().quiet(), "beta/cpu\n");
    }

    #[test]
    fn what_can_never_be_is_said() {
        let mut explanation = explanation();
        explanation.places.clear();
        explanation.worker = Some(WorkerId(9));
        explanation.never_fits = Some("it needs 12 GiB GPU memory; the largest device has 8 GiB GPU memory".into());
        explanation.left_out = 3;
        let text = explanation.table();
        for words in ["Worker 9 of session 4", "No place for one more", "could ever hold", "12 GiB", "3 further places"]
        {
            assert!(text.contains(words), "'{words}' should be in:\n{text}");
        }
    }
}

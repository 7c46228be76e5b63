//! How sessions are shown.

use skein_core::island::IslandAccount;
use skein_core::session::Hold;
use skein_core::worker::{Duty, WorkerStatus};

use crate::api::{SessionStatus, WorkerEntry};
use crate::cli::amounts::{resources, time, whole};
use crate::cli::output::{Show, table};
use crate::island::SessionIsland;

impl Show for Vec<SessionStatus> {
    fn table(&self) -> String {
        match self.as_slice() {
            [] => "No session is open: open one with `skein session create --model NAME`.".into(),
            [one] => overview(self) + "\n" + &details(one),
            _ => overview(self),
        }
    }

    fn quiet(&self) -> String {
        self.iter().map(|session| format!("{}\n", session.session)).collect()
    }
}

fn overview(sessions: &[SessionStatus]) -> String {
    let row = |session: &SessionStatus| {
        let is_ready = |worker: &&WorkerEntry| worker.status == WorkerStatus::Ready && worker.duty == Duty::Serving;
        let ready = session.workers.iter().filter(is_ready).count();
        [
            session.session.to_string(),
            session.model.to_string(),
            session.target.clone(),
            format!("{ready} of {}", session.fixed),
            session.serving.to_string(),
            session.max.to_string(),
            session.wanted.to_string(),
            session.share.to_string(),
            session.priority.to_string(),
            session.policy.to_string(),
            resources(&session.reserved),
        ]
    };
    let headings = [
        "SESSION",
        "MODEL",
        "TARGET",
        "READY",
        "SERVING",
        "MAX",
        "WANTED",
        "SHARE",
        "PRIORITY",
        "POLICY",
        "EACH IS GIVEN",
    ];
    table(headings, sessions.iter().map(row).collect())
}

fn details(session: &SessionStatus) -> String {
    let row = |worker: &WorkerEntry| {
        [
            worker.worker.to_string(),
            worker.node_name.clone(),
            worker.device.clone(),
            worker.status.to_string(),
            duty(&worker.duty),
            resources(&worker.given),
        ]
    };
    let rows = session.workers.iter().map(row).collect();
    let mut text = table(["WORKER", "NODE", "DEVICE", "STATE", "DUTY", "IS GIVEN"], rows);
    for line in remarks(session) {
        text += &line;
        text.push('\n');
    }
    text
}

pub(super) fn duty(duty: &Duty) -> String {
    match duty {
        Duty::Serving => "serving".into(),
        Duty::Warm => "warm, until its room is needed".into(),
        Duty::Leaving { until, why } if until.0 == u64::MAX => format!("leaving when it is done: {why}"),
        Duty::Leaving { until, why } => format!("leaving by {}: {why}", time(*until)),
    }
}

/// What islands did, without what they did not.
pub(crate) fn account(of: &IslandAccount) -> String {
    let counted = [
        (of.done, "done"),
        (of.failed, "failed"),
        (of.dropped, "given up"),
        (of.no_room, "not kept for lack of room"),
        (of.repeated, "done twice and delivered once"),
        (of.unclaimed, "done for nobody"),
    ];
    let some = counted.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

fn remarks(session: &SessionStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(most) = &session.need_max {
        let (need, most) = (resources(&session.need), resources(most));
        lines.push(format!("each is given what it is measured to use: at least {need}, at most {most}"));
    }
    match &session.island {
        Some(SessionIsland { stopped: Some(why), .. }) => {
            lines.push(format!("it has stopped on the node that was asked: {why}"));
        }
        Some(SessionIsland { left: Some(left), .. }) => {
            lines.push(format!(
                "the node that was asked is cut off from the mesh, and goes on with it for another {}",
                whole(*left)
            ));
        }
        Some(_) => lines.push(
            "the node that was asked is cut off from the mesh, and goes on with it for as long as that lasts".into(),
        ),
        None => {}
    }
    if session.islands != IslandAccount::default() {
        lines.push(format!("on nodes that were cut off: {}", account(&session.islands)));
    }
    if session.hold != Hold::Nothing {
        lines.push(format!("it keeps to itself: {}", session.hold));
    }
    if session.evicted > 0 {
        lines.push(format!("taken from it for a higher priority, and not yet made up for: {}", session.evicted));
    }
    if let Some(since) = session.lacking_since {
        lines.push(format!("it has had fewer than its fixed workers since {}", time(since)));
    }
    if let Some(before) = session.before_it.filter(|before| *before > 0) {
        lines.push(format!("sessions that lack workers and come before it: {before}"));
    }
    if let Some(why) = &session.never_fits {
        lines.push(format!("no node could ever hold a worker of it: {why}"));
    }
    lines.extend(session.waiting_for.iter().map(|reason| format!("no worker on {reason}")));
    let failures = session.failures.iter();
    lines.extend(
        failures.map(|(node, failure)| {
            format!("failed {} times in a row on node {node}: {}", failure.times, failure.reason)
        }),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_core::dispatch::retry::Retry;
    use skein_core::island::IslandAccount;
    use skein_core::model::ModelRef;
    use skein_core::policy::PolicyName;
    use skein_core::worker::Why;
    use skein_core::{Millis, NodeId, Resources, SessionId, WorkerId};

    fn worker(id: u64, duty: Duty) -> WorkerEntry {
        WorkerEntry {
            worker: WorkerId(id),
            node: NodeId(1),
            node_name: "alpha".into(),
            device: "cpu".into(),
            status: WorkerStatus::Ready,
            duty,
            given: Resources { cpu_millicores: 500, memory_bytes: 128 << 20, ..Resources::default() },
            at_stake: Millis(0),
        }
    }

    fn session() -> SessionStatus {
        let need = Resources { cpu_millicores: 500, memory_bytes: 128 << 20, ..Resources::default() };
        let why = Why::Preempted { by: SessionId(4) };
        SessionStatus {
            session: SessionId(3),
            model: ModelRef { name: "lite0".into(), version: 1 },
            target: "tract".into(),
            fixed: 2,
            max: 4,
            share: 3,
            priority: 70,
            policy: PolicyName::Preemptive,
            hold: Hold::Device,
            retry: Retry::default(),
            grace: Millis(2000),
            task_time: Millis(60_000),
            offline: Millis(3_600_000),
            need: need.clone(),
            need_max: None,
            reserved: need,
            wanted: 5,
            serving: 1,
            evicted: 1,
            lacking_since: Some(Millis(1_795_478_400_000)),
            workers: vec![
                worker(7, Duty::Serving),
                worker(8, Duty::Warm),
                worker(9, Duty::Leaving { until: Millis(1_795_478_402_000), why }),
            ],
            failures: vec![],
            waiting_for: vec!["beta, device 'cpu': it is blocked: fan".into()],
            before_it: Some(2),
            never_fits: None,
            islands: IslandAccount { done: 40, repeated: 3, ..IslandAccount::default() },
            island: Some(SessionIsland { goes_on: true, left: Some(Millis(61_900)), stopped: None }),
        }
    }

    #[test]
    fn one_session_is_shown_with_its_workers_and_what_it_lacks() {
        let want = "\
SESSION  MODEL    TARGET  READY   SERVING  MAX  WANTED  SHARE  PRIORITY  POLICY      EACH IS GIVEN
3        lite0@1  tract   1 of 2  1        4    5       3      70        preemptive  500m cpu, 128 MiB

WORKER  NODE   DEVICE  STATE  DUTY                                                                                                IS GIVEN
7       alpha  cpu     ready  serving                                                                                             500m cpu, 128 MiB
8       alpha  cpu     ready  warm, until its room is needed                                                                      500m cpu, 128 MiB
9       alpha  cpu     ready  leaving by 2026-11-24T00:00:02.000Z: session 4 has a higher priority and takes its place            500m cpu, 128 MiB
the node that was asked is cut off from the mesh, and goes on with it for another 1m 1s
on nodes that were cut off: 40 done, 3 done twice and delivered once
it keeps to itself: its devices
taken from it for a higher priority, and not yet made up for: 1
it has had fewer than its fixed workers since 2026-11-24T00:00:00.000Z
sessions that lack workers and come before it: 2
no worker on beta, device 'cpu': it is blocked: fan
";
        let squeeze = |text: &str| {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(squeeze(&vec![session()].table()), squeeze(want));
        assert_eq!(vec![session(), session()].quiet(), "3\n3\n");
    }
}

//! Every change is an event with a number and a reason.

use skein_core::health::{Author, Ending};
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerReport;
use skein_core::{Command, Event, Millis, Refusal, SessionId, WorkerId};

use crate::mesh::{A, B, Mesh, node, session};

fn told(mesh: &Mesh) -> String {
    let line = |event: &Event| {
        let name = format!("{event:?}");
        let name = name.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_string();
        format!("{name}: {}", event.reason())
    };
    mesh.state.history.iter().map(|numbered| line(&numbered.event)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_day_of_a_mesh_is_told_with_its_reasons() {
    let mut mesh = Mesh::of(&[(A, 2), (B, 2)]);
    let lent = mesh.open(SessionSpec { share: 1, max: 2, ..session(1) });
    mesh.plan();
    mesh.ready(WorkerId(1));
    mesh.apply(Command::SessionWant { session: lent, workers: 2 });
    mesh.plan();
    let report = WorkerReport::AtStake(Millis(4_000));
    mesh.apply(Command::WorkerReport { node: mesh.state.workers[&WorkerId(2)].node, worker: WorkerId(2), report });
    mesh.apply(Command::NodeJoin(node(A, 3)));
    let (by, reason, ending) = (Author::Operator, String::from("new fan"), Ending::WhenDone);
    mesh.apply(Command::Block { node: A, device: None, by, reason, ending });
    mesh.apply(Command::Unblock { node: A, device: None });
    mesh.apply(Command::SessionWant { session: lent, workers: 0 });
    mesh.plan();
    mesh.apply(Command::NodeDown(A));
    mesh.apply(Command::NodeUp(A));
    mesh.apply(Command::SessionEnd(lent));
    insta::assert_snapshot!(told(&mesh), @"
    Founded: it was the first node, and had no mesh to join
    ModelAdded: its files were handed in
    NodeJoined: it is new to the mesh
    NodeJoined: it is new to the mesh
    SessionCreated: a client asked for it
    WorkerPlanned: its session has 0 of its 1 fixed workers
    WorkerChanged: it passed its warm-up run
    SessionWants: by its pending tasks
    WorkerPlanned: its session has 1 of the 2 workers that its tasks could keep busy
    WorkerAtStake: by the task it is working on
    NodeJoined: what it offers changed
    Blocked: new fan
    WorkerLeaving: its place is drained
    WorkerLeaving: its place is drained
    Unblocked: an operator lifted the block, which was for: new fan
    WorkerRevived: the place that it was to leave is no longer blocked
    WorkerRevived: the place that it was to leave is no longer blocked
    SessionWants: by its pending tasks
    WorkerReturned: its session's tasks need fewer
    NodeDown: the leader no longer hears it
    WorkerRemoved: its node is down
    WorkerRemoved: its node is down
    NodeUp: the leader hears it again
    SessionEnded: its client or an operator ended it
    ");
    let numbers: Vec<u64> = mesh.state.history.iter().map(|numbered| numbered.sequence).collect();
    assert_eq!(numbers, (1..=mesh.state.last_event).collect::<Vec<_>>(), "no number is left out");
}

#[test]
fn what_is_asked_for_once_more_is_done_once() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let spec = SessionSpec { claim: Some(7), ..session(1) };
    let id = mesh.open(spec.clone());
    assert_eq!(mesh.apply(Command::SessionCreate(spec.clone())), [Event::SessionKnown(id)]);
    let other = mesh.refusal(Command::SessionCreate(SessionSpec { fixed: 2, ..spec }));
    assert!(matches!(&other, Refusal::BadSession(why) if why.contains("session 1 was opened with the same claim")));
    assert_eq!(mesh.apply(Command::SessionEnd(id)), [Event::SessionEnded(id)]);
    assert_eq!(mesh.apply(Command::SessionEnd(id)), [], "whoever got no answer asks once more");
    assert_eq!(mesh.refusal(Command::SessionEnd(SessionId(2))), Refusal::NoSession(SessionId(2)));
}

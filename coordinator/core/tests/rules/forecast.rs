//! What would happen if a session were opened, to its end.

use skein_core::Command;
use skein_core::explain::{Forecast, forecast};
use skein_core::policy::PolicyName;
use skein_core::session::{Hold, SessionSpec};

use crate::mesh::{A, B, Mesh, session};

fn preemptive(priority: u8) -> SessionSpec {
    SessionSpec { priority, policy: Some(PolicyName::Preemptive), ..session(1) }
}

fn told(forecast: &Forecast) -> Vec<String> {
    let start = |start: &skein_core::plan::Placement| format!("session {} starts on {}", start.session, start.node.0);
    let leave = |victim: &skein_core::explain::Victim| format!("session {} leaves {}", victim.session, victim.node.0);
    let first = (&forecast.starts, &forecast.victims);
    let steps = std::iter::once(first).chain(forecast.then.iter().map(|step| (&step.starts, &step.victims)));
    let words = |(starts, victims): (&Vec<_>, &Vec<_>)| {
        starts.iter().map(start).chain(victims.iter().map(leave)).collect::<Vec<_>>().join(", ")
    };
    steps.map(words).collect()
}

/// The one is bound to a node where a middling session stands, which in turn takes the place of a low one.
#[test]
fn the_victims_of_victims_are_told_step_by_step_and_nothing_changes() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 1)]);
    let (middling, low) = (mesh.open(preemptive(50)), mesh.open(preemptive(20)));
    mesh.place(middling, A, "cpu");
    mesh.place(low, B, "cpu");
    let before = mesh.state.clone();
    let asked = SessionSpec { hold: Some(Hold::Named { node: A, device: "cpu".into() }), ..preemptive(90) };
    let forecast = forecast(&mesh.state, mesh.now, &asked).unwrap();
    assert_eq!(
        told(&forecast),
        ["session 1 leaves 1", "session 3 starts on 1, session 2 leaves 2", "session 1 starts on 2"]
    );
    assert!(!forecast.goes_on);
    assert_eq!(mesh.state, before);
    // And so it comes.
    mesh.apply(Command::SessionCreate(asked));
    assert!(mesh.plan().is_empty(), "somebody has to leave first");
}

#[test]
fn where_there_is_room_nothing_follows() {
    let mesh = Mesh::of(&[(A, 2)]);
    let forecast = forecast(&mesh.state, mesh.now, &session(2)).unwrap();
    assert_eq!(told(&forecast), ["session 1 starts on 1, session 1 starts on 1"]);
}

//! A device that fails, rests, is tested, and is trusted again: the leader's part and its node's.

use skein_core::dispatch::TaskId;
use skein_core::health::{self, Author, DeviceReport, Ending, FAULTS_MAX, Phase};
use skein_core::testing::{Action, Bench, REPORTS_MAX};
use skein_core::{Command, Millis, NodeId, Sequence, StreamId};

use crate::mesh::{A, B, Mesh};

/// A mesh of one node, with the bench of that node.
struct Node {
    mesh: Mesh,
    bench: Bench,
    /// Tasks so far, each of which failed once.
    tasks: u64,
}

fn task(number: u64) -> TaskId {
    TaskId { stream: StreamId(1), sequence: Sequence(number) }
}

impl Node {
    fn new() -> Self {
        let mut node = Self { mesh: Mesh::of(&[(A, 2)]), bench: Bench::new(A), tasks: 0 };
        node.look();
        node
    }

    fn look(&mut self) {
        self.bench.on_state(&self.mesh.state);
    }

    fn fail(&mut self) {
        self.tasks += 1;
        self.bench.on_attempt("cpu", Err((task(self.tasks), "the driver hung")));
    }

    fn actions(&mut self) -> Vec<Action> {
        let actions: Vec<Action> = std::iter::from_fn(|| self.bench.next_action(self.mesh.now)).take(100).collect();
        assert!(actions.len() < 100, "it never comes to rest: {actions:?}");
        actions
    }

    /// Carries out what the node says of its devices now; what it was.
    fn report(&mut self) -> Vec<DeviceReport> {
        let reports = self.actions().into_iter().map(|action| match action {
            Action::Report(device, report) => (device, report),
            Action::TestDevice(device) => panic!("{device} is to be tested"),
        });
        let mut said = Vec::new();
        for (device, report) in reports.collect::<Vec<_>>() {
            self.mesh.apply(Command::DeviceReport { node: A, device, report: report.clone() });
            said.push(report);
        }
        self.look();
        said
    }

    /// Waits until the leader has something to say, and carries it out.
    fn lead(&mut self) -> Command {
        let wake = health::wake_at(&self.mesh.state).expect("the leader waits for something");
        self.mesh.now = Millis(wake.0 - 1);
        assert_eq!(health::next_command(&self.mesh.state, self.mesh.now), None, "before its time");
        self.mesh.now = wake;
        let command = health::next_command(&self.mesh.state, self.mesh.now).expect("it is time");
        self.mesh.apply(command.clone());
        self.look();
        command
    }

    fn quarantined() -> Self {
        let mut node = Self::new();
        (0..FAULTS_MAX).for_each(|_| node.fail());
        node.report();
        node
    }

    fn phase(&self) -> Phase {
        self.mesh.state.nodes[&A].devices.get("cpu").map(|health| health.phase.clone()).unwrap_or_default()
    }
}

fn test_of(node: NodeId) -> Command {
    Command::DeviceTest { node, device: "cpu".into() }
}

fn faults(times: u32) -> DeviceReport {
    DeviceReport::Faults { times, reason: "the driver hung".into() }
}

fn cpu(report: DeviceReport) -> Action {
    Action::Report("cpu".into(), report)
}

#[test]
fn faults_running_are_told_and_one_success_makes_up_for_them() {
    let mut node = Node::new();
    node.fail();
    node.fail();
    node.bench.on_attempt("cpu", Ok(()));
    node.fail();
    node.fail();
    assert_eq!(node.actions(), []);
    node.fail();
    assert_eq!(node.report(), [faults(3)]);
    assert!(matches!(node.phase(), Phase::Quarantined { .. }));
    assert_eq!((node.actions(), node.bench.wake_at()), (vec![], None), "it is known now");
}

#[test]
fn a_device_goes_through_quarantine_test_and_probation_back_to_trust() {
    let mut node = Node::quarantined();
    assert_eq!(node.lead(), test_of(A));
    assert_eq!(node.actions(), [Action::TestDevice("cpu".into())]);
    node.look();
    assert_eq!(node.actions(), [], "it is being tested");
    node.bench.on_tested("cpu", Ok(()));
    assert_eq!(node.report(), [DeviceReport::Passed]);
    assert!(matches!(node.phase(), Phase::Probation { .. }));
    assert_eq!(node.lead(), Command::DeviceTrust { node: A, device: "cpu".into() });
    assert_eq!(node.phase(), Phase::Sound);
    assert_eq!(health::wake_at(&node.mesh.state), None);
    assert_eq!((node.actions(), node.bench.wake_at()), (vec![], None));
    // All is as it was: it takes three faults again.
    node.fail();
    node.fail();
    assert_eq!(node.actions(), []);
}

#[test]
fn faults_of_two_tasks_on_probation_are_enough_and_the_rest_is_twice_as_long() {
    let mut node = Node::quarantined();
    let begun = node.mesh.now;
    node.lead();
    let first = node.mesh.now.since(begun);
    node.actions();
    node.bench.on_tested("cpu", Ok(()));
    node.report();
    node.fail();
    assert_eq!(node.actions(), [], "it may be the task's doing");
    node.fail();
    assert_eq!(node.report(), [faults(2)]);
    let begun = node.mesh.now;
    assert_eq!(node.lead(), test_of(A));
    assert_eq!(node.mesh.now.since(begun), Millis(2 * first.0));
}

#[test]
fn a_device_that_does_not_pass_rests_again() {
    let mut node = Node::quarantined();
    node.lead();
    node.actions();
    node.bench.on_tested("cpu", Err("it says that 1 + 1 is 3".into()));
    assert_eq!(node.report(), [DeviceReport::Failed { reason: "it says that 1 + 1 is 3".into() }]);
    assert!(matches!(node.phase(), Phase::Quarantined { reason, .. } if reason == "it says that 1 + 1 is 3"));
    assert_eq!(node.lead(), test_of(A));
    assert_eq!(node.actions(), [Action::TestDevice("cpu".into())], "a new test");
}

#[test]
fn a_test_that_nobody_answers_is_asked_for_again() {
    let mut node = Node::quarantined();
    node.lead();
    assert_eq!(node.actions(), [Action::TestDevice("cpu".into())]);
    assert_eq!(node.lead(), test_of(A));
    assert_eq!(node.actions(), [Action::TestDevice("cpu".into())]);
}

#[test]
fn a_report_is_repeated_until_the_state_shows_it_but_not_for_ever() {
    let mut node = Node::new();
    (0..3).for_each(|_| node.fail());
    assert_eq!(node.actions(), [cpu(faults(3))]);
    node.fail();
    assert_eq!(node.actions(), [], "one more is no reason to hurry");
    for _ in 1..REPORTS_MAX {
        let wake = node.bench.wake_at().expect("it is repeated");
        assert_eq!(wake.since(node.mesh.now), Millis(1_000));
        node.mesh.now = wake;
        assert_eq!(node.actions(), [cpu(faults(4))]);
    }
    node.mesh.wait(1_000);
    assert_eq!((node.actions(), node.bench.wake_at()), (vec![], None), "they are counted anew");
    (0..3).for_each(|_| node.fail());
    assert_eq!(node.actions(), [cpu(faults(3))]);
}

#[test]
fn attempts_that_end_after_the_quarantine_say_nothing_new() {
    let mut node = Node::quarantined();
    (0..10).for_each(|_| node.fail());
    assert_eq!(node.actions(), []);
    node.lead();
    node.fail();
    node.actions();
    node.bench.on_tested("cpu", Ok(()));
    assert_eq!(node.report(), [DeviceReport::Passed]);
    assert_eq!(node.actions(), []);
}

/// An input at which every worker dies, tried again and again.
#[test]
fn one_task_alone_says_nothing_of_a_device() {
    let mut node = Node::new();
    (0..20).for_each(|_| node.bench.on_attempt("cpu", Err((task(7), "the worker died"))));
    assert_eq!((node.actions(), node.phase()), (vec![], Phase::Sound));
    node.bench.on_attempt("cpu", Ok(()));
    node.fail();
    node.fail();
    assert_eq!(node.actions(), [], "what went well between made up for what was before");
    node.fail();
    assert_eq!(node.report(), [faults(3)]);
}

#[test]
fn devices_of_other_nodes_and_devices_that_are_gone_are_not_its_business() {
    let mut node = Node::quarantined();
    node.mesh.apply(Command::NodeJoin(crate::mesh::node(B, 1)));
    let mut other = Bench::new(B);
    node.lead();
    other.on_state(&node.mesh.state);
    assert_eq!(other.next_action(node.mesh.now), None);
    other.on_attempt("gpu0", Err((task(1), "gone")));
    other.on_tested("gpu0", Ok(()));
    assert_eq!((other.next_action(node.mesh.now), other.wake_at()), (None, None));
}

#[test]
fn a_restarted_agent_makes_the_test_that_is_wanted() {
    let mut node = Node::quarantined();
    node.lead();
    node.bench = Bench::new(A);
    node.look();
    assert_eq!(node.actions(), [Action::TestDevice("cpu".into())]);
}

#[test]
fn a_node_that_is_down_is_not_asked() {
    let mut node = Node::quarantined();
    node.mesh.apply(Command::NodeDown(A));
    node.mesh.wait(60_000);
    assert_eq!(health::next_command(&node.mesh.state, node.mesh.now), None);
    assert_eq!(health::wake_at(&node.mesh.state), None);
}

#[test]
fn a_device_that_somebody_blocked_is_tested_only_when_it_may_serve_again() {
    let mut node = Node::new();
    (0..FAULTS_MAX).for_each(|_| node.fail());
    node.report();
    let (by, reason, ending) = (Author::Operator, "a new fan".into(), Ending::AtOnce);
    node.mesh.apply(Command::Block { node: A, device: None, by, reason, ending });
    node.mesh.wait(1_000_000);
    assert_eq!(health::next_command(&node.mesh.state, node.mesh.now), None);
    assert_eq!(health::wake_at(&node.mesh.state), None);
    node.mesh.apply(Command::Unblock { node: A, device: None });
    let test = Command::DeviceTest { node: A, device: "cpu".into() };
    assert_eq!(health::next_command(&node.mesh.state, node.mesh.now), Some(test));
}

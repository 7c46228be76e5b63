//! What one agent does about its own workers.

use skein_core::health::{Author, Ending};
use skein_core::plan::{Change, Plan};
use skein_core::session::{Hold, SessionSpec};
use skein_core::supervise::{Action, RESTARTS_MAX, Supervisor, WorkerEvent};
use skein_core::worker::{WorkerReport, WorkerStatus};
use skein_core::{Command, Millis, SessionId, WorkerId};

use crate::mesh::{A, B, Mesh, session};

const W: WorkerId = WorkerId(1);

/// An agent on node A, with one worker planned there.
struct Agent {
    mesh: Mesh,
    supervisor: Supervisor,
    now: Millis,
}

impl Agent {
    fn with_a_worker() -> Self {
        let mut mesh = Mesh::of(&[(A, 1)]);
        mesh.session(1);
        mesh.plan();
        let mut agent = Self { mesh, supervisor: Supervisor::new(A), now: Millis(0) };
        agent.look();
        agent
    }

    fn with_a_ready_worker() -> Self {
        let mut agent = Self::with_a_worker();
        assert_eq!(agent.actions(), [Action::Start(W)]);
        agent.supervisor.on_worker(agent.now, W, WorkerEvent::Ready);
        assert_eq!(agent.actions(), [ready()]);
        agent.mesh.ready(W);
        agent.look();
        assert_eq!(agent.actions(), []);
        agent
    }

    fn look(&mut self) {
        self.supervisor.on_state(self.now, &self.mesh.state);
    }

    fn crash(&mut self) {
        self.supervisor.on_worker(self.now, W, WorkerEvent::Exited { reason: "signal 11".into() });
    }

    fn tell(&mut self, event: WorkerEvent) {
        self.supervisor.on_worker(self.now, W, event);
    }

    /// Its node is drained: the worker has to leave.
    fn drain(&mut self) {
        let (by, reason, ending) = (Author::Operator, String::from("moving"), Ending::WhenDone);
        self.mesh.apply(Command::Block { node: A, device: None, by, reason, ending });
        self.look();
    }

    /// And may stay after all.
    fn undrain(&mut self) {
        self.mesh.apply(Command::Unblock { node: A, device: None });
        self.look();
    }

    fn told(&mut self, report: WorkerReport) {
        self.mesh.apply(Command::WorkerReport { node: A, worker: W, report });
        self.look();
    }

    fn actions(&mut self) -> Vec<Action> {
        let actions: Vec<Action> = std::iter::from_fn(|| self.supervisor.next_action(self.now)).take(100).collect();
        assert!(actions.len() < 100, "it never comes to rest: {actions:?}");
        actions
    }

    /// What is done at the next wake-up, and how long that took to come.
    fn wake(&mut self) -> (u64, Vec<Action>) {
        let wake = self.supervisor.wake_at().expect("it has something to wait for");
        let waited = wake.since(self.now).0;
        assert!(waited > 0, "it wakes at once, and there is nothing to do");
        self.now = Millis(wake.0 - 1);
        assert_eq!(self.actions(), [], "before its time");
        self.now = wake;
        (waited, self.actions())
    }
}

fn ready() -> Action {
    Action::Report(W, WorkerReport::Status(WorkerStatus::Ready))
}

fn starting() -> Action {
    Action::Report(W, WorkerReport::Status(WorkerStatus::Starting))
}

fn left() -> Action {
    Action::Report(W, WorkerReport::Left)
}

fn at_stake(ms: u64) -> Action {
    Action::Report(W, WorkerReport::AtStake(Millis(ms)))
}

fn failed(reason: &str) -> Action {
    Action::Report(W, WorkerReport::Failed { reason: reason.into() })
}

#[test]
fn a_planned_worker_is_started_and_told_of_when_it_is_ready() {
    let mut agent = Agent::with_a_ready_worker();
    assert_eq!(agent.supervisor.wake_at(), None, "all is as it should be");
    agent.look();
    assert_eq!(agent.actions(), []);
}

#[test]
fn a_process_waits_until_those_whose_room_it_gets_are_really_gone() {
    let mut agent = Agent::with_a_ready_worker();
    let next = WorkerId(2);
    agent.mesh.apply(Command::SessionEnd(SessionId(1)));
    agent.mesh.session(1);
    agent.mesh.plan();
    agent.look();
    assert_eq!(agent.actions(), [Action::Stop(W)]);
    assert_eq!(agent.supervisor.wake_at(), None, "the node has one core");
    agent.crash();
    assert_eq!(agent.actions(), [Action::Start(next)]);
}

#[test]
fn a_process_waits_until_strangers_have_left_the_device_that_its_session_keeps() {
    let mut agent = Agent { mesh: Mesh::of(&[(A, 2)]), supervisor: Supervisor::new(A), now: Millis(0) };
    agent.mesh.session(1);
    agent.mesh.plan();
    agent.look();
    assert_eq!(agent.actions(), [Action::Start(W)]);
    agent.mesh.apply(Command::SessionEnd(SessionId(1)));
    agent.mesh.open(SessionSpec { hold: Some(Hold::Device), ..session(1) });
    agent.mesh.plan();
    agent.look();
    assert_eq!(
        agent.actions(),
        [Action::Stop(W)],
        "there is room for both, and the device is to be shared with nobody"
    );
    agent.crash();
    assert_eq!(agent.actions(), [Action::Start(WorkerId(2))]);
}

#[test]
fn the_workers_of_other_nodes_are_not_its_business() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    mesh.session(1);
    mesh.plan();
    let mut supervisor = Supervisor::new(B);
    supervisor.on_state(Millis(0), &mesh.state);
    supervisor.on_worker(Millis(0), W, WorkerEvent::Ready);
    assert_eq!((supervisor.next_action(Millis(0)), supervisor.wake_at()), (None, None));
}

#[test]
fn a_report_is_repeated_until_the_state_shows_it() {
    let mut agent = Agent::with_a_worker();
    agent.actions();
    agent.supervisor.on_worker(agent.now, W, WorkerEvent::Ready);
    assert_eq!(agent.actions(), [ready()]);
    assert_eq!(agent.wake(), (1_000, vec![ready()]));
    agent.now.0 += 500;
    agent.look();
    assert_eq!(agent.actions(), [], "a look at the state alone does not hurry it");
    assert_eq!(agent.wake(), (500, vec![ready()]));
    agent.mesh.ready(W);
    agent.look();
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None));
}

#[test]
fn a_crashed_worker_is_told_of_and_started_again_after_a_wait_that_grows() {
    let mut agent = Agent::with_a_ready_worker();
    agent.crash();
    assert_eq!(agent.actions(), [starting()]);
    for waited in [100, 200, 400] {
        assert_eq!(agent.wake(), (waited, vec![Action::Start(W)]));
        agent.crash();
        agent.actions();
    }
    // After as many restarts as there may be, it is given up.
    assert_eq!(RESTARTS_MAX, 3);
    let again = failed("it ended 4 times in a row; the last time: signal 11");
    assert_eq!(agent.wake(), (1_000, vec![again]));
    assert_eq!(agent.wake().0, 1_000, "and so on, until the plan has it no more");
    agent.mesh.failed(W, "it ended");
    agent.look();
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None));
}

#[test]
fn the_fourth_crash_is_told_at_once() {
    let mut agent = Agent::with_a_worker();
    for _ in 0..RESTARTS_MAX {
        agent.actions();
        agent.crash();
        agent.now = agent.supervisor.wake_at().unwrap();
    }
    assert_eq!(agent.actions(), [Action::Start(W)]);
    agent.crash();
    assert_eq!(agent.actions(), [failed("it ended 4 times in a row; the last time: signal 11")]);
}

#[test]
fn a_worker_that_was_ready_for_long_has_made_up_for_its_crashes() {
    let mut agent = Agent::with_a_ready_worker();
    for _ in 0..3 * RESTARTS_MAX {
        agent.now.0 += 30_000;
        agent.crash();
        agent.actions();
        let begun = agent.now;
        agent.now.0 += 100;
        assert!(agent.actions().contains(&Action::Start(W)), "after the shortest wait, since {begun}");
        agent.supervisor.on_worker(agent.now, W, WorkerEvent::Ready);
        agent.actions();
    }
    // One that was not, has not: this is the first crash in a row already.
    for _ in 1..RESTARTS_MAX {
        agent.now.0 += 29_999;
        agent.crash();
        agent.now.0 += 500;
        agent.actions();
        agent.supervisor.on_worker(agent.now, W, WorkerEvent::Ready);
    }
    agent.crash();
    assert!(matches!(&agent.actions()[..], [Action::Report(_, WorkerReport::Failed { .. })]));
}

#[test]
fn a_worker_that_can_never_be_ready_is_given_up_at_once() {
    let mut agent = Agent::with_a_worker();
    agent.actions();
    agent.supervisor.on_worker(agent.now, W, WorkerEvent::Unusable { reason: "no such operator".into() });
    assert_eq!(agent.actions(), [failed("no such operator")]);
    assert_eq!(agent.wake(), (1_000, vec![failed("no such operator")]));
}

#[test]
fn a_worker_that_is_no_longer_planned_is_stopped_once() {
    let mut agent = Agent::with_a_ready_worker();
    agent.mesh.apply(Command::SessionEnd(agent.mesh.state.last_session));
    agent.look();
    assert_eq!(agent.actions(), [Action::Stop(W)]);
    agent.look();
    assert_eq!(agent.actions(), [], "it is ending");
    agent.supervisor.on_worker(agent.now, W, WorkerEvent::Ready);
    assert_eq!(agent.actions(), [], "it was about to be ready when it was told");
    agent.crash();
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None));
}

#[test]
fn a_worker_that_waits_for_a_restart_is_forgotten_when_it_is_no_longer_planned() {
    let mut agent = Agent::with_a_ready_worker();
    agent.crash();
    agent.actions();
    agent.mesh.apply(Command::SessionEnd(agent.mesh.state.last_session));
    agent.look();
    assert_eq!(agent.actions(), []);
    agent.now.0 += 60_000;
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None));
}

#[test]
fn a_worker_that_is_planned_again_while_it_ends_is_started_again_and_that_is_no_crash() {
    let mut agent = Agent::with_a_ready_worker();
    let planned = agent.mesh.state.clone();
    for _ in 0..2 * RESTARTS_MAX {
        // A replica from before the plan came, and then it caught up.
        agent.supervisor.on_state(agent.now, &skein_core::State::default());
        assert_eq!(agent.actions(), [Action::Stop(W)]);
        agent.supervisor.on_state(agent.now, &planned);
        assert_eq!(agent.actions(), [], "one process after the other");
        agent.crash();
        assert_eq!(agent.actions()[0], Action::Start(W));
        agent.supervisor.on_worker(agent.now, W, WorkerEvent::Ready);
        agent.actions();
    }
}

#[test]
fn news_of_a_process_that_is_gone_changes_nothing() {
    let mut agent = Agent::with_a_worker();
    agent.actions();
    agent.supervisor.on_worker(agent.now, W, WorkerEvent::Unusable { reason: "no such operator".into() });
    agent.crash();
    agent.supervisor.on_worker(agent.now, W, WorkerEvent::Ready);
    assert_eq!(agent.actions(), [failed("no such operator")]);
    agent.now.0 += 60_000;
    assert_eq!(agent.actions(), [failed("no such operator")], "it is not started again");
}

/// The state remembers a worker as ready; the agent that ran it was restarted.
#[test]
fn a_restarted_agent_starts_its_workers_and_says_that_they_are_not_ready() {
    let mut agent = Agent::with_a_worker();
    agent.mesh.ready(W);
    agent.supervisor = Supervisor::new(A);
    agent.look();
    assert_eq!(agent.actions(), [Action::Start(W), starting()]);
}

#[test]
fn a_worker_that_has_to_leave_finishes_and_says_so_until_it_is_gone() {
    let mut agent = Agent::with_a_ready_worker();
    agent.tell(WorkerEvent::Finished);
    assert_eq!(agent.actions(), [], "nobody asked");
    agent.drain();
    assert_eq!(agent.actions(), [Action::Finish(W)]);
    agent.look();
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None), "it has work");
    agent.tell(WorkerEvent::Finished);
    assert_eq!(agent.actions(), [left()]);
    assert_eq!(agent.wake(), (1_000, vec![left()]));
    agent.told(WorkerReport::Left);
    assert_eq!(agent.actions(), [Action::Stop(W)]);
}

#[test]
fn a_worker_that_may_stay_after_all_goes_on() {
    let mut agent = Agent::with_a_ready_worker();
    agent.drain();
    assert_eq!(agent.actions(), [Action::Finish(W)]);
    agent.undrain();
    assert_eq!(agent.actions(), [Action::Resume(W)]);
    agent.tell(WorkerEvent::Finished);
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None), "it came too late");
    agent.drain();
    assert_eq!(agent.actions(), [Action::Finish(W)]);
    agent.tell(WorkerEvent::Finished);
    assert_eq!(agent.actions(), [left()]);
    agent.undrain();
    assert_eq!(agent.actions(), [Action::Resume(W)], "also where it had finished");
}

#[test]
fn a_worker_that_is_not_ready_has_nothing_to_finish() {
    let mut agent = Agent::with_a_worker();
    assert_eq!(agent.actions(), [Action::Start(W)]);
    agent.drain();
    assert_eq!(agent.actions(), [left()]);
    // One that crashes while it leaves is not started again for that.
    let mut agent = Agent::with_a_ready_worker();
    agent.drain();
    agent.actions();
    agent.crash();
    assert_eq!(agent.actions(), [left()]);
    assert_eq!(agent.wake(), (1_000, vec![left()]));
    agent.undrain();
    assert_eq!(agent.actions(), [Action::Start(W), starting()]);
}

#[test]
fn a_worker_that_is_kept_warm_is_left_as_it_is() {
    let mut agent = Agent::with_a_ready_worker();
    agent.mesh.apply(Command::Plan(Plan { changes: vec![Change::Return(W)] }));
    agent.look();
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None));
    agent.mesh.apply(Command::Plan(Plan { changes: vec![Change::Revive(W)] }));
    agent.look();
    assert_eq!(agent.actions(), []);
}

#[test]
fn a_worker_that_ran_out_of_memory_is_told_of_and_not_started_again() {
    let mut agent = Agent::with_a_ready_worker();
    agent.tell(WorkerEvent::OutOfMemory);
    let told = || Action::Report(W, WorkerReport::OutOfMemory);
    assert_eq!(agent.actions(), [told()]);
    assert_eq!(agent.wake(), (1_000, vec![told()]));
    agent.told(WorkerReport::OutOfMemory);
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None), "it had no process to stop");
}

#[test]
fn a_worker_that_has_outgrown_itself_is_started_anew_at_once_and_however_often() {
    let mut agent = Agent::with_a_ready_worker();
    for _ in 0..=RESTARTS_MAX {
        agent.tell(WorkerEvent::Outgrown);
        assert_eq!(agent.actions().first(), Some(&Action::Start(W)));
        agent.tell(WorkerEvent::Ready);
        assert_eq!(agent.actions().iter().find(|action| !matches!(action, Action::Report(..))), None);
    }
}

#[test]
fn work_at_stake_is_told_when_it_has_doubled_and_when_it_is_over() {
    let mut agent = Agent::with_a_ready_worker();
    let mut told = Vec::new();
    for ms in (0..20_000).step_by(500) {
        agent.tell(WorkerEvent::Stake(Millis(ms)));
        let actions = agent.actions();
        if let [Action::Report(_, report @ WorkerReport::AtStake(_))] = &actions[..] {
            agent.told(report.clone());
        }
        told.extend(actions);
    }
    assert_eq!(told, [1_000, 2_000, 4_000, 8_000, 16_000].map(at_stake));
    agent.tell(WorkerEvent::Stake(Millis(9_000)));
    assert_eq!(agent.actions(), [], "less is not worth a word");
    agent.tell(WorkerEvent::Stake(Millis(0)));
    assert_eq!(agent.actions(), [at_stake(0)]);
    assert_eq!(agent.wake(), (1_000, vec![at_stake(0)]));
    agent.told(WorkerReport::AtStake(Millis(0)));
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None));
}

#[test]
fn short_tasks_are_never_worth_a_word_and_a_crash_ends_what_was_at_stake() {
    let mut agent = Agent::with_a_ready_worker();
    agent.tell(WorkerEvent::Stake(Millis(999)));
    assert_eq!((agent.actions(), agent.supervisor.wake_at()), (vec![], None));
    agent.tell(WorkerEvent::Stake(Millis(5_000)));
    assert_eq!(agent.actions(), [at_stake(4_000)]);
    agent.told(WorkerReport::AtStake(Millis(4_000)));
    agent.crash();
    assert_eq!(agent.actions(), [starting()]);
    agent.told(WorkerReport::Status(WorkerStatus::Starting));
    assert_eq!(agent.actions(), [at_stake(0)]);
}

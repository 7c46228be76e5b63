//! What is taken, what is refused, and what is told of it.

use skein_core::capability::{Device, DeviceKind, Heat, NodeSpec, TEXT_BYTES_MAX};
use skein_core::model::{FILE_BYTES_MAX, MANIFEST_BYTES_MAX, ModelQuery, ModelRef, ModelSpec};
use skein_core::plan::{Change, Placement, Plan};
use skein_core::policy::PolicyName;
use skein_core::resources::AMOUNT_MAX;
use skein_core::session::{Hold, SessionSpec, WORKERS_MAX};
use skein_core::worker::{REASON_BYTES_MAX, WorkerReport, WorkerStatus};
use skein_core::{Command, Event, MeshId, Millis, NodeId, Refusal, Resources, SessionId, WorkerId};

use crate::mesh::{A, B, Mesh, cores, device, model, node, session};

fn version(name: &str, version: u32) -> ModelRef {
    ModelRef { name: name.into(), version }
}

#[test]
fn a_mesh_is_founded_once() {
    let mut mesh = Mesh::founded();
    assert_eq!(mesh.refusal(Command::Found { mesh: MeshId(8) }), Refusal::AlreadyFounded(MeshId(7)));
}

#[test]
fn a_node_that_joins_is_up_since_then_and_may_state_itself_anew() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    let since = mesh.now;
    mesh.wait(500);
    let reason = "what it offers changed".into();
    assert_eq!(mesh.apply(Command::NodeJoin(node(A, 4))), [Event::NodeJoined { node: A, reason }]);
    let known = &mesh.state.nodes[&A];
    assert!(known.up && known.since == since && known.spec == node(A, 4), "{known:?}");
}

#[test]
fn a_description_out_of_bounds_is_refused() {
    let mut mesh = Mesh::founded();
    let mut join = |change: fn(&mut NodeSpec)| {
        let mut spec = node(A, 1);
        change(&mut spec);
        mesh.refusal(Command::NodeJoin(spec))
    };
    assert_eq!(join(|spec| spec.name = "n".repeat(TEXT_BYTES_MAX + 1)), Refusal::NodeOutOfBounds);
    assert_eq!(join(|spec| spec.address = "n".repeat(TEXT_BYTES_MAX + 1)), Refusal::NodeOutOfBounds);
    assert_eq!(join(|spec| spec.capability.targets = vec![String::new(); 65]), Refusal::NodeOutOfBounds);
    assert_eq!(
        join(|spec| spec.capability.labels = (0..33).map(|n| (format!("{n}"), String::new())).collect()),
        Refusal::NodeOutOfBounds
    );
    assert_eq!(
        join(|spec| {
            let device = spec.capability.devices[0].clone();
            spec.capability.devices = (0..65).map(|n| Device { name: format!("{n}"), ..device.clone() }).collect();
        }),
        Refusal::NodeOutOfBounds
    );
}

#[test]
fn two_devices_of_one_name_are_refused() {
    let mut spec = node(A, 4);
    spec.capability.devices.push(Device { heat: Heat::Hot, ..spec.capability.devices[0].clone() });
    assert_eq!(Mesh::founded().refusal(Command::NodeJoin(spec)), Refusal::NodeOutOfBounds);
}

#[test]
fn a_node_that_goes_down_takes_its_workers_out_of_the_plan() {
    let mut mesh = Mesh::of(&[(A, 2), (B, 2)]);
    let id = mesh.session(2);
    mesh.plan();
    mesh.wait(10);
    let gone = Event::WorkerRemoved { worker: WorkerId(1), session: id, reason: "its node is down".into() };
    assert_eq!(mesh.apply(Command::NodeDown(A)), [Event::NodeDown(A), gone]);
    assert_eq!(mesh.nodes_of(id), [B]);
    assert_eq!(mesh.state.nodes[&A].since, mesh.now);
    assert_eq!(mesh.apply(Command::NodeDown(A)), [], "it is down already");
    mesh.wait(10);
    assert_eq!(mesh.apply(Command::NodeUp(A)), [Event::NodeUp(A)]);
    assert_eq!(mesh.state.nodes[&A].since, mesh.now);
    assert_eq!(mesh.apply(Command::NodeUp(A)), [], "it is up already");
}

#[test]
fn a_node_that_never_joined_is_neither_up_nor_down() {
    let mut mesh = Mesh::of(&[(A, 2)]);
    assert_eq!(mesh.refusal(Command::NodeDown(B)), Refusal::NoNode(B));
    assert_eq!(mesh.refusal(Command::NodeUp(B)), Refusal::NoNode(B));
}

#[test]
fn new_content_under_an_old_name_is_a_new_version() {
    let mut mesh = Mesh::founded();
    assert_eq!(mesh.apply(Command::ModelAdd(model("cats", 1))), [Event::ModelKnown(version("cats", 1))]);
    assert_eq!(mesh.apply(Command::ModelAdd(model("cats", 2))), [Event::ModelAdded(version("cats", 2))]);
    // Going back to old content is a change too.
    assert_eq!(mesh.apply(Command::ModelAdd(model("cats", 1))), [Event::ModelAdded(version("cats", 3))]);
    assert_eq!(mesh.apply(Command::ModelAdd(model("catsup", 2))), [Event::ModelAdded(version("catsup", 1))]);
}

#[test]
fn a_model_needs_a_name_and_a_bounded_size() {
    let mut mesh = Mesh::founded();
    for name in ["", "-cats", "c/ats", "cats@2", "kätzchen", &"c".repeat(65)] {
        assert!(matches!(mesh.refusal(Command::ModelAdd(model(name, 1))), Refusal::BadName(_)), "{name}");
    }
    let mut add = |spec: ModelSpec| mesh.refusal(Command::ModelAdd(spec));
    let fine = model("dogs", 1);
    let mut large = fine.file;
    large.size = FILE_BYTES_MAX + 1;
    assert_eq!(add(ModelSpec { manifest: " ".repeat(MANIFEST_BYTES_MAX + 1), ..fine.clone() }), Refusal::ModelTooLarge);
    assert_eq!(add(ModelSpec { file: large, ..fine.clone() }), Refusal::ModelTooLarge);
    assert_eq!(add(ModelSpec { labels: Some(large), ..fine }), Refusal::ModelTooLarge);
}

#[test]
fn a_session_is_pinned_to_the_version_of_its_day() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::ModelAdd(model("cats", 2)));
    let newest = mesh.session(1);
    let mut asked = session(1);
    asked.model.version = Some(1);
    assert_eq!(mesh.apply(Command::SessionCreate(asked)), [Event::SessionCreated(SessionId(2))]);
    mesh.apply(Command::ModelAdd(model("cats", 3)));
    assert_eq!(mesh.state.sessions[&newest].model, version("cats", 2));
    assert_eq!(mesh.state.sessions[&SessionId(2)].model, version("cats", 1));
}

#[test]
fn a_session_for_a_model_that_is_not_there_is_told_what_is() {
    let mut mesh = Mesh::founded();
    mesh.apply(Command::ModelAdd(model("cats", 2)));
    (0..20).for_each(|n| drop(mesh.apply(Command::ModelAdd(model(&format!("d{n}"), 1)))));
    for asked in [("dogs", None), ("cats", Some(9))] {
        let asked = ModelQuery { name: asked.0.into(), version: asked.1 };
        let refusal = mesh.refusal(Command::SessionCreate(SessionSpec { model: asked.clone(), ..session(1) }));
        let Refusal::NoModel { asked: named, known } = refusal else { panic!("{refusal}") };
        assert_eq!((named, known.len(), known[0].as_str()), (asked, 10, "cats"), "each name once, at most ten");
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_at_the_door() {
    let mut mesh = Mesh::founded();
    let mut create = |change: fn(&mut SessionSpec)| {
        let mut spec = session(1);
        change(&mut spec);
        matches!(mesh.refusal(Command::SessionCreate(spec)), Refusal::BadSession(_))
    };
    assert!(create(|spec| spec.fixed = 0));
    assert!(create(|spec| spec.fixed = WORKERS_MAX + 1));
    assert!(create(|spec| spec.need.cpu_millicores = 0));
    assert!(create(|spec| spec.need.memory_bytes = 0));
    assert!(create(|spec| spec.target = "t".repeat(TEXT_BYTES_MAX + 1)));
    assert!(create(|spec| spec.need.gpu_milli = 1_001));
    assert!(create(|spec| spec.need.named = [("camera".into(), 0)].into()));
    mesh.session(WORKERS_MAX);
}

#[test]
fn what_contradicts_itself_is_refused_at_the_door() {
    let mut mesh = Mesh::founded();
    let mut why = |change: fn(&mut SessionSpec)| {
        let mut spec = session(2);
        change(&mut spec);
        match mesh.refusal(Command::SessionCreate(spec)) {
            Refusal::BadSession(why) => why,
            other => panic!("{other}"),
        }
    };
    assert_eq!(why(|spec| spec.max = 1), "it may have 1 workers at most, and asks for 2 fixed ones");
    let exclusive = why(|spec| (spec.policy, spec.hold) = (Some(PolicyName::Exclusive), Some(Hold::Nothing)));
    assert!(exclusive.starts_with("policy exclusive keeps"), "{exclusive}");
    let shared = why(|spec| (spec.policy, spec.hold) = (Some(PolicyName::GpuBinding), Some(Hold::Node)));
    assert!(shared.starts_with("policy gpu-binding gives each worker a device"), "{shared}");
    let processor = why(|spec| spec.policy = Some(PolicyName::GpuBinding));
    assert!(processor.contains("its target runs on none"), "{processor}");
}

/// What runs on a GPU without a word on how much of it would be counted nowhere.
#[test]
fn a_worker_that_asks_for_no_part_of_a_gpu_stands_there_only_alone() {
    let mut mesh = Mesh::of(&[]);
    let mut spec = node(A, 4);
    spec.capability.targets = vec!["onnxruntime".into()];
    spec.capability.devices =
        vec![device("gpu-0", DeviceKind::Gpu, Resources { gpu_milli: 1_000, ..Resources::default() })];
    mesh.apply(Command::NodeJoin(spec));
    let asked = SessionSpec { target: "onnxruntime".into(), ..session(1) };
    let id = mesh.open(asked.clone());
    assert_eq!(mesh.plan(), []);
    let events = mesh.place(id, A, "gpu-0");
    let is_told = |reason: &str| reason.contains("its need has no part of a GPU or stick");
    assert!(matches!(&events[..], [Event::ChangeRefused { reason, .. }] if is_told(reason)), "{events:?}");
    let alone = mesh.open(SessionSpec { hold: Some(Hold::Device), ..asked });
    assert_eq!(mesh.plan(), [(alone, A)]);
}

#[test]
fn a_session_that_ends_takes_its_workers_along_and_its_id_is_not_used_again() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let (first, second) = (mesh.session(1), mesh.session(1));
    mesh.plan();
    let gone = Event::WorkerRemoved { worker: WorkerId(2), session: second, reason: "its session ended".into() };
    assert_eq!(mesh.apply(Command::SessionEnd(second)), [Event::SessionEnded(second), gone]);
    assert_eq!(mesh.nodes_of(first), [A]);
    assert_eq!(mesh.session(1), SessionId(3));
    mesh.plan();
    assert!(mesh.state.workers.contains_key(&WorkerId(3)), "the id of a worker is not used again either");
}

#[test]
fn a_worker_is_reported_by_its_own_node_only() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 1)]);
    mesh.session(1);
    mesh.plan();
    let worker = WorkerId(1);
    let status = WorkerReport::Status(WorkerStatus::Ready);
    let said = |node, worker| Command::WorkerReport { node, worker, report: status.clone() };
    assert_eq!(mesh.refusal(said(B, worker)), Refusal::NoWorker(worker));
    assert_eq!(mesh.refusal(said(A, WorkerId(9))), Refusal::NoWorker(WorkerId(9)));
    assert_eq!(mesh.apply(said(A, worker)), [Event::WorkerChanged { worker, status: WorkerStatus::Ready }]);
    assert_eq!(mesh.apply(said(A, worker)), [], "no news");
    assert_eq!(mesh.state.workers[&worker].status, WorkerStatus::Ready);
}

#[test]
fn a_failure_is_told_with_its_reason_and_counted_in_a_row() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let id = mesh.session(1);
    for times in 1..=3 {
        mesh.plan();
        let worker = mesh.state.last_worker;
        let gone = Event::WorkerRemoved { worker, session: id, reason: "no such operator".into() };
        assert_eq!(mesh.failed(worker, "no such operator"), [gone]);
        let failure = &mesh.state.sessions[&id].failures[&A];
        assert_eq!((failure.times, failure.at, failure.reason.as_str()), (times, mesh.now, "no such operator"));
        mesh.wait(60_000);
    }
    mesh.plan();
    mesh.wait(60_000);
    mesh.ready(mesh.state.last_worker);
    assert!(mesh.state.sessions[&id].failures.is_empty(), "a long time without one ends the row");
}

#[test]
fn a_long_reason_is_cut_between_letters() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let id = mesh.session(1);
    mesh.plan();
    mesh.failed(WorkerId(1), &format!("x{}", "ä".repeat(REASON_BYTES_MAX)));
    let kept = &mesh.state.sessions[&id].failures[&A].reason;
    assert_eq!(kept.len(), REASON_BYTES_MAX - 1);
    assert!(kept.ends_with('ä'));
}

/// A plan was made on a state of before: each of its items is looked at again, and refused alone.
#[test]
fn what_no_longer_holds_of_a_plan_is_refused_alone() {
    let mut mesh = Mesh::of(&[(A, 1), (B, 4)]);
    let id = mesh.session(2);
    let at = |session, node, device: &str| Placement { session, node, device: device.into() };
    let start = vec![
        at(SessionId(9), A, "cpu"),
        at(id, NodeId(9), "cpu"),
        at(id, A, "gpu"),
        at(id, A, "cpu"),
        at(id, A, "cpu"),
        at(id, B, "cpu"),
        at(id, B, "cpu"),
    ];
    let changes = std::iter::once(Change::Stop(WorkerId(77))).chain(start.into_iter().map(Change::Start)).collect();
    let events = mesh.apply(Command::Plan(Plan { changes }));
    let told: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::ChangeRefused { reason, .. } => reason.clone(),
            Event::WorkerPlanned { worker, .. } => format!("planned {worker}"),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "worker 77 is not in the plan",
        "session 9 is over",
        "node 0000000000000009 never joined",
        "there is no device 'gpu'",
        "planned 1",
        "it needs 1000m cpu, 0m cpu are left",
        "planned 2",
        "session 1 has all its workers",
    ];
    assert_eq!(told, expected);
    assert_eq!(mesh.state.workers[&WorkerId(1)].need, cores(1));
    assert_eq!(mesh.state.workers[&WorkerId(1)].status, WorkerStatus::Starting);
}

#[test]
fn a_plan_stops_only_who_does_not_serve() {
    let mut mesh = Mesh::of(&[(A, 1)]);
    let session = mesh.session(1);
    mesh.plan();
    let worker = WorkerId(1);
    let mut make = |change: Change| mesh.apply(Command::Plan(Plan { changes: vec![change] }));
    let refused = |change: Change| {
        let reason = "worker 1 is there for something else by now".into();
        [Event::ChangeRefused { change, reason }]
    };
    assert_eq!(make(Change::Stop(worker)), refused(Change::Stop(worker)), "whoever serves is asked to leave first");
    assert_eq!(make(Change::Return(worker)), [Event::WorkerReturned { worker, session }]);
    assert_eq!(make(Change::Return(worker)), refused(Change::Return(worker)));
    let reason = "it was only kept warm, and the room is needed".into();
    assert_eq!(make(Change::Stop(worker)), [Event::WorkerRemoved { worker, session, reason }]);
}

/// The reasons why a node or a device does not serve, as `apply` tells them.
#[test]
fn a_placement_is_refused_where_the_worker_could_not_run() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4)]);
    let id = mesh.session(9);
    let mut no_target = node(NodeId(3), 4);
    no_target.capability.targets = vec!["onnxruntime".into()];
    mesh.apply(Command::NodeJoin(no_target));
    let mut other_device = node(NodeId(4), 4);
    other_device.capability.devices[0].kind = DeviceKind::Movidius;
    mesh.apply(Command::NodeJoin(other_device));
    let mut why = |node, expected: &str| {
        let events = mesh.place(id, node, "cpu");
        assert!(matches!(&events[..], [Event::ChangeRefused { reason, .. }] if reason == expected), "{events:?}");
    };
    why(NodeId(3), "node 0000000000000003 has no target 'tract'");
    why(NodeId(4), "the target does not run on device 'cpu'");
    mesh.apply(Command::NodeDown(B));
    mesh.place(id, A, "cpu");
    mesh.failed(WorkerId(1), "it burns");
    let mut why = |node, expected: &str| {
        let events = mesh.place(id, node, "cpu");
        assert!(matches!(&events[..], [Event::ChangeRefused { reason, .. }] if reason == expected), "{events:?}");
    };
    why(B, "node 0000000000000002 is down");
    why(A, "its workers failed on node 0000000000000001 of late, so it is passed over for a while");
    mesh.wait(5_000);
    assert!(matches!(mesh.place(id, A, "cpu")[..], [Event::WorkerPlanned { worker: WorkerId(2), .. }]));
}

#[test]
fn every_refusal_reads_as_a_sentence() {
    let refusals = [
        Refusal::AlreadyFounded(MeshId(1)),
        Refusal::NodeOutOfBounds,
        Refusal::NoNode(A),
        Refusal::BadName("?".into()),
        Refusal::ModelTooLarge,
        Refusal::NoModel { asked: "cats@2".parse().unwrap(), known: vec![] },
        Refusal::NoModel { asked: "cats@2".parse().unwrap(), known: vec!["cats".into(), "dogs".into()] },
        Refusal::NoSession(SessionId(1)),
        Refusal::BadSession("so".into()),
        Refusal::NoWorker(WorkerId(1)),
    ];
    for refusal in refusals {
        assert!(refusal.to_string().len() > 15, "{refusal}");
    }
    let known = Refusal::NoModel { asked: "dogs".parse().unwrap(), known: vec!["cats".into(), "cows".into()] };
    assert_eq!(known.to_string(), "there is no model 'dogs'; there are: cats, cows");
}

#[test]
fn no_need_however_large_overflows() {
    let mut mesh = Mesh::founded();
    let all = Resources { cpu_millicores: AMOUNT_MAX, memory_bytes: AMOUNT_MAX, ..Resources::default() };
    let mut spec = node(A, 1);
    spec.capability.offers = all.clone();
    mesh.apply(Command::NodeJoin(spec));
    mesh.apply(Command::SessionCreate(SessionSpec { need: all, ..session(2) }));
    assert_eq!(mesh.plan().len(), 1, "it is full then");
    mesh.now = Millis(u64::MAX);
    mesh.failed(WorkerId(1), "");
    mesh.plan();
}

#[test]
fn a_claim_that_is_asked_twice_makes_one_session() {
    let mut mesh = Mesh::founded();
    let claimed = SessionSpec { claim: Some(7), ..session(1) };
    let first = mesh.open(claimed.clone());
    assert_eq!(mesh.apply(Command::SessionCreate(claimed)), [Event::SessionKnown(first)]);
    assert_eq!(mesh.state.sessions.len(), 1);
    mesh.apply(Command::SessionCreate(SessionSpec { claim: Some(8), ..session(1) }));
    mesh.apply(Command::SessionCreate(session(1)));
    mesh.apply(Command::SessionCreate(session(1)));
    assert_eq!(mesh.state.sessions.len(), 4, "other claims, and requests without one, are their own");
}

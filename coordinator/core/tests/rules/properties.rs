//! Laws, over whatever proptest comes up with.

use std::collections::BTreeSet;

use proptest::prelude::*;
use skein_core::capability::{Capability, Device, DeviceKind, Heat, NodeSpec, Profile};
use skein_core::dispatch::ended::Ended;
use skein_core::dispatch::reorder::Reorder;
use skein_core::durable::{Bytes, DurableTask, End, INLINE_BYTES_MAX, Payload, TaskCommand};
use skein_core::health::{Author, DeviceReport, Ending};
use skein_core::model::{Blob, Digest, ModelQuery, ModelRef, is_name};
use skein_core::plan::{CHANGES_MAX, Change, Placement, Plan, Planner};
use skein_core::policy::{POLICIES, PolicyName};
use skein_core::resources::AMOUNT_MAX;
use skein_core::seats::Rules;
use skein_core::session::{Failure, Hold, SessionSpec};
use skein_core::worker::{Why, WorkerReport, WorkerStatus};
use skein_core::{
    Command, Entry, Event, MeshId, Millis, NodeId, Resources, Sequence, SessionId, State, StreamId, WorkerId, apply,
    invariants, plan,
};

use crate::mesh;

fn a_node() -> impl Strategy<Value = NodeId> {
    (0..4_u64).prop_map(NodeId)
}

/// Small numbers, so that things meet, and the extremes.
fn an_amount() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..6_u64, 1 => Just(AMOUNT_MAX), 1 => any::<u64>()]
}

fn resources() -> impl Strategy<Value = Resources> {
    let named = prop_oneof![4 => Just(0), 1 => 1..3_u64];
    (an_amount(), an_amount(), 0..3_u64, 0..3_u64, named).prop_map(
        |(cpu_millicores, memory_bytes, gpu_milli, gpu_memory_bytes, cameras)| Resources {
            cpu_millicores,
            memory_bytes,
            gpu_milli,
            gpu_memory_bytes,
            named: (cameras > 0).then(|| ("camera".into(), cameras)).into_iter().collect(),
        },
    )
}

fn a_kind() -> impl Strategy<Value = DeviceKind> {
    prop_oneof![4 => Just(DeviceKind::Cpu), 1 => Just(DeviceKind::Gpu), 1 => Just(DeviceKind::Movidius)]
}

fn a_device_name() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("cpu"), 2 => Just("gpu"), 1 => Just("")].prop_map(String::from)
}

fn a_device() -> impl Strategy<Value = Device> {
    let heat = prop_oneof![Just(Heat::Cool), Just(Heat::Hot)];
    (a_device_name(), a_kind(), resources(), heat)
        .prop_map(|(name, kind, offers, heat)| Device { heat, ..mesh::device(&name, kind, offers) })
}

fn a_target() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("tract"), 3 => Just("simulated"), 1 => Just("none")].prop_map(String::from)
}

fn a_node_spec() -> impl Strategy<Value = NodeSpec> {
    let devices = prop::collection::vec(a_device(), 0..4);
    let targets = prop::collection::vec(a_target(), 0..3);
    let profile = (a_target(), a_device_name(), any::<u64>()).prop_map(|(target, device, run_micros)| Profile {
        model: ModelRef { name: "a".into(), version: 1 },
        target,
        device,
        run_micros,
    });
    let profiles = prop::collection::vec(profile, 0..3);
    (a_node(), "[a-z]{0,5}", resources(), devices, targets, profiles).prop_map(
        |(id, name, offers, devices, targets, profiles)| {
            let capability = Capability { offers, devices, targets, profiles, ..Capability::default() };
            NodeSpec { id, name, address: String::new(), version: String::new(), capability }
        },
    )
}

fn a_policy() -> impl Strategy<Value = PolicyName> {
    prop::sample::select(POLICIES.map(|(name, _, _)| name).to_vec())
}

fn a_hold() -> impl Strategy<Value = Hold> {
    let named = (a_node(), a_device_name()).prop_map(|(node, device)| Hold::Named { node, device });
    prop_oneof![4 => Just(Hold::Nothing), 1 => Just(Hold::Device), 1 => Just(Hold::Node), 1 => Just(Hold::EachDevice), 1 => named]
}

fn a_session() -> impl Strategy<Value = SessionSpec> {
    let fixed = prop_oneof![9 => 0..6_u32, 1 => any::<u32>()];
    let workers = (fixed, 0..4_u32, 0..9_u32, 0..110_u8);
    let rules =
        (prop::option::of(a_policy()), prop::option::of(a_hold()), prop::option::of(resources()), any::<bool>());
    ("[ab]?", any::<Option<u8>>(), resources(), a_target(), workers, rules).prop_map(
        |(name, version, need, target, (fixed, share, max, priority), (policy, hold, need_max, refuse_unfit))| {
            let model = ModelQuery { name, version: version.map(|version| u32::from(version) % 3) };
            let need_max = need_max.map(|most| most.max(&need));
            let spec = SessionSpec::of(model, &target, need);
            SessionSpec { fixed, share, max, priority, policy, hold, need_max, refuse_unfit, ..spec }
        },
    )
}

fn a_worker() -> impl Strategy<Value = WorkerId> {
    (0..20_u64).prop_map(WorkerId)
}

fn a_plan() -> impl Strategy<Value = Plan> {
    let placement = (0..6_u64, a_node(), a_device_name());
    let placement =
        placement.prop_map(|(session, node, device)| Placement { session: SessionId(session), node, device });
    let why = prop_oneof![
        Just(Why::Drained),
        (0..6_u64).prop_map(|by| Why::Preempted { by: SessionId(by) }),
        (0..6_u64).prop_map(|by| Why::Reclaimed { by: SessionId(by) }),
    ];
    let change = prop_oneof![
        6 => placement.prop_map(Change::Start),
        2 => a_worker().prop_map(Change::Stop),
        2 => a_worker().prop_map(Change::Return),
        2 => a_worker().prop_map(Change::Revive),
        1 => (a_worker(), resources()).prop_map(|(worker, need)| Change::Resize { worker, need }),
        2 => (a_worker(), why).prop_map(|(worker, why)| Change::Leave { worker, why }),
    ];
    prop::collection::vec(change, 0..12).prop_map(|changes| Plan { changes })
}

fn a_report() -> impl Strategy<Value = WorkerReport> {
    prop_oneof![
        Just(WorkerReport::Status(WorkerStatus::Ready)),
        Just(WorkerReport::Status(WorkerStatus::Starting)),
        Just(WorkerReport::Left),
        Just(WorkerReport::OutOfMemory),
        any::<u64>().prop_map(|length| WorkerReport::AtStake(Millis(length))),
        ".{0,3}".prop_map(|some| WorkerReport::Failed { reason: some.repeat(1_000) }),
    ]
}

fn of_health() -> impl Strategy<Value = Command> {
    let ending = prop_oneof![
        Just(Ending::AtOnce),
        Just(Ending::WhenDone),
        any::<u64>().prop_map(|length| Ending::Within(Millis(length))),
    ];
    let report = prop_oneof![
        (0..5_u32).prop_map(|times| DeviceReport::Faults { times, reason: "it burns".into() }),
        Just(DeviceReport::Passed),
        Just(DeviceReport::Failed { reason: "it smokes".into() }),
    ];
    let device = || prop::option::of(a_device_name());
    prop_oneof![
        3 => (a_node(), device(), ending).prop_map(|(node, device, ending)| {
            Command::Block { node, device, by: Author::Operator, reason: "so".into(), ending }
        }),
        2 => (a_node(), device()).prop_map(|(node, device)| Command::Unblock { node, device }),
        4 => (a_node(), a_device_name(), report)
            .prop_map(|(node, device, report)| Command::DeviceReport { node, device, report }),
        3 => (a_node(), a_device_name()).prop_map(|(node, device)| Command::DeviceTest { node, device }),
        2 => (a_node(), a_device_name()).prop_map(|(node, device)| Command::DeviceTrust { node, device }),
    ]
}

fn of_sessions() -> impl Strategy<Value = Command> {
    let id = || (0..6_u64).prop_map(SessionId);
    prop_oneof![
        8 => a_session().prop_map(Command::SessionCreate),
        1 => id().prop_map(Command::SessionEnd),
        3 => (id(), any::<u8>()).prop_map(|(session, workers)| Command::SessionWant { session, workers: workers.into() }),
        2 => (id(), resources()).prop_map(|(session, reserved)| Command::SessionReserve { session, reserved }),
    ]
}

fn of_seats() -> impl Strategy<Value = Command> {
    prop_oneof![
        (0..7_usize, any::<u32>())
            .prop_map(|(voters, after)| { Command::SeatsSet(Rules { voters, replace_after: Millis(after.into()) }) }),
        a_node().prop_map(Command::SeatEvict),
        a_node().prop_map(Command::SeatAllow),
        (any::<u64>(), a_node()).prop_map(|(mesh, by)| Command::Recover { mesh: MeshId(mesh), by }),
    ]
}

fn a_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => any::<u64>().prop_map(|mesh| Command::Found { mesh: MeshId(mesh) }),
        1 => a_policy().prop_map(Command::PolicySet),
        2 => of_seats(),
        6 => a_node_spec().prop_map(Command::NodeJoin),
        2 => a_node().prop_map(Command::NodeDown),
        2 => a_node().prop_map(Command::NodeUp),
        2 => ("[ab]?", any::<u8>()).prop_map(|(name, content)| Command::ModelAdd(mesh::model(&name, content % 3))),
        6 => of_sessions(),
        3 => of_health(),
        4 => (a_node(), a_worker(), a_report())
            .prop_map(|(node, worker, report)| Command::WorkerReport { node, worker, report }),
        4 => a_plan().prop_map(Command::Plan),
        6 => of_tasks().prop_map(Command::Tasks),
    ]
}

/// Of a few streams, so that what ends was often accepted before.
fn of_tasks() -> impl Strategy<Value = TaskCommand> {
    let stream = || (0..3_u64).prop_map(StreamId);
    let sequence = || prop_oneof![12 => 0..8_u64, 1 => any::<u64>()].prop_map(Sequence);
    let sequences = || prop::collection::vec(sequence(), 0..5);
    let length = prop_oneof![8 => 0..64_usize, 1 => Just(INLINE_BYTES_MAX + 1)];
    let inline = length.prop_map(|length| Payload::Inline(vec![0; length].into()));
    let stored = (0..2_u8, a_node()).prop_map(|(content, holder)| {
        let blob = Blob { digest: Digest([content; 32]), size: 1 << 20 };
        Payload::Stored { blob, holders: vec![holder] }
    });
    let task = prop_oneof![3 => inline, 1 => stored].prop_map(|payload| DurableTask {
        label: "one.png".into(),
        head: Bytes::default(),
        payload,
        priority: 50,
        checkpoint: None,
    });
    let tasks = prop::collection::vec(task, 0..4);
    let keep = prop_oneof![Just(0), 0..100_000_u64, Just(u64::MAX)].prop_map(Millis);
    let result = prop_oneof![
        Just(Ok((Bytes::default(), Payload::Inline(Bytes::from(&b"cat"[..]))))),
        Just(Err(String::from("it cannot be read"))),
    ];
    let end = (sequence(), result)
        .prop_map(|(sequence, result)| (sequence, End { attempt: 1, worker: None, run_micros: 1, result }));
    let to = (stream(), a_node());
    prop_oneof![
        6 => (stream(), (1..4_u64).prop_map(SessionId), a_node(), keep, sequence(), tasks).prop_map(
            |(stream, session, gateway, keep, first, tasks)| {
                TaskCommand::Accept { stream, session, gateway, keep, first, tasks }
            }
        ),
        4 => (stream(), 0..4_u32, prop::collection::vec(end, 0..5))
            .prop_map(|(stream, tenure, ends)| TaskCommand::End { stream, tenure, ends }),
        3 => (stream(), sequences(), any::<bool>())
            .prop_map(|(stream, sequences, close)| TaskCommand::Fetched { stream, sequences, close }),
        2 => prop::collection::vec(to, 0..3).prop_map(|streams| TaskCommand::Move { streams }),
        1 => prop::collection::vec(stream(), 0..3).prop_map(|streams| TaskCommand::Expire { streams }),
    ]
}

/// A state that some commands have led to, with whatever the planner made of it in between.
fn a_state_after(entries: &[Entry]) -> State {
    let mut state = State::default();
    let mut planner = Planner::default();
    let founded = [Command::Found { mesh: MeshId(7) }, Command::ModelAdd(mesh::model("a", 1))];
    let founded = founded.map(|command| Entry { at: Millis(0), command });
    for (number, entry) in founded.iter().chain(entries).enumerate() {
        let _ = apply(&mut state, entry);
        if number % 5 == 4 {
            let planned = planner.plan(&state, entry.at, CHANGES_MAX);
            let _ = apply(&mut state, &Entry { at: entry.at, command: Command::Plan(planned) });
        }
    }
    state
}

/// Clocks that step forward, back, and to the end of time.
fn an_entry() -> impl Strategy<Value = Entry> {
    let at = prop_oneof![8 => 0..100_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    (at.prop_map(Millis), a_command()).prop_map(|(at, command)| Entry { at, command })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_commands_breaks_the_state(entries in prop::collection::vec(an_entry(), 0..60)) {
        let mut state = State::default();
        for entry in entries {
            let before = state.clone();
            if apply(&mut state, &entry).is_err() {
                prop_assert_eq!(&state, &before);
            }
            prop_assert_eq!(invariants::violations(&state), Vec::<String>::new());
        }
    }

    #[test]
    fn what_the_planner_plans_is_taken_and_leaves_nothing_to_plan(
        entries in prop::collection::vec(an_entry(), 0..60),
        now in 0..200_000_u64,
    ) {
        let (mut state, at) = (a_state_after(&entries), Millis(now));
        let planned = plan(&state, at);
        let events = apply(&mut state, &Entry { at, command: Command::Plan(planned.clone()) }).unwrap();
        prop_assert!(!events.iter().any(|event| matches!(event, Event::ChangeRefused { .. })), "{events:?}");
        prop_assert_eq!(invariants::violations(&state), Vec::<String>::new());
        prop_assert_eq!(plan(&state, at), Plan::default(), "after {:?}", planned);
    }

    #[test]
    fn a_planner_that_followed_every_change_plans_as_one_that_begins(
        entries in prop::collection::vec(an_entry(), 0..60),
    ) {
        let (mut state, mut planner) = (State::default(), Planner::default());
        for entry in entries {
            let _ = apply(&mut state, &entry);
            let planned = planner.plan(&state, entry.at, CHANGES_MAX);
            prop_assert_eq!(&planned, &plan(&state, entry.at));
            // Some plans are lost with their leader.
            if entry.at.0 % 3 > 0 {
                let _ = apply(&mut state, &Entry { at: entry.at, command: Command::Plan(planned) });
            }
        }
    }

    #[test]
    fn a_small_plan_is_the_begin_of_the_whole(entries in prop::collection::vec(an_entry(), 0..60), now in 0..200_000_u64) {
        let (mut state, at) = (a_state_after(&entries), Millis(now));
        // Step by step it comes to rest too.
        for _ in 0..200 {
            let step = Planner::default().plan(&state, at, 1);
            if step.is_empty() {
                break;
            }
            let events = apply(&mut state, &Entry { at, command: Command::Plan(step) }).unwrap();
            prop_assert!(!events.iter().any(|event| matches!(event, Event::ChangeRefused { .. })), "{events:?}");
        }
        prop_assert_eq!(plan(&state, at), Plan::default());
    }

    #[test]
    fn an_ordered_stream_gives_out_every_number_once_and_in_order(
        first in any::<u32>(),
        order in (1..40_usize).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle()),
    ) {
        let first = u64::from(first);
        let mut reorder = Reorder::ordered(Sequence(first));
        let mut given_out = Vec::new();
        for (before, number) in order.iter().enumerate() {
            let sequence = Sequence(first + *number as u64);
            prop_assert!(!reorder.is_past(sequence));
            reorder.insert(sequence, sequence.0 - first);
            prop_assert!(reorder.is_past(sequence));
            given_out.extend(std::iter::from_fn(|| reorder.take_next()));
            prop_assert_eq!(reorder.held() + given_out.len(), before + 1);
        }
        prop_assert_eq!(given_out, (0..order.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(reorder.held(), 0);
    }

    #[test]
    fn ended_knows_what_ended(first in 0..20_u64, numbers in prop::collection::vec(0..60_u64, 0..80)) {
        let mut ended = Ended::before(Sequence(first));
        let mut expected: BTreeSet<u64> = (0..first).collect();
        for number in numbers {
            ended.insert(Sequence(number));
            expected.insert(number);
            for asked in 0..65 {
                prop_assert_eq!(ended.contains(Sequence(asked)), expected.contains(&asked), "{}", asked);
            }
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written(number in any::<u64>(), text in ".{0,20}") {
        prop_assert_eq!(NodeId(number).to_string().parse(), Ok(NodeId(number)));
        prop_assert_eq!(MeshId(number).to_string().parse(), Ok(MeshId(number)));
        prop_assert_eq!(StreamId(number).to_string().parse(), Ok(StreamId(number)));
        prop_assert_eq!(SessionId(number).to_string().parse(), Ok(SessionId(number)));
        prop_assert_eq!(WorkerId(number).to_string().parse(), Ok(WorkerId(number)));
        // Whatever else somebody types is an id or an error.
        let _ = (text.parse::<NodeId>(), text.parse::<SessionId>());
    }

    #[test]
    fn model_queries_are_read_as_they_are_written(
        name in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}",
        version in any::<Option<u32>>(),
    ) {
        let query = ModelQuery { name, version };
        prop_assert_eq!(query.to_string().parse(), Ok(query));
    }

    #[test]
    fn no_model_query_has_a_name_that_is_none(text in "([a-z@.-]|.){0,12}") {
        if let Ok(query) = text.parse::<ModelQuery>() {
            prop_assert!(is_name(&query.name));
            prop_assert_eq!(text.contains('@'), query.version.is_some());
        }
    }

    #[test]
    fn a_hold_off_is_never_shorter_than_the_first_nor_endless(times in any::<u32>(), at in 0..u64::MAX / 2) {
        let failure = Failure { times, at: Millis(at), reason: String::new() };
        let length = failure.until().since(failure.at).0;
        prop_assert!((5_000..=320_000).contains(&length));
        prop_assert!(failure.holds(failure.at) && !failure.holds(failure.until()));
    }

    #[test]
    fn resources_that_fit_leave_what_they_do_not_take(room in resources(), need in resources()) {
        match need.first_excess(&room) {
            None => prop_assert_eq!(room.minus(&need).plus(&need), room),
            Some((_, asked, left)) => prop_assert!(asked > left),
        }
    }
}

#[test]
fn ended_keeps_a_bounded_number_of_gaps() {
    let mut ended = Ended::before(Sequence(0));
    for number in (0..10_000).map(|number| number * 2) {
        ended.insert(Sequence(number));
    }
    // The oldest gaps were closed: what is in them counts as ended. The newest are still open.
    assert!(ended.contains(Sequence(1)) && !ended.contains(Sequence(19_997)));
}

#[test]
fn a_model_query_says_what_is_wrong() {
    let wrong = |text: &str| text.parse::<ModelQuery>().unwrap_err();
    assert_eq!(wrong("cats@"), "the version after '@' must be a number, as in cats@2");
    assert_eq!(wrong("cats@1@2"), "the version after '@' must be a number, as in cats@2");
    assert!(wrong("").starts_with("a name has 1 to 64 letters"));
    assert!(wrong("@1").starts_with("a name has"));
    assert!(wrong(&"c".repeat(65)).starts_with("a name has"));
}

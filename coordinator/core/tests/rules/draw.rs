//! Commands, and what is in them, as proptest comes up with them: much of it makes no sense.

use proptest::prelude::*;
use skein_core::capability::{Capability, Device, DeviceKind, Heat, NodeSpec, Profile};
use skein_core::durable::{Bytes, DurableTask, End, INLINE_BYTES_MAX, Payload, TaskCommand};
use skein_core::health::{Author, DeviceReport, Ending};
use skein_core::model::{Blob, Digest, ModelQuery, ModelRef};
use skein_core::plan::{Change, Placement, Plan};
use skein_core::policy::{POLICIES, PolicyName};
use skein_core::resources::AMOUNT_MAX;
use skein_core::seats::Rules;
use skein_core::session::{Hold, SessionSpec};
use skein_core::worker::{Why, WorkerReport, WorkerStatus};
use skein_core::{Command, Entry, MeshId, Millis, NodeId, Resources, Sequence, SessionId, StreamId, WorkerId};

use crate::mesh;

pub(crate) fn a_node() -> impl Strategy<Value = NodeId> {
    (0..4_u64).prop_map(NodeId)
}

/// Small numbers, so that things meet, and the extremes.
fn an_amount() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..6_u64, 1 => Just(AMOUNT_MAX), 1 => any::<u64>()]
}

pub(crate) fn resources() -> impl Strategy<Value = Resources> {
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

pub(crate) fn a_node_spec() -> impl Strategy<Value = NodeSpec> {
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

pub(crate) fn a_policy() -> impl Strategy<Value = PolicyName> {
    prop::sample::select(POLICIES.map(|(name, _, _)| name).to_vec())
}

fn a_hold() -> impl Strategy<Value = Hold> {
    let named = (a_node(), a_device_name()).prop_map(|(node, device)| Hold::Named { node, device });
    prop_oneof![4 => Just(Hold::Nothing), 1 => Just(Hold::Device), 1 => Just(Hold::Node), 1 => Just(Hold::EachDevice), 1 => named]
}

pub(crate) fn a_session() -> impl Strategy<Value = SessionSpec> {
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
        1 => a_worker().prop_map(Change::Recall),
        1 => (a_worker(), resources()).prop_map(|(worker, need)| Change::Resize { worker, need }),
        2 => (a_worker(), why).prop_map(|(worker, why)| Change::Leave { worker, why }),
    ];
    prop::collection::vec(change, 0..12).prop_map(|changes| Plan { changes })
}

pub(crate) fn a_report() -> impl Strategy<Value = WorkerReport> {
    prop_oneof![
        Just(WorkerReport::Status(WorkerStatus::Ready)),
        Just(WorkerReport::Status(WorkerStatus::Starting)),
        Just(WorkerReport::Left),
        Just(WorkerReport::OutOfMemory),
        any::<u64>().prop_map(|length| WorkerReport::AtStake(Millis(length))),
        ".{0,3}".prop_map(|some| WorkerReport::Failed { reason: some.repeat(1_000) }),
    ]
}

pub(crate) fn of_health() -> impl Strategy<Value = Command> {
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

pub(crate) fn a_command() -> impl Strategy<Value = Command> {
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
pub(crate) fn of_tasks() -> impl Strategy<Value = TaskCommand> {
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
    let kept =
        (sequence(), 0..64_usize).prop_map(|(sequence, length)| (sequence, Payload::Inline(vec![1; length].into())));
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
        2 => (stream(), 0..4_u32, prop::collection::vec(kept, 0..5))
            .prop_map(|(stream, tenure, checkpoints)| TaskCommand::Checkpoint { stream, tenure, checkpoints }),
        3 => (stream(), sequences(), any::<bool>())
            .prop_map(|(stream, sequences, close)| TaskCommand::Fetched { stream, sequences, close }),
        2 => prop::collection::vec(to, 0..3).prop_map(|streams| TaskCommand::Move { streams }),
        1 => prop::collection::vec(stream(), 0..3).prop_map(|streams| TaskCommand::Expire { streams }),
    ]
}

/// Clocks that step forward, back, and to the end of time.
pub(crate) fn an_entry() -> impl Strategy<Value = Entry> {
    let at = prop_oneof![8 => 0..100_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    (at.prop_map(Millis), a_command()).prop_map(|(at, command)| Entry { at, command })
}

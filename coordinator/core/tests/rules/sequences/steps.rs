//! What happens to a mesh at work. Numbers of workers, sessions and nodes are places in the state at that time, so that most of
//! what is said is said of something that is there.

use proptest::prelude::*;
use skein_core::capability::{DeviceKind, NodeSpec};
use skein_core::health::{DeviceReport, Ending};
use skein_core::model::ModelQuery;
use skein_core::policy::PolicyName;
use skein_core::session::{Hold, SessionSpec};
use skein_core::worker::WorkerReport;
use skein_core::{Command, Millis, NodeId, Resources};

use crate::{draw, mesh};

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The leader plans, and its plan is committed.
    Plan,
    /// A plan that was made earlier is committed again.
    PlanAgain,
    /// All workers that start are ready.
    AllReady,
    /// All workers that have to leave have left.
    AllLeft,
    /// A node says something of one of its workers.
    Report(usize, WorkerReport),
    /// A session ends.
    End(usize),
    /// A session's tasks could keep so many workers busy.
    Want(usize, u32),
    /// A session's workers use so many percent of what they may have at most.
    Reserve(usize, u64),
    /// A node, or its processor, is blocked.
    Block(usize, bool, Ending),
    /// Some block ends.
    Unblock(usize),
    /// A node says something of its first device.
    Device(usize, DeviceReport),
    /// What the leader does about devices.
    Health,
    /// A node is no longer heard.
    Down(usize),
    /// It is heard again.
    Up(usize),
    /// A node offers so many cores by now.
    Offer(usize, u64),
    /// A client submits so many durable tasks to a session.
    Submit(usize, u64),
    /// The oldest pending task of some stream ends; whether well.
    TaskEnds(usize, bool),
    /// Somebody says anything.
    Say(Box<Command>),
    /// Time passes.
    Wait(u64),
}

/// Some nodes; the first has a processor at least.
pub(super) fn mesh() -> impl Strategy<Value = Vec<NodeSpec>> {
    prop::collection::vec((2..8_u64, any::<bool>()), 1..5).prop_map(|nodes| {
        let numbered = (1..).zip(nodes);
        numbered.map(|(id, (cores, has_gpu))| node(NodeId(id), cores, has_gpu)).collect()
    })
}

fn node(id: NodeId, cores: u64, has_gpu: bool) -> NodeSpec {
    let mut spec = mesh::node(id, cores);
    spec.capability.offers.named.insert("camera".into(), 1);
    if has_gpu {
        let offers = Resources { gpu_milli: 1_000, gpu_memory_bytes: 8 << 30, ..Resources::default() };
        spec.capability.devices.push(mesh::device("gpu", DeviceKind::Gpu, offers));
        spec.capability.targets.push("onnxruntime".into());
    }
    spec
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(a_step(), 20..100)
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Plan),
        1 => Just(Step::PlanAgain),
        6 => Just(Step::AllReady),
        4 => Just(Step::AllLeft),
        10 => of_sessions(),
        4 => (any::<usize>(), draw::a_report()).prop_map(|(at, report)| Step::Report(at, report)),
        6 => of_nodes(),
        5 => of_tasks(),
        2 => draw::a_command().prop_map(|command| Step::Say(Box::new(command))),
        4 => prop_oneof![4 => 0..8_000_u64, 1 => 0..120_000_u64].prop_map(Step::Wait),
    ]
}

fn of_sessions() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => a_session().prop_map(|spec| Step::Say(Box::new(Command::SessionCreate(spec)))),
        1 => any::<usize>().prop_map(Step::End),
        6 => (any::<usize>(), 0..9_u32).prop_map(|(at, workers)| Step::Want(at, workers)),
        2 => (any::<usize>(), 20..130_u64).prop_map(|(at, percent)| Step::Reserve(at, percent)),
    ]
}

fn of_nodes() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![
        Just(Ending::AtOnce),
        Just(Ending::WhenDone),
        (0..20_000_u64).prop_map(|length| Ending::Within(Millis(length))),
    ];
    let report = prop_oneof![
        3 => (1..5_u32).prop_map(|times| DeviceReport::Faults { times, reason: "it burns".into() }),
        2 => Just(DeviceReport::Passed),
        1 => Just(DeviceReport::Failed { reason: "it smokes".into() }),
    ];
    prop_oneof![
        2 => (any::<usize>(), any::<bool>(), ending).prop_map(|(at, is_device, ending)| Step::Block(at, is_device, ending)),
        4 => any::<usize>().prop_map(Step::Unblock),
        2 => (any::<usize>(), report).prop_map(|(at, report)| Step::Device(at, report)),
        3 => Just(Step::Health),
        1 => any::<usize>().prop_map(Step::Down),
        5 => any::<usize>().prop_map(Step::Up),
        1 => (any::<usize>(), 1..9_u64).prop_map(|(at, cores)| Step::Offer(at, cores)),
    ]
}

fn of_tasks() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (any::<usize>(), 1..4_u64).prop_map(|(at, count)| Step::Submit(at, count)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, is_well)| Step::TaskEnds(at, is_well)),
    ]
}

/// What is asked for before all else.
pub(super) fn sessions() -> impl Strategy<Value = Vec<SessionSpec>> {
    prop::collection::vec(a_session(), 1..4)
}

/// Something that a client might well ask for.
fn a_session() -> impl Strategy<Value = SessionSpec> {
    let need = (1..4_u64, prop_oneof![6 => Just(0_u64), 1 => Just(1)], prop_oneof![3 => Just(0_u64), 1 => Just(500)]);
    let workers = (0..4_u32, 0..4_u32, 1..6_u32);
    let policy = prop_oneof![
        3 => Just(None),
        4 => Just(Some(PolicyName::Preemptive)),
        1 => Just(Some(PolicyName::Exclusive)),
        1 => Just(Some(PolicyName::Priority)),
    ];
    let hold = prop_oneof![
        8 => Just(None),
        1 => Just(Some(Hold::Device)),
        1 => Just(Some(Hold::Node)),
        1 => Just(Some(Hold::Named { node: NodeId(1), device: "cpu".into() })),
    ];
    (need, workers, 0..101_u8, policy, hold, any::<bool>(), 0..5_000_u64).prop_map(
        |((cores, cameras, gpu_milli), (fixed, share, more), priority, policy, hold, grows, grace)| {
            let mut need = Resources { gpu_milli, ..mesh::cores(cores) };
            if cameras > 0 {
                need.named.insert("camera".into(), cameras);
            }
            let target = if gpu_milli > 0 { "onnxruntime" } else { "tract" };
            let need_max = grows.then(|| need.plus(&mesh::cores(cores)));
            let model = ModelQuery { name: "cats".into(), version: None };
            // Somebody who asks for nothing is refused.
            let fixed = if share == 0 { fixed.max(1) } else { fixed };
            let max = if share > 0 { fixed + more } else { 0 };
            let spec = SessionSpec::of(model, target, need);
            SessionSpec { fixed, share, max, priority, policy, hold, need_max, grace: Millis(grace), ..spec }
        },
    )
}

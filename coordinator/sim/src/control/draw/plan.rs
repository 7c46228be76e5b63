//! Plans and reports at random: some happen to be sound.

use skein_core::health::DeviceReport;
use skein_core::plan::{Change, Placement, Plan};
use skein_core::worker::{Why, WorkerReport, WorkerStatus};
use skein_core::{Command, Millis, NodeId, SessionId, State, WorkerId};

use super::{DEVICES, NOWHERE};
use crate::chance::Chance;

pub(in crate::control) fn plan(chance: &mut Chance, nodes: u64, state: &State) -> Plan {
    let count = if chance.percent(4) { 2_000 } else { chance.number(0..12) };
    Plan { changes: (0..count).map(|_| change(chance, nodes, state)).collect() }
}

fn change(chance: &mut Chance, nodes: u64, state: &State) -> Change {
    let worker = worker(chance, state);
    match chance.number(0..12) {
        0 => Change::Stop(worker),
        1 | 2 => {
            let by = session(chance, state);
            let why = chance.pick([Why::Preempted { by }, Why::Reclaimed { by }, Why::Drained]);
            Change::Leave { worker, why: why.unwrap_or(Why::Drained) }
        }
        3 => Change::Return(worker),
        4 if chance.percent(50) => Change::Revive(worker),
        4 => Change::Recall(worker),
        5 => {
            let session = state.workers.get(&worker).and_then(|worker| state.sessions.get(&worker.session));
            let need = session.filter(|_| chance.percent(70)).map(|session| session.reserved.clone());
            Change::Resize { worker, need: need.unwrap_or_default() }
        }
        _ => Change::Start(Placement {
            session: session(chance, state),
            node: NodeId(chance.number(0..nodes + 2)),
            device: chance.pick(DEVICES).unwrap_or_default().into(),
        }),
    }
}

fn worker(chance: &mut Chance, state: &State) -> WorkerId {
    let known = chance.pick(state.workers.keys().copied()).filter(|_| chance.percent(80));
    known.unwrap_or(WorkerId(chance.number(0..state.last_worker.0 + 2)))
}

fn session(chance: &mut Chance, state: &State) -> SessionId {
    let known = chance.pick(state.sessions.keys().copied()).filter(|_| chance.percent(80));
    known.unwrap_or(SessionId(chance.number(0..state.last_session.0 + 2)))
}

/// What a node might say of a worker, its own or not.
pub(in crate::control) fn worker_report(chance: &mut Chance, nodes: u64, state: &State) -> Command {
    let report = match chance.number(0..8) {
        0 => WorkerReport::Status(WorkerStatus::Ready),
        1 => WorkerReport::Status(WorkerStatus::Starting),
        2 => WorkerReport::Failed { reason: "it burns".into() },
        3 => WorkerReport::AtStake(Millis(chance.pick([0, 1_000, u64::MAX]).unwrap_or(0))),
        4 => WorkerReport::Left,
        5 => WorkerReport::OutOfMemory,
        // No cut of a byte length falls between two letters of this.
        _ => WorkerReport::Failed { reason: "x".to_owned() + &"ä".repeat(3_000) },
    };
    let worker = worker(chance, state);
    let own = state.workers.get(&worker).filter(|_| chance.percent(60)).map(|worker| worker.node);
    Command::WorkerReport { node: own.unwrap_or(NodeId(1 + chance.number(0..nodes))), worker, report }
}

/// What a node might say of a device, whatever phase that is in.
pub(in crate::control) fn device_report(chance: &mut Chance, nodes: u64) -> Command {
    let node = NodeId(if chance.percent(90) { 1 + chance.number(0..nodes) } else { NOWHERE });
    let device = chance.pick(DEVICES).unwrap_or_default().into();
    let report = match chance.number(0..6) {
        0 => DeviceReport::Passed,
        1 => DeviceReport::Failed { reason: "it says 7".into() },
        _ => {
            DeviceReport::Faults { times: chance.pick([0, 1, 2, 3, u32::MAX]).unwrap_or(0), reason: "ä".repeat(2_000) }
        }
    };
    Command::DeviceReport { node, device, report }
}

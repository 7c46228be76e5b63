//! A mesh with too little for everybody, without faults: what is spare is shared by weight, and nobody starves.
//!
//! Three stories in turn, with the plan made and carried out once a second:
//!
//! - a large session waits while small ones come and go, and always want more than there is;
//! - sessions of different weight have more tasks than the mesh has workers, and their load rises and falls;
//! - a session's workers use now more, now less than they were given, and what that frees is given out.

use skein_core::capability::{Capability, Device, DeviceKind, Heat, NodeSpec};
use skein_core::model::ModelQuery;
use skein_core::plan::{CHANGES_MAX, Planner};
use skein_core::session::SessionSpec;
use skein_core::worker::{Duty, WorkerReport};
use skein_core::{Command, Entry, MeshId, Millis, NodeId, Resources, SessionId, State, apply, invariants};

use crate::Report;
use crate::chance::Chance;
use crate::control::check::mesh::Mesh;
use crate::control::draw;

mod adaptive;
mod crowd;
mod weights;

/// The leader's clock at the start of the run, as time since the Unix epoch.
const EPOCH: u64 = 1_700_000_000_000;
/// How often it is planned.
const STEP: Millis = Millis(1_000);

#[derive(Debug)]
struct World {
    chance: Chance,
    now: Millis,
    state: State,
    planner: Planner,
    steps: u64,
}

/// Runs this world from a seed.
pub fn run(seed: u64) -> Report {
    let mut world = World::new(seed);
    match world.chance.number(0..3) {
        0 => world.crowd(),
        1 => world.weights(),
        _ => world.adaptive(),
    }
    let virtual_ms = world.now.0 - EPOCH;
    crate::report(seed, world.steps, virtual_ms, world.chance)
}

impl World {
    fn new(seed: u64) -> Self {
        let chance = Chance::new(seed ^ 0x5ca5);
        let (state, planner) = (State::default(), Planner::default());
        let mut world = Self { chance, now: Millis(EPOCH), state, planner, steps: 0 };
        world.say(Command::Found { mesh: MeshId(7) });
        world.say(Command::ModelAdd(draw::session::model_of("cats")));
        world
    }

    /// Nodes that are all alike.
    fn nodes(&mut self, count: u64, cpu_millicores: u64) {
        for id in 1..=count {
            let device = Device {
                name: "cpu".into(),
                kind: DeviceKind::Cpu,
                hardware: "?".into(),
                offers: Resources::default(),
                heat: Heat::Cool,
            };
            let offers = need(cpu_millicores);
            let (devices, targets) = (vec![device], vec!["tract".into()]);
            let capability = Capability { offers, devices, targets, ..Capability::default() };
            let (name, address, version) = (format!("node-{id}"), "[::1]:1".into(), "1".into());
            self.say(Command::NodeJoin(NodeSpec { id: NodeId(id), name, address, version, capability }));
        }
    }

    /// A command that nothing speaks against.
    fn say(&mut self, command: Command) {
        let said = format!("{command:?}");
        let outcome = apply(&mut self.state, &Entry { at: self.now, command });
        self.steps += 1;
        if let Err(refusal) = outcome {
            self.chance.check(false, || format!("{said} is refused: {refusal}"));
        }
    }

    fn open(&mut self, spec: SessionSpec) -> SessionId {
        self.say(Command::SessionCreate(spec));
        self.state.last_session
    }

    /// A second passes.
    fn second(&mut self) {
        self.passes(STEP);
    }

    /// Time passes: those that have to leave do so within a few steps, and it is planned.
    fn passes(&mut self, length: Millis) {
        self.now = self.now + length;
        let leaving = self.state.workers.iter().filter(|(_, worker)| matches!(worker.duty, Duty::Leaving { .. }));
        let leaving: Vec<_> = leaving.map(|(id, worker)| (*id, worker.node)).collect();
        for (worker, node) in leaving {
            if self.chance.percent(50) {
                self.say(Command::WorkerReport { node, worker, report: WorkerReport::Left });
            }
        }
        let plan = self.planner.plan(&self.state, self.now, CHANGES_MAX);
        self.say(Command::Plan(plan));
        for violation in invariants::violations(&self.state) {
            self.chance.check(false, || violation);
        }
    }

    fn serving(&self, id: SessionId) -> u32 {
        Mesh::of(&self.state, self.now).serving(id)
    }
}

fn need(cpu_millicores: u64) -> Resources {
    Resources { cpu_millicores, memory_bytes: cpu_millicores << 20, ..Resources::default() }
}

fn session(cpu_millicores: u64) -> SessionSpec {
    let model = ModelQuery { name: "cats".into(), version: None };
    SessionSpec { grace: Millis(2_000), ..SessionSpec::of(model, "tract", need(cpu_millicores)) }
}

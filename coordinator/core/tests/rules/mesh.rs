//! A mesh to tell stories about: founded, with the model `cats`; the rest is added as a story needs it.

use skein_core::capability::{Capability, Device, DeviceKind, Heat, NodeSpec};
use skein_core::model::{Blob, Digest, ModelQuery, ModelSpec};
use skein_core::plan::{Change, Placement, Plan};
use skein_core::session::SessionSpec;
use skein_core::worker::{WorkerReport, WorkerStatus};
use skein_core::{
    Command, Entry, Event, MeshId, Millis, NodeId, Refusal, Resources, SessionId, State, WorkerId, apply, invariants,
};

pub(crate) const A: NodeId = NodeId(1);
pub(crate) const B: NodeId = NodeId(2);
pub(crate) const C: NodeId = NodeId(3);

pub(crate) struct Mesh {
    pub(crate) state: State,
    pub(crate) now: Millis,
}

impl Mesh {
    pub(crate) fn founded() -> Self {
        let mut mesh = Self { state: State::default(), now: Millis(1_000_000) };
        mesh.apply(Command::Found { mesh: MeshId(7) });
        mesh.apply(Command::ModelAdd(model("cats", 1)));
        mesh
    }

    /// With these nodes of so many cores each.
    pub(crate) fn of(nodes: &[(NodeId, u64)]) -> Self {
        let mut mesh = Self::founded();
        for (id, cores) in nodes {
            mesh.apply(Command::NodeJoin(node(*id, *cores)));
        }
        mesh
    }

    /// Opens a session of so many workers with one core each.
    pub(crate) fn session(&mut self, fixed: u32) -> SessionId {
        self.apply(Command::SessionCreate(session(fixed)));
        self.state.last_session
    }

    /// Opens a session of so many workers for a model of its own.
    pub(crate) fn session_of(&mut self, model: &str, fixed: u32) -> SessionId {
        self.apply(Command::ModelAdd(self::model(model, 1)));
        let model = ModelQuery { name: model.into(), version: None };
        self.open(SessionSpec { model, ..session(fixed) })
    }

    /// Opens this session.
    pub(crate) fn open(&mut self, spec: SessionSpec) -> SessionId {
        self.apply(Command::SessionCreate(spec));
        self.state.last_session
    }

    /// Something that must be taken; what changed.
    pub(crate) fn apply(&mut self, command: Command) -> Vec<Event> {
        let entry = Entry { at: self.now, command };
        let events = apply(&mut self.state, &entry).unwrap_or_else(|refusal| panic!("{entry:?}: {refusal}"));
        assert_eq!(invariants::violations(&self.state), Vec::<String>::new(), "after {entry:?}");
        events
    }

    /// Something that must be refused, and change nothing; why.
    pub(crate) fn refusal(&mut self, command: Command) -> Refusal {
        let before = self.state.clone();
        let entry = Entry { at: self.now, command };
        let refusal = apply(&mut self.state, &entry).expect_err("it should be refused");
        assert_eq!(self.state, before, "{refusal}");
        refusal
    }

    /// Plans once, applies it, and says where the new workers stand.
    pub(crate) fn plan(&mut self) -> Vec<(SessionId, NodeId)> {
        let plan = skein_core::plan(&self.state, self.now);
        let places = plan.starts().map(|placement| (placement.session, placement.node)).collect();
        self.carry_out(plan);
        places
    }

    /// Plans once and applies it; what it changes.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        let plan = skein_core::plan(&self.state, self.now);
        self.carry_out(plan.clone());
        plan.changes
    }

    /// A plan that was made on this state is taken as a whole.
    fn carry_out(&mut self, plan: Plan) {
        let events = self.apply(Command::Plan(plan));
        assert!(!events.iter().any(|event| matches!(event, Event::ChangeRefused { .. })), "{events:?}");
    }

    pub(crate) fn place(&mut self, session: SessionId, node: NodeId, device: &str) -> Vec<Event> {
        let placement = Placement { session, node, device: device.into() };
        self.apply(Command::Plan(Plan { changes: vec![Change::Start(placement)] }))
    }

    pub(crate) fn nodes_of(&self, session: SessionId) -> Vec<NodeId> {
        self.state.workers_of(session).filter(|(_, worker)| worker.serves()).map(|(_, worker)| worker.node).collect()
    }

    pub(crate) fn ready(&mut self, worker: WorkerId) -> Vec<Event> {
        let node = self.state.workers[&worker].node;
        self.apply(Command::WorkerReport { node, worker, report: WorkerReport::Status(WorkerStatus::Ready) })
    }

    pub(crate) fn failed(&mut self, worker: WorkerId, reason: &str) -> Vec<Event> {
        let node = self.state.workers[&worker].node;
        self.apply(Command::WorkerReport { node, worker, report: WorkerReport::Failed { reason: reason.into() } })
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now.0 += ms;
    }
}

pub(crate) fn cores(count: u64) -> Resources {
    Resources { cpu_millicores: count * 1_000, memory_bytes: count << 30, ..Resources::default() }
}

pub(crate) fn node(id: NodeId, count: u64) -> NodeSpec {
    let devices = vec![device("cpu", DeviceKind::Cpu, Resources::default())];
    let capability =
        Capability { offers: cores(count), devices, targets: vec!["tract".into()], ..Capability::default() };
    NodeSpec { id, name: format!("node-{}", id.0), address: "[::1]:1".into(), version: "1".into(), capability }
}

pub(crate) fn device(name: &str, kind: DeviceKind, offers: Resources) -> Device {
    Device { name: name.into(), kind, hardware: "board".into(), offers, heat: Heat::Cool }
}

pub(crate) fn model(name: &str, content: u8) -> ModelSpec {
    let file = Blob { digest: Digest([content; 32]), size: 10 };
    ModelSpec { name: name.into(), file, labels: None, manifest: String::new() }
}

pub(crate) fn session(fixed: u32) -> SessionSpec {
    let model = ModelQuery { name: "cats".into(), version: None };
    SessionSpec { fixed, ..SessionSpec::of(model, "tract", cores(1)) }
}

//! What people and their programs ask for: sessions, blocks, policies, and a load that rises and falls.

use skein_core::health::{Author, Ending};
use skein_core::session::SessionSpec;
use skein_core::{Command, Millis, NodeId, SessionId};

use super::draw::{node, nonsense, session};
use super::{Happening, Machine, World};
use crate::chance::Chance;

impl World {
    pub(super) fn say(&mut self, kind: &'static str, what: impl FnOnce(&mut Chance) -> Command) {
        let command = what(&mut self.chance);
        self.chance.count(kind);
        self.take_in(command);
    }

    pub(super) fn ask(&mut self) {
        let nodes = self.machines.len() as u64;
        match self.chance.number(0..100) {
            0..8 => self.say("asked_model_add", |chance| Command::ModelAdd(session::model(chance))),
            8..42 => self.say("asked_session_create", |chance| Command::SessionCreate(session::spec(chance, nodes))),
            42..45 => self.say("asked_session_unfit", |chance| Command::SessionCreate(nonsense::unfit(chance, nodes))),
            45..63 => self.end_session(),
            63..70 => self.say("asked_policy_set", |chance| Command::PolicySet(session::policy(chance))),
            70..80 => self.block(),
            80..93 => self.unblock(),
            _ => self.ask_about_seats(),
        }
    }

    fn end_session(&mut self) {
        let open: Vec<SessionId> = self.state.sessions.keys().copied().collect();
        // Where none is open, one that was.
        let session = self.chance.pick(open).unwrap_or(self.state.last_session);
        self.say("asked_session_end", |_| Command::SessionEnd(session));
    }

    fn block(&mut self) {
        let Some((node, device)) = self.some_device() else { return };
        let ending = match self.chance.number(0..4) {
            0 => Ending::AtOnce,
            1 => Ending::WhenDone,
            _ => Ending::Within(Millis(self.chance.number(0..20_000))),
        };
        let device = self.chance.percent(60).then_some(device);
        let kind = if ending == Ending::AtOnce { "asked_block" } else { "asked_drain" };
        let by = Author::Operator;
        self.say(kind, |_| Command::Block { node, device, by, reason: "it smells".into(), ending });
    }

    fn unblock(&mut self) {
        let mut blocked = Vec::new();
        for (id, node) in &self.state.nodes {
            blocked.extend(node.block.iter().map(|_| (*id, None)));
            let devices = node.devices.iter().filter(|(_, health)| health.block.is_some());
            blocked.extend(devices.map(|(name, _)| (*id, Some(name.clone()))));
        }
        if let Some((node, device)) = self.chance.pick(blocked) {
            self.say("asked_unblock", |_| Command::Unblock { node, device });
        }
    }

    /// Some device of some machine.
    pub(super) fn some_device(&mut self) -> Option<(NodeId, String)> {
        let all = self
            .machines
            .values()
            .flat_map(|machine| machine.spec.capability.devices.iter().map(|device| (machine.id, device.name.clone())));
        self.chance.pick(all.collect::<Vec<_>>())
    }

    /// Tasks come and go, workers use more or less, machines get hot or have other work.
    pub(super) fn load(&mut self) {
        if self.is_healing {
            return;
        }
        let pause = self.chance.number(200..2_000);
        self.after(Millis(pause), Happening::Load);
        let open: Vec<(SessionId, SessionSpec)> =
            self.state.sessions.iter().map(|(id, session)| (*id, session.spec.clone())).collect();
        match self.chance.number(0..10) {
            0..6 => {
                let with_share: Vec<_> = open.into_iter().filter(|(_, spec)| spec.share > 0).collect();
                let Some((session, spec)) = self.chance.pick(with_share) else { return };
                let most = 2 * u64::from(spec.max) + 4;
                let tasks = if self.chance.percent(5) { u64::MAX } else { self.chance.number(0..most) };
                let Some(gateway) = self.some_machine(Machine::is_reachable) else { return };
                let Some(machine) = self.machines.get_mut(&gateway) else { return };
                machine.tasks.insert(session, tasks);
                machine.tasks.retain(|_, tasks| *tasks > 0);
                self.chance.count("load_changed");
            }
            6 => {
                let adaptive = open.into_iter().filter(|(_, spec)| spec.need_max.is_some());
                let Some((session, _)) = self.chance.pick(adaptive.collect::<Vec<_>>()) else { return };
                let percent = self.chance.number(10..130);
                self.uses.insert(session, percent);
                self.chance.count("use_changed");
            }
            7 => self.come_with_tasks(),
            _ => {
                let Some(id) = self.some_machine(|machine| machine.is_alive) else { return };
                let Some(machine) = self.machines.get_mut(&id) else { return };
                let kind = node::change(&mut self.chance, &mut machine.spec.capability);
                self.chance.count(kind);
            }
        }
    }
}

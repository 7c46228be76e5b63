//! What goes wrong, and what people ask for meanwhile.

use skein_core::{Command, Millis, NodeId, SessionId};

use super::{FAULTS_FOR, Happening, World, draw};

impl World {
    pub(super) fn fault(&mut self) {
        if self.is_healing {
            return;
        }
        let pause = self.chance.number(50..2_500);
        self.after(Millis(pause), Happening::Fault);
        let nodes = self.machines.len() as u64;
        match self.chance.number(0..100) {
            0..8 => self.kill(),
            8..22 => self.start_again(),
            22..27 => self.cut_off(),
            27..37 => self.join_again(),
            37..41 => self.replace_leader(),
            41..46 => self.say("asked_model_add", |chance| Command::ModelAdd(draw::model(chance))),
            46..56 => self.say("asked_session_create", |chance| Command::SessionCreate(draw::session(chance))),
            56..61 => self.end_session(),
            61..69 => self.say("nonsense", |chance| draw::nonsense(chance, nodes)),
            69..76 => self.random_plan(),
            76..82 => self.random_report(),
            82..90 => self.stale_entry(),
            _ => self.poison(),
        }
    }

    fn some_machine(&mut self, which: impl Fn(&super::Machine) -> bool) -> Option<NodeId> {
        self.chance
            .pick(self.machines.values().filter(|machine| which(machine)).map(|machine| machine.id).collect::<Vec<_>>())
    }

    fn kill(&mut self) {
        let Some(id) = self.some_machine(|machine| machine.is_alive) else { return };
        self.machines.entry(id).and_modify(super::Machine::die);
        self.chance.count("node_killed");
        if self.leader() == Some(id) {
            self.chance.count("leader_killed");
            self.depose();
        }
    }

    /// A dead node comes back, at times with other hardware than it had.
    fn start_again(&mut self) {
        let Some(id) = self.some_machine(|machine| !machine.is_alive) else { return };
        let now = self.now;
        let changed = self.chance.percent(30).then(|| draw::node_spec(&mut self.chance, id));
        if changed.is_some() {
            self.chance.count("node_changed");
        }
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.spec = changed.unwrap_or(machine.spec.clone());
        machine.start(now);
        self.chance.count("node_started_again");
        self.drive_machine(id);
    }

    fn cut_off(&mut self) {
        let Some(id) = self.some_machine(super::Machine::is_reachable) else { return };
        self.machines.entry(id).and_modify(|machine| machine.is_cut_off = true);
        self.chance.count("node_cut_off");
        if self.leader() == Some(id) {
            self.chance.count("leader_cut_off");
            self.depose();
        }
    }

    fn join_again(&mut self) {
        let Some(id) = self.some_machine(|machine| machine.is_cut_off) else { return };
        self.machines.entry(id).and_modify(|machine| machine.is_cut_off = false);
        self.chance.count("node_heard_again");
    }

    fn replace_leader(&mut self) {
        if self.lead.is_some() {
            self.chance.count("leader_replaced");
            self.depose();
        }
    }

    fn say(&mut self, kind: &'static str, what: impl Fn(&mut crate::chance::Chance) -> Command) {
        let command = what(&mut self.chance);
        self.chance.count(kind);
        self.take_in(command);
    }

    fn end_session(&mut self) {
        let open: Vec<SessionId> = self.state.sessions.keys().copied().collect();
        // Where none is open, one that was.
        let session = self.chance.pick(open).unwrap_or(self.state.last_session);
        self.say("asked_session_end", |_| Command::SessionEnd(session));
    }

    fn random_plan(&mut self) {
        let (nodes, session, worker) =
            (self.machines.len() as u64, self.state.last_session.0, self.state.last_worker.0);
        self.say("plan_random", |chance| Command::Plan(draw::plan(chance, nodes, session, worker)));
    }

    fn random_report(&mut self) {
        let (nodes, worker) = (self.machines.len() as u64, self.state.last_worker.0);
        self.say("report_random", |chance| draw::report(chance, nodes, worker));
    }

    /// Something that was said once is said again: an old plan, an old report, a node that was down.
    fn stale_entry(&mut self) {
        if self.log.is_empty() {
            return;
        }
        let back = self.chance.index(self.log.len().min(60));
        let command = self.log[self.log.len() - 1 - back].entry.command.clone();
        let kind = if matches!(command, Command::Plan(_)) { "plan_stale" } else { "entry_stale" };
        self.say(kind, |_| command.clone());
    }

    /// On some node the workers of some session can no longer be.
    fn poison(&mut self) {
        let open: Vec<SessionId> = self.state.sessions.keys().copied().collect();
        let (Some(session), Some(node)) = (self.chance.pick(open), self.some_machine(|_| true)) else { return };
        self.poisoned.insert((session, node));
        self.chance.count("place_poisoned");
        debug_assert!(self.now < FAULTS_FOR + Millis(10_000));
    }
}

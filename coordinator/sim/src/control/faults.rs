//! What goes wrong.

use skein_core::{Command, Millis, NodeId, SessionId};

use super::draw::{node, nonsense, plan};
use super::{FAULTS_FOR, Happening, Machine, World};

impl World {
    pub(super) fn fault(&mut self) {
        if self.is_healing {
            return;
        }
        let pause = self.chance.number(50..2_000);
        self.after(Millis(pause), Happening::Fault);
        let nodes = self.machines.len() as u64;
        match self.chance.number(0..100) {
            0..5 => self.kill(),
            5..18 => self.start_again(),
            18..21 => self.cut_off(),
            21..32 => self.join_again(),
            32..34 => self.replace_leader(),
            34..61 => self.ask(),
            61..69 => self.say("nonsense", |chance| nonsense::command(chance, nodes)),
            69..75 => self.random_plan(),
            75..80 => self.random_report(),
            80..88 => self.stale_entry(),
            88..94 => self.poison(),
            _ => self.damage(),
        }
    }

    pub(super) fn some_machine(&mut self, which: impl Fn(&Machine) -> bool) -> Option<NodeId> {
        let ids = self.machines.values().filter(|machine| which(machine)).map(|machine| machine.id);
        self.chance.pick(ids.collect::<Vec<_>>())
    }

    fn kill(&mut self) {
        let Some(id) = self.some_machine(|machine| machine.is_alive) else { return };
        self.machines.entry(id).and_modify(Machine::die);
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
        let changed = self.chance.percent(30).then(|| node::spec(&mut self.chance, id));
        if changed.is_some() {
            self.chance.count("node_changed");
        }
        // What it has on its disk is a snapshot and the commands after it.
        let applied = self.machines.get(&id).map_or(0, |machine| machine.applied);
        let rebuilt = self.rebuilt(applied);
        let Some(machine) = self.machines.get_mut(&id) else { return };
        if let Some(rebuilt) = rebuilt {
            self.chance.check(rebuilt == machine.view, || format!("node {id} is not what it was after its start"));
            machine.view = rebuilt;
        }
        machine.spec = changed.unwrap_or(machine.spec.clone());
        machine.start(now);
        self.chance.count("node_started_again");
        self.drive_machine(id);
    }

    fn cut_off(&mut self) {
        let Some(id) = self.some_machine(Machine::is_reachable) else { return };
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

    fn random_plan(&mut self) {
        let plan = plan::plan(&mut self.chance, self.machines.len() as u64, &self.state);
        self.say("plan_random", |_| Command::Plan(plan));
    }

    fn random_report(&mut self) {
        let nodes = self.machines.len() as u64;
        let command = if self.chance.percent(60) {
            plan::worker_report(&mut self.chance, nodes, &self.state)
        } else {
            plan::device_report(&mut self.chance, nodes)
        };
        self.say("report_random", |_| command);
    }

    /// Something that was said once is said again: an old plan, an old report, a node that was down.
    fn stale_entry(&mut self) {
        if self.log.is_empty() {
            return;
        }
        let back = self.chance.index(self.log.len().min(60));
        let command = self.log[self.log.len() - 1 - back].entry.command.clone();
        let kind = if matches!(command, Command::Plan(_)) { "plan_stale" } else { "entry_stale" };
        self.say(kind, |_| command);
    }

    /// On some node the workers of some session can no longer be.
    fn poison(&mut self) {
        let open: Vec<SessionId> = self.state.sessions.keys().copied().collect();
        let (Some(session), Some(node)) = (self.chance.pick(open), self.some_machine(|_| true)) else { return };
        self.poisoned.insert((session, node));
        self.chance.count("place_poisoned");
        debug_assert!(self.now < FAULTS_FOR + Millis(10_000));
    }

    /// A device begins to fail, or works again.
    fn damage(&mut self) {
        let mended = self.chance.pick(self.bad_devices.iter().cloned().collect::<Vec<_>>());
        if let Some(device) = mended.filter(|_| self.chance.percent(50)) {
            self.bad_devices.remove(&device);
            self.chance.count("device_mended");
        } else if let Some(device) = self.some_device() {
            self.bad_devices.insert(device);
            self.chance.count("device_damaged");
        }
    }
}

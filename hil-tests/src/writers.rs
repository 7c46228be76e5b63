//! Clients that write to the mesh while things fail, each through one agent after another, and write down what they were told.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bed::{Bed, output, said};
use crate::history::{Call, Operation, Told};

/// Clients: enough for writes that overlap, on a machine that has other things to do.
const CLIENTS: usize = 2;
/// The wait between two writes of a client.
const PAUSE: Duration = Duration::from_millis(200);
/// What policies are set, in turns. They order sessions; none of them moves a worker of this test's one session.
const POLICIES: [&str; 3] = ["priority", "preemptive", "fcfs"];
/// A session that is only there to be counted: it has no worker until it has tasks, and never has tasks.
const CREATE: [&str; 11] =
    ["session", "create", "--model", "colours", "--fixed", "0", "--share", "1", "--max", "1", "--json"];

/// Running clients.
#[derive(Debug)]
pub struct Writers {
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    over: AtomicBool,
    history: Mutex<Vec<Operation>>,
}

impl Writers {
    /// Starts them. Each begins at another of the agents.
    pub fn start(bed: &Bed) -> Self {
        let history = Mutex::new(Vec::new());
        let shared = Arc::new(Shared { start: Instant::now(), over: AtomicBool::new(false), history });
        let client = |number: usize| {
            let clients = (0..bed.agents.len()).cycle().skip(number).take(bed.agents.len());
            let doors: Vec<Door> = clients.map(|agent| Door::of(bed, agent)).collect();
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.write(number, &doors))
        };
        Self { threads: (0..CLIENTS).map(client).collect(), shared }
    }

    /// How many writes that were asked since this moment are acknowledged by now.
    pub fn acknowledged_since(&self, from: Instant) -> usize {
        let from = from.saturating_duration_since(self.shared.start);
        let history = self.shared.history();
        history.iter().filter(|write| write.asked >= from && write.told != Told::Unknown).count()
    }

    /// Ends them, and gives all that they wrote down.
    pub fn end(mut self) -> Vec<Operation> {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client that writes does not panic");
        }
        self.shared.history().clone()
    }
}

/// A test that fails leaves no client behind.
impl Drop for Writers {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How one agent is asked: the beginning of a command.
struct Door(Command);

impl Door {
    fn of(bed: &Bed, agent: usize) -> Self {
        Self(bed.command_at(agent, &[]))
    }

    fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.0.get_program());
        command.args(self.0.get_args()).args(arguments);
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        said(&output(command.current_dir("/")))
    }
}

impl Shared {
    /// Opens two sessions, sets a policy, ends a session, and so on, until it is over.
    fn write(&self, client: usize, doors: &[Door]) {
        let mut mine = Vec::new();
        for round in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let call = match round % 4 {
                2 => Call::SetPolicy(POLICIES[(client + round / 4) % POLICIES.len()].into()),
                3 => mine.pop().map_or(Call::Create, Call::End),
                _ => Call::Create,
            };
            if let Some(Told::Created(session)) = self.call(&doors[round % doors.len()], call) {
                mine.push(session);
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Asks, and writes down what is told; nothing where nobody was asked.
    fn call(&self, door: &Door, call: Call) -> Option<Told> {
        let asked = self.start.elapsed();
        let answer = match &call {
            Call::Create => door.ask(&CREATE),
            Call::End(session) => door.ask(&["session", "end", &session.to_string(), "--json"]),
            Call::SetPolicy(policy) => door.ask(&["policy", "set", policy, "--json"]),
            Call::Read => unreachable!("writers do not read"),
        };
        let answered = self.start.elapsed();
        let told = told(&call, answer)?;
        self.history().push(Operation { call, told: told.clone(), asked, answered });
        Some(told)
    }

    fn history(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.history.lock().expect("nobody panics with the history in hand")
    }
}

/// What an answer means; nothing where no agent was reached, so that nothing can have happened.
fn told(call: &Call, answer: Result<String, String>) -> Option<Told> {
    match answer {
        Ok(text) if *call == Call::Create => {
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            Some(answer["session"].as_u64().map_or(Told::Unknown, Told::Created))
        }
        Ok(_) => Some(Told::Done),
        Err(error) if error.contains("no agent answers at") => None,
        Err(error) if error.contains("there is no session") => Some(Told::Gone),
        Err(_) => Some(Told::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_counts_as_one() {
        let create = |answer: Result<&str, &str>| told(&Call::Create, answer.map(Into::into).map_err(Into::into));
        assert_eq!(create(Ok(r#"{"session":7,"state":"open"}"#)), Some(Told::Created(7)));
        assert_eq!(create(Err("skein: no agent answers at 10.87.0.1:7433 (timed out)")), None);
        assert_eq!(create(Err("skein: the change was not committed in time")), Some(Told::Unknown));
        let end = |answer: Result<&str, &str>| told(&Call::End(7), answer.map(Into::into).map_err(Into::into));
        assert_eq!(end(Ok("{}")), Some(Told::Done));
        assert_eq!(end(Err("skein: there is no session 7; 'skein session status'")), Some(Told::Gone));
    }
}

//! A stream of tasks that goes on while things fail: so many under way at all times, until it is told to end. One kind is in
//! real time, the other durable.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::ledger::{Account, Came, Sent, longest_gap};
use crate::material::Colours;

/// Tasks under way: as many as two workers have places for, and some that wait.
const UNDER_WAY: usize = 12;
/// A gateway's share of a client's attempt numbers, as `skein run --json` shows them (see its page in the book).
const ATTEMPTS_A_GATEWAY: u64 = 4096;

/// What the mesh promises for the tasks of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers in order, for as long as the client is there.
    RealTime,
    /// An end for each that was accepted, whatever happens; in no order.
    Durable,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::RealTime => "real-time",
            Self::Durable => "durable",
        }
    }

    fn command(self, session: &str) -> Vec<&str> {
        let command = ["run", session, "-", "--json"];
        command.into_iter().chain((self == Self::Durable).then_some("--durable")).collect()
    }
}

/// A running stream.
#[derive(Debug)]
pub struct Load {
    kind: Kind,
    client: Child,
    feeder: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    errors: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    sent: Vec<Sent>,
    came: Vec<Came>,
}

impl Load {
    /// Starts a stream of these pictures to a session, at the first of these agents.
    pub fn start(bed: &Bed, kind: Kind, session: &str, agents: &[usize], pictures: Colours) -> Self {
        Self::of(bed, kind, bed.command_at_any_of(agents, &kind.command(session)), pictures)
    }

    /// The same from the host of an agent, through that agent.
    pub fn start_beside(bed: &Bed, session: &str, agent: usize, pictures: Colours) -> Self {
        let kind = Kind::RealTime;
        Self::of(bed, kind, bed.command_beside(agent, &kind.command(session)), pictures)
    }

    fn of(bed: &Bed, kind: Kind, mut command: Command, pictures: Colours) -> Self {
        let name = kind.name();
        let tasks = bed.path(name);
        std::fs::create_dir_all(&tasks).expect("a directory of the bed's own can be made");
        let errors = bed.path(&format!("{name}.log"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("a log can be written"));
        let mut client = command.spawn().expect("skein run starts");
        let input = client.stdin.take().expect("its input is piped");
        let answers = BufReader::new(client.stdout.take().expect("its output is piped"));
        let shared = Arc::new(Shared::default());
        let feeder = Feeder { input, tasks, pictures, shared: Arc::clone(&shared) };
        let feeder = std::thread::spawn(move || feeder.run(answers));
        Self { kind, client, feeder: Some(feeder), shared, errors }
    }

    /// How many results came by now.
    pub fn results(&self) -> usize {
        self.shared.book().came.len()
    }

    /// The longest silence that any of the time since this moment falls in, so far.
    pub fn gap_since(&self, from: Instant) -> Duration {
        longest_gap(&self.shared.book().came, from, Instant::now())
    }

    /// Sends nothing more, waits for what is under way, and gives the account.
    ///
    /// # Panics
    /// Where the client failed, with what it said.
    pub fn end(mut self) -> Account {
        self.shared.over.store(true, Ordering::Relaxed);
        // It ends by itself: a client without results gives up after a minute.
        let fed = self.feeder.take().map(JoinHandle::join);
        let status = self.client.wait().expect("skein run ends");
        let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
        assert!(fed.is_some_and(|fed| fed.is_ok()), "the feeder panicked; the client said: {said}");
        let book = self.shared.book();
        let mut account = Account::of(&book.sent, &book.came, ATTEMPTS_A_GATEWAY);
        if self.kind == Kind::Durable {
            // No order was promised.
            account.out_of_order = 0;
        }
        assert!(status.success(), "skein run ended with {status} at {account:?}: {said}");
        account
    }
}

/// A test that fails leaves no client behind.
impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics with the book in hand")
    }
}

/// Writes the names of files to the client, and a further one for each answer.
struct Feeder {
    input: ChildStdin,
    tasks: PathBuf,
    pictures: Colours,
    shared: Arc<Shared>,
}

impl Feeder {
    fn run(mut self, mut answers: BufReader<ChildStdout>) {
        for _ in 0..UNDER_WAY {
            self.send();
        }
        while let Some(row) = next_row(&mut answers) {
            self.shared.book().came.push(Came { at: Instant::now(), row });
            if self.shared.over.load(Ordering::Relaxed) {
                break;
            }
            self.send();
        }
        // The client ends with its input, once all answers are there.
        drop(self.input);
        while let Some(row) = next_row(&mut answers) {
            self.shared.book().came.push(Came { at: Instant::now(), row });
        }
    }

    fn send(&mut self) {
        let mut book = self.shared.book();
        let number = book.sent.len();
        let (picture, right) = &self.pictures[number % self.pictures.len()];
        // A name of its own for each task, as results carry it back.
        let file = self.tasks.join(format!("{number:06}"));
        symlink(picture, &file).expect("the bed's directory takes a link");
        let gateways = book.came.last().and_then(|last| last.row["attempt"].as_u64());
        let gateways = gateways.map_or(0, |attempt| attempt.saturating_sub(1) / ATTEMPTS_A_GATEWAY + 1);
        let file = file.to_str().expect("test paths are UTF-8").to_owned();
        // A client that has ended reads no more; its status says so.
        let _ = writeln!(self.input, "{file}");
        book.sent.push(Sent { file, right, gateways });
    }
}

fn next_row(answers: &mut BufReader<ChildStdout>) -> Option<serde_json::Value> {
    let mut line = String::new();
    let length = answers.read_line(&mut line).expect("its output is text");
    (length > 0).then(|| serde_json::from_str(&line).expect("each line is an object"))
}

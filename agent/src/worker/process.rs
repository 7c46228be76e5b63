//! One worker process as its agent sees it: a child and two pipes.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use serde::Serialize;
use skein_core::WorkerId;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::frame::{self, Frame, FrameError};
use crate::worker::cores::on_cores;
use crate::worker::protocol::{FromWorker, Load, ToWorker};
use crate::worker::shared::Slots;

/// As in the child: what the kernel's pipe holds.
const BUFFER_BYTES: usize = 64 << 10;
/// The longest line of a worker's standard error that is passed on to the log, in bytes.
const LOG_LINE_BYTES_MAX: u64 = 2048;

/// Why a worker process is of no use.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start a worker process: {0}")]
    Start(std::io::Error),
    /// It said that it cannot run the model.
    #[error("{0}")]
    Unusable(String),
    /// It ended or broke the protocol.
    #[error("the worker process {0}")]
    Died(Ending),
}

/// How a process ended.
#[derive(Debug)]
pub struct Ending {
    /// For people, after "the worker process".
    how: String,
    /// By this signal, where one ended it and we did not send it.
    pub(crate) signal: Option<i32>,
}

impl Ending {
    fn of(how: &str) -> Self {
        Self { how: how.into(), signal: None }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.how)
    }
}

/// A running worker process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) input: ChildStdin,
    pub(crate) output: BufReader<ChildStdout>,
    /// Where large inputs are put; none where the two share no memory.
    pub(crate) slots: Option<Slots>,
}

/// What a worker process is bound to.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Which worker it is; none of one that only tries something out.
    pub(crate) worker: Option<WorkerId>,
    /// Where it runs; anywhere where none is named.
    pub(crate) cores: Vec<usize>,
    /// What it sees of the devices.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Process {
    /// Starts a worker and waits until its model is ready, for as long as that takes. The first message tells what it found.
    pub(crate) async fn start(bound: Bound, load: Load) -> Result<(Self, FromWorker), ProcessError> {
        let mut child = on_cores(&bound.cores, || spawn(&bound))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(ProcessError::Died(Ending::of("has no pipes")));
        };
        tokio::spawn(log_errors(bound.worker, errors));
        let slots = Slots::new().inspect_err(|error| tracing::warn!("workers get all inputs by pipe: {error}")).ok();
        let mut process = Self { child, input, output: BufReader::with_capacity(BUFFER_BYTES, output), slots };
        let sent = process.introduce(load).await;
        let first = match sent {
            Ok(()) => frame::read(&mut process.output).await,
            Err(error) => Err(error),
        };
        let first: Result<Option<FromWorker>, FrameError> = match first {
            Ok(Some(frame)) => frame.header().map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match first {
            Ok(Some(FromWorker::Unusable { reason })) => Err(ProcessError::Unusable(reason)),
            Ok(Some(ready @ FromWorker::Ready { shares, .. })) => {
                process.slots = process.slots.filter(|_| shares);
                Ok((process, ready))
            }
            Ok(Some(FromWorker::Result { .. } | FromWorker::Checkpoint { .. })) => {
                Err(ProcessError::Died(Ending::of("answered before it was asked")))
            }
            Ok(None) | Err(_) => Err(ProcessError::Died(process.end().await)),
        }
    }

    async fn introduce(&mut self, load: Load) -> Result<(), FrameError> {
        if let Some(slots) = &self.slots {
            send(&mut self.input, &ToWorker::Share(slots.paths()), &Bytes::new()).await?;
        }
        send(&mut self.input, &ToWorker::Load(load), &Bytes::new()).await
    }

    /// Ends the process if it has not ended yet; how it ended.
    pub(crate) async fn end(mut self) -> Ending {
        // What ends by itself once its input is closed says more than what was killed: give it a moment.
        drop(self.input);
        let grace = tokio::time::timeout(std::time::Duration::from_millis(200), self.child.wait()).await;
        match grace {
            Ok(Ok(status)) => Ending { how: format!("ended with {status}"), signal: status.signal() },
            Ok(Err(error)) => Ending::of(&format!("cannot be waited for: {error}")),
            Err(_) => {
                let _ = self.child.kill().await;
                Ending::of("was ended")
            }
        }
    }
}

/// Writes one message to a worker.
pub(crate) async fn send<T: Serialize>(input: &mut ChildStdin, header: &T, payload: &Bytes) -> Result<(), FrameError> {
    let mut head = frame::head(header, payload.len())?;
    // Small payloads ride with their header: one system call instead of two.
    if payload.len() <= BUFFER_BYTES {
        head.extend_from_slice(payload);
        input.write_all(&head).await?;
    } else {
        input.write_all(&head).await?;
        input.write_all(payload).await?;
    }
    Ok(())
}

/// The next message of a worker.
pub(crate) async fn receive(output: &mut BufReader<ChildStdout>) -> Result<Option<Frame>, FrameError> {
    frame::read(output).await
}

fn spawn(bound: &Bound) -> Result<Child, ProcessError> {
    let program = own_program().map_err(ProcessError::Start)?;
    let mut command = Command::new(program);
    command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.envs(bound.environment.iter().map(|(name, value)| (name, value)));
    if let Some(worker) = bound.worker {
        command.env("SKEIN_WORKER", worker.to_string());
    }
    command.spawn().map_err(ProcessError::Start)
}

/// This binary, also when its file was replaced while it runs.
pub(super) fn own_program() -> std::io::Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { std::env::current_exe() }
}

async fn log_errors(worker: Option<WorkerId>, errors: ChildStderr) {
    let mut errors = BufReader::new(errors);
    loop {
        let mut line = Vec::new();
        match (&mut errors).take(LOG_LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        tracing::warn!(worker = worker.map(|worker| worker.0), "worker says: {}", line.trim_end());
    }
}

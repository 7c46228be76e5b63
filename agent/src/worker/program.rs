//! The program of a target `process`, seen from the worker that speaks for it: it gets this worker's protocol, tensors only, and
//! leaves pictures, labels and limits to the worker.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio, exit};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde::Serialize;
use skein_core::dispatch::history::Fault;
use skein_targets::{ModelDescription, Program, Progress, RunError, TargetKind, Tensor, TensorView};

use crate::frame::{self, Frame, FrameError};
use crate::worker::process::own_program;
use crate::worker::protocol::{AnswerKind, FromWorker, InputKind, Load, ToWorker, views};

/// Becomes the program, which the kernel ends together with its worker: whatever it hangs in, it does not outlive that.
pub fn become_program(command: &[OsString]) -> std::io::Error {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // A worker that died before this was set is not heard of any more.
    if getppid().is_none_or(Pid::is_init) {
        return std::io::Error::other("the worker that started it is gone");
    }
    match command.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => std::io::Error::other("no program is named"),
    }
}

/// Starts the program and waits until it has loaded the model.
pub(super) fn start(load: &Load) -> Result<Program, String> {
    let [program, ..] = &load.place.program[..] else {
        return Err(format!("this node has no program for the target {}", load.target));
    };
    let failed = |error: &dyn fmt::Display| format!("{program}, the program of {}: {error}", load.target);
    let own = own_program().map_err(|error| failed(&error))?;
    let mut command = Command::new(own);
    command.args(["worker", "--become"]).args(&load.place.program).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed(&"it has no pipes"));
    };
    let mut pipes = Pipes { input, output: BufReader::new(output), ticket: 0 };
    let said = pipes.send(&ToWorker::Load(load.clone()), &[]).and_then(|()| pipes.receive());
    let (inputs, outputs) = match said.and_then(|frame| frame.header()) {
        Ok(FromWorker::Ready { inputs, outputs, .. }) => (inputs, outputs),
        Ok(FromWorker::Unusable { reason }) => return Err(failed(&reason)),
        Ok(_) => return Err(failed(&"it answered before it was asked")),
        Err(error) => {
            let _ = child.kill();
            let how = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(failed(&format!("it did not load the model: {error}; it ended with {how}")));
        }
    };
    // Also while there is nothing to do: the next task must not be the one that finds out.
    std::thread::spawn(move || match child.wait() {
        Ok(status) => gone(&status),
        Err(error) => gone(&error),
    });
    let pipes = Mutex::new(pipes);
    let run = move |inputs: &[TensorView<'_>], progress: &mut Progress<'_>| {
        pipes.lock().unwrap_or_else(PoisonError::into_inner).run(inputs, progress)
    };
    Ok(Program { description: ModelDescription { inputs, outputs }, run: Box::new(run) })
}

struct Pipes {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    ticket: u64,
}

impl Pipes {
    fn run(&mut self, inputs: &[TensorView<'_>], progress: &mut Progress<'_>) -> Result<Vec<Tensor>, RunError> {
        match self.ask(inputs, progress) {
            Ok((Ok(AnswerKind::Tensors(kinds)), frame)) => {
                let tensors = views(&kinds, &frame.payload)?;
                let tensors = tensors
                    .iter()
                    .map(|tensor| Tensor::new(tensor.element, tensor.shape.to_vec(), tensor.bytes.to_vec()));
                Ok(tensors.collect::<Result<_, _>>()?)
            }
            Ok((Ok(AnswerKind::Classes(_)), _)) => {
                let reason = "the program gave classes, where tensors are asked of it".into();
                Err(RunError::Target { target: TargetKind::Process, reason })
            }
            Ok((Err(Fault::Task(reason)), _)) => Err(RunError::Refused { target: TargetKind::Process, reason }),
            Ok((Err(Fault::Place(reason)), _)) => Err(RunError::Target { target: TargetKind::Process, reason }),
            Err(error) => gone(&error),
        }
    }

    fn ask(
        &mut self,
        inputs: &[TensorView<'_>],
        progress: &mut Progress<'_>,
    ) -> Result<(Result<AnswerKind, Fault>, Frame), FrameError> {
        self.ticket += 1;
        let checkpoint = progress.from.unwrap_or_default();
        let kind = match inputs {
            [one] => InputKind::Tensor { element: one.element, shape: one.shape.to_vec() },
            several => InputKind::Tensors(several.iter().map(|input| (input.element, input.shape.to_vec())).collect()),
        };
        let task = ToWorker::Task { ticket: self.ticket, input: kind, checkpoint_bytes: checkpoint.len(), span: None };
        let mut payload = vec![checkpoint];
        payload.extend(inputs.iter().map(|input| input.bytes));
        self.send(&task, &payload)?;
        loop {
            let frame = self.receive()?;
            match frame.header()? {
                FromWorker::Checkpoint { ticket } if ticket == self.ticket => (progress.keep)(&frame.payload),
                FromWorker::Result { ticket, result, .. } if ticket == self.ticket => return Ok((result, frame)),
                _ => return Err(FrameError::Header("it spoke out of turn".into())),
            }
        }
    }

    fn send<T: Serialize>(&mut self, message: &T, payload: &[&[u8]]) -> Result<(), FrameError> {
        let length = payload.iter().map(|part| part.len()).sum();
        self.input.write_all(&frame::head(message, length)?)?;
        for part in payload {
            self.input.write_all(part)?;
        }
        Ok(self.input.flush()?)
    }

    fn receive(&mut self) -> Result<Frame, FrameError> {
        frame::read_blocking(&mut self.output)?.ok_or(FrameError::Truncated)
    }
}

/// Without its program a worker is of no use: its end tells the agent, which starts both anew.
#[expect(clippy::print_stderr, reason = "the agent logs what a worker writes there")]
fn gone(how: &dyn fmt::Display) -> ! {
    eprintln!("the worker's program ended or broke the protocol: {how}");
    exit(1);
}

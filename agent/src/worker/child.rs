//! The worker process: one model, one task at a time, until its input ends.

use std::fs::read_to_string;
use std::io::{BufReader, BufWriter, Read, Write, stdin, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Signal, set_parent_process_death_signal};
use skein_core::dispatch::history::Fault;
use skein_targets::{
    Answer, Input, Manifest, Model, ModelDescription, ModelSource, Progress, RunError, TargetKind, TensorView,
    parse_labels,
};

use crate::frame::{self, FrameError, PAYLOAD_BYTES_MAX};
use crate::runtimes::PROCESS;
use crate::worker::program;
use crate::worker::protocol::{AnswerKind, FromWorker, InputKind, Load, ToWorker, views};
use crate::worker::shared::Mapped;

/// How much nicer than the agent a worker is: inference may take every core, the agent must still be heard.
const NICE: i32 = 10;
/// A run that takes so long is not made twice before a worker is ready.
const LONG_RUN: Duration = Duration::from_millis(500);
/// The pipe of the kernel holds this much; larger buffers do not save a system call.
const BUFFER_BYTES: usize = 64 << 10;

/// Runs a worker on this process's standard input and output.
pub fn run() -> Result<(), FrameError> {
    // A worker that is busy would notice its agent's death only when it is done: the kernel tells it at once.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::process::nice(NICE);
    let mut input = BufReader::with_capacity(BUFFER_BYTES, stdin().lock());
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, stdout().lock());
    let Some(first) = frame::read_blocking(&mut input)? else { return Ok(()) };
    let (shared, first) = match first.header()? {
        ToWorker::Share(files) => {
            let Some(next) = frame::read_blocking(&mut input)? else { return Ok(()) };
            (map(&files), next.header()?)
        }
        first => (None, first),
    };
    let ToWorker::Load(load) = first else {
        return Err(FrameError::Header("the first message must say what to load".into()));
    };
    match prepare(&load) {
        Ok((model, run_micros)) => {
            let ModelDescription { inputs, outputs } = model.description().clone();
            let ready = FromWorker::Ready { inputs, outputs, shares: shared.is_some(), run_micros };
            send(&mut output, &ready, &Bytes::new())?;
            serve(&model, &shared.unwrap_or_default(), &mut input, &mut output)
        }
        Err(reason) => send(&mut output, &FromWorker::Unusable { reason }, &Bytes::new()),
    }
}

/// Where that is not possible, inputs come through the pipe.
#[expect(clippy::print_stderr, reason = "the agent logs what a worker writes there")]
fn map(files: &[PathBuf]) -> Option<Mapped> {
    match Mapped::open(files) {
        Ok(mapped) => Some(mapped),
        Err(error) => {
            eprintln!("large inputs come through the pipe, which takes longer: cannot map the agent's memory: {error}");
            None
        }
    }
}

/// The model, warm, and how long it takes on zeros.
fn prepare(load: &Load) -> Result<(Model, Option<u64>), String> {
    let manifest =
        Manifest::parse(&load.manifest).map_err(|error| format!("the manifest of {}: {error}", load.name))?;
    let labels = match &load.labels {
        None => Vec::new(),
        Some(path) => {
            let text = read_to_string(path).map_err(|error| format!("the labels of {}: {error}", load.name))?;
            parse_labels(&text).map_err(|error| format!("the labels of {}: {error}", load.name))?
        }
    };
    // People know the model by its name; the file in the store is named by its digest.
    let named = |error: String| error.replace(&load.file.display().to_string(), &load.name);
    let source = ModelSource { file: &load.file, manifest, labels };
    let model = if load.target.starts_with(PROCESS) {
        Model::of_program(program::start(load).map_err(named)?, source)
    } else {
        let target: TargetKind = load.target.parse().map_err(|error| format!("{error}"))?;
        Model::load(target, source, &load.place)
    };
    let model = model.map_err(|error| named(error.to_string()))?;
    let warm_up = || {
        let begin = Instant::now();
        let result = model.warm_up();
        result.map(|()| begin.elapsed()).map_err(|error| format!("the warm-up run of {} failed: {error}", load.name))
    };
    let mut took = warm_up()?;
    let is_measured = model.target().computes() && model.is_warmed_up();
    // The first run pays for what a target puts off. Where it took long all the same, that is little beside.
    if is_measured && took < LONG_RUN {
        took = warm_up()?;
    }
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    Ok((model, is_measured.then_some(micros)))
}

fn serve<R: Read, W: Write>(model: &Model, shared: &Mapped, input: &mut R, output: &mut W) -> Result<(), FrameError> {
    while let Some(message) = frame::read_blocking(input)? {
        let ToWorker::Task { ticket, input: kind, checkpoint_bytes, span } = message.header()? else {
            return Err(FrameError::Header("a worker loads one model in its life".into()));
        };
        let begin = Instant::now();
        let whole = match span {
            None => &message.payload[..],
            Some(span) => shared
                .get(span)
                .ok_or_else(|| FrameError::Header("the input lies in memory that is not shared".into()))?,
        };
        let parts = whole.split_at_checked(checkpoint_bytes);
        let (checkpoint, payload) =
            parts.ok_or_else(|| FrameError::Header("the checkpoint is longer than the payload".into()))?;
        let tensors = match &kind {
            InputKind::Tensors(kinds) => views(kinds, payload),
            InputKind::Picture | InputKind::Tensor { .. } => Ok(Vec::new()),
        };
        let input = match &kind {
            InputKind::Picture => Ok(Input::Picture(payload)),
            InputKind::Tensor { element, shape } => {
                Ok(Input::Tensor(TensorView { element: *element, shape, bytes: payload }))
            }
            InputKind::Tensors(_) => {
                tensors.as_deref().map(Input::Tensors).map_err(|error| RunError::from(error.clone()))
            }
        };
        let from = (!checkpoint.is_empty()).then_some(checkpoint);
        let answer = match input {
            Ok(input) => run_task(model, ticket, input, from, output)?,
            Err(error) => Err(error),
        };
        let run_micros = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (result, payload) = match answer {
            Ok(answer) => match AnswerKind::split(answer) {
                (_, payload) if payload.len() > PAYLOAD_BYTES_MAX => {
                    let (has, most) = (payload.len() >> 20, PAYLOAD_BYTES_MAX >> 20);
                    let why = format!("the answer has {has} MiB, and no message carries more than {most}");
                    // So it is wherever the task runs.
                    (Err(Fault::Task(why)), Bytes::new())
                }
                (kind, payload) => (Ok(kind), payload),
            },
            Err(error) if error.is_inputs_fault() => (Err(Fault::Task(error.to_string())), Bytes::new()),
            Err(error) => (Err(Fault::Place(error.to_string())), Bytes::new()),
        };
        send(output, &FromWorker::Result { ticket, run_micros, result }, &payload)?;
    }
    Ok(())
}

/// Runs a task, and sends each checkpoint as it comes. One that fits no message is left out: it only saves work.
fn run_task<W: Write>(
    model: &Model,
    ticket: u64,
    input: Input<'_>,
    from: Option<&[u8]>,
    output: &mut W,
) -> Result<Result<Answer, RunError>, FrameError> {
    let mut sent = Ok(());
    let mut keep = |checkpoint: &[u8]| {
        if sent.is_ok() && !checkpoint.is_empty() && checkpoint.len() <= PAYLOAD_BYTES_MAX {
            sent = send(output, &FromWorker::Checkpoint { ticket }, &Bytes::copy_from_slice(checkpoint));
        }
    };
    let answer = model.run_from(input, Progress { from, keep: &mut keep });
    sent.map(|()| answer)
}

fn send<W: Write>(output: &mut W, message: &FromWorker, payload: &Bytes) -> Result<(), FrameError> {
    output.write_all(&frame::head(message, payload.len())?)?;
    output.write_all(payload)?;
    output.flush()?;
    Ok(())
}

//! The known-answer run: whether a device still counts right, tried in a worker process of its own.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use skein_targets::{ElementType, Place};
use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::worker::process::{self, Bound, Process};
use crate::worker::protocol::{AnswerKind, FromWorker, InputKind, Load, ToWorker};

/// y = x + 1 on four numbers, made by `targets/tests/data/make.py`: whatever is wrong with a device shows in the way there
/// and back, not in the size of the sum.
const MODEL: &[u8] = include_bytes!("../../../material/models/trivial.onnx");
const QUESTION: [f32; 4] = [0.0, 1.0, -2.5, 1000.0];
const ANSWER: [f32; 4] = [1.0, 2.0, -1.5, 1001.0];
/// How long it may take; below [`skein_core::health::TEST_TIME_MAX`], after which the leader asks again.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Runs the model by this target, and says what is wrong with the answer if something is.
pub async fn known_answer(target: &str, place: Place) -> Result<(), String> {
    match timeout(TIME_MAX, run(target, place)).await {
        Ok(result) => result.map_err(|reason| format!("the known-answer run by {target} failed: {reason}")),
        Err(_) => Err(format!("the known-answer run by {target} did not end within {} s", TIME_MAX.as_secs())),
    }
}

async fn run(target: &str, place: Place) -> Result<(), String> {
    let mut file = NamedTempFile::new().map_err(|error| format!("cannot write its model: {error}"))?;
    file.write_all(MODEL).map_err(|error| format!("cannot write its model: {error}"))?;
    let load = Load {
        target: target.into(),
        file: file.path().to_owned(),
        name: "the known-answer model".into(),
        manifest: String::new(),
        labels: None,
        place,
    };
    let (mut process, _) = Process::start(Bound::default(), load).await.map_err(|error| error.to_string())?;
    let answer = ask(&mut process).await;
    process.end().await;
    answer
}

async fn ask(process: &mut Process) -> Result<(), String> {
    let input = InputKind::Tensor { element: ElementType::F32, shape: vec![1, QUESTION.len()] };
    let task = ToWorker::Task { ticket: 1, input, checkpoint_bytes: 0, span: None };
    process::send(&mut process.input, &task, &bytes_of(QUESTION)).await.map_err(|error| error.to_string())?;
    let message = process::receive(&mut process.output).await.map_err(|error| error.to_string())?;
    let message = message.ok_or("its process ended")?;
    match message.header().map_err(|error| error.to_string())? {
        FromWorker::Result { result: Ok(AnswerKind::Tensors(_)), .. } if message.payload == bytes_of(ANSWER) => Ok(()),
        FromWorker::Result { result: Ok(_), .. } => Err("the answer is wrong".into()),
        FromWorker::Result { result: Err(fault), .. } => Err(fault.into_reason()),
        _ => Err("it spoke out of turn".into()),
    }
}

/// The numbers are exact in binary, and so are their sums: the answer must agree to the bit.
fn bytes_of(numbers: [f32; 4]) -> Bytes {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

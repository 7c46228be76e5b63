//! `skein run --durable`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use skein_core::{Sequence, StreamId};
use tokio::time::Instant;

use crate::cli::Common;
use crate::cli::amounts::length;
use crate::cli::output::{Output, json_line, print};
use crate::cli::run::files::Files;
use crate::cli::run::held::Held;
use crate::cli::run::row::{End, Row, Told, node_names};
use crate::cli::run::{RunArgs, read};
use crate::client::{DurableNews, DurableTasks};
use crate::durable::wire::{EndedHead, NewTask};
use crate::worker::protocol::InputKind;

/// Files of one batch: as much as is read before the first of it is on its way.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Tasks of one batch.
const BATCH_MAX: usize = 256;

pub(super) async fn run(common: &Common, arguments: RunArgs) -> anyhow::Result<ExitCode> {
    let mut client = common.connect().await?;
    client.learn_addresses().await?;
    let names = node_names(&client).await?;
    let mut tasks = DurableTasks::begin(client, arguments.session, arguments.keep).await?;
    let mut told = Told::new(common.output());
    let mut sent = Sent::default();
    let mut files = Files::of(arguments.files);
    let mut held = Held::default();
    let mut is_said = false;
    loop {
        if tasks.accepted().0 == sent.places.len() as u64 {
            let is_all_known = files.is_over();
            if !is_said && !sent.places.is_empty() && (is_all_known || !arguments.detach) {
                say(tasks.id(), is_all_known.then_some(sent.places.len()), &length(arguments.keep), arguments.detach);
                is_said = true;
            }
            // 1. What is known of the files becomes tasks. Where nothing is under way, there is time to wait for the next.
            let waits_for_ends = !arguments.detach && sent.ended < sent.places.len();
            let batch = gather(&mut files, !waits_for_ends, &mut sent, &mut told, arguments.priority).await?;
            if batch.is_empty() && !waits_for_ends {
                break;
            }
            sent.submit(&mut tasks, batch).await?;
        }
        // 2. The mesh promises to do them, and their ends come as they are ready. What ends before all are accepted is left to
        // whoever fetches, where this command will not wait for the rest.
        let news = tasks.news().await?;
        if !arguments.detach
            && let Some(sequence) = sent.take(&held, news, &mut told)?
        {
            held.take(sequence, &mut tasks, &mut told, &names).await?;
        }
    }
    if sent.places.is_empty() {
        return told.finish(&names);
    }
    if !is_said {
        say(tasks.id(), Some(sent.places.len()), &length(arguments.keep), arguments.detach);
    }
    if arguments.detach {
        return detached(&told, tasks.id(), sent.places.len());
    }
    held.show(&mut tasks, &mut told, &names).await?;
    tasks.close().await?;
    told.finish(&names)
}

/// The next batch: as many files as are known now and can be read. Where it may wait and gives none, there are no more.
async fn gather(
    files: &mut Files,
    may_wait: bool,
    sent: &mut Sent,
    told: &mut Told,
    priority: u8,
) -> anyhow::Result<Vec<(NewTask, Bytes)>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES_MAX && batch.len() < BATCH_MAX {
        let next = if may_wait && batch.is_empty() { files.next().await } else { files.known() };
        let Some(file) = next else { break };
        let (place, label) = (sent.taken, file.display().to_string());
        sent.taken += 1;
        match read(&file).await {
            Ok(payload) => {
                bytes += payload.len();
                sent.places.push(place);
                batch.push((new_task(label, priority), payload));
            }
            Err(error) => told.tell(place, Row::failed(label, error))?,
        }
    }
    Ok(batch)
}

/// What was submitted, and what has come back.
#[derive(Default)]
struct Sent {
    /// Files that were taken up, also those that could not be read.
    taken: usize,
    /// Which file each task is, by its place on the command line.
    places: Vec<usize>,
    at: BTreeMap<Sequence, Instant>,
    ended: usize,
}

impl Sent {
    async fn submit(&mut self, tasks: &mut DurableTasks, batch: Vec<(NewTask, Bytes)>) -> anyhow::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let count = batch.len() as u64;
        let first = tasks.submit(batch).await?;
        self.at.extend((first.0..first.0 + count).map(|number| (Sequence(number), Instant::now())));
        Ok(())
    }

    /// Takes what came. The task whose end it is, where it is the first time.
    fn take(&mut self, held: &Held, news: DurableNews, told: &mut Told) -> anyhow::Result<Option<Sequence>> {
        let DurableNews::Ended(head, _) = news else { return Ok(None) };
        let sequence = head.sequence;
        if held.has(sequence) {
            return Ok(None);
        }
        let latency = self.at.remove(&sequence).map(|since| since.elapsed());
        let place = usize::try_from(sequence.0).ok().and_then(|number| self.places.get(number).copied());
        if let Some(place) = place {
            self.ended += 1;
            told.tell(place, row(head, latency))?;
        }
        Ok(Some(sequence))
    }
}

/// A task's end, as it is shown.
pub(crate) fn row(head: EndedHead, latency: Option<Duration>) -> Row {
    let EndedHead { label, attempt, worker, run_micros, result, .. } = head;
    Row::of(
        label,
        End { attempt, history: Vec::new(), worker, ran: Duration::from_micros(run_micros), latency, result },
    )
}

fn new_task(label: String, priority: u8) -> NewTask {
    NewTask { label, input: InputKind::Picture, size: 0, priority }
}

/// Said as soon as it is true: from here on the person may go. How many there are is not known while names still come.
#[expect(clippy::print_stderr, reason = "a word to whoever waits")]
fn say(stream: StreamId, count: Option<usize>, keep: &str, detach: bool) {
    let accepted = accepted(count);
    let otherwise = if detach { "" } else { ", also if this command ends early" };
    eprintln!(
        "skein: {accepted} as stream {stream}; `skein task fetch {stream}` shows what became of them \
         for {keep}{otherwise}"
    );
}

fn accepted(count: Option<usize>) -> String {
    match count {
        None => "the tasks are accepted".into(),
        Some(1) => "1 task is accepted".into(),
        Some(count) => format!("{count} tasks are accepted"),
    }
}

fn detached(told: &Told, stream: StreamId, accepted: usize) -> anyhow::Result<ExitCode> {
    match told.output {
        Output::Json => json_line(&serde_json::json!({ "stream": stream, "accepted": accepted }))?,
        Output::Quiet => print(&stream.to_string())?,
        Output::Table => print(&format!("Stream {stream}: {}", self::accepted(Some(accepted))))?,
    }
    if let Some((count, first)) = told.failed() {
        bail!("{count} files were not sent, or have no answer; the first is {first}");
    }
    Ok(ExitCode::SUCCESS)
}

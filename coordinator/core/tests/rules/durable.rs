//! Durable tasks: accepted once, run by one gateway at a time, ended once, kept until fetched.

use skein_core::durable::{
    BATCH_MAX, Bytes, DurableStream, DurableTask, End, INLINE_BYTES_MAX, KEEP_DEFAULT, Payload, STREAMS_MAX,
    TaskCommand, keep,
};
use skein_core::model::{Blob, Digest};
use skein_core::{Command, Event, Millis, NodeId, Refusal, Sequence, SessionId, StreamId};

use crate::mesh::{A, B, C, Mesh};

const STREAM: StreamId = StreamId(5);

fn task(bytes: usize) -> DurableTask {
    DurableTask {
        label: "one.png".into(),
        head: Bytes::from(&b"picture"[..]),
        payload: Payload::Inline(vec![7; bytes].into()),
        priority: 50,
        checkpoint: None,
    }
}

fn accept(session: SessionId, first: u64, count: usize) -> Command {
    accept_by(A, STREAM, session, first, vec![task(10); count])
}

fn accept_by(gateway: NodeId, stream: StreamId, session: SessionId, first: u64, tasks: Vec<DurableTask>) -> Command {
    Command::Tasks(TaskCommand::Accept { stream, session, gateway, keep: KEEP_DEFAULT, first: Sequence(first), tasks })
}

fn done(attempt: u32) -> End {
    let answer = (Bytes::from(&b"class"[..]), Payload::Inline(Bytes::from(&b"cat"[..])));
    End { attempt, worker: None, run_micros: 3, result: Ok(answer) }
}

fn end(tenure: u32, sequences: &[u64]) -> Command {
    let ends = sequences.iter().map(|sequence| (Sequence(*sequence), done(1))).collect();
    Command::Tasks(TaskCommand::End { stream: STREAM, tenure, ends })
}

fn fetched(sequences: &[u64], close: bool) -> Command {
    let sequences = sequences.iter().copied().map(Sequence).collect();
    Command::Tasks(TaskCommand::Fetched { stream: STREAM, sequences, close })
}

fn stream(mesh: &Mesh) -> &DurableStream {
    mesh.state.durable.stream(STREAM).expect("the stream is there")
}

fn next(mesh: &Mesh) -> Option<Command> {
    keep::next_move(&mesh.state).or_else(|| keep::next_expiry(&mesh.state, mesh.now))
}

/// What is pending and what is kept.
fn counts(mesh: &Mesh) -> (usize, usize) {
    (stream(mesh).pending.len(), stream(mesh).ended.len())
}

#[test]
fn a_task_is_accepted_ends_is_fetched_and_is_forgotten() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let session = mesh.session(1);
    let events = mesh.apply(accept(session, 0, 3));
    assert_eq!(events, [Event::StreamOpened { stream: STREAM, session, gateway: A }]);
    mesh.apply(end(1, &[2, 0]));
    assert_eq!(counts(&mesh), (1, 2));
    mesh.apply(fetched(&[0], true));
    assert_eq!(counts(&mesh), (1, 1), "it is closed only when nothing is left");
    mesh.apply(end(1, &[1]));
    let events = mesh.apply(fetched(&[1, 2], true));
    assert!(matches!(&events[..], [Event::StreamClosed { account, .. }] if account.done == 3 && account.fetched == 3));
    assert_eq!(mesh.state.durable.size().bytes, 0);
}

#[test]
fn a_batch_that_comes_again_adds_nothing() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let session = mesh.session(1);
    mesh.apply(accept(session, 0, 3));
    mesh.apply(end(1, &[0]));
    mesh.apply(fetched(&[0], false));
    mesh.apply(accept(session, 0, 3));
    mesh.apply(accept(session, 2, 2));
    assert_eq!((stream(&mesh).next, counts(&mesh)), (Sequence(4), (3, 0)));
    let refusal = mesh.refusal(accept(session, 5, 1));
    assert!(refusal.to_string().contains("from number 5 on, and 4 is the next"), "{refusal}");
}

#[test]
fn a_checkpoint_is_kept_with_its_task_and_goes_with_it() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4)]);
    let session = mesh.session(1);
    mesh.apply(accept(session, 0, 2));
    let before = mesh.state.durable.size().bytes;
    let checkpoint = |tenure, sequence, payload: &Payload| {
        let checkpoints = vec![(Sequence(sequence), payload.clone())];
        Command::Tasks(TaskCommand::Checkpoint { stream: STREAM, tenure, checkpoints })
    };
    let small = Payload::Inline(vec![1; 100].into());
    mesh.apply(checkpoint(1, 0, &small));
    assert_eq!(stream(&mesh).pending[&Sequence(0)].checkpoint, Some(small.clone()));
    assert_eq!(mesh.state.durable.size().bytes, before + 100);
    // A newer one takes its place, also where it is in a file, which the task then uses.
    let blob = Blob { digest: Digest([9; 32]), size: 1 << 20 };
    mesh.apply(checkpoint(1, 0, &Payload::Stored { blob, holders: vec![A, B] }));
    assert!(mesh.state.durable.uses(blob.digest));
    assert_eq!(mesh.state.durable.size().bytes, before);
    // The next gateway finds it, and what the last one still says of it does not count.
    mesh.apply(Command::NodeDown(A));
    let command = next(&mesh).expect("somebody has to run them");
    mesh.apply(command);
    mesh.apply(checkpoint(1, 0, &small));
    assert!(mesh.state.durable.uses(blob.digest));
    // It goes with its task; for what has ended there is none.
    mesh.apply(end(2, &[0]));
    assert!(!mesh.state.durable.uses(blob.digest));
    let without = mesh.state.durable.size();
    mesh.apply(checkpoint(2, 0, &small));
    assert_eq!(mesh.state.durable.size(), without);
    let large = Payload::Inline(vec![0; INLINE_BYTES_MAX + 1].into());
    assert!(mesh.refusal(checkpoint(2, 1, &large)).to_string().contains("too large for the log"));
}

#[test]
fn a_task_that_has_ended_does_not_end_again() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let session = mesh.session(1);
    mesh.apply(accept(session, 0, 2));
    mesh.apply(end(1, &[0, 0, 9]));
    mesh.apply(end(1, &[0]));
    assert_eq!((stream(&mesh).account.done, stream(&mesh).account.fenced), (1, 3));
}

#[test]
fn a_lost_gateway_s_tasks_go_to_one_that_has_a_worker_and_its_answers_count_while_there_is_none() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4), (C, 4)]);
    let session = mesh.session(1);
    mesh.place(session, C, "cpu");
    mesh.apply(accept(session, 0, 2));
    assert_eq!(next(&mesh), None, "its gateway is up");
    mesh.apply(Command::NodeDown(A));
    let command = next(&mesh).expect("somebody has to run them");
    let events = mesh.apply(command.clone());
    assert_eq!(events, [Event::StreamMoved { stream: STREAM, from: A, to: C, tenure: 2 }]);
    assert!(stream(&mesh).attempt_first() > 4_096, "above all that the first gateway may have used");
    assert_eq!(mesh.apply(command), [], "said again by a leader that did not know, it changes nothing");

    // That it failed there says nothing of elsewhere.
    let failed = End { result: Err("no worker".into()), ..done(1) };
    mesh.apply(Command::Tasks(TaskCommand::End { stream: STREAM, tenure: 1, ends: vec![(Sequence(0), failed)] }));
    assert_eq!((counts(&mesh), stream(&mesh).account.fenced), ((2, 0), 1));
    // The lost gateway comes back with an answer to one of them: it counts, once, and is work that need not be done again.
    mesh.apply(end(1, &[0, 0]));
    assert_eq!((counts(&mesh), stream(&mesh).account.fenced), ((1, 1), 2));
    // The other gateway was at both.
    mesh.apply(end(2, &[0, 1]));
    assert_eq!((counts(&mesh), stream(&mesh).account.fenced), ((0, 2), 3));
    assert_eq!(
        mesh.state.sessions[&session].islands.repeated, 2,
        "answers that were refused: done twice, delivered once"
    );
    mesh.apply(Command::NodeDown(C));
    assert_eq!(next(&mesh), None, "nothing of it is left to run");
}

#[test]
fn the_tasks_of_a_lost_gateway_are_spread_and_wait_where_nobody_is_up() {
    let mut mesh = Mesh::of(&[(A, 4), (B, 4), (C, 4)]);
    let session = mesh.session(1);
    for stream in 0..4 {
        mesh.apply(accept_by(A, StreamId(stream), session, 0, vec![task(1)]));
    }
    mesh.apply(Command::NodeDown(A));
    let command = next(&mesh).unwrap();
    mesh.apply(command);
    assert_eq!((mesh.state.durable.count_of(B), mesh.state.durable.count_of(C)), (2, 2));
    mesh.apply(Command::NodeDown(B));
    mesh.apply(Command::NodeDown(C));
    assert_eq!(next(&mesh), None);
    mesh.apply(Command::NodeUp(A));
    assert!(next(&mesh).is_some());
}

#[test]
fn ends_are_kept_for_as_long_as_was_asked_and_pending_tasks_for_ever() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let session = mesh.session(1);
    mesh.apply(accept(session, 0, 2));
    mesh.apply(end(1, &[0]));
    mesh.wait(10 * KEEP_DEFAULT.0);
    assert_eq!(next(&mesh), None);
    mesh.apply(end(1, &[1]));
    let expires = stream(&mesh).expires().unwrap();
    assert_eq!(expires, mesh.now + KEEP_DEFAULT);
    assert_eq!(keep::next_expiry(&mesh.state, Millis(expires.0 - 1)), None);
    mesh.now = expires;
    let command = next(&mesh).unwrap();
    let events = mesh.apply(command);
    assert!(
        matches!(&events[..], [Event::StreamClosed { reason, .. }] if reason.contains("nobody came")),
        "{events:?}"
    );
}

#[test]
fn a_session_s_end_ends_its_tasks_and_keeps_the_ends() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let session = mesh.session(1);
    mesh.apply(accept(session, 0, 2));
    mesh.apply(end(1, &[0]));
    mesh.apply(Command::SessionEnd(session));
    assert_eq!((counts(&mesh), stream(&mesh).account.failed), ((0, 2), 1));
    let reason = stream(&mesh).ended[&Sequence(1)].end.result.clone().unwrap_err();
    assert!(reason.contains("ended before the task did"), "{reason}");
    assert_eq!(mesh.refusal(accept(session, 2, 1)), Refusal::NoSession(session));
}

#[test]
fn what_is_too_much_is_refused_and_changes_nothing() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let (session, other) = (mesh.session(1), mesh.session(1));
    let says = |refusal: Refusal, words: &str| assert!(refusal.to_string().contains(words), "{refusal}");
    says(mesh.refusal(accept(session, 0, BATCH_MAX + 1)), "the most is 4096");
    let large = vec![task(INLINE_BYTES_MAX + 1)];
    says(mesh.refusal(accept_by(A, STREAM, session, 0, large)), "too large for the log");
    mesh.apply(accept(session, 0, 1));
    says(mesh.refusal(accept(other, 1, 1)), &format!("belongs to session {session}"));
    says(
        mesh.refusal(Command::Tasks(TaskCommand::Fetched { stream: StreamId(1), sequences: vec![], close: true })),
        "no stream",
    );
    for stream in 0..STREAMS_MAX as u64 - 1 {
        let command = accept_by(A, StreamId(100 + stream), session, 0, vec![]);
        skein_core::apply(&mut mesh.state, &skein_core::Entry { at: mesh.now, command }).unwrap();
    }
    says(mesh.refusal(accept_by(A, StreamId(1), session, 0, vec![])), "10000 durable streams");
}

#[test]
fn a_file_is_in_use_until_the_last_task_that_is_in_it_has_gone() {
    let mut mesh = Mesh::of(&[(A, 4)]);
    let session = mesh.session(1);
    let digest = Digest([3; 32]);
    let payload = Payload::Stored { blob: Blob { digest, size: 1 << 20 }, holders: vec![A] };
    let large = DurableTask { payload, ..task(0) };
    mesh.apply(accept_by(A, STREAM, session, 0, vec![large; 2]));
    assert!(mesh.state.durable.uses(digest) && mesh.state.durable.size().bytes < 1_000);
    mesh.apply(end(1, &[0]));
    assert!(mesh.state.durable.uses(digest), "the other is in it, too");
    mesh.apply(end(1, &[1]));
    assert!(!mesh.state.durable.uses(digest));
}

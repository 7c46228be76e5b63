//! A peer with a good connection and bad manners: whatever it says, the agent goes on serving others.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use skein_agent::api::{Answer, ApiError, Change, Request};
use skein_agent::client::{Client, Order, TaskStream};
use skein_agent::demo::fleet::Fleet;
use skein_agent::frame;
use skein_agent::identity::Identity;
use skein_agent::link::{Endpoint, ModelPut, Open, TasksOpen, Timing, WorkerOpen, ask};
use skein_agent::worker::protocol::InputKind;
use skein_core::capability::{Capability, NodeSpec};
use skein_core::model::{Blob, Digest};
use skein_core::session::SessionSpec;
use skein_core::worker::WorkerReport;
use skein_core::{NodeId, Resources, Sequence, SessionId, StreamId, WorkerId};
use skein_raft::Call;
use skein_targets::ElementType;
use tokio::time::timeout;

const TIMING: Timing = Timing { idle_max: Duration::from_secs(5), keep_alive: Duration::from_secs(1) };
/// No answer may take longer; none at all is an answer too.
const WAIT_MAX: Duration = Duration::from_secs(20);

async fn agent() -> (Fleet, SocketAddr) {
    let mut fleet = Fleet::new(PathBuf::from(env!("CARGO_BIN_EXE_skein"))).unwrap();
    fleet.start_one().await.unwrap();
    let address = fleet.addresses()[0];
    (fleet, address)
}

async fn connect(address: SocketAddr) -> (Endpoint, Connection) {
    let endpoint = Endpoint::client(address, &Identity::ephemeral().unwrap(), TIMING).unwrap();
    let connection = endpoint.dial(address, None).await.unwrap();
    (endpoint, connection)
}

/// Sends bytes on a stream of their own, and waits until the agent is done with it.
async fn say(connection: &Connection, bytes: &[u8]) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let _ = timeout(WAIT_MAX, recv.read_to_end(1 << 20)).await.expect("the agent ends the stream");
}

async fn still_serves(address: SocketAddr) {
    let client = Client::connect(&[address]).await.expect("the agent answers");
    assert!(matches!(client.ask(Request::NodeStatus).await, Ok(Answer::Nodes(_))));
}

fn opens() -> Vec<Open> {
    let blob = Blob { digest: Digest([7; 32]), size: 1 << 40 };
    vec![
        Open::Blob(Digest([0; 32])),
        Open::Raft(Call::Append, None),
        Open::Raft(Call::Vote, None),
        Open::Raft(Call::InstallSnapshot, None),
        Open::Worker(WorkerOpen { worker: WorkerId(99) }),
        Open::Tasks(TasksOpen { session: SessionId(9), stream: StreamId(1), ordered: true, first: Sequence(u64::MAX) }),
        Open::ModelPut(ModelPut { name: "x".into(), manifest: String::new(), file: blob, labels: None }),
        Open::ModelPut(ModelPut { name: "../x".into(), manifest: "\u{0}".into(), file: blob, labels: Some(blob) }),
    ]
}

#[tokio::test]
async fn garbage_and_truncated_messages_are_survived() {
    let (_fleet, address) = agent().await;
    let (_endpoint, connection) = connect(address).await;
    // 1. No message at all, noise, another version, and lengths that no memory holds.
    say(&connection, b"").await;
    say(&connection, &[0xa5; 4096]).await;
    say(&connection, &[9, 0, 0, 1, 0, 0, 0, 0, 0]).await;
    say(&connection, &[frame::VERSION, 0xff, 0xff, 0xff, 0, 0, 0, 0]).await;
    say(&connection, &[frame::VERSION, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).await;
    // 2. A good envelope around bad CBOR: noise, and arrays nested deep enough to end a careless parser.
    for header in [vec![0xff; 64], vec![0x81; 60_000], b"\xa1dOpen\xf6".to_vec()] {
        let mut message = vec![frame::VERSION];
        message.extend(&u32::try_from(header.len()).unwrap().to_be_bytes()[1..]);
        message.extend([0; 4]);
        message.extend(header);
        say(&connection, &message).await;
    }
    // 3. Good openings with nothing good behind them, whole and cut off anywhere.
    for open in opens() {
        let mut message = frame::head(&open, 64).unwrap();
        message.extend([0x5a; 64]);
        for length in (1..=message.len()).rev().step_by(5) {
            say(&connection, &message[..length]).await;
        }
    }
    // 4. Datagrams that are no heartbeats.
    for _ in 0..100 {
        let _ = connection.send_datagram(Bytes::from_static(b"no beat"));
    }
    still_serves(address).await;
    assert!(connection.close_reason().is_none(), "a bad stream does not cost the connection");
}

#[tokio::test]
async fn nobody_speaks_for_another_node() {
    let (_fleet, address) = agent().await;
    let (_endpoint, connection) = connect(address).await;
    let somebody = NodeId(42);
    let spec = NodeSpec {
        id: somebody,
        name: "somebody".into(),
        address: "127.0.0.1:9".into(),
        version: "1".into(),
        capability: Capability::default(),
    };
    let report = WorkerReport::Failed { reason: "because".into() };
    for change in [Change::Join(spec), Change::WorkerReport { node: somebody, worker: WorkerId(1), report }] {
        let open = Open::Api(Request::Change(change));
        let (answer, _) = ask::<Result<Answer, ApiError>>(&connection, &open, Bytes::new()).await.unwrap();
        assert!(matches!(answer, Err(ApiError::Invalid(_))), "{answer:?}");
    }
    still_serves(address).await;
}

#[tokio::test]
async fn a_model_that_is_not_what_it_was_named_is_refused() {
    let (_fleet, address) = agent().await;
    let (_endpoint, connection) = connect(address).await;
    let file = Blob { digest: Digest([1; 32]), size: 4 };
    let put = ModelPut { name: "x".into(), manifest: String::new(), file, labels: None };
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let mut message = frame::head(&Open::ModelPut(put), 0).unwrap();
    message.extend(b"four");
    send.write_all(&message).await.unwrap();
    send.finish().unwrap();
    let answer = timeout(WAIT_MAX, frame::read(&mut recv)).await.unwrap().unwrap().unwrap();
    let answer: Result<Answer, ApiError> = answer.header().unwrap();
    assert!(answer.unwrap_err().to_string().contains("not the one that was named"));
    still_serves(address).await;
}

#[tokio::test]
async fn an_answer_that_no_message_carries_fails_its_task_alone() {
    let (_fleet, address) = agent().await;
    let client = Client::connect(&[address]).await.unwrap();
    // Four numbers in, 48 MiB out.
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../targets/tests/data/long-answer.onnx");
    client.add_model("long", &model, String::new(), None).await.unwrap();
    let need = Resources { cpu_millicores: 1000, memory_bytes: 256 << 20, ..Resources::default() };
    let spec = SessionSpec::of("long".parse().unwrap(), "tract", need);
    let Answer::Created(session) = client.ask(Request::Change(Change::SessionCreate(spec))).await.unwrap() else {
        panic!("no session");
    };
    let mut stream = TaskStream::open(client, session, Order::Kept).await.unwrap();
    let mut workers = Vec::new();
    for _ in 0..3 {
        let input = InputKind::Tensor { element: ElementType::F32, shape: vec![1, 4] };
        stream.submit(input, Bytes::from_static(&[0; 16])).await.unwrap();
        let result = timeout(WAIT_MAX, stream.next()).await.unwrap().unwrap().unwrap();
        assert!(result.result.as_ref().is_err_and(|error| error.contains("48 MiB")), "{:?}", result.result);
        assert_eq!(result.attempt, 1, "the worker lived on");
        workers.push(result.worker);
    }
    assert!(workers.windows(2).all(|pair| pair[0] == pair[1]));
}

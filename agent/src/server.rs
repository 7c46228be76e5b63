//! Answers whoever connects to this agent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, Incoming};
use skein_core::MeshId;
use skein_core::model::Blob;
use skein_raft::Call;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::api::handle::Api;
use crate::api::{Answer, ApiError, Change, Request};
use crate::durable::{self, Durable};
use crate::frame::{self, Frame};
use crate::gateway::{Gateway, serve_client, serve_worker};
use crate::gossip::Gossip;
use crate::island::ledger::Late;
use crate::island::tell::{LateAnswer, LateEnds};
use crate::link::{
    Beat, Endpoint, HelloAnswer, LinkError, ModelPut, Open, Stream, peer_node, receive_beats, send_message,
};
use crate::seat::RaftRefusal;
use crate::worker::host::Host;

/// Connections at once: every node of a large mesh and many clients. Beyond it a newcomer is refused at once.
const CONNECTIONS_MAX: usize = 1024;
/// How long a stream may take to say what it is for, and a connection to shake hands.
const OPENING_TIME_MAX: Duration = Duration::from_secs(10);

/// Everything a connection can ask for.
#[derive(Clone, Debug)]
pub struct Server {
    /// This node's name, for people.
    pub name: String,
    /// Control.
    pub api: Api,
    /// Tasks from clients.
    pub gateway: Gateway,
    /// Durable tasks.
    pub durable: Durable,
    /// Attempts from other gateways.
    pub host: Host,
    /// For the addresses in [`HelloAnswer`].
    pub gossip: Gossip,
    /// Heartbeats go here.
    pub beats: mpsc::Sender<Beat>,
}

impl Server {
    /// Serves until the endpoint is closed.
    pub async fn run(self, endpoint: Endpoint) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Some(incoming) = endpoint.accept().await {
            let Ok(place) = connections.clone().try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let server = self.clone();
            tokio::spawn(async move {
                server.connection(incoming).await;
                drop(place);
            });
        }
    }

    async fn connection(&self, incoming: Incoming) {
        let from = incoming.remote_address();
        let connection = match timeout(OPENING_TIME_MAX, incoming).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return tracing::debug!(%from, "a connection did not come about: {error}"),
            Err(_) => return tracing::debug!(%from, "a connection did not come about in time"),
        };
        tokio::join!(receive_beats(&connection, &self.beats), self.streams(&connection));
    }

    async fn streams(&self, connection: &Connection) {
        while let Ok((send, recv)) = connection.accept_bi().await {
            let server = self.clone();
            let connection = connection.clone();
            tokio::spawn(async move {
                let mut stream = Stream { send, recv };
                let opened = timeout(OPENING_TIME_MAX, frame::read(&mut stream.recv)).await;
                let served = match opened {
                    Ok(Ok(Some(first))) => server.stream(&connection, stream, first).await,
                    Ok(Ok(None)) => Ok(()),
                    Ok(Err(error)) => Err(error.into()),
                    Err(_) => Err(LinkError::NoReply),
                };
                if let Err(error) = served {
                    tracing::debug!(from = %connection.remote_address(), "a stream ended: {error}");
                }
            });
        }
    }

    async fn stream(&self, connection: &Connection, stream: Stream, first: Frame) -> Result<(), LinkError> {
        let open: Open = first.header()?;
        let _ = stream.send.set_priority(open.urgency() as i32);
        match open {
            Open::Hello(_) => self.hello(stream).await,
            Open::Api(request) => {
                let answer = self.request(connection, request).await;
                reply(stream, &answer, Bytes::new()).await
            }
            Open::ModelPut(put) => self.model_put(stream, put).await,
            Open::Blob(digest) if self.durable.files.blobs.has(digest) => {
                self.durable.files.blobs.send(digest, stream).await
            }
            Open::Blob(digest) => self.api.blobs.send(digest, stream).await,
            Open::Durable(open) => durable::serve_client(&self.durable, stream, open).await,
            Open::TaskFile(blob) => self.task_file(connection, stream, blob).await,
            Open::Raft(call, mesh) => self.raft(stream, call, mesh, &first.payload).await,
            Open::Tasks(open) => serve_client(&self.gateway, &self.api.seat, connection, stream, open).await,
            Open::Worker(open) => {
                let worker = open.worker;
                let session = self.api.seat.read(|state| state.workers.get(&worker).map(|worker| worker.session));
                let by = peer_node(connection).zip(session);
                let late = self.api.islands.ledger().clone();
                serve_worker(&self.host, stream, open, move |task, attempt| {
                    if let Some((gateway, session)) = by {
                        late.late(Late { gateway, session, worker, task, attempt });
                    }
                })
                .await
            }
            Open::Late(late) => reply(stream, &self.late(connection, &late), Bytes::new()).await,
        }
    }

    async fn hello(&self, stream: Stream) -> Result<(), LinkError> {
        let answer = HelloAnswer {
            node: self.api.node,
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            mesh: self.api.seat.read(|state| state.mesh),
            gossip: self.gossip.listen_addresses(),
        };
        reply(stream, &answer, Bytes::new()).await
    }

    async fn request(&self, connection: &Connection, request: Request) -> Result<Answer, ApiError> {
        let peer = peer_node(connection);
        let member = self.is_member(connection);
        // A node may speak for itself; members pass on what they were asked.
        let speaks_for = match &request {
            Request::Change(Change::Join(spec)) => Some(spec.id),
            Request::Change(Change::IslandReport(report)) => Some(report.node),
            Request::Change(Change::WorkerReport { node, .. } | Change::DeviceReport { node, .. }) => Some(*node),
            _ => None,
        };
        if !member && speaks_for.is_some() && speaks_for != peer {
            return Err(ApiError::Invalid("a node can speak only for itself: the device key is another's".into()));
        }
        if !member && matches!(request, Request::Change(Change::Tasks(_))) {
            return Err(ApiError::Invalid("durable tasks are submitted on a stream of their own".into()));
        }
        self.api.answer(request, member).await
    }

    fn is_member(&self, connection: &Connection) -> bool {
        peer_node(connection).is_some_and(|peer| self.api.seat.read(|state| state.nodes.contains_key(&peer)))
    }

    /// A node that was cut off says what became of attempts of this gateway.
    fn late(&self, connection: &Connection, late: &LateEnds) -> LateAnswer {
        if self.is_member(connection) { self.gateway.late(late) } else { LateAnswer::default() }
    }

    /// Another node wants a file to be on two disks.
    async fn task_file(&self, connection: &Connection, mut stream: Stream, blob: Blob) -> Result<(), LinkError> {
        let written = if !self.is_member(connection) {
            Err("only nodes of the mesh leave files here".to_owned())
        } else if blob.size > frame::PAYLOAD_BYTES_MAX as u64 {
            Err(format!("a task's file has {} bytes; the most is {}", blob.size, frame::PAYLOAD_BYTES_MAX))
        } else {
            let received = self.durable.files.blobs.receive(blob, &mut stream.recv).await;
            received.map_err(|error| error.to_string())
        };
        reply(stream, &written, Bytes::new()).await
    }

    async fn model_put(&self, mut stream: Stream, put: ModelPut) -> Result<(), LinkError> {
        let answer = self.api.add_model(put, &mut stream).await;
        if answer.is_err() {
            // What is still on its way is not read: the client sees the answer instead.
            let _ = stream.recv.stop(quinn::VarInt::from_u32(0));
        }
        reply(stream, &answer, Bytes::new()).await
    }

    async fn raft(&self, stream: Stream, call: Call, mesh: Option<MeshId>, body: &[u8]) -> Result<(), LinkError> {
        if let Some(refusal) = self.other_mesh(mesh) {
            return reply(stream, &Err::<(), RaftRefusal>(refusal), Bytes::new()).await;
        }
        match self.api.seat.receive(call, body).await {
            Ok(answer) => reply(stream, &Ok::<(), RaftRefusal>(()), answer.into()).await,
            Err(error) => reply(stream, &Err::<(), _>(RaftRefusal::Failed(error.to_string())), Bytes::new()).await,
        }
    }

    /// A seat may not know its mesh yet while it reads its log, and is let in all the same: or no mesh could start again after a
    /// power cut. Not so in a mesh that was recovered: there every seat begins from a snapshot, which names it.
    fn other_mesh(&self, theirs: Option<MeshId>) -> Option<RaftRefusal> {
        let mesh = self.api.contacts.mesh()?;
        let from = self.api.seat.read(|state| state.seats.recoveries.iter().map(|past| past.from).collect::<Vec<_>>());
        let is_ours = theirs.map_or(from.is_empty(), |theirs| theirs == mesh);
        (!is_ours).then_some(RaftRefusal::OtherMesh { mesh, from })
    }
}

async fn reply<T: serde::Serialize>(mut stream: Stream, answer: &T, payload: Bytes) -> Result<(), LinkError> {
    send_message(&mut stream.send, answer, payload).await?;
    let _ = stream.send.finish();
    Ok(())
}

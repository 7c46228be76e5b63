//! What the command line, the demo and the benchmarks use to talk to a mesh: any agent will do.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use skein_core::Millis;
use skein_core::liveness::Patience;
use skein_core::model::{Blob, ModelQuery};
use thiserror::Error;
use tokio::fs::File;
use tokio::time::timeout;

use crate::api::{Answer, ApiError, Request};
use crate::blobs::{self, BlobError};
use crate::identity::{Identity, IdentityError};
use crate::link::{Endpoint, Hello, HelloAnswer, Link, LinkError, ModelPut, Open, Owed, Stream, Timing, ask, watch};

mod durable;
mod manifest;
mod tasks;

pub use durable::{DurableNews, DurableTasks};
pub use manifest::{ModelFilesError, read_manifest};
pub use tasks::{Order, TaskResult, TaskStream};

/// A silent agent counts as lost after this; the client then goes on at another.
const TIMING: Timing = Timing { idle_max: Duration::from_secs(3), keep_alive: Duration::from_millis(500) };
/// A silent agent that owes results is left for another sooner: as soon as an agent itself would leave a worker's node.
const PATIENCE: Patience =
    Patience { beat_every: Millis(150), down_after: Millis(500), down_after_max: Millis(3_000), up_after: Millis(500) };
/// How long one request may take: as long as the agent itself tries to have a change committed, and a little more.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);
/// How long taking a model in may take: its bytes over a slow link, and its trial run.
const MODEL_TIME_MAX: Duration = Duration::from_secs(600);

/// Why a client got no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No address was given.
    #[error("no address of an agent was given; name one with --address ADDRESS:PORT")]
    NoAddress,
    /// The process has no key to talk with.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The way to the agent failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The agent said no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A file of the model could not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The agent answered something else.
    #[error("the agent at {0} gave an answer that does not fit the question: is it the same release of skein?")]
    WrongAnswer(SocketAddr),
    /// The agent took too long.
    #[error("the agent at {0} did not answer within {1} s")]
    TooLong(SocketAddr, u64),
    /// The gateway said nothing, not even that it is there.
    #[error("the gateway said nothing for {0} s, not even that it is there; name another agent with --address")]
    NoResult(u64),
}

/// A connection to one agent, and the addresses of others to go to when it is lost.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    addresses: Vec<SocketAddr>,
    link: Link,
    /// The agent in use.
    address: SocketAddr,
}

impl Client {
    /// Connects to the first of these agents that answers.
    pub async fn connect(addresses: &[SocketAddr]) -> Result<Self, ClientError> {
        let first = addresses.first().ok_or(ClientError::NoAddress)?;
        let endpoint = Endpoint::client(*first, &Identity::ephemeral()?, TIMING)?;
        let (address, link) = dial_any(&endpoint, addresses).await?;
        Ok(Self { endpoint, addresses: addresses.to_vec(), link, address })
    }

    /// The agent in use.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who the agent is.
    pub async fn hello(&self) -> Result<HelloAnswer, ClientError> {
        let hello = Open::Hello(Hello { version: env!("CARGO_PKG_VERSION").into() });
        self.in_time(REQUEST_TIME_MAX, async { Ok(ask(&self.link.connection, &hello, Bytes::new()).await?.0) }).await
    }

    /// One request.
    pub async fn ask(&self, request: Request) -> Result<Answer, ClientError> {
        let exchange = async {
            let (answer, _) =
                ask::<Result<Answer, ApiError>>(&self.link.connection, &Open::Api(request), Bytes::new()).await?;
            Ok(answer?)
        };
        self.in_time(REQUEST_TIME_MAX, exchange).await
    }

    /// One model, which the agent tries by each of its targets.
    pub async fn show_model(&self, model: ModelQuery) -> Result<Answer, ClientError> {
        let open = Open::Api(Request::ModelShow(model));
        let exchange =
            async { Ok(ask::<Result<Answer, ApiError>>(&self.link.connection, &open, Bytes::new()).await?.0?) };
        self.in_time(MODEL_TIME_MAX, exchange).await
    }

    /// Learns the other agents of the mesh, so that a stream of tasks can go on when this one is lost.
    pub async fn learn_addresses(&mut self) -> Result<(), ClientError> {
        let Answer::Nodes(mesh) = self.ask(Request::NodeStatus).await? else {
            return Err(ClientError::WrongAnswer(self.address));
        };
        for node in mesh.nodes.iter().filter(|node| node.up) {
            if let Ok(address) = node.address.parse()
                && !self.addresses.contains(&address)
            {
                self.addresses.push(address);
            }
        }
        Ok(())
    }

    /// Sends a model's files and has the mesh take it in.
    pub async fn add_model(
        &self,
        name: &str,
        file: &Path,
        manifest: String,
        labels: Option<&Path>,
    ) -> Result<Answer, ClientError> {
        let put = ModelPut {
            name: name.into(),
            manifest,
            file: blobs::blob_of(file).await?,
            labels: match labels {
                Some(labels) => Some(blobs::blob_of(labels).await?),
                None => None,
            },
        };
        let files = [Some((file, put.file)), labels.zip(put.labels)];
        let exchange = async {
            let mut stream = Stream::open(&self.link.connection, &Open::ModelPut(put), Bytes::new()).await?;
            for (path, blob) in files.into_iter().flatten() {
                // The agent may have said no to the first bytes already: then its answer says more than this error.
                if send_file(path, blob, &mut stream).await.is_err() {
                    break;
                }
            }
            let _ = stream.send.finish();
            let answer: Result<Answer, ApiError> = stream.expect().await?.header().map_err(LinkError::from)?;
            Ok(answer?)
        };
        self.in_time(MODEL_TIME_MAX, exchange).await
    }

    /// Goes on at the next agent that answers, this one last.
    async fn reconnect(&mut self) -> Result<(), ClientError> {
        let at = self.addresses.iter().position(|address| *address == self.address).map_or(0, |at| at + 1);
        let count = self.addresses.len();
        self.addresses.rotate_left(at % count);
        (self.address, self.link) = dial_any(&self.endpoint, &self.addresses).await?;
        Ok(())
    }

    async fn in_time<T>(
        &self,
        most: Duration,
        exchange: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let too_long = ClientError::TooLong(self.address, most.as_secs());
        timeout(most, exchange).await.unwrap_or(Err(too_long))
    }
}

async fn dial_any(endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<(SocketAddr, Link), ClientError> {
    let mut last = ClientError::NoAddress;
    for address in addresses {
        match endpoint.dial(*address, None).await {
            Ok(connection) => {
                let link = Link { connection, owed: Owed::default() };
                tokio::spawn(watch(link.connection.clone(), link.owed.clone(), PATIENCE));
                return Ok((*address, link));
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

async fn send_file(path: &Path, blob: Blob, stream: &mut Stream) -> Result<(), BlobError> {
    let failed = |source| BlobError::File { action: "read", path: path.to_owned(), source };
    let mut file = File::open(path).await.map_err(failed)?;
    blobs::copy(&mut file, &mut stream.send, blob.size).await.map_err(failed)
}

/// A number that nobody else draws: the name of a stream or of a claim.
pub fn random() -> Result<u64, ClientError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| ClientError::Identity(IdentityError::Key(error.to_string())))?;
    Ok(u64::from_be_bytes(bytes))
}

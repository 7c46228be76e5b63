//! This agent's seat in the coordinator: the Raft replica, its messages carried over the link.

use std::time::Duration;

use bytes::Bytes;
use skein_core::NodeId;
use skein_raft::{Call, Transport, TransportError};
use tokio::time::timeout;

use crate::link::{Open, Pool, ask};

/// A Raft message that was not answered within this is sent again by Raft itself.
const CALL_TIME_MAX: Duration = Duration::from_secs(2);

/// Carries Raft messages over QUIC.
#[derive(Debug)]
pub struct LinkTransport(pub Pool);

impl Transport for LinkTransport {
    async fn call(&self, to: NodeId, call: Call, body: Vec<u8>) -> Result<Vec<u8>, TransportError> {
        let exchange = async {
            let connection = self.0.connection(to).await?;
            ask::<Result<(), String>>(&connection, &Open::Raft(call), Bytes::from(body)).await
        };
        match timeout(CALL_TIME_MAX, exchange).await {
            Err(_) => Err(TransportError("no answer in time".into())),
            Ok(Err(error)) => Err(TransportError(error.to_string())),
            Ok(Ok((Err(refusal), _))) => Err(TransportError(refusal)),
            Ok(Ok((Ok(()), answer))) => Ok(answer.into()),
        }
    }
}

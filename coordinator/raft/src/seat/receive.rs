//! What other seats ask of this one.

use openraft::error::{Infallible, RaftError};
use openraft::raft::AppendEntriesRequest;

use super::{Seat, SeatError};
use crate::codec;
use crate::network::{Ballot, Piece, PieceAnswer, Taken, is_in_order};
use crate::transport::Call;
use crate::types::{Types, Vote};

impl Seat {
    /// Answers a call of another seat. A body that makes no sense is an error and changes nothing.
    pub async fn receive(&self, call: Call, body: &[u8]) -> Result<Vec<u8>, SeatError> {
        match call {
            Call::Append => self.receive_entries(body).await,
            Call::Vote => {
                let Ballot { request, release } = codec::decode(body)?;
                Ok(codec::encode(&self.0.elections.vote(request, release).await?))
            }
            Call::Beat => {
                let beat = codec::decode(body)?;
                Ok(codec::encode(&self.0.elections.with(|election, now| election.on_beat(now, beat))))
            }
            Call::Ask => {
                let ask = codec::decode(body)?;
                Ok(codec::encode(&self.0.elections.with(|election, now| election.on_ask(now, ask))))
            }
            Call::TakeOver => {
                let release = codec::decode(body)?;
                Ok(codec::encode(&self.0.elections.with(|election, now| election.take_over(now, release))))
            }
            Call::InstallSnapshot => {
                let answer = self.receive_piece(codec::decode(body)?).await?;
                Ok(codec::encode(&answer))
            }
        }
    }

    async fn receive_entries(&self, body: &[u8]) -> Result<Vec<u8>, SeatError> {
        let request: AppendEntriesRequest<Types> = codec::decode(body)?;
        if !is_in_order(&request) {
            return Err(SeatError::Garbage("a list of entries that do not follow one another".into()));
        }
        let answer = self.0.raft.append_entries(request).await.map_err(stopped)?;
        Ok(codec::encode(&answer))
    }

    async fn receive_piece(&self, piece: Piece) -> Result<PieceAnswer, SeatError> {
        let theirs = piece.vote();
        let ours: Vote = self.0.raft.with_raft_state(|state| *state.vote_ref()).await?;
        if theirs < ours {
            // Whoever sends this no longer leads, and learns it from the answer.
            return Ok(Ok(ours));
        }
        let taken = self.0.incoming.lock().await.take(piece);
        match taken {
            Taken::Partly => Ok(Ok(ours)),
            Taken::Mismatch(mismatch) => Ok(Err(mismatch)),
            Taken::Garbage(what) => Err(SeatError::Garbage(what)),
            Taken::Whole(snapshot) => Ok(Ok(self.0.raft.install_full_snapshot(theirs, snapshot).await?.vote)),
        }
    }
}

fn stopped(error: RaftError<u64, Infallible>) -> SeatError {
    match error {
        RaftError::Fatal(fatal) => fatal.into(),
        RaftError::APIError(never) => match never {},
    }
}

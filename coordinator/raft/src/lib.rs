//! The replicated log of a Skein mesh: openraft on sled.
//!
//! A [`Seat`] is this node's place at the table: it keeps the log on disk, applies it to the [`State`](skein_core::State)
//! of the core, votes, and leads when elected. The crate owns no socket: the agent lends it a [`Transport`].
//!
//! What holds here, and what other floors rely on:
//! - no type of openraft or sled leaves the crate; [`codec`] is the only place that knows the encoding, `store` the only
//!   one that knows the database;
//! - an entry is acknowledged only after it is on the disk of a majority, flushed through the disk's cache;
//! - a stored record that cannot be read stops the start; it is never skipped;
//! - nothing that arrives through [`Seat::receive`] takes the seat down.
//!
//! What is deliberately absent: addresses (gossip knows them), clocks (the leader's caller stamps entries), and every
//! decision about who should vote.

mod clock;
pub mod codec;
mod log;
mod network;
mod recover;
mod replica;
mod seat;
mod store;
mod transport;
mod types;

pub use recover::{About, RecoverError, Remains};
pub use seat::{ChangeError, ProposeError, Role, Seat, SeatConfig, SeatError};
pub use store::StoreError;
pub use transport::{Call, Transport, TransportError};

//! Every decision of a Skein mesh, as plain functions over plain data.
//!
//! The crate is `no_std` with `alloc`: it has no clock, file, socket, thread or global randomness, and the compiler
//! proves it. Time is an argument ([`Millis`]); what the world should do is a return value.
//!
//! - [`state`], [`command`], [`event`], [`apply`](mod@apply), [`invariants`]: the replicated state and the one way it changes;
//! - [`plan`]: which workers should exist where, decided by the leader, checked again by `apply`;
//! - [`liveness`], [`seats`], [`health`]: who is up, who votes, and which devices rest, decided by the leader;
//! - [`demand`], [`adapt`]: how many workers sessions could use, and how large, decided by the leader;
//! - [`offering`]: what a node offers now, decided by the node;
//! - [`supervise`], [`testing`]: what one agent does to make its own workers match the plan, and about its devices;
//! - [`dispatch`]: what a gateway does with each task;
//! - [`durable`]: tasks that the mesh has promised to do.
#![no_std]

extern crate alloc;

pub mod adapt;
pub mod apply;
pub mod capability;
pub mod command;
pub mod demand;
pub mod dispatch;
pub mod durable;
pub mod election;
pub mod event;
pub mod explain;
pub mod health;
pub mod ids;
pub mod invariants;
pub mod island;
pub mod liveness;
pub mod model;
pub mod offering;
pub mod plan;
pub mod policy;
pub mod resources;
pub mod seats;
pub mod session;
pub mod state;
pub mod supervise;
pub mod testing;
pub mod time;
pub mod worker;

pub use apply::apply;
pub use command::{Command, Entry, Refusal};
pub use event::Event;
pub use ids::{MeshId, NodeId, Sequence, SessionId, StreamId, WorkerId};
pub use plan::plan;
pub use resources::Resources;
pub use state::State;
pub use time::Millis;

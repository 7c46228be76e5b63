//! Skein's agent: the library of the one binary, `skein`.
//!
//! All IO of the mesh is here; what to do is decided by [`skein_core`]. The parts:
//!
//! - [`agent`] puts one together; [`runtime`] is its loop: gather, decide, act; [`server`] answers who connects;
//! - [`identity`], [`config`], [`inventory`], [`runtimes`]: who this device is, how it is set, what it has;
//! - [`gossip`] (libp2p), [`link`] (QUIC), [`frame`] (the envelope of messages), [`seat`] (Raft over the link), [`contacts`] (who answers);
//! - [`api`]: control; [`gateway`] and [`worker`]: tasks; [`blobs`]: model files;
//! - [`client`], [`cli`], [`demo`]: the other end.

pub mod agent;
pub mod api;
pub mod blobs;
pub mod cli;
pub mod client;
pub mod config;
pub mod contacts;
pub mod demo;
pub mod durable;
pub mod frame;
pub mod gateway;
pub mod gossip;
pub mod identity;
pub mod inventory;
pub mod island;
pub mod link;
pub mod runtime;
pub mod runtimes;
pub mod seat;
pub mod server;
pub mod worker;

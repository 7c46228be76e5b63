//! Seats in one process, over links that can be cut, on real directories.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod disk;
mod garbage;
mod mesh;
mod recover;
mod snapshot;
mod world;

//! Seats in one process, over links that can be cut, on real directories.

mod disk;
mod garbage;
mod mesh;
mod snapshot;
mod world;

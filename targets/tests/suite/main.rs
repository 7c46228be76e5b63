//! One binary for all tests of this crate: linking the runtimes takes longer than running most of them.

mod devices;
mod hostile;
mod manifests;
mod models;
mod pictures;
mod refused_models;
mod simulated;
mod tensors;
mod world;

//! One binary for all tests of this crate: linking the runtimes takes longer than running most of them.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod agreement;
mod devices;
mod hostile;
mod manifests;
mod models;
mod nvml;
mod pictures;
mod refused_models;
mod runtimes;
mod simulated;
mod tensors;
mod world;

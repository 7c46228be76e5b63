//! Targets and workers on whole meshes: `cargo xtask hil targets`.
#![expect(clippy::print_stdout, reason = "what a test measured, and that it was skipped, is read from there")]

mod programs;
mod runtimes;
mod scale;
mod workers;

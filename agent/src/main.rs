//! `skein`: the one binary of the mesh. Everything is in the library beside it, so that benchmarks can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    skein_agent::cli::main()
}

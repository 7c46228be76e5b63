//! A mesh at work under faults: whatever fails, no task and no acknowledged write is lost, and the mesh heals.
//!
//! Each test has the fault, what must hold while it lasts, and what must come back after it; [`skein_hil_tests::trial`] then checks
//! the accounts. `cargo xtask hil faults --json` prints a row for each. They need root, for network namespaces.

mod cast;
mod clocks;
mod disks;
mod island_tasks;
mod islands;
mod kills;
mod partitions;
mod restarts;
mod silence;
mod weather;

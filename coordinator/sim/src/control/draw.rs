//! Nodes, models, sessions, commands and plans drawn by chance: sensible ones, and ones that nobody should ask for.

pub(super) mod node;
pub(super) mod nonsense;
pub(super) mod plan;
pub(crate) mod session;

/// Ids beyond all that a run gives out.
const NOWHERE: u64 = 1_000_000;
/// Names that devices have, and one that none has.
const DEVICES: [&str; 6] = ["cpu", "cpu-1", "gpu-0", "gpu-1", "stick-0", "none"];
/// Things that are counted and have a name.
const NAMED: [&str; 2] = ["camera", "licence"];
pub(super) const MODELS: [&str; 3] = ["cats", "dogs", "rockets"];

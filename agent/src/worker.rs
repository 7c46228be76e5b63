//! Worker processes of this agent: started, fed, watched and ended.
//!
//! Each worker is a child of the agent and runs this same binary ([`child`]). A [`host::Host`] holds the running ones;
//! gateways, on this node or another, attach to them.

pub mod check;
pub mod child;
mod cores;
pub mod host;
pub mod known_answer;
mod oom;
mod process;
pub mod program;
pub mod protocol;
mod shared;
pub mod usage;

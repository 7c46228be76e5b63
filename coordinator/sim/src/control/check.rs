//! What must hold of the replicated state, its events and its plans: written again here, in the plainest way, so that a
//! mistake in the core's own checks does not hide one in its decisions.

pub(super) mod events;
pub(super) mod kinds;
mod left;
pub(crate) mod mesh;
pub(crate) mod rest;
pub(super) mod rules;
pub(crate) mod settle;
pub(super) mod state;
pub(super) mod tasks;
mod victims;
pub(super) mod walk;

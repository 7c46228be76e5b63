//! Whole meshes of real `skein` processes, for tests: a [`bed`] they run on, a [`net`] to put them in, [`fault`]s, and [`probe`]s that look at them.
//!
//! Nothing here links to the product: it sees the binary, its command line and its JSON, as a user does.

pub mod bed;
pub mod fault;
pub mod material;
pub mod net;
pub mod probe;

//! Whole meshes of real `skein` processes, for tests: a [`bed`] they run on, a [`net`] to put them in with a [`relay`] for bad
//! weather, [`fault`]s, [`simulated`] devices, and [`probe`]s that look at them.
//!
//! A [`trial`] is a mesh at work while something fails: a [`load`] of tasks whose [`ledger`] must balance, and [`writers`] of
//! control changes whose [`history`] must be one that could have happened one after another.
//!
//! Nothing here links to the product: it sees the binary, its command line and its JSON, as a user does.

pub mod bed;
pub mod disk;
pub mod fault;
pub mod history;
pub mod ledger;
pub mod load;
pub mod material;
pub mod net;
pub mod probe;
pub mod relay;
pub mod simulated;
pub mod trial;
pub mod writers;

//! The rules of the core, each as a small story with virtual time.

mod apply;
mod capacity;
mod choose;
mod dispatch;
mod liveness;
mod mesh;
mod plan;
mod properties;
mod seats;
mod supervise;

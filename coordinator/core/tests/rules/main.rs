//! The rules of the core, each as a small story with virtual time.

mod adapt;
mod apply;
mod capacity;
mod choose;
mod demand;
mod dispatch;
mod draw;
mod durable;
mod election;
mod events;
mod forecast;
mod health;
mod island;
mod known_answers;
mod liveness;
mod mesh;
mod offering;
mod plan;
mod properties;
mod seats;
mod sequences;
mod share;
mod situations;
mod supervise;
mod victims;

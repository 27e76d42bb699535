//! A battery of requests that shows whether a program keeps to the worker protocol.
//!
//! Each [`check::Check`] has a name that stays, a sentence of what is required, and a function that asks the engine, mostly
//! through the very supervisor a run has. [`lab::Lab`] makes the requests and remembers what several checks rest on.
//! [`battery::run`] goes through them in order.

pub(crate) mod answer;
pub(crate) mod battery;
pub(crate) mod catalogue;
mod check;
mod checks;
pub(crate) mod lab;
mod maps;
mod model;
mod seen;
pub(crate) mod show;

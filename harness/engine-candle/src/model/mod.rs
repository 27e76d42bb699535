//! The decoder of all families, in modules that can each live on another device.
//!
//! The families differ in their configuration only ([`crate::config::BlockConfig`], windows, scales), so there is one
//! decoder. Start with [`decoder::Decoder`].

pub mod activations;
pub mod attention;
pub mod block;
pub mod cache;
pub mod decoder;
pub mod homed;
pub mod linear;
pub mod links;
pub mod mlp;
pub mod norm;
pub mod rope;
pub mod sequence;
pub mod step;
mod tie;

pub use decoder::{Decoder, Layout, module_names};
pub use homed::Home;
pub use sequence::Sequence;
pub use step::{Batch, LogitRows, Pass, StepCounters};

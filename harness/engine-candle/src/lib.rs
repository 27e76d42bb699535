//! The only crate that sees candle: model files, decoder, placed execution, generation.
//!
//! A request becomes a checkpoint ([`checkpoint`]), a module tree ([`tree`]), a device for every module
//! (`placebench_engine::plan`), a loaded [`model::Decoder`] on [`device::Devices`], and a generation
//! ([`generate()`](generate::generate)). The type to read first is [`model::Decoder`]: it holds the rule that a tensor is
//! used only on the device it was moved to.
//!
//! Nothing here supervises, judges or stores: that is done by whoever runs the worker.

mod audit;
pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod dtype;
pub mod engine;
pub mod error;
pub mod fault;
pub mod generate;
pub mod homes;
pub mod hub;
mod kernels;
pub mod logits;
pub mod model;
pub mod pipeline;
pub mod probe;
mod prompt_probe;
pub mod reference;
pub mod session;
mod shown;
mod text_offsets;
pub mod tokenizer;
pub mod tree;
pub mod weights;
mod workload;

//! The real binary, end to end, on the mock engine: what a person types, reads and finds on disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod bad_input;
mod boundaries;
mod doctor;
mod documentation;
mod env;
mod generate;
mod gpu_telemetry;
mod interruption;
#[cfg(feature = "candle")]
mod model_sources;
mod outcomes;
mod plan;
#[cfg(feature = "candle")]
mod sequences;
#[cfg(feature = "candle")]
mod shipped;
mod snapshots;
mod texts;
#[cfg(feature = "candle")]
mod unfit_models;

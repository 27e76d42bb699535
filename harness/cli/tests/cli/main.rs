//! The real binary, end to end, on the mock engine: what a person types, reads and finds on disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod audit;
mod bad_input;
mod baselines;
mod bisect;
mod boundaries;
mod compare;
mod doctor;
mod documentation;
mod env;
mod faults;
mod folders;
mod foreign;
mod full_disk;
mod generate;
mod gpu_telemetry;
mod hostile;
mod interruption;
mod merge;
#[cfg(feature = "candle")]
mod model_sources;
mod namespace;
mod outcomes;
mod paths;
mod plan;
mod resume;
mod retries;
mod selection;
#[cfg(feature = "candle")]
mod sequences;
#[cfg(feature = "candle")]
mod shipped;
mod snapshots;
mod texts;
#[cfg(feature = "candle")]
mod unfit_models;
mod worker_protocol;

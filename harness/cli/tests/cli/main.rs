//! The real binary, end to end, on the mock engine: what a person types, reads and finds on disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod against;
mod audit;
mod bad_input;
mod baselines;
mod bisect;
mod boundaries;
mod cargo_insta;
mod ci_formats;
mod compare;
mod doctor;
mod documentation;
mod env;
mod faults;
mod flat_memory;
mod folders;
mod foreign;
mod formats_page;
mod full_disk;
mod gate_script;
mod generate;
mod gpu_telemetry;
mod history;
mod hostile;
mod interruption;
mod jobs;
mod merge;
#[cfg(feature = "candle")]
mod model_sources;
mod named_runs;
mod namespace;
mod outcomes;
#[cfg(target_os = "linux")]
mod pages;
mod paths;
mod plan;
mod ranks;
mod reproduce;
mod resume;
mod retries;
mod review;
mod selection;
#[cfg(feature = "candle")]
mod sequences;
mod shards;
#[cfg(feature = "candle")]
mod shipped;
mod snapshots;
mod stream;
mod tables;
mod terminal;
mod texts;
#[cfg(feature = "candle")]
mod unfit_models;
mod worker_protocol;

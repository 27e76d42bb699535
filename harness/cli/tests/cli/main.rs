//! The real binary, end to end, on the mock engine: what a person types, reads and finds on disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod bad_input;
mod boundaries;
mod documentation;
mod env;
mod generate;
mod interruption;
mod outcomes;
mod plan;
#[cfg(feature = "candle")]
mod sequences;
#[cfg(feature = "candle")]
mod shipped;
mod snapshots;

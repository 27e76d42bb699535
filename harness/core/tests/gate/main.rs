//! The gate as a whole: attempts in, comparison out.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod counters;
mod no_verdicts;
mod power;
mod properties;
mod simulation;
mod timings;

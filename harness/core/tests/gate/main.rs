//! The gate as a whole: attempts in, comparison out.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at the first surprise"
)]

mod counters;
mod power;
mod simulation;
mod timings;

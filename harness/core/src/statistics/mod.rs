//! The statistics of the gate: small, exact, and the same on every machine.
//!
//! Samples here are small (six to a few dozen pairs), so nothing rests on a normal approximation or on random
//! resampling: the bootstrap distribution of a median and the null distribution of the signed-rank sum are both counted
//! out. There is no seed to record, no resampling error, and swapping the two sides gives the mirrored answer to the
//! last bit. What is made of these figures is decided in [`compare`](crate::compare). Only [`change_points`], which looks at
//! long histories and gates nothing, draws permutations, from a fixed seed; [`trend`](crate::trend) has its answers.

mod bootstrap;
mod change_point;
mod holm;
mod log_ratio;
mod outliers;
mod quantile;
mod signed_rank;

pub use bootstrap::{Interval, median_interval};
pub use change_point::{ChangePoint, ChangePointSpec, change_points, steps};
pub use holm::{fewest_pairs, holm};
pub use log_ratio::log_ratio;
pub use outliers::outliers;
pub use quantile::{median, quantile};
pub use signed_rank::signed_rank_greater;

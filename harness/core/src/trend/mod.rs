//! What has become of the figures and states of cases over many runs.
//!
//! A history hands over [`Facts`] (what a run was made with), one [`FigureHistory`] for each figure of a case on a machine,
//! and one [`StateHistory`] for each case on a machine; [`trend`] finds where they changed, says what else changed between
//! the two runs, and puts the worst first. Machines are never mixed: each has series of its own.

mod build;
mod machine;
mod record;
#[cfg(test)]
mod tests;

pub use build::{FigureHistory, StateHistory, TrendSpec, trend};
pub use machine::{Machine, machine};
pub use record::{
    Difference, Facts, Figure, FigurePoint, FigureSeries, Level, StateChange, StateChangeKind, StatePoint, StateSeries,
    TREND_VERSION, Trend, TrendChange, TrendMachine, TrendMethod, TrendRun,
};

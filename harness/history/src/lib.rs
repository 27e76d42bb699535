//! Results of many runs in one SQLite database, made from the run folders.
//!
//! The folders remain the truth: [`History::import`] takes what it has not seen yet, and [`History::rebuild`] makes
//! everything again from them. What is read out is a list of runs ([`History::runs`]) and what has become of figures and
//! states ([`History::trend`]); changes are found by `placebench-core`, and this crate decides nothing about them. It is a
//! crate of its own because SQLite is a minute of C to compile, which nobody who only runs scenarios should wait for.
//!
//! A database belongs to this program alone: its tables are an inner matter, and change from version to version. Whoever
//! wants the figures reads the view `results`, or the JSON that `placebench history trend --format json` prints.
//!
//! Read [`History`] first, then `import.rs`.

mod database;
mod error;
mod import;
mod list;
mod measure;
mod prune;
mod rebuild;
mod scan;
mod schema;
mod states;
mod trend;

pub use database::{History, Options};
pub use error::HistoryError;
pub use import::{Imported, Judge, VerdictSource};
pub use list::{ListedRun, RunFilter};
pub use measure::names_of_metrics;
pub use prune::{Keep, PruneRules, PruneTarget, Pruned};
pub use rebuild::Rebuilt;
pub use scan::runs_below;
pub use trend::TrendQuery;

//! What GitHub Actions shows of a run: annotations beside the lines they are about, and the summary of a step.
//!
//! [`command`] knows how the runner reads a line of the log and how many of them count; [`annotations`] and [`changes`] say
//! what is worth a line; [`summary`] is the page, within its limit.

pub mod annotations;
pub mod changes;
pub mod command;
pub mod summary;

pub use self::command::{Annotation, Level, Place};

/// From the name of a scenario's file, as it is on record, to its path in the repository; nothing where it is in none.
pub type Locate<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Names that a remark about several cases holds.
const NAMED: usize = 10;

/// The first names, a line each, and how many more there are.
fn named(names: &[String]) -> String {
    let mut lines: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if names.len() > NAMED {
        lines.push(format!("and {} more", names.len() - NAMED));
    }
    lines.join("\n")
}

//! One check.

use super::answer::{Answer, Stop};
use super::lab::Lab;

/// One thing the page requires, and how it is found out.
pub(crate) struct Check {
    /// Stays from version to version: scripts name it.
    pub(crate) name: &'static str,
    /// What is required, in a sentence.
    pub(crate) requires: &'static str,
    /// Where the page says so: the anchor of a section of `harness/workers/README.md`.
    pub(crate) section: &'static str,
    /// What to do where it fails.
    pub(crate) help: &'static str,
    /// Checks that must have passed for this one to mean something, beside those that all rest on.
    pub(crate) after: &'static [&'static str],
    /// Asks the engine.
    pub(crate) ask: fn(&mut Lab) -> Result<Answer, Stop>,
}

//! Baselines: what a run counted and timed, small enough to be kept beside the code and compared with for years.
//!
//! A [`Baseline`] is a file. It holds for each case what a [comparison](crate::compare) reads of its attempts, and nothing
//! else: [`BaselineCase::new`] boils attempts down to that, and [`BaselineCase::attempts`] makes attempts of it again, so
//! that a baseline is compared by the very rules by which two runs are. What was asked is there as a
//! [hash](asked::asked()) a part, so that a changed question is not taken for a changed answer.
//!
//! Figures belong to a machine: there is a file for each [key](key::machine_key). Counters alone may be kept for all machines
//! ([`ANY_MACHINE`]); what depends on the machine all the same is left out there ([`machine_counters`]).

pub mod asked;
mod case;
mod compact;
pub mod key;
mod restore;
mod source;
mod text;
mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use case::{BaselineCase, BaselineTokens, TimedAttempt, Unsaved, machine_counters, no_figures};
pub use compact::{Modules, Repeated, Stage};
pub use source::{CardSeen, Source, cards};
pub use update::{CaseUpdate, Update};

/// Version of baseline files.
///
/// 1: the first.
pub const BASELINE_VERSION: u32 = 1;

/// The key of a baseline of counters that holds on every machine.
pub const ANY_MACHINE: &str = "any";

/// A baseline file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// [`BASELINE_VERSION`] of the writer.
    pub schema_version: u32,
    /// The machine it holds on: the name of the file without its ending.
    pub key: String,
    /// Whether it holds timings.
    pub timings: bool,
    /// The runs its figures come from.
    pub sources: Vec<Source>,
    /// The cases by name.
    pub cases: BTreeMap<String, BaselineCase>,
}

/// Why a file is no baseline. Messages may quote the file: escape them where shown.
#[derive(Debug, Error)]
pub enum BaselineError {
    /// It is no JSON, or not that of a baseline.
    #[error("it is no baseline: {0}")]
    Json(#[from] serde_json::Error),
    /// It was written by another version.
    #[error("its format is version {found}, and this program reads version {BASELINE_VERSION}")]
    Version {
        /// Its version.
        found: u64,
    },
    /// Something in it cannot be.
    #[error("{case}: {why}")]
    Case {
        /// The case.
        case: String,
        /// What is wrong with it.
        why: String,
    },
    /// It was named after another machine.
    #[error("it says to be of `{inside}`, but its name says `{name}`")]
    OtherKey {
        /// The key inside.
        inside: String,
        /// The key by its name.
        name: String,
    },
}

impl Baseline {
    /// An empty one.
    #[must_use]
    pub fn new(key: &str, timings: bool) -> Self {
        Self {
            schema_version: BASELINE_VERSION,
            key: key.to_owned(),
            timings,
            sources: Vec::new(),
            cases: BTreeMap::new(),
        }
    }

    /// Reads a file that is named after `key`.
    ///
    /// # Errors
    /// When it is no baseline, of another version, not of this key, or holds what cannot be.
    pub fn read(text: &str, key: &str) -> Result<Self, BaselineError> {
        #[derive(Deserialize)]
        struct Head {
            schema_version: u64,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.schema_version != u64::from(BASELINE_VERSION) {
            return Err(BaselineError::Version {
                found: head.schema_version,
            });
        }
        let baseline: Self = serde_json::from_str(text)?;
        if baseline.key != key {
            return Err(BaselineError::OtherKey {
                inside: baseline.key,
                name: key.to_owned(),
            });
        }
        for (name, case) in &baseline.cases {
            let told = case.check().and_then(|()| match baseline.sources.get(case.source) {
                Some(_) => Ok(()),
                None => Err(format!("source {} is not among the sources", case.source)),
            });
            told.map_err(|why| BaselineError::Case {
                case: name.clone(),
                why,
            })?;
        }
        Ok(baseline)
    }

    /// The file: the same bytes for the same baseline, a few lines a case.
    #[must_use]
    pub fn text(&self) -> String {
        text::write(self)
    }

    /// Where the figures of a case come from. An empty source where the file was put together wrongly, which
    /// [`read`](Self::read) refuses.
    #[must_use]
    pub fn source_of(&self, case: &BaselineCase) -> Source {
        self.sources.get(case.source).cloned().unwrap_or_default()
    }

    /// The newest run that any of its figures come from.
    #[must_use]
    pub fn newest(&self) -> Option<&Source> {
        self.sources.iter().max_by(|a, b| a.started_at.cmp(&b.started_at))
    }
}

#[cfg(test)]
mod tests;

//! Which attempts of a run are made already, and which are not made any more.

use std::collections::{BTreeSet, HashMap};

use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, CaseSpec};

use crate::store::is_interrupted;

/// What needs not be done any more.
pub(crate) struct Progress<'a> {
    pub(crate) made: BTreeSet<(&'a str, u32)>,
    /// Cases and retries of which no further attempt is made.
    over: BTreeSet<(&'a str, u32)>,
}

impl<'a> Progress<'a> {
    pub(crate) fn of(cases: &'a [CaseSpec], attempts: &'a [Attempt]) -> Self {
        let made = attempts.iter().filter(|attempt| !is_interrupted(attempt));
        let cases: HashMap<&str, &CaseSpec> = cases.iter().map(|case| (case.case.as_str(), case)).collect();
        let retry = |attempt: &Attempt| {
            cases
                .get(attempt.case.as_str())
                .map_or(0, |case| case.retry_of(attempt.attempt))
        };
        Self {
            made: made
                .clone()
                .map(|attempt| (attempt.case.as_str(), attempt.attempt))
                .collect(),
            over: made
                .filter(|attempt| attempt.outcome != Outcome::Completed)
                .map(|attempt| (attempt.case.as_str(), retry(attempt)))
                .collect(),
        }
    }

    /// How many attempts of a try were made by an earlier process.
    pub(crate) fn made_of(&self, case: &CaseSpec, retry: u32) -> u32 {
        let (name, each) = (case.case.as_str(), case.attempts_per_try());
        let (from, to) = (retry.saturating_mul(each), retry.saturating_add(1).saturating_mul(each));
        u32::try_from(self.made.range((name, from)..(name, to)).count()).unwrap_or(u32::MAX)
    }

    /// No further attempt of this try is made.
    pub(crate) fn end(&mut self, case: &'a CaseSpec, attempt: u32) {
        self.over.insert((&case.case, case.retry_of(attempt)));
    }

    pub(crate) fn is_made(&self, case: &CaseSpec, attempt: u32) -> bool {
        let name = case.case.as_str();
        self.over.contains(&(name, case.retry_of(attempt))) || self.made.contains(&(name, attempt))
    }
}

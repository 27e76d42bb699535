//! A run in which the attempts and the verdict of a case are found at once, for whoever asks for those of every case.

use std::collections::HashMap;
use std::ops::Deref;

use super::{Attempt, CaseSpec, CaseVerdict, RunRecord};

/// A record with an index of its cases. The methods are those of [`RunRecord`], which searches through everything each time.
#[derive(Debug)]
pub struct IndexedRun<'r> {
    record: &'r RunRecord,
    attempts: HashMap<&'r str, Vec<&'r Attempt>>,
    verdicts: HashMap<&'r str, &'r CaseVerdict>,
}

impl<'r> IndexedRun<'r> {
    /// Looks through the record once.
    #[must_use]
    pub fn new(record: &'r RunRecord) -> Self {
        let mut attempts: HashMap<&str, Vec<&Attempt>> = HashMap::new();
        for attempt in &record.attempts {
            attempts.entry(&attempt.case).or_default().push(attempt);
        }
        let mut verdicts = HashMap::new();
        for verdict in &record.verdict.cases {
            verdicts.entry(verdict.case.as_str()).or_insert(verdict);
        }
        Self {
            record,
            attempts,
            verdicts,
        }
    }

    /// The attempts of a case, in order.
    pub fn attempts_of(&self, case: &str) -> impl Iterator<Item = &'r Attempt> + use<'r, '_> {
        self.attempts.get(case).into_iter().flatten().copied()
    }

    /// The attempts of the try that decided on a case, in order.
    pub fn deciding_attempts<'a>(&'a self, case: &'a CaseSpec) -> impl Iterator<Item = &'r Attempt> + use<'r, 'a> {
        let decided = self.verdict_of(&case.case).map(|verdict| verdict.decided_by_retry);
        self.attempts_of(&case.case)
            .filter(move |attempt| decided.is_none_or(|retry| case.retry_of(attempt.attempt) == retry))
    }

    /// The verdict on a case.
    #[must_use]
    pub fn verdict_of(&self, case: &str) -> Option<&'r CaseVerdict> {
        self.verdicts.get(case).copied()
    }
}

impl Deref for IndexedRun<'_> {
    type Target = RunRecord;

    fn deref(&self) -> &RunRecord {
        self.record
    }
}

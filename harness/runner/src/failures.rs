//! What a run does about failed cases: tries them again, and stops when there are too many.
//!
//! The runner judges nothing: whether a case failed is asked of whoever started the run. Retries wait until all placements of
//! the prompt have had their turn, because a text can only be judged beside the one it must agree with.

use std::collections::BTreeSet;

use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, CaseSpec, CaseStatus};

use crate::schedule::Group;
use crate::store::is_interrupted;

/// What is done about failures.
#[derive(Clone, Copy)]
pub struct FailurePolicy<'a> {
    /// How often a failed case is tried again. Cases that cannot be set up, or wait for review, are not.
    pub retries: u32,
    /// The run stops when so many cases have failed or could not be set up, those that may still be retried not counted.
    pub max_fail: Option<u32>,
    /// How a case stands, judged by these attempts: all that are known of its scenario.
    pub status: &'a dyn Fn(&CaseSpec, &[Attempt]) -> CaseStatus,
}

impl FailurePolicy<'static> {
    /// Nothing is tried again, and no failure ends the run.
    pub const NONE: Self = Self {
        retries: 0,
        max_fail: None,
        status: &|_, _| CaseStatus::Passed,
    };
}

/// The last try of a case.
pub(crate) struct LastTry {
    /// 0 for the first.
    retry: u32,
    /// All its attempts are made (or as many as it takes to look at its times), or one of them did not complete.
    pub(crate) is_over: bool,
    /// What was skipped once will be skipped again.
    was_skipped: bool,
}

impl LastTry {
    /// None where nothing was made; interrupted attempts do not count.
    pub(crate) fn of<'a>(case: &CaseSpec, attempts: impl Iterator<Item = &'a Attempt>) -> Option<Self> {
        let own: Vec<&Attempt> = attempts
            .filter(|attempt| attempt.case == case.case && !is_interrupted(attempt))
            .collect();
        let own = || own.iter().copied();
        let retry = own().map(|attempt| case.retry_of(attempt.attempt)).max()?;
        let of_try = || own().filter(|attempt| case.retry_of(attempt.attempt) == retry);
        let is_whole = case.is_whole(u32::try_from(of_try().count()).unwrap_or(u32::MAX));
        Some(Self {
            retry,
            is_over: is_whole || of_try().any(|attempt| attempt.outcome != Outcome::Completed),
            was_skipped: of_try().any(|attempt| matches!(attempt.outcome, Outcome::Skipped { .. })),
        })
    }
}

/// Failures so far.
pub(crate) struct Failures<'a> {
    policy: FailurePolicy<'a>,
    cases: &'a [CaseSpec],
    /// Attempts of the scenarios that are under way; none where nobody needs them.
    attempts: Vec<Attempt>,
    previous: &'a [Attempt],
    scenarios: BTreeSet<&'a str>,
    /// Cases with attempts of this invocation that are not reported as finished yet.
    open: BTreeSet<&'a str>,
    failed: BTreeSet<&'a str>,
}

impl<'a> Failures<'a> {
    pub(crate) fn new(policy: FailurePolicy<'a>, cases: &'a [CaseSpec], previous: &'a [Attempt]) -> Self {
        Self {
            policy,
            cases,
            attempts: Vec::new(),
            previous,
            scenarios: BTreeSet::new(),
            open: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    fn is_idle(&self) -> bool {
        self.policy.retries == 0 && self.policy.max_fail.is_none()
    }

    /// A group begins. What is known of other scenarios is forgotten, so that a long run needs no more memory than a short one.
    pub(crate) fn enter(&mut self, first: &'a CaseSpec) {
        if !self.scenarios.contains(first.scenario.as_str()) {
            self.attempts.clear();
            self.scenarios.clear();
            self.enter_beside(first);
        }
    }

    /// A group begins beside others, whose scenarios are still under way.
    pub(crate) fn enter_beside(&mut self, first: &'a CaseSpec) {
        if self.is_idle() || !self.scenarios.insert(&first.scenario) {
            return;
        }
        let own = self.cases_of(&first.scenario);
        // Groups of a scenario need not follow each other; what this invocation learned of it before is then lost to the
        // judgement of sequences of several prompts, which says so.
        let known = self
            .previous
            .iter()
            .filter(|attempt| own.contains(attempt.case.as_str()));
        // An interrupted attempt is made again.
        let known = known.filter(|attempt| !is_interrupted(attempt)).cloned();
        self.attempts.extend(known);
    }

    /// No group of this scenario is under way any more.
    pub(crate) fn leave(&mut self, scenario: &str) {
        if self.scenarios.remove(scenario) {
            let own = self.cases_of(scenario);
            self.attempts.retain(|attempt| !own.contains(attempt.case.as_str()));
        }
    }

    fn cases_of(&self, scenario: &str) -> BTreeSet<&'a str> {
        let cases = self.cases.iter().filter(|case| case.scenario == scenario);
        cases.map(|case| case.case.as_str()).collect()
    }

    /// An attempt is on record.
    pub(crate) fn take(&mut self, case: &'a CaseSpec, attempt: &Attempt) {
        self.open.insert(&case.case);
        if !self.is_idle() {
            self.attempts.push(attempt.clone());
        }
    }

    /// A try of a case is over. Without retries nothing more will come of it, and one that ended badly has failed whatever
    /// its siblings say.
    pub(crate) fn decides_at_once(&mut self, case: &'a CaseSpec, last: &Attempt) -> bool {
        if self.policy.retries > 0 {
            return false;
        }
        if self.policy.max_fail.is_some() && last.outcome.kind() != case.expect.outcome {
            self.count(case);
        }
        self.open.remove(case.case.as_str())
    }

    /// The cases of a group that failed and may be tried again, each with the number of the retry.
    pub(crate) fn to_be_retried(&self, group: &Group) -> Vec<(usize, u32)> {
        if self.policy.retries == 0 {
            return Vec::new();
        }
        let retry_of = |&index: &usize| -> Option<(usize, u32)> {
            let case = &self.cases[index];
            let last = LastTry::of(case, self.attempts.iter())?;
            if !last.is_over {
                // A run that was killed in the middle of a try goes on with it.
                return Some((index, last.retry));
            }
            let may = last.retry < self.policy.retries && !last.was_skipped;
            (may && (self.policy.status)(case, &self.attempts) == CaseStatus::Failed).then_some((index, last.retry + 1))
        };
        group.cases.iter().filter_map(retry_of).collect()
    }

    /// All tries of a case are made: counts it if it failed. True where it has not been reported as finished.
    pub(crate) fn close(&mut self, index: usize) -> bool {
        let case = &self.cases[index];
        let was_open = self.open.remove(case.case.as_str());
        if self.policy.max_fail.is_some() {
            self.count(case);
        }
        was_open
    }

    fn count(&mut self, case: &'a CaseSpec) {
        let own = |attempts: &[Attempt]| {
            let own = attempts
                .iter()
                .filter(|attempt| attempt.case == case.case && !is_interrupted(attempt));
            own.count()
        };
        // A run that is resumed goes on: what failed before it does not count again.
        let has_new = own(&self.attempts) > own(self.previous);
        if has_new
            && matches!(
                (self.policy.status)(case, &self.attempts),
                CaseStatus::Failed | CaseStatus::Setup
            )
        {
            self.failed.insert(&case.case);
        }
    }

    /// Whether the run has to stop.
    pub(crate) fn are_too_many(&self) -> bool {
        let count = u32::try_from(self.failed.len()).unwrap_or(u32::MAX);
        self.policy.max_fail.is_some_and(|most| count >= most)
    }
}

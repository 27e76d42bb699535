//! Which of the attempts of a case is spoken of.

use placebench_core::record::{Attempt, CaseSpec, CaseVerdict, IndexedRun};

/// The attempt a verdict speaks of: the first with its outcome, preferring the one with its very sentence.
#[must_use]
pub fn deciding_attempt<'a>(
    record: &'a IndexedRun<'a>,
    spec: &'a CaseSpec,
    verdict: Option<&CaseVerdict>,
) -> Option<&'a Attempt> {
    let Some(verdict) = verdict else {
        return record.deciding_attempts(spec).last();
    };
    record
        .deciding_attempts(spec)
        .find(|attempt| attempt.outcome.kind() == verdict.outcome && attempt.outcome.sentence() == verdict.sentence)
        .or_else(|| {
            record
                .deciding_attempts(spec)
                .find(|attempt| attempt.outcome.kind() == verdict.outcome)
        })
        .or_else(|| record.deciding_attempts(spec).last())
}

/// The attempt whose placement is shown: a case can end before it has loaded while an earlier attempt got further.
pub(super) fn placed_attempt<'a>(
    record: &'a IndexedRun<'a>,
    spec: &'a CaseSpec,
    deciding: Option<&'a Attempt>,
) -> Option<&'a Attempt> {
    let got_further = || {
        record
            .deciding_attempts(spec)
            .find(|attempt| attempt.realised.is_some())
    };
    deciding
        .filter(|attempt| attempt.realised.is_some() || attempt.planned.is_some())
        .or_else(got_further)
        .or(deciding)
}

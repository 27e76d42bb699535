//! The judgement on sequences that were generated together with a case's own.
//!
//! Each has a prompt that is also a case of its own, so the text of that case is what it is held to.

use super::text::{TextComparison, compare, first_generation, garbage};
use crate::protocol::{Generation, Prompt};
use crate::record::{AgreementRule, Attempt, CaseSpec, Finding, TextVerdict};

/// What the reference placement generated from each prompt of a scenario: the generations of its cases, and their companions.
pub(super) fn references<'a>(cases: impl Iterator<Item = &'a [&'a Attempt]>) -> Vec<&'a Generation> {
    cases
        .filter_map(|attempts| first_generation(attempts))
        .flat_map(|generation| std::iter::once(generation).chain(&generation.companions))
        .collect()
}

/// The worst that can be said of the companions of a case, with a finding for each that is wrong.
pub(super) fn judge(
    case: &CaseSpec,
    attempts: &[&Attempt],
    references: &[&Generation],
) -> Vec<(TextVerdict, Option<Finding>)> {
    let mut judged = Vec::new();
    let all = attempts.iter().flat_map(|attempt| &attempt.generations);
    for generation in all {
        let inputs = generation.companions.iter().zip(&case.companion_inputs);
        for (number, (companion, input)) in inputs.enumerate() {
            let has_tokenizer = !matches!(input, Prompt::InputIds(_));
            if let Some(why) = garbage(companion, has_tokenizer) {
                let message = format!("the text of sequence {} is garbage: {why}", number + 1);
                let hint = "compare with a placement that generates one sequence at a time";
                judged.push((TextVerdict::Garbage, Some(finding("garbage", message, hint))));
            }
        }
    }
    if let Some(ours) = first_generation(attempts) {
        let companions = ours.companions.iter().enumerate();
        judged.extend(companions.filter_map(|(number, companion)| agreement(case, number + 1, companion, references)));
    }
    judged
}

fn agreement(
    case: &CaseSpec,
    number: usize,
    companion: &Generation,
    references: &[&Generation],
) -> Option<(TextVerdict, Option<Finding>)> {
    let agreement = case.expect.agreement.as_ref()?;
    if agreement.reference == case.placement {
        return None;
    }
    let name = &agreement.reference;
    let Some(theirs) = references.iter().find(|theirs| theirs.input_ids == companion.input_ids) else {
        let message =
            format!("nothing for sequence {number} to agree with: placement `{name}` has no text of its prompt");
        let hint = "run the cases of all prompts together with this one";
        return Some((TextVerdict::Unchecked, Some(finding("agreement", message, hint))));
    };
    let comparison = compare(companion, &theirs.output_ids, Some(&theirs.top5), agreement.max_gap);
    let agrees = match (&comparison, agreement.rule) {
        (TextComparison::Exact, _) | (TextComparison::NearTie { .. }, AgreementRule::NearTie) => true,
        (TextComparison::NearTie { .. }, AgreementRule::Exact) | (TextComparison::Diverged { .. }, _) => false,
    };
    let found = (!agrees).then(|| {
        let words = comparison.words(&format!("placement `{name}`"));
        let hint = "sequences that are generated together must not see each other: look at their caches and masks";
        finding("agreement", format!("the text of sequence {number} {words}"), hint)
    });
    Some((comparison.verdict(), found))
}

fn finding(check: &str, message: String, hint: &str) -> Finding {
    Finding {
        check: check.into(),
        message,
        hint: Some(hint.into()),
    }
}

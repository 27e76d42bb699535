//! The judgement on sequences that were generated together with a case's own.
//!
//! Each has a prompt that is also a case of its own, so the text of that case is what it is held to.

use super::compare::{Side, compare};
use super::text::{JudgedText, first_generation, garbage_of, numbered};
use crate::protocol::{Generation, Prompt};
use crate::record::{Attempt, CaseSpec, ComparedWith, Divergence, TextVerdict};

/// What was generated from a prompt. The prompt tells which one it is, for not every engine is told its tokens.
pub(super) type Known<'a> = (&'a Prompt, &'a Generation);

/// What the reference placement generated from each prompt of a scenario: the generations of its cases, and their companions.
pub(super) fn references<'a>(cases: impl Iterator<Item = (&'a CaseSpec, Vec<&'a Attempt>)>) -> Vec<Known<'a>> {
    let known = |(case, attempts): (&'a CaseSpec, Vec<&'a Attempt>)| {
        let generation = first_generation(&attempts)?;
        let inputs = std::iter::once(&case.input).chain(&case.companion_inputs);
        Some(inputs.zip(std::iter::once(generation).chain(&generation.companions)))
    };
    cases.filter_map(known).flatten().collect()
}

/// What is said of the companions of a case, with a finding for each that is wrong.
pub(super) fn judge(case: &CaseSpec, attempts: &[&Attempt], references: &[Known<'_>], judged: &mut JudgedText) {
    let agreement = case.expect.agreement.as_ref();
    let is_compared = agreement.is_some_and(|agreement| agreement.reference != case.placement);
    let reference_of = |input: &Prompt| {
        let found = references.iter().find(|(theirs, _)| *theirs == input);
        found.map(|(_, theirs)| *theirs).filter(|_| is_compared)
    };
    let all = attempts.iter().flat_map(|attempt| &attempt.generations);
    for generation in all {
        let inputs = generation.companions.iter().zip(&case.companion_inputs);
        for (number, (companion, input)) in inputs.enumerate() {
            let others: Vec<Side<'_>> = reference_of(input).map(Side::of).into_iter().collect();
            if let Some(why) = garbage_of(case, companion, input, &others) {
                judged.worsen(TextVerdict::Garbage);
                judged.find(
                    "garbage",
                    format!("the text of sequence {} is garbage: {why}", number + 1),
                    "compare with a placement that generates one sequence at a time",
                );
            }
        }
    }
    let Some(ours) = first_generation(attempts).filter(|_| is_compared) else {
        return;
    };
    for (number, (companion, input)) in ours.companions.iter().zip(&case.companion_inputs).enumerate() {
        agree(case, number + 1, companion, reference_of(input), judged);
    }
}

fn agree(case: &CaseSpec, number: usize, companion: &Generation, theirs: Option<&Generation>, judged: &mut JudgedText) {
    let Some(agreement) = &case.expect.agreement else {
        return;
    };
    let name = &agreement.reference;
    let Some(theirs) = theirs else {
        judged.find(
            "agreement",
            format!("nothing for sequence {number} to agree with: placement `{name}` has no text of its prompt"),
            "run the cases of all prompts together with this one",
        );
        return;
    };
    let with = ComparedWith::Reference {
        placement: name.clone(),
    };
    let (ours, theirs) = (Side::of(companion), Side::of(theirs));
    let comparison = compare(&ours, &theirs, agreement.max_gap);
    judged.worsen(comparison.verdict());
    judged.note_text_alone(&comparison, &with);
    if !comparison.agrees(agreement.rule) {
        judged.find(
            "agreement",
            format!("the text of sequence {number} {}", comparison.words(&with.to_string())),
            "sequences that are generated together must not see each other: look at their caches and masks",
        );
    }
    let divergence = comparison.divergence(&ours, &theirs, with);
    judged.divergences.extend(divergence.map(|divergence| Divergence {
        sequence: numbered(number),
        ..divergence
    }));
}

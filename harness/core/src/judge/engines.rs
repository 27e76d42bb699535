//! The same text from every engine.
//!
//! Placements of one engine are held together by `agreement`; this holds the engines together. What one engine cannot do is told
//! once, by its own cases: another engine whose text has nothing to be compared with is not to blame for it.

use super::compare::{Side, compare, likeliest};
use super::text::{JudgedText, first_generation};
use crate::outcome::Outcome;
use crate::protocol::{FinishReason, Generation};
use crate::record::{Attempt, CaseSpec, ComparedWith, Divergence, EnginesSpec, RunInfo};

/// The name of the check.
pub(super) const CHECK: &str = "engines";

/// The case of another engine that this one's text is held to.
pub(super) fn reference_of<'a>(info: &'a RunInfo, case: &CaseSpec) -> Option<&'a CaseSpec> {
    let spec = case.expect.engines.as_ref()?;
    info.cases
        .iter()
        .find(|other| is_reference(other, case, spec) && other.prompt == case.prompt)
}

fn is_reference(other: &CaseSpec, case: &CaseSpec, spec: &EnginesSpec) -> bool {
    other.scenario == case.scenario && other.placement == spec.reference
}

/// Compares the text of a case with that of the engine that sets the measure, and those of its companions with what that engine
/// generated together with it.
pub(super) fn judge(case: &CaseSpec, ours: &Generation, reference: Option<&[&Attempt]>, judged: &mut JudgedText) {
    let Some(spec) = &case.expect.engines else {
        return;
    };
    let Some(theirs) = reference.and_then(first_generation) else {
        let why = missing(spec, reference.unwrap_or_default());
        judged.notes.push(format!("{CHECK}: nothing to agree with: {why}"));
        return;
    };
    judged.is_compared_with_engine = true;
    pair(spec, 0, ours, theirs, judged);
    let companions = ours.companions.iter().zip(&theirs.companions);
    for (number, (ours, theirs)) in companions.enumerate() {
        pair(spec, number + 1, ours, theirs, judged);
    }
}

fn pair(spec: &EnginesSpec, sequence: usize, ours: &Generation, theirs: &Generation, judged: &mut JudgedText) {
    let with = ComparedWith::Engine {
        engine: spec.engine.clone(),
        placement: spec.reference.clone(),
    };
    let (left, right) = sides(ours, theirs);
    let comparison = compare(&left, &right, spec.max_gap);
    judged.worsen(comparison.verdict());
    judged.note_text_alone(&comparison, &with);
    if !comparison.agrees(spec.rule) {
        let whose = match sequence {
            0 => "the text".to_owned(),
            number => format!("the text of sequence {number}"),
        };
        judged.find(
            CHECK,
            format!("{whose} {}", comparison.words(&with.to_string())),
            "the same model and prompt under another engine gave another text: if both engines are right about the weights, \
             the prompt's tokens and the element type, one of the libraries computes wrongly; the likeliest tokens of both \
             sides at that place are on record",
        );
    }
    let divergence = comparison.divergence(&left, &right, with);
    judged.divergences.extend(divergence.map(|mut divergence| {
        // By text alone nobody can say which step it was.
        if !comparison.is_by_text() {
            let index = divergence.index as usize;
            divergence.ours.top5 = likeliest(&left, &right, index);
            divergence.theirs.top5 = likeliest(&right, &left, index);
        }
        Divergence {
            sequence: super::text::numbered(sequence),
            ..divergence
        }
    }));
}

/// Both sides. Some engines do not tell the end token that ended a text: where both were ended by one, and one side alone has
/// it, it is left out.
fn sides<'a>(ours: &'a Generation, theirs: &'a Generation) -> (Side<'a>, Side<'a>) {
    let (mut left, mut right) = (Side::of(ours), Side::of(theirs));
    let both_ended = [ours, theirs]
        .iter()
        .all(|made| made.finish_reason == FinishReason::Eos);
    if both_ended && left.has_ids && right.has_ids && ours.text == theirs.text {
        without_end(&mut left, right.ids.len());
        without_end(&mut right, left.ids.len());
    }
    (left, right)
}

fn without_end(side: &mut Side<'_>, others: usize) {
    if let [kept @ .., _] = side.ids
        && kept.len() == others
    {
        side.ids = kept;
    }
}

/// Why the engine that sets the measure has no text, in words that follow a colon.
fn missing(spec: &EnginesSpec, attempts: &[&Attempt]) -> String {
    let EnginesSpec { engine, reference, .. } = spec;
    let of = format!("engine `{engine}` (placement `{reference}`)");
    match attempts.iter().map(|attempt| &attempt.outcome).next_back() {
        None => format!("{of} was not run"),
        Some(Outcome::Skipped { .. }) => format!("{of} was skipped, so that the engines were not compared"),
        Some(Outcome::Completed) => format!("{of} generated nothing"),
        Some(outcome) => format!("{of} did not complete ({})", outcome.sentence()),
    }
}

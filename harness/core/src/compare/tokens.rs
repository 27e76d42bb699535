//! The hard gate on token ids.

use super::counters::{self, Counter, CounterChange, CounterRow};
use super::reason::{NoVerdictReason, SideName};
use super::spec::GateSpec;
use crate::judge::compare;
use crate::protocol::Generation;
use crate::record::Attempt;

/// The row of the tokens. Every generation of both sides is looked at, so that a race shows that strikes one of them.
pub(super) fn row(base: &[&Attempt], new: &[&Attempt], spec: &GateSpec) -> CounterRow {
    let row = counters::row(Counter::TokenIds, "");
    let missing = |side| NoVerdictReason::Missing { side };
    let first = |attempts: &[&Attempt]| attempts.iter().find_map(|attempt| attempt.generations.first()).cloned();
    let Some(ours) = first(base) else {
        return row.without_verdict(missing(SideName::Base));
    };
    if first(new).is_none() {
        return row.without_verdict(missing(SideName::New));
    }
    for (side, attempts) in [(SideName::Base, base), (SideName::New, new)] {
        for (number, generation) in attempts.iter().flat_map(|attempt| &attempt.generations).enumerate() {
            let Some(detail) = tokens_differ(generation, &ours, spec) else {
                continue;
            };
            return match side {
                SideName::Base => row.without_verdict(NoVerdictReason::Varies { side, detail }),
                SideName::New => row.judged(CounterChange::Differs, Some(format!("generation {number} {detail}"))),
            };
        }
    }
    let tokens = |generation: &Generation| u64::try_from(generation.output_count()).ok();
    CounterRow {
        base: tokens(&ours),
        new: first(new).as_ref().and_then(tokens),
        ..row.judged(CounterChange::Same, None)
    }
}

/// Where a generation or one of its companions parts from the base's by more than the tolerance.
fn tokens_differ(new: &Generation, base: &Generation, spec: &GateSpec) -> Option<String> {
    // Of an engine that is not told the prompt's tokens their number is known, if it counts them.
    let is_told = !new.input_ids.is_empty() && !base.input_ids.is_empty();
    let is_other = match is_told {
        true => new.input_ids != base.input_ids,
        false => (new.input_count().zip(base.input_count())).is_some_and(|(new, base)| new != base),
    };
    if is_other {
        return Some("was given another prompt".to_owned());
    }
    if new.companions.len() != base.companions.len() {
        return Some("was generated with another number of sequences".to_owned());
    }
    let sequences = |generation: &Generation| -> Vec<Generation> {
        std::iter::once(generation)
            .chain(&generation.companions)
            .cloned()
            .collect()
    };
    let pairs = sequences(new).into_iter().zip(sequences(base));
    pairs.into_iter().find_map(|(new, base)| {
        let comparison = compare::compare(&compare::Side::of(&new), &compare::Side::of(&base), spec.tokens.max_gap);
        (!comparison.agrees(spec.tokens.rule)).then(|| comparison.words("the base"))
    })
}

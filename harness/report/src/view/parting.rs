//! Two texts at the token at which they part: what each side says there, what it thought of the other's token, and by which
//! rule that is a near tie or none.

use placebench_core::outcome::Outcome;
use placebench_core::protocol::{Generation, TokenLogit};
use placebench_core::record::{
    CaseSpec, CaseVerdict, ComparedBy, ComparedWith, Divergence, DivergentText, IndexedRun, TextPlacing, TextVerdict,
};
use placebench_core::scenario::resolve::DEFAULT_MAX_GAP;
use serde::Serialize;

use super::divergence::QuoteView;
use super::text::{generations, sibling};
use super::tokens::Tokens;
use super::words::{Lines, line, visible};

/// A place where texts part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartingView {
    /// What parts from what, and where: `parts from placement single at token 3`.
    pub title: String,
    /// This case, then what it was compared with.
    pub sides: [SideView; 2],
    /// Whether that is a near tie, by which rule, and what follows from it.
    pub rule: String,
    /// It counts as equal.
    pub is_equal: bool,
    /// How the texts were laid side by side, where that is only nearly so.
    pub placing: String,
    /// The likeliest tokens of the step, by rank; empty where no logits are on record.
    pub ranks: Vec<RankView>,
}

/// One of the two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideView {
    /// Whose text it is.
    pub name: String,
    /// What it says.
    pub quote: QuoteView,
    /// The number of its token; empty where the text had ended.
    pub id: String,
    /// What it thought of the other's token.
    pub other: String,
}

/// A rank among the likeliest tokens of a step, on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RankView {
    /// From 1.
    pub rank: usize,
    /// The token there on each side; absent where a side has no such rank.
    pub sides: [Option<RankedToken>; 2],
}

/// A token among the likeliest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RankedToken {
    /// Its text; empty where that is not known.
    pub text: String,
    /// Its number.
    pub id: u32,
    /// How far its logit is behind the best: `0`, `4.25`.
    pub behind: String,
    /// It is one of the two tokens at which the texts part.
    pub is_pick: bool,
}

/// All places where a case's texts part from others.
pub(super) fn all(record: &IndexedRun<'_>, spec: &CaseSpec, verdict: &CaseVerdict) -> Vec<PartingView> {
    let one = |divergence: &Divergence| view(record, spec, verdict, divergence);
    verdict.divergences.iter().map(one).collect()
}

fn view(record: &IndexedRun<'_>, spec: &CaseSpec, verdict: &CaseVerdict, divergence: &Divergence) -> PartingView {
    let index = divergence.index as usize;
    let ours = own_sequence(record, spec, divergence);
    let theirs = other_sequence(record, spec, divergence);
    let steps = match divergence.by {
        ComparedBy::Tokens => [ours, theirs].map(|made| likeliest(made, index)),
        // The place is that of a text: no step of the other side is known.
        ComparedBy::Text | ComparedBy::Characters => [&[][..]; 2],
    };
    let texts = [&divergence.ours, &divergence.theirs];
    let names = names(divergence);
    let gap_words = |side: usize| other_words(divergence.by, steps[side], texts[side], texts[1 - side]);
    let side = |side: usize| SideView {
        name: names[side].clone(),
        quote: QuoteView::of(texts[side]),
        id: texts[side].id.map(|id| format!("id {id}")).unwrap_or_default(),
        other: gap_words(side),
    };
    let (rule, is_equal) = rule(spec, verdict, divergence, steps);
    PartingView {
        title: title(divergence),
        sides: [side(0), side(1)],
        rule,
        is_equal,
        placing: match divergence.placed_by {
            TextPlacing::Offsets => String::new(),
            // The character is what was asked for.
            TextPlacing::Characters if divergence.by == ComparedBy::Characters => String::new(),
            TextPlacing::Characters => {
                "Laid side by side at the first character that differs, which may belong to a later \
                                        token: the boundaries of the tokens are not on record."
                    .into()
            }
        },
        ranks: ranks(steps, texts, [ours, theirs]),
    }
}

fn title(divergence: &Divergence) -> String {
    let whose = match (divergence.generation, divergence.sequence) {
        (0, 0) => "The text".to_owned(),
        (generation, 0) => format!("The text of generation {generation}"),
        (0, sequence) => format!("The text of sequence {sequence}"),
        (generation, sequence) => format!("The text of sequence {sequence} of generation {generation}"),
    };
    let with = line(&divergence.with.to_string().replace('`', ""));
    let at = match (divergence.ours.id, divergence.theirs.id) {
        (None, Some(_)) => format!("ends where {with} goes on"),
        (Some(_), None) => format!("goes on where {with} ends"),
        _ => format!("parts from {with}"),
    };
    let (unit, by) = match divergence.by {
        ComparedBy::Tokens => ("token", ""),
        ComparedBy::Text | ComparedBy::Characters => (divergence.by.unit(), ", by text alone"),
    };
    format!("{whose} {at}, at {unit} {} (counted from 0{by})", divergence.index)
}

fn names(divergence: &Divergence) -> [String; 2] {
    let other = match &divergence.with {
        ComparedWith::Snapshot { .. } => "snapshot".to_owned(),
        ComparedWith::Reference { placement } => line(placement),
        ComparedWith::FirstGeneration => "first generation".to_owned(),
        ComparedWith::Engine { engine, .. } => line(engine),
    };
    let own = match divergence.with {
        ComparedWith::FirstGeneration => format!("generation {}", divergence.generation),
        ComparedWith::Snapshot { .. } | ComparedWith::Reference { .. } | ComparedWith::Engine { .. } => {
            "this case".to_owned()
        }
    };
    [own, other]
}

/// The sequence of this case that is spoken of.
fn own_sequence<'a>(record: &'a IndexedRun<'a>, spec: &'a CaseSpec, divergence: &Divergence) -> Option<&'a Generation> {
    let generation = match divergence.generation {
        0 => first_completed(record, spec),
        number => generations(record, spec).nth(number as usize),
    };
    sequence_of(generation?, divergence.sequence)
}

/// The sequence it was compared with, where the record has it: of a snapshot only the words around the token are on record.
fn other_sequence<'a>(
    record: &'a IndexedRun<'a>,
    spec: &'a CaseSpec,
    divergence: &Divergence,
) -> Option<&'a Generation> {
    match &divergence.with {
        ComparedWith::Snapshot { .. } => None,
        // What a companion is compared with is another prompt of the reference.
        ComparedWith::Reference { .. } if divergence.sequence > 0 => None,
        ComparedWith::Reference { placement } => first_completed(record, sibling(record, spec, placement)?),
        // Companions of both engines have the same prompts.
        ComparedWith::Engine { placement, .. } => sequence_of(
            first_completed(record, sibling(record, spec, placement)?)?,
            divergence.sequence,
        ),
        ComparedWith::FirstGeneration => sequence_of(first_completed(record, spec)?, divergence.sequence),
    }
}

/// What texts are judged by: the first generation of an attempt that completed.
fn first_completed<'a>(record: &'a IndexedRun<'a>, spec: &'a CaseSpec) -> Option<&'a Generation> {
    record
        .deciding_attempts(spec)
        .filter(|attempt| attempt.outcome == Outcome::Completed)
        .find_map(|attempt| attempt.generations.first())
}

fn sequence_of(generation: &Generation, sequence: u32) -> Option<&Generation> {
    match sequence.checked_sub(1) {
        None => Some(generation),
        Some(companion) => generation.companions.get(companion as usize),
    }
}

/// The likeliest tokens of a step; empty where nothing is known of it.
fn likeliest(made: Option<&Generation>, index: usize) -> &[TokenLogit] {
    made.and_then(|made| made.top5.get(index)).map_or(&[], Vec::as_slice)
}

fn logit(step: &[TokenLogit], id: Option<u32>) -> Option<f32> {
    step.iter().find(|entry| Some(entry.id) == id).map(|entry| entry.logit)
}

/// What a side thought of the other's token.
fn other_words(by: ComparedBy, step: &[TokenLogit], own: &DivergentText, other: &DivergentText) -> String {
    if by != ComparedBy::Tokens {
        return match (own.token.is_empty(), other.token.is_empty()) {
            (true, _) => "this text had ended".into(),
            (_, true) => "the other text had ended".into(),
            (false, false) => "not known".into(),
        };
    }
    let Some(other) = other.id else {
        return "the other text had ended".into();
    };
    if own.id.is_none() {
        return "this text had ended".into();
    }
    match (step, logit(step, own.id), logit(step, Some(other))) {
        ([], _, _) => "no logits on record".into(),
        (_, Some(own), Some(other)) if own >= other => format!("{:.4} behind its own", own - other),
        (_, Some(own), Some(other)) => format!("{:.4} ahead of its own", other - own),
        (step, _, None) => format!("not among its {} likeliest", step.len()),
        (step, None, Some(_)) => format!("its own is not among its {} likeliest", step.len()),
    }
}

/// Whether it is a near tie, why, and what follows.
fn rule(spec: &CaseSpec, verdict: &CaseVerdict, divergence: &Divergence, steps: [&[TokenLogit]; 2]) -> (String, bool) {
    let agreement = spec.expect.agreement.as_ref();
    let engines = spec.expect.engines.as_ref();
    let most = match (&divergence.with, engines) {
        (ComparedWith::Engine { .. }, Some(engines)) => engines.max_gap,
        _ => agreement.map_or(DEFAULT_MAX_GAP, |agreement| agreement.max_gap),
    };
    let check = match divergence.with {
        ComparedWith::Snapshot { .. } => "snapshot",
        ComparedWith::Reference { .. } => "agreement",
        ComparedWith::FirstGeneration => "repeatable",
        ComparedWith::Engine { .. } => "engines",
    };
    let fails = |findings: &[placebench_core::record::Finding]| findings.iter().any(|finding| finding.check == check);
    let is_failed = fails(&verdict.findings) || fails(&verdict.expected_findings);
    let is_tie = divergence.verdict == TextVerdict::NearTie;
    let why = match divergence.gap {
        Some(gap) if is_tie => {
            format!("A near tie: the two tokens were {gap:.4} apart in logits, and up to {most} counts as a tie")
        }
        Some(gap) => {
            format!(
                "Not a near tie: the two tokens were {gap:.4} apart in logits, and only up to {most} counts as a tie"
            )
        }
        None if divergence.by != ComparedBy::Tokens => {
            "Of one of the texts the tokens are not known, so that nobody can say whether it is a near tie".into()
        }
        None => match (divergence.ours.id, divergence.theirs.id) {
            (None, _) | (_, None) => "Not a near tie: one text goes on where the other ends".into(),
            (Some(ours), Some(theirs)) if ours == theirs => {
                "Not a near tie: the tokens are the same, the texts made of them are not".into()
            }
            _ if steps.iter().all(|step| step.is_empty()) => {
                "Not a near tie as far as is known: no logits of this step are on record".into()
            }
            (ours, theirs) => {
                let unlikely = |side: usize, other| !steps[side].is_empty() && logit(steps[side], other).is_none();
                match (unlikely(0, theirs), unlikely(1, ours)) {
                    (true, true) => "Not a near tie: neither side had the other's token among its likeliest".into(),
                    _ => "Not a near tie: on one side the other's token was not among the likeliest".into(),
                }
            }
        },
    };
    let follows = match (is_tie, is_failed, &divergence.with) {
        (true, false, _) => "so it counts as equal",
        (true, true, ComparedWith::FirstGeneration) => "but repetitions of one placement must say the same",
        (true, true, _) => "but the scenario asks for the same tokens",
        (false, true, _) => "so the texts differ",
        (false, false, _) => "and nothing was asked of it",
    };
    (format!("{why}, {follows}."), is_tie && !is_failed)
}

/// The likeliest tokens by rank, where one side at least has them.
fn ranks(steps: [&[TokenLogit]; 2], texts: [&DivergentText; 2], made: [Option<&Generation>; 2]) -> Vec<RankView> {
    let ranked = |side: usize, rank: usize| {
        let best = steps[side].first()?.logit;
        let entry = steps[side].get(rank)?;
        Some(RankedToken {
            text: token_text(entry.id, texts, made),
            id: entry.id,
            behind: if rank == 0 {
                "best".to_owned()
            } else {
                format!("−{:.3}", best - entry.logit)
            },
            is_pick: texts.iter().any(|text| text.id == Some(entry.id)),
        })
    };
    (0..steps[0].len().max(steps[1].len()))
        .map(|rank| RankView {
            rank: rank + 1,
            sides: [ranked(0, rank), ranked(1, rank)],
        })
        .collect()
}

/// What a token reads as, where one of the texts has it.
fn token_text(id: u32, texts: [&DivergentText; 2], made: [Option<&Generation>; 2]) -> String {
    let quoted = texts
        .iter()
        .find(|text| text.id == Some(id))
        .map(|text| text.token.as_str());
    let met = || {
        made.into_iter().flatten().find_map(|made| {
            let position = made.output_ids.iter().position(|met| *met == id)?;
            Some(Tokens::of(made)?.token(position))
        })
    };
    let text = quoted.filter(|text| !text.is_empty()).or_else(met).unwrap_or_default();
    visible(text, Lines::Join, 40)
}

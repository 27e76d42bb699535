//! Where the time until the first token goes: what a worker does before it generates, phase by phase, and the first step by
//! stages and hops.

use placebench_core::outcome::Phase;
use placebench_core::record::Attempt;
use placebench_core::statistics::median;
use placebench_core::units::human_seconds;

use super::Figure;
use super::steps::{Part, Segment, StepView};
use super::timing::{Timing, plausible};

/// What a worker does before its first generation, in order.
const BEFORE: [Phase; 5] = [Phase::Spawn, Phase::Resolve, Phase::Plan, Phase::Load, Phase::Prepare];

/// What a phase before the first generation is about.
#[must_use]
pub fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Spawn => "start the process",
        Phase::Resolve => "find files, tokenizer and devices",
        Phase::Plan => "plan the device map",
        Phase::Load => "read and place weights",
        Phase::Prepare => "tokenise and prepare",
        Phase::Prefill | Phase::Decode | Phase::Finish => phase.as_str(),
    }
}

/// A phase with its duration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseTime {
    /// The phase.
    pub phase: Phase,
    /// Its median over the processes of the case.
    pub seconds: f64,
}

/// What is on record of the time until the first token.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstTokenView {
    /// Phases before the first generation; empty where they are not on record or no speed.
    pub before: Vec<PhaseTime>,
    /// Why there is none; empty where there is.
    pub why: String,
    /// Its times are speeds.
    pub is_timed: bool,
}

impl FirstTokenView {
    /// All phases together.
    #[must_use]
    pub fn before_s(&self) -> f64 {
        self.before.iter().map(|phase| phase.seconds).sum()
    }
}

/// Medians over the attempts that measured anything. `timing` says whether their times are speeds.
pub(super) fn view(attempts: &[&Attempt], timing: &Timing) -> FirstTokenView {
    let why = match timing {
        Timing::Valid { .. } => String::new(),
        Timing::Invalid(why) | Timing::Missing(why) => why.clone(),
    };
    let measured: Vec<&&Attempt> = attempts
        .iter()
        .filter(|attempt| !attempt.generations.is_empty())
        .collect();
    let one = |phase: Phase| {
        let spans = measured.iter().filter_map(|attempt| {
            let span = attempt.phases.iter().find(|span| span.phase == phase)?;
            Some(span.end_s? - span.start_s).filter(|seconds| plausible(*seconds))
        });
        let seconds = median(&spans.collect::<Vec<f64>>())?;
        Some(PhaseTime { phase, seconds })
    };
    let before: Vec<PhaseTime> = match why.is_empty() {
        true => BEFORE.into_iter().filter_map(one).collect(),
        false => Vec::new(),
    };
    FirstTokenView {
        why: match before.is_empty() && why.is_empty() {
            true => "no phase on record".into(),
            false => why,
        },
        before,
        is_timed: matches!(timing, Timing::Valid { .. }),
    }
}

/// A part of the first step in words: `hop sim:0 → sim:1`.
#[must_use]
pub fn part_words(part: &Part) -> String {
    match part {
        Part::Stage { device, .. } => device.clone(),
        Part::Hop { from, to, .. } => format!("hop {from} → {to}"),
        Part::Rest => "other: choosing and handing out the token".into(),
        Part::Whole => "prefill, stages not measured".into(),
    }
}

/// What the chart shows of a case, in words.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FirstTokenRow {
    /// Each of [`PHASES`]; a dash where it is not on record.
    pub phases: Vec<String>,
    /// All of them; empty where none is on record.
    pub before: String,
    /// The first step by stages and hops, with their shares; empty where they were not measured.
    pub parts: String,
}

/// What a worker does before its first generation, as the head of a table.
pub const PHASES: [&str; 5] = [
    "start the process",
    "find files and devices",
    "plan",
    "read and place weights",
    "prepare",
];

pub(super) fn row(before: &FirstTokenView, step: &StepView) -> FirstTokenRow {
    let time = |phase: &Phase| before.before.iter().find(|time| time.phase == *phase);
    let words = |phase: &Phase| time(phase).map_or_else(|| "–".into(), |time| human_seconds(time.seconds));
    let whole = step.measured_s.filter(|seconds| *seconds > 0.0);
    let part = |segment: &Segment| {
        let share = whole
            .map(|whole| format!(" ({:.0} %)", 100.0 * segment.seconds / whole))
            .unwrap_or_default();
        let name = match &segment.part {
            Part::Rest => "other".to_owned(),
            other => part_words(other),
        };
        format!("{name} {}{share}", human_seconds(segment.seconds))
    };
    let parts: Vec<String> = match step.has_stages() {
        true => drawn(before, step).iter().map(part).collect(),
        false => Vec::new(),
    };
    FirstTokenRow {
        phases: match before.before.is_empty() {
            true => Vec::new(),
            false => BEFORE.iter().map(words).collect(),
        },
        before: match before.before.is_empty() {
            true => String::new(),
            false => human_seconds(before.before_s()),
        },
        parts: parts.join(", "),
    }
}

/// The parts of the first step as far as they may be drawn.
#[must_use]
pub fn drawn<'a>(before: &FirstTokenView, step: &'a StepView) -> &'a [Segment] {
    match step.figure {
        Figure::Measured(_) if before.is_timed => &step.measured,
        Figure::Measured(_) | Figure::Invalid(_) | Figure::Missing(_) => &[],
    }
}

/// What the first token waits for, in a sentence: the largest share of hops where it is worth a word, else how long it takes to
/// be ready, and from then on.
pub(super) fn title<'a>(cases: impl Iterator<Item = (&'a str, &'a FirstTokenView, &'a StepView)>) -> String {
    let cases: Vec<_> = cases.collect();
    let hops = cases
        .iter()
        .filter_map(|(name, _, step)| Some((*name, *step, step.hop_share()?)));
    let hop = hops
        .max_by(|a, b| a.2.total_cmp(&b.2))
        .filter(|(_, _, share)| *share >= 0.1);
    if let Some((name, step, share)) = hop {
        let whole = human_seconds(step.measured_s.unwrap_or_default());
        return format!(
            "{name} waits {:.0} % of its {whole} to the first token for hops",
            share * 100.0
        );
    }
    let ready: Vec<(&str, f64)> = cases
        .iter()
        .filter(|(_, before, _)| !before.before.is_empty())
        .map(|(name, before, _)| (*name, before.before_s()))
        .collect();
    let first: Vec<(&str, f64)> = cases
        .iter()
        .filter_map(|(name, _, step)| Some((*name, step.measured_s?)))
        .collect();
    match (range(&ready), range(&first)) {
        (Some(ready), Some(first)) => format!("Ready to generate after {ready}; the first token {first} later"),
        (Some(ready), None) => format!("Ready to generate after {ready}"),
        (None, Some(first)) => format!("The first token comes after {first}"),
        (None, None) => "No first token was measured".into(),
    }
}

/// `417 ms (auto) to 448 ms (manual)`, or the one time there is.
fn range(times: &[(&str, f64)]) -> Option<String> {
    let (fastest, least) = times.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let (slowest, most) = times.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (least, most) = (human_seconds(*least), human_seconds(*most));
    Some(match least == most {
        true => least,
        false => format!("{least} ({fastest}) to {most} ({slowest})"),
    })
}

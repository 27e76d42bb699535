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
    /// Processes it is the median over.
    pub processes: usize,
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
        processes: measured.len(),
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

/// A row of the chart's table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PartRow {
    /// What takes the time.
    pub name: String,
    /// How long.
    pub seconds: String,
    /// Its share of what it is a part of; empty where there is nothing to divide by.
    pub share: String,
}

/// Both parts as tables: before the first generation, and the first step.
pub(super) fn rows(before: &FirstTokenView, step: &StepView) -> [Vec<PartRow>; 2] {
    let row = |name: String, seconds: f64, whole: f64| PartRow {
        name,
        seconds: human_seconds(seconds),
        share: match whole > 0.0 {
            true => format!("{:.0} %", 100.0 * seconds / whole),
            false => String::new(),
        },
    };
    let total = before.before_s();
    let phases = before.before.iter();
    let phases = phases.map(|phase| row(phase_words(phase.phase).into(), phase.seconds, total));
    let whole = step.measured_s.unwrap_or_default();
    let parts = drawn(step).iter();
    [
        phases.collect(),
        parts
            .map(|part| row(part_words(&part.part), part.seconds, whole))
            .collect(),
    ]
}

/// The parts of the first step as far as they may be drawn.
#[must_use]
pub fn drawn(step: &StepView) -> &[Segment] {
    match step.figure {
        Figure::Measured(_) => &step.measured,
        Figure::Invalid(_) | Figure::Missing(_) => &[],
    }
}

/// What the first token waits for, in a sentence: the largest share of a hop where it is worth a word, else the largest part.
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
    let largest = cases.iter().find_map(|(name, _, step)| {
        let whole = step.measured_s.filter(|seconds| step.has_stages() && *seconds > 0.0)?;
        let largest = drawn(step).iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
        Some(format!(
            "{name}: {:.0} % of the {} to the first token is {}",
            100.0 * largest.seconds / whole,
            human_seconds(whole),
            match &largest.part {
                Part::Rest => "neither stage nor hop".into(),
                other => part_words(other),
            }
        ))
    });
    let before = || {
        let slowest = cases.iter().filter(|(_, before, _)| !before.before.is_empty());
        let (name, before, _) = slowest.max_by(|a, b| a.1.before_s().total_cmp(&b.1.before_s()))?;
        let longest = before.before.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
        Some(format!(
            "{name} needs {} before it generates, {} of it to {}",
            human_seconds(before.before_s()),
            human_seconds(longest.seconds),
            phase_words(longest.phase)
        ))
    };
    largest
        .or_else(before)
        .unwrap_or_else(|| "No first token was measured".into())
}

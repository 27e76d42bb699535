//! Sentences that state how far a forecast was from what was measured.

use placebench_core::planner::Objective;
use placebench_core::units::human_seconds;

use super::Figure;
use super::case::CaseView;
use super::forecast::{Plans, StepTable};
use super::memory::{self, MemoryView};
use super::steps::{Part, StepView};
use super::words::{ratio, relation};
use super::work::{self, percent};

/// How far a figure may be from its prediction to count as predicted.
const CLOSE: f64 = 0.05;

/// A share that would be rounded to 0 %.
const BELOW_ONE_PERCENT: f64 = 0.005;

/// What the rest of a step is.
pub(super) const REST: &str = "choosing and reporting the token";

/// The step as a heading.
pub(super) fn step(step: Objective) -> &'static str {
    match step {
        Objective::Ttft => "First token",
        Objective::Tpot => "Each token after it",
    }
}

/// What a placement was chosen for.
pub(super) fn objective(objective: Objective) -> &'static str {
    match objective {
        Objective::Ttft => "time to the first token",
        Objective::Tpot => "time per token",
    }
}

fn subject(step: Objective) -> &'static str {
    match step {
        Objective::Ttft => "the first token",
        Objective::Tpot => "each token",
    }
}

/// What was found of a case: time per token first, then the first token, then memory.
pub(super) fn sentence(plans: Plans, steps: &[StepView], tables: &[StepTable], memory: &[MemoryView]) -> String {
    let mut sentences = Vec::new();
    if plans == Plans::Differ {
        sentences.push("attempts were planned differently, so that no prediction fits all of them".to_owned());
    }
    let of = |step: &StepView| {
        let table = tables.iter().find(|table| table.step == step.step);
        Some((step.step, compared(step, table)?))
    };
    let found: Vec<(Objective, String)> = steps.iter().filter_map(of).collect();
    match found.as_slice() {
        [(_, first), (_, later)] if first == later => {
            sentences.push(format!("the first token and each after it {later}"));
        }
        // A long text is mostly tokens after the first.
        _ => sentences.extend(
            found
                .iter()
                .rev()
                .map(|(step, words)| format!("{} {words}", subject(*step))),
        ),
    }
    if sentences.is_empty() {
        sentences.extend(not_compared(steps));
    }
    if sentences.is_empty() || plans == Plans::Differ {
        sentences.extend(steps.iter().rev().find_map(largest_part));
    }
    sentences.extend(peak(memory));
    let sentences: Vec<String> = sentences.iter().map(|sentence| capitalised(sentence)).collect();
    if sentences.is_empty() {
        return "Nothing was measured.".into();
    }
    format!("{}.", sentences.join(". "))
}

/// How long a step took against its prediction, and what made the difference.
fn compared(step: &StepView, table: Option<&StepTable>) -> Option<String> {
    let (predicted, measured) = step.compared()?;
    let times = measured / predicted;
    let is_close = (times - 1.0).abs() <= CLOSE;
    let took = if is_close {
        "took as long as predicted".to_owned()
    } else {
        format!("took {} times the predicted time", ratio(times))
    };
    let mut parts = table
        .iter()
        .flat_map(|table| &table.terms)
        .filter(|term| !term.is_total);
    let why = if parts.any(|term| term.measured_s.is_some()) {
        let culprit = table.and_then(|table| culprit(table, measured - predicted));
        culprit
            .filter(|_| !is_close)
            .map(|part| format!("; {part} accounts for most of the difference"))
    } else if step.has_stages() {
        Some("; stages cannot be compared, others ran than were predicted".into())
    } else {
        Some("; stages were not measured one by one".into())
    };
    Some(took + &why.unwrap_or_default())
}

/// The part that explains more than half of a difference; a device that is alone explains nothing by being named.
fn culprit(table: &StepTable, difference_s: f64) -> Option<String> {
    let parts = table.terms.iter().filter(|term| !term.is_total);
    let predicted = parts.clone().filter(|term| term.predicted_s.is_some()).count();
    let parts = parts.filter(|term| predicted > 1 || term.predicted_s.is_none());
    let apart = parts.filter_map(|term| {
        Some((
            term,
            (term.measured_s? - term.predicted_s.unwrap_or(0.0)) / difference_s,
        ))
    });
    let (term, share) = apart.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let name = match (term.name.strip_prefix("hop "), term.predicted_s) {
        (Some(_), _) => format!("the hop {}", term.detail),
        (None, None) => term.detail.clone(),
        (None, Some(_)) => term.name.clone(),
    };
    (share > 0.5).then_some(name)
}

/// A prediction that nothing can be held against, and why.
fn not_compared(steps: &[StepView]) -> Option<String> {
    let predicted: Vec<String> = steps
        .iter()
        .rev()
        .filter_map(|step| {
            let seconds = step.predicted_s?;
            Some(format!("{} {}", human_seconds(seconds), unit(step.step)))
        })
        .collect();
    let why = steps.iter().find_map(|step| match &step.figure {
        Figure::Invalid(why) => Some(format!("the measured times are {why}")),
        Figure::Missing(why) if why.starts_with("not measured") => Some(why.clone()),
        Figure::Missing(why) => Some(format!("not measured: {why}")),
        Figure::Measured(_) => None,
    })?;
    (!predicted.is_empty()).then(|| format!("predicted {}; {why}", predicted.join(" and ")))
}

fn unit(step: Objective) -> &'static str {
    match step {
        Objective::Ttft => "to the first token",
        Objective::Tpot => "per token",
    }
}

/// Where most of the time goes, where nothing was predicted.
fn largest_part(step: &StepView) -> Option<String> {
    let whole = step.measured_s.filter(|seconds| *seconds > 0.0)?;
    let hops = step.hop_share()?;
    let mut devices: Vec<(&str, f64)> = Vec::new();
    for segment in &step.measured {
        if let Part::Stage { device, .. } = &segment.part {
            match devices.iter_mut().find(|(known, _)| known == device) {
                Some((_, seconds)) => *seconds += segment.seconds,
                None => devices.push((device, segment.seconds)),
            }
        }
    }
    let (device, seconds) = devices.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let share = percent(seconds / whole);
    let time = match step.step {
        Objective::Ttft => "the time to the first token",
        Objective::Tpot => "a token's time",
    };
    let hops = if hops > 0.0 {
        format!(", {} on hops", percent(hops))
    } else {
        String::new()
    };
    Some(format!("{share} of {time} is spent on {device}{hops}"))
}

/// The device whose peak is furthest from the plan.
fn peak(memory: &[MemoryView]) -> Option<String> {
    let apart = |device: &MemoryView| Some((device.against_plan()? - 1.0).abs());
    let (device, apart) = memory
        .iter()
        .filter_map(|device| Some((device, apart(device)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    if apart <= memory::CLOSE {
        return Some("peak memory is as planned".into());
    }
    let (measured, planned) = (device.peak?, device.planned?.peak?);
    let words = relation(measured.as_f64(), planned.as_f64())
        .map(|words| match words.strip_suffix(" times") {
            Some(times) => format!("{times} times the plan"),
            None => format!("{words} the plan"),
        })
        .unwrap_or_else(|| format!("{measured}, planned was {planned}"));
    Some(format!("peak memory of {} is {words}", device.device))
}

/// What a picture of several placements shows: who waits, what hops take, and how good predictions were.
#[must_use]
pub(super) fn title(cases: &[CaseView]) -> String {
    let waits = work::finding(cases);
    let hops = hops(cases, waits.as_ref().map(|(_, placement)| *placement));
    let found = match (waits, hops) {
        (Some((waits, _)), Some(hops)) => Some(format!("{waits}; {hops}")),
        (waits, hops) => waits.map(|(waits, _)| waits).or(hops),
    };
    let sentences: Vec<String> = found.into_iter().chain(predictions(cases)).collect();
    if !sentences.is_empty() {
        let sentences: Vec<String> = sentences.iter().map(|sentence| capitalised(sentence)).collect();
        return sentences.join(". ");
    }
    if cases.iter().flat_map(|case| &case.steps).any(StepView::has_parts) {
        "Times were predicted, but none was measured".into()
    } else {
        "No stage was timed".into()
    }
}

/// The largest share that hops take of a token's time, after what was said of a placement.
fn hops(cases: &[CaseView], said_of: Option<&str>) -> Option<String> {
    let time = if said_of.is_some() { "" } else { " of a token's time" };
    let hops = || steps(cases, Objective::Tpot).filter_map(|(name, step)| Some((name, step.hop_share()?)));
    let is_alone = hops().filter(|(_, share)| *share > 0.0).count() == 1;
    Some(match hops().max_by(|a, b| a.1.total_cmp(&b.1))? {
        (_, share) if share <= 0.0 => format!("no hop takes any{time}"),
        (_, share) if share < BELOW_ONE_PERCENT => format!("hops take less than 1 %{time}"),
        (name, share) if is_alone && said_of == Some(name) => format!("hops take {}", percent(share)),
        (name, share) if said_of == Some(name) => format!("its hops take {}, the most", percent(share)),
        (name, share) if cases.len() > 1 => format!("hops take at most {}{time} ({name})", percent(share)),
        (_, share) => format!("hops take {}{time}", percent(share)),
    })
}

/// How far times were from their prediction: of a token, else of the first.
fn predictions(cases: &[CaseView]) -> Option<String> {
    [Objective::Tpot, Objective::Ttft].into_iter().find_map(|step| {
        let compared = |(name, step): (_, &StepView)| {
            step.compared()
                .map(|(predicted, measured)| (name, measured / predicted))
        };
        let ratios: Vec<(&str, f64)> = steps(cases, step).filter_map(compared).collect();
        let subject = match ratios.as_slice() {
            [] => return None,
            [(name, _)] if cases.len() > 1 => format!("{} of {name}", subject(step)),
            _ => subject(step).to_owned(),
        };
        Some(ratios_words(&subject, &ratios))
    })
}

fn steps(cases: &[CaseView], step: Objective) -> impl Iterator<Item = (&str, &StepView)> {
    cases.iter().flat_map(move |case| {
        let steps = case.steps.iter().filter(move |view| view.step == step);
        steps.map(|view| (case.placement.as_str(), view))
    })
}

fn ratios_words(subject: &str, ratios: &[(&str, f64)]) -> String {
    let least = ratios.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let most = ratios.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let (Some((slightest, least)), Some((greatest, most))) = (least, most) else {
        return String::new();
    };
    if (least - 1.0).abs() <= CLOSE && (most - 1.0).abs() <= CLOSE {
        return format!("{subject} took as long as predicted");
    }
    if ratio(*least) == ratio(*most) {
        return format!("{subject} took {} times the predicted time", ratio(*most));
    }
    format!(
        "{subject} took from {} ({slightest}) to {} ({greatest}) times the predicted time",
        ratio(*least),
        ratio(*most)
    )
}

fn capitalised(words: &str) -> String {
    let mut characters = words.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

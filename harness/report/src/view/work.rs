//! Who works while a token is made, and who waits.
//!
//! A hidden state is on one device at a time, so that with one sequence all other devices wait; only sequences in flight
//! let stages overlap. What overlaps is told by how long each device worked, for nobody has stamps of when.

use placebench_core::judge::median;
use placebench_core::placement::Concurrency;
use placebench_core::planner::{Objective, stages};
use placebench_core::protocol::Generation;

use super::Figure;
use super::case::CaseView;
use super::steps::{Part, Segment, Source, StepView};
use super::words::{count, line, list};

/// How long a device works in a step.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceWork {
    /// The device.
    pub device: String,
    /// Its position among the devices of the run.
    pub colour: usize,
    /// Its stages of one sequence, in seconds.
    pub busy_s: f64,
    /// The part of the time in which it computed nothing, from 0 to 1: of the step, or where sequences are in flight of the
    /// whole generation with the work for all of them.
    pub idle: f64,
}

/// Each device with a stage, in order of first use.
pub(super) fn view(
    source: &Source<'_>,
    step: Objective,
    measured: &[Segment],
    whole_s: Option<f64>,
) -> Vec<DeviceWork> {
    let Some(whole_s) = whole_s.filter(|seconds| *seconds > 0.0) else {
        return Vec::new();
    };
    let mut found: Vec<DeviceWork> = Vec::new();
    for segment in measured {
        let Part::Stage { device, colour, .. } = &segment.part else {
            continue;
        };
        match found.iter_mut().find(|known| known.device == *device) {
            Some(known) => known.busy_s += segment.seconds,
            None => found.push(DeviceWork {
                device: device.clone(),
                colour: *colour,
                busy_s: segment.seconds,
                idle: 0.0,
            }),
        }
    }
    for work in &mut found {
        let busy = match (step, in_flight(source.concurrency) > 1) {
            (Objective::Tpot, true) => busy_in_flight(source, &work.device),
            _ => None,
        };
        work.idle = 1.0 - busy.unwrap_or(work.busy_s / whole_s).clamp(0.0, 1.0);
    }
    found.retain(|work| work.idle.is_finite());
    found
}

/// How many sequences are on their way at once, each by itself; 1 where stages never overlap.
pub(super) fn in_flight(concurrency: Concurrency) -> u32 {
    match concurrency {
        Concurrency::InFlight(sequences) => sequences.max(1),
        Concurrency::Single | Concurrency::Batch(_) => 1,
    }
}

/// The part of whole generations in which a device computed for any of their sequences, the median.
fn busy_in_flight(source: &Source<'_>, device: &str) -> Option<f64> {
    let shares: Vec<f64> = source
        .attempts
        .iter()
        .flat_map(|attempt| {
            let ran = stages(&attempt.places);
            let columns = ran.iter().enumerate();
            let columns = columns.filter(|(_, stage)| line(stage.device.as_str()) == device);
            let columns: Vec<usize> = columns.map(|(index, _)| 2 * index).collect();
            let generations = attempt.generations.iter();
            generations.filter_map(move |generation| busy_share(generation, &columns))
        })
        .collect();
    median(&shares).filter(|share| share.is_finite())
}

fn busy_share(generation: &Generation, columns: &[usize]) -> Option<f64> {
    let all = || std::iter::once(generation).chain(&generation.companions);
    let ends = all().filter_map(|sequence| sequence.token_stamps_s.last().copied());
    let whole_s = ends.max_by(f64::total_cmp).filter(|seconds| *seconds > 0.0)?;
    let busy_s = |step: &Vec<f64>| columns.iter().filter_map(|column| step.get(*column)).sum::<f64>();
    Some(
        all()
            .flat_map(|sequence| &sequence.stage_times_s)
            .map(busy_s)
            .sum::<f64>()
            / whole_s,
    )
}

/// `One device works at a time: sim:1 of manual idles 76 % of a token's time`; with the placement it
/// speaks of. `None` where no stage was timed, or nobody has more than one device.
pub(super) fn finding(cases: &[CaseView]) -> Option<(String, &str)> {
    let several: Vec<(&CaseView, &StepView, &DeviceWork)> = cases
        .iter()
        .filter_map(|case| {
            let step = case.steps.get(1)?;
            Some((case, step, step.idlest()?))
        })
        .collect();
    let (case, step, idlest) = several.iter().max_by(|a, b| a.2.idle.total_cmp(&b.2.idle))?;
    let of = if cases.len() > 1 {
        format!(" of {}", case.placement)
    } else {
        String::new()
    };
    let share = percent(idlest.idle);
    let flying = several.iter().filter(|(case, ..)| case.in_flight > 1);
    if let Some((best, _, waits)) = flying.min_by(|a, b| a.2.idle.total_cmp(&b.2.idle)) {
        let with = match best.placement == case.placement {
            true => String::new(),
            false => format!(", at most {} with {} in flight", percent(waits.idle), best.in_flight),
        };
        let words = format!("devices idle up to {share} of the time ({}{of}){with}", idlest.device);
        return Some((words, &case.placement));
    }
    let least = step.work.iter().map(|work| work.idle).fold(f64::INFINITY, f64::min);
    let each = match (several.len(), step.work.len()) {
        (1, devices) if devices > 2 => {
            format!(
                ", each of its {} at least {}",
                count(devices, "device", "devices"),
                percent(least)
            )
        }
        _ => String::new(),
    };
    let words = format!(
        "one device works at a time: {}{of} idles {share} of a token's time{each}",
        idlest.device
    );
    Some((words, &case.placement))
}

/// Why no placement has stages to show; empty where one has, or nothing was measured.
pub(super) fn missing(cases: &[CaseView]) -> String {
    let steps = || cases.iter().flat_map(|case| &case.steps);
    if steps().any(StepView::has_parts) {
        return String::new();
    }
    let mut reasons: Vec<String> = Vec::new();
    for step in steps() {
        let reason = match &step.figure {
            _ if !step.why_whole.is_empty() => step.why_whole,
            Figure::Invalid(why) => why,
            Figure::Measured(_) | Figure::Missing(_) => continue,
        };
        if !reasons.iter().any(|known| known == reason) {
            reasons.push(reason.to_owned());
        }
    }
    match reasons.as_slice() {
        [] => String::new(),
        reasons => format!("There is no timeline of stages: {}.", list(reasons)),
    }
}

/// `48 %`; what is not all and not nothing is never rounded to either: `less than 1 %`, `more than 99 %`.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.005 {
        "less than 1 %".into()
    } else if (0.995..1.0).contains(&share) {
        "more than 99 %".into()
    } else {
        format!("{:.0} %", share * 100.0)
    }
}

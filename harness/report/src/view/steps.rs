//! The time of a step by stage and hop, in order of execution: as predicted and as measured.

use placebench_core::device::DeviceId;
use placebench_core::judge::{median, tpot};
use placebench_core::placement::Concurrency;
use placebench_core::planner::{Objective, Prediction, StepTime, stages};
use placebench_core::protocol::Generation;
use placebench_core::record::{Attempt, CaseMetrics, CaseSpec, IndexedRun, TextVerdict};
use placebench_core::units::human_seconds;

use super::words::line;
use super::work::{self, DeviceWork};
use super::{Figure, forecast, status};

/// What takes a part of a step's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Consecutive modules on one device.
    Stage {
        /// The device.
        device: String,
        /// Its position among the devices of the run.
        colour: usize,
        /// Its first module.
        first: String,
        /// Its last module.
        last: String,
    },
    /// The hidden state changes its device.
    Hop {
        /// Where it comes from.
        from: String,
        /// Where it goes.
        to: String,
        /// Last module before it.
        after: String,
        /// First module behind it.
        before: String,
    },
    /// What is neither: choosing the token, reporting it.
    Rest,
    /// All of a step whose stages were not measured.
    Whole,
}

impl Part {
    /// `model.embed_tokens to model.layers.3` of a stage, `model.layers.3 → model.layers.4` of a hop; else empty.
    #[must_use]
    pub fn modules(&self) -> String {
        match self {
            Self::Stage { first, last, .. } if first == last => first.clone(),
            Self::Stage { first, last, .. } => format!("{first} to {last}"),
            Self::Hop { after, before, .. } => format!("{after} → {before}"),
            Self::Rest | Self::Whole => String::new(),
        }
    }
}

/// A part with its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// What takes the time.
    pub part: Part,
    /// How long.
    pub seconds: f64,
}

/// One step: the prefill, or a token after it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepView {
    /// Which of the two.
    pub step: Objective,
    /// Stages and hops as predicted; empty where nothing was.
    pub predicted: Vec<Segment>,
    /// Their sum.
    pub predicted_s: Option<f64>,
    /// Stages, hops and the rest as measured, or the whole step.
    pub measured: Vec<Segment>,
    /// The whole step, the median; absent where it was not measured or is no speed.
    pub measured_s: Option<f64>,
    /// The whole step in words, or why it is absent.
    pub figure: Figure,
    /// How much of the time each device worked, in order of first use; empty where stages were not measured.
    pub work: Vec<DeviceWork>,
    /// Why stages are not known one by one; empty where they are, or there is no time at all.
    pub why_whole: &'static str,
}

impl StepView {
    /// True where stages were measured one by one.
    #[must_use]
    pub fn has_stages(&self) -> bool {
        self.measured
            .iter()
            .any(|segment| matches!(segment.part, Part::Stage { .. }))
    }

    /// True where there is more to show than the time of the whole step.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        self.has_stages() || !self.predicted.is_empty()
    }

    /// Predicted and measured seconds, where both are known and can be divided.
    #[must_use]
    pub fn compared(&self) -> Option<(f64, f64)> {
        Some((self.predicted_s.filter(|seconds| *seconds > 0.0)?, self.measured_s?))
    }

    /// The part of the measured time that goes into hops; absent where stages were not measured.
    #[must_use]
    pub fn hop_share(&self) -> Option<f64> {
        let whole = self.measured_s.filter(|seconds| self.has_stages() && *seconds > 0.0)?;
        let hops = self.measured.iter().filter(|segment| is_hop(&segment.part));
        Some(hops.map(|segment| segment.seconds).sum::<f64>() / whole)
    }

    /// The device that waits longest, of several.
    #[must_use]
    pub fn idlest(&self) -> Option<&DeviceWork> {
        let several = self.work.iter().filter(|_| self.work.len() > 1);
        several.max_by(|a, b| a.idle.total_cmp(&b.idle))
    }
}

fn is_hop(part: &Part) -> bool {
    matches!(part, Part::Hop { .. })
}

/// What the steps of a case are made from.
pub(super) struct Source<'a> {
    pub(super) attempts: &'a [&'a Attempt],
    metrics: &'a CaseMetrics,
    prediction: Option<&'a Prediction<DeviceId>>,
    text: TextVerdict,
    why_missing: &'a str,
    devices: &'a [String],
    pub(super) concurrency: Concurrency,
}

/// The first token and a token after it. Of a case that is not timed, no time is foreseen either.
pub(super) fn of_case(
    record: &IndexedRun<'_>,
    spec: &CaseSpec,
    metrics: &CaseMetrics,
    (text, why_missing): (TextVerdict, &str),
    devices: &[String],
) -> [StepView; 2] {
    let is_timed = status::is_timed(record, spec);
    let attempts: Vec<&Attempt> = record.deciding_attempts(spec).filter(|_| is_timed).collect();
    let foreseen = forecast::shared(record, spec).filter(|_| is_timed);
    let source = Source {
        attempts: &attempts,
        metrics,
        prediction: foreseen.and_then(|forecast| forecast.prediction.as_ref()),
        text,
        why_missing,
        devices,
        concurrency: spec.request.concurrency,
    };
    let predicted = |choose: fn(&Prediction<DeviceId>) -> &StepTime<DeviceId>| source.prediction.map(choose);
    [
        one(&source, Objective::Ttft, predicted(|prediction| &prediction.ttft)),
        one(&source, Objective::Tpot, predicted(|prediction| &prediction.tpot)),
    ]
}

fn one(source: &Source<'_>, step: Objective, predicted: Option<&StepTime<DeviceId>>) -> StepView {
    let median_s = match step {
        Objective::Ttft => source.metrics.ttft_s,
        Objective::Tpot => source.metrics.tpot_s,
    };
    let median_s = median_s.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let (measured_s, figure) = match median_s {
        Some(_) if !source.text.timing_is_valid() => (None, Figure::Invalid(status::invalid(source.text))),
        Some(seconds) => (Some(seconds), Figure::Measured(human_seconds(seconds))),
        None => (None, Figure::Missing(source.why_missing.to_owned())),
    };
    let parts = measured_s.map(|whole| measured(source, step, whole));
    let (measured, why_whole) = match parts {
        Some(Ok(parts)) => (parts, ""),
        Some(Err((whole, why))) => (vec![whole], why),
        None => (Vec::new(), ""),
    };
    StepView {
        step,
        work: work::view(source, step, &measured, measured_s),
        why_whole,
        predicted: predicted
            .map(|step| segments_of(step, source.devices))
            .unwrap_or_default(),
        predicted_s: predicted.map(|step| step.time_s).filter(|seconds| seconds.is_finite()),
        measured,
        measured_s,
        figure,
    }
}

/// The position of a device among those of the run.
pub(super) fn colour_of(device: &DeviceId, devices: &[String]) -> usize {
    let name = line(device.as_str());
    devices.iter().position(|known| *known == name).unwrap_or(0)
}

fn stage_part(device: &DeviceId, devices: &[String], first: Option<&String>, last: Option<&String>) -> Part {
    let path = |path: Option<&String>| path.map(|path| line(path)).unwrap_or_default();
    Part::Stage {
        device: line(device.as_str()),
        colour: colour_of(device, devices),
        first: path(first),
        last: path(last),
    }
}

fn hop_part(from: &DeviceId, to: &DeviceId, after: Option<&String>, before: Option<&String>) -> Part {
    let path = |path: Option<&String>| path.map(|path| line(path)).unwrap_or_default();
    Part::Hop {
        from: line(from.as_str()),
        to: line(to.as_str()),
        after: path(after),
        before: path(before),
    }
}

fn segments_of(step: &StepTime<DeviceId>, devices: &[String]) -> Vec<Segment> {
    let mut segments = Vec::new();
    for (index, stage) in step.stages.iter().enumerate() {
        segments.push(Segment {
            part: stage_part(&stage.device, devices, Some(&stage.first), Some(&stage.last)),
            seconds: stage.time_s,
        });
        if let Some(hop) = step.hops.get(index) {
            segments.push(Segment {
                part: hop_part(&hop.from, &hop.to, Some(&hop.after), Some(&hop.before)),
                seconds: hop.time_s,
            });
        }
    }
    segments
}

/// Medians of stages and hops, and of what each generation took besides; medians need not add up to the whole step's.
/// Else the whole, and why its stages are not known.
fn measured(source: &Source<'_>, step: Objective, whole_s: f64) -> Result<Vec<Segment>, (Segment, &'static str)> {
    let whole = Segment {
        part: Part::Whole,
        seconds: whole_s,
    };
    if !run_alike(source.attempts) {
        return Err((whole, "attempts ran different stages"));
    }
    parts_of(source, step).ok_or((whole, "the engine does not time its stages"))
}

fn run_alike(attempts: &[&Attempt]) -> bool {
    let mut measured = attempts.iter().filter(|attempt| !attempt.generations.is_empty());
    let first = measured.next().map(|attempt| &attempt.places);
    measured.all(|attempt| Some(&attempt.places) == first)
}

/// `None` where an engine does not measure stages.
fn parts_of(source: &Source<'_>, step: Objective) -> Option<Vec<Segment>> {
    let mut measured = source.attempts.iter().filter(|attempt| !attempt.generations.is_empty());
    let places = &measured.next()?.places;
    let ran = stages(places);
    let width = (2 * ran.len()).checked_sub(1)?;
    let generations = source.attempts.iter().flat_map(|attempt| &attempt.generations);
    let spans: Vec<Vec<f64>> = generations
        .filter_map(|generation| {
            let mut spans = spans(generation, step, width)?;
            spans.push(whole(generation, step)? - spans.iter().sum::<f64>());
            Some(spans)
        })
        .collect();
    let column = |index: usize| {
        let seconds: Vec<f64> = spans.iter().filter_map(|spans| spans.get(index).copied()).collect();
        median(&seconds).map(|seconds| seconds.max(0.0))
    };
    let mut segments = Vec::with_capacity(width);
    for (index, stage) in ran.iter().enumerate() {
        segments.push(Segment {
            part: stage_part(
                &stage.device,
                source.devices,
                stage.modules.first(),
                stage.modules.last(),
            ),
            seconds: column(2 * index)?,
        });
        if let Some(next) = ran.get(index + 1) {
            segments.push(Segment {
                part: hop_part(&stage.device, &next.device, stage.modules.last(), next.modules.first()),
                seconds: column(2 * index + 1)?,
            });
        }
    }
    segments.push(Segment {
        part: Part::Rest,
        seconds: column(width)?,
    });
    Some(segments)
}

/// Time to the first token, or per token after it.
fn whole(generation: &Generation, step: Objective) -> Option<f64> {
    match step {
        Objective::Ttft => generation.token_stamps_s.first().copied(),
        Objective::Tpot => tpot(generation),
    }
}

/// Seconds of each stage and hop in the prefill, or their means over the tokens after the first.
fn spans(generation: &Generation, step: Objective, width: usize) -> Option<Vec<f64>> {
    let (first, decode) = generation.stage_times_s.split_first()?;
    if generation.stage_times_s.iter().any(|step| step.len() != width) {
        return None;
    }
    match step {
        Objective::Ttft => Some(first.clone()),
        Objective::Tpot if decode.is_empty() => None,
        Objective::Tpot => {
            let mean =
                |column: usize| decode.iter().filter_map(|step| step.get(column)).sum::<f64>() / decode.len() as f64;
            Some((0..width).map(mean).collect())
        }
    }
}

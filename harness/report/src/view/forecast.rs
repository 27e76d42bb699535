//! A plan's forecast beside what was measured: seconds per device and hop.
//!
//! Predicted figures come from the plan that all attempts of a case share, measured ones from the judge. Where no time
//! was predicted, what was measured stage by stage is shown alone.

use placebench_core::device::DeviceId;
use placebench_core::judge::{TimeTerm, shared_forecast};
use placebench_core::planner::{Forecast, Objective, Prediction, StepTime};
use placebench_core::record::{CaseMetrics, CaseSpec, IndexedRun};
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::forecast_words;
use super::memory::MemoryView;
use super::steps::{Part, Segment, StepView, colour_of};
use super::words::line;
use super::work::percent;

/// What a part of a step is predicted to consist of, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TermParts {
    /// Weights, KV cache, arithmetic and fixed costs of a device.
    Device([String; 4]),
    /// Latency and bytes of a hop.
    Hop(String),
    /// Nothing is predicted, or only the whole.
    None,
}

/// A part of a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermView {
    /// `sim:0`, `hop sim:0 → sim:1`, `the rest`, `whole step`.
    pub name: String,
    /// The modules around a hop, or how many stages a device has; empty for the others.
    pub detail: String,
    /// The device's position among those of the run, where it is one.
    pub colour: Option<usize>,
    /// It is the sum of the others.
    pub is_total: bool,
    /// What the prediction consists of.
    pub parts: TermParts,
    /// Predicted seconds; absent for the rest, for which nothing is.
    #[serde(skip)]
    pub predicted_s: Option<f64>,
    /// Measured seconds; absent where they were not measured or are no speed.
    #[serde(skip)]
    pub measured_s: Option<f64>,
    /// The prediction in words; `–` where there is none.
    pub predicted: String,
    /// The measurement in words; `–` where there is none.
    pub measured: String,
    /// The part of the step in which a device computed nothing, in words; empty for the others, and where stages were not
    /// timed.
    pub idle: String,
    /// Measured over predicted, or where nothing was predicted the share of the step; `–` for neither.
    pub ratio: String,
}

/// A step with its parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTable {
    /// Which step.
    #[serde(skip)]
    pub step: Objective,
    /// The same, in words.
    pub name: &'static str,
    /// Devices, hops, the rest and the whole.
    pub terms: Vec<TermView>,
}

/// What was foreseen of a case, beside what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastView {
    /// The finding.
    pub sentence: String,
    /// A time was predicted, but the text is wrong, so that there is no speed to hold against it.
    pub is_invalid: bool,
    /// The placement was chosen for this predicted time; empty where it was not chosen by prediction.
    pub chosen_for: &'static str,
    /// Times were predicted.
    pub has_prediction: bool,
    /// Memory was foreseen, but no time: nobody said how fast the devices are.
    pub needs_rates: bool,
    /// The first token and a token after it; empty where neither was predicted nor measured by stages.
    pub steps: Vec<StepTable>,
}

/// Whether the attempts of a case share what was foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plans {
    /// They do, or nothing was foreseen.
    Agree,
    /// Attempts were planned differently, as where a planner asks how much memory is free.
    Differ,
}

fn forecasts<'a>(record: &'a IndexedRun<'a>, spec: &'a CaseSpec) -> impl Iterator<Item = &'a Forecast> {
    record
        .deciding_attempts(spec)
        .filter_map(|attempt| attempt.planned.as_ref()?.forecast.as_deref())
}

/// The forecast of a case that all its attempts share; `None` where there is none, or they differ.
#[must_use]
pub fn shared<'a>(record: &'a IndexedRun<'a>, spec: &'a CaseSpec) -> Option<&'a Forecast> {
    shared_forecast(&record.deciding_attempts(spec).collect::<Vec<_>>())
}

/// Prediction and measurement; `None` where nothing was foreseen and nothing measured by stages.
#[must_use]
pub(super) fn view(
    record: &IndexedRun<'_>,
    spec: &CaseSpec,
    metrics: &CaseMetrics,
    steps: &[StepView],
    memory: &[MemoryView],
    devices: &[String],
) -> Option<ForecastView> {
    let forecast = shared(record, spec);
    let plans = match forecasts(record, spec).next() {
        Some(_) if forecast.is_none() => Plans::Differ,
        _ => Plans::Agree,
    };
    let prediction = forecast.and_then(|forecast| forecast.prediction.as_ref());
    let tables: Vec<StepTable> = steps
        .iter()
        .filter(|step| step.has_parts())
        .map(|step| table(step, prediction, metrics, devices))
        .collect();
    if forecast.is_none() && tables.is_empty() && plans == Plans::Agree {
        return None;
    }
    Some(ForecastView {
        sentence: forecast_words::sentence(plans, steps, &tables, memory),
        is_invalid: prediction.is_some()
            && steps
                .iter()
                .any(|step| matches!(step.figure, super::Figure::Invalid(_))),
        chosen_for: forecast
            .and_then(|forecast| forecast.objective)
            .map(forecast_words::objective)
            .unwrap_or_default(),
        has_prediction: prediction.is_some(),
        needs_rates: forecast.is_some() && prediction.is_none(),
        steps: tables,
    })
}

fn table(
    step: &StepView,
    prediction: Option<&Prediction<DeviceId>>,
    metrics: &CaseMetrics,
    devices: &[String],
) -> StepTable {
    let predicted = prediction.map(|prediction| match step.step {
        Objective::Ttft => &prediction.ttft,
        Objective::Tpot => &prediction.tpot,
    });
    let mut terms = match predicted {
        Some(predicted) => predicted_terms(step, predicted, metrics, devices),
        None => measured_terms(step),
    };
    terms.push(TermView {
        is_total: true,
        ..term("whole step".into(), step.predicted_s, step.measured_s)
    });
    for term in &mut terms {
        term.ratio = match (term.predicted_s, term.measured_s, step.measured_s) {
            (Some(predicted), Some(measured), _) if predicted > 0.0 => ratio_cell(measured / predicted),
            (None, Some(measured), Some(whole)) if predicted.is_none() && whole > 0.0 => {
                format!("{:.0} %", measured / whole * 100.0)
            }
            _ => "–".into(),
        };
    }
    StepTable {
        step: step.step,
        name: forecast_words::step(step.step),
        terms,
    }
}

/// Two decimals, so that the points of a column stand below each other.
fn ratio_cell(ratio: f64) -> String {
    let decimals = if ratio.abs() >= 100.0 { 0 } else { 2 };
    format!("{ratio:.decimals$}")
}

fn term(name: String, predicted_s: Option<f64>, measured_s: Option<f64>) -> TermView {
    let words = |seconds: Option<f64>| seconds.map_or_else(|| "–".into(), human_seconds);
    TermView {
        name,
        detail: String::new(),
        colour: None,
        is_total: false,
        parts: TermParts::None,
        predicted: words(predicted_s),
        measured: words(measured_s),
        predicted_s,
        measured_s,
        idle: String::new(),
        ratio: String::new(),
    }
}

/// Devices, hops and the rest as predicted, with the judge's figure for each.
fn predicted_terms(
    step: &StepView,
    predicted: &StepTime<DeviceId>,
    metrics: &CaseMetrics,
    devices: &[String],
) -> Vec<TermView> {
    let measured = |wanted: &TimeTerm| {
        let mut terms = metrics.time_forecast.iter();
        let found = terms.find(|entry| entry.step == step.step && entry.term == *wanted);
        found
            .filter(|_| step.measured_s.is_some())
            .map(|entry| entry.measured_s)
            .filter(|seconds| seconds.is_finite())
    };
    let mut terms = Vec::new();
    for device in predicted.per_device() {
        let name = line(device.device.as_str());
        let own = TimeTerm::Device {
            device: device.device.clone(),
        };
        let parts = [device.weights_s, device.kv_s, device.compute_s, device.overhead_s];
        terms.push(TermView {
            detail: stages_words(&stages_of(&step.predicted, &name), &stages_of(&step.measured, &name)),
            colour: Some(colour_of(&device.device, devices)),
            parts: TermParts::Device(parts.map(human_seconds)),
            idle: idle(step, &name),
            ..term(name, Some(device.time_s), measured(&own))
        });
    }
    for hop in &predicted.hops {
        let own = TimeTerm::Hop {
            after: hop.after.clone(),
            before: hop.before.clone(),
            from: hop.from.clone(),
            to: hop.to.clone(),
        };
        let name = format!("hop {} → {}", line(hop.from.as_str()), line(hop.to.as_str()));
        terms.push(TermView {
            detail: format!("{} → {}", line(&hop.after), line(&hop.before)),
            parts: TermParts::Hop(format!(
                "latency {}, bytes {}",
                human_seconds(hop.latency_s),
                human_seconds(hop.transfer_s)
            )),
            ..term(name, Some(hop.time_s), measured(&own))
        });
    }
    terms.push(TermView {
        detail: forecast_words::REST.into(),
        ..term("the rest".into(), None, measured(&TimeTerm::Other))
    });
    terms
}

/// Devices, hops and the rest as measured, where nothing was predicted.
fn measured_terms(step: &StepView) -> Vec<TermView> {
    let mut terms: Vec<TermView> = Vec::new();
    let mut hops = Vec::new();
    let mut rest = None;
    for Segment { part, seconds } in &step.measured {
        match part {
            Part::Stage { device, .. } if terms.iter().any(|term| term.name == *device) => {}
            Part::Stage { device, colour, .. } => {
                let stages = stages_of(&step.measured, device);
                let times = stages.iter().map(|stage| stage.seconds);
                terms.push(TermView {
                    detail: stages_words(&[], &stages),
                    colour: Some(*colour),
                    idle: idle(step, device),
                    ..term(device.clone(), None, Some(times.sum()))
                });
            }
            Part::Hop {
                from,
                to,
                after,
                before,
            } => hops.push(TermView {
                detail: format!("{after} → {before}"),
                ..term(format!("hop {from} → {to}"), None, Some(*seconds))
            }),
            Part::Whole => {}
            Part::Rest => {
                rest = Some(TermView {
                    detail: forecast_words::REST.into(),
                    ..term("the rest".into(), None, Some(*seconds))
                });
            }
        }
    }
    terms.extend(hops);
    terms.extend(rest);
    terms
}

/// The stages of a device, in order.
fn stages_of<'a>(segments: &'a [Segment], wanted: &str) -> Vec<&'a Segment> {
    let is_here = |part: &Part| matches!(part, Part::Stage { device, .. } if device == wanted);
    segments.iter().filter(|segment| is_here(&segment.part)).collect()
}

/// `model.embed_tokens to model.layers.3`; of several stages each with its time: `… 1.10 ms, predicted 1.00 ms; …`.
fn stages_words(predicted: &[&Segment], measured: &[&Segment]) -> String {
    let ran = if measured.is_empty() { predicted } else { measured };
    if let [only] = ran {
        return only.part.modules();
    }
    let words = ran.iter().enumerate().map(|(index, stage)| {
        let as_planned = predicted.get(index).filter(|other| other.part == stage.part);
        let predicted = as_planned.map(|stage| format!("predicted {}", human_seconds(stage.seconds)));
        let measured = (!measured.is_empty()).then(|| human_seconds(stage.seconds));
        let times: Vec<String> = measured.into_iter().chain(predicted).collect();
        format!("{} {}", stage.part.modules(), times.join(", "))
    });
    words.collect::<Vec<String>>().join("; ")
}

fn idle(step: &StepView, device: &str) -> String {
    let work = step.work.iter().find(|work| work.device == device);
    work.map(|work| percent(work.idle)).unwrap_or_default()
}

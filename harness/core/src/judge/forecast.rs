//! A plan's forecast held against what was measured, term by term.

use serde::{Deserialize, Serialize};

use crate::device::DeviceId;
use crate::planner::{Forecast, Objective, StepTime, stages};
use crate::protocol::{Generation, MemoryKind};
use crate::record::Attempt;
use crate::statistics::median;
use crate::units::Bytes;

/// A part of the time of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum TimeTerm {
    /// All stages of one device.
    Device {
        /// It.
        device: DeviceId,
    },
    /// A hop, named by the modules on its two sides.
    Hop {
        /// Path of the last module before it.
        after: String,
        /// Path of the first module behind it.
        before: String,
        /// Where the hidden state comes from.
        from: DeviceId,
        /// Where it goes.
        to: DeviceId,
    },
    /// What is neither: choosing the token, reporting it. Nothing is foreseen for it.
    Other,
    /// The whole step.
    Total,
}

/// A term of the predicted time beside the measured one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TimeForecast {
    /// The prefill (time to the first token), or a token after it.
    pub step: Objective,
    /// The term.
    #[serde(flatten)]
    pub term: TimeTerm,
    /// What was foreseen.
    pub predicted_s: f64,
    /// The median over all measured generations; of each generation the mean over its tokens after the first.
    pub measured_s: f64,
}

/// Foreseen bytes beside the measured ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MemoryForecast {
    /// The device.
    pub device: DeviceId,
    /// What is counted.
    pub kind: MemoryKind,
    /// What was foreseen.
    pub predicted_bytes: Bytes,
    /// The largest of all attempts.
    pub measured_bytes: Bytes,
}

/// The forecast that all attempts share; `None` where there is none, or they differ.
#[must_use]
pub fn shared_forecast<'a>(attempts: &[&'a Attempt]) -> Option<&'a Forecast> {
    let mut forecasts = attempts
        .iter()
        .filter_map(|attempt| attempt.planned.as_ref()?.forecast.as_deref());
    let first = forecasts.next()?;
    forecasts.all(|other| other == first).then_some(first)
}

/// Times, where the plan foresaw any and the engine measured its stages.
#[must_use]
pub(super) fn time_forecast(attempts: &[&Attempt]) -> Vec<TimeForecast> {
    let Some(prediction) = shared_forecast(attempts).and_then(|forecast| forecast.prediction.as_ref()) else {
        return Vec::new();
    };
    [(Objective::Ttft, &prediction.ttft), (Objective::Tpot, &prediction.tpot)]
        .into_iter()
        .flat_map(|(step, predicted)| of_step(attempts, step, predicted))
        .collect()
}

/// Only what ran as it was planned can be compared stage by stage; of other attempts the total is.
fn of_step(attempts: &[&Attempt], step: Objective, predicted: &StepTime<DeviceId>) -> Vec<TimeForecast> {
    let measured = |value: &dyn Fn(&Attempt, &Generation) -> Option<f64>| {
        let of_attempt = |attempt: &&Attempt| -> Vec<f64> {
            let generations = attempt.generations.iter();
            generations
                .filter_map(|generation| value(attempt, generation))
                .collect()
        };
        median(&attempts.iter().flat_map(of_attempt).collect::<Vec<f64>>())
    };
    let mut terms: Vec<(TimeTerm, f64, Option<f64>)> = Vec::new();
    for device in predicted.per_device() {
        let on_device = |attempt: &Attempt, generation: &Generation| {
            let spans = spans(attempt, predicted, generation, step)?;
            let stages = predicted.stages.iter().zip(spans.iter().step_by(2));
            Some(
                stages
                    .filter(|(stage, _)| stage.device == device.device)
                    .map(|(_, time)| time)
                    .sum(),
            )
        };
        let term = TimeTerm::Device {
            device: device.device.clone(),
        };
        terms.push((term, device.time_s, measured(&on_device)));
    }
    for (index, hop) in predicted.hops.iter().enumerate() {
        let of_hop = |attempt: &Attempt, generation: &Generation| {
            spans(attempt, predicted, generation, step)?.get(2 * index + 1).copied()
        };
        let term = TimeTerm::Hop {
            after: hop.after.clone(),
            before: hop.before.clone(),
            from: hop.from.clone(),
            to: hop.to.clone(),
        };
        terms.push((term, hop.time_s, measured(&of_hop)));
    }
    let rest = |attempt: &Attempt, generation: &Generation| {
        let spans = spans(attempt, predicted, generation, step)?;
        Some(total(generation, step)? - spans.iter().sum::<f64>())
    };
    terms.push((TimeTerm::Other, 0.0, measured(&rest)));
    terms.push((
        TimeTerm::Total,
        predicted.time_s,
        measured(&|_, generation| total(generation, step)),
    ));
    let found = terms.into_iter().filter_map(|(term, predicted_s, measured_s)| {
        Some(TimeForecast {
            step,
            term,
            predicted_s,
            measured_s: measured_s?,
        })
    });
    found.collect()
}

/// Seconds of each stage and hop of a step, if the attempt ran the stages that were foreseen.
fn spans(
    attempt: &Attempt,
    predicted: &StepTime<DeviceId>,
    generation: &Generation,
    step: Objective,
) -> Option<Vec<f64>> {
    let ran = stages(&attempt.places);
    let is_as_planned = ran.len() == predicted.stages.len()
        && ran.iter().zip(&predicted.stages).all(|(ran, planned)| {
            ran.device == planned.device
                && ran.modules.first() == Some(&planned.first)
                && ran.modules.last() == Some(&planned.last)
        });
    let width = (2 * ran.len()).checked_sub(1)?;
    if !is_as_planned || generation.stage_times_s.iter().any(|step| step.len() != width) {
        return None;
    }
    match step {
        Objective::Ttft => generation.stage_times_s.first().cloned(),
        Objective::Tpot => {
            let decode = generation.stage_times_s.get(1..).filter(|steps| !steps.is_empty())?;
            let mean =
                |column: usize| decode.iter().filter_map(|step| step.get(column)).sum::<f64>() / decode.len() as f64;
            Some((0..width).map(mean).collect())
        }
    }
}

fn total(generation: &Generation, step: Objective) -> Option<f64> {
    match step {
        Objective::Ttft => generation.token_stamps_s.first().copied(),
        Objective::Tpot => super::metrics::tpot(generation),
    }
}

/// Weights, cache and peak of every device that was planned for or used.
#[must_use]
pub(super) fn memory_forecast(attempts: &[&Attempt]) -> Vec<MemoryForecast> {
    let Some(forecast) = shared_forecast(attempts) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for planned in &forecast.footprint.devices {
        let kinds = [
            (MemoryKind::Weights, planned.weights_bytes),
            (MemoryKind::KvCache, planned.kv_cache_bytes),
            (MemoryKind::Peak, planned.total_bytes),
        ];
        for (kind, predicted_bytes) in kinds {
            let figures = attempts.iter().flat_map(|attempt| &attempt.memory);
            let here = figures.filter(|figure| figure.kind == kind && figure.device == planned.device);
            if let Some(measured_bytes) = here.map(|figure| figure.bytes).max() {
                found.push(MemoryForecast {
                    device: planned.device.clone(),
                    kind,
                    predicted_bytes,
                    measured_bytes,
                });
            }
        }
    }
    found
}

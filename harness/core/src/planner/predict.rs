//! Time to the first token and per token after it, as a sum of named terms.
//!
//! A stage takes as long as its memory traffic or its arithmetic, whichever is longer (the roofline model), plus fixed
//! overheads; stages of one request run one after another; between two lies a hop of latency and bytes. Traffic of
//! activations within a device, sampling, and overlap are left out: what a measurement shows on top is theirs.
//!
//! Times are added up in whole picoseconds, so that placements that are equally fast compare as equal.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::footprint_workload::Workload;
use super::predict_rates::Rates;
use super::predict_step::{StageTicks, Step, Ticks, seconds_of, ticks_of};
use super::shape_decoder::Decoder;
use super::shape_placed::PlacedDecoder;

/// Which time is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Time per output token, averaged over the tokens after the first.
    #[default]
    Tpot,
    /// Time to the first token.
    Ttft,
}

impl Objective {
    /// The name in scenarios and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tpot => "tpot",
            Self::Ttft => "ttft",
        }
    }
}

/// What holds a stage up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Reading weights and cache.
    Memory,
    /// Arithmetic.
    Compute,
}

/// The time of one stage in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StageTime<D> {
    /// The device.
    pub device: D,
    /// Path of its first module.
    pub first: String,
    /// Path of its last module.
    pub last: String,
    /// Reading its weights.
    pub weights_s: f64,
    /// Reading its keys and values; in the prefill, writing them.
    pub kv_s: f64,
    /// Arithmetic, which runs while memory is read.
    pub compute_s: f64,
    /// Fixed costs.
    pub overhead_s: f64,
    /// The longer of memory and arithmetic.
    pub bound: Bound,
    /// The longer of memory and arithmetic, plus the fixed costs.
    pub time_s: f64,
}

/// The time of one hop in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HopTime<D> {
    /// Where the hidden state comes from.
    pub from: D,
    /// Where it goes.
    pub to: D,
    /// Path of the last module before the hop.
    pub after: String,
    /// Path of the first module behind it.
    pub before: String,
    /// Seconds until the copy begins to arrive.
    pub latency_s: f64,
    /// Seconds for its bytes.
    pub transfer_s: f64,
    /// Both.
    pub time_s: f64,
}

/// The time of one device in one step, over all its stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeviceTime<D> {
    /// The device.
    pub device: D,
    /// Reading weights.
    pub weights_s: f64,
    /// Reading or writing keys and values.
    pub kv_s: f64,
    /// Arithmetic.
    pub compute_s: f64,
    /// Fixed costs.
    pub overhead_s: f64,
    /// The sum over its stages.
    pub time_s: f64,
}

/// The time of one step: the prefill, or a token after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepTime<D> {
    /// All stages and hops.
    pub time_s: f64,
    /// Stages in order of execution.
    pub stages: Vec<StageTime<D>>,
    /// Hops in order; one less than there are stages.
    pub hops: Vec<HopTime<D>>,
}

impl<D: Clone + PartialEq> StepTime<D> {
    /// The stages added up per device, in order of first use.
    #[must_use]
    pub fn per_device(&self) -> Vec<DeviceTime<D>> {
        let mut devices: Vec<DeviceTime<D>> = Vec::new();
        for stage in &self.stages {
            if let Some(device) = devices.iter_mut().find(|known| known.device == stage.device) {
                device.weights_s += stage.weights_s;
                device.kv_s += stage.kv_s;
                device.compute_s += stage.compute_s;
                device.overhead_s += stage.overhead_s;
                device.time_s += stage.time_s;
            } else {
                devices.push(DeviceTime {
                    device: stage.device.clone(),
                    weights_s: stage.weights_s,
                    kv_s: stage.kv_s,
                    compute_s: stage.compute_s,
                    overhead_s: stage.overhead_s,
                    time_s: stage.time_s,
                });
            }
        }
        devices
    }
}

/// What a placement is expected to take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Prediction<D> {
    /// The prefill, to the first token.
    pub ttft: StepTime<D>,
    /// A token after the first, at the mean length of the cache.
    pub tpot: StepTime<D>,
}

impl<D> Prediction<D> {
    /// Seconds of one of the two.
    #[must_use]
    pub fn seconds(&self, objective: Objective) -> f64 {
        match objective {
            Objective::Tpot => self.tpot.time_s,
            Objective::Ttft => self.ttft.time_s,
        }
    }
}

/// Foresees the times of a placement. Rates that [`Rates::check`] refuses give times without meaning.
#[must_use]
pub fn predict<D: Clone + PartialEq>(
    placed: &PlacedDecoder<'_, D>,
    workload: &Workload,
    rates: &Rates<D>,
) -> Prediction<D> {
    Prediction {
        ttft: step_time(placed, workload, rates, Objective::Ttft),
        tpot: step_time(placed, workload, rates, Objective::Tpot),
    }
}

fn step_time<D: Clone + PartialEq>(
    placed: &PlacedDecoder<'_, D>,
    workload: &Workload,
    rates: &Rates<D>,
    objective: Objective,
) -> StepTime<D> {
    let decoder = placed.decoder();
    let step = Step::new(decoder, workload, objective);
    let stages = placed.stage_ranges();
    let mut total: Ticks = 0;
    let mut times = Vec::with_capacity(stages.len());
    for (range, device) in &stages {
        let ticks = step.stage(range.clone(), &rates.device(device));
        total = total.saturating_add(ticks.total());
        times.push(described(decoder, range, device.clone(), ticks));
    }
    let mut hops = Vec::new();
    for pair in stages.windows(2) {
        let [(before, from), (behind, to)] = pair else { continue };
        let link = rates.link(from, to);
        let ticks = step.hop(link);
        total = total.saturating_add(ticks);
        let latency = ticks_of(link.latency_s);
        hops.push(HopTime {
            from: from.clone(),
            to: to.clone(),
            after: path(decoder, before.end.saturating_sub(1)),
            before: path(decoder, behind.start),
            latency_s: seconds_of(latency),
            transfer_s: seconds_of(ticks.saturating_sub(latency)),
            time_s: seconds_of(ticks),
        });
    }
    StepTime {
        time_s: seconds_of(total),
        stages: times,
        hops,
    }
}

fn path(decoder: &Decoder, position: usize) -> String {
    let module = decoder.modules.get(position);
    module.map(|module| module.path.clone()).unwrap_or_default()
}

fn described<D>(decoder: &Decoder, range: &Range<usize>, device: D, ticks: StageTicks) -> StageTime<D> {
    StageTime {
        device,
        first: path(decoder, range.start),
        last: path(decoder, range.end.saturating_sub(1)),
        weights_s: seconds_of(ticks.weights),
        kv_s: seconds_of(ticks.kv),
        compute_s: seconds_of(ticks.compute),
        overhead_s: seconds_of(ticks.overhead),
        bound: if ticks.compute > ticks.memory() {
            Bound::Compute
        } else {
            Bound::Memory
        },
        time_s: seconds_of(ticks.total()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::shape_testing::{decoder, map, slow_rates, workload};

    fn halves() -> Prediction<&'static str> {
        let decoder = decoder(2, false);
        let map = map([("", "b"), ("model.embed_tokens", "a"), ("model.layers.0", "a")]);
        predict(&PlacedDecoder::new(&decoder, &map).unwrap(), &workload(), &slow_rates())
    }

    #[test]
    fn a_token_is_a_sum_of_terms() {
        let tpot = halves().tpot;
        let [a, b] = tpot.stages.as_slice() else {
            panic!("two stages")
        };
        // One row of the embedding and a layer; its cache holds 15 positions on average.
        assert_eq!((a.weights_s, a.kv_s), (800e-6, 480e-6));
        assert_eq!((a.compute_s, a.overhead_s), (864e-6, 110e-6));
        assert_eq!((a.bound, a.time_s), (Bound::Memory, 1390e-6));
        assert_eq!((b.first.as_str(), b.last.as_str()), ("model.layers.1", "lm_head"));
        assert_eq!(b.time_s, 4590e-6);
        let [hop] = tpot.hops.as_slice() else { panic!("one hop") };
        assert_eq!(
            (hop.after.as_str(), hop.before.as_str()),
            ("model.layers.0", "model.layers.1")
        );
        assert_eq!((hop.latency_s, hop.transfer_s, hop.time_s), (1e-3, 32e-6, 1032e-6));
        assert_eq!(tpot.time_s, 7012e-6);
    }

    #[test]
    fn a_long_prompt_is_bound_by_arithmetic() {
        let ttft = halves().ttft;
        // 2 x 192 weights x 10 rows and 4 x 10 x 10 positions x 8.
        assert_eq!(ttft.stages[0].compute_s, 7040e-6);
        assert!(ttft.stages.iter().all(|stage| stage.bound == Bound::Compute));
        assert_eq!(ttft.hops[0].transfer_s, 320e-6);
        assert_eq!(ttft.time_s, 17_380e-6);
        let decoder = decoder(2, false);
        let long = Workload::new(1000, 1, 4);
        let placed = PlacedDecoder::new(&decoder, &map([("", "b"), ("model.embed_tokens", "a")])).unwrap();
        let ttft = predict(&placed, &long, &slow_rates()).ttft;
        assert_eq!(
            ttft.stages[0].weights_s, 3200e-6,
            "no more of an embedding is read than there is"
        );
    }

    #[test]
    fn stages_of_one_device_are_added_up() {
        let decoder = decoder(3, false);
        let map = map([("", "a"), ("model.layers.1", "b")]);
        let prediction = predict(&PlacedDecoder::new(&decoder, &map).unwrap(), &workload(), &slow_rates());
        assert_eq!(prediction.tpot.stages.len(), 3);
        let devices = prediction.tpot.per_device();
        assert_eq!(
            devices.iter().map(|device| device.device).collect::<Vec<_>>(),
            ["a", "b"]
        );
        let stages = &prediction.tpot.stages;
        assert_eq!(devices[0].time_s, stages[0].time_s + stages[2].time_s);
    }

    #[test]
    fn endless_times_do_not_wrap() {
        let decoder = decoder(2, false);
        let mut rates = slow_rates();
        rates.default_device.memory_bytes_per_s = f64::MIN_POSITIVE;
        let prediction = predict(
            &PlacedDecoder::new(&decoder, &map([("", "a")])).unwrap(),
            &workload(),
            &rates,
        );
        assert!(prediction.tpot.time_s > 1e7);
        rates.default_device.memory_bytes_per_s = f64::INFINITY;
        let prediction = predict(
            &PlacedDecoder::new(&decoder, &map([("", "a")])).unwrap(),
            &workload(),
            &rates,
        );
        assert_eq!(prediction.tpot.stages[0].weights_s, 0.0);
    }
}

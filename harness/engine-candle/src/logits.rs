//! From a row of logits to a token, with what is needed to judge a near-tie later.

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as CandleSampling};
use placebench_core::protocol::{Precision, Probe, Sampling, TokenLogit};

use crate::error::EngineError;

/// How many of the largest logits are kept a step.
const KEPT: usize = 5;

/// What a step chose, and from what.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The token.
    pub id: u32,
    /// Largest logit minus second largest.
    pub top2_gap: f32,
    /// The largest logits, largest first; the lowest token first among equals.
    pub top: Vec<TokenLogit>,
}

/// What a row of logits is like, for the record; those that are not finite are only counted.
#[must_use]
pub fn probe_of(input_tokens: usize, precision: Precision, logits: &[f32]) -> Probe {
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let squares = logits.iter().filter(|logit| logit.is_finite());
    let squares: f64 = squares.map(|logit| f64::from(*logit).powi(2)).sum();
    Probe {
        input_tokens: counted(input_tokens),
        precision: Some(precision),
        top5: largest(logits),
        logits: counted(logits.len()),
        non_finite: counted(logits.iter().filter(|logit| !logit.is_finite()).count()),
        logits_l2: squares.sqrt(),
    }
}

/// Chooses tokens: greedily, or by drawing.
pub struct Chooser {
    sampler: Option<LogitsProcessor>,
}

impl Chooser {
    /// A chooser at the start of its random numbers.
    #[must_use]
    pub fn new(sampling: Option<&Sampling>) -> Self {
        Self {
            sampler: sampling.map(|sampling| LogitsProcessor::from_sampling(sampling.seed, candle_sampling(sampling))),
        }
    }

    /// Chooses from the logits of a step.
    ///
    /// # Errors
    /// When a logit is not finite or the sampler refuses.
    pub fn choose(&mut self, step: u32, logits: &[f32]) -> Result<Choice, EngineError> {
        let bad = logits.iter().filter(|logit| !logit.is_finite()).count();
        if bad > 0 {
            return Err(EngineError::NonFinite {
                step,
                bad,
                total: logits.len(),
            });
        }
        let top = largest(logits);
        let [first, ..] = top.as_slice() else {
            return Err(EngineError::Request("the model has an empty vocabulary".into()));
        };
        let id = match &mut self.sampler {
            None => first.id,
            Some(sampler) => Tensor::new(logits, &Device::Cpu)
                .and_then(|row| sampler.sample(&row))
                .map_err(EngineError::candle("sampling"))?,
        };
        let top2_gap = top.get(1).map_or(0.0, |second| first.logit - second.logit);
        Ok(Choice { id, top2_gap, top })
    }
}

/// The [`KEPT`] largest that are finite, largest first; the lower number first among equals, so that greedy decoding is
/// deterministic.
fn largest(logits: &[f32]) -> Vec<TokenLogit> {
    let mut top: Vec<TokenLogit> = Vec::with_capacity(KEPT + 1);
    for (id, &logit) in (0_u32..).zip(logits).filter(|(_, logit)| logit.is_finite()) {
        if top.len() == KEPT && top.last().is_some_and(|last| logit <= last.logit) {
            continue;
        }
        let position = top.partition_point(|kept| kept.logit >= logit);
        top.insert(position, TokenLogit { id, logit });
        top.truncate(KEPT);
    }
    top
}

fn candle_sampling(sampling: &Sampling) -> CandleSampling {
    let temperature = sampling.temperature;
    match (sampling.top_k, sampling.top_p) {
        (None, None) => CandleSampling::All { temperature },
        (Some(k), None) => CandleSampling::TopK { k, temperature },
        (None, Some(p)) => CandleSampling::TopP { p, temperature },
        (Some(k), Some(p)) => CandleSampling::TopKThenTopP { k, p, temperature },
    }
}

/// Refuses numbers that no distribution has.
///
/// # Errors
/// When one is out of range.
pub fn check_sampling(sampling: &Sampling) -> Result<(), EngineError> {
    let refuse = |message: String| Err(EngineError::Request(message));
    if !(sampling.temperature.is_finite() && sampling.temperature > 0.0) {
        return refuse(format!("temperature is {}, it must be above 0", sampling.temperature));
    }
    if sampling.top_k == Some(0) {
        return refuse("top_k is 0, it must be at least 1".into());
    }
    match sampling.top_p {
        Some(p) if !(p > 0.0 && p <= 1.0) => refuse(format!("top_p is {p}, it must be above 0 and at most 1")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(seed: u64) -> Sampling {
        Sampling {
            temperature: 1.0,
            top_k: Some(3),
            top_p: Some(0.9),
            seed,
        }
    }

    #[test]
    fn greedy_takes_the_lowest_token_of_a_tie() {
        let choice = Chooser::new(None).choose(0, &[0.0, 2.0, 1.0, 2.0]).unwrap();
        assert_eq!(choice.id, 1);
        assert!(choice.top2_gap.abs() < f32::EPSILON);
        let ids: Vec<u32> = choice.top.iter().map(|top| top.id).collect();
        assert_eq!(ids, [1, 3, 2, 0]);
    }

    #[test]
    fn the_five_largest_are_kept_in_order() {
        let logits: Vec<f32> = [3.0, 9.0, 1.0, 7.0, 5.0, 8.0, 2.0, 6.0].into();
        let ids: Vec<u32> = largest(&logits).iter().map(|top| top.id).collect();
        assert_eq!(ids, [1, 5, 3, 7, 4]);
    }

    #[test]
    fn a_probe_counts_what_is_not_finite_and_leaves_it_out() {
        let probe = probe_of(7, Precision::Bf16, &[3.0, f32::NAN, 4.0, f32::INFINITY]);
        assert_eq!((probe.input_tokens, probe.logits, probe.non_finite), (7, 4, 2));
        let ids: Vec<u32> = probe.top5.iter().map(|top| top.id).collect();
        assert_eq!(ids, [2, 0]);
        assert!((probe.logits_l2 - 5.0).abs() < 1e-12);
        let text = serde_json::to_string(&probe).unwrap();
        assert_eq!(serde_json::from_str::<Probe>(&text).unwrap(), probe);
    }

    #[test]
    fn a_seed_repeats_and_stays_within_top_k() {
        let logits = [1.0, 1.1, 0.9, -5.0, -6.0];
        let draw = |seed: u64| -> Vec<u32> {
            let mut chooser = Chooser::new(Some(&sampling(seed)));
            (0..40).map(|step| chooser.choose(step, &logits).unwrap().id).collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|id| *id < 3));
    }

    #[test]
    fn what_is_not_finite_is_refused_with_its_step() {
        let error = Chooser::new(None)
            .choose(4, &[0.0, f32::NAN, f32::INFINITY])
            .unwrap_err();
        assert_eq!(error.to_string(), "step 4: 2 of 3 logits are not finite");
    }

    #[test]
    fn impossible_distributions_are_refused() {
        assert!(check_sampling(&sampling(0)).is_ok());
        for wrong in [
            Sampling {
                temperature: 0.0,
                ..sampling(0)
            },
            Sampling {
                temperature: f64::NAN,
                ..sampling(0)
            },
            Sampling {
                top_k: Some(0),
                ..sampling(0)
            },
            Sampling {
                top_p: Some(1.5),
                ..sampling(0)
            },
        ] {
            assert!(check_sampling(&wrong).is_err(), "{wrong:?}");
        }
    }
}

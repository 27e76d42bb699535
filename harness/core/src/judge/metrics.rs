//! Figures of a case from its raw stamps.

use super::forecast::{memory_forecast, time_forecast};
use super::repeats::Repeats;
use crate::device::{DeviceBytes, DeviceId};
use crate::outcome::Phase;
use crate::protocol::{Generation, MemoryKind};
use crate::record::{Attempt, CaseMetrics};
use crate::statistics::median;
use crate::units::Bytes;

/// Medians over the generations of all attempts.
#[must_use]
pub fn metrics(attempts: &[&Attempt]) -> CaseMetrics {
    let generations: Vec<&Generation> = attempts.iter().flat_map(|attempt| &attempt.generations).collect();
    let over = |figure: &dyn Fn(&Generation) -> Option<f64>| -> Option<f64> {
        let values: Vec<f64> = generations.iter().filter_map(|generation| figure(generation)).collect();
        median(&values)
    };
    let loads: Vec<f64> = attempts
        .iter()
        .filter_map(|attempt| attempt.phases.iter().find(|span| span.phase == Phase::Load)?.end_s)
        .collect();
    let first = generations.first();
    let repeats = Repeats::of(&generations);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    CaseMetrics {
        samples: u32::try_from(generations.len()).unwrap_or(u32::MAX),
        load_s: median(&loads),
        ttft_s: over(&|g| g.token_stamps_s.first().copied()),
        tpot_s: over(&tpot),
        e2e_s: over(&|g| g.token_stamps_s.last().copied()),
        prefill_tokens_per_s: over(&|g| rate(g.input_count()? as f64, *g.token_stamps_s.first()?)),
        decode_tokens_per_s: over(&|g| rate(1.0, tpot(g)?)),
        sequences: first.and_then(|g| u32::try_from(1 + g.companions.len()).ok()),
        output_tokens_per_s: over(&throughput),
        input_tokens: first.and_then(|g| u32::try_from(g.input_count()?).ok()),
        output_tokens: first.and_then(|g| u32::try_from(g.output_count()).ok()),
        finish_reason: first.map(|g| g.finish_reason.as_str().to_owned()),
        hops_per_token: over(&|g| mean_of_decode(g.hops.iter().map(|&hops| f64::from(hops)))),
        transfer_bytes_per_token: over(&|g| mean_of_decode(g.transfer_bytes.iter().map(|&bytes| bytes as f64))),
        weights_bytes: largest(attempts, MemoryKind::Weights),
        kv_cache_bytes: largest(attempts, MemoryKind::KvCache),
        peak_memory_bytes: largest(attempts, MemoryKind::Peak),
        time_forecast: time_forecast(attempts),
        memory_forecast: memory_forecast(attempts),
        exact_match_rate: repeats.map(|repeats| repeats.exact_match_rate()),
        matching_generations: repeats.map(|repeats| number(repeats.matching)),
        distinct_texts: repeats.map(|repeats| number(repeats.distinct)),
    }
}

/// Time per output token after the first: (e2e − ttft) / (n − 1). Tokens that came several at a time are counted, and not
/// their arrivals; all at once they have no time each.
#[must_use]
pub fn tpot(generation: &Generation) -> Option<f64> {
    let [first, .., last] = generation.token_stamps_s.as_slice() else {
        return None;
    };
    let gaps = generation.output_count().checked_sub(1)?;
    (gaps > 0).then(|| (last - first) / gaps as f64)
}

/// Tokens of all sequences over the time from the common start to the last token of any of them.
fn throughput(generation: &Generation) -> Option<f64> {
    let all = || std::iter::once(generation).chain(&generation.companions);
    let tokens: usize = all().map(Generation::output_count).sum();
    let ends = all().filter_map(|sequence| sequence.token_stamps_s.last().copied());
    rate(tokens as f64, ends.max_by(f64::total_cmp)?)
}

fn rate(count: f64, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| count / seconds)
}

/// The first step is the prefill; a generation of one token has no decode step.
fn mean_of_decode(steps: impl Iterator<Item = f64>) -> Option<f64> {
    let decode: Vec<f64> = steps.skip(1).collect();
    (!decode.is_empty()).then(|| decode.iter().sum::<f64>() / decode.len() as f64)
}

fn largest(attempts: &[&Attempt], kind: MemoryKind) -> Vec<DeviceBytes> {
    let mut found: Vec<DeviceBytes> = Vec::new();
    for figure in attempts
        .iter()
        .flat_map(|attempt| &attempt.memory)
        .filter(|figure| figure.kind == kind)
    {
        set_largest(&mut found, &figure.device, figure.bytes);
    }
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

fn set_largest(found: &mut Vec<DeviceBytes>, device: &DeviceId, bytes: Bytes) {
    match found.iter_mut().find(|entry| entry.device == *device) {
        Some(entry) => entry.bytes = entry.bytes.max(bytes),
        None => found.push(DeviceBytes {
            device: device.clone(),
            bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::FinishReason;

    #[test]
    fn figures_follow_from_stamps() {
        let generation = Generation {
            input_ids: vec![1; 10],
            output_ids: vec![1, 2, 3],
            text: String::new(),
            finish_reason: FinishReason::Length,
            start_s: 1.0,
            token_stamps_s: vec![0.5, 0.6, 0.9],
            top2_gaps: vec![],
            top5: vec![],
            hops: vec![1, 2, 2],
            transfer_bytes: vec![100, 10, 30],
            streamed_bytes: vec![],
            stage_times_s: vec![],
            text_offsets: vec![],
            companions: vec![],
            input_tokens: None,
            output_tokens: None,
        };
        let together = Generation {
            companions: vec![Generation {
                output_ids: vec![7],
                token_stamps_s: vec![1.0],
                ..generation.clone()
            }],
            ..generation.clone()
        };
        assert_eq!(throughput(&generation), Some(3.0 / 0.9));
        assert_eq!(throughput(&together), Some(4.0));
        assert_eq!(tpot(&generation), Some(0.2));
        assert_eq!(mean_of_decode(generation.hops.iter().map(|&h| f64::from(h))), Some(2.0));
        assert_eq!(
            mean_of_decode(generation.transfer_bytes.iter().map(|&b| b as f64)),
            Some(20.0)
        );
        assert_eq!(rate(10.0, 0.5), Some(20.0));
        assert_eq!(rate(10.0, 0.0), None);
    }
}

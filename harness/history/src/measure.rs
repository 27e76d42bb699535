//! The figures of one attempt that a history keeps.

use placebench_core::compare::Direction;
use placebench_core::device::DeviceBytes;
use placebench_core::judge::metrics;
use placebench_core::outcome::Outcome;
use placebench_core::record::Attempt;

/// A figure by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    /// The name in records.
    pub(crate) name: &'static str,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) direction: Direction,
    /// Counted, and not measured: the same work gives the same figure.
    pub(crate) is_counted: bool,
}

const fn measured(name: &'static str, unit: &'static str, direction: Direction) -> Metric {
    Metric {
        name,
        unit,
        direction,
        is_counted: false,
    }
}

const fn counted(name: &'static str, unit: &'static str, direction: Direction) -> Metric {
    Metric {
        is_counted: true,
        ..measured(name, unit, direction)
    }
}

const LOAD: Metric = measured("load_s", "s", Direction::Lower);
const TTFT: Metric = measured("ttft_s", "s", Direction::Lower);
const TPOT: Metric = measured("tpot_s", "s", Direction::Lower);
const E2E: Metric = measured("e2e_s", "s", Direction::Lower);
const PREFILL: Metric = measured("prefill_tokens_per_s", "tokens/s", Direction::Higher);
const DECODE: Metric = measured("decode_tokens_per_s", "tokens/s", Direction::Higher);
const OUTPUT: Metric = measured("output_tokens_per_s", "tokens/s", Direction::Higher);
const RSS: Metric = measured("peak_rss_bytes", "bytes", Direction::Lower);
const PEAK: Metric = measured("peak_memory_bytes", "bytes", Direction::Lower);
const WEIGHTS: Metric = counted("weights_bytes", "bytes", Direction::Equal);
const CACHE: Metric = counted("kv_cache_bytes", "bytes", Direction::Equal);
const HOPS: Metric = counted("hops_per_token", "1", Direction::Equal);
const TRANSFER: Metric = counted("transfer_bytes_per_token", "bytes", Direction::Lower);

const ALL: [Metric; 13] = [
    LOAD, TTFT, TPOT, E2E, PREFILL, DECODE, OUTPUT, RSS, PEAK, WEIGHTS, CACHE, HOPS, TRANSFER,
];

/// The names of all figures that a history keeps.
#[must_use]
pub fn names_of_metrics() -> Vec<&'static str> {
    ALL.iter().map(|metric| metric.name).collect()
}

/// Whether the figures of an attempt are speeds at all: it came to its end, and nobody looked into it on the way.
pub(crate) fn is_timed(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, Outcome::Completed) && attempt.audit.is_empty()
}

/// The figures of an attempt: the median over its generations, as [`TimingMetric`](placebench_core::compare::TimingMetric) has
/// them, with the device they are about. What is not finite is no figure: a record may hold any stamps.
pub(crate) fn figures(attempt: &Attempt) -> Vec<(Metric, String, f64)> {
    let figures = metrics(&[attempt]);
    let bytes = |bytes: placebench_core::units::Bytes| bytes.as_f64();
    let single = [
        (LOAD, figures.load_s),
        (TTFT, figures.ttft_s),
        (TPOT, figures.tpot_s),
        (E2E, figures.e2e_s),
        (PREFILL, figures.prefill_tokens_per_s),
        (DECODE, figures.decode_tokens_per_s),
        (OUTPUT, figures.output_tokens_per_s),
        (RSS, attempt.peak_rss_bytes.map(bytes)),
        (HOPS, figures.hops_per_token),
        (TRANSFER, figures.transfer_bytes_per_token),
    ];
    let of_devices = |metric: Metric, all: Vec<DeviceBytes>| {
        all.into_iter()
            .map(move |entry| (metric, entry.device.as_str().to_owned(), entry.bytes.as_f64()))
    };
    let single = single
        .into_iter()
        .filter_map(|(metric, value)| Some((metric, String::new(), value?)));
    single
        .chain(of_devices(PEAK, figures.peak_memory_bytes))
        .chain(of_devices(WEIGHTS, figures.weights_bytes))
        .chain(of_devices(CACHE, figures.kv_cache_bytes))
        .filter(|(_, _, value)| value.is_finite())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::compare::TimingMetric;

    #[test]
    fn names_are_those_of_comparisons_and_distinct() {
        use TimingMetric as T;
        let mut names = names_of_metrics();
        for metric in [T::LoadS, T::TtftS, T::TpotS, T::E2eS, T::OutputTokensPerS] {
            let ours = ALL.iter().find(|ours| ours.name == metric.as_str()).unwrap();
            assert_eq!((ours.unit, ours.direction), (metric.unit(), metric.direction()));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}

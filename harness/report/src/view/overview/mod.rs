//! What a reader wants to know first: which placement, is the text right, what does it cost, what broke and where.
//!
//! For a case its figures as numbers, for a prompt one sentence, for the run four answers. Nothing is claimed that the
//! record does not carry: a placement is called [fastest](super::fastest) only by the rule that `compare` uses, and a wrong text has no speed.

mod answer;
mod data;
mod least_peak;
pub mod problems;
mod run;

use placebench_core::record::{CaseMetrics, CaseSpec, CaseStatus, TextVerdict};
use placebench_core::units::Bytes;
use serde::Serialize;

use super::CaseView;
use super::compared::{ComparedView, TPOT, TTFT};
use super::words::line;

pub use data::{RunData, data};
pub(super) use run::answers;

/// The largest peak of a device in a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Peak {
    /// The device.
    pub device: String,
    /// Its position among the devices of the run, which is its colour.
    pub colour: usize,
    /// The peak in words.
    pub words: String,
    /// The peak in bytes.
    pub bytes: u64,
}

/// The figures of a case as numbers; a time of a wrong text is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Numbers {
    /// Number of measured generations.
    pub samples: u32,
    /// Start of the process to the end of loading, in seconds.
    pub load_s: Option<f64>,
    /// Median time to first token, in seconds.
    pub ttft_s: Option<f64>,
    /// Median time per token after the first, in seconds.
    pub tpot_s: Option<f64>,
    /// Median end to end, in seconds.
    pub e2e_s: Option<f64>,
    /// Tokens of a sequence per second after the first.
    pub decode_tokens_per_s: Option<f64>,
    /// Hops of a decode step.
    pub hops_per_token: Option<f64>,
    /// Bytes between devices of a decode step.
    pub transfer_bytes_per_token: Option<f64>,
}

/// What the overview says of a case, beside its outcome.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CaseOverview {
    /// Its figures.
    pub numbers: Numbers,
    /// Its largest peak.
    pub peak: Option<Peak>,
    /// Tokens per second, in words; empty where there is no speed.
    pub rate: String,
    /// Hops per token, in words; empty where not measured.
    pub hops: String,
    /// Its time to first token is certainly the least of its prompt.
    pub is_first_ttft: bool,
    /// Its time per token is certainly the least of its prompt.
    pub is_first_tpot: bool,
    /// Its largest peak is the least of its prompt.
    pub is_first_peak: bool,
    /// Its text or placement is not what it is compared with, or something changed against the baseline.
    pub differs: bool,
}

/// What the overview says of a prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PromptOverview {
    /// The finding in a sentence.
    pub answer: String,
    /// Nothing in it wants a look: every case passed.
    pub is_quiet: bool,
    /// The placement with the least of the largest peaks, where several can be compared.
    #[serde(skip)]
    pub least_peak: Option<String>,
}

/// The figures of a case.
pub(super) fn case(metrics: &CaseMetrics, text: TextVerdict, is_timed: bool, devices: &[String]) -> CaseOverview {
    let timed = |value: Option<f64>| value.filter(|value| is_timed && text.timing_is_valid() && value.is_finite());
    let numbers = Numbers {
        samples: metrics.samples,
        load_s: metrics.load_s.filter(|value| is_timed && value.is_finite()),
        ttft_s: timed(metrics.ttft_s),
        tpot_s: timed(metrics.tpot_s),
        e2e_s: timed(metrics.e2e_s),
        decode_tokens_per_s: timed(metrics.decode_tokens_per_s),
        hops_per_token: metrics.hops_per_token.filter(|value| value.is_finite()),
        transfer_bytes_per_token: metrics.transfer_bytes_per_token.filter(|value| value.is_finite()),
    };
    CaseOverview {
        rate: numbers
            .decode_tokens_per_s
            .map(|rate| super::words::rate(rate).replace(" tokens/s", ""))
            .unwrap_or_default(),
        hops: numbers.hops_per_token.map(super::words::number).unwrap_or_default(),
        numbers,
        peak: peak(metrics, devices),
        ..CaseOverview::default()
    }
}

fn peak(metrics: &CaseMetrics, devices: &[String]) -> Option<Peak> {
    // The first of equals, so that the order of the record decides and not chance.
    let largest = (metrics.peak_memory_bytes.iter()).reduce(|most, figure| match figure.bytes > most.bytes {
        true => figure,
        false => most,
    })?;
    let device = line(largest.device.as_str());
    Some(Peak {
        colour: devices.iter().position(|known| *known == device).unwrap_or(0),
        words: Bytes(largest.bytes.0).to_string(),
        bytes: largest.bytes.0,
        device,
    })
}

/// The finding of a prompt; marks in `cases` what is best.
pub(super) fn prompt(specs: &[&CaseSpec], cases: &mut [CaseView], compared: &ComparedView) -> PromptOverview {
    let marked = |metric: usize| compared.speeds_by(metric).fastest();
    if let Some(first) = marked(TTFT).and_then(|first| cases.get_mut(first)) {
        first.overview.is_first_ttft = true;
    }
    if let Some(first) = marked(TPOT).and_then(|first| cases.get_mut(first)) {
        first.overview.is_first_tpot = true;
    }
    let least_peak = least_peak::mark(specs, cases, &compared.reference);
    for case in cases.iter_mut() {
        let parts = matches!(case.text_verdict, "near_tie" | "diverged" | "garbage");
        case.overview.differs = parts || !case.placed.planned_stages.is_empty();
    }
    PromptOverview {
        answer: answer::sentence(cases, compared, least_peak.as_deref()),
        is_quiet: cases.iter().all(is_quiet),
        least_peak,
    }
}

/// Nothing of it wants a look.
fn is_quiet(case: &CaseView) -> bool {
    matches!(case.status_kind, Some(CaseStatus::Passed | CaseStatus::Skipped))
}

/// It ended as a case is to end, with the right text and no fault: its figures can be held beside others.
fn is_comparable(spec: &CaseSpec, case: &CaseView) -> bool {
    matches!(case.status_kind, Some(CaseStatus::Passed | CaseStatus::Flaky))
        && case.outcome == "completed"
        && spec.faults.is_empty()
        && !matches!(case.text_verdict, "diverged" | "garbage")
}

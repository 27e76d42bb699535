//! The hops of a placement: where the hidden state changes its device, what that moves and how long it takes.

use placebench_core::placement::Transfer;
use placebench_core::record::{Attempt, CaseMetrics};
use placebench_core::units::{Bytes, human_seconds};
use serde::Serialize;

use super::modules::ModuleView;
use super::steps::{Part, Segment, StepView};
use super::words::message;

/// A hop between two stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HopView {
    /// Position of the first module behind it.
    pub at: usize,
    /// Last module before it.
    pub after: String,
    /// First module behind it.
    pub before: String,
    /// The device it leaves.
    pub from: String,
    /// The device it reaches.
    pub to: String,
    /// What it moves for one token, in words; empty where nobody knows.
    pub bytes: String,
    /// The bytes are of the plan, as no token came through.
    pub is_planned: bool,
    /// What it takes for one token, in words; empty where nobody knows.
    pub time: String,
    /// The time was predicted, not measured.
    pub is_predicted: bool,
    /// How it travels: `direct`, or through the host and why; empty where the worker did not say.
    pub way: String,
}

impl HopView {
    /// Bytes and time: `512 B planned · 4.20 µs predicted`; empty where neither is known.
    #[must_use]
    pub fn cost(&self) -> String {
        let with = |words: &str, doubt: &str, is_doubtful: bool| match (words.is_empty(), is_doubtful) {
            (true, _) => String::new(),
            (false, true) => format!("{words} {doubt}"),
            (false, false) => words.to_owned(),
        };
        let parts = [
            with(&self.bytes, "planned", self.is_planned),
            with(&self.time, "predicted", self.is_predicted),
        ];
        let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        known.join(" · ")
    }

    /// `model.layers.3 → model.layers.4`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} → {}", self.after, self.before)
    }
}

/// The hops of modules in order of execution.
pub(super) fn view(
    modules: &[ModuleView],
    attempt: Option<&Attempt>,
    metrics: &CaseMetrics,
    decode: &StepView,
) -> Vec<HopView> {
    let (bytes, is_planned) = bytes(attempt, metrics);
    let pairs = modules.windows(2).enumerate();
    pairs
        .filter_map(|(index, pair)| {
            let (from, to) = (pair[0].runs()?, pair[1].runs()?);
            (from != to).then(|| {
                let (time, is_predicted) = time(decode, &pair[0].module, &pair[1].module);
                HopView {
                    at: index + 1,
                    after: pair[0].module.clone(),
                    before: pair[1].module.clone(),
                    from: from.to_owned(),
                    to: to.to_owned(),
                    bytes: bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
                    is_planned,
                    time: time.map(human_seconds).unwrap_or_default(),
                    is_predicted,
                    way: way(attempt, from, to),
                }
            })
        })
        .collect()
}

/// What one hop moves for a token after the first: every hop moves the same hidden state.
fn bytes(attempt: Option<&Attempt>, metrics: &CaseMetrics) -> (Option<Bytes>, bool) {
    let measured = metrics
        .transfer_bytes_per_token
        .zip(metrics.hops_per_token)
        .filter(|(bytes, hops)| *bytes > 0.0 && *hops > 0.0)
        .map(|(bytes, hops)| bytes / hops)
        .filter(|bytes| bytes.is_finite());
    if let Some(bytes) = measured {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rounded, positive byte count; the cast saturates"
        )]
        let whole = bytes.round() as u64;
        return (Some(Bytes(whole)), false);
    }
    let planned = attempt
        .and_then(|attempt| attempt.planned.as_ref()?.forecast.as_ref())
        .map(|forecast| forecast.footprint.decode_hop_bytes)
        .filter(|bytes| bytes.0 > 0);
    (planned, planned.is_some())
}

/// Seconds of a hop in a decode step, and whether they are only predicted.
fn time(decode: &StepView, after: &str, before: &str) -> (Option<f64>, bool) {
    let of = |segments: &[Segment]| {
        let mut hops = segments.iter().filter(|segment| match &segment.part {
            Part::Hop {
                after: left,
                before: right,
                ..
            } => left == after && right == before,
            _ => false,
        });
        hops.next().map(|hop| hop.seconds).filter(|seconds| seconds.is_finite())
    };
    let measured = of(&decode.measured);
    let predicted = measured.is_none().then(|| of(&decode.predicted)).flatten();
    (measured.or(predicted), predicted.is_some())
}

fn way(attempt: Option<&Attempt>, from: &str, to: &str) -> String {
    let links = attempt.map(|attempt| attempt.links.as_slice()).unwrap_or_default();
    let link = links
        .iter()
        .find(|link| link.from.as_str() == from && link.to.as_str() == to);
    match link {
        None => String::new(),
        Some(link) => {
            let way = match link.transfer {
                Transfer::Direct => "direct",
                Transfer::Host => "through host memory",
            };
            match &link.reason {
                Some(reason) => format!("{way}: {}", message(reason)),
                None => way.to_owned(),
            }
        }
    }
}

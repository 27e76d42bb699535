//! A case in a baseline: what is kept of its attempts, and attempts made of it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::asked::{Asked, asked, short_hash};
use super::compact::{Repeated, Stage, check_map, check_steps, pack_map, pack_steps};
use crate::compare::counters::{self, CounterChange};
use crate::compare::{Counter, GateSpec, NoVerdictReason};
use crate::device::DeviceId;
use crate::judge::compare::{NearTie, near_ties};
use crate::outcome::{Outcome, OutcomeKind, Phase};
use crate::placement::Concurrency;
use crate::protocol::{Generation, MemoryFigure, MemoryKind};
use crate::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, TextVerdict};

/// Bytes by device.
type ByDevice = BTreeMap<DeviceId, u64>;

/// Tokens of one sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineTokens {
    /// The tokens.
    pub ids: Vec<u32>,
    /// The tokens that might nearly have been chosen: step, token, and how far its logit was from that of the chosen one. Absent
    /// where the engine told no logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_ties: Option<Vec<(u32, u32, f64)>>,
    /// What was said, where the engine told no tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<BaselineText>,
}

/// A text of which no tokens are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineText {
    /// The text.
    pub text: String,
    /// How many tokens it has, as the server counted them.
    pub tokens: usize,
}

/// What one process took, in seconds, to five digits: rounding is then far below any change that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedAttempt {
    /// From its start to the end of loading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_s: Option<f64>,
    /// To the first token, of each generation.
    pub ttft_s: Vec<f64>,
    /// To the last token, of each generation.
    pub e2e_s: Vec<f64>,
    /// To the last token of the sequences that were generated together with it; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_e2e_s: Vec<f64>,
    /// Generated tokens, where that is not as many as `tokens` of the case holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_tokens: Vec<usize>,
}

/// A case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineCase {
    /// Its scenario.
    pub scenario: String,
    /// Position of the run it comes from among the sources.
    pub source: usize,
    /// What was asked.
    pub asked: Asked,
    /// The judgement on its text.
    pub text: TextVerdict,
    /// The resolved map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<Stage>>,
    /// The realised map, in order of execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realised: Option<Vec<Stage>>,
    /// Activations moved between devices, by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Repeated,
    /// Bytes moved by them, by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfer_bytes: Repeated,
    /// Weights copied in for offloaded layers, by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streamed_bytes: Repeated,
    /// Weights by device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights_bytes: ByDevice,
    /// Peak by device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peak_bytes: ByDevice,
    /// Tokens of the prompt: how many, and a hash of them.
    pub prompt: (usize, String),
    /// Generated tokens of the sequence that is judged, then of those that were generated together with it.
    pub tokens: Vec<BaselineTokens>,
    /// The counters it leaves out: [`machine_counters`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Counter>,
    /// Why a GPU was slowed down meanwhile, if it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub throttled: Vec<String>,
    /// What each of its processes took; empty where the baseline holds no timings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<TimedAttempt>,
}

/// Why a case is not saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsaved {
    /// It never makes figures: it is expected to fail, was skipped, or was audited. Why, in words that follow "it".
    NoFigures(String),
    /// It should have made figures that can be relied on, and did not. Why, in words that follow "it".
    Unfit(String),
}

impl BaselineCase {
    /// Boils the attempts of a case down: those of the try that decided, counted from 0. `attempts_per_try` must all be there.
    ///
    /// # Errors
    /// Why it cannot be saved.
    pub fn new(
        case: &CaseSpec,
        judged: &CaseVerdict,
        attempts: &[&Attempt],
        left_out: Vec<Counter>,
        timings: bool,
    ) -> Result<Self, Unsaved> {
        if let Some(why) = no_figures(case, judged) {
            return Err(Unsaved::NoFigures(why));
        }
        let unfit = |why: &str| Err(Unsaved::Unfit(why.to_owned()));
        if judged.status != CaseStatus::Passed {
            return unfit(&format!("is {}", judged.status.as_str()));
        }
        if attempts.len() != case.attempts_per_try() as usize {
            return unfit("was not made as often as it was to be");
        }
        let complete = attempts.iter().all(|attempt| attempt.outcome == Outcome::Completed);
        let first = attempts.first().copied().filter(|_| complete);
        let Some((first, generation)) = first.and_then(|first| Some((first, first.generations.first()?))) else {
            return unfit("has attempts without a generation");
        };
        if let Some(why) = unreliable(attempts, &left_out) {
            return unfit(&why);
        }
        let memory = |kind, counter| -> ByDevice {
            let figures = first.memory.iter().filter(|figure| figure.kind == kind);
            let kept = figures.filter(|_| !left_out.contains(&counter));
            kept.map(|figure| (figure.device.clone(), figure.bytes.0)).collect()
        };
        let mut saved = Self {
            scenario: case.scenario.clone(),
            source: 0,
            asked: asked(case),
            text: judged.text,
            plan: first.planned.as_ref().map(|planned| {
                let map = planned.device_map.iter();
                pack_map(map.map(|(module, device)| (module.as_str(), device)))
            }),
            realised: first.realised.as_ref().map(|modules| {
                let map = modules.iter();
                pack_map(map.map(|module| (module.module.as_str(), &module.device)))
            }),
            hops: pack_steps(generation.hops.iter().map(|hops| u64::from(*hops))),
            transfer_bytes: pack_steps(generation.transfer_bytes.iter().copied()),
            streamed_bytes: pack_steps(generation.streamed_bytes.iter().copied()),
            weights_bytes: memory(MemoryKind::Weights, Counter::WeightsBytes),
            peak_bytes: memory(MemoryKind::Peak, Counter::PeakBytes),
            prompt: prompt_of(generation),
            tokens: sequences(generation).map(BaselineTokens::new).collect(),
            left_out: Vec::new(),
            throttled: Vec::new(),
            attempts: Vec::new(),
        };
        saved.left_out = left_out;
        if timings {
            let gpus = attempts.iter().flat_map(|attempt| &attempt.gpus);
            saved.throttled = gpus.flat_map(|gpu| gpu.throttle_reasons.iter().cloned()).collect();
            saved.throttled.sort();
            saved.throttled.dedup();
            let tokens = generation.output_count();
            saved.attempts = attempts
                .iter()
                .map(|attempt| TimedAttempt::new(attempt, tokens))
                .collect();
        }
        Ok(saved)
    }

    /// Whether attempts can be made of it.
    pub(super) fn check(&self) -> Result<(), String> {
        for stages in [&self.plan, &self.realised].into_iter().flatten() {
            check_map(stages)?;
        }
        for steps in [&self.hops, &self.transfer_bytes, &self.streamed_bytes] {
            check_steps(steps)?;
        }
        if self.tokens.is_empty() {
            return Err("it has no tokens".to_owned());
        }
        let most = self.tokens.iter().map(BaselineTokens::count).max().unwrap_or(0);
        for timed in &self.attempts {
            let generations = timed.ttft_s.len();
            let fits = |list: usize| list == generations || list == 0;
            let tokens_fit = timed
                .output_tokens
                .iter()
                .all(|tokens| *tokens <= most.saturating_mul(16) + 16);
            if timed.e2e_s.len() != generations
                || !fits(timed.group_e2e_s.len())
                || !fits(timed.output_tokens.len())
                || !tokens_fit
            {
                return Err("the lists of its times do not fit each other".to_owned());
            }
        }
        // Tokens of a prompt are put back one by one.
        match self.prompt.0 {
            0..=10_000_000 => Ok(()),
            more => Err(format!("a prompt of {more} tokens cannot be")),
        }
    }
}

/// Why a case never has figures, if so. In words that follow "it".
#[must_use]
pub fn no_figures(case: &CaseSpec, judged: &CaseVerdict) -> Option<String> {
    if case.audit.is_some() {
        return Some("was audited, which makes no figures".to_owned());
    }
    match judged.status {
        CaseStatus::Skipped => return Some(format!("was skipped: {}", judged.sentence)),
        CaseStatus::Setup => return Some(format!("could not be set up: {}", judged.sentence)),
        CaseStatus::Passed | CaseStatus::Flaky | CaseStatus::Failed | CaseStatus::Pending => {}
    }
    if case.expect.outcome != OutcomeKind::Completed {
        let outcome = case.expect.outcome.as_str();
        return Some(format!("is expected to end as {outcome}, which makes no figures"));
    }
    let fails = case.expect.fails.join(", ");
    (!fails.is_empty()).then(|| format!("is expected to fail ({fails}), so its figures mean nothing"))
}

/// Engines that count their memory by the bytes they ask for: the same on every machine. Others ask the allocator, the driver
/// or the system.
const COUNTING_ENGINES: [&str; 3] = ["candle", "candle-reference", "mock"];

/// The counters of a case that another machine may count otherwise although nothing has changed. Peaks: those that are not
/// counted by the bytes that were asked for, and those of sequences in flight, which depend on how threads meet. Any of them
/// belongs to a baseline for one machine, none to one for all.
#[must_use]
pub fn machine_counters(case: &CaseSpec) -> Vec<Counter> {
    let is_counted = COUNTING_ENGINES.contains(&case.engine.as_str());
    match is_counted && !matches!(case.request.concurrency, Concurrency::InFlight(_)) {
        true => Vec::new(),
        false => vec![Counter::PeakBytes],
    }
}

/// What of attempts is no figure to hold others against, because it differs from attempt to attempt. In words that follow "it".
fn unreliable(attempts: &[&Attempt], left_out: &[Counter]) -> Option<String> {
    let kept = without(attempts, left_out);
    let kept: Vec<&Attempt> = kept.iter().collect();
    let rows = counters::compare(&kept, &kept, &GateSpec::versions());
    let row = rows.into_iter().find(|row| row.change != CounterChange::Same)?;
    let why = row.reason.as_ref().map(NoVerdictReason::sentence).or(row.detail);
    Some(format!(
        "cannot be relied on ({}): {}",
        row.counter.as_str(),
        why.unwrap_or_default()
    ))
}

pub(super) fn without(attempts: &[&Attempt], left_out: &[Counter]) -> Vec<Attempt> {
    let is_kept = |figure: &MemoryFigure| match figure.kind {
        MemoryKind::Peak => !left_out.contains(&Counter::PeakBytes),
        MemoryKind::Weights => !left_out.contains(&Counter::WeightsBytes),
        MemoryKind::KvCache => true,
    };
    let reduced = |attempt: &&Attempt| Attempt {
        memory: attempt
            .memory
            .iter()
            .filter(|figure| is_kept(figure))
            .cloned()
            .collect(),
        ..(*attempt).clone()
    };
    attempts.iter().map(reduced).collect()
}

fn sequences(generation: &Generation) -> impl Iterator<Item = &Generation> {
    std::iter::once(generation).chain(&generation.companions)
}

/// How long the prompt is, and a hash of its tokens.
pub(super) fn prompt_of(generation: &Generation) -> (usize, String) {
    let tokens = generation.input_count().unwrap_or_default();
    (tokens, prompt_hash(&generation.input_ids))
}

pub(super) fn prompt_hash(ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    short_hash(&bytes)
}

impl BaselineTokens {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.text.as_ref().map_or(self.ids.len(), |text| text.tokens)
    }

    fn new(generation: &Generation) -> Self {
        let tie = |tie: NearTie| {
            // Four digits: the tolerance has two.
            let gap = (f64::from(tie.gap) * 1e4).round() / 1e4;
            (tie.index, tie.id, gap)
        };
        Self {
            ids: generation.output_ids.clone(),
            near_ties: near_ties(generation).map(|ties| ties.into_iter().map(tie).collect()),
            text: (!generation.has_ids()).then(|| BaselineText {
                text: generation.text.clone(),
                tokens: generation.output_count(),
            }),
        }
    }
}

impl TimedAttempt {
    fn new(attempt: &Attempt, tokens: usize) -> Self {
        let load = attempt.phases.iter().find(|span| span.phase == Phase::Load);
        let generations = || attempt.generations.iter();
        let last = |generation: &Generation| generation.token_stamps_s.last().copied();
        let column = |of: &dyn Fn(&Generation) -> Option<f64>| -> Vec<f64> {
            generations()
                .map(|generation| rounded(of(generation).unwrap_or(0.0)))
                .collect()
        };
        let of_group = |generation: &Generation| sequences(generation).filter_map(last).max_by(f64::total_cmp);
        let lengths: Vec<usize> = generations().map(Generation::output_count).collect();
        Self {
            load_s: load.and_then(|span| span.end_s).map(rounded),
            ttft_s: column(&|generation| generation.token_stamps_s.first().copied()),
            e2e_s: column(&last),
            group_e2e_s: match generations().any(|generation| !generation.companions.is_empty()) {
                true => column(&of_group),
                false => Vec::new(),
            },
            output_tokens: match lengths.iter().all(|length| *length == tokens) {
                true => Vec::new(),
                false => lengths,
            },
        }
    }
}

/// To five digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

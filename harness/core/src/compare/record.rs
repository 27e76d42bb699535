//! What a comparison leaves behind: all it was decided by, so that it can be checked and drawn without the attempts.

use serde::{Deserialize, Serialize};

use super::counters::CounterRow;
use super::metric::{Direction, TimingMetric};
use super::reason::NoVerdictReason;
use super::spec::GateSpec;
use crate::exit_code::ExitCode;
use crate::statistics::Interval;

/// The judgement on a timing, or on several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Any change is within the margin.
    Same,
    /// Better, by more than the floor.
    Faster,
    /// Worse, by more than the floor.
    Slower,
    /// The data do not say; more might.
    Unclear,
    /// The data cannot say: something is wrong with them.
    NoVerdict,
}

impl Change {
    /// The name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Unclear => "unclear",
            Self::NoVerdict => "no_verdict",
        }
    }

    /// What to call several together: what must be known first. An alarm is not hidden by a neighbour that cannot speak,
    /// and good news is not told while a neighbour might be bad. `None` of nothing.
    #[must_use]
    pub fn of_all(changes: impl Iterator<Item = Self>) -> Option<Self> {
        let urgency = |change: &Self| match change {
            Self::Same => 0,
            Self::Faster => 1,
            Self::Unclear => 2,
            Self::NoVerdict => 3,
            Self::Slower => 4,
        };
        changes.max_by_key(urgency)
    }
}

/// Two attempts with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pair {
    /// Their number, from 0: the order in time.
    pub attempt: u32,
    /// The figure of the base, in the row's unit.
    pub base: f64,
    /// The figure of the new side.
    pub new: f64,
}

/// Where a threshold comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdSource {
    /// [`GateSpec::min_effect`].
    MinEffect,
    /// What `doctor --calibrate` measured on this machine.
    Calibrated,
    /// [`GateSpec::separate_floor`].
    SeparateSessions,
}

/// A size that changes are held against, as the logarithm of a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Threshold {
    /// 0.02 is about 2 %.
    pub log_ratio: f64,
    /// Where it comes from.
    pub source: ThresholdSource,
}

/// Something a person should know of a timing. It changes no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TimingWarning {
    /// Pairs whose ratio is far from the others (Tukey's outer fences). They are kept.
    Outliers {
        /// Their numbers.
        attempts: Vec<u32>,
    },
    /// The first attempt of a side stands apart from its others: a cache was cold, so more warm-up may be wanted.
    FirstStandsApart {
        /// Whose.
        side: super::reason::SideName,
    },
    /// Attempts without a counterpart were left out.
    Unpaired {
        /// How many, of both sides together.
        attempts: u32,
    },
}

/// A timing of a case on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TimingRow {
    /// The timing.
    pub metric: TimingMetric,
    /// Its unit.
    pub unit: String,
    /// Which way is better.
    pub direction: Direction,
    /// The pairs, in order of time. Empty where something was wrong with the figures.
    pub pairs: Vec<Pair>,
    /// Median over the base's attempts.
    pub base: Option<f64>,
    /// Median over the new side's attempts.
    pub new: Option<f64>,
    /// The estimate: the median of new / base over the pairs.
    pub ratio: Option<f64>,
    /// Bootstrap interval of that median.
    pub ratio_interval: Option<Interval>,
    /// A change is called one where it is certain to be larger.
    pub floor: Threshold,
    /// A timing is called the same where its change is certain to be no larger: the floor, or the noise of single pairs if
    /// that is more.
    pub margin: Threshold,
    /// Pairs that are worse by more than the floor, each on its own.
    pub pairs_slower: u32,
    /// Pairs that are better by more than the floor.
    pub pairs_faster: u32,
    /// Chance of such pairs if the timing were worse by no more than the floor: signed-rank test, after Holm's correction.
    pub p_slower: Option<f64>,
    /// The same for better.
    pub p_faster: Option<f64>,
    /// The judgement.
    pub change: Change,
    /// Why there is none.
    pub reason: Option<NoVerdictReason>,
    /// What else should be known.
    pub warnings: Vec<TimingWarning>,
}

/// A case on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CaseComparison {
    /// The case of the new side.
    pub case: String,
    /// The case of the base: the same one, or another placement of its prompt.
    pub base_case: String,
    /// What can be counted. Empty between placements.
    pub counters: Vec<CounterRow>,
    /// What was timed.
    pub timings: Vec<TimingRow>,
    /// The judgement on its timings together; absent where none is gated.
    pub change: Option<Change>,
    /// Pairs there should be before looking again; absent where more would not help.
    pub pairs_wanted: Option<u32>,
}

/// A comparison of one or more cases, judged as one family of questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Comparison {
    /// What it was judged by.
    pub spec: GateSpec,
    /// Level that adjusted p-values were held against: [`GateSpec::alpha_per_look`].
    pub alpha: f64,
    /// Gated timings that Holm's correction counted.
    pub family: u32,
    /// Each case.
    pub cases: Vec<CaseComparison>,
    /// The judgement on all timings; absent where none is gated.
    pub change: Option<Change>,
    /// What a gate exits with: `case_failed` where a counter got worse or a text differs, then `slower`, then `no_verdict`
    /// (also for what is still unclear), then `passed`. Timings of separate sessions count only where
    /// [`GateSpec::separate_timings_gate`] says so.
    pub exit: ExitCode,
}

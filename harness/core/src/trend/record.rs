//! A trend as it is printed, drawn, and written as JSON.

use serde::{Deserialize, Serialize};

use crate::compare::Direction;
use crate::exit_code::ExitCode;
use crate::outcome::OutcomeKind;
use crate::record::{CaseStatus, TextVerdict};

/// Version of a trend as JSON.
///
/// History: 1 (first).
pub const TREND_VERSION: u32 = 1;

/// What many runs say. Holds names and words of scenarios and machines: escape them where shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// [`TREND_VERSION`] of the writer.
    pub schema_version: u32,
    /// How changes were found.
    pub method: TrendMethod,
    /// The machines, by position in `machine` of a series.
    pub machines: Vec<TrendMachine>,
    /// The runs from the oldest to the newest, by position in `run` of a point.
    pub runs: Vec<TrendRun>,
    /// States of cases, those that are broken first.
    pub states: Vec<StateSeries>,
    /// Figures of cases, those that got worse most first.
    pub figures: Vec<FigureSeries>,
}

/// How changes of level were found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendMethod {
    /// `robust_cusum_permutation`: see [`change_points`](crate::statistics::change_points).
    pub name: String,
    /// Largest p-value of a change.
    pub alpha: f64,
    /// Smallest change, as a share.
    pub min_change: f64,
    /// Runs a level consists of at least.
    pub shortest_level: usize,
    /// Permutations at most.
    pub permutations: u32,
    /// Their seed.
    pub seed: u64,
}

/// A machine, as far as figures depend on its hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendMachine {
    /// Short name, the same for the same machine everywhere.
    pub key: String,
    /// Its parts in words.
    pub words: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendRun {
    /// Its name.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// How it ended.
    pub exit: ExitCode,
}

/// What a case was run with in one run: what may explain a change. Hardware is no part of it, since no series spans two
/// machines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The program that made the run: `placebench 0.1.0 (release)`.
    pub tool: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Versions of the driver of accelerators.
    pub drivers: Vec<String>,
    /// Versions of what computed.
    pub versions: Vec<String>,
    /// Digest of what was asked for: model, prompt, placement, generation. Other deadlines and expectations change nothing.
    pub definition: String,
}

impl Facts {
    /// What is not the same in another run.
    #[must_use]
    pub fn differences(&self, after: &Self) -> Vec<Difference> {
        let list = |items: &[String]| items.join(", ");
        let parts = [
            ("placebench", self.tool.clone(), after.tool.clone()),
            ("kernel", self.kernel.clone(), after.kernel.clone()),
            ("driver", list(&self.drivers), list(&after.drivers)),
            ("versions", list(&self.versions), list(&after.versions)),
            ("definition", self.definition.clone(), after.definition.clone()),
        ];
        let differing = parts.into_iter().filter(|(_, before, after)| before != after);
        differing
            .map(|(what, before, after)| Difference {
                what: what.to_owned(),
                before,
                after,
            })
            .collect()
    }
}

/// Something besides the figure that is not the same in two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `placebench`, `kernel`, `driver`, `versions` or `definition`.
    pub what: String,
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// A figure: which one, in what, and which way is better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name in records: `tpot_s`, `peak_memory_bytes`.
    pub metric: String,
    /// The device it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// `s`, `tokens/s`, `bytes`, `1`.
    pub unit: String,
    /// Which way is better.
    pub direction: Direction,
}

/// A figure of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FigurePoint {
    /// The run.
    pub run: usize,
    /// Median of the figures of its attempts.
    pub value: f64,
    /// The least of them.
    pub lowest: f64,
    /// The largest.
    pub highest: f64,
    /// How many they are.
    pub attempts: u32,
}

/// Runs between two changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Position of its first point.
    pub first: usize,
    /// Position of its last.
    pub last: usize,
    /// Median of its points.
    pub value: f64,
}

/// A change of level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendChange {
    /// Position of the first point of the new level.
    pub at: usize,
    /// Median before / median after as new / old: 1.1 is 10 % more. Absent where one of them is 0.
    pub ratio: Option<f64>,
    /// `true`: worse, `false`: better; absent where neither way is better.
    pub worse: Option<bool>,
    /// p-value; 0 for figures that are counted.
    pub p: f64,
    /// What else is not the same in the runs on its two sides.
    pub differences: Vec<Difference>,
}

/// A figure of a case on a machine through the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FigureSeries {
    /// The case.
    pub case: String,
    /// The figure.
    pub figure: Figure,
    /// Whether it is counted and not measured: then every other value is a change.
    pub is_counted: bool,
    /// The machine.
    pub machine: usize,
    /// One point a run that has the figure, from the oldest.
    pub points: Vec<FigurePoint>,
    /// Where its level changed.
    pub changes: Vec<TrendChange>,
    /// What lies between them.
    pub levels: Vec<Level>,
}

/// How a case ended in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePoint {
    /// The run.
    pub run: usize,
    /// Its status.
    pub status: CaseStatus,
    /// What happened.
    pub outcome: OutcomeKind,
    /// The judgement on its text.
    pub text: TextVerdict,
}

/// What kind of change a change of state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateChangeKind {
    /// It was as expected, and is no longer.
    Broke,
    /// It is as expected again.
    Fixed,
    /// Neither, but something else happened or its text was judged otherwise.
    Other,
}

/// A change of state. Nothing is to be estimated about it: one run is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateChange {
    /// Position of the first point of the new state.
    pub at: usize,
    /// What kind.
    pub kind: StateChangeKind,
    /// What else is not the same in the two runs.
    pub differences: Vec<Difference>,
}

/// The states of a case on a machine through the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateSeries {
    /// The case.
    pub case: String,
    /// The machine.
    pub machine: usize,
    /// One point a run that ran it, from the oldest.
    pub points: Vec<StatePoint>,
    /// Where the state changed.
    pub changes: Vec<StateChange>,
}

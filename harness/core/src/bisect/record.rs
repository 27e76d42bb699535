//! `bisect.json`: what a search was asked, what it tried, and what it found.

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::symptom::Symptom;
use super::{Configuration, Pair, ProbeResult, Space};
use crate::record::CaseSpec;

/// Version of `bisect.json`.
///
/// History: 1 (first).
pub const BISECT_VERSION: u32 = 1;

/// What a search was asked; enough to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The case that fails.
    pub failing: CaseSpec,
    /// Cases that may pass, the likeliest first.
    pub candidates: Vec<CaseSpec>,
    /// Whether one device may be tried after them.
    pub or_one_device: bool,
    /// Attempts a placement must pass to count as passing.
    pub repeat: u32,
    /// Most attempts.
    pub max_attempts: u32,
}

/// How far a search has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Progress {
    /// It goes on, or was interrupted.
    Searching,
    /// It found the difference.
    Found {
        /// What it found.
        answer: Box<Answer>,
        /// The answer as a sentence.
        sentence: String,
    },
    /// It could not find one.
    Undecided {
        /// Why, in a sentence.
        reason: String,
        /// The nearest failing and passing configurations, where the attempts were used up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nearest: Option<Box<Pair>>,
    },
}

/// The two placements, once it is confirmed that one fails and the other passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confirmed {
    /// How the case fails.
    pub symptom: Symptom,
    /// The case that passes.
    pub passing: CaseSpec,
    /// What the two consist of, as it was planned and loaded.
    pub space: Space,
}

/// A line of the table of probes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeLine {
    /// The case in `run.json` and `attempts.jsonl`.
    pub case: String,
    /// What was tried, in words.
    pub tried: String,
    /// What came out.
    pub result: ProbeResult,
    /// What happened, in a sentence: of the attempt that failed, else of the last.
    pub sentence: String,
    /// Processes it took.
    pub attempts: u32,
    /// Their time, in seconds.
    pub wall_s: f64,
    /// What was tried, in full; absent for the two placements of the scenario, which are run as it asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
}

/// `bisect.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BisectRecord {
    /// [`BISECT_VERSION`] of the writer.
    pub schema_version: u32,
    /// The run that holds the attempts.
    pub run_id: String,
    /// What was asked.
    pub question: Question,
    /// What is searched, once the two placements are confirmed.
    pub confirmed: Option<Box<Confirmed>>,
    /// What was tried, in order.
    pub probes: Vec<ProbeLine>,
    /// How far it is.
    pub progress: Progress,
}

//! The other program of a run that is held against one.

use serde::{Deserialize, Serialize};

use crate::compare::GateSpec;
use crate::doctor::noise::NoiseFloor;

/// Part of `run.json` with `--against`: everything it takes to go on with the run, and to judge it again. The attempts of the
/// other program are a run of their own in the folder `base`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgainstSpec {
    /// Absolute path of the program.
    pub program: String,
    /// SHA-256 of its file, 64 hexadecimal digits: what was changed meanwhile is another program.
    pub sha256: String,
    /// What it calls itself, as its workers said.
    pub version: String,
    /// `debug` or `release`, as its workers said.
    pub profile: String,
    /// What the comparison is judged by.
    pub spec: GateSpec,
    /// How many cases the judgement of the whole may have, those of all shards included: the family that pairs were planned for.
    pub cases: u32,
    /// The noise of the machine, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseFloor>,
    /// Cases that are run by one program only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// A case that the other program does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The case.
    pub case: String,
    /// Why, as the end of a sentence on the case. Holds words of scenarios: escape it where shown.
    pub reason: String,
}

//! What a run has to do with a stored baseline, as it was asked for.

use serde::{Deserialize, Serialize};

use crate::compare::GateSpec;
use crate::doctor::noise::NoiseFloor;

/// What is done with a baseline once the run is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaselineAction {
    /// The run is held against it; what it lacks has no verdict (`--baseline`).
    Hold,
    /// The run is held against it; what it lacks is passed over (`--baseline-lenient`).
    HoldLeniently,
    /// It is made of the run, or renewed with it (`--save-baseline`).
    Save,
    /// The same, without timings, for all machines (`--save-baseline` with `--counters-only`).
    SaveCounters,
}

/// A file of a baseline as it was when the run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineFile {
    /// The machine it is of: its name without the ending.
    pub key: String,
    /// A hash of its content.
    pub digest: String,
}

/// A baseline that a run was asked to be held against, or to be saved as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineUse {
    /// Its name.
    pub name: String,
    /// The folder of all baselines, as it was given.
    pub dir: String,
    /// What is done with it.
    pub action: BaselineAction,
    /// What of the suites was looked at: names of scenarios, and of folders with `/` at their end. Cases of a baseline outside
    /// are none of this run's business.
    pub scope: Vec<String>,
    /// Cases inside that were not selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// The files it had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<BaselineFile>,
    /// By what it is judged; absent: by what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<GateSpec>,
    /// The noise of the machine, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseFloor>,
}

impl BaselineUse {
    /// Whether a scenario is inside of what was looked at.
    #[must_use]
    pub fn covers(&self, scenario: &str) -> bool {
        let is_inside = |part: &String| match part.strip_suffix('/') {
            Some("") => true,
            Some(folder) => scenario.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
            None => part == scenario,
        };
        self.scope.iter().any(is_inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_covers_what_is_in_it_and_a_file_itself() {
        let covers = |scope: &[&str], scenario: &str| {
            let asked = BaselineUse {
                name: "main".into(),
                dir: "ci/baselines".into(),
                action: BaselineAction::Hold,
                scope: scope.iter().map(|part| (*part).to_owned()).collect(),
                left_out: Vec::new(),
                files: Vec::new(),
                spec: None,
                noise: None,
            };
            asked.covers(scenario)
        };
        assert!(covers(&["/"], "smoke/a"));
        assert!(covers(&["smoke/"], "smoke/a") && covers(&["smoke/"], "smoke/deep/a"));
        assert!(!covers(&["smoke/"], "smoke") && !covers(&["smoke/"], "smokers/a"));
        assert!(covers(&["x", "smoke/a"], "smoke/a") && !covers(&["smoke/a"], "smoke/a/b"));
        assert!(!covers(&[], "smoke/a"));
    }
}

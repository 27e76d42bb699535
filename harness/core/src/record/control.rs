//! How a run was selected and controlled, and of which shards a merged one is made.

use serde::{Deserialize, Serialize};

use super::{AgainstSpec, BaselineUse, CaseSpec, Environment, Resumption, Tool};
use crate::scenario::MOST_REPETITIONS;
use crate::selection::Partition;

/// What a case counts as that failed and then passed on a retry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlakyResult {
    /// It does not fail the run, and is called flaky everywhere.
    #[default]
    Pass,
    /// It fails the run.
    Fail,
}

impl FlakyResult {
    /// The name in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

/// Who said what a setting is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingSource {
    /// The command line.
    Flag,
    /// This environment variable.
    Environment(String),
    /// A profile of a configuration file.
    Profile {
        /// Its name.
        name: String,
        /// The file, as people know it.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// Nobody: the built-in value.
    Default,
}

/// A setting with its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveSetting {
    /// Its name, as in `placebench.toml`.
    pub setting: String,
    /// Its value in words.
    pub value: String,
    /// Who said so.
    pub source: SettingSource,
    /// Scenarios whose own word wins over it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden_by: Vec<String>,
}

/// Part of `run.json`: how the run was selected and controlled. Absent parts were not asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunControl {
    /// The profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The filter, in its normal form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filterset: Option<String>,
    /// The shard this run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Names of the cases of all shards, in order, in a shard and in a run merged from some of them only: gaps are found by
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selected: Vec<String>,
    /// How often a failed case is tried again.
    #[serde(default)]
    pub retries: u32,
    /// What a case counts as that passed only then.
    #[serde(default)]
    pub flaky_result: FlakyResult,
    /// The run stops when so many cases have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fail: Option<u32>,
    /// Every setting with its origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<EffectiveSetting>,
    /// The program it is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<AgainstSpec>,
    /// Name of the run whose other side this is: its attempts were made by the program that run is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_of: Option<String>,
    /// Where it was gone on with on another machine, or with other variables, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumptions: Vec<Resumption>,
    /// The baseline it was to be held against, or saved as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineUse>,
}

/// A run that is part of a merged one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// Its own name.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The program.
    pub tool: Tool,
    /// The machine.
    pub environment: Environment,
    /// The command line after the program's name.
    pub arguments: Vec<String>,
    /// Seed of the order of attempts.
    pub seed: u64,
    /// How it was selected and controlled; the list of all shards' cases is left out.
    pub control: RunControl,
    /// Names of its cases.
    pub cases: Vec<String>,
}

impl CaseSpec {
    /// Processes that one try of the case takes.
    #[must_use]
    pub fn attempts_per_try(&self) -> u32 {
        match self.measure.isolation {
            // Scenarios ask for no more; a damaged record may.
            super::Isolation::Process => self.measure.repetitions.clamp(1, MOST_REPETITIONS),
            super::Isolation::Shared => 1,
        }
    }

    /// How many attempts of a try are to be made where so many are on record: as many as the case asks for, or, of one whose
    /// times are looked at after some of them, as many as it takes to the next look. Each look doubles what there is, as
    /// [`GateSpec::next_pairs`](crate::compare::GateSpec::next_pairs) does.
    #[must_use]
    pub fn attempts_to_next_look(&self, made: u32) -> u32 {
        let cap = self.attempts_per_try();
        let Some(first) = self.measure.first_look else {
            return cap;
        };
        let mut look = first.clamp(1, cap);
        while look < made {
            look = look.saturating_mul(2).min(cap).max(look + 1);
        }
        look.min(cap)
    }

    /// Whether a try with so many attempts may be left at that.
    #[must_use]
    pub fn is_whole(&self, made: u32) -> bool {
        made >= self.attempts_per_try()
            || (self.measure.first_look.is_some() && self.attempts_to_next_look(made) == made)
    }

    /// The try an attempt of this case belongs to: 0 for the first, 1 for the first retry. Attempts are counted through all
    /// tries.
    #[must_use]
    pub fn retry_of(&self, attempt: u32) -> u32 {
        attempt / self.attempts_per_try()
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::testing;
    use crate::record::MeasureSpec;

    #[test]
    fn looks_double_up_to_what_the_case_asks_for() {
        let looked_at = |first_look, repetitions| {
            let mut case = testing::case();
            case.measure = MeasureSpec {
                repetitions,
                first_look,
                ..case.measure
            };
            (0..=repetitions + 1)
                .filter(|made| case.is_whole(*made))
                .collect::<Vec<u32>>()
        };
        assert_eq!(looked_at(Some(10), 50), [10, 20, 40, 50, 51]);
        assert_eq!(looked_at(Some(7), 7), [7, 8]);
        assert_eq!(looked_at(None, 3), [3, 4]);
        // A damaged record asks for a look that cannot be.
        assert_eq!(looked_at(Some(0), 3), [1, 2, 3, 4]);
        assert_eq!(looked_at(Some(u32::MAX), 3), [3, 4]);
    }
}

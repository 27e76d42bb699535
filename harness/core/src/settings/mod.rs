//! Settings of a run: who may say what, and whose word counts.
//!
//! In order: a flag, an environment variable (`PLACEBENCH_…`), the scenario, the chosen profile of `placebench.toml`, its
//! profile `default`, the built-in value. What the gate is judged by has a table of its own in a profile (`gate`). Only `repetitions` and `rates` are also keys of scenarios: a flag or a variable
//! wins over those, a profile gives way to them.

mod baseline;
mod environment;
mod file;
mod gate;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use baseline::{DEFAULT_BASELINE_DIR, HeldAgainst, check_baseline_name};
pub use environment::{CONFIG_FILE_VARIABLE, PARTITION_VARIABLE, PROFILE_VARIABLE, from_environment, misspelt};
pub use file::{CONFIG_FILE, ConfigFile, DEFAULT_PROFILE, ProfileTable, json_schema, parse_config};
pub use gate::{GateGiven, GateSettings, GateTable, TokensTable};

use crate::record::{EffectiveSetting, FlakyResult, SettingSource};
use crate::scenario::Scenario;

/// Where runs are kept if nothing else is said.
pub const DEFAULT_OUTPUT_DIR: &str = "reports";

/// How to talk while running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line on standard output.
    Ndjson,
}

impl MessageFormat {
    /// The name in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Ndjson => "ndjson",
        }
    }
}

/// When a run stops early.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MaxFail {
    /// Never.
    #[default]
    All,
    /// When so many cases have failed.
    After(u32),
}

impl MaxFail {
    /// The number, if there is one.
    #[must_use]
    pub fn limit(self) -> Option<u32> {
        match self {
            Self::All => None,
            Self::After(most) => Some(most),
        }
    }
}

impl std::fmt::Display for MaxFail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => write!(f, "all"),
            Self::After(most) => write!(f, "{most}"),
        }
    }
}

impl std::str::FromStr for MaxFail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            number => match number.parse() {
                Ok(most) if most > 0 => Ok(Self::After(most)),
                _ => Err("write a number of at least 1, or all".to_owned()),
            },
        }
    }
}

/// What one who may say so says; paths as they are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// The cases to run.
    pub filterset: Option<(String, SettingSource)>,
    /// How often a failed case is tried again.
    pub retries: Option<(u32, SettingSource)>,
    /// What a case counts as that passed only then.
    pub flaky_result: Option<(FlakyResult, SettingSource)>,
    /// When to stop early.
    pub max_fail: Option<(MaxFail, SettingSource)>,
    /// Counted generations of each case.
    pub repetitions: Option<(u32, SettingSource)>,
    /// Seed of the order of attempts.
    pub seed: Option<(u64, SettingSource)>,
    /// What to print.
    pub message_format: Option<(MessageFormat, SettingSource)>,
    /// Where runs are written.
    pub output_dir: Option<(String, SettingSource)>,
    /// How fast devices are: a file.
    pub rates: Option<(String, SettingSource)>,
    /// What all deadlines are multiplied by.
    pub timeout_multiplier: Option<(f64, SettingSource)>,
    /// By what a run is judged that is held against something.
    pub gate: GateGiven,
    /// How many attempts may run at a time.
    pub jobs: Option<(u32, SettingSource)>,
    /// The baseline that runs are held against.
    pub baseline: Option<(HeldAgainst, SettingSource)>,
    /// Where baselines are.
    pub baseline_dir: Option<(String, SettingSource)>,
}

/// A value with who said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen<T> {
    /// The value.
    pub value: T,
    /// Who said so.
    pub source: SettingSource,
}

impl<T> Chosen<T> {
    /// Whether a scenario's own word gives way to it.
    #[must_use]
    pub fn wins_over_scenarios(&self) -> bool {
        matches!(self.source, SettingSource::Flag | SettingSource::Environment(_))
    }
}

/// All settings of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The cases to run; absent: all.
    pub filterset: Chosen<Option<String>>,
    /// How often a failed case is tried again.
    pub retries: Chosen<u32>,
    /// What a case counts as that passed only then.
    pub flaky_result: Chosen<FlakyResult>,
    /// When to stop early.
    pub max_fail: Chosen<MaxFail>,
    /// Counted generations of each case; absent: what the scenario says, else 1.
    pub repetitions: Chosen<Option<u32>>,
    /// Seed of the order of attempts.
    pub seed: Chosen<u64>,
    /// What to print.
    pub message_format: Chosen<MessageFormat>,
    /// Where runs are written.
    pub output_dir: Chosen<String>,
    /// How fast devices are: a file.
    pub rates: Chosen<Option<String>>,
    /// What all deadlines are multiplied by.
    pub timeout_multiplier: Chosen<f64>,
    /// By what a run is judged that is held against something.
    pub gate: GateSettings,
    /// How many attempts of cases whose times nobody asks for may run at a time.
    pub jobs: Chosen<u32>,
    /// The baseline that runs are held against.
    pub baseline: Chosen<Option<HeldAgainst>>,
    /// Where baselines are.
    pub baseline_dir: Chosen<String>,
}

fn first<L, T: Clone>(layers: &[L], of: impl Fn(&L) -> Option<&(T, SettingSource)>) -> Option<(T, SettingSource)> {
    layers.iter().find_map(of).cloned()
}

fn or<T>(said: Option<(T, SettingSource)>, absent: T) -> Chosen<T> {
    let (value, source) = said.unwrap_or((absent, SettingSource::Default));
    Chosen { value, source }
}

/// The first word on each setting; `layers` come in the order in which they count.
#[must_use]
pub fn choose(layers: &[Given]) -> Settings {
    fn optional<T>(said: Option<(T, SettingSource)>) -> Chosen<Option<T>> {
        or(said.map(|(value, source)| (Some(value), source)), None)
    }
    let gates: Vec<GateGiven> = layers.iter().map(|given| given.gate.clone()).collect();
    Settings {
        filterset: optional(first(layers, |given| given.filterset.as_ref())),
        retries: or(first(layers, |given| given.retries.as_ref()), 0),
        flaky_result: or(first(layers, |given| given.flaky_result.as_ref()), FlakyResult::Pass),
        max_fail: or(first(layers, |given| given.max_fail.as_ref()), MaxFail::All),
        repetitions: optional(first(layers, |given| given.repetitions.as_ref())),
        seed: or(first(layers, |given| given.seed.as_ref()), 0),
        message_format: or(
            first(layers, |given| given.message_format.as_ref()),
            MessageFormat::Human,
        ),
        output_dir: or(
            first(layers, |given| given.output_dir.as_ref()),
            DEFAULT_OUTPUT_DIR.to_owned(),
        ),
        rates: optional(first(layers, |given| given.rates.as_ref())),
        timeout_multiplier: or(first(layers, |given| given.timeout_multiplier.as_ref()), 1.0),
        gate: GateSettings::choose(&gates),
        jobs: or(first(layers, |given| given.jobs.as_ref()), 1),
        baseline: optional(first(layers, |given| given.baseline.as_ref())),
        baseline_dir: or(
            first(layers, |given| given.baseline_dir.as_ref()),
            DEFAULT_BASELINE_DIR.to_owned(),
        ),
    }
}

impl Settings {
    /// Every setting in words with its origin, and the scenarios whose own word wins over it.
    #[must_use]
    pub fn explained(&self, scenarios: &[Scenario]) -> Vec<EffectiveSetting> {
        fn row<T>(setting: &str, chosen: &Chosen<T>, value: String) -> EffectiveSetting {
            EffectiveSetting {
                setting: setting.to_owned(),
                value,
                source: chosen.source.clone(),
                overridden_by: Vec::new(),
            }
        }
        let named = |says: &dyn Fn(&Scenario) -> bool| -> Vec<String> {
            let own = scenarios.iter().filter(|scenario| says(scenario));
            own.map(|scenario| scenario.origin.name.clone()).collect()
        };
        let mut repetitions = row(
            "repetitions",
            &self.repetitions,
            self.repetitions
                .value
                .map_or_else(|| "1".into(), |number| number.to_string()),
        );
        if !self.repetitions.wins_over_scenarios() {
            repetitions.overridden_by = named(&|scenario| scenario.states_repetitions);
        }
        let mut rates = row(
            "rates",
            &self.rates,
            self.rates.value.clone().unwrap_or_else(|| "none".into()),
        );
        if !self.rates.wins_over_scenarios() {
            rates.overridden_by = named(&|scenario| scenario.rates.is_some());
        }
        let mut rows = vec![
            row(
                "filterset",
                &self.filterset,
                self.filterset.value.clone().unwrap_or_else(|| "all()".into()),
            ),
            row("retries", &self.retries, self.retries.value.to_string()),
            row(
                "flaky_result",
                &self.flaky_result,
                self.flaky_result.value.as_str().into(),
            ),
            row("max_fail", &self.max_fail, self.max_fail.value.to_string()),
            repetitions,
            row("seed", &self.seed, self.seed.value.to_string()),
            row(
                "message_format",
                &self.message_format,
                self.message_format.value.as_str().into(),
            ),
            row("output_dir", &self.output_dir, self.output_dir.value.clone()),
            rates,
            row(
                "timeout_multiplier",
                &self.timeout_multiplier,
                self.timeout_multiplier.value.to_string(),
            ),
            row("jobs", &self.jobs, self.jobs.value.to_string()),
            row(
                "baseline",
                &self.baseline,
                self.baseline
                    .value
                    .as_ref()
                    .map_or_else(|| "none".into(), ToString::to_string),
            ),
            row("baseline_dir", &self.baseline_dir, self.baseline_dir.value.clone()),
        ];
        rows.extend(self.gate.explained());
        rows
    }

    /// Puts what concerns scenarios into one, as far as the scenario does not say otherwise. `rates` are those of the file
    /// that the setting names.
    pub fn apply(&self, scenario: &mut Scenario, rates: Option<&crate::planner::Rates<crate::device::DeviceId>>) {
        if let Some(repetitions) = self.repetitions.value
            && (self.repetitions.wins_over_scenarios() || !scenario.states_repetitions)
        {
            scenario.measure.repetitions = repetitions;
        }
        if let Some(rates) = rates
            && (self.rates.wins_over_scenarios() || scenario.rates.is_none())
        {
            scenario.rates = Some(rates.clone());
        }
        for placement in &mut scenario.placements {
            let timeout = &mut placement.timeout;
            for deadline_s in [
                &mut timeout.load_s,
                &mut timeout.first_token_s,
                &mut timeout.token_s,
                &mut timeout.total_s,
            ] {
                *deadline_s *= self.timeout_multiplier.value;
            }
        }
    }
}

/// A multiplier of deadlines must leave them deadlines.
///
/// # Errors
/// What it must be instead.
pub fn check_multiplier(multiplier: f64) -> Result<(), String> {
    // Far outside of what a slow machine, or a fast one, could need, and far inside of what a `Duration` holds.
    if (0.001..=1000.0).contains(&multiplier) {
        Ok(())
    } else {
        Err(format!(
            "timeout_multiplier must be between 0.001 and 1000, not {multiplier}"
        ))
    }
}

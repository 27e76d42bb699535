//! `placebench.toml`: profiles, named sets of settings.
//!
//! ```toml
//! [profile.default]
//! output_dir = "reports"
//!
//! [profile.ci]
//! filterset = "not tag(gpu)"
//! retries = 1
//! max_fail = 5
//! ```

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::gate::{self, GateTable};
use super::{Given, HeldAgainst, MaxFail, MessageFormat};
use crate::record::{FlakyResult, SettingSource};
use crate::scenario::Problem;
use crate::scenario::parse::parse_as;
use crate::scenario::problem::suggestion;
use crate::scenario::value::Named;
use crate::selection;

/// Name of the file.
pub const CONFIG_FILE: &str = "placebench.toml";

/// The profile that is used unasked, and that all others fall back on.
pub const DEFAULT_PROFILE: &str = "default";

/// The configuration of a project.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Profiles by name. What one leaves out is taken from `default`.
    pub profile: Option<Named<ProfileTable>>,
}

/// A profile. Every key but those of `gate` has a flag of `run` of the same name and an environment variable; both win over
/// it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileTable {
    /// The cases to run: a filter such as "tag(smoke) and not device(cuda:*)".
    #[schemars(with = "Option<String>")]
    pub filterset: Option<Spanned<String>>,
    /// How often a failed case is tried again; 0 if absent.
    #[schemars(with = "Option<u32>")]
    pub retries: Option<Spanned<u32>>,
    /// What a case counts as that passed only on a retry: pass (default) or fail.
    #[schemars(with = "Option<FlakyResult>")]
    pub flaky_result: Option<Spanned<FlakyResult>>,
    /// Stop at the first failed case.
    #[schemars(with = "Option<bool>")]
    pub fail_fast: Option<Spanned<bool>>,
    /// Stop when so many cases have failed.
    #[schemars(with = "Option<u32>")]
    pub max_fail: Option<Spanned<u32>>,
    /// Counted generations of each case, for scenarios that do not say.
    #[schemars(with = "Option<u32>")]
    pub repetitions: Option<Spanned<u32>>,
    /// Seed of the order of attempts; 0 if absent.
    #[schemars(with = "Option<u64>")]
    pub seed: Option<Spanned<u64>>,
    /// What to print while running: human (default) or ndjson.
    #[schemars(with = "Option<MessageFormat>")]
    pub message_format: Option<Spanned<MessageFormat>>,
    /// Folder in which the folder of a run is made, relative to this file; reports (in the current folder) if absent.
    #[schemars(with = "Option<String>")]
    pub output_dir: Option<Spanned<String>>,
    /// How fast this machine's devices are, as `doctor` wrote it, relative to this file; for scenarios that do not say.
    #[schemars(with = "Option<String>")]
    pub rates: Option<Spanned<String>>,
    /// All deadlines are multiplied by this, for a machine that is slow as a whole; 1 if absent.
    #[schemars(with = "Option<f64>")]
    pub timeout_multiplier: Option<Spanned<f64>>,
    /// By what a run is judged that is held against something: --against, --baseline.
    pub gate: Option<GateTable>,
    /// How many attempts of cases whose times nobody asks for may run at a time; 1 if absent.
    #[schemars(with = "Option<u32>")]
    pub jobs: Option<Spanned<u32>>,
    /// Name of the baseline that runs are held against; what it lacks has no verdict.
    #[schemars(with = "Option<String>")]
    pub baseline: Option<Spanned<String>>,
    /// The same, but what it lacks is passed over.
    #[schemars(with = "Option<String>")]
    pub baseline_lenient: Option<Spanned<String>>,
    /// Folder of the baselines, relative to this file; ci/baselines (in the current folder) if absent.
    #[schemars(with = "Option<String>")]
    pub baseline_dir: Option<Spanned<String>>,
}

/// Reads and checks a configuration file: all profiles, whichever is used.
///
/// # Errors
/// Every problem, with its place.
pub fn parse_config(text: &str) -> Result<ConfigFile, Vec<Problem>> {
    let (file, mut problems) = parse_as::<ConfigFile>(text);
    for (_, table) in file.profile.iter().flat_map(Named::iter) {
        check(table, text, &mut problems);
    }
    problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
    if problems.is_empty() { Ok(file) } else { Err(problems) }
}

/// The JSON Schema of configuration files, for editors.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(ConfigFile).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".into(), "placebench configuration".into());
    }
    schema
}

fn check(table: &ProfileTable, text: &str, problems: &mut Vec<Problem>) {
    if let Some(filterset) = &table.filterset
        && let Err(problem) = selection::parse(filterset.get_ref())
    {
        problems.push(inside_string(problem, filterset, text));
    }
    if let (Some(fail_fast), Some(max_fail)) = (&table.fail_fast, &table.max_fail)
        && *fail_fast.get_ref()
    {
        problems.push(
            Problem::at(max_fail.span(), "fail_fast already says to stop at the first failure")
                .hint("leave one of the two out"),
        );
    }
    for (number, key) in [
        (&table.max_fail, "max_fail"),
        (&table.repetitions, "repetitions"),
        (&table.jobs, "jobs"),
    ] {
        if let Some(number) = number
            && *number.get_ref() == 0
        {
            problems.push(Problem::at(number.span(), format!("{key} must be at least 1")));
        }
    }
    if let (Some(_), Some(lenient)) = (&table.baseline, &table.baseline_lenient) {
        problems.push(
            Problem::at(lenient.span(), "baseline already says what runs are held against")
                .hint("leave one of the two out"),
        );
    }
    for name in [&table.baseline, &table.baseline_lenient].into_iter().flatten() {
        if let Err(why) = super::check_baseline_name(name.get_ref()) {
            problems.push(Problem::at(name.span(), why));
        }
    }
    if let Some(multiplier) = &table.timeout_multiplier
        && let Err(why) = super::check_multiplier(*multiplier.get_ref())
    {
        problems.push(Problem::at(multiplier.span(), why));
    }
    if let Some(table) = &table.gate {
        gate::check(table, problems);
    }
}

/// Moves the place of a problem from the text of a string to that of the file, where the file holds the text as it is.
fn inside_string(problem: Problem, string: &Spanned<String>, text: &str) -> Problem {
    let whole = string.span();
    let written = text.get(whole.clone()).unwrap_or_default();
    let place = problem.span.clone().zip(written.find(string.get_ref().as_str()));
    let span = match place {
        Some((span, offset)) if !string.get_ref().is_empty() => {
            let start = whole.start + offset;
            // The end of the text is behind its last character, where the closing quote stands.
            start + span.start..start + span.end.max(span.start + 1)
        }
        _ => whole,
    };
    Problem {
        span: Some(span),
        ..problem
    }
}

impl ConfigFile {
    /// The settings of a profile, and behind them those of `default`. `file` is what people know the file as, and `text`
    /// what it holds.
    ///
    /// # Errors
    /// When there is no such profile; `default` need not be there.
    pub fn layers(&self, profile: &str, file: &str, text: &str) -> Result<Vec<Given>, Problem> {
        let find = |name: &str| {
            let mut profiles = self.profile.iter().flat_map(Named::iter);
            profiles
                .find(|(known, _)| known.get_ref() == name)
                .map(|(_, table)| table)
        };
        let mut layers = Vec::new();
        if profile != DEFAULT_PROFILE {
            let table = find(profile).ok_or_else(|| {
                let mut known = self.profile.as_ref().map(Named::names).unwrap_or_default();
                if !known.contains(&DEFAULT_PROFILE) {
                    known.push(DEFAULT_PROFILE);
                }
                Problem::general(format!("there is no profile `{profile}`")).hint(suggestion(profile, &known))
            })?;
            layers.push(given(table, profile, file, text));
        }
        layers.extend(find(DEFAULT_PROFILE).map(|table| given(table, DEFAULT_PROFILE, file, text)));
        Ok(layers)
    }
}

fn given(table: &ProfileTable, profile: &str, file: &str, text: &str) -> Given {
    let source = |span: std::ops::Range<usize>| SettingSource::Profile {
        name: profile.to_owned(),
        file: file.to_owned(),
        line: Problem::at(span, "").position(text).map_or(1, |(line, _)| line),
    };
    fn said<T: Clone>(
        value: Option<&Spanned<T>>,
        source: &dyn Fn(std::ops::Range<usize>) -> SettingSource,
    ) -> Option<(T, SettingSource)> {
        value.map(|value| (value.get_ref().clone(), source(value.span())))
    }
    let max_fail = said(table.max_fail.as_ref(), &source).map(|(most, source)| (MaxFail::After(most), source));
    let fail_fast = said(table.fail_fast.as_ref(), &source).map(|(fast, source)| {
        let most = if fast { MaxFail::After(1) } else { MaxFail::All };
        (most, source)
    });
    Given {
        filterset: said(table.filterset.as_ref(), &source),
        retries: said(table.retries.as_ref(), &source),
        flaky_result: said(table.flaky_result.as_ref(), &source),
        max_fail: max_fail.or(fail_fast),
        repetitions: said(table.repetitions.as_ref(), &source),
        seed: said(table.seed.as_ref(), &source),
        message_format: said(table.message_format.as_ref(), &source),
        output_dir: said(table.output_dir.as_ref(), &source),
        rates: said(table.rates.as_ref(), &source),
        timeout_multiplier: said(table.timeout_multiplier.as_ref(), &source),
        gate: table
            .gate
            .as_ref()
            .map(|table| gate::given(table, &source))
            .unwrap_or_default(),
        jobs: said(table.jobs.as_ref(), &source),
        baseline: HeldAgainst::either(
            said(table.baseline.as_ref(), &source),
            said(table.baseline_lenient.as_ref(), &source),
        ),
        baseline_dir: said(table.baseline_dir.as_ref(), &source),
    }
}

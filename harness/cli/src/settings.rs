//! The settings of a run: flags, environment variables and profiles put together.

use std::path::{Path, PathBuf};

use placebench_core::record::{EffectiveSetting, SettingSource};
use placebench_core::selection::{Filterset, Partition, parse};
use placebench_core::settings::{
    CONFIG_FILE, CONFIG_FILE_VARIABLE, Chosen, DEFAULT_PROFILE, Given, HeldAgainst, PARTITION_VARIABLE,
    PROFILE_VARIABLE, Settings, choose, from_environment, misspelt, parse_config,
};

use crate::args::{BaselineArgs, RunArgs, SelectionArgs};
use crate::diagnostics::{self, FileProblems};
use crate::error::CliError;
use crate::terminal::{self, out, printable};

/// What holds for a run.
#[derive(Debug)]
pub(crate) struct Effective {
    /// The settings.
    pub(crate) settings: Settings,
    /// The profile they come from.
    pub(crate) profile: String,
    /// The configuration file, if there is one.
    pub(crate) config_file: Option<PathBuf>,
    /// The share of the cases.
    pub(crate) partition: Option<Partition>,
}

/// What the flags of `run` say.
pub(crate) fn flags_of_run(args: &RunArgs) -> Result<Given, CliError> {
    fn said<T>(value: Option<T>) -> Option<(T, SettingSource)> {
        value.map(|value| (value, SettingSource::Flag))
    }
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let failures = &args.failures;
    Ok(Given {
        retries: said(failures.retries),
        flaky_result: said(failures.flaky_result.map(Into::into)),
        max_fail: said(failures.max_fail()),
        repetitions: said(args.repetitions),
        seed: said(args.seed),
        message_format: said(args.message_format.map(Into::into)),
        output_dir: said(args.output_dir.as_ref().map(path)),
        rates: said(args.rates.as_ref().map(path)),
        timeout_multiplier: said(args.timeout_multiplier),
        jobs: said(args.jobs),
        gate: args.against.gate(),
        baseline: said(held_against(&args.baselines)),
        baseline_dir: said(args.baselines.baseline_dir.as_ref().map(path)),
        ..flags_of_selection(&args.selection.filterset)?
    })
}

/// The baseline that the flags name.
fn held_against(args: &BaselineArgs) -> Option<HeldAgainst> {
    let named = |name: &Option<String>, is_lenient| name.clone().map(|name| HeldAgainst { name, is_lenient });
    named(&args.baseline, false).or_else(|| named(&args.baseline_lenient, true))
}

/// What `-E` says.
pub(crate) fn flags_of_selection(filterset: &[String]) -> Result<Given, CliError> {
    let filterset = filter_of_flags(filterset)?.map(|filterset| (filterset.to_string(), SettingSource::Flag));
    Ok(Given {
        filterset,
        ..Given::default()
    })
}

/// Several filters select what any of them does.
pub(crate) fn filter_of_flags(texts: &[String]) -> Result<Option<Filterset>, CliError> {
    let mut all = texts
        .iter()
        .map(|text| parse(text).map_err(|problem| diagnostics::bad_filter("--filterset", text, problem)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Filterset::Any(all)),
    })
}

/// Puts together what flags, environment and profiles say.
pub(crate) fn effective(selection: &SelectionArgs, flags: Given) -> Result<Effective, CliError> {
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    for (name, _) in std::env::vars_os() {
        if let Some(near) = name.to_str().and_then(misspelt) {
            terminal::warning(&format!("{} is no setting; did you mean {near}?", name.display()));
        }
    }
    let environment = from_environment(&read).map_err(CliError::setup)?;
    if let Some((filterset, SettingSource::Environment(name))) = &environment.filterset {
        parse(filterset).map_err(|problem| diagnostics::bad_filter(name, filterset, problem))?;
    }
    let partition = match (selection.partition, read(PARTITION_VARIABLE)) {
        (Some(partition), _) => Some(partition),
        (None, Some(text)) => Some(
            text.parse()
                .map_err(|why| CliError::setup(format!("{PARTITION_VARIABLE}: {why}")))?,
        ),
        (None, None) => None,
    };
    let profile = selection.profile.clone().or_else(|| read(PROFILE_VARIABLE));
    let profile = profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    let given = selection
        .config_file
        .clone()
        .or_else(|| read(CONFIG_FILE_VARIABLE).map(PathBuf::from));
    let config_file = given.or_else(find);
    let mut layers = vec![flags, environment];
    match &config_file {
        Some(path) => layers.extend(layers_of(path, &profile)?),
        None if profile != DEFAULT_PROFILE => {
            return Err(CliError::setup(format!(
                "there is no profile `{profile}`: no {CONFIG_FILE} was found here or above"
            ))
            .hint("name the file with --config-file"));
        }
        None => {}
    }
    let mut settings = choose(&layers);
    if let Some(folder) = config_file.as_deref().and_then(Path::parent) {
        anchor(&mut settings, folder);
    }
    check_gate(&settings)?;
    Ok(Effective {
        settings,
        profile,
        config_file,
        partition,
    })
}

/// Each table of a file has been checked by itself; here it is what several who may say so say together.
fn check_gate(settings: &Settings) -> Result<(), CliError> {
    let gate = &settings.gate;
    gate.spec().check().map_err(|error| {
        CliError::setup(format!("the gate cannot judge by that: {error}")).hint(format!(
            "pairs: {}; max_pairs: {}",
            words(&gate.pairs.source),
            words(&gate.max_pairs.source)
        ))
    })
}

/// Paths of a profile are relative to its file.
fn anchor(settings: &mut Settings, folder: &Path) {
    fn is_profile<T>(chosen: &Chosen<T>) -> bool {
        matches!(chosen.source, SettingSource::Profile { .. })
    }
    let beside = |path: &str| folder.join(path).to_string_lossy().into_owned();
    if is_profile(&settings.output_dir) {
        settings.output_dir.value = beside(&settings.output_dir.value);
    }
    if is_profile(&settings.baseline_dir) {
        settings.baseline_dir.value = beside(&settings.baseline_dir.value);
    }
    if is_profile(&settings.rates) {
        settings.rates.value = settings.rates.value.as_deref().map(beside);
    }
    let noise = &mut settings.gate.noise;
    if is_profile(noise) {
        noise.value = noise.value.as_deref().map(beside);
    }
}

/// `placebench.toml` in this folder or one above it; nothing above the root of a repository is looked at.
fn find() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let mut way_up = PathBuf::new();
    for folder in here.ancestors() {
        if folder.join(CONFIG_FILE).is_file() {
            return Some(way_up.join(CONFIG_FILE));
        }
        if folder.join(".git").exists() {
            return None;
        }
        way_up.push("..");
    }
    None
}

fn layers_of(path: &Path, profile: &str) -> Result<Vec<Given>, CliError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| CliError::setup(format!("{shown}: {error}")))?;
    let refuse = |problems| {
        diagnostics::show(&[FileProblems {
            file: shown.clone(),
            text: text.clone(),
            problems,
        }]);
        CliError::setup("").hint("nothing was run")
    };
    let file = parse_config(&text).map_err(refuse)?;
    file.layers(profile, &shown, &text)
        .map_err(|problem| refuse(vec![problem]))
}

/// `run --show-config`.
pub(crate) fn show(effective: &Effective, rows: &[EffectiveSetting]) {
    let file = effective.config_file.as_deref().map_or_else(
        || format!("none: no {CONFIG_FILE} here or above"),
        |path| path.display().to_string(),
    );
    out(&format!("configuration file: {}", printable(&file)));
    out(&format!("profile: {}", printable(&effective.profile)));
    if let Some(partition) = effective.partition {
        out(&format!("partition: {partition}"));
    }
    out("");
    let widest = |of: &dyn Fn(&EffectiveSetting) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let names = widest(&|row| row.setting.len());
    // A long filter shall not push everything else out of sight.
    let values = widest(&|row| row.value.chars().count()).min(32);
    for row in rows {
        let own = match row.overridden_by.as_slice() {
            [] => String::new(),
            scenarios => format!("; {} own value", possessive(scenarios)),
        };
        out(&format!(
            "{:names$}  {:values$}  {}{}",
            row.setting,
            printable(&row.value),
            printable(&words(&row.source)),
            printable(&own)
        ));
    }
}

/// `a, b and 3 more have their`.
fn possessive(scenarios: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = scenarios
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match scenarios.len() {
        1 => format!("{shown} has its"),
        count if count <= SHOWN => format!("{shown} have their"),
        count => format!("{shown} and {} more have their", count - SHOWN),
    }
}

fn words(source: &SettingSource) -> String {
    match source {
        SettingSource::Flag => "command line".to_owned(),
        SettingSource::Environment(name) => name.clone(),
        SettingSource::Profile { name, file, line } => format!("profile {name} ({file}:{line})"),
        SettingSource::Default => "built in".to_owned(),
    }
}

//! How to generate, how long to wait, how often to repeat: the scenario's own word, else the suite's, else ours.

use toml::Spanned;

use super::{Matrix, NamedPlacement};
use crate::protocol::{GenerationSpec, Sampling};
use crate::record::{MeasureSpec, Timeouts};
use crate::scenario::TRANSFORMERS;
use crate::scenario::file::{DefaultsFile, MatrixTable, PlacementTable, ScenarioFile, TimeoutTable};
use crate::scenario::problem::Problem;
use crate::scenario::rules;
use crate::scenario::value::{Named, Period};

pub(super) fn resolve_generation(
    file: &ScenarioFile,
    defaults: &DefaultsFile,
    problems: &mut Vec<Problem>,
) -> GenerationSpec {
    if let Some(table) = &file.generation {
        rules::generation(table, problems);
    }
    let own = file.generation.clone().unwrap_or_default();
    let general = defaults.generation.clone().unwrap_or_default();
    let sampling = own.do_sample.or(general.do_sample).unwrap_or(false).then(|| Sampling {
        temperature: own.temperature.or(general.temperature).map_or(1.0, Spanned::into_inner),
        top_k: own.top_k.or(general.top_k).map(|k| k.into_inner() as usize),
        top_p: own.top_p.or(general.top_p).map(Spanned::into_inner),
        seed: own.seed.or(general.seed).map_or(0, Spanned::into_inner),
    });
    GenerationSpec {
        max_new_tokens: own
            .max_new_tokens
            .or(general.max_new_tokens)
            .map_or(32, Spanned::into_inner),
        sampling,
        ignore_eos: own.ignore_eos.or(general.ignore_eos).unwrap_or(false),
        stop: own.stop.or(general.stop).unwrap_or_default(),
    }
}

/// The placement's own deadlines, else the scenario's, else the suite's, else ours: key by key.
pub(super) fn resolve_timeouts(
    placement: Option<&TimeoutTable>,
    file: &ScenarioFile,
    defaults: &DefaultsFile,
) -> Timeouts {
    let tables = [placement, file.timeout.as_ref(), defaults.timeout.as_ref()];
    let seconds = |key: fn(&TimeoutTable) -> Option<Period>, absent: f64| {
        let stated = tables.into_iter().flatten().find_map(key);
        stated.map_or(absent, |period| period.0.as_secs_f64())
    };
    Timeouts {
        load_s: seconds(|table| table.load, 60.0),
        first_token_s: seconds(|table| table.first_token, 30.0),
        token_s: seconds(|table| table.token, 10.0),
        total_s: seconds(|table| table.total, 300.0),
    }
}

pub(super) fn resolve_measure(
    file: &ScenarioFile,
    defaults: &DefaultsFile,
    problems: &mut Vec<Problem>,
) -> MeasureSpec {
    if let Some(table) = &file.measure {
        rules::measure(table, problems);
    }
    let own = file.measure.clone().unwrap_or_default();
    let general = defaults.measure.clone().unwrap_or_default();
    MeasureSpec {
        warmup: own.warmup.or(general.warmup).unwrap_or(1),
        repetitions: own.repetitions.or(general.repetitions).map_or(1, Spanned::into_inner),
        isolation: own.isolation.or(general.isolation).unwrap_or_default(),
        // Where nobody says, it depends on what the case is compared with.
        probe: false,
        first_look: None,
    }
}

/// Where nobody says, placements that must agree with another one are probed, and that other one is.
pub(super) fn settle_probes(file: &ScenarioFile, defaults: &DefaultsFile, placements: &mut [NamedPlacement]) {
    let own = file.measure.as_ref().and_then(|table| table.probe);
    let general = defaults.measure.as_ref().and_then(|table| table.probe);
    let references: Vec<String> = placements
        .iter()
        .filter_map(|placement| Some(placement.expect.agreement.as_ref()?.reference.clone()))
        .collect();
    for placement in placements {
        let is_compared = placement.expect.agreement.is_some() || references.contains(&placement.name);
        placement.probe = own.or(general).unwrap_or(is_compared);
    }
}

pub(super) fn states_repetitions(file: &ScenarioFile, defaults: &DefaultsFile) -> bool {
    let mut tables = file.measure.iter().chain(&defaults.measure);
    tables.any(|table| table.repetitions.is_some())
}

pub(super) fn resolve_matrix(table: Option<&MatrixTable>, problems: &mut Vec<Problem>) -> Matrix {
    let Some(table) = table else { return Matrix::default() };
    for engine in table.engine.iter().flatten() {
        rules::engine(engine, problems);
    }
    Matrix {
        dtype: axis(table.dtype.as_deref(), problems),
        transfer: axis(table.transfer.as_deref(), problems),
        engine: axis(table.engine.as_deref(), problems),
        environment: axis(table.environment.as_deref(), problems),
    }
}

/// The Python environments a placement is for; empty where it is for all.
pub(super) fn placement_environments(
    table: &PlacementTable,
    file: &ScenarioFile,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let axis = file.matrix.as_ref().and_then(|matrix| matrix.environment.as_deref());
    let axis: Vec<&str> = axis
        .into_iter()
        .flatten()
        .map(|value| value.get_ref().as_str())
        .collect();
    let named = table.environments.as_deref().unwrap_or_default();
    for environment in named.iter().filter(|named| !axis.contains(&named.get_ref().as_str())) {
        problems.push(
            Problem::at(
                environment.span(),
                format!("[matrix] has no environment `{}`", environment.get_ref()),
            )
            .hint("name one of its axis `environment`"),
        );
    }
    named.iter().map(|environment| environment.get_ref().clone()).collect()
}

/// An axis of Python environments needs an engine that has them, and says all there is to say about them.
pub(super) fn check_environments(file: &ScenarioFile, engine: &str, matrix: &Matrix, problems: &mut Vec<Problem>) {
    let axis = file.matrix.as_ref().and_then(|table| table.environment.as_deref());
    let Some(first) = axis.unwrap_or_default().first() else {
        return;
    };
    for environment in axis.unwrap_or_default() {
        rules::name(environment, "Python environment", problems);
    }
    let is_run = match matrix.engine.as_slice() {
        [] => engine == TRANSFORMERS,
        engines => engines.iter().any(|engine| engine == TRANSFORMERS),
    };
    if !is_run {
        problems.push(
            Problem::at(
                first.span(),
                format!("an axis of Python environments is for the engine `{TRANSFORMERS}`, which this scenario does not run"),
            )
            .hint(format!("write engine = \"{TRANSFORMERS}\", or remove the axis")),
        );
    }
    let stated = file
        .transformers
        .as_ref()
        .and_then(|table| table.get_ref().environment.as_ref());
    if let Some(stated) = stated {
        problems.push(
            Problem::at(
                stated.span(),
                "environment is an axis of [matrix] as well: which of them is meant?",
            )
            .hint("keep one of them"),
        );
    }
}

/// The values of an axis. Each makes a case of its own name, so none may be there twice.
fn axis<T: Clone + PartialEq>(values: Option<&[Spanned<T>]>, problems: &mut Vec<Problem>) -> Vec<T> {
    let mut known: Vec<T> = Vec::new();
    for value in values.into_iter().flatten() {
        if known.contains(value.get_ref()) {
            problems.push(Problem::at(
                value.span(),
                "this value is there twice: its cases could not be told apart",
            ));
        } else {
            known.push(value.get_ref().clone());
        }
    }
    known
}

pub(super) fn merged_env(file: &ScenarioFile, defaults: &DefaultsFile) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in defaults.env.iter().chain(&file.env).flat_map(Named::iter) {
        env.retain(|(other, _)| other != name.get_ref());
        env.push((name.get_ref().clone(), value.clone()));
    }
    env
}

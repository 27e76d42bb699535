//! What executes the cases: one engine, or several side by side.

use toml::Spanned;

use crate::scenario::file::{DefaultsFile, PlacementTable, ScenarioFile};
use crate::scenario::problem::Problem;
use crate::scenario::rules;

/// The engines of a scenario.
pub(super) struct Engines {
    /// The one that executes cases where no axis names another.
    pub(super) engine: String,
    /// Several, each of which executes every case; empty where there is one.
    pub(super) axis: Vec<String>,
}

pub(super) fn resolve_engines(file: &ScenarioFile, defaults: &DefaultsFile, problems: &mut Vec<Problem>) -> Engines {
    let named = file
        .engine
        .iter()
        .chain(file.engines.iter().flat_map(|list| list.get_ref()));
    for engine in named {
        rules::engine(engine, problems);
    }
    let Some(list) = &file.engines else {
        let engine = file.engine.as_ref().or(defaults.engine.as_ref());
        return Engines {
            engine: engine.map_or_else(|| "candle".to_owned(), |engine| engine.get_ref().clone()),
            axis: Vec::new(),
        };
    };
    if file.engine.is_some() || file.matrix.as_ref().is_some_and(|matrix| matrix.engine.is_some()) {
        problems.push(
            Problem::at(
                list.span(),
                "engines goes with neither engine nor an engine axis of [matrix]",
            )
            .hint("keep one of them"),
        );
    }
    let mut axis: Vec<String> = Vec::new();
    for engine in list.get_ref() {
        if axis.contains(engine.get_ref()) {
            problems.push(Problem::at(
                engine.span(),
                format!("`{}` is there twice", engine.get_ref()),
            ));
        } else {
            axis.push(engine.get_ref().clone());
        }
    }
    let Some(first) = axis.first().cloned() else {
        problems.push(
            Problem::at(list.span(), "engines names none").hint("write for example [\"candle\", \"transformers\"]"),
        );
        return Engines {
            engine: "candle".to_owned(),
            axis,
        };
    };
    Engines { engine: first, axis }
}

/// The engines a placement is for; empty where it is for all.
pub(super) fn placement_engines(table: &PlacementTable, problems: &mut Vec<Problem>) -> Vec<String> {
    for engine in table.engines.iter().flatten() {
        rules::engine(engine, problems);
    }
    let names = table.engines.iter().flatten().map(Spanned::get_ref);
    names.cloned().collect()
}

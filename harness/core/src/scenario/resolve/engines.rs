//! What executes the cases: one engine, or several side by side.

use toml::Spanned;

use super::{DEFAULT_MAX_GAP, NamedPlacement};
use crate::record::{AgreementRule, EnginesSpec};
use crate::scenario::TRANSFORMERS;
use crate::scenario::file::{DefaultsFile, ExpectTable, PlacementTable, ScenarioFile};
use crate::scenario::problem::{Problem, suggestion};
use crate::scenario::rules;
use crate::scenario::value::{Named, SnapshotValue};

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

/// Who sets the measure for whom, and whether engines and placements fit each other. `engine` is the only one or the first;
/// `axis` are all where there are several, and `are_compared` says whether they are held together.
pub(super) fn settle_engines(
    file: &ScenarioFile,
    (engine, axis): (&str, &[String]),
    are_compared: bool,
    placements: &mut [NamedPlacement],
    problems: &mut Vec<Problem>,
) {
    let engines: Vec<&str> = match axis {
        [] => vec![engine],
        several => several.iter().map(String::as_str).collect(),
    };
    let tables: Vec<_> = file.placement.iter().flat_map(Named::iter).collect();
    for (_, table) in &tables {
        known_engines(table, &engines, problems);
    }
    let unplaced = engines
        .iter()
        .filter(|engine| !placements.iter().any(|placement| placement.is_for(engine)));
    for engine in unplaced.filter(|_| !placements.is_empty()) {
        let message = format!("no placement is for engine `{engine}`, which has nothing to run then");
        let problem = match named(file, engine) {
            Some(name) => Problem::at(name.span(), message),
            None => Problem::general(message),
        };
        problems.push(problem.hint(format!(
            "leave it out, or write for example engines = [\"{engine}\"] into a placement"
        )));
    }
    for (name, table) in &tables {
        agreement_is_held(name, table, &engines, placements, problems);
    }
    let is_several = are_compared && engines.len() > 1;
    let own = |name: &str| {
        tables
            .iter()
            .find(|(known, _)| known.get_ref() == name)
            .map(|(_, table)| *table)
    };
    let general = file.expect.as_ref();
    for written in tables
        .iter()
        .filter_map(|(_, table)| table.expect.as_ref())
        .chain(general)
        .filter_map(|table| table.engines.as_ref())
        .filter(|_| !is_several)
    {
        problems.push(
            Problem::at(
                written.span(),
                "expect.engines compares engines, and this scenario has one",
            )
            .hint("write engines = [\"candle\", \"transformers\"] instead of engine, or remove it"),
        );
    }
    if !is_several {
        return;
    }
    let specs: Vec<Option<EnginesSpec>> = placements
        .iter()
        .map(|placement| {
            let own = own(&placement.name).and_then(|table| table.expect.as_ref());
            let rule = rule_of(own, general)?;
            let agreement = placement.expect.agreement.as_ref();
            Some(EnginesSpec {
                engine: engine.to_owned(),
                reference: reference_of(placement, engine, file, placements)?,
                rule,
                max_gap: agreement.map_or(DEFAULT_MAX_GAP, |agreement| agreement.max_gap),
            })
        })
        .collect();
    for (placement, spec) in placements.iter_mut().zip(specs) {
        placement.expect.engines = spec;
    }
}

/// How strictly; `None` where engines are not to be compared.
fn rule_of(own: Option<&ExpectTable>, general: Option<&ExpectTable>) -> Option<AgreementRule> {
    let written = |table: Option<&ExpectTable>| Some(*table?.engines.as_ref()?.get_ref());
    written(own)
        .or_else(|| written(general))
        .map_or(Some(AgreementRule::NearTie), SnapshotValue::rule)
}

/// The placement of the first engine that a placement's texts are held to: the same one, else the reference of the agreement,
/// else the first.
fn reference_of(
    placement: &NamedPlacement,
    engine: &str,
    file: &ScenarioFile,
    placements: &[NamedPlacement],
) -> Option<String> {
    let general = file.expect.as_ref().and_then(|table| table.agreement.as_ref());
    let own = placement.expect.agreement.as_ref();
    let wanted = [
        Some(placement.name.as_str()),
        own.map(|agreement| agreement.reference.as_str()),
        general.map(|agreement| agreement.reference.get_ref().as_str()),
    ];
    let mut there = placements.iter().filter(|other| other.is_for(engine));
    let by_name = |name: &str| {
        placements
            .iter()
            .find(|other| other.name == name && other.is_for(engine))
    };
    let found = wanted.into_iter().flatten().find_map(by_name).or_else(|| there.next());
    found.map(|placement| placement.name.clone())
}

fn known_engines(table: &PlacementTable, engines: &[&str], problems: &mut Vec<Problem>) {
    let unknown = table
        .engines
        .iter()
        .flatten()
        .filter(|named| !engines.contains(&named.get_ref().as_str()));
    for named in unknown.filter(|named| rules::ENGINES.contains(&named.get_ref().as_str())) {
        problems.push(
            Problem::at(
                named.span(),
                format!("engine `{}` is none of this scenario's", named.get_ref()),
            )
            .hint(match engines {
                [only] => format!("its engine is {only}; several are named at the top: engines = [\"{only}\", …]"),
                several => suggestion(named.get_ref(), several),
            }),
        );
    }
}

/// An agreement that a placement asks for itself must be held under one engine at least.
fn agreement_is_held(
    name: &Spanned<String>,
    table: &PlacementTable,
    engines: &[&str],
    placements: &[NamedPlacement],
    problems: &mut Vec<Problem>,
) {
    let Some(reference) = table.expect.as_ref().and_then(|table| table.agreement.as_ref()) else {
        return;
    };
    let reference = &reference.reference;
    let by_name = |name: &str| placements.iter().find(|placement| placement.name == name);
    let (Some(own), Some(other)) = (by_name(name.get_ref()), by_name(reference.get_ref())) else {
        return;
    };
    if !engines.iter().any(|engine| own.is_for(engine) && other.is_for(engine)) {
        problems.push(
            Problem::at(
                reference.span(),
                format!(
                    "no engine has both `{}` and `{}`, so that they are never compared",
                    own.name, other.name
                ),
            )
            .hint("placements of one engine are held together by agreement, engines by expect.engines"),
        );
    }
}

/// Where the scenario names an engine.
fn named<'a>(file: &'a ScenarioFile, engine: &str) -> Option<&'a Spanned<String>> {
    let axis = file.matrix.as_ref().and_then(|matrix| matrix.engine.as_ref());
    let listed = file.engines.iter().flat_map(|list| list.get_ref());
    let mut all = file.engine.iter().chain(listed).chain(axis.into_iter().flatten());
    all.find(|named| named.get_ref() == engine)
}

impl NamedPlacement {
    /// Whether an engine has it. Only one engine has environments.
    #[must_use]
    pub fn is_for(&self, engine: &str) -> bool {
        let is_named = self.engines.is_empty() || self.engines.iter().any(|named| named == engine);
        is_named && (self.environments.is_empty() || engine == TRANSFORMERS)
    }
}

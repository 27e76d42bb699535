//! The model of a scenario: exactly one source, and what the other keys mean with it.

use toml::Spanned;

use super::super::file::{ModelTable, ScenarioFile};
use super::super::problem::Problem;
use super::super::rules;
use super::super::value::LoadFormat;
use super::Origin;
use crate::protocol::{Dtype, ModelSource};

const SOURCES: &str = "set path = \"…\", repo = \"owner/name\", or config = \"….json\" with load_format = \"dummy\"";

type ResolvedModel = (Option<ModelSource>, Option<String>, Option<Dtype>);

/// The model, the command that gets it, and its element type.
pub(super) fn resolve_model(file: &ScenarioFile, origin: &Origin, problems: &mut Vec<Problem>) -> ResolvedModel {
    let Some(table) = &file.model else {
        problems.push(
            Problem::general("the scenario names no model")
                .hint("add [model] with path = \"…\" or repo = \"owner/name\""),
        );
        return (None, None, None);
    };
    let model = table.get_ref();
    let source = source(table, origin, problems);
    if dummy(model) {
        weightless(model, problems);
    } else if let Some(seed) = &model.seed {
        problems.push(
            Problem::at(seed.span(), "seed goes with load_format = \"dummy\"")
                .hint("the seed of sampling is in [generation]"),
        );
    }
    let source = source.map(|source| match dummy(model) {
        false => source,
        true => ModelSource::Dummy {
            config: Box::new(source),
            seed: model.seed.as_ref().map_or(0, |seed| *seed.get_ref()),
        },
    });
    (source, model.fetch.clone(), model.dtype)
}

fn dummy(model: &ModelTable) -> bool {
    let format = model.load_format.as_ref().map(|format| *format.get_ref());
    format.unwrap_or_default() == LoadFormat::Dummy
}

fn source(table: &Spanned<ModelTable>, origin: &Origin, problems: &mut Vec<Problem>) -> Option<ModelSource> {
    let model = table.get_ref();
    let local = |path: &Spanned<String>, problems: &mut Vec<Problem>| {
        rules::inside_suite(path, origin, problems).map(|path| ModelSource::Path(path.to_string_lossy().into_owned()))
    };
    match (&model.path, &model.repo, &model.config) {
        (Some(path), None, None) => {
            hub_keys(model, "path", problems);
            local(path, problems)
        }
        (None, Some(repo), None) => {
            rules::hub_names(model, problems);
            Some(ModelSource::Hub {
                repo: repo.get_ref().clone(),
                revision: model
                    .revision
                    .as_ref()
                    .map_or_else(|| "main".to_owned(), |text| text.get_ref().clone()),
                file: model.file.as_ref().map(|text| text.get_ref().clone()),
            })
        }
        (None, None, Some(config)) => {
            hub_keys(model, "config", problems);
            if !dummy(model) {
                problems.push(
                    Problem::at(
                        config.span(),
                        "config needs load_format = \"dummy\": it names no weights",
                    )
                    .hint("for real weights set path = \"…\" or repo = \"owner/name\" instead"),
                );
            }
            if model.fetch.is_some() {
                problems.push(Problem::at(
                    config.span(),
                    "fetch goes with path; a configuration is part of the suite",
                ));
            }
            local(config, problems)
        }
        (None, None, None) => {
            problems.push(Problem::at(table.span(), "the model has no source").hint(SOURCES));
            None
        }
        (first, second, third) => {
            let last = [first, second, third].into_iter().flatten().next_back()?;
            problems.push(Problem::at(
                last.span(),
                "a model has exactly one source: path, repo or config",
            ));
            None
        }
    }
}

/// Keys that only a repository has.
fn hub_keys(model: &ModelTable, source: &str, problems: &mut Vec<Problem>) {
    for key in [&model.revision, &model.file].into_iter().flatten() {
        problems.push(Problem::at(
            key.span(),
            format!("this key goes with repo, not with {source}"),
        ));
    }
}

/// Keys that name weights, where none are read.
fn weightless(model: &ModelTable, problems: &mut Vec<Problem>) {
    let gguf = model.path.as_ref().filter(|path| path.get_ref().ends_with(".gguf"));
    let file = model.file.as_ref().filter(|_| model.repo.is_some());
    for key in [gguf, file].into_iter().flatten() {
        problems.push(
            Problem::at(
                key.span(),
                "load_format = \"dummy\" takes its shapes from a config.json",
            )
            .hint("name the folder of one, a repository without file, or a config"),
        );
    }
}

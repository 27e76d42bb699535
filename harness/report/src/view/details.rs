//! What else there is to know of a case: what was asked, what ran, what came of it.

use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::ModelSource;
use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::units::human_seconds;
use placebench_core::worker_variables::is_secret;
use serde::Serialize;

use super::figures::NamedFigure;
use super::stack;
use super::words::{count, line, list, message, shell};
use super::{Fact, Figure};

/// Facts under a heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactGroup {
    /// The heading.
    pub title: &'static str,
    /// The facts.
    pub facts: Vec<Fact>,
}

/// What the facts are made from.
pub(super) struct Source<'a> {
    pub(super) spec: &'a CaseSpec,
    /// The attempt the verdict speaks of.
    pub(super) attempt: Option<&'a Attempt>,
    /// The requested placement in words.
    pub(super) request: &'a str,
    /// What the planner warned of.
    pub(super) warnings: &'a [String],
    /// Injected faults in words.
    pub(super) faults: &'a str,
    /// Where it ended, where it did not complete.
    pub(super) ended: &'a str,
    /// Its figures.
    pub(super) figures: &'a [NamedFigure],
    /// Its phases with their durations; empty where times mean nothing.
    pub(super) phases: &'a [Fact],
    /// Why a figure is missing.
    pub(super) why_missing: &'a str,
}

/// The facts of a case: asked, ran, came of it. Groups of which nothing is known are not there.
pub(super) fn groups(source: &Source<'_>) -> Vec<FactGroup> {
    let groups = [
        FactGroup {
            title: "Asked",
            facts: asked(source),
        },
        FactGroup {
            title: "Ran",
            facts: ran(source),
        },
        FactGroup {
            title: "Came of it",
            facts: came(source),
        },
    ];
    groups.into_iter().filter(|group| !group.facts.is_empty()).collect()
}

fn asked(source: &Source<'_>) -> Vec<Fact> {
    let spec = source.spec;
    let mut facts = vec![
        Fact::new("placement", source.request),
        Fact::new("model", model_words(&spec.model)),
        Fact::new("generation", generation_words(spec)),
    ];
    if let Some(agreement) = spec
        .expect
        .agreement
        .as_ref()
        .filter(|agreement| agreement.reference != spec.placement)
    {
        let words = format!(
            "with {}, near ties up to {}",
            line(&agreement.reference),
            agreement.max_gap
        );
        let words = match agreement.rule {
            placebench_core::record::AgreementRule::NearTie => words,
            placebench_core::record::AgreementRule::Exact => format!("with {}, exactly", line(&agreement.reference)),
        };
        facts.push(Fact::new("text must agree", words));
    }
    if !spec.env.is_empty() {
        let set = spec.env.iter().map(|(name, value)| match is_secret(name) {
            true => format!("{name}=[redacted]"),
            false => format!("{name}={value}"),
        });
        let set: Vec<String> = set.collect();
        facts.push(Fact::new("environment", message(&set.join(" "))));
    }
    if !source.faults.is_empty() {
        facts.push(Fact::new("injected fault", source.faults));
    }
    facts.push(Fact::new("written in", line(&format!("{}:{}", spec.file, spec.line))));
    facts
}

/// Where a model comes from, with the revision where it has one.
fn model_words(model: &ModelSource) -> String {
    match model {
        ModelSource::Path(path) => line(path),
        ModelSource::Hub { repo, revision, file } => {
            let file = file.as_ref().map(|file| format!(", {file}")).unwrap_or_default();
            line(&format!("{repo} at {revision}{file}"))
        }
        ModelSource::Dummy { config, seed } => {
            format!("random weights of seed {seed}, shaped as {}", model_words(config))
        }
    }
}

fn generation_words(spec: &CaseSpec) -> String {
    let asked = spec.generation_asked();
    let how = match &asked.sampling {
        None => "greedy".to_owned(),
        Some(sampling) => {
            let parts = [
                Some(format!("sampled at temperature {}", sampling.temperature)),
                sampling.top_k.map(|k| format!("top_k {k}")),
                sampling.top_p.map(|p| format!("top_p {p}")),
                Some(format!("seed {}", sampling.seed)),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    };
    let eos = if asked.ignore_eos { ", end tokens ignored" } else { "" };
    let most = count(asked.max_new_tokens as usize, "token", "tokens");
    format!("{how}, at most {most}{eos}")
}

fn ran(source: &Source<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let spec = source.spec;
    facts.push(Fact::new(
        "engine",
        match spec.foreign_program() {
            Some(program) => shell(&program.command),
            None => line(&spec.engine),
        },
    ));
    for (name, words) in [("Python", stack::python(spec)), ("server", stack::server(spec))] {
        if !words.is_empty() {
            facts.push(Fact::new(name, words));
        }
    }
    if let Some(attempt) = source.attempt {
        let versions: Vec<String> = attempt.versions.iter().map(|version| line(version)).collect();
        if !versions.is_empty() {
            facts.push(Fact::new("versions", list(&versions)));
        }
        if let Some(resident) = attempt.peak_rss_bytes {
            facts.push(Fact::new("resident memory, at most", resident.to_string()));
        }
    }
    // Where no planner of ours is asked, it is the engine that has something to say.
    let note = match spec.request.device_map {
        DeviceMapRequest::Ranks(_) | DeviceMapRequest::Stated(_) => "the engine's note",
        _ => "planner's warning",
    };
    facts.extend(source.warnings.iter().map(|warning| Fact::new(note, warning.clone())));
    facts.extend(source.phases.iter().map(|phase| {
        let name = match phase.name.as_str() {
            "whole process" | "and so on" => phase.name.clone(),
            name => format!("phase {name}"),
        };
        Fact::new(&name, phase.value.clone())
    }));
    facts
}

fn came(source: &Source<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if !source.ended.is_empty() {
        facts.push(Fact::new("ended", source.ended));
    }
    let is_missing = |item: &NamedFigure| matches!(item.figure, Figure::Missing(_));
    let shown = source.figures.iter().filter(|item| !is_missing(item));
    facts.extend(shown.map(|item| Fact::new(item.name, item.figure.words())));
    if source
        .figures
        .iter()
        .any(|item| item.name == "time to first token" && is_missing(item))
    {
        facts.push(Fact::new("not measured", source.why_missing));
    }
    facts
}

/// The phases of an attempt with their durations.
pub(super) fn phases(attempt: &Attempt) -> Vec<Fact> {
    let one = |span: &placebench_core::record::PhaseSpan| {
        let words = span.end_s.map_or_else(
            || "never ended".into(),
            |end| human_seconds((end - span.start_s).max(0.0)),
        );
        Fact::new(span.phase.as_str(), words)
    };
    // A process of many generations repeats its phases.
    const MOST: usize = 16;
    let mut phases: Vec<Fact> = attempt.phases.iter().take(MOST).map(one).collect();
    if attempt.phases.len() > MOST {
        phases.push(Fact::new("and so on", format!("{} more", attempt.phases.len() - MOST)));
    }
    phases.push(Fact::new("whole process", human_seconds(attempt.wall_s)));
    phases
}

/// Injected faults in words; empty for none.
pub(super) fn fault_words(spec: &CaseSpec) -> String {
    let words: Vec<String> = spec
        .faults
        .iter()
        .map(|fault| {
            let at = &fault.at;
            let place = at
                .hop
                .as_ref()
                .or(at.module.as_ref())
                .map(|place| format!(" at {}", line(place)));
            let phase = at.phase.map(|phase| format!(" in {phase}"));
            let token = at.token.map(|token| format!(", token {token}"));
            let point: String = [place, phase, token].into_iter().flatten().collect();
            let bytes = at.bytes.map(|bytes| format!(", {bytes}")).unwrap_or_default();
            format!("{}{point}{bytes}", fault.kind.as_str())
        })
        .collect();
    list(&words)
}

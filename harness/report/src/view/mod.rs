//! What a report shows: grouped, worded and rounded, once, for every renderer.
//!
//! Scenario → prompt → placements side by side. All text in here is already visible and bounded (see [`words`]) but not
//! yet escaped for any format. Missing figures carry their reason; figures of a wrong text are not here at all.

pub mod answer;
pub mod audit;
pub mod broken;
mod budget;
pub mod case;
pub mod changes;
pub mod compared;
mod compared_run;
pub mod compared_table;
mod compared_title;
pub mod comparison;
mod deciding;
pub mod details;
mod device_map;
pub mod device_use;
pub mod divergence;
pub mod evidence;
mod facts;
pub mod fastest;
pub mod faults;
mod figures;
pub mod first_token;
pub mod forecast;
mod forecast_words;
pub mod gaps;
pub mod gate;
pub mod hops;
pub mod latencies;
pub mod latency_table;
mod machines;
mod marks;
pub mod memory;
pub mod memory_beside;
pub mod modules;
pub mod narrative;
pub mod no_break;
pub mod overview;
pub mod parting;
mod ranks;
pub mod reproduce;
mod stack;
pub mod status;
pub mod steps;
pub mod story;
pub mod text;
pub mod timing;
pub mod titles;
pub mod tokens;
pub mod trend;
pub mod words;
pub mod work;

use std::collections::BTreeSet;

use placebench_core::compare::placements::reference_of;
use placebench_core::device::DeviceId;
use placebench_core::record::{CaseSpec, CaseStatus, IndexedRun, RunRecord};
use serde::Serialize;

pub use case::{CaseView, FindingView};
pub use gate::GateView;

use crate::slug::Slugs;
use words::{line, message, shell};

/// A name and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value, in words.
    pub value: String,
}

impl Fact {
    /// A fact from its two parts.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// A figure as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "text", rename_all = "snake_case")]
pub enum Figure {
    /// Measured, rounded, with its unit.
    Measured(String),
    /// Measured, but the text was wrong, so that it is no speed: the reason.
    Invalid(String),
    /// Not there: the reason.
    Missing(String),
}

impl Figure {
    /// The figure, or why there is none, as one phrase.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Measured(text) | Self::Invalid(text) | Self::Missing(text) => text,
        }
    }

    /// The figure itself, if there is one to show.
    #[must_use]
    pub fn measured(&self) -> Option<&str> {
        match self {
            Self::Measured(text) => Some(text),
            Self::Invalid(_) | Self::Missing(_) => None,
        }
    }
}

/// A prompt of a scenario with all its placements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PromptView {
    /// The scenario's name.
    pub scenario: String,
    /// The prompt's name.
    pub name: String,
    /// Part of file names and anchors; no other prompt of the run has it.
    pub slug: String,
    /// What the model was asked to continue.
    pub input: String,
    /// Name of the placement the others are compared with.
    pub reference: String,
    /// What the placements show, in a sentence.
    pub placement_title: String,
    /// What the latencies show, in a sentence.
    pub latency_title: String,
    /// What the memory figures show, in a sentence.
    pub memory_title: String,
    /// What the times of stages show against their prediction, in a sentence.
    pub steps_title: String,
    /// Why there is no timeline of stages; empty where there is one, or nothing was measured at all.
    pub steps_missing: String,
    /// What audits show, in a sentence.
    pub audit_title: String,
    /// The placements, in the order of the scenario.
    pub cases: Vec<CaseView>,
    /// What the gaps show in the order of the tokens, in a sentence.
    pub tokens_title: String,
    /// What the first token waits for, in a sentence.
    pub first_token_title: String,
    /// Gaps token by token; absent where there are none.
    pub gap_table: Option<latency_table::GapTable>,
    /// Why no placement that completed has a latency; empty where one has, or none completed.
    pub untimed: String,
    /// The first prompt of the page with gaps, where it is said how they and TPOT differ.
    pub explains_gaps: bool,
    /// The placements against the reference.
    pub compared: compared::ComparedView,
    /// What it shows, in a sentence.
    pub overview: overview::PromptOverview,
    /// Is it the placement, the library, or the machine? Absent where nothing asks.
    pub answer: Option<answer::AnswerView>,
}

/// A scenario with its prompts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioView {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Model, engine, tags and the like.
    pub facts: Vec<Fact>,
    /// Its prompts, in order.
    pub prompts: Vec<PromptView>,
}

/// How many cases ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As expected, including those that were expected to go wrong.
    pub passed: usize,
    /// The same, but only on a retry.
    pub flaky: usize,
    /// Not as expected.
    pub failed: usize,
    /// Could not be measured until something is put right.
    pub setup: usize,
    /// Wait for a review.
    pub pending: usize,
    /// Not run.
    pub skipped: usize,
    /// Planned, but without a judgement.
    pub unjudged: usize,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportView {
    /// Name of the run's folder.
    pub run_id: String,
    /// When it began.
    pub started_at: String,
    /// The verdict in words: `9 passed, 1 failed, 2 skipped`.
    pub headline: String,
    /// `good`, `bad` or `open`: the colour of the headline.
    pub tone: &'static str,
    /// Machine, build profile and exit code, in a sentence.
    pub summary: String,
    /// What a reader must know before believing a figure.
    pub notes: Vec<String>,
    /// The same as the headline, as numbers.
    pub counts: Counts,
    /// All scenarios, in the order of the run.
    pub scenarios: Vec<ScenarioView>,
    /// What injected faults were detected as; empty where none was injected.
    pub faults: Vec<faults::FaultRow>,
    /// Names of all placements, in the order they are met.
    pub placements: Vec<String>,
    /// Names of all devices: a device has its position here as its colour, everywhere.
    pub devices: Vec<String>,
    /// The machine and the programs.
    pub environment: Vec<Fact>,
    /// The command line that made the run.
    pub command: String,
    /// What it was held against, and the answer.
    pub gate: Option<GateView>,
    /// What broke, whether texts are right, who is fastest, who needs least memory: a sentence each.
    pub answers: Vec<Fact>,
    /// Is it the placement, the library, or the machine? Of the prompts where that is the question.
    pub blame: Vec<answer::AnswerView>,
}

impl ReportView {
    /// Groups, words and rounds a record.
    #[must_use]
    pub fn new(record: &RunRecord) -> Self {
        let devices = devices(record);
        let record = &IndexedRun::new(record);
        let mut builder = Builder {
            record,
            devices: &devices,
            slugs: Slugs::default(),
            cases: 0,
            has_explained_gaps: false,
            compared: compared_run::RunComparison::new(record),
        };
        let mut scenarios = builder.scenarios();
        let mut placements: Vec<String> = Vec::new();
        for case in scenarios.iter().flat_map(ScenarioView::cases) {
            if !placements.contains(&case.placement) {
                placements.push(case.placement.clone());
            }
        }
        let counts = counts(&scenarios);
        let gate = record.verdict.gate.as_ref();
        if let Some(gate) = gate {
            gate::mark_changed(gate, &mut scenarios);
        }
        let blame = answer::attach(record, &mut scenarios);
        let prompts: Vec<&PromptView> = scenarios.iter().flat_map(|scenario| &scenario.prompts).collect();
        let answers = overview::answers(&prompts);
        let mut command = vec![record.info.tool.name.clone()];
        command.extend(record.info.arguments.iter().cloned());
        Self {
            run_id: line(&record.info.run_id),
            started_at: line(&record.info.started_at),
            headline: match gate.and_then(gate::headline) {
                Some(of_gate) => format!("{}, {of_gate}", titles::headline(&counts)),
                None => titles::headline(&counts),
            },
            tone: gate::worse_tone(titles::tone(&counts), gate),
            summary: titles::summary(record),
            notes: titles::notes(record),
            counts,
            faults: faults::rows(record, scenarios.iter().flat_map(ScenarioView::cases)),
            scenarios,
            placements,
            devices,
            environment: facts::of_machine(record),
            command: shell(&command),
            gate: gate.map(GateView::new),
            answers,
            blame,
        }
    }

    /// All cases, in the order of the report.
    pub fn cases(&self) -> impl Iterator<Item = &CaseView> {
        self.scenarios.iter().flat_map(ScenarioView::cases)
    }

    /// The position of a device among those of the run, which is its colour.
    #[must_use]
    pub fn colour_of(&self, device: &str) -> usize {
        self.devices.iter().position(|known| known == device).unwrap_or(0)
    }
}

impl ScenarioView {
    /// All its cases.
    pub fn cases(&self) -> impl Iterator<Item = &CaseView> {
        self.prompts.iter().flat_map(|prompt| &prompt.cases)
    }
}

/// What is needed while a view is made.
struct Builder<'a> {
    record: &'a IndexedRun<'a>,
    devices: &'a [String],
    slugs: Slugs,
    cases: usize,
    has_explained_gaps: bool,
    compared: compared_run::RunComparison,
}

impl Builder<'_> {
    fn scenarios(&mut self) -> Vec<ScenarioView> {
        let specs = &self.record.info.cases;
        group(specs.iter(), |spec| spec.scenario.as_str())
            .into_iter()
            .map(|(name, specs)| ScenarioView {
                name: line(name),
                description: specs.first().map(|spec| message(&spec.description)).unwrap_or_default(),
                facts: facts::of_scenario(&self.record.info, &specs),
                prompts: group(specs.into_iter(), |spec| spec.prompt.as_str())
                    .into_iter()
                    .map(|(prompt, specs)| self.prompt(name, prompt, &specs))
                    .collect(),
            })
            .collect()
    }

    fn prompt(&mut self, scenario: &str, prompt: &str, specs: &[&CaseSpec]) -> PromptView {
        let reference = reference_of(specs.iter().copied()).map_or_else(String::new, |case| case.placement.clone());
        let reference_spec = specs.iter().find(|spec| spec.placement == reference).copied();
        let mut cases: Vec<CaseView> = specs
            .iter()
            .map(|spec| {
                self.cases += 1;
                case::view(self.record, spec, reference_spec, self.devices, self.cases)
            })
            .collect();
        let reference = line(&reference);
        let gap_table = latency_table::gaps(&cases);
        let explains_gaps =
            gap_table.is_some() && !std::mem::replace(&mut self.has_explained_gaps, gap_table.is_some());
        let compared = compared::view(&compared::Source {
            run: self.record,
            compared: &self.compared,
            specs,
            cases: &cases,
            reference: &reference,
        });
        let overview = overview::prompt(specs, &mut cases, &compared);
        PromptView {
            scenario: line(scenario),
            name: line(prompt),
            slug: self.slugs.for_prompt(scenario, prompt),
            input: specs.first().map(|spec| text::prompt(&spec.input)).unwrap_or_default(),
            placement_title: titles::placement(&cases),
            latency_title: titles::latency(&cases, &compared),
            memory_title: titles::memory(&cases),
            steps_title: forecast_words::title(&cases),
            steps_missing: work::missing(&cases),
            audit_title: audit::title(&cases),
            tokens_title: gaps::title(cases.iter().map(|case| (case.placement.as_str(), &case.latency.gaps))),
            first_token_title: first_token::title(
                cases
                    .iter()
                    .map(|case| (case.placement.as_str(), &case.latency.first_token, &case.steps[0])),
            ),
            gap_table,
            untimed: timing::untimed(&cases),
            explains_gaps,
            reference,
            cases,
            compared,
            overview,
            answer: None,
        }
    }
}

/// Groups items by a key, in the order the keys are met.
fn group<'a, T>(items: impl Iterator<Item = &'a T>, key: impl Fn(&'a T) -> &'a str) -> Vec<(&'a str, Vec<&'a T>)> {
    let mut groups: Vec<(&str, Vec<&T>)> = Vec::new();
    for item in items {
        let name = key(item);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.push(item),
            None => groups.push((name, vec![item])),
        }
    }
    groups
}

/// Every device that a record mentions: accelerators by name, then the host, then the disk.
fn devices(record: &RunRecord) -> Vec<String> {
    let mut all: BTreeSet<&DeviceId> = BTreeSet::new();
    for attempt in &record.attempts {
        all.extend(attempt.realised.iter().flatten().map(|module| &module.device));
        all.extend(
            attempt
                .planned
                .iter()
                .flat_map(|planned| planned.device_map.iter().map(|(_, device)| device)),
        );
        all.extend(attempt.memory.iter().map(|figure| &figure.device));
        all.extend(attempt.places.iter().map(|(_, device)| device));
    }
    for metrics in record.verdict.cases.iter().map(|verdict| &verdict.metrics) {
        let figures = [
            &metrics.weights_bytes,
            &metrics.kv_cache_bytes,
            &metrics.peak_memory_bytes,
        ];
        all.extend(figures.into_iter().flatten().map(|figure| &figure.device));
    }
    let (accelerators, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|device| device.is_accelerator());
    let mut accelerators = accelerators;
    // `sim:10` comes after `sim:9`.
    accelerators.sort_by_key(|device| {
        let (name, index) = device.as_str().split_once(':').unwrap_or((device.as_str(), ""));
        (name, index.parse::<u64>().unwrap_or(0))
    });
    accelerators
        .into_iter()
        .chain(others)
        .map(|device| line(device.as_str()))
        .collect()
}

fn counts(scenarios: &[ScenarioView]) -> Counts {
    let mut counts = Counts::default();
    for case in scenarios.iter().flat_map(ScenarioView::cases) {
        match case.status_kind {
            Some(CaseStatus::Passed) => counts.passed += 1,
            Some(CaseStatus::Flaky) => counts.flaky += 1,
            Some(CaseStatus::Failed) => counts.failed += 1,
            Some(CaseStatus::Setup) => counts.setup += 1,
            Some(CaseStatus::Pending) => counts.pending += 1,
            Some(CaseStatus::Skipped) => counts.skipped += 1,
            None => counts.unjudged += 1,
        }
    }
    counts
}

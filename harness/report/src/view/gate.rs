//! What a run was held against beyond its own expectations, and the answer.

use std::collections::HashSet;

use placebench_core::compare::NoVerdictReason;
use placebench_core::exit_code::ExitCode;
use placebench_core::record::{GateBase, GateVerdict};
use serde::Serialize;

use super::ScenarioView;
use super::changes::{CaseWords, Standing, Tone, case_words, meaning, percent, tally, without_verdict};
use super::words::{line, message};

/// Rows of a page: far more than anybody reads, and a page that still opens.
const MOST_ROWS: usize = 500;

/// The answer in words. Nothing here is escaped or shortened: see [`GateView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateWords {
    /// What the run was held against.
    pub base: String,
    /// The cases that something is to be said of.
    pub cases: Vec<CaseWords>,
    /// What was not compared, what has no verdict, and by what it was judged.
    pub sentences: Vec<String>,
    /// The answer in one line.
    pub closing: String,
}

impl GateWords {
    /// Puts an answer into words.
    #[must_use]
    pub fn new(gate: &GateVerdict) -> Self {
        let comparison = &gate.comparison;
        let words = comparison.cases.iter().map(|case| case_words(case, false));
        let standings: Vec<Standing> = comparison.cases.iter().map(Standing::of).collect();
        let mut sentences = gate.notes.clone();
        sentences.extend(without_verdict(comparison, &hint));
        let spec = &comparison.spec;
        let are_timed = comparison.cases.iter().any(|case| !case.timings.is_empty());
        if are_timed && matches!(gate.base, GateBase::Baseline { .. }) {
            let floor = percent(spec.min_effect.max(spec.separate_floor).exp());
            let gates = match spec.separate_timings_gate {
                true => "",
                false => ", and fails no gate",
            };
            sentences.push(format!(
                "a time counts as changed where it certainly did by more than {}{gates}: the baseline was timed in another session",
                floor.trim_start_matches('+')
            ));
        }
        Self {
            base: base_words(&gate.base),
            cases: words
                .filter(|case| !case.rows.is_empty() || !case.remarks.is_empty())
                .collect(),
            sentences,
            closing: format!(
                "{}; {}",
                tally(&standings, &[]),
                match (gate.exit, spec.base_may_lack && comparison.cases.is_empty()) {
                    (ExitCode::Passed, true) => "there was nothing to hold the run against",
                    (exit, _) => meaning(exit),
                }
            ),
        }
    }
}

/// What a headline says of an answer that is no pass.
#[must_use]
pub fn headline(gate: &GateVerdict) -> Option<String> {
    let base = match &gate.base {
        GateBase::Baseline { .. } => "the baseline",
        GateBase::Program { .. } => "the other program",
    };
    match gate.exit {
        ExitCode::Passed => None,
        ExitCode::CaseFailed => Some(format!("worse than {base}")),
        ExitCode::Slower => Some(format!("slower than {base}")),
        _ => Some(format!("no verdict against {base}")),
    }
}

/// The colour of a run with an answer.
#[must_use]
pub fn worse_tone(own: &'static str, gate: Option<&GateVerdict>) -> &'static str {
    match (own, gate.map_or("good", tone)) {
        ("bad", _) | (_, "bad") => "bad",
        ("open", _) | (_, "open") => "open",
        (own, _) => own,
    }
}

fn tone(gate: &GateVerdict) -> &'static str {
    match gate.exit {
        ExitCode::Passed => "good",
        ExitCode::CaseFailed | ExitCode::Slower => "bad",
        _ => "open",
    }
}

/// Marks the cases of which the answer has something to say.
pub(super) fn mark_changed(gate: &GateVerdict, scenarios: &mut [ScenarioView]) {
    let changed: HashSet<String> = (GateWords::new(gate).cases.iter())
        .filter(|case| !case.rows.is_empty())
        .map(|case| line(&case.case))
        .collect();
    let prompts = scenarios.iter_mut().flat_map(|scenario| &mut scenario.prompts);
    for case in prompts.flat_map(|prompt| &mut prompt.cases) {
        case.overview.differs |= changed.contains(&case.case);
    }
}

fn base_words(base: &GateBase) -> String {
    match base {
        GateBase::Baseline { name, file } if file.is_empty() => format!("baseline {name}"),
        GateBase::Baseline { name, file } => format!("baseline {name} ({file})"),
        GateBase::Program { program, version } => format!("{program} ({version})"),
    }
}

fn hint(reason: &NoVerdictReason) -> String {
    match reason {
        NoVerdictReason::OtherMachine { .. } => "; what is counted compares all the same".to_owned(),
        _ => String::new(),
    }
}

/// A row as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateRow {
    /// The case.
    pub case: String,
    /// Case, then one cell for each of [`COLUMNS`](super::changes::COLUMNS).
    pub cells: [String; 6],
    /// What counts as a change.
    pub floor: String,
    /// `good`, `bad`, `open` or nothing: its colour.
    pub tone: &'static str,
}

/// The answer as pages and tables show it: visible and bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateView {
    /// What the run was held against.
    pub base: String,
    /// Where that is; may be empty.
    pub place: String,
    /// The answer in one line.
    pub closing: String,
    /// `good`, `bad` or `open`: its colour.
    pub tone: &'static str,
    /// What has changed.
    pub rows: Vec<GateRow>,
    /// Rows that are not shown.
    pub more: usize,
    /// What must be known about them.
    pub sentences: Vec<String>,
}

impl GateView {
    /// Words, visible and bounded.
    #[must_use]
    pub fn new(gate: &GateVerdict) -> Self {
        let words = GateWords::new(gate);
        let all: usize = words.cases.iter().map(|case| case.rows.len()).sum();
        let rows = words.cases.iter().flat_map(|case| {
            let row = |row: &super::changes::Row| GateRow {
                case: line(&case.case),
                cells: row.cells.each_ref().map(|cell| line(cell)),
                floor: line(&row.floor),
                tone: match row.tone {
                    Tone::Bad => "bad",
                    Tone::Good => "good",
                    Tone::Unknown => "open",
                    Tone::Plain => "",
                },
            };
            case.rows.iter().map(row)
        });
        let remarks = words.cases.iter().flat_map(|case| {
            let remark = |remark: &String| message(&format!("{}: {remark}", case.case));
            case.remarks.iter().map(remark)
        });
        let sentences = words.sentences.iter().map(|sentence| message(sentence));
        let (base, place) = match &gate.base {
            GateBase::Baseline { name, file } => (format!("baseline {name}"), file),
            GateBase::Program { program, version } => (version.clone(), program),
        };
        Self {
            base: line(&base),
            place: message(place),
            closing: line(&words.closing),
            tone: tone(gate),
            rows: rows.take(MOST_ROWS).collect(),
            more: all.saturating_sub(MOST_ROWS),
            sentences: remarks.take(MOST_ROWS).chain(sentences).collect(),
        }
    }
}

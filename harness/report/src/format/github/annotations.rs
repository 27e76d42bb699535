//! What a run has to say beside the lines of its scenarios: cases that failed, broke, were flaky or wait for a review, what
//! has changed against what it was held against, and what nothing can be said of.

use std::collections::HashMap;

use placebench_core::record::{CaseSpec, CaseStatus, CaseVerdict, FlakyResult, RunRecord};

use super::changes;
use super::{Annotation, Level, Locate, Place};
use crate::view::divergence;
use crate::view::status::{earlier_words, says_more, status_words};
use crate::view::words::{count, line, message};

/// All remarks on a run, the worst first.
#[must_use]
pub fn of_run(record: &RunRecord, locate: &Locate<'_>) -> Vec<Annotation> {
    let specs: HashMap<&str, &CaseSpec> = record
        .info
        .cases
        .iter()
        .map(|spec| (spec.case.as_str(), spec))
        .collect();
    let place = |case: &str| {
        let spec = specs.get(case)?;
        Some(Place {
            file: locate(&spec.file)?,
            line: spec.line,
        })
    };
    let mut all = Vec::new();
    for status in [
        CaseStatus::Failed,
        CaseStatus::Setup,
        CaseStatus::Flaky,
        CaseStatus::Pending,
    ] {
        let of_status = record.verdict.cases.iter().filter(|verdict| verdict.status == status);
        all.extend(of_status.map(|verdict| of_case(record, verdict, place(&verdict.case))));
    }
    all.extend(not_run(record));
    if let Some(gate) = &record.verdict.gate {
        all.extend(changes::of_gate(gate, &place));
    }
    all
}

fn of_case(record: &RunRecord, verdict: &CaseVerdict, place: Option<Place>) -> Annotation {
    let level = match verdict.status {
        CaseStatus::Failed | CaseStatus::Setup => Level::Error,
        CaseStatus::Flaky if record.info.control.flaky_result == FlakyResult::Fail => Level::Error,
        CaseStatus::Flaky | CaseStatus::Pending | CaseStatus::Passed | CaseStatus::Skipped => Level::Warning,
    };
    let mut lines = earlier_words(verdict);
    if verdict.status == CaseStatus::Pending {
        lines.push("no approved text: look at the proposed one, then `placebench accept` it".to_owned());
    }
    if says_more(Some(verdict)) {
        lines.push(message(&verdict.sentence));
    }
    for finding in &verdict.findings {
        lines.push(format!("{}: {}", line(&finding.check), message(&finding.message)));
        lines.extend(finding.hint.as_deref().map(|hint| format!("help: {}", message(hint))));
    }
    lines.extend(verdict.divergences.iter().flat_map(divergence::lines));
    lines.extend(verdict.notes.iter().map(|note| message(note)));
    Annotation {
        level,
        title: format!("{}: {}", line(&verdict.case), status_words(Some(verdict))),
        message: lines.join("\n"),
        place,
    }
}

/// Cases without an answer although the run was to give one.
fn not_run(record: &RunRecord) -> Option<Annotation> {
    let made: HashMap<&str, u32> = (record.verdict.cases.iter())
        .map(|verdict| (verdict.case.as_str(), verdict.attempts))
        .collect();
    let is_open = |spec: &&CaseSpec| made.get(spec.case.as_str()).is_none_or(|attempts| *attempts == 0);
    let open: Vec<String> = record
        .info
        .cases
        .iter()
        .filter(is_open)
        .map(|spec| line(&spec.case))
        .collect();
    if record.verdict.complete && open.is_empty() {
        return None;
    }
    let what = match open.len() {
        0 => "attempts were never made".to_owned(),
        number => format!("{} never run", count(number, "case was", "cases were")),
    };
    Some(Annotation {
        level: Level::Warning,
        title: "placebench: nothing can be said of the whole run".to_owned(),
        message: format!("the run ended early, and {what}\n{}", super::named(&open)),
        place: None,
    })
}

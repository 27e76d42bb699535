//! The figures of a run in a few numbers a case: what a page carries in itself, so that one that was mailed alone still has them.
//!
//! `FORMATS.md` documents the keys.

use serde::Serialize;

use super::Numbers;
use crate::view::{CaseView, ReportView};

/// Version of these keys; new ones do not change it.
const SCHEMA_VERSION: u32 = 1;

/// A run.
#[derive(Debug, Serialize)]
pub struct RunData<'a> {
    schema_version: u32,
    run_id: &'a str,
    started_at: &'a str,
    headline: &'a str,
    cases: Vec<CaseData<'a>>,
}

#[derive(Debug, Serialize)]
struct CaseData<'a> {
    anchor: &'a str,
    case: &'a str,
    scenario: &'a str,
    prompt: &'a str,
    placement: &'a str,
    status: &'a str,
    outcome: &'a str,
    text: &'a str,
    sentence: &'a str,
    differs: bool,
    #[serde(flatten)]
    numbers: Numbers,
    peak_bytes: Option<u64>,
    peak_device: Option<&'a str>,
}

/// The figures of a run.
#[must_use]
pub fn data(view: &ReportView) -> RunData<'_> {
    RunData {
        schema_version: SCHEMA_VERSION,
        run_id: &view.run_id,
        started_at: &view.started_at,
        headline: &view.headline,
        cases: view.cases().map(case).collect(),
    }
}

fn case(case: &CaseView) -> CaseData<'_> {
    let peak = case.overview.peak.as_ref();
    CaseData {
        anchor: &case.anchor,
        case: &case.case,
        scenario: &case.scenario,
        prompt: &case.prompt,
        placement: &case.placement,
        status: case.status,
        outcome: case.outcome,
        text: case.text_verdict,
        sentence: match case.findings.first() {
            Some(finding) => &finding.message,
            None => &case.sentence,
        },
        differs: case.overview.differs,
        numbers: case.overview.numbers,
        peak_bytes: peak.map(|peak| peak.bytes),
        peak_device: peak.map(|peak| peak.device.as_str()),
    }
}

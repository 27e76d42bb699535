//! How a case stands while its run goes on.

use placebench_core::judge::judge;
use placebench_core::record::{Attempt, CaseSpec, CaseVerdict, RunInfo};
use placebench_core::selection::is_compared_with;

use crate::snapshots;

/// The judgement on a case by the attempts made so far, beside the cases it is compared with.
pub(crate) fn verdict_on(info: &RunInfo, attempts: &[Attempt], case: &CaseSpec) -> Option<CaseVerdict> {
    let is_beside = |other: &&CaseSpec| {
        (other.scenario == case.scenario && other.prompt == case.prompt) || is_compared_with(case, other)
    };
    let own = RunInfo {
        cases: info.cases.iter().filter(is_beside).cloned().collect(),
        // What only says how the run came about, and may be long.
        control: placebench_core::record::RunControl::default(),
        shards: Vec::new(),
        arguments: Vec::new(),
        environment: info.environment.clone(),
        tool: info.tool.clone(),
        run_id: info.run_id.clone(),
        started_at: info.started_at.clone(),
        schema_version: info.schema_version,
        seed: info.seed,
    };
    let states = snapshots::states(&own, attempts);
    let verdict = judge(&own, attempts, &states, true);
    verdict.cases.into_iter().find(|judged| judged.case == case.case)
}

/// What is wrong with a case, in a sentence.
pub(crate) fn reason(judged: &CaseVerdict) -> String {
    match judged.findings.first() {
        Some(finding) => format!("{}: {}", finding.check, finding.message),
        None => judged.sentence.clone(),
    }
}

//! `run --audit`: which cases can be looked into, and what is said of them in the end.

use console::Style;
use placebench_core::audit::AuditSpec;
use placebench_core::exit_code::ExitCode;
use placebench_core::judge::audits;
use placebench_core::record::{CaseSpec, RunRecord};

use crate::engines;
use crate::error::CliError;
use crate::summary::one_line;
use crate::terminal::{self, out, printable};

/// The cases as an audit runs them. Those that nobody can look into are left out, and named.
pub(crate) fn audited(cases: Vec<CaseSpec>, max_tokens: Option<u32>) -> Result<Vec<CaseSpec>, CliError> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    let mut left_out = Vec::new();
    let mut kept = Vec::new();
    for case in cases {
        let Some(why) = obstacle(&case) else {
            kept.push(case.audited(AuditSpec { max_tokens }));
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, count)) => *count += 1,
            None => reasons.push((why, 1)),
        }
        left_out.push(case);
    }
    for (why, count) in reasons {
        let cases = terminal::counted(count, "case");
        terminal::warning(&format!("{cases} left out of the audit: {why}"));
    }
    if kept.is_empty() {
        return Err(
            CliError::with_code(ExitCode::NothingSelected, "no case can be audited: nothing to run")
                .hint("audit cases of the engine `candle` that generate one sequence at a time"),
        );
    }
    for case in &mut kept {
        // Nobody can agree with a text that is not generated.
        let is_reference = |other: &CaseSpec| {
            let agreement = case.expect.agreement.as_ref();
            (&other.scenario, &other.prompt) == (&case.scenario, &case.prompt)
                && agreement.is_some_and(|agreement| agreement.reference == other.placement)
        };
        if left_out.iter().any(is_reference) {
            case.expect.agreement = None;
        }
    }
    Ok(kept)
}

/// Why a case cannot be looked into. An engine that this program does not know is asked when it runs.
fn obstacle(case: &CaseSpec) -> Option<String> {
    if case.request.concurrency.sequences() > 1 {
        return Some("sequences that are generated together cannot be told apart inside the model".to_owned());
    }
    let engine = engines::all().into_iter().find(|engine| engine.name() == case.engine)?;
    (!engine.supports_audit()).then(|| format!("engine `{}` does not tell what its modules make", case.engine))
}

/// One line for each placement beside the one it is held to.
pub(crate) fn print(record: &RunRecord) {
    let audits = audits(&record.info, &record.attempts);
    if !audits.is_empty() {
        out("");
    }
    for audit in audits {
        let style = if audit.comparison.parting.is_some() {
            Style::new().red()
        } else {
            Style::new().green()
        };
        let words = one_line(&printable(&audit.comparison.sentence()));
        out(&format!(
            "{} {}  {words}",
            style.apply_to(format!("{:>8}", "AUDIT")),
            printable(&audit.case.case)
        ));
    }
}

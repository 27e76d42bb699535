//! `placebench history list`.

use placebench_core::exit_code::ExitCode;
use placebench_history::{ListedRun, RunFilter};
use serde_json::json;

use super::{ago_ms, failed, open};
use crate::args::{Format, HistoryListArgs};
use crate::error::CliError;
use crate::terminal::{self, counted, out, printable};

/// Version of the document.
const SCHEMA_VERSION: u32 = 1;

pub(crate) fn run(args: &HistoryListArgs) -> Result<ExitCode, CliError> {
    let filter = RunFilter {
        case_glob: args.case.clone(),
        since_ms: args.since.as_deref().map(since).transpose()?,
    };
    let runs = open(&args.database)?.runs(&filter).map_err(|error| failed(&error))?;
    match args.format {
        Format::Json => out(&terminal::pretty_json(
            &json!({"schema_version": SCHEMA_VERSION, "runs": runs}),
        )),
        Format::Human => show(&runs),
    }
    Ok(ExitCode::Passed)
}

/// A day, a moment, or how long ago.
fn since(text: &str) -> Result<i64, CliError> {
    let moment = humantime::parse_rfc3339(text).or_else(|_| humantime::parse_rfc3339(&format!("{text}T00:00:00Z")));
    match (moment, humantime::parse_duration(text)) {
        (Ok(moment), _) => {
            let since = moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        }
        (_, Ok(duration)) => Ok(ago_ms(duration)),
        _ => Err(CliError::with_code(
            ExitCode::Usage,
            format!(
                "--since `{}` is no time: write 2026-11-22, 2026-11-22T14:00:00Z, or how long ago: 30d",
                text.escape_debug()
            ),
        )),
    }
}

fn show(runs: &[ListedRun]) {
    for run in runs {
        let verdict = run.exit.map_or_else(
            || "unknown".to_owned(),
            |exit| match exit {
                ExitCode::Passed => "passed".to_owned(),
                exit => format!("exit {}", exit.number()),
            },
        );
        let mut notes = Vec::new();
        if run.failed > 0 {
            notes.push(format!("{} failed", run.failed));
        }
        if !run.is_complete {
            notes.push("incomplete".to_owned());
        }
        if run.is_judged_again {
            notes.push("judged again".to_owned());
        }
        if let Some(whole) = &run.part_of {
            notes.push(format!("part of {whole}"));
        }
        let line = format!(
            "{:<20}  {:<22}  {:<9}  {}, {}  {}{}",
            run.started_at.get(..19).unwrap_or(&run.started_at),
            run.run_id,
            verdict,
            counted(run.cases, "case"),
            counted(run.attempts, "attempt"),
            run.machines.join(", "),
            if notes.is_empty() {
                String::new()
            } else {
                format!("  ({})", notes.join(", "))
            },
        );
        out(&printable(&line));
    }
    out(&counted(runs.len() as u64, "run"));
}

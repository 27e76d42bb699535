//! `placebench list`: the cases that would run.

use placebench_core::exit_code::ExitCode;
use placebench_core::outcome::Outcome;

use crate::args::{Format, ListArgs};
use crate::error::CliError;
use crate::terminal::{out, pretty_json, printable};
use crate::{engines, suite};

pub(crate) fn run(args: &ListArgs) -> Result<ExitCode, CliError> {
    let scenarios = suite::load(&args.at.paths)?;
    let cases = suite::cases(&scenarios)?;
    let cuda = engines::cuda_devices_for(&cases);
    if args.format == Format::Json {
        let list: Vec<serde_json::Value> = cases
            .iter()
            .map(|case| {
                let skip = placebench_runner::run::skip_reason(case, cuda);
                serde_json::json!({
                    "case": case.case,
                    "scenario": case.scenario,
                    "prompt": case.prompt,
                    "placement": case.placement,
                    "file": case.file,
                    "line": case.line,
                    "engine": case.engine,
                    "model": case.model.label(),
                    "tags": case.tags,
                    "skip": skip.as_ref().map(Outcome::sentence),
                    "program": case.foreign_program().map(|program| &program.command),
                    "needs_allow_exec": !case.foreign_code().is_empty(),
                })
            })
            .collect();
        out(&pretty_json(&serde_json::Value::from(list)));
        return Ok(ExitCode::Passed);
    }
    let mut scenario = "";
    for case in &cases {
        if case.scenario != scenario {
            scenario = &case.scenario;
            out(&format!(
                "{}  ({}, {})",
                printable(scenario),
                case.engine,
                printable(&case.model.label())
            ));
        }
        let skip = placebench_runner::run::skip_reason(case, cuda);
        let note = skip
            .map(|skip| format!("  [skipped: {}]", printable(&skip.sentence())))
            .unwrap_or_default();
        let permission = match case.foreign_code().is_empty() {
            true => "",
            false => "  [needs --allow-exec]",
        };
        out(&format!("  {}{note}{permission}", printable(&case.case)));
    }
    Ok(ExitCode::Passed)
}

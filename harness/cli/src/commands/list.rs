//! `placebench list`: the cases that would run.

use placebench_core::exit_code::ExitCode;
use placebench_core::outcome::Outcome;
use placebench_core::selection::{devices_of, groups_of};

use crate::args::{Format, ListArgs};
use crate::error::CliError;
use crate::terminal::{out, pretty_json, printable};
use crate::{engines, python, selection, settings, suite};

/// Version of what `--format json` prints.
///
/// 1: the first.
const LIST_VERSION: u32 = 1;

pub(crate) fn run(args: &ListArgs) -> Result<ExitCode, CliError> {
    let flags = settings::flags_of_selection(&args.selection.filterset)?;
    let effective = settings::effective(&args.selection, flags)?;
    let mut scenarios = suite::load(&args.at.paths)?;
    for scenario in &mut scenarios {
        effective.settings.apply(scenario, None);
    }
    let selected = selection::apply(suite::cases(&scenarios)?, &effective);
    let selected = selection::unless_empty(selected, args.selection.no_cases)?;
    let (cases, references) = selected.map_or_else(Default::default, |selected| (selected.cases, selected.references));
    let cuda = engines::cuda_devices_for(&cases);
    if args.format == Format::Json {
        let list: Vec<serde_json::Value> = cases
            .iter()
            .zip(groups_of(&cases))
            .map(|(case, group)| {
                let skip = placebench_runner::run::skip_reason(case, cuda).or_else(|| python::skip_reason(case));
                let tries = f64::from(effective.settings.retries.value) + 1.0;
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
                    "group": group,
                    "devices": devices_of(case),
                    "requires": { "cuda": case.requires_cuda },
                    "attempts": case.attempts_per_try(),
                    "at_most_s": tries * f64::from(case.attempts_per_try()) * case.timeout.total_s,
                    "is_reference_only": references.contains(&case.case),
                    "program": case.foreign_program().map(|program| &program.command),
                    "needs_allow_exec": !case.foreign_code().is_empty(),
                })
            })
            .collect();
        out(&pretty_json(
            &serde_json::json!({ "schema_version": LIST_VERSION, "cases": list }),
        ));
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
        let skip = placebench_runner::run::skip_reason(case, cuda).or_else(|| python::skip_reason(case));
        let mut note = skip
            .map(|skip| format!("  [skipped: {}]", printable(&skip.sentence())))
            .unwrap_or_default();
        if references.contains(&case.case) {
            note.push_str("  [reference]");
        }
        if !case.foreign_code().is_empty() {
            note.push_str("  [needs --allow-exec]");
        }
        out(&format!("  {}{note}", printable(&case.case)));
    }
    Ok(ExitCode::Passed)
}

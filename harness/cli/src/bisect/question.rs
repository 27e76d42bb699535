//! From the command line to the question: which case fails, and what may pass.

use placebench_core::bisect::case::{failing_case, passing_case};
use placebench_core::bisect::record::Question;
use placebench_core::exit_code::ExitCode;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::record::CaseSpec;
use placebench_core::scenario::problem::suggestion;
use placebench_core::scenario::value::Period;

use crate::args::BisectArgs;
use crate::error::CliError;
use crate::suite;

/// Reads the scenarios and finds the case.
pub(crate) fn ask(args: &BisectArgs, max_attempts: u32) -> Result<Question, CliError> {
    let limit_s = limit_s(args)?;
    let name = args.case.as_deref().unwrap_or_default();
    let scenarios = suite::load(&args.paths)?;
    let cases = suite::cases(&scenarios)?;
    let names: Vec<&str> = cases.iter().map(|case| case.case.as_str()).collect();
    let case = cases.iter().find(|case| case.case == name).ok_or_else(|| {
        CliError::with_code(ExitCode::NothingSelected, format!("there is no case `{name}`"))
            .hint(nearest_case(name, &names))
    })?;
    if max_attempts < 2 * args.repeat {
        return Err(CliError::with_code(
            ExitCode::Usage,
            format!(
                "--max-attempts {max_attempts}: with --repeat {} the first two placements alone take {}",
                args.repeat,
                2 * args.repeat
            ),
        ));
    }
    let (others, or_one_device) = candidates(args, case, &cases)?;
    let reference = others.first().map_or(SINGLE, |other| other.placement.as_str());
    let mut failing = failing_case(case, reference, args.repeat);
    if let Some(limit_s) = limit_s {
        let timeout = &mut failing.timeout;
        timeout.first_token_s = timeout.first_token_s.min(limit_s);
        timeout.token_s = timeout.token_s.min(limit_s);
    }
    let candidates = others.iter().map(|other| passing_case(&failing, other)).collect();
    Ok(Question {
        candidates,
        or_one_device,
        failing,
        repeat: args.repeat,
        max_attempts,
    })
}

/// Stands for the device that is chosen once the map of the failing case is known.
const SINGLE: &str = "single device";

/// Suites have many cases: with nothing near, the way to see them is worth more than all their names.
fn nearest_case(name: &str, names: &[&str]) -> String {
    let near = placebench_core::scenario::problem::nearest(name, names.iter().copied());
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "see `placebench list` for the names of all cases".to_owned(),
    }
}

/// Placements of the same prompt that may pass, the likeliest first: the one asked for, or the one texts must agree with, or
/// all, those on one device before the others. Which of them does, shows when they are run. True where nobody named one, so
/// that a device alone may be tried after them.
fn candidates<'a>(
    args: &BisectArgs,
    case: &CaseSpec,
    cases: &'a [CaseSpec],
) -> Result<(Vec<&'a CaseSpec>, bool), CliError> {
    let others = cases.iter().filter(|other| {
        other.scenario == case.scenario && other.prompt == case.prompt && other.placement != case.placement
    });
    let mut others: Vec<&CaseSpec> = others.collect();
    let named = |name: &str| others.iter().copied().find(|other| other.placement == name);
    if let Some(good) = &args.good {
        let names: Vec<&str> = others.iter().map(|other| other.placement.as_str()).collect();
        let found = named(good).ok_or_else(|| {
            CliError::setup(format!(
                "--good {good}: the scenario `{}` has no such other placement",
                case.scenario
            ))
            .hint(suggestion(good, &names))
        })?;
        return Ok((vec![found], false));
    }
    let reference = case
        .expect
        .agreement
        .as_ref()
        .and_then(|agreement| named(&agreement.reference));
    if let Some(reference) = reference {
        return Ok((vec![reference], false));
    }
    // Another engine or element type is another case, not another placement.
    others.retain(|other| other.engine == case.engine && other.dtype == case.dtype);
    others.sort_by_key(|other| !matches!(other.request.device_map, DeviceMapRequest::Single(_)));
    Ok((others, true))
}

fn limit_s(args: &BisectArgs) -> Result<Option<f64>, CliError> {
    let Some(text) = &args.timeout else { return Ok(None) };
    let period: Period = serde_json::from_value(text.clone().into())
        .map_err(|error| CliError::with_code(ExitCode::Usage, format!("--timeout: {error}")))?;
    Ok(Some(period.0.as_secs_f64()))
}

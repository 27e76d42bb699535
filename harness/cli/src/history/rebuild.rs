//! `placebench history rebuild`.

use placebench_core::exit_code::ExitCode;
use placebench_history::{History, runs_below};

use super::{failed, folders, judge, options};
use crate::args::RebuildArgs;
use crate::error::CliError;
use crate::terminal::{self, counted, out, printable};

pub(crate) fn run(args: &RebuildArgs) -> Result<ExitCode, CliError> {
    let mut found = folders(&args.paths)?;
    // The runs that are known may all lie elsewhere.
    found.extend(runs_below(&args.database.output_dir).unwrap_or_default());
    let options = options(&args.database)?;
    let database = options.path.display().to_string();
    let rebuilt = History::rebuild(options, &found, args.forget_missing, &judge).map_err(|error| failed(&error))?;
    if let Some(aside) = &rebuilt.moved_aside {
        terminal::warning(&format!("the damaged database is now {}", aside.display()));
    }
    for (_, error) in &rebuilt.failed {
        failed(error).report();
    }
    if !rebuilt.forgotten.is_empty() {
        terminal::warning(&format!("no longer known: {}", rebuilt.forgotten.join(", ")));
    }
    let mut words = format!("made {database} again from {}", counted(rebuilt.runs as u64, "run"));
    if !rebuilt.failed.is_empty() {
        words.push_str(&format!(", {} failed", rebuilt.failed.len()));
    }
    out(&printable(&words));
    Ok(match rebuilt.failed.len() {
        0 => ExitCode::Passed,
        _ => ExitCode::Setup,
    })
}

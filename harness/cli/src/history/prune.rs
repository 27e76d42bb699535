//! `placebench history prune`.

use std::fs;
use std::path::Path;

use placebench_core::exit_code::ExitCode;
use placebench_history::{Keep, PruneRules, PruneTarget};

use super::{ago_ms, duration, failed, open};
use crate::args::PruneArgs;
use crate::error::CliError;
use crate::terminal::{counted, hint, out, printable};

pub(crate) fn run(args: &PruneArgs) -> Result<ExitCode, CliError> {
    let keep = match (args.keep_last, &args.older_than) {
        (Some(runs), _) => Keep::Last(runs as usize),
        (None, Some(age)) => Keep::Since(ago_ms(duration("--older-than", age)?)),
        (None, None) => {
            return Err(CliError::with_code(
                ExitCode::Usage,
                "say which: --keep-last N or --older-than 90d",
            ));
        }
    };
    let baselines = match args.runs {
        true => texts(&args.baseline_dir).map_err(|error| {
            CliError::setup(format!("{}: {error}", args.baseline_dir.display()))
                .hint("no folder is removed as long as baselines cannot be looked at")
        })?,
        false => Vec::new(),
    };
    let protected = |run_id: &str| {
        let named = baselines.iter().any(|text| text.contains(&format!("\"{run_id}\"")));
        named.then(|| "a baseline was made from it".to_owned())
    };
    let target = match args.runs {
        true => PruneTarget::RowsAndFolders {
            output_dir: &args.database.output_dir,
            protected: &protected,
        },
        false => PruneTarget::Rows,
    };
    let rules = PruneRules {
        keep,
        target,
        is_dry: !args.yes,
    };
    let pruned = open(&args.database)?.prune(rules).map_err(|error| failed(&error))?;
    let verb = if args.yes { "removed" } else { "would remove" };
    for run in &pruned {
        let words = match (&run.kept_because, &run.folder) {
            (Some(why), _) => format!("kept {}: {why}", run.run_id),
            (None, Some(folder)) => format!("{verb} {} ({}) and {}", run.run_id, run.started_at, folder.display()),
            (None, None) => format!("{verb} {} ({})", run.run_id, run.started_at),
        };
        out(&printable(&words));
    }
    let removed = pruned.iter().filter(|run| run.kept_because.is_none()).count() as u64;
    out(&format!("{verb} {}", counted(removed, "run")));
    if !args.yes && removed > 0 {
        hint("nothing was removed; --yes does it");
    }
    Ok(ExitCode::Passed)
}

/// The texts of all files below a folder; none where it is not there. What cannot be read might name any run, and is an error.
fn texts(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut texts = Vec::new();
    if !folder.exists() {
        return Ok(texts);
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).into_owned()),
                _ => {}
            }
        }
    }
    Ok(texts)
}

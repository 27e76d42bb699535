//! `placebench merge`: the runs of several machines as one, judged again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use placebench_core::exit_code::ExitCode;
use placebench_core::merge::{Merged, Part, merge};
use placebench_core::record::{RunInfo, Tool};
use placebench_core::settings::MessageFormat;
use placebench_runner::environment;
use placebench_runner::run::unfinished;
use placebench_runner::store::{self, RunFolder, RunRecordParts, StoreError};

use super::run::{conclude, run_info};
use crate::against::shards;
use crate::args::{MergeArgs, Tables};
use crate::error::CliError;
use crate::terminal::{self, counted, out};

/// A run that was read.
struct Given {
    folder: PathBuf,
    name: String,
    stored: RunRecordParts,
    unfinished: Vec<String>,
}

pub(crate) fn run(args: &MergeArgs) -> Result<ExitCode, CliError> {
    let started = Instant::now();
    let given = read_all(&args.runs)?;
    let parts: Vec<Part<'_>> = given
        .iter()
        .map(|run| Part {
            name: &run.name,
            info: &run.stored.info,
            unfinished: &run.unfinished,
        })
        .collect();
    let (merged, gaps) = merge(&parts).map_err(|errors| refuse(&errors))?;
    if !gaps.is_empty() && !args.allow_gaps {
        return Err(refuse(&gaps));
    }
    for gap in &gaps {
        terminal::warning(&gap.to_string());
    }
    warn_of_other_tools(&merged);
    let mut info = info_of(merged);
    info.control.against = shards::agreed(&sides(&given));
    find_snapshots(&mut info, args.snapshot_dir.as_deref())?;
    let folder = write(&args.output_dir, &mut info, &given)?;
    shards::put_together(&sides(&given), &info, &folder)?;
    out(&format!(
        "merged {} with {}",
        counted(given.len(), "run"),
        counted(info.cases.len(), "case")
    ));
    conclude((MessageFormat::Human, Tables::Auto), &folder, gaps.is_empty(), started)
}

fn sides(given: &[Given]) -> Vec<shards::Shard<'_>> {
    let sides = given.iter().map(|run| shards::Shard {
        name: &run.name,
        folder: &run.folder,
        info: &run.stored.info,
    });
    sides.collect()
}

fn refuse(errors: &[placebench_core::merge::MergeError]) -> CliError {
    for error in errors {
        terminal::error(&error.to_string());
        terminal::hint(&error.hint());
    }
    CliError::setup("")
}

fn failed(error: &StoreError) -> CliError {
    CliError::setup(terminal::chain(error))
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Given>, CliError> {
    let mut folders: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut order = Vec::new();
    for path in paths {
        for shown in store::runs_at(path).map_err(|error| {
            failed(&error).hint("name the folder of a run (reports/<run-id>), or a folder that holds some")
        })? {
            let real = shown
                .canonicalize()
                .map_err(|error| CliError::setup(format!("{}: {error}", shown.display())))?;
            // A folder of runs also holds the link to its newest.
            if folders.insert(real.clone(), shown).is_none() {
                order.push(real);
            }
        }
    }
    let read = |folder: PathBuf| {
        let stored = store::read(&folder).map_err(|error| failed(&error))?;
        let name = folders.get(&folder).unwrap_or(&folder).display().to_string();
        for warning in &stored.warnings {
            terminal::warning(&format!("{name}: {warning}"));
        }
        let unfinished = unfinished(&stored.info.cases, &stored.attempts);
        Ok(Given {
            folder,
            name,
            stored,
            unfinished,
        })
    };
    let mut given = order.into_iter().map(read).collect::<Result<Vec<Given>, CliError>>()?;
    // Whatever order a shell lists them in.
    given.sort_by_key(|run| run.stored.info.control.partition.map(|partition| partition.index));
    Ok(given)
}

fn warn_of_other_tools(merged: &Merged) {
    let mut versions: Vec<String> = (merged.shards.iter())
        .map(|shard| format!("{} {} ({})", shard.tool.name, shard.tool.version, shard.tool.profile))
        .collect();
    versions.sort();
    versions.dedup();
    if versions.len() > 1 {
        terminal::warning(&format!(
            "the runs were made by different programs: {}",
            versions.join(", ")
        ));
    }
}

fn info_of(merged: Merged) -> RunInfo {
    let has_debug = merged.shards.iter().find(|shard| shard.tool.profile == "debug");
    // A figure to publish needs every machine to have been in earnest.
    let profile = has_debug
        .or(merged.shards.first())
        .map(|shard| shard.tool.profile.clone());
    let info = run_info(merged.cases, merged.seed, merged.control);
    RunInfo {
        tool: Tool {
            profile: profile.unwrap_or(info.tool.profile),
            ..info.tool
        },
        environment: merged.environment,
        shards: merged.shards,
        ..info
    }
}

/// Approved texts lie where the suite was on the machine of a shard. Where that is not on this one, judging would find every
/// snapshot missing, so that it must be said where they are.
fn find_snapshots(info: &mut RunInfo, given: Option<&Path>) -> Result<(), CliError> {
    let given = given
        .map(|dir| {
            let absolute = dir.canonicalize();
            absolute.map_err(|error| CliError::setup(format!("--snapshot-dir {}: {error}", dir.display())))
        })
        .transpose()?;
    for case in info.cases.iter_mut().filter(|case| case.expect.snapshot) {
        let recorded = Path::new(&case.snapshot_dir);
        // A suite without any approved text has no such folder yet.
        let is_here = recorded.is_dir() || recorded.parent().is_some_and(Path::is_dir);
        match &given {
            _ if is_here => {}
            Some(dir) => case.snapshot_dir = dir.to_string_lossy().into_owned(),
            None => {
                return Err(CliError::setup(format!(
                    "{}: its approved snapshots were in {}, which is not on this machine",
                    case.case, case.snapshot_dir
                ))
                .hint("name the folder of the suite's snapshots here: --snapshot-dir scenarios/snapshots"));
            }
        }
    }
    Ok(())
}

fn write(dir: &Path, info: &mut RunInfo, given: &[Given]) -> Result<RunFolder, CliError> {
    let mut folder = RunFolder::create_fresh(dir, info, environment::fresh_run_id).map_err(|error| failed(&error))?;
    for run in given {
        for attempt in &run.stored.attempts {
            folder.append(attempt).map_err(|error| failed(&error))?;
        }
        folder.take_raw_files(&run.folder).map_err(|error| failed(&error))?;
    }
    Ok(folder)
}

//! The folder of a run under a name that the person chose, and going on with one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use placebench_core::record::{Attempt, CaseSpec, Environment, Resumption, RunInfo, Tool};
use placebench_runner::environment;
use placebench_runner::run::unfinished;
use placebench_runner::store::{Opened, RunFolder, RunRecordParts, StoreError};

use crate::args::RunNameArgs;
use crate::error::CliError;
use crate::terminal;

/// How long a predecessor may take to let go of the run. A job that was ended on another machine holds its lock until the
/// file server notices: NFS 4 gives a client 90 seconds to be heard of again (`nfsd`'s `nfsv4leasetime`).
const HANDOVER: Duration = Duration::from_secs(120);

/// How often the lock is tried meanwhile.
const PATIENCE: Duration = Duration::from_millis(250);

/// A run that is ready to be made, or to be gone on with.
pub(super) struct Ready {
    /// What is to be run.
    pub(super) info: RunInfo,
    /// Where it is recorded.
    pub(super) folder: RunFolder,
    /// What was recorded there before.
    pub(super) previous: Vec<Attempt>,
}

impl Ready {
    fn fresh(info: RunInfo, folder: RunFolder) -> Self {
        Self {
            info,
            folder,
            previous: Vec::new(),
        }
    }
}

/// Makes the folder of a run, or opens it where that was asked for.
pub(super) fn begin(name: &RunNameArgs, dir: &Path, mut info: RunInfo) -> Result<Ready, CliError> {
    let failed = |error: StoreError| CliError::setup(terminal::chain(&error));
    let Some(run_id) = &name.run_id else {
        let folder = RunFolder::create_fresh(dir, &mut info, environment::fresh_run_id).map_err(failed)?;
        return Ok(Ready::fresh(info, folder));
    };
    info.run_id.clone_from(run_id);
    if name.resume_or_start {
        return match open_within(HANDOVER, dir, &info).map_err(failed)? {
            Opened::Begun(folder) => Ok(Ready::fresh(info, folder)),
            Opened::Resumed(folder, stored) => {
                refuse_another(&stored.info, &info, &folder)?;
                go_on(folder, *stored)
            }
        };
    }
    let folder = RunFolder::create(dir, &info).map_err(|error| match error {
        StoreError::Exists { .. } => failed(error).hint(
            "name the run otherwise, or go on with it: the same command line with --resume-or-start, or run --resume",
        ),
        error => failed(error),
    })?;
    Ok(Ready::fresh(info, folder))
}

/// Waits for a predecessor to end, if there is one.
fn open_within(patience: Duration, dir: &Path, info: &RunInfo) -> Result<Opened, StoreError> {
    let started = Instant::now();
    let mut is_told = false;
    loop {
        match RunFolder::begin_or_resume(dir, info) {
            Err(error @ StoreError::Locked { .. }) if started.elapsed() < patience => {
                if !is_told {
                    let what = terminal::printable(&error.to_string());
                    terminal::err(&format!("{what} (waiting up to {} s)", patience.as_secs()));
                    is_told = true;
                }
                std::thread::sleep(PATIENCE);
            }
            answer => return answer,
        }
    }
}

/// A run that was begun with other scenarios, or as another shard, is not gone on with.
fn refuse_another(begun: &RunInfo, asked: &RunInfo, folder: &RunFolder) -> Result<(), CliError> {
    let Some(why) = begun.differs_from(asked) else {
        return Ok(());
    };
    Err(
        CliError::setup(format!("{} was begun as another run: {why}", folder.path().display()))
            .hint("begin a new run under another name; to end this one as it was begun, use run --resume"),
    )
}

/// Takes up a run where it stopped, and notes where that is.
pub(super) fn go_on(mut folder: RunFolder, stored: RunRecordParts) -> Result<Ready, CliError> {
    for warning in &stored.warnings {
        terminal::warning(warning);
    }
    let first_attempts = first_attempts_to_make(&stored);
    let RunRecordParts { mut info, attempts, .. } = stored;
    let now = environment::fingerprint();
    let differences = differences(info.last_environment(), &now);
    // A run whose attempts are all there is only judged again.
    if !differences.is_empty() && !unfinished(&info.cases, &attempts).is_empty() {
        terminal::warning(&format!(
            "the run goes on in another environment than it was made in so far: {}; its figures may not be comparable",
            differences.join(", ")
        ));
        info.control.resumptions.push(Resumption {
            resumed_at: environment::now_rfc3339(),
            environment: now,
            first_attempts,
        });
        folder
            .extend(&info)
            .map_err(|error| CliError::setup(terminal::chain(&error)))?;
    }
    warn_of_other_tool(&info.tool, &super::tool());
    Ok(Ready {
        info,
        folder,
        previous: attempts,
    })
}

/// By case: the first attempt that is not on record, where any is.
fn first_attempts_to_make(stored: &RunRecordParts) -> BTreeMap<String, u32> {
    let done = stored.done();
    let next = |case: &CaseSpec| {
        let made = (0..u32::MAX).take_while(|attempt| done.contains(&(case.case.clone(), *attempt)));
        u32::try_from(made.count()).unwrap_or(u32::MAX)
    };
    let of_cases = stored.info.cases.iter().map(|case| (case.case.clone(), next(case)));
    of_cases.filter(|(_, next)| *next > 0).collect()
}

/// Parts of the machine and of the workers' variables that are not the same.
fn differences(then: &Environment, now: &Environment) -> Vec<String> {
    let mut parts = Vec::new();
    let words = [
        ("platform", &then.platform, &now.platform),
        ("kernel", &then.kernel, &now.kernel),
        ("processor", &then.cpu, &now.cpu),
    ];
    parts.extend(
        (words.into_iter().filter(|(_, then, now)| then != now))
            .map(|(name, then, now)| format!("{name} {then}, now {now}")),
    );
    if then.cpu_count != now.cpu_count {
        parts.push(format!("{} usable processors, now {}", then.cpu_count, now.cpu_count));
    }
    if then.memory_bytes != now.memory_bytes {
        parts.push(format!("{} of memory, now {}", then.memory_bytes, now.memory_bytes));
    }
    let (ours, theirs) = (&then.worker_env, &now.worker_env);
    let mut names: Vec<&str> = (ours.iter().filter(|variable| !theirs.contains(variable)))
        .chain(theirs.iter().filter(|variable| !ours.contains(variable)))
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        parts.push(format!("variables of workers: {}", names.join(", ")));
    }
    parts
}

fn warn_of_other_tool(then: &Tool, now: &Tool) {
    if then != now {
        let words = |tool: &Tool| format!("{} {} ({})", tool.name, tool.version, tool.profile);
        terminal::warning(&format!(
            "the run was begun by {}, and is gone on with by {}",
            words(then),
            words(now)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_differs_and_nothing_else() {
        let then = Environment {
            platform: "linux x86_64".into(),
            cpu: "one".into(),
            cpu_count: 8,
            worker_env: vec![("A".into(), "1".into()), ("B".into(), "1".into())],
            ..Environment::default()
        };
        assert!(differences(&then, &then.clone()).is_empty());
        let now = Environment {
            cpu: "two".into(),
            cpu_count: 4,
            worker_env: vec![("B".into(), "2".into()), ("A".into(), "1".into())],
            ..then.clone()
        };
        assert_eq!(
            differences(&then, &now),
            [
                "processor one, now two",
                "8 usable processors, now 4",
                "variables of workers: B"
            ]
        );
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut info = super::super::run_info(Vec::new(), 0, Default::default());
        info.run_id = "nightly".into();
        let first = open_within(Duration::ZERO, dir.path(), &info).unwrap();
        assert!(matches!(first, Opened::Begun(_)), "{first:?}");
        let second = open_within(Duration::from_millis(1), dir.path(), &info);
        assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
        drop(first);
        let third = open_within(Duration::ZERO, dir.path(), &info).unwrap();
        assert!(matches!(third, Opened::Resumed(..)), "{third:?}");
    }
}

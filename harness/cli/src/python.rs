//! The Python that runs cases of the engine `transformers`: which interpreter, whether it can do so, and the worker's file.
//!
//! An interpreter is never taken from a suite or from the current folder: a suite is somebody else's. It comes from the
//! environments that `ci/python-env.sh` has made, or from the person's own `PLACEBENCH_PYTHON`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use placebench_core::outcome::{FailureClass, Outcome, Phase, WorkerFailure};
use placebench_core::record::CaseSpec;
use placebench_core::scenario::TRANSFORMERS;
use placebench_runner::cancel::Cancel;
use placebench_runner::probe::{ProbeEnd, run_probe};
use placebench_runner::supervisor::WorkerCommand;

use crate::terminal;

/// The worker itself. What runs is what was compiled in, whatever lies around.
const WORKER: &str = include_str!("../../workers/transformers_worker.py");
/// Its name in the folder of a run.
const WORKER_FILE: &str = "transformers_worker.py";
/// The folder in that folder.
const WORKER_FOLDER: &str = "workers";
/// Folder of environments.
const ENVIRONMENTS: &str = "PLACEBENCH_PYTHON_ENVS";
/// An interpreter.
const INTERPRETER: &str = "PLACEBENCH_PYTHON";
/// The environment that is meant where none is named.
const NEWEST: &str = "newest";
/// The oldest Python the worker is written for, as `(major, minor)`.
const OLDEST: (u32, u32) = (3, 9);
/// How long an interpreter may take to say its version. A cold disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to import torch and ask the driver.
const PATIENCE_WITH_TORCH: Duration = Duration::from_secs(120);

const SAY_VERSION: &str = "import sys; print('placebench', sys.version_info[0], sys.version_info[1])";
const COUNT_GPUS: &str =
    "import torch; print('placebench', torch.cuda.device_count() if torch.backends.cuda.is_built() else 0, 0)";

/// What `case` would be started with, seen without starting anything: the outcome of its attempt where there is no such
/// interpreter.
pub(crate) fn skip_reason(case: &CaseSpec) -> Option<Outcome> {
    if case.engine != TRANSFORMERS {
        return None;
    }
    find(environment(case), &Surroundings::here()).err()
}

fn environment(case: &CaseSpec) -> Option<&str> {
    case.transformers.as_ref()?.environment.as_deref()
}

/// The command that executes a case of the engine `transformers`, whose worker is written into `folder`; it is not there
/// (`unavailable`) where no interpreter is.
pub(crate) fn worker(case: &CaseSpec, folder: &Path) -> WorkerCommand {
    match ready(case, folder) {
        // Only the worker's own folder precedes the environment's packages, never the current one.
        Ok((python, file)) => WorkerCommand::new(python, [file]),
        Err(outcome) => WorkerCommand {
            unavailable: Some(Box::new(outcome)),
            ..WorkerCommand::new("python3", Vec::<OsString>::new())
        },
    }
}

fn ready(case: &CaseSpec, folder: &Path) -> Result<(PathBuf, PathBuf), Outcome> {
    let python = find(environment(case), &Surroundings::here())?;
    can_run_the_worker(&python)?;
    if case.requires_cuda > 0 {
        has_gpus(&python, case.requires_cuda)?;
    }
    let file = write_worker(folder).map_err(|error| {
        failed(
            FailureClass::Internal,
            format!("{} cannot be written to {}: {error}", WORKER_FILE, folder.display()),
        )
    })?;
    Ok((python, file))
}

/// Where environments and interpreters are looked for.
struct Surroundings {
    environments: Option<PathBuf>,
    interpreter: Option<OsString>,
    search_path: Option<OsString>,
}

impl Surroundings {
    fn here() -> Self {
        let of_variable = std::env::var_os(ENVIRONMENTS).filter(|value| !value.is_empty());
        let beside_program = || {
            let program = std::env::current_exe().ok()?;
            Some(program.parent()?.parent()?.join("python"))
        };
        Self {
            environments: of_variable.map(PathBuf::from).or_else(beside_program),
            interpreter: std::env::var_os(INTERPRETER).filter(|value| !value.is_empty()),
            search_path: std::env::var_os("PATH"),
        }
    }
}

/// The interpreter of an environment, or the outcome of an attempt without one.
fn find(named: Option<&str>, here: &Surroundings) -> Result<PathBuf, Outcome> {
    if let (None, Some(interpreter)) = (named, &here.interpreter) {
        let shown = terminal::printable(&interpreter.to_string_lossy());
        return located(interpreter, here.search_path.as_deref()).ok_or_else(|| Outcome::Skipped {
            reason: format!("{INTERPRETER} names {shown}, which is not there"),
            hint: Some(format!(
                "set it to an interpreter that has torch, transformers and accelerate, or make one: bash ci/python-env.sh {NEWEST}"
            )),
        });
    }
    let name = named.unwrap_or(NEWEST);
    let shown = terminal::printable(name);
    // The name may come from somebody's record: it may not lead out of the folder.
    let mut parts = Path::new(name).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        return Err(failed(
            FailureClass::RequestInvalid,
            format!("`{shown}` is no name of a Python environment"),
        ));
    }
    let python = here.environments.as_ref().map(|all| all.join(name).join("bin/python"));
    match python {
        Some(python) if python.exists() => Ok(std::path::absolute(&python).unwrap_or(python)),
        _ => Err(Outcome::Skipped {
            reason: format!("the Python environment {shown} is not here"),
            hint: Some(match named {
                Some(_) => format!("bash ci/python-env.sh {shown}"),
                None => format!(
                    "bash ci/python-env.sh {NEWEST}, or set {INTERPRETER} to an interpreter that has torch, transformers and accelerate"
                ),
            }),
        }),
    }
}

/// An absolute path of a program; one without `/` is looked for as a shell would.
fn located(program: &OsString, search_path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let written = Path::new(program);
    if written.components().count() > 1 {
        return written.exists().then(|| std::path::absolute(written).ok()).flatten();
    }
    let folders: Vec<PathBuf> = std::env::split_paths(search_path?).collect();
    folders
        .into_iter()
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(written))
        .find(|candidate| candidate.is_file())
}

/// Asks an interpreter for its version, once for each in this process.
fn can_run_the_worker(python: &Path) -> Result<(), Outcome> {
    let (oldest_major, oldest_minor) = OLDEST;
    let shown = terminal::printable(&python.display().to_string());
    let needs = format!("the engine {TRANSFORMERS} needs Python {oldest_major}.{oldest_minor} or later");
    let hint = format!("make an environment with bash ci/python-env.sh {NEWEST}, or set {INTERPRETER} to another one");
    match answer(python, SAY_VERSION, PATIENCE) {
        Ok((major, minor)) if (major, minor) >= OLDEST => Ok(()),
        Ok((major, minor)) => Err(failed(
            FailureClass::Unsupported,
            format!("{shown} is Python {major}.{minor}; {needs}: {hint}"),
        )),
        Err(why) => Err(failed(
            FailureClass::Unsupported,
            format!("{shown} is no Python that answers ({why}); {needs}: {hint}"),
        )),
    }
}

/// Asks torch for its GPUs: those it can use, which are not always those that are there.
fn has_gpus(python: &Path, wanted: u32) -> Result<(), Outcome> {
    let shown = terminal::printable(&python.display().to_string());
    // Where torch cannot be imported, the worker says so better.
    match answer(python, COUNT_GPUS, PATIENCE_WITH_TORCH) {
        Ok((found, _)) if found < wanted => Err(Outcome::Skipped {
            reason: format!("needs {wanted} CUDA devices, and torch of {shown} finds {found}"),
            hint: None,
        }),
        _ => Ok(()),
    }
}

type Answer = Result<(u32, u32), String>;

/// The two numbers an interpreter prints after the word `placebench`; asked once for each question in this process.
fn answer(python: &Path, script: &str, patience: Duration) -> Answer {
    static ANSWERS: Mutex<Option<HashMap<(PathBuf, String), Answer>>> = Mutex::new(None);
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = answers.get_or_insert_default();
    let question = (python.to_owned(), script.to_owned());
    known
        .entry(question)
        .or_insert_with(|| ask(python, script, patience))
        .clone()
}

fn ask(python: &Path, script: &str, patience: Duration) -> Answer {
    let mut said: Option<(u32, u32)> = None;
    let mut heard = String::new();
    let command = WorkerCommand::new(python, ["-c", script]);
    let probed = run_probe(&command, &(), patience, &Cancel::default(), &mut |line| {
        let mut words = line.split_whitespace();
        if words.next() == Some("placebench") {
            let mut number = || words.next().and_then(|word| word.parse().ok());
            said = number().zip(number());
        } else if heard.is_empty() {
            heard = line.chars().take(80).collect();
        }
    })
    .map_err(|error| terminal::chain(&error))?;
    match (said, probed.end) {
        (Some(numbers), ProbeEnd::Finished) => Ok(numbers),
        (_, ProbeEnd::Silent) => Err(format!("it said nothing for {} s", patience.as_secs())),
        (_, ProbeEnd::NotStarted(why)) => Err(terminal::printable(&why)),
        (_, ProbeEnd::Died(how)) => {
            let last = probed.stderr_tail.lines().last().unwrap_or_default();
            Err(terminal::printable(&format!("{how}; {last}"))
                .trim_end_matches("; ")
                .to_owned())
        }
        (_, ProbeEnd::Interrupted) => Err("it was interrupted".to_owned()),
        (None, ProbeEnd::Finished) if heard.is_empty() => Err("it printed nothing".to_owned()),
        (None, ProbeEnd::Finished) => Err(format!("it printed `{}`", terminal::printable(&heard))),
    }
}

/// Writes the worker where it is run from, so that a record has the very engine. Nothing is written where it is there already.
fn write_worker(folder: &Path) -> io::Result<PathBuf> {
    let folder = std::path::absolute(folder)?.join(WORKER_FOLDER);
    let file = folder.join(WORKER_FILE);
    if fs::read(&file).is_ok_and(|there| there == WORKER.as_bytes()) {
        return Ok(file);
    }
    fs::create_dir_all(&folder)?;
    fs::write(&file, WORKER)?;
    Ok(file)
}

fn failed(class: FailureClass, message: String) -> Outcome {
    Outcome::Failed {
        failure: WorkerFailure {
            class,
            message,
            phase: Phase::Spawn,
            device: None,
            needed_bytes: None,
            allowed_bytes: None,
            place: None,
            rank: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(environments: Option<&Path>, interpreter: Option<&str>, search_path: &Path) -> Surroundings {
        Surroundings {
            environments: environments.map(Path::to_owned),
            interpreter: interpreter.map(OsString::from),
            search_path: Some(search_path.as_os_str().to_owned()),
        }
    }

    fn put(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    fn skipped(outcome: Result<PathBuf, Outcome>) -> (String, String) {
        match outcome {
            Err(Outcome::Skipped { reason, hint }) => (reason, hint.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_named_environment_comes_before_an_interpreter_of_the_person() {
        let folder = tempfile::tempdir().unwrap();
        let all = folder.path();
        put(&all.join("incident/bin/python"));
        put(&all.join("newest/bin/python"));
        put(&all.join("own/python"));
        let own = all.join("own/python");
        let both = here(Some(all), own.to_str(), all);
        assert_eq!(find(Some("incident"), &both).unwrap(), all.join("incident/bin/python"));
        assert_eq!(find(None, &both).unwrap(), own);
        assert_eq!(
            find(None, &here(Some(all), None, all)).unwrap(),
            all.join("newest/bin/python")
        );
        let by_name = here(None, Some("python"), &all.join("own"));
        assert_eq!(find(None, &by_name).unwrap(), own);
    }

    #[test]
    fn what_is_not_there_is_skipped_with_the_command_that_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = here(Some(folder.path()), None, folder.path());
        let (reason, hint) = skipped(find(Some("incident"), &nothing));
        assert_eq!(reason, "the Python environment incident is not here");
        assert_eq!(hint, "bash ci/python-env.sh incident");
        let (_, hint) = skipped(find(None, &nothing));
        assert!(
            hint.starts_with("bash ci/python-env.sh newest, or set PLACEBENCH_PYTHON"),
            "{hint}"
        );
        let wrong = here(Some(folder.path()), Some("/nowhere/python"), folder.path());
        let (reason, _) = skipped(find(None, &wrong));
        assert_eq!(reason, "PLACEBENCH_PYTHON names /nowhere/python, which is not there");
        let (reason, _) = skipped(find(None, &here(None, Some("no-such-python"), folder.path())));
        assert!(reason.contains("no-such-python"), "{reason}");
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let all = folder.path().join("envs");
        put(&folder.path().join("evil/bin/python"));
        for name in ["../evil", "/evil", "a/b", "..", "."] {
            match find(Some(name), &here(Some(&all), None, &all)) {
                Err(Outcome::Failed { failure }) => assert_eq!(failure.class, FailureClass::RequestInvalid, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_worker_is_written_once_and_renewed_where_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = write_worker(folder.path()).unwrap();
        assert!(file.is_absolute() && file.ends_with("workers/transformers_worker.py"));
        fs::write(&file, "print('another')").unwrap();
        write_worker(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), WORKER);
    }
}

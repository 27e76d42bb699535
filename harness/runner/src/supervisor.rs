//! One attempt: a child process, its deadlines, and a record of whatever became of it.
//!
//! The child leads a process group of its own, reads its request from standard input, and writes events to standard
//! output. Three threads listen to it and one loop decides. When a deadline passes, the loop first looks at the
//! breadcrumb, so that a hang has a place, and then climbs the kill ladder. The child is reaped last, when nothing
//! needs its process id any more.
//!
//! A child's misfortune is an [`Outcome`]; an error means that the supervisor itself cannot go on.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use placebench_core::outcome::Outcome;
use placebench_core::protocol::{BREADCRUMB_ENV, STACKS_ENV, SUPERVISOR_PID_ENV, WorkerEvent, WorkerRequest};
use placebench_core::record::{Attempt, CaseSpec};
use serde::Serialize;

use crate::breadcrumb::BreadcrumbPage;
use crate::cancel::Cancel;
use crate::device_lock::{self, DeviceLocks, Hold};
use crate::environment;
use crate::event_log::EventLog;
use crate::gpu::GpuWatch;
use crate::outcome;
use crate::pipes::Listeners;
use crate::recovery;
use crate::slots::is_measured;
use crate::stacks::StacksFile;
use crate::supervision::Supervision;
use crate::sys::{self, Group, GroupSignal};
use crate::worker_env;

pub use crate::ladder::{StopLimits, StopStep};

/// The reason of [`Outcome::Skipped`] where the run was interrupted during the attempt. Such an attempt says nothing
/// about its case, and is made again when the run is resumed.
pub const INTERRUPTED: &str = "interrupted";

/// Why the supervisor cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// What an attempt needs besides its process could not be made.
    #[error("{what} of an attempt cannot be made")]
    Prepare {
        /// The file or thread.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The events could not be kept.
    #[error("the event log {path} cannot be written")]
    EventLog {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system does not say what became of the worker.
    #[error("the end of worker {pid} cannot be waited for")]
    Wait {
        /// Its process id.
        pid: u32,
        /// Why.
        source: io::Error,
    },
}

/// The program that is started for an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How long it is given when it has to end.
    pub stop: StopLimits,
    /// The folder it runs in; absent: this process's own.
    pub folder: Option<PathBuf>,
    /// Whether it waits until no other run of this user measures on its cards.
    pub lock_devices: bool,
    /// Why it cannot be started here at all: the outcome of an attempt for which no process is made.
    pub unavailable: Option<Box<Outcome>>,
    /// What is written to its standard input instead of the request: how an engine is shown what it must put up with.
    pub request_text: Option<Vec<u8>>,
}

impl WorkerCommand {
    /// A command with the usual limits.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            stop: StopLimits::default(),
            folder: None,
            lock_devices: false,
            unavailable: None,
            request_text: None,
        }
    }
}

/// What can be watched while an attempt runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation<'a> {
    /// Another run of this user measures on a card that is needed.
    Waiting {
        /// Identity of the card.
        card: &'a str,
        /// The process of that run, where the system tells.
        holder: Option<u32>,
    },
    /// The process runs.
    Spawned {
        /// Its process id.
        pid: u32,
    },
    /// The worker said something that is in order.
    Event(&'a WorkerEvent),
    /// The supervisor has judged, and now ends the process.
    Judged(&'a Outcome),
    /// A rung of the kill ladder is taken.
    Stopping(StopStep),
}

/// Runs one attempt to its end, and returns the record of it.
///
/// The calling thread is the parent of the worker and stays so until the attempt is over: the kernel ends a worker whose
/// parent *thread* has gone. Events are appended to `events_log` as they come.
///
/// # Errors
/// When the supervisor cannot make or write its own files. The worker is killed then.
pub fn run_attempt(
    command: &WorkerCommand,
    case: &CaseSpec,
    request: &WorkerRequest,
    attempt_number: u32,
    events_log: Option<&Path>,
    cancel: &Cancel,
    observer: &mut dyn FnMut(Observation<'_>),
) -> Result<Attempt, SupervisorError> {
    let started_at = environment::now_rfc3339();
    if let Some(outcome) = &command.unavailable {
        let outcome = outcome.as_ref().clone();
        return Ok(attempt_without_process(case, attempt_number, started_at, outcome));
    }
    let page = BreadcrumbPage::create().map_err(cannot_make("the breadcrumb page"))?;
    let stacks = StacksFile::create().map_err(cannot_make("the file for stacks"))?;
    let stdin = match &command.request_text {
        Some(text) => file_with(text),
        None => request_file(request),
    };
    let stdin = stdin.map_err(cannot_make("the request's file"))?;
    let log = events_log
        .map(|path| EventLog::open(path, attempt_number))
        .transpose()?;

    let (gpus, locks) = match watch_own(command, case, request, cancel, observer) {
        Ok(Some(own)) => own,
        Ok(None) => {
            let outcome = Outcome::Skipped {
                reason: INTERRUPTED.to_owned(),
                hint: None,
            };
            return Ok(attempt_without_process(case, attempt_number, started_at, outcome));
        }
        Err(source) => return Err(cannot_make("the lock of a GPU (--no-device-lock does without)")(source)),
    };
    let mut process = process_of(command, case, page.path(), stacks.path());
    process.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = Instant::now();
    let (child, group) = match sys::spawn_in_group(&mut process) {
        Ok(started) => started,
        Err(error) => {
            let outcome = outcome::of_failed_start(&command.program, &error);
            return Ok(attempt_without_process(case, attempt_number, started_at, outcome));
        }
    };
    let mut leash = Leash::new(child, group);
    let listeners = leash.listen().map_err(cannot_make("the listening threads"))?;
    observer(Observation::Spawned { pid: group.id() });
    let supervision =
        Supervision::new(command.stop, case.timeout, request, group, spawned, listeners).with_stacks(stacks);
    let finished = supervision.run(&page, cancel, gpus.as_ref(), log, observer)?;
    let mut attempt = finished.into_record(case, attempt_number, started_at);
    // From here on nothing of the worker's group is left, unless the kernel does not let go of it.
    drop(leash);
    let answered = match &attempt.outcome {
        Outcome::Completed | Outcome::Skipped { .. } => gpus.map(GpuWatch::stop),
        _ => {
            let watched = gpus.is_some();
            let (recovery, telemetry) = recovery::check(group.id(), gpus, command.stop.recovery);
            attempt.recovery = Some(recovery);
            watched.then_some(telemetry)
        }
    };
    drop(locks);
    match answered {
        Some(Some(watched)) => {
            attempt.gpus = watched.gpus;
            attempt.foreign_processes = watched.foreign_processes;
        }
        Some(None) => attempt
            .stderr_tail
            .push_str("[placebench] NVIDIA's driver did not answer after the attempt\n"),
        None => {}
    }
    Ok(attempt)
}

/// Begins to watch the cards a case may use, once no other run of this user measures on them; none where the run is to end
/// meanwhile.
fn watch_own(
    command: &WorkerCommand,
    case: &CaseSpec,
    request: &WorkerRequest,
    cancel: &Cancel,
    observer: &mut dyn FnMut(Observation<'_>),
) -> io::Result<Option<(Option<GpuWatch>, DeviceLocks)>> {
    let watch = GpuWatch::start(request, &case.env);
    let cards = watch.as_ref().filter(|_| command.lock_devices).map(GpuWatch::cards);
    let Some(cards) = cards.filter(|cards| !cards.is_empty()) else {
        return Ok(Some((watch, DeviceLocks::default())));
    };
    let hold = if is_measured(case) { Hold::Alone } else { Hold::Shared };
    let folder = device_lock::usual_folder(std::env::var_os("XDG_RUNTIME_DIR").as_deref());
    let locks = device_lock::acquire(&folder, &cards, hold, cancel, &mut |card, holder| {
        observer(Observation::Waiting { card, holder });
    })?;
    let Some(locks) = locks else { return Ok(None) };
    if !locks.had_to_wait {
        return Ok(Some((watch, locks)));
    }
    // What was seen at first was the other run.
    drop(watch.map(GpuWatch::stop));
    Ok(Some((GpuWatch::start(request, &case.env), locks)))
}

/// The record of an attempt for which no process was started.
pub(crate) fn attempt_without_process(case: &CaseSpec, attempt: u32, started_at: String, outcome: Outcome) -> Attempt {
    Attempt::without_worker(&case.case, attempt, started_at, outcome)
}

pub(crate) fn cannot_make(what: &'static str) -> impl Fn(io::Error) -> SupervisorError {
    move |source| SupervisorError::Prepare { what, source }
}

/// The request in a file without a name: unlike a pipe it can be of any length without anybody waiting for its reader.
pub(crate) fn request_file(request: &impl Serialize) -> io::Result<File> {
    file_with(&serde_json::to_vec(request)?)
}

/// A file without a name, to be read from its beginning.
pub(crate) fn file_with(content: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

fn process_of(command: &WorkerCommand, case: &CaseSpec, page: &Path, stacks: &Path) -> Command {
    let mut process = Command::new(&command.program);
    process
        .args(&command.args)
        .env_clear()
        .envs(worker_env::inherited())
        .envs(worker_env::key_of(case.server.as_ref()))
        .envs(case.env.iter().map(|(name, value)| (name, value)))
        .env(BREADCRUMB_ENV, page)
        .env(STACKS_ENV, stacks)
        .env(SUPERVISOR_PID_ENV, std::process::id().to_string());
    if let Some(folder) = &command.folder {
        process.current_dir(folder);
    }
    process
}

/// Whatever way the supervisor takes, nothing of the child's group outlives it, and the child is reaped.
pub(crate) struct Leash {
    child: Option<Child>,
    group: Group,
}

impl Leash {
    pub(crate) fn new(child: Child, group: Group) -> Self {
        Self {
            child: Some(child),
            group,
        }
    }

    pub(crate) fn listen(&mut self) -> io::Result<Listeners> {
        let pipes = self
            .child
            .as_mut()
            .map(|child| (child.stdout.take(), child.stderr.take()));
        let Some((Some(events), Some(stderr))) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Listeners::start(self.group, events, stderr)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // The leader is not reaped yet, so the id is still that of its group. Whoever is left in it has lost its parent.
        self.group.signal(GroupSignal::Kill);
        let Some(mut child) = self.child.take() else {
            return;
        };
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        // It is dying, or the kernel does not let go of it. Nobody waits for that here.
        let reaper = std::thread::Builder::new()
            .name("reap".into())
            .spawn(move || child.wait());
        drop(reaper);
    }
}

//! Where placements are tried: each in a supervised process, each on record before the next.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use placebench_core::record::{Attempt, CaseSpec, RunInfo};
use placebench_runner::cancel::Cancel;
use placebench_runner::run::{FailurePolicy, RunEvent, RunPlan};
use placebench_runner::store::{RunFolder, is_interrupted};
use placebench_runner::supervisor::Observation;

use crate::args::Format;
use crate::error::CliError;
use crate::progress::doing;
use crate::terminal::{self, printable};
use crate::{engines, foreign, summary};

/// The folder of a search with everything that was tried.
pub(crate) struct Lab {
    info: RunInfo,
    folder: RunFolder,
    attempts: Vec<Attempt>,
    cancel: Cancel,
    program: PathBuf,
    format: Format,
    bar: ProgressBar,
}

impl Lab {
    /// Opens it with what is on record already.
    pub(crate) fn new(
        info: RunInfo,
        folder: RunFolder,
        attempts: Vec<Attempt>,
        cancel: Cancel,
        format: Format,
    ) -> Result<Self, CliError> {
        let program = std::env::current_exe()
            .map_err(|error| CliError::setup(format!("cannot find the own program: {error}")))?;
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}") {
            bar.set_style(style);
        }
        if format == Format::Json || !console::user_attended_stderr() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Ok(Self {
            info,
            folder,
            attempts,
            cancel,
            program,
            format,
            bar,
        })
    }

    /// Where everything lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All attempts on record.
    pub(crate) fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The record of the run, with the cases so far.
    pub(crate) fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Processes that were started.
    pub(crate) fn made(&self) -> u32 {
        let made = self.attempts.iter().filter(|attempt| !is_interrupted(attempt));
        u32::try_from(made.count()).unwrap_or(u32::MAX)
    }

    /// Tries a case, unless that is on record. `None`: the person wants to stop.
    pub(crate) fn attempts_of(&mut self, case: &CaseSpec, tried: &str) -> Result<Option<Vec<Attempt>>, CliError> {
        let failed = |error: &dyn std::error::Error| CliError::setup(terminal::chain(error));
        if !self.info.cases.iter().any(|known| known.case == case.case) {
            self.info.cases.push(case.clone());
            self.folder.extend(&self.info).map_err(|error| failed(&error))?;
        }
        let (program, folder) = (self.program.clone(), self.folder.path().to_owned());
        let plan = RunPlan {
            cases: std::slice::from_ref(case),
            seed: 0,
            worker: &|case| foreign::worker(case, &program, &folder),
            cuda_devices: engines::cuda_devices_for(std::slice::from_ref(case)),
            previous: &self.attempts,
            policy: FailurePolicy::NONE,
        };
        let (bar, tried) = (&self.bar, summary::one_line(&printable(tried)));
        bar.set_message(format!("{tried}: starting"));
        let mut fresh = Vec::new();
        let result = placebench_runner::run::run(&plan, &mut self.folder, &self.cancel, &mut |event| match event {
            RunEvent::AttemptFinished { attempt, .. } => fresh.push(attempt.clone()),
            RunEvent::Worker {
                observation: Observation::Event(event),
                ..
            } => {
                if let Some(doing) = doing(&event.kind) {
                    bar.set_message(format!("{tried}: {doing}"));
                }
            }
            _ => {}
        });
        self.attempts
            .retain(|attempt| !(attempt.case == case.case && is_interrupted(attempt)));
        self.attempts.extend(fresh);
        let run = result.map_err(|error| failed(&error))?;
        if run.interrupted {
            return Ok(None);
        }
        let own = self.attempts.iter().filter(|attempt| attempt.case == case.case);
        Ok(Some(own.cloned().collect()))
    }

    /// A line for people; with `--format json` standard output belongs to the answer.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| match self.format {
            Format::Human => terminal::out(line),
            Format::Json => terminal::err(line),
        });
    }

    /// The bar goes.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

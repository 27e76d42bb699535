//! One question to one probe, in a process of its own and under a deadline.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use placebench_core::device::LogicalDevice;
use placebench_core::doctor::probe::{PROBE_VERSION, ProbeEvent, ProbeRequest, ProbeTask};
use placebench_core::doctor::report::Health;
use placebench_core::exit_code::ExitCode;
use placebench_core::fault::Fault;
use placebench_core::units::human_seconds;
use placebench_runner::cancel::Cancel;
use placebench_runner::probe::{ProbeEnd, run_probe};
use placebench_runner::supervisor::WorkerCommand;

use crate::error::CliError;
use crate::terminal;

/// Asks probes.
pub(crate) struct Asker {
    /// The program that answers.
    pub(crate) command: WorkerCommand,
    /// How long it may be silent.
    pub(crate) silence: Duration,
    /// Whether to go on at all.
    pub(crate) cancel: Cancel,
    /// Fewer and smaller samples.
    pub(crate) quick: bool,
    /// Declared logical devices.
    pub(crate) devices: Vec<LogicalDevice>,
    /// Injected faults.
    pub(crate) faults: Vec<Fault>,
    /// Where a person sees what is going on; invisible where there is no terminal.
    pub(crate) bar: ProgressBar,
}

/// What a probe said.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// All but the steps.
    pub(crate) events: Vec<ProbeEvent>,
    /// What went wrong, if anything did.
    pub(crate) trouble: Option<Trouble>,
}

/// Why a probe did not say everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `stalled` or `inconclusive`.
    pub(crate) health: Health,
    /// In words.
    pub(crate) message: String,
}

/// A bar that shows the step a probe is in.
pub(crate) fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

impl Asker {
    /// Asks, and waits for the end of the probe.
    pub(crate) fn ask(&self, task: ProbeTask) -> Result<Answer, CliError> {
        let request = ProbeRequest {
            version: PROBE_VERSION,
            quick: self.quick,
            devices: self.devices.clone(),
            faults: self.faults.clone(),
            task,
        };
        let mut events = Vec::new();
        let mut step = "starting".to_owned();
        let mut is_done = false;
        let mut failed = None;
        let mut on_line = |line: &str| match serde_json::from_str(line) {
            Ok(ProbeEvent::Step { what }) => {
                self.bar.set_message(terminal::printable(&what));
                self.bar.tick();
                step = what;
            }
            Ok(ProbeEvent::Done) => is_done = true,
            Ok(ProbeEvent::Failed { message }) => failed = Some(message),
            Ok(event) => events.push(event),
            Err(error) => failed = Some(format!("an answer cannot be read: {error}")),
        };
        let probed = run_probe(&self.command, &request, self.silence, &self.cancel, &mut on_line)
            .map_err(|error| CliError::setup(terminal::chain(&error)))?;
        let inconclusive = |message: String| Trouble {
            health: Health::Inconclusive,
            message,
        };
        let complaint = match probed.stderr_tail.as_str() {
            "" => String::new(),
            text => format!("; its last words: {text}"),
        };
        let trouble = match probed.end {
            ProbeEnd::Interrupted => {
                return Err(CliError::with_code(
                    ExitCode::NoVerdict,
                    "interrupted: nothing is known yet",
                ));
            }
            // What was said before counts: a device that hangs while it is closed has still answered.
            ProbeEnd::Silent if !is_done => Some(Trouble {
                health: Health::Stalled,
                message: format!(
                    "silent for {} in: {step}{}",
                    human_seconds(self.silence.as_secs_f64()),
                    if probed.unkillable {
                        "; the kernel does not let go of the probe, what it holds stays taken"
                    } else {
                        ""
                    }
                ),
            }),
            _ if failed.is_some() => failed.map(inconclusive),
            ProbeEnd::Died(words) => Some(inconclusive(format!(
                "{} in: {step}{complaint}",
                words.replace("the worker", "the probe")
            ))),
            ProbeEnd::NotStarted(words) => Some(inconclusive(words)),
            _ if !is_done => Some(inconclusive(format!(
                "the probe ended without a word in: {step}{complaint}"
            ))),
            _ => None,
        };
        Ok(Answer { events, trouble })
    }
}

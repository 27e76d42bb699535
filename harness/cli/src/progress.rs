//! What a person or a program sees while a run goes on.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use console::Style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use placebench_core::outcome::OutcomeKind;
use placebench_core::protocol::{EventKind, WorkerEvent};
use placebench_core::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, RunInfo};
use placebench_core::selection::is_compared_with;
use placebench_core::settings::MessageFormat;
use placebench_core::stream::{STREAM_VERSION, StreamEvent};
use placebench_core::units::human_seconds;
use placebench_runner::run::RunEvent;
use placebench_runner::supervisor::Observation;

use crate::terminal::{self, block, printable};
use crate::{standing, summary};

/// Follows a run.
pub(crate) struct Progress<'a> {
    info: &'a RunInfo,
    /// Those of scenarios that are not over: a case is judged beside the others of its scenario and no further, and a long run
    /// needs no more memory than a short one.
    attempts: Vec<Attempt>,
    /// Cases that are over and wait for the case their text is compared with.
    waiting: Vec<&'a CaseSpec>,
    over: HashSet<String>,
    /// Cases with an attempt under way, the one that began first in front.
    under_way: Vec<String>,
    /// Cases of each scenario that are still to be shown.
    open: HashMap<&'a str, usize>,
    counts: [u32; 6],
    bar: ProgressBar,
    format: MessageFormat,
    quiet: bool,
}

impl<'a> Progress<'a> {
    /// Begins. `previous` are attempts of an interrupted run.
    pub(crate) fn new(info: &'a RunInfo, previous: &[Attempt], format: MessageFormat, quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(info.cases.len() as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{pos}/{len}] {elapsed_precise} {wide_msg}") {
            bar.set_style(style);
        }
        if format == MessageFormat::Ndjson || quiet || !console::user_attended_stderr() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let progress = Self {
            info,
            attempts: previous.to_vec(),
            waiting: Vec::new(),
            over: HashSet::new(),
            under_way: Vec::new(),
            open: cases_by_scenario(info),
            counts: [0; 6],
            bar,
            format,
            quiet,
        };
        progress.stream(&StreamEvent::RunStarted {
            format_version: STREAM_VERSION,
            run_id: info.run_id.as_str().into(),
            tool: Cow::Borrowed(&info.tool),
            cases: info.cases.len(),
        });
        progress
    }

    /// Takes note of an event.
    pub(crate) fn on(&mut self, event: RunEvent<'_>) {
        match event {
            RunEvent::AttemptStarted { case, attempt } => {
                self.under_way.push(case.case.clone());
                self.bar.set_message(self.running(case, attempt, "starting"));
                self.stream(&StreamEvent::AttemptStarted {
                    case: case.case.as_str().into(),
                    attempt,
                });
            }
            RunEvent::Worker { case, observation } => match observation {
                Observation::Event(event) => self.on_worker(case, event),
                Observation::Waiting { card, holder } => self.on_waiting(case, card, holder),
                _ => {}
            },
            RunEvent::AttemptFinished { case, attempt } => {
                self.under_way.retain(|name| *name != case.case);
                self.stream(&StreamEvent::AttemptFinished {
                    case: case.case.as_str().into(),
                    attempt: attempt.attempt,
                    outcome: Cow::Borrowed(&attempt.outcome),
                    wall_s: attempt.wall_s,
                });
                self.attempts.push(attempt.clone());
            }
            RunEvent::BaseAttemptStarted { case, attempt } => {
                self.bar
                    .set_message(self.running(case, attempt, "starting the other program"));
                self.stream(&StreamEvent::BaseAttemptStarted {
                    case: case.case.as_str().into(),
                    attempt,
                });
            }
            RunEvent::BaseWorker { .. } => {}
            RunEvent::BaseAttemptFinished { case, attempt } => self.stream(&StreamEvent::BaseAttemptFinished {
                case: case.case.as_str().into(),
                attempt: attempt.attempt,
                outcome: Cow::Borrowed(&attempt.outcome),
                wall_s: attempt.wall_s,
            }),
            RunEvent::CaseRetried { case, retry } => self.on_retry(case, retry),
            RunEvent::CaseFinished { case } => self.on_case(&case.case),
        }
    }

    /// The run is over: lines of cases that still wait, and the bar goes.
    pub(crate) fn finish(mut self) {
        self.show_ready(true);
        self.bar.finish_and_clear();
    }

    fn on_worker(&self, case: &CaseSpec, event: &WorkerEvent) {
        if self.format == MessageFormat::Ndjson {
            self.stream(&StreamEvent::Worker {
                case: case.case.as_str().into(),
                event: Cow::Borrowed(event),
            });
        } else if let Some(doing) = doing(&event.kind) {
            let attempt = self.attempts.iter().filter(|attempt| attempt.case == case.case).count();
            self.bar
                .set_message(self.running(case, u32::try_from(attempt).unwrap_or(0), &doing));
        }
    }

    fn on_waiting(&self, case: &CaseSpec, card: &str, holder: Option<u32>) {
        self.stream(&StreamEvent::AttemptWaiting {
            case: case.case.as_str().into(),
            gpu: card.into(),
            pid: holder,
        });
        if self.format == MessageFormat::Human {
            let who = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            let line = format!(
                "{} waits for {}: another run of yours measures on it{who}; --no-device-lock does not wait",
                printable(&case.case),
                printable(card)
            );
            self.bar.suspend(|| terminal::note(&line));
        }
    }

    fn on_retry(&self, case: &CaseSpec, retry: u32) {
        let Some(judged) = standing::verdict_on(self.info, &self.attempts, case) else {
            return;
        };
        if self.format == MessageFormat::Human {
            let retries = self.info.control.retries;
            let style = Style::new().yellow();
            let word = style.apply_to(format!("{:>8}", "RETRY"));
            let why = summary::one_line(&printable(&standing::reason(&judged)));
            let line = format!(
                "{word} {}  retry {retry} of {retries}, because {why}",
                printable(&case.case)
            );
            self.bar.suspend(|| terminal::out(&line));
        }
        self.stream(&StreamEvent::CaseRetried {
            case: case.case.as_str().into(),
            retry,
            verdict: Cow::Borrowed(&judged),
        });
    }

    fn on_case(&mut self, name: &str) {
        // Events borrow their case only for the call; the one of the run's own list lives long enough.
        if let Some(case) = self.info.cases.iter().find(|case| case.case == name) {
            self.waiting.push(case);
            self.over.insert(case.case.clone());
            self.show_ready(false);
        }
    }

    /// Shows the cases whose reference is over too, or all that wait.
    fn show_ready(&mut self, all: bool) {
        let ready = |case: &CaseSpec| -> bool {
            let mut references = self.info.cases.iter().filter(|other| is_compared_with(case, other));
            all || references.all(|reference| self.over.contains(&reference.case))
        };
        let (ready, waiting): (Vec<&CaseSpec>, Vec<&CaseSpec>) = self.waiting.iter().partition(|case| ready(case));
        self.waiting = waiting;
        for case in ready {
            self.show(case);
            self.forget_if_over(&case.scenario);
        }
    }

    /// A case of this scenario was shown: with the last of them its attempts are not needed any more.
    fn forget_if_over(&mut self, scenario: &str) {
        let Some(open) = self.open.get_mut(scenario) else {
            return;
        };
        *open = open.saturating_sub(1);
        if *open == 0 {
            let own: HashSet<&str> = (self.info.cases.iter())
                .filter(|case| case.scenario == scenario)
                .map(|case| case.case.as_str())
                .collect();
            self.attempts.retain(|attempt| !own.contains(attempt.case.as_str()));
        }
    }

    fn show(&mut self, case: &CaseSpec) {
        let Some(judged) = standing::verdict_on(self.info, &self.attempts, case) else {
            return;
        };
        self.counts[judged.status as usize] += 1;
        self.bar.inc(1);
        self.stream(&StreamEvent::CaseFinished {
            verdict: Cow::Borrowed(&judged),
        });
        let important = matches!(
            judged.status,
            CaseStatus::Failed | CaseStatus::Setup | CaseStatus::Flaky
        );
        if self.format == MessageFormat::Human && (!self.quiet || important) {
            let line = case_line(&judged);
            self.bar.suspend(|| terminal::out(&line));
        }
    }

    fn running(&self, case: &CaseSpec, attempt: u32, phase: &str) -> String {
        let failed = self.counts[CaseStatus::Failed as usize] + self.counts[CaseStatus::Setup as usize];
        let passed = self.counts[CaseStatus::Passed as usize] + self.counts[CaseStatus::Flaky as usize];
        let others: Vec<String> = (self.under_way.iter())
            .filter(|name| **name != case.case)
            .map(|name| printable(name))
            .collect();
        let beside = match others.as_slice() {
            [] => String::new(),
            others => format!("; beside it {}", others.join(", ")),
        };
        format!(
            "{passed} passed, {failed} failed; {} #{attempt} {phase}{beside}",
            printable(&case.case)
        )
    }

    fn stream(&self, line: &StreamEvent<'_>) {
        if self.format == MessageFormat::Ndjson {
            print(line);
        }
    }
}

/// Prints a line of the stream. All its types can be written: a line that is left out would be a lie by omission, so what
/// cannot be is said on standard error.
pub(crate) fn print(line: &StreamEvent<'_>) {
    match serde_json::to_string(line) {
        Ok(text) => terminal::out(&terminal::plain_json(&text)),
        Err(error) => terminal::error(&format!("a line of the stream cannot be written: {error}")),
    }
}

fn cases_by_scenario(info: &RunInfo) -> HashMap<&str, usize> {
    let mut open = HashMap::new();
    for case in &info.cases {
        *open.entry(case.scenario.as_str()).or_insert(0) += 1;
    }
    open
}

/// What a worker is doing now, where the event says it.
pub(crate) fn doing(event: &EventKind) -> Option<String> {
    match event {
        EventKind::Phase { phase } => Some(phase.as_str().to_owned()),
        EventKind::Fetching {
            file,
            done_bytes,
            total_bytes,
        } => Some(format!("fetching {}: {done_bytes} of {total_bytes}", printable(file))),
        _ => None,
    }
}

/// The word for a status, in colour where the terminal has some.
pub(crate) fn status_word(status: CaseStatus) -> String {
    let (word, style) = match status {
        CaseStatus::Passed => ("PASS", Style::new().green()),
        CaseStatus::Flaky => ("FLAKY", Style::new().yellow().bold()),
        CaseStatus::Failed => ("FAIL", Style::new().red().bold()),
        CaseStatus::Setup => ("SETUP", Style::new().red().bold()),
        CaseStatus::Pending => ("PENDING", Style::new().yellow()),
        CaseStatus::Skipped => ("SKIP", Style::new().dim()),
    };
    style.apply_to(format!("{word:>8}")).to_string()
}

fn case_line(judged: &CaseVerdict) -> String {
    let mut notes = Vec::new();
    if let (CaseStatus::Flaky, Some(first)) = (judged.status, judged.earlier_tries.first()) {
        let retry = judged.decided_by_retry;
        notes.push(format!(
            "passed on retry {retry} only; at first {}",
            printable(&first.reason())
        ));
    } else if judged.status == CaseStatus::Skipped
        || (judged.status == CaseStatus::Passed && judged.outcome != OutcomeKind::Completed)
    {
        notes.push(block(&judged.sentence));
    } else if let Some(finding) = judged.findings.first() {
        notes.push(format!("{}: {}", finding.check, block(&finding.message)));
    } else {
        let metrics = &judged.metrics;
        if let Some(ttft) = metrics.ttft_s {
            notes.push(format!("ttft {}", human_seconds(ttft)));
        }
        if let Some(tpot) = metrics.tpot_s {
            notes.push(format!("tpot {}", human_seconds(tpot)));
        }
        notes.push(format!("text {}", judged.text.as_str()));
        notes.extend(judged.notes.iter().map(|note| printable(note)));
        if let Some(finding) = judged.expected_findings.first() {
            notes.push(format!("fails {} as the scenario expects", finding.check));
        }
    }
    format!(
        "{} {}  {}",
        status_word(judged.status),
        printable(&judged.case),
        summary::one_line(&notes.join(", "))
    )
}

//! The loop that watches one worker, and what it knows.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use placebench_core::evidence::GpuMoment;
use placebench_core::outcome::{Deadline, Outcome};
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::WorkerRequest;
use placebench_core::record::Timeouts;
use placebench_core::units::{Bytes, human_seconds};

use crate::breadcrumb::BreadcrumbPage;
use crate::cancel::Cancel;
use crate::event_log::EventLog;
use crate::evidence::Look;
use crate::gpu::GpuWatch;
use crate::ladder::{Ladder, StopLimits, StopStep};
use crate::last_events::LastEvents;
use crate::lines::Line;
use crate::memory::{self, OomCounter};
use crate::outcome::{self, OomKills};
use crate::pipes::{Listeners, PipeEnd, QUEUE, Signal};
use crate::stacks::{Answer, StacksFile};
use crate::stderr::StderrCapture;
use crate::supervisor::{INTERRUPTED, Observation, SupervisorError};
use crate::sys::{Ended, Group, GroupSignal};
use crate::transcript::Transcript;
use crate::watchdog::{Expiry, Progress, Watchdog};

mod last_seen;
mod record;

pub(crate) use record::Finished;

/// How often the loop looks at the cancel flag and at the peak of the child's memory.
const TICK: Duration = Duration::from_millis(50);
/// How long past a deadline news may still come in that was on its way in time.
const SETTLE: Duration = Duration::from_millis(50);
/// How long the pipes of a process that has ended may take to close.
const DRAIN: Duration = Duration::from_millis(100);

/// How long after a worker that was asked to end this process may be asked too, and it is one wish.
const SAME_WISH: Duration = Duration::from_millis(500);

/// What is known about a running worker.
pub(crate) struct Supervision {
    group: Group,
    spawned: Instant,
    stop: StopLimits,
    listeners: Listeners,
    watchdog: Watchdog,
    transcript: Transcript,
    ladder: Option<Ladder>,
    judged: Option<Outcome>,
    exited: Option<(Ended, Instant)>,
    given_up: bool,
    events_end: Option<PipeEnd>,
    stderr: Option<(PipeEnd, StderrCapture)>,
    peak_rss: Option<Bytes>,
    next_look: Instant,
    oom_counter: OomCounter,
    oom_kills_before: Option<u64>,
    notes: Vec<String>,
    /// What it was given to end on SIGTERM, where it did not.
    killed_after_s: Option<f64>,
    /// When the last token of the generation under way came in.
    last_token: Option<Instant>,
    looked: Option<Looked>,
    last_events: LastEvents,
    /// When the deadline passed that the worker missed, since its start.
    missed: Option<Duration>,
    /// How many processes the engine is asked to run as; 0 where it is one.
    ranks: u32,
    stacks: Option<StacksFile>,
}

/// What was seen of a worker that missed its deadline.
struct Looked {
    look: Look,
    judged_after: Duration,
    taken_after: Duration,
    gpus: Vec<GpuMoment>,
    answer: Answer,
}

/// Those the loop talks to.
struct Surroundings<'a> {
    page: &'a BreadcrumbPage,
    cancel: &'a Cancel,
    gpus: Option<&'a GpuWatch>,
    log: Option<EventLog>,
    observer: &'a mut dyn FnMut(Observation<'_>),
}

impl Supervision {
    /// The process was just started.
    pub(crate) fn new(
        stop: StopLimits,
        limits: Timeouts,
        request: &WorkerRequest,
        group: Group,
        spawned: Instant,
        listeners: Listeners,
    ) -> Self {
        let oom_counter = OomCounter::of_this_process();
        Self {
            group,
            spawned,
            stop,
            listeners,
            watchdog: Watchdog::new(limits),
            transcript: Transcript::new(request),
            ladder: None,
            judged: None,
            exited: None,
            given_up: false,
            events_end: None,
            stderr: None,
            peak_rss: None,
            next_look: spawned,
            oom_kills_before: oom_counter.read(),
            oom_counter,
            notes: Vec::new(),
            killed_after_s: None,
            last_token: None,
            looked: None,
            last_events: LastEvents::default(),
            missed: None,
            ranks: match &request.placement.device_map {
                DeviceMapRequest::Ranks(ranks) => ranks.processes,
                _ => 0,
            },
            stacks: None,
        }
    }

    /// The file that the worker was told to write its stacks to, if it is asked for them.
    pub(crate) fn with_stacks(mut self, stacks: StacksFile) -> Self {
        self.stacks = Some(stacks);
        self
    }

    /// Watches until the process has ended, or has been given up. It is not reaped here, and its group not cleared.
    pub(crate) fn run(
        mut self,
        page: &BreadcrumbPage,
        cancel: &Cancel,
        gpus: Option<&GpuWatch>,
        log: Option<EventLog>,
        observer: &mut dyn FnMut(Observation<'_>),
    ) -> Result<Finished, SupervisorError> {
        let mut around = Surroundings {
            page,
            cancel,
            gpus,
            log,
            observer,
        };
        while self.exited.is_none() && !self.given_up {
            self.watch(&mut around)?;
        }
        self.drain(&mut around)?;
        if let Some(log) = &mut around.log {
            log.flush()?;
        }
        let outcome = self.outcome(page, cancel);
        Ok(Finished::new(self, outcome))
    }

    /// One turn: whatever is due, then whatever comes next.
    fn watch(&mut self, around: &mut Surroundings<'_>) -> Result<(), SupervisorError> {
        let now = Instant::now();
        if now >= self.next_look {
            self.look_at_memory();
            self.next_look = now + TICK;
        }
        if self.ladder.is_none() && around.cancel.is_cancelled() {
            self.judge(interrupted(), around)?;
        }
        self.look_at_deadlines(now, around)?;
        self.climb(now, around);
        if self.given_up {
            return Ok(());
        }
        let patience = self.next_due().saturating_duration_since(now);
        match self.listeners.recv_timeout(patience) {
            Ok(signal) => self.take(signal, around),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            // Every thread is gone and none has seen the end of the process: nothing more will be heard of it.
            Err(RecvTimeoutError::Disconnected) => Err(SupervisorError::Wait {
                pid: self.group.id(),
                source: std::io::ErrorKind::BrokenPipe.into(),
            }),
        }
    }

    /// When the loop has something to do although nothing comes in.
    fn next_due(&self) -> Instant {
        let deadline = match &self.ladder {
            Some(ladder) => ladder.next_due(),
            None => self
                .watchdog
                .next_deadline()
                .and_then(|at| self.spawned.checked_add(at + SETTLE)),
        };
        deadline.map_or(self.next_look, |deadline| deadline.min(self.next_look))
    }

    fn look_at_memory(&mut self) {
        self.peak_rss = self.peak_rss.max(memory::peak_rss(self.group.id()));
    }

    fn look_at_deadlines(&mut self, now: Instant, around: &mut Surroundings<'_>) -> Result<(), SupervisorError> {
        if self.ladder.is_some() || self.overdue(now).is_none() {
            return Ok(());
        }
        // On a busy machine it may be the supervisor that is late: what has already come in counts.
        for _ in 0..QUEUE {
            let Ok(signal) = self.listeners.try_recv() else {
                break;
            };
            self.take(signal, around)?;
        }
        if self.exited.is_some() || self.ladder.is_some() {
            return Ok(());
        }
        match self.overdue(now) {
            Some(expiry) => self.expire(expiry, around),
            None => Ok(()),
        }
    }

    fn overdue(&self, now: Instant) -> Option<Expiry> {
        let since_spawn = now.saturating_duration_since(self.spawned);
        self.watchdog.expired(since_spawn.checked_sub(SETTLE)?)
    }

    fn expire(&mut self, expiry: Expiry, around: &mut Surroundings<'_>) -> Result<(), SupervisorError> {
        if self.transcript.error().is_some() {
            self.note(format!(
                "the worker named its failure and did not exit within {}",
                human_seconds(expiry.limit_s)
            ));
            self.ladder = Some(Ladder::new(self.stop, Instant::now()));
            return Ok(());
        }
        let last = self.last_seen(around.page, Instant::now());
        let outcome = if expiry.deadline == Deadline::Total {
            Outcome::Timeout {
                limit_s: expiry.limit_s,
                last,
            }
        } else {
            Outcome::Stalled {
                phase: last.phase.unwrap_or_else(|| self.transcript.phase()),
                deadline: expiry.deadline,
                limit_s: expiry.limit_s,
                last,
                tokens: self.transcript.tokens_made(),
            }
        };
        self.missed = Some(expiry.at);
        let deadline = self.spawned + expiry.at;
        let judged_after = deadline.elapsed();
        self.judge(outcome, around)?;
        // The judgement stands: from here on it is about why.
        let gpus = around.gpus.map(GpuWatch::moment).unwrap_or_default();
        let look = Look::at(self.group.id());
        let answer = self.ask_for_stacks();
        self.looked = Some(Looked {
            look,
            judged_after,
            taken_after: deadline.elapsed(),
            gpus,
            answer,
        });
        Ok(())
    }

    /// Asks a worker for its stacks that has said it can be asked, and nobody else: the signal would end it.
    fn ask_for_stacks(&self) -> Answer {
        let (Some(on_demand), Some(file)) = (self.transcript.stacks, &self.stacks) else {
            return Answer::default();
        };
        self.group.ask_for_stacks(on_demand.signal);
        file.answer(on_demand.signal.as_str(), self.ranks)
    }

    /// The outcome stands; what remains is to end the process.
    fn judge(&mut self, outcome: Outcome, around: &mut Surroundings<'_>) -> Result<(), SupervisorError> {
        if self.judged.is_some() {
            return Ok(());
        }
        (around.observer)(Observation::Judged(&outcome));
        self.judged = Some(outcome);
        if self.ladder.is_none() {
            self.ladder = Some(Ladder::new(self.stop, Instant::now()));
        }
        match &mut around.log {
            Some(log) => log.flush(),
            None => Ok(()),
        }
    }

    fn climb(&mut self, now: Instant, around: &mut Surroundings<'_>) {
        let Some(step) = self.ladder.as_mut().and_then(|ladder| ladder.step(now)) else {
            return;
        };
        (around.observer)(Observation::Stopping(step));
        match step {
            StopStep::Terminate => self.group.signal(GroupSignal::Terminate),
            StopStep::Kill => {
                self.killed_after_s = Some(self.stop.grace.as_secs_f64());
                self.note(format!(
                    "the worker did not end within {} of SIGTERM and was killed",
                    human_seconds(self.stop.grace.as_secs_f64())
                ));
                self.group.signal(GroupSignal::Kill);
            }
            StopStep::GiveUp => {
                self.note(format!(
                    "process {} is still there {} after SIGKILL: the kernel does not let go of it, and what it holds on its \
                     devices stays taken",
                    self.group.id(),
                    human_seconds(self.stop.after_kill.as_secs_f64())
                ));
                self.given_up = true;
            }
        }
    }

    fn take(&mut self, signal: Signal, around: &mut Surroundings<'_>) -> Result<(), SupervisorError> {
        match signal {
            Signal::Line(line, at) => self.take_line(&line, at, around),
            Signal::EventsEnded(end) => {
                self.events_end = Some(end);
                Ok(())
            }
            Signal::StderrEnded(end, capture) => {
                self.stderr = Some((end, capture));
                Ok(())
            }
            Signal::Exited(Ok(ended), at) => {
                self.exited = Some((ended, at));
                Ok(())
            }
            Signal::Exited(Err(source), _) => Err(SupervisorError::Wait {
                pid: self.group.id(),
                source,
            }),
        }
    }

    fn take_line(&mut self, line: &Line, at: Instant, around: &mut Surroundings<'_>) -> Result<(), SupervisorError> {
        // What is said after the judgement cannot change it.
        if self.judged.is_some() {
            return Ok(());
        }
        let event = match self.transcript.take(line) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(breach) => {
                return self.judge(outcome::of_breach(&breach, self.transcript.phase()), around);
            }
        };
        let received = at.saturating_duration_since(self.spawned);
        if let Some(progress) = Progress::of(&event.kind) {
            self.watchdog.progress(progress, received);
            self.last_token = match progress {
                Progress::Token => Some(at),
                Progress::Started => None,
                Progress::Fetched | Progress::Loaded | Progress::Finished | Progress::Ending => self.last_token,
            };
            if progress == Progress::Ending {
                // The last chance: a process that has ended has no memory left to look at.
                self.look_at_memory();
            }
        }
        self.last_events.push(&event, received);
        (around.observer)(Observation::Event(&event));
        match &mut around.log {
            Some(log) => log.append(&event, received),
            None => Ok(()),
        }
    }

    /// Takes what is still in the pipes. Whoever holds them open after that is not waited for.
    fn drain(&mut self, around: &mut Surroundings<'_>) -> Result<(), SupervisorError> {
        let until = Instant::now() + if self.given_up { Duration::ZERO } else { DRAIN };
        while !self.pipes_ended() {
            let left = until.saturating_duration_since(Instant::now());
            match self.listeners.recv_timeout(left) {
                Ok(signal) => self.take(signal, around)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.listeners.call_off();
        while !self.pipes_ended() {
            // The readers end by themselves now, having read what is there.
            let Ok(signal) = self.listeners.recv() else {
                break;
            };
            self.take(signal, around)?;
        }
        Ok(())
    }

    fn pipes_ended(&self) -> bool {
        self.events_end.is_some() && self.stderr.is_some()
    }

    fn outcome(&mut self, page: &BreadcrumbPage, cancel: &Cancel) -> Outcome {
        if let Some(judged) = self.judged.take() {
            return judged;
        }
        let (ended, at) = self.exited.unwrap_or((Ended::UNKNOWN, Instant::now()));
        let kills = OomKills {
            before: self.oom_kills_before,
            after: self.oom_counter.read(),
        };
        let outcome = outcome::of_end(&self.transcript, ended, self.last_seen(page, at), kills);
        match outcome {
            Outcome::Completed => outcome,
            _ if is_interruption(ended, cancel) => interrupted(),
            _ => outcome,
        }
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

fn interrupted() -> Outcome {
    Outcome::Skipped {
        reason: INTERRUPTED.to_owned(),
        hint: None,
    }
}

/// Whether a worker did not end of itself, but because the whole run is to end: a scheduler that takes a job back tells all its
/// processes, and the worker may be the first to follow.
fn is_interruption(ended: Ended, cancel: &Cancel) -> bool {
    let told = Instant::now();
    while ended.was_asked_to() && !cancel.is_cancelled() && told.elapsed() < SAME_WISH {
        std::thread::sleep(Duration::from_millis(5));
    }
    cancel.is_cancelled()
}

#[cfg(test)]
mod tests;

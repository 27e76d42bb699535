//! A child that answers one question in lines: started, listened to, and ended when it falls silent.
//!
//! The same pieces as for an attempt: a process group, listening threads, the kill ladder. What is missing is the
//! worker protocol: every whole line is handed over as it is.

use std::process::Stdio;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use placebench_core::protocol::SUPERVISOR_PID_ENV;
use serde::Serialize;

use crate::cancel::Cancel;
use crate::ladder::{Ladder, StopStep};
use crate::lines::Line;
use crate::outcome::{self, OomKills};
use crate::pipes::{Listeners, Signal};
use crate::stderr::StderrCapture;
use crate::supervisor::{Leash, SupervisorError, WorkerCommand, cannot_make, request_file};
use crate::sys::{self, Ended, Group, GroupSignal};
use crate::worker_env;

/// How often the loop looks at the cancel flag.
const TICK: Duration = Duration::from_millis(50);
/// How long the pipes of a process that has ended may take to close.
const DRAIN: Duration = Duration::from_millis(100);
/// Most lines of the end of standard error that are kept.
const TAIL_LINES: usize = 8;

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeEnd {
    /// By itself, with exit code 0.
    Finished,
    /// It died or ended with another code, in words.
    Died(String),
    /// It said nothing for the deadline and was ended.
    Silent,
    /// It could not be started.
    NotStarted(String),
    /// Ending early was asked for.
    Interrupted,
}

/// What became of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// How it ended.
    pub end: ProbeEnd,
    /// Last lines of its standard error. Untrusted: escape them wherever they are shown.
    pub stderr_tail: String,
    /// The kernel does not let go of it: what it holds on its devices stays taken.
    pub unkillable: bool,
}

/// Starts a child with a request on standard input, and hands over its lines until it ends, falls silent for longer than
/// `silence`, or the end is asked for.
///
/// The calling thread must live until this returns: the kernel ends a child whose parent thread has gone.
///
/// # Errors
/// When the supervisor cannot make its own files and threads. The child is killed then.
pub fn run_probe(
    command: &WorkerCommand,
    request: &impl Serialize,
    silence: Duration,
    cancel: &Cancel,
    on_line: &mut dyn FnMut(&str),
) -> Result<Probed, SupervisorError> {
    let stdin = request_file(request).map_err(cannot_make("the request's file"))?;
    let mut process = std::process::Command::new(&command.program);
    process
        .args(&command.args)
        .env_clear()
        .envs(worker_env::inherited())
        .env(SUPERVISOR_PID_ENV, std::process::id().to_string())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (child, group) = match sys::spawn_in_group(&mut process) {
        Ok(started) => started,
        Err(error) => {
            return Ok(Probed {
                end: ProbeEnd::NotStarted(format!("{} cannot be started: {error}", command.program.display())),
                stderr_tail: String::new(),
                unkillable: false,
            });
        }
    };
    let mut leash = Leash::new(child, group);
    let listeners = leash.listen().map_err(cannot_make("the listening threads"))?;
    let mut watch = Watch {
        command,
        group,
        listeners,
        silence,
        heard: Instant::now(),
        judged: None,
        ladder: None,
        exited: None,
        given_up: false,
        stderr: None,
        on_line,
    };
    watch.until_ended(cancel)?;
    watch.drain();
    Ok(watch.into_probed())
}

/// A child that is being listened to.
struct Watch<'a> {
    command: &'a WorkerCommand,
    group: Group,
    listeners: Listeners,
    silence: Duration,
    heard: Instant,
    judged: Option<ProbeEnd>,
    ladder: Option<Ladder>,
    exited: Option<Ended>,
    given_up: bool,
    stderr: Option<StderrCapture>,
    on_line: &'a mut dyn FnMut(&str),
}

impl Watch<'_> {
    fn until_ended(&mut self, cancel: &Cancel) -> Result<(), SupervisorError> {
        while self.exited.is_none() && !self.given_up {
            match self.listeners.recv_timeout(TICK) {
                Ok(signal) => self.take(signal)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(SupervisorError::Wait {
                        pid: self.group.id(),
                        source: std::io::ErrorKind::BrokenPipe.into(),
                    });
                }
            }
            let now = Instant::now();
            if self.judged.is_none() && cancel.is_cancelled() {
                self.judge(ProbeEnd::Interrupted, now);
            }
            if self.judged.is_none() && now.saturating_duration_since(self.heard) > self.silence {
                self.judge(ProbeEnd::Silent, now);
            }
            self.climb(now);
        }
        Ok(())
    }

    fn judge(&mut self, end: ProbeEnd, now: Instant) {
        self.judged = Some(end);
        self.ladder = Some(Ladder::new(self.command.stop, now));
    }

    fn climb(&mut self, now: Instant) {
        match self.ladder.as_mut().and_then(|ladder| ladder.step(now)) {
            Some(StopStep::Terminate) => self.group.signal(GroupSignal::Terminate),
            Some(StopStep::Kill) => self.group.signal(GroupSignal::Kill),
            Some(StopStep::GiveUp) => self.given_up = true,
            None => {}
        }
    }

    fn take(&mut self, signal: Signal) -> Result<(), SupervisorError> {
        match signal {
            Signal::Line(line, at) => {
                self.heard = self.heard.max(at);
                if let Line::Whole(bytes) = line {
                    (self.on_line)(&String::from_utf8_lossy(&bytes));
                }
            }
            Signal::EventsEnded(_) => {}
            Signal::StderrEnded(_, capture) => self.stderr = Some(capture),
            Signal::Exited(ended, _) => {
                let pid = self.group.id();
                self.exited = Some(ended.map_err(|source| SupervisorError::Wait { pid, source })?);
            }
        }
        Ok(())
    }

    /// What was said before the end is still read; a pipe that a grandchild holds open is let go of.
    fn drain(&mut self) {
        let until = Instant::now() + DRAIN;
        while self.stderr.is_none() {
            match self
                .listeners
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(signal) => drop(self.take(signal)),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        self.listeners.call_off();
        while let Ok(signal) = self.listeners.recv_timeout(DRAIN) {
            drop(self.take(signal));
        }
    }

    fn into_probed(self) -> Probed {
        let end = self.judged.unwrap_or_else(|| match self.exited {
            Some(Ended {
                signal: None,
                code: Some(0),
            }) => ProbeEnd::Finished,
            Some(ended) => ProbeEnd::Died(outcome::crash_message(ended, OomKills::UNKNOWN, false)),
            None => ProbeEnd::Died(outcome::crash_message(Ended::UNKNOWN, OomKills::UNKNOWN, false)),
        });
        Probed {
            end,
            stderr_tail: tail(&self.stderr.map(|capture| capture.text()).unwrap_or_default()),
            unkillable: self.given_up,
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::StopLimits;

    const PLENTY: Duration = Duration::from_secs(60);

    fn probe(script: &str, silence: Duration, cancel: &Cancel) -> (Probed, Vec<String>) {
        let mut command = WorkerCommand::new("sh", ["-c", script]);
        command.stop = StopLimits {
            recovery: Duration::ZERO,
            grace: Duration::from_millis(100),
            after_kill: PLENTY,
        };
        let mut lines = Vec::new();
        let probed = run_probe(&command, &["asked"], silence, cancel, &mut |line| {
            lines.push(line.to_owned());
        });
        (probed.unwrap(), lines)
    }

    #[test]
    fn answers_are_heard_to_the_last_line() {
        let (probed, lines) = probe("cat; echo; echo two; echo note >&2", PLENTY, &Cancel::new());
        assert_eq!(probed.end, ProbeEnd::Finished);
        assert_eq!(lines, ["[\"asked\"]", "two"]);
        assert_eq!(probed.stderr_tail, "note");
    }

    #[test]
    fn silence_ends_it_and_words_keep_it_alive() {
        let limit = Duration::from_millis(400);
        let (probed, lines) = probe("echo one; sleep 1000", limit, &Cancel::new());
        assert_eq!((probed.end, lines.len()), (ProbeEnd::Silent, 1));
        // A child that ignores SIGTERM is killed.
        let (probed, _) = probe("trap '' TERM; while :; do sleep 1000; done", limit, &Cancel::new());
        assert_eq!((probed.end, probed.unkillable), (ProbeEnd::Silent, false));
        // In all it takes longer than it may be silent.
        let talk = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done";
        let (probed, lines) = probe(talk, Duration::from_secs(3), &Cancel::new());
        assert_eq!((probed.end, lines.len()), (ProbeEnd::Finished, 8));
    }

    #[test]
    fn deaths_are_told_apart() {
        let end = |script| probe(script, PLENTY, &Cancel::new()).0.end;
        let ProbeEnd::Died(message) = end("kill -ABRT $$") else {
            panic!("not dead")
        };
        assert!(message.contains("SIGABRT"), "{message}");
        let ProbeEnd::Died(message) = end("exit 3") else {
            panic!("not dead")
        };
        assert!(message.contains("exit code 3"), "{message}");
    }

    #[test]
    fn a_program_that_is_not_there_and_a_wish_to_stop() {
        let command = WorkerCommand::new("/nowhere/at/all", Vec::<String>::new());
        let probed = run_probe(&command, &(), PLENTY, &Cancel::new(), &mut |_| {}).unwrap();
        assert!(matches!(probed.end, ProbeEnd::NotStarted(_)), "{probed:?}");
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(probe("sleep 1000", PLENTY, &cancel).0.end, ProbeEnd::Interrupted);
    }

    #[test]
    fn only_the_end_of_long_complaints_is_kept() {
        let text: String = (0..20).map(|number| format!("line {number}\n\n")).collect();
        assert_eq!(tail(&text).lines().count(), TAIL_LINES);
        assert!(tail(&text).ends_with("line 19"));
        assert_eq!(tail(""), "");
    }
}

//! What becomes of a worker that nobody looks after: its supervisor was killed, or its reader has gone.
//!
//! Neither happens in a run that goes well, and an engine that gets it wrong leaves processes behind that hold memory of
//! devices. [`leave_alone`] makes it happen.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use placebench_core::protocol::SUPERVISOR_PID_ENV;

use crate::supervisor::{WorkerCommand, file_with};
use crate::sys::{self, Group, GroupSignal};
use crate::worker_env;

/// How often a process is asked whether it still runs.
const TICK: Duration = Duration::from_millis(20);

/// Starts the worker as its parent, and is killed. Commands in the background have no standard input of their own, hence the
/// third descriptor.
const SUPERVISOR: &str = "exec 3<&0; PLACEBENCH_SUPERVISOR_PID=$$ \"$@\" <&3 3<&- & exec >&- 3<&-; wait";

/// How a worker is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The process that started it is killed; its pipes stay open.
    Supervisor,
    /// Nobody reads its events any more; the process that started it lives on.
    Reader,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// It was over before it could be left alone.
    OverBefore,
    /// It ended.
    Ended,
    /// It did not, and was killed.
    RanOn,
}

/// Starts a worker with this request, leaves it alone once `is_time` says so of one of its lines, and waits for its end.
///
/// The worker has the environment of any other, but no breadcrumb. Nothing of it is left when this returns.
///
/// # Errors
/// When it cannot be started, or says nothing for `patience`.
pub fn leave_alone(
    command: &WorkerCommand,
    request: &[u8],
    loss: Loss,
    is_time: &mut dyn FnMut(&str) -> bool,
    patience: Duration,
) -> io::Result<Aftermath> {
    let mut process = match loss {
        Loss::Supervisor => {
            let mut shell = Command::new("sh");
            shell.args(["-c", SUPERVISOR, "sh"]).arg(&command.program);
            shell
        }
        Loss::Reader => Command::new(&command.program),
    };
    process
        .args(&command.args)
        .env_clear()
        .envs(worker_env::inherited())
        .stdin(file_with(request)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if loss == Loss::Reader {
        process.env(SUPERVISOR_PID_ENV, std::process::id().to_string());
    }
    if let Some(folder) = &command.folder {
        process.current_dir(folder);
    }
    let (mut child, group) = sys::spawn_in_group(&mut process)?;
    let watched = watch(&mut child, loss, is_time, patience);
    // The leader is not reaped yet, so that the id is still that of its group.
    group.signal(GroupSignal::Kill);
    child.wait()?;
    watched
}

fn watch(
    child: &mut Child,
    loss: Loss,
    is_time: &mut dyn FnMut(&str) -> bool,
    patience: Duration,
) -> io::Result<Aftermath> {
    let Some(events) = child.stdout.take() else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    match loss {
        Loss::Supervisor => {
            let lines = lines_of(events)?;
            if !await_line(&lines, is_time, patience)? {
                return Ok(Aftermath::OverBefore);
            }
            child.kill()?;
            // Whoever holds the pipe is the worker, or a child of it: both are to be gone.
            await_end(&lines, patience)
        }
        Loss::Reader => {
            let mut events = BufReader::new(events);
            let mut line = String::new();
            loop {
                line.clear();
                if events.read_line(&mut line)? == 0 {
                    return Ok(Aftermath::OverBefore);
                }
                if is_time(&line) {
                    break;
                }
            }
            drop(events);
            let group = Group::of(child);
            let until = Instant::now() + patience;
            while Instant::now() < until {
                if group.has_ended()? {
                    return Ok(Aftermath::Ended);
                }
                std::thread::sleep(TICK);
            }
            Ok(Aftermath::RanOn)
        }
    }
}

/// The lines of a pipe, read by a thread of their own so that they can be waited for with a limit.
fn lines_of(events: ChildStdout) -> io::Result<Receiver<String>> {
    let (sender, lines) = mpsc::channel();
    std::thread::Builder::new().name("events".into()).spawn(move || {
        let mut events = BufReader::new(events);
        let mut line = Vec::new();
        while matches!(events.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    })?;
    Ok(lines)
}

/// Whether the line came before the end.
fn await_line(lines: &Receiver<String>, is_time: &mut dyn FnMut(&str) -> bool, patience: Duration) -> io::Result<bool> {
    loop {
        match lines.recv_timeout(patience) {
            Ok(line) if is_time(&line) => return Ok(true),
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn await_end(lines: &Receiver<String>, patience: Duration) -> io::Result<Aftermath> {
    let until = Instant::now() + patience;
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(_) if Instant::now() < until => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Aftermath::Ended),
            Ok(_) | Err(RecvTimeoutError::Timeout) => return Ok(Aftermath::RanOn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(script: &str, loss: Loss, patience_ms: u64) -> Aftermath {
        let command = WorkerCommand::new("sh", ["-c", script]);
        let mut is_time = |line: &str| line.contains("now");
        leave_alone(
            &command,
            b"asked\n",
            loss,
            &mut is_time,
            Duration::from_millis(patience_ms),
        )
        .unwrap()
    }

    #[test]
    fn a_worker_that_watches_its_parent_ends_with_it() {
        let polite = "read asked; echo $asked; echo now; while [ $(ps -o ppid= -p $$) = $PLACEBENCH_SUPERVISOR_PID ]; \
                      do sleep 0.05; done";
        assert_eq!(left(polite, Loss::Supervisor, 60_000), Aftermath::Ended);
        let stubborn = "echo now; sleep 1000";
        assert_eq!(left(stubborn, Loss::Supervisor, 300), Aftermath::RanOn);
    }

    #[test]
    fn a_closed_pipe_ends_a_worker_that_writes() {
        let writer = "echo now; while :; do echo more; done";
        assert_eq!(left(writer, Loss::Reader, 60_000), Aftermath::Ended);
        let deaf = "echo now; trap '' PIPE; while :; do echo more 2>/dev/null; sleep 0.01; done";
        assert_eq!(left(deaf, Loss::Reader, 300), Aftermath::RanOn);
    }

    #[test]
    fn what_is_over_cannot_be_left_alone() {
        for loss in [Loss::Supervisor, Loss::Reader] {
            assert_eq!(left("echo over", loss, 60_000), Aftermath::OverBefore);
        }
        let missing = WorkerCommand::new("/nowhere/at/all", Vec::<String>::new());
        let patience = Duration::from_secs(60);
        assert!(leave_alone(&missing, b"", Loss::Reader, &mut |_| true, patience).is_err());
    }
}

//! What becomes of a worker that nobody looks after: its supervisor was killed, or its reader has gone.
//!
//! Neither happens in a run that goes well, and an engine that gets it wrong leaves processes behind that hold memory of
//! devices. [`leave_alone`] makes it happen.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use placebench_core::protocol::SUPERVISOR_PID_ENV;

use crate::pipes::MAX_LINE_BYTES;
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
    let mut reader = Reader::start(events)?;
    loop {
        match reader.line(patience)? {
            Some(line) if is_time(&line) => break,
            Some(_) => {}
            None => return Ok(Aftermath::OverBefore),
        }
    }
    let until = Instant::now() + patience;
    match loss {
        Loss::Supervisor => {
            child.kill()?;
            // Whoever holds the pipe is the worker, or a child of it: both are to be gone.
            loop {
                match reader.line(until.saturating_duration_since(Instant::now())) {
                    Ok(None) => return Ok(Aftermath::Ended),
                    Ok(Some(_)) if Instant::now() < until => {}
                    Ok(Some(_)) | Err(_) => return Ok(Aftermath::RanOn),
                }
            }
        }
        Loss::Reader => {
            reader.close();
            let group = Group::of(child);
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

/// Reads the lines of a pipe in a thread of its own, one at a time, so that they can be waited for with a limit and the pipe can
/// be closed after any of them.
struct Reader {
    lines: Receiver<String>,
    asks: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn start(events: ChildStdout) -> io::Result<Self> {
        let (sender, lines) = mpsc::channel();
        let (asks, asked) = mpsc::channel();
        let read = move || {
            let mut events = BufReader::new(events);
            let mut line = Vec::new();
            while asked.recv().is_ok() {
                line.clear();
                // Whoever writes no end of a line is cut off there.
                let limit = MAX_LINE_BYTES as u64;
                if !matches!((&mut events).take(limit).read_until(b'\n', &mut line), Ok(count) if count > 0) {
                    return;
                }
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("events".into()).spawn(read)?;
        Ok(Self {
            lines,
            asks: Some(asks),
            thread: Some(thread),
        })
    }

    /// The next line; none at the end of the pipe.
    fn line(&mut self, patience: Duration) -> io::Result<Option<String>> {
        // A reader that has ended has hung up, which the next lines say.
        if let Some(asks) = &self.asks {
            let _hung_up = asks.send(()).is_err();
        }
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Closes the pipe, after a line.
    fn close(mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
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
    fn what_is_over_or_silent_cannot_be_left_alone() {
        for loss in [Loss::Supervisor, Loss::Reader] {
            assert_eq!(left("echo over", loss, 60_000), Aftermath::OverBefore);
        }
        let silent = WorkerCommand::new("sh", ["-c", "sleep 1000"]);
        for loss in [Loss::Supervisor, Loss::Reader] {
            let left = leave_alone(&silent, b"", loss, &mut |_| true, Duration::from_millis(200));
            assert_eq!(left.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        let missing = WorkerCommand::new("/nowhere/at/all", Vec::<String>::new());
        let patience = Duration::from_secs(60);
        assert!(leave_alone(&missing, b"", Loss::Reader, &mut |_| true, patience).is_err());
    }
}

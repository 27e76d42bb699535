//! The threads that listen to a worker. Each blocks on one thing and reports to one channel.

use std::io::PipeWriter;
use std::process::{ChildStderr, ChildStdout};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use crate::lines::{Line, LineSplitter};
use crate::stderr::StderrCapture;
use crate::sys::{Ended, Group, PipeRead, StoppablePipe};

mod backlog;

use backlog::Backlog;

/// Longest line of the event pipe. A finished generation of 100 000 tokens with its five candidates a step is about
/// 14 MB.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 20;

/// Lines waiting to be looked at. A worker that talks faster than that is held up by its own pipe.
pub(crate) const QUEUE: usize = 256;

/// Bytes still read after reading was called off, so that a process that never stops talking cannot keep the reader.
const LAST_BYTES: usize = 1 << 20;

/// How a pipe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PipeEnd {
    /// Its last holder closed it.
    Closed,
    /// Somebody still held it when reading was called off.
    StillOpen,
}

/// What a thread reports.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Something on the event pipe, and when it was read.
    Line(Line, Instant),
    /// The event pipe has ended.
    EventsEnded(PipeEnd),
    /// Standard error has ended, with what is kept of it.
    StderrEnded(PipeEnd, StderrCapture),
    /// The process has ended and waits to be reaped.
    Exited(std::io::Result<Ended>, Instant),
}

/// The listening side of one worker.
pub(crate) struct Listeners {
    /// Reports of all threads, in order for each thread.
    signals: Receiver<Signal>,
    backlog: Arc<Backlog>,
    stop: Option<PipeWriter>,
}

impl Listeners {
    /// Starts one thread for each pipe and one that waits for the end of the process.
    pub(crate) fn start(group: Group, events: ChildStdout, stderr: ChildStderr) -> std::io::Result<Self> {
        let (stopped, stop) = std::io::pipe()?;
        let (sender, signals) = sync_channel(QUEUE);
        let events = StoppablePipe::new(events, stopped.try_clone()?);
        let stderr = StoppablePipe::new(stderr, stopped);
        let (event_sender, stderr_sender) = (sender.clone(), sender.clone());
        let backlog = Arc::new(Backlog::default());
        let waiting = Arc::clone(&backlog);
        spawn("events", move || read_events(&events, &event_sender, &waiting))?;
        spawn("stderr", move || read_stderr(&stderr, &stderr_sender))?;
        spawn("wait", move || {
            let ended = group.wait_without_reaping();
            report(&sender, Signal::Exited(ended, Instant::now()));
        })?;
        Ok(Self {
            signals,
            backlog,
            stop: Some(stop),
        })
    }

    /// The next report, however long it takes.
    pub(crate) fn recv(&self) -> Result<Signal, RecvError> {
        self.signals.recv().inspect(|signal| self.took(signal))
    }

    /// The next report, waited for so long.
    pub(crate) fn recv_timeout(&self, patience: Duration) -> Result<Signal, RecvTimeoutError> {
        self.signals.recv_timeout(patience).inspect(|signal| self.took(signal))
    }

    /// The next report, if there is one.
    pub(crate) fn try_recv(&self) -> Result<Signal, TryRecvError> {
        self.signals.try_recv().inspect(|signal| self.took(signal))
    }

    fn took(&self, signal: &Signal) {
        if let Signal::Line(line, _) = signal {
            self.backlog.take(line.bytes());
        }
    }

    /// Listeners that report what a test sends.
    #[cfg(test)]
    pub(crate) fn hearing(signals: Receiver<Signal>) -> Self {
        Self {
            signals,
            backlog: Arc::default(),
            stop: None,
        }
    }

    /// Sends the readers home once they have read what is there. Each still reports how its pipe ended.
    pub(crate) fn call_off(&mut self) {
        drop(self.stop.take());
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.backlog.close();
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    // Not joined: each ends with the pipe or process it listens to, and a process the kernel does not let go of must
    // not take the supervisor with it.
    drop(std::thread::Builder::new().name(name.to_owned()).spawn(body)?);
    Ok(())
}

/// The supervisor may have given up listening; then there is nobody to tell.
fn report(sender: &SyncSender<Signal>, signal: Signal) {
    drop(sender.send(signal));
}

fn read_events(pipe: &StoppablePipe, sender: &SyncSender<Signal>, backlog: &Backlog) {
    let mut lines = LineSplitter::new(MAX_LINE_BYTES);
    let hand_over = |line: Line, at: Instant| {
        backlog.add(line.bytes());
        report(sender, Signal::Line(line, at));
    };
    let end = read_all(pipe, |chunk| {
        let now = Instant::now();
        lines.feed(chunk, |line| hand_over(line, now));
    });
    if let Some(half) = lines.finish() {
        hand_over(half, Instant::now());
    }
    report(sender, Signal::EventsEnded(end));
}

fn read_stderr(pipe: &StoppablePipe, sender: &SyncSender<Signal>) {
    let mut capture = StderrCapture::default();
    let end = read_all(pipe, |chunk| capture.feed(chunk));
    report(sender, Signal::StderrEnded(end, capture));
}

fn read_all(pipe: &StoppablePipe, mut take: impl FnMut(&[u8])) -> PipeEnd {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = LAST_BYTES;
    loop {
        match pipe.read(&mut buffer) {
            Ok(PipeRead::Data(count)) => {
                take(&buffer[..count]);
                if pipe.is_called_off() {
                    left = left.saturating_sub(count);
                }
                if left == 0 {
                    return PipeEnd::StillOpen;
                }
            }
            Ok(PipeRead::CalledOff) => return PipeEnd::StillOpen,
            // A pipe that cannot be read says as little as a closed one.
            Ok(PipeRead::Closed) | Err(_) => return PipeEnd::Closed,
        }
    }
}

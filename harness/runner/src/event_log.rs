//! `events/<case>.ndjson`: what the workers of a case said, as it came.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use placebench_core::protocol::WorkerEvent;
use serde::Serialize;

use crate::files::refuse_link;
use crate::supervisor::SupervisorError;

/// A line: the event with the attempt it belongs to and the supervisor's own stamp. Readers of plain events read it too.
#[derive(Serialize)]
struct LoggedEvent<'a> {
    attempt: u32,
    received_s: f64,
    #[serde(flatten)]
    event: &'a WorkerEvent,
}

/// The open log of one attempt.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    attempt: u32,
    file: BufWriter<File>,
}

impl EventLog {
    /// Opens the file for appending. A line left torn by a supervisor that was killed is closed first.
    pub(crate) fn open(path: &Path, attempt: u32) -> Result<Self, SupervisorError> {
        let open = || -> io::Result<File> {
            refuse_link(path)?;
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                let mut last = [0];
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
            Ok(file)
        };
        let file = open().map_err(|source| SupervisorError::EventLog {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            attempt,
            file: BufWriter::new(file),
        })
    }

    /// Appends an event that came `received` after the start of the process.
    pub(crate) fn append(&mut self, event: &WorkerEvent, received: Duration) -> Result<(), SupervisorError> {
        let line = LoggedEvent {
            attempt: self.attempt,
            received_s: received.as_secs_f64(),
            event,
        };
        serde_json::to_writer(&mut self.file, &line)
            .map_err(io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(|source| self.error(source))
    }

    /// Hands everything to the system.
    pub(crate) fn flush(&mut self) -> Result<(), SupervisorError> {
        self.file.flush().map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> SupervisorError {
        SupervisorError::EventLog {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::protocol::EventKind;

    #[test]
    fn lines_are_events_and_a_torn_one_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.ndjson");
        std::fs::write(&path, "{\"torn\":").unwrap();
        let event = WorkerEvent {
            t_s: 0.5,
            kind: EventKind::Done,
        };
        for attempt in 0..2 {
            let mut log = EventLog::open(&path, attempt).unwrap();
            log.append(&event, Duration::from_millis(750)).unwrap();
            log.flush().unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], r#"{"attempt":1,"received_s":0.75,"t_s":0.5,"event":"done"}"#);
        assert_eq!(serde_json::from_str::<WorkerEvent>(lines[1]).unwrap(), event);
    }
}

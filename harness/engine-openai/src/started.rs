//! A server that a worker has started, seen from the worker.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use placebench_core::protocol::{BREADCRUMB_ENV, ModelSource, SUPERVISOR_PID_ENV};
use placebench_core::record::{MODEL, PORT, ServerStart};

use crate::guardian;
use crate::http::Client;
use crate::words::escaped;

/// Pause between two questions whether the server is ready.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one such question may take: a server that is loading may take connections and not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines of the server's output that a failure quotes.
const LINES: usize = 8;
/// Bytes of such a line.
const MOST_LINE: u64 = 4096;
/// How long the last words of a server that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A server with its guardian. Dropping it ends both, and waits for that.
pub(crate) struct StartedServer {
    guardian: Child,
    /// Closing it is the sign to end.
    leash: Option<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
    listeners: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    lines: VecDeque<String>,
    ended: Option<String>,
}

impl StartedServer {
    /// Starts it. Its output goes to this process's standard error.
    ///
    /// # Errors
    /// When no process can be started. That the server's program is not there shows later, by its end.
    pub(crate) fn start(start: &ServerStart, port: u16, model: &ModelSource) -> std::io::Result<Self> {
        let mut guardian = Command::new(std::env::current_exe()?)
            .arg(guardian::COMMAND)
            .arg("--")
            .args(command(start, port, model))
            .current_dir(&start.folder)
            // They speak of this worker.
            .env_remove(BREADCRUMB_ENV)
            .env_remove(SUPERVISOR_PID_ENV)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (leash, status, output) = (guardian.stdin.take(), guardian.stdout.take(), guardian.stderr.take());
        let mut server = Self {
            guardian,
            leash,
            heard: Arc::default(),
            listeners: Vec::new(),
        };
        if let Some(output) = output {
            let heard = Arc::clone(&server.heard);
            server.listen("server-output", move || hear_output(output, &heard))?;
        }
        if let Some(status) = status {
            let heard = Arc::clone(&server.heard);
            server.listen("server-end", move || hear_end(status, &heard))?;
        }
        Ok(server)
    }

    fn listen(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.listeners.push(thread);
        Ok(())
    }

    /// Asks until the server says that it can generate; the supervisor's deadline decides how long that may take.
    ///
    /// # Errors
    /// When the server has ended.
    pub(crate) fn wait_until_ready(&self, client: &Client, ready: &str) -> Result<(), String> {
        loop {
            let answered = client.get(&client.root(ready), Some(PATIENCE));
            if let Some(why) = self.why_it_ended() {
                return Err(format!("the server ended before it was ready: {why}"));
            }
            if answered.is_ok_and(|answer| answer.head.status == 200) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// How it ended, if it has, with its last lines.
    pub(crate) fn why_it_ended(&self) -> Option<String> {
        self.ended()?;
        // What it wrote at last may still be on its way.
        let since = std::time::Instant::now();
        while since.elapsed() < LAST_WORDS && !self.listeners.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(PAUSE.min(LAST_WORDS));
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = heard.ended.clone()?;
        let lines: Vec<&str> = heard.lines.iter().map(String::as_str).collect();
        Some(match lines.as_slice() {
            [] => format!("{ended}, without a word"),
            lines => format!("{ended}, its last words: {}", lines.join(" | ")),
        })
    }

    fn ended(&self) -> Option<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.ended.clone()
    }
}

impl Drop for StartedServer {
    fn drop(&mut self) {
        drop(self.leash.take());
        // The guardian gives up by itself on what the kernel does not let go of.
        let _ended = self.guardian.wait();
    }
}

/// A port of this machine that nobody listens at now.
///
/// # Errors
/// When there is none.
pub(crate) fn free_port(host: &str) -> std::io::Result<u16> {
    let number: IpAddr = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(TcpListener::bind((number, 0))?.local_addr()?.port())
}

/// The words of the command with what they stand for.
fn command(start: &ServerStart, port: u16, model: &ModelSource) -> Vec<OsString> {
    let name = match model.path() {
        Some(path) => path.to_owned(),
        None => model.label(),
    };
    let port = port.to_string();
    let words = start.command.iter();
    // The model first: its path may hold anything.
    words
        .map(|word| {
            let parts: Vec<String> = word.split(MODEL).map(|part| part.replace(PORT, &port)).collect();
            parts.join(&name).into()
        })
        .collect()
}

/// Hands the server's output on, and remembers its end.
fn hear_output(output: impl Read, heard: &Mutex<Heard>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match output.by_ref().take(MOST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        drop(writeln!(std::io::stderr(), "[server] {text}"));
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        let shown: String = text.chars().take(200).collect();
        heard.lines.push_back(escaped(&shown));
        while heard.lines.len() > LINES {
            heard.lines.pop_front();
        }
    }
}

/// The guardian's one line, or that the guardian itself has gone.
fn hear_end(status: impl Read, heard: &Mutex<Heard>) {
    let mut line = String::new();
    let read = BufReader::new(status.take(MOST_LINE)).read_line(&mut line);
    let ended = match (read, line.trim()) {
        (Ok(_), said) if !said.is_empty() => said.to_owned(),
        _ => "its guardian was killed".to_owned(),
    };
    heard.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(ended);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(words: &[&str]) -> ServerStart {
        ServerStart {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            ..ServerStart::default()
        }
    }

    #[test]
    fn the_command_is_told_port_and_model() {
        let words = start(&["serve", "--at={port}", "{model}", "{other}"]);
        let path = ModelSource::Path("/m/{port}.gguf".into());
        assert_eq!(
            command(&words, 81, &path),
            ["serve", "--at=81", "/m/{port}.gguf", "{other}"]
        );
        let hub = ModelSource::Hub {
            repo: "a/b".into(),
            revision: "main".into(),
            file: None,
        };
        assert_eq!(command(&words, 81, &hub)[2], "a/b");
    }

    #[test]
    fn of_the_output_the_last_lines_are_kept_and_escaped() {
        let heard = Mutex::default();
        let output: String = (0..20).map(|line| format!("line {line}\x1b[0m\n\n")).collect();
        hear_output(output.as_bytes(), &heard);
        let lines = heard.into_inner().unwrap().lines;
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines.back().unwrap(), "line 19\\u{1b}[0m");
    }

    #[test]
    fn a_guardian_that_says_nothing_was_killed() {
        let ended = |text: &str| {
            let heard = Mutex::default();
            hear_end(text.as_bytes(), &heard);
            heard.into_inner().unwrap().ended.unwrap()
        };
        assert_eq!(ended("exit code 3\n"), "exit code 3");
        assert_eq!(ended(""), "its guardian was killed");
    }

    #[test]
    fn a_free_port_can_be_listened_at() {
        let port = free_port("localhost").unwrap();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}

//! A small process between a worker and the server it has started, that ends the server when the worker is gone.
//!
//! A worker may be killed by the supervisor, or with it, at any time, and a server may ignore SIGTERM, or have started
//! processes of its own. So the worker starts a *guardian* in a process group of its own, which the supervisor's signals do
//! not reach, with a pipe as its standard input that only the worker holds open. The guardian starts the server in yet another
//! group. When the pipe closes, in whatever way the worker ended, it asks that group to end (SIGTERM), kills it a little
//! later (SIGKILL), and then kills whatever is left of the server's descendants: orphans become its own children, because
//! it is their *subreaper*. Should the guardian itself be killed, the kernel kills the server (`PR_SET_PDEATHSIG`, which the
//! server's process sets for itself before it becomes the server).
//!
//! On its standard output the guardian says in one line how the server ended, if it ended by itself.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

/// The hidden command of the binary that runs [`run`].
pub const COMMAND: &str = "guard";
/// Its flag for the process that becomes the server.
pub const LEASHED: &str = "--leashed";
/// Where the process that becomes the server finds who its guardian is.
const GUARDIAN_PID: &str = "PLACEBENCH_GUARDIAN_PID";

/// What a server is given to end on SIGTERM.
pub const GRACE: Duration = Duration::from_secs(2);
/// How long what was killed is waited for. The kernel may not let go of it.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// Pause between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(10);
/// How often is looked where the kernel cannot tell of an end by itself.
const LOOK: Duration = Duration::from_millis(100);

/// Guards the server that `command` starts, or, leashed, becomes it. Returns the process's exit code.
#[must_use]
pub fn run(command: &[OsString], leashed: bool) -> u8 {
    let result = if leashed {
        become_server(command)
    } else {
        guard(command)
    };
    match result {
        Ok(()) => 0,
        Err(why) => {
            drop(writeln!(std::io::stderr(), "placebench: {why}"));
            127
        }
    }
}

/// Ties this process to its guardian and turns it into the server.
fn become_server(command: &[OsString]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no server is named")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    // The guardian may have died before the line above.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    if std::env::var(GUARDIAN_PID).ok() != parent {
        return Err("the guardian is gone".to_owned());
    }
    let error = Command::new(program).args(arguments).env_remove(GUARDIAN_PID).exec();
    Err(format!("the server {} cannot be started: {error}", program.display()))
}

fn guard(command: &[OsString]) -> Result<(), String> {
    let say = |error: std::io::Error| format!("the server cannot be guarded: {error}");
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(|error| say(error.into()))?;
    let output = || std::io::stderr().as_fd().try_clone_to_owned();
    let mut server = Command::new(std::env::current_exe().map_err(say)?)
        .arg(COMMAND)
        .arg(LEASHED)
        .arg("--")
        .args(command)
        .env(GUARDIAN_PID, own.as_raw_nonzero().to_string())
        .stdin(Stdio::null())
        .stdout(output().map_err(say)?)
        .process_group(0)
        .spawn()
        .map_err(say)?;
    let group = Pid::from_child(&server);
    let ended = watch(&mut server, group);
    if let Some(status) = ended {
        // Whoever listened may be gone.
        drop(writeln!(std::io::stdout(), "{}", words(status)));
        drop(std::io::stdout().flush());
    }
    clear(&mut server, group);
    Ok(())
}

/// Blocks until the worker is gone or the server has ended, and returns how it ended.
fn watch(server: &mut Child, group: Pid) -> Option<ExitStatus> {
    let pidfd = rustix::process::pidfd_open(group, PidfdFlags::empty()).ok();
    let stdin = std::io::stdin();
    loop {
        if let Ok(Some(status)) = server.try_wait() {
            return Some(status);
        }
        let mut fds = vec![PollFd::new(&stdin, PollFlags::IN)];
        fds.extend(pidfd.as_ref().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: LOOK.as_nanos().try_into().unwrap_or(0),
        };
        let timeout = pidfd.is_none().then_some(&pause);
        if rustix::event::poll(&mut fds, timeout).is_ok() && fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            // Nothing is ever written to it: it has closed.
            return None;
        }
    }
}

/// Ends the server and all that it has started.
fn clear(server: &mut Child, group: Pid) {
    signal_group(group, Signal::TERM);
    // Whoever is stopped hears of it only when it goes on.
    signal_group(group, Signal::CONT);
    let asked = Instant::now();
    let is_left = |server: &mut Child| {
        let runs = !matches!(server.try_wait(), Ok(Some(_)));
        runs || rustix::process::test_kill_process_group(group).is_ok()
    };
    while is_left(server) && asked.elapsed() < GRACE {
        reap_orphans(group);
        std::thread::sleep(PAUSE);
    }
    let killed = Instant::now();
    loop {
        signal_group(group, Signal::KILL);
        let children = children();
        for child in &children {
            // It may have been reaped meanwhile; its number cannot be another's before that.
            let _gone = rustix::process::kill_process(*child, Signal::KILL);
        }
        let _ended = server.try_wait();
        reap_orphans(group);
        if (children.is_empty() && !is_left(server)) || killed.elapsed() > AFTER_KILL {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

fn signal_group(group: Pid, signal: Signal) {
    let _gone = rustix::process::kill_process_group(group, signal);
}

/// Takes note of the end of processes that the server left behind. The server itself is for its handle.
fn reap_orphans(server: Pid) {
    for child in children() {
        if child != server {
            let _running = rustix::process::waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// The children of this process, zombies among them.
fn children() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
    let numbers = entries.filter_map(|entry| number(entry.ok()?));
    numbers
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.is_ok_and(|stat| parent(&stat) == Some(own))
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// The parent in a line of `/proc/PID/stat`: `12 (name) S 1 …`. A name may hold anything, brackets too.
fn parent(stat: &str) -> Option<i32> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}

/// How a process ended.
fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_whatever_a_process_is_called() {
        assert_eq!(parent("12 (a) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12 (a) S 1) b) R 9 12"), Some(9));
        assert_eq!(parent("12 (a"), None);
    }

    #[test]
    fn an_end_has_words() {
        assert_eq!(words(ExitStatus::from_raw(3 << 8)), "exit code 3");
        assert_eq!(words(ExitStatus::from_raw(9)), "signal 9");
    }

    #[test]
    fn own_children_are_found() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(children().contains(&Pid::from_child(&child)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children().contains(&Pid::from_child(&child)));
    }
}

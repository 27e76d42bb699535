//! Process groups, waiting without reaping, pipes that can be let go of, file locks.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use placebench_core::protocol::StacksSignal;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use rustix::time::ClockId;

/// A child and the group it leads. As long as the child is not reaped its id cannot be given to anybody else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group(Pid);

/// The two rungs of the kill ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupSignal {
    Terminate,
    Kill,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// Its exit code, where no signal ended it.
    pub(crate) code: Option<i32>,
}

impl Ended {
    /// The end of a process that is still there.
    pub(crate) const UNKNOWN: Self = Self {
        signal: None,
        code: None,
    };

    /// Whether it ended as a process does that was asked to: of SIGTERM, SIGINT or SIGHUP, or with the exit code that a shell
    /// has for them.
    pub(crate) fn was_asked_to(&self) -> bool {
        let asked = [
            rustix::process::Signal::TERM,
            rustix::process::Signal::INT,
            rustix::process::Signal::HUP,
        ];
        asked.into_iter().any(|signal| {
            let number = signal.as_raw();
            self.signal == Some(number) || self.code == Some(128 + number)
        })
    }
}

/// Pause before a process that was stopped is waited for again.
const STOPPED_PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// Number of SIGKILL, as [`Ended`] reports it.
pub(crate) const SIGKILL: i32 = Signal::KILL.as_raw();

/// Starts the command as the leader of a new process group.
pub(crate) fn spawn_in_group(command: &mut Command) -> io::Result<(Child, Group)> {
    let child = command.process_group(0).spawn()?;
    let group = Group(Pid::from_child(&child));
    Ok((child, group))
}

impl Group {
    /// The group that a child leads, which is not reaped yet.
    pub(crate) fn of(leader: &Child) -> Self {
        Self(Pid::from_child(leader))
    }

    /// Whether the leader has ended. It is not reaped, so that the id of the group stays its own.
    pub(crate) fn has_ended(self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::Pid(self.0), options) {
            Ok(status) => Ok(status.is_some()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The leader's process id.
    pub(crate) fn id(self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }

    /// Signals the whole group. Whoever has gone already needs no signal, so failures mean nothing.
    pub(crate) fn signal(self, signal: GroupSignal) {
        let signal = match signal {
            GroupSignal::Terminate => Signal::TERM,
            GroupSignal::Kill => Signal::KILL,
        };
        if rustix::process::kill_process_group(self.0, signal).is_err() {
            // A worker that moved to a group of its own is still this child.
            let _gone: Result<(), Errno> = rustix::process::kill_process(self.0, signal);
        }
        if signal == Signal::TERM {
            // Whoever is stopped hears of it only when it goes on.
            let _gone: Result<(), Errno> = rustix::process::kill_process_group(self.0, Signal::CONT);
        }
    }

    /// Sends the leader alone the signal that it has said asks it for its stacks.
    pub(crate) fn ask_for_stacks(self, signal: StacksSignal) {
        let signal = match signal {
            StacksSignal::Usr1 => Signal::USR1,
            StacksSignal::Usr2 => Signal::USR2,
        };
        let _gone: Result<(), Errno> = rustix::process::kill_process(self.0, signal);
    }

    /// Blocks until the leader has ended, and leaves it unreaped, so that the group can still be signalled safely.
    pub(crate) fn wait_without_reaping(self) -> io::Result<Ended> {
        loop {
            match rustix::process::waitid(WaitId::Pid(self.0), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Ok(Some(status)) if status.exited() || status.killed() || status.dumped() => {
                    return Ok(Ended {
                        signal: status.terminating_signal(),
                        code: status.exit_status(),
                    });
                }
                // A process that is stopped to be looked at is reported although nobody asks for that.
                Ok(Some(_)) => std::thread::sleep(STOPPED_PAUSE),
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What reading a pipe came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PipeRead {
    /// That many bytes.
    Data(usize),
    /// Nobody holds the other end any more.
    Closed,
    /// Reading was called off, and nothing is waiting to be read.
    CalledOff,
}

/// A pipe whose reader can be sent home although somebody still holds the other end.
pub(crate) struct StoppablePipe {
    pipe: OwnedFd,
    stop: PipeReader,
}

impl StoppablePipe {
    /// Reads `pipe` until the writing end of `stop` is dropped.
    pub(crate) fn new(pipe: impl Into<OwnedFd>, stop: PipeReader) -> Self {
        Self {
            pipe: pipe.into(),
            stop,
        }
    }

    /// Whether reading has been called off.
    pub(crate) fn is_called_off(&self) -> bool {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// Blocks until there is something to read, the pipe is closed, or reading is called off. What was written before it
    /// was called off is still read.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<PipeRead> {
        loop {
            let mut fds = [
                PollFd::new(&self.pipe, PollFlags::IN),
                PollFd::new(&self.stop, PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if !fds[0].revents().is_empty() {
                return match rustix::io::read(&self.pipe, &mut *buffer) {
                    Ok(0) => Ok(PipeRead::Closed),
                    Ok(count) => Ok(PipeRead::Data(count)),
                    Err(Errno::INTR | Errno::AGAIN) => continue,
                    Err(error) => Err(error.into()),
                };
            }
            if !fds[1].revents().is_empty() {
                return Ok(PipeRead::CalledOff);
            }
        }
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds: the clock breadcrumbs are stamped with.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Locks a file for this process as long as it is open; false where another process holds it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Locks a file together with others that do so; false where another process holds it alone.
pub(crate) fn try_lock_shared(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The user whose rights this process has.
pub(crate) fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Lets go of a lock now. Closing the file is not enough: a process that is just being started by another thread may hold
/// a copy of it for a moment.
pub(crate) fn unlock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file.as_fd(), FlockOperation::Unlock)?)
}

/// The process that holds the lock of a file, where the system tells: of another container it does not.
pub(crate) fn lock_holder(file: &File) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder_of(&locks, file.metadata().ok()?.ino())
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF`, where 5678 is the file's inode.
fn holder_of(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE" | "READ", pid, file, ..] = words.as_slice() else {
            return None;
        };
        let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
        pid.parse().ok().filter(|pid| is_it && *pid > 0)
    })
}

/// Whether an open file is still the one at that path.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (open, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

/// Makes a symbolic link at `link` to `target`, which is relative to the link's folder.
pub(crate) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_reader_can_be_sent_home_and_reads_what_is_there_first() {
        let (data, mut data_end) = io::pipe().unwrap();
        let (stop, stop_end) = io::pipe().unwrap();
        let pipe = StoppablePipe::new(data, stop);
        data_end.write_all(b"last words").unwrap();
        drop(stop_end);
        let mut buffer = [0; 64];
        assert_eq!(pipe.read(&mut buffer).unwrap(), PipeRead::Data(10));
        assert_eq!(pipe.read(&mut buffer).unwrap(), PipeRead::CalledOff);
        drop(data_end);
        assert_eq!(pipe.read(&mut buffer).unwrap(), PipeRead::Closed);
    }

    #[test]
    fn a_process_stays_until_it_is_reaped() {
        let (mut child, group) = spawn_in_group(Command::new("sh").args(["-c", "exit 3"])).unwrap();
        for _ in 0..2 {
            assert_eq!(
                group.wait_without_reaping().unwrap(),
                Ended {
                    signal: None,
                    code: Some(3)
                }
            );
        }
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert!(group.wait_without_reaping().is_err());
    }

    #[test]
    fn the_whole_group_is_signalled() {
        let (mut child, group) = spawn_in_group(Command::new("sh").args(["-c", "sleep 1000 & wait"])).unwrap();
        group.signal(GroupSignal::Kill);
        assert_eq!(group.wait_without_reaping().unwrap().signal, Some(SIGKILL));
        child.wait().unwrap();
        // The group is empty once the grandchild is gone too.
        while rustix::process::test_kill_process_group(group.0).is_ok() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_lock_is_exclusive() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let second = file.reopen().unwrap();
        assert!(try_lock(file.as_file()).unwrap());
        assert!(!try_lock(&second).unwrap());
        if let Some(holder) = lock_holder(&second) {
            assert_eq!(holder, std::process::id());
        }
        // A copy shares the lock, and it is gone with the first of them that lets go.
        let _copy = file.as_file().try_clone().unwrap();
        unlock(file.as_file()).unwrap();
        assert!(try_lock(&second).unwrap());
    }

    #[test]
    fn the_holder_of_a_lock_is_read_from_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fd:00:5678 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 fd:00:56789 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 00:2f:5678 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 14 00:2f:5678 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 00:2f:99 0 EOF\nnonsense\n";
        assert_eq!(holder_of(locks, 5678), Some(13));
        assert_eq!(holder_of(locks, 99), None, "of another container");
        assert_eq!(holder_of(locks, 1), None);
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_is_not_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        assert!(is_at(&file, &path).unwrap());
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(is_at(&file, &path).is_err());
        std::fs::write(&path, "another").unwrap();
        assert!(!is_at(&file, &path).unwrap());
    }

    #[test]
    fn a_stopped_process_is_made_to_hear_that_it_shall_end() {
        let (mut child, group) = spawn_in_group(Command::new("sleep").arg("100000")).unwrap();
        rustix::process::kill_process(group.0, Signal::STOP).unwrap();
        group.signal(GroupSignal::Terminate);
        assert_eq!(
            group.wait_without_reaping().unwrap().signal,
            Some(Signal::TERM.as_raw())
        );
        child.wait().unwrap();
    }
}

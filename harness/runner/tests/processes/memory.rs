//! Memory: the supervisor's, however much a worker says, and the host's, when it runs out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::fake::fake_worker;

/// A supervisor of its own, so that its memory is its own.
fn supervise(mode: &str) -> Command {
    let mut command = Command::new(fake_worker());
    command.arg("supervise").arg(fake_worker()).arg(mode);
    command
}

/// What a supervisor said on its standard error: text, and the most memory it had, in KiB.
fn said(output: &Output) -> (String, u64) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().strip_suffix(" kB").unwrap().parse().unwrap();
    (text, peak)
}

/// Most memory a supervisor may need: a line of 16 MiB that is being read, the lines before it, and their events.
const MOST_KIB: u64 = 160 << 10;

#[test]
fn the_memory_of_the_supervisor_is_bounded() {
    if !Path::new("/proc/self/status").exists() {
        return;
    }
    for (mode, words) in [
        // 64 MiB each: as many short lines, one line, and what nobody reads.
        ("stdout_noise", "no event"),
        ("stdout_blob", "a line of more than 16777216 bytes"),
        ("stderr_noise", "completed"),
        // 360 MiB of events in order, faster than they are looked at.
        ("huge_lines", "exit code 0 without `done`"),
    ] {
        let output = supervise(mode).output().unwrap();
        assert!(output.status.success(), "{mode}: {output:?}");
        let (text, peak) = said(&output);
        assert!(text.contains(words), "{mode}: {text}");
        assert!(peak < MOST_KIB, "{mode}: {peak} KiB");
    }
}

/// A control group with a limit of memory, where this process may make one.
struct LimitedGroup(PathBuf);

impl LimitedGroup {
    fn new(bytes: u64) -> Result<Self, String> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let path_of = |controller: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (found, path) = (parts.next()?, parts.next()?);
                found.split(',').any(|name| name == controller).then(|| path.to_owned())
            })
        };
        // The memory controller is in the first version of control groups, or in the second.
        let (parent, limit) = match path_of("memory") {
            Some(path) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            None => (
                format!("/sys/fs/cgroup{}", path_of("").unwrap_or_default()),
                "memory.max",
            ),
        };
        let folder = Path::new(&parent).join(format!("placebench-test-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir(&folder).map_err(failed)?;
        let group = Self(folder.clone());
        std::fs::write(folder.join(limit), bytes.to_string()).map_err(failed)?;
        Ok(group)
    }

    /// The program in the group from its first instruction on.
    fn command(&self, program: &Command) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.0.join("cgroup.procs"))
            .arg(program.get_program())
            .args(program.get_args());
        command
    }
}

impl Drop for LimitedGroup {
    fn drop(&mut self) {
        // Its processes have ended; the kernel may need a moment to see that.
        for _ in 0..200 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_worker_the_kernel_kills_for_want_of_memory_is_told_from_one_somebody_else_killed() {
    let group = match LimitedGroup::new(48 << 20) {
        Ok(group) => group,
        Err(why) => {
            eprintln!("not tried: no control group can be made here ({why})");
            return;
        }
    };
    // The worker takes 64 MiB.
    let output = group.command(&supervise("allocate")).output().unwrap();
    let (text, _) = said(&output);
    assert!(text.contains("outcome: the kernel killed the worker in load"), "{text}");
    // The counter that has risen belongs to an end that is over.
    let output = group.command(&supervise("signal:9")).output().unwrap();
    let (text, _) = said(&output);
    assert!(
        text.contains("placebench did not send it, and the kernel has killed nobody"),
        "{text}"
    );
}

//! What was seen of a worker between its missed deadline and its end, and whether what it held came back afterwards.
//!
//! Names of threads, functions and files are the worker's own words: escape them wherever they are shown.

use serde::{Deserialize, Serialize};

use crate::protocol::MemoryFigure;
use crate::units::{Bytes, human_seconds};

/// Frames of a stack that [`Evidence::sentence`] names.
const NAMED_FRAMES: usize = 3;

/// A worker as it was when its deadline had passed, before it was stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Seconds from the deadline to the judgement.
    pub judged_after_s: f64,
    /// Seconds from the deadline until the worker had been looked at: from then on it was made to end.
    pub taken_after_s: f64,
    /// Threads of all processes of its group, the most telling first.
    pub threads: Vec<ThreadEvidence>,
    /// Threads that are not listed because there were too many.
    pub threads_left_out: u32,
    /// Resident memory of all its processes.
    pub rss_bytes: Option<Bytes>,
    /// What it had last said about the memory of each device.
    pub memory: Vec<MemoryFigure>,
    /// The GPUs at that moment, where the case may use one and the driver tells.
    pub gpus: Vec<GpuMoment>,
    /// What could not be seen, and why.
    pub notes: Vec<String>,
    /// Stacks as the worker's own language knows them, where it writes them on demand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<LanguageStacks>,
}

/// What a worker wrote when it was asked for the stacks of its threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanguageStacks {
    /// The rank, where the engine runs as several processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Its words, as it wrote them.
    pub text: String,
}

/// A thread of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadEvidence {
    /// Its process.
    pub pid: u32,
    /// Its own id; the same as `pid` for the first thread of a process.
    pub tid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
    /// The letter `ps` shows: `S` sleeping, `R` running, `D` in an uninterruptible wait, `t` traced.
    pub state: Option<char>,
    /// Function of the kernel it waits in.
    pub wchan: Option<String>,
    /// System call it is in: `futex`, or `system call 999` where the number has no name here.
    pub syscall: Option<String>,
    /// Its native stack, innermost frame first.
    pub frames: Vec<StackFrame>,
    /// Why there is no stack, or why it ends early.
    pub stack_note: Option<String>,
}

/// A frame of a native stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackFrame {
    /// Address in the process.
    pub address: u64,
    /// The file the code was mapped from.
    pub module: Option<String>,
    /// Address as the module's own file states it.
    pub module_address: Option<u64>,
    /// Name of the function.
    pub function: Option<String>,
    /// Source file, where the module has line tables.
    pub file: Option<String>,
    /// Line of that file, from 1.
    pub line: Option<u32>,
    /// The function was inlined into that of the next frame.
    pub inlined: bool,
}

/// A GPU at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuMoment {
    /// Its number in the driver's management library: by bus, whatever CUDA calls it.
    pub index: u32,
    /// Its model.
    pub name: String,
    /// Seconds since the driver told. A driver that hangs with its card tells nothing new.
    pub age_s: f64,
    /// Memory in use.
    pub memory_used_bytes: Option<Bytes>,
    /// Share of the time in which a kernel ran.
    pub utilisation_percent: Option<u32>,
    /// Power.
    pub power_w: Option<f64>,
}

/// Whether what a worker held came back once it had been stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// Seconds from the end of the attempt to the last look.
    pub after_s: f64,
    /// Processes of its group that were still there.
    pub processes_left: u32,
    /// Their resident memory.
    pub rss_left_bytes: Option<Bytes>,
    /// The GPUs, where the case may use one and the driver tells.
    pub gpus: Vec<GpuRecovery>,
}

/// Whether the memory of a GPU came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuRecovery {
    /// Its number in the driver's management library.
    pub index: u32,
    /// `GPU-…`, which stays with the hardware.
    pub uuid: String,
    /// Its model.
    pub name: String,
    /// Memory in use before the worker was started.
    pub before_bytes: Option<Bytes>,
    /// Memory in use at the last look; absent where the driver did not answer.
    pub after_bytes: Option<Bytes>,
    /// The memory came back, but for a tolerance.
    pub recovered: bool,
}

impl Recovery {
    /// Nothing is held any more, as far as can be seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.processes_left == 0 && self.gpus.iter().all(|gpu| gpu.recovered)
    }
}

impl StackFrame {
    /// The function, else the module and address, else the address.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.function, &self.module, self.module_address) {
            (Some(function), _, _) => function.clone(),
            (None, Some(module), Some(address)) => format!("{}+{address:#x}", base_name(module)),
            (None, Some(module), None) => base_name(module).to_owned(),
            (None, None, _) => format!("{:#x}", self.address),
        }
    }

    /// Code that every program waits through, so that its name explains no hang.
    #[must_use]
    pub fn is_runtime(&self) -> bool {
        let module = self.module.as_deref().map(base_name).unwrap_or_default();
        let of_system = ["libc.", "libc-", "ld-", "ld.", "libpthread", "[vdso]"];
        let of_language = ["std::", "core::", "alloc::", "<std::", "<core::", "<alloc::", "__rust"];
        of_system.iter().any(|start| module.starts_with(start))
            || (self.function.as_deref()).is_none_or(|name| of_language.iter().any(|start| name.starts_with(start)))
    }
}

impl ThreadEvidence {
    /// What it does, as far as the kernel tells: `sleeping in futex`.
    #[must_use]
    pub fn doing(&self) -> String {
        let state = match self.state {
            Some('R') => "running",
            Some('S') => "sleeping",
            Some('D') => "in an uninterruptible wait",
            Some('T') => "stopped",
            Some('t') => "traced",
            Some('Z' | 'X') => "dead",
            Some('I') => "idle",
            _ => "in an unknown state",
        };
        match (&self.syscall, &self.wchan) {
            (Some(syscall), _) => format!("{state} in {syscall}"),
            (None, Some(wchan)) => format!("{state} in the kernel's {wchan}"),
            (None, None) => state.to_owned(),
        }
    }
}

impl LanguageStacks {
    /// One line for a person: where the first thread of the process is, innermost call first. Of the lists of `faulthandler`
    /// that is the last one, or that of the current thread; of anything else the first line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let whose = self.rank.map(|rank| format!("rank {rank}: ")).unwrap_or_default();
        let heading = |line: &&str| line.ends_with("(most recent call first):");
        let lines: Vec<&str> = self.text.lines().collect();
        let current = lines.iter().rposition(|line| line.starts_with("Current thread"));
        let Some(start) = current.or_else(|| lines.iter().rposition(heading)) else {
            let first = lines.iter().find(|line| !line.trim().is_empty());
            return format!("{whose}{}", first.unwrap_or(&"").trim());
        };
        let frames = lines.iter().skip(start + 1).map_while(|line| python_frame(line));
        let named: Vec<String> = frames.take(NAMED_FRAMES).collect();
        format!("{whose}in {}", named.join(" < "))
    }
}

/// `  File "/a/worker.py", line 12 in step` as `step (worker.py:12)`.
fn python_frame(line: &str) -> Option<String> {
    let (file, rest) = line.trim().strip_prefix("File \"")?.split_once("\", line ")?;
    let (number, function) = rest.split_once(" in ")?;
    Some(format!("{function} ({}:{number})", base_name(file)))
}

impl Evidence {
    /// One line for a person: how soon, how many threads, and where the most telling one is.
    #[must_use]
    pub fn sentence(&self) -> String {
        let looked = format!(
            "{} seen {} after the deadline",
            match self.threads.len() + self.threads_left_out as usize {
                0 => "no thread".to_owned(),
                1 => "1 thread".to_owned(),
                many => format!("{many} threads"),
            },
            human_seconds(self.taken_after_s)
        );
        let Some(thread) = self.threads.first() else {
            return looked;
        };
        let telling = thread.frames.iter().filter(|frame| !frame.is_runtime());
        let places: Vec<String> = telling.take(NAMED_FRAMES).map(StackFrame::place).collect();
        let stack = match (places.as_slice(), &thread.stack_note) {
            ([], Some(note)) => format!(", no stack: {note}"),
            ([], None) => String::new(),
            (places, _) => format!(", in {}", places.join(" < ")),
        };
        format!("{looked}; thread `{}` {}{stack}", thread.name, thread.doing())
    }
}

/// The last part of a path.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, module: &str) -> StackFrame {
        StackFrame {
            address: 0x7000_1234,
            module: Some(module.into()),
            module_address: Some(0x1234),
            function: (!function.is_empty()).then(|| function.into()),
            ..StackFrame::default()
        }
    }

    #[test]
    fn the_sentence_names_what_explains_a_hang() {
        let evidence = Evidence {
            taken_after_s: 0.09,
            threads: vec![
                ThreadEvidence {
                    name: "worker".into(),
                    state: Some('S'),
                    syscall: Some("futex".into()),
                    frames: vec![
                        frame("syscall", "/usr/lib/libc.so.6"),
                        frame("std::thread::park", "/opt/worker"),
                        frame("engine::copy", "/opt/worker"),
                        frame("engine::step", "/opt/worker"),
                    ],
                    ..ThreadEvidence::default()
                },
                ThreadEvidence::default(),
            ],
            ..Evidence::default()
        };
        insta::assert_snapshot!(evidence.sentence(), @"2 threads seen 90.0 ms after the deadline; thread `worker` sleeping in futex, in engine::copy < engine::step");
    }

    #[test]
    fn without_a_stack_the_reason_is_said() {
        let evidence = Evidence {
            threads: vec![ThreadEvidence {
                name: "python".into(),
                state: Some('D'),
                wchan: Some("uvm_wait".into()),
                stack_note: Some("it did not stop within 50 ms".into()),
                ..ThreadEvidence::default()
            }],
            threads_left_out: 3,
            ..Evidence::default()
        };
        insta::assert_snapshot!(evidence.sentence(), @"4 threads seen 0 s after the deadline; thread `python` in an uninterruptible wait in the kernel's uvm_wait, no stack: it did not stop within 50 ms");
        assert_eq!(Evidence::default().sentence(), "no thread seen 0 s after the deadline");
    }

    #[test]
    fn stacks_of_python_name_the_calls_of_the_first_thread() {
        let said = |rank, text: &str| {
            LanguageStacks {
                rank,
                text: text.into(),
            }
            .sentence()
        };
        let two = "Thread 0x1 (most recent call first):\n  File \"/lib/threading.py\", line 9 in wait\n\n\
                   Current thread 0x2 (most recent call first):\n  File \"/a/worker.py\", line 12 in at\n  \
                   File \"/a/worker.py\", line 40 in hook\n";
        assert_eq!(said(Some(1), two), "rank 1: in at (worker.py:12) < hook (worker.py:40)");
        let no_current = two.replace("Current thread", "Thread");
        assert_eq!(said(None, &no_current), "in at (worker.py:12) < hook (worker.py:40)");
        assert_eq!(said(None, "\ngoroutine 1 [running]:\nmain\n"), "goroutine 1 [running]:");
        assert_eq!(said(None, ""), "");
    }

    #[test]
    fn a_frame_without_a_name_has_a_place() {
        assert_eq!(frame("", "/opt/lib/libx.so").place(), "libx.so+0x1234");
        assert_eq!(
            StackFrame {
                address: 16,
                ..StackFrame::default()
            }
            .place(),
            "0x10"
        );
    }

    #[test]
    fn one_card_that_keeps_its_memory_is_enough() {
        let card = |recovered| GpuRecovery {
            recovered,
            ..GpuRecovery::default()
        };
        let with = |gpus, processes_left| Recovery {
            gpus,
            processes_left,
            ..Recovery::default()
        };
        assert!(with(vec![card(true), card(true)], 0).is_complete());
        assert!(!with(vec![card(true), card(false)], 0).is_complete());
        assert!(!with(Vec::new(), 1).is_complete());
    }
}

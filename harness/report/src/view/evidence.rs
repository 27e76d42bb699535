//! What was seen of a worker that missed its deadline: its threads with their stacks, and what it held.

use placebench_core::evidence::{Evidence, GpuMoment, Recovery, StackFrame, ThreadEvidence};
use placebench_core::protocol::MemoryKind;
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::Fact;
use super::words::{count, line, list, message, number};

/// A worker that missed its deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceView {
    /// One line on it.
    pub sentence: String,
    /// Times and memory.
    pub facts: Vec<Fact>,
    /// What could not be seen.
    pub notes: Vec<String>,
    /// Its threads, the most telling first.
    pub threads: Vec<ThreadView>,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadView {
    /// Its name, ids and what it does.
    pub title: String,
    /// Its stack, innermost frame first.
    pub frames: Vec<FrameView>,
    /// Why there is no more of it; empty where it is whole.
    pub note: String,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrameView {
    /// Function, or module and address.
    pub place: String,
    /// File and line; empty where nobody knows.
    pub source: String,
    /// It was inlined into the next.
    pub inlined: bool,
    /// It belongs to what every program is built on.
    pub runtime: bool,
}

/// The words for it.
pub(super) fn view(evidence: &Evidence) -> EvidenceView {
    let mut notes: Vec<String> = evidence.notes.iter().map(|note| message(note)).collect();
    if evidence.threads_left_out > 0 {
        let more = count(evidence.threads_left_out as usize, "more thread", "more threads");
        notes.push(format!("{more} not looked at"));
    }
    EvidenceView {
        sentence: message(&evidence.sentence()),
        facts: facts(evidence),
        notes,
        threads: evidence.threads.iter().map(thread).collect(),
    }
}

fn facts(evidence: &Evidence) -> Vec<Fact> {
    let mut facts = vec![Fact::new(
        "judged",
        format!("{} after the deadline", human_seconds(evidence.judged_after_s)),
    )];
    if let Some(resident) = evidence.rss_bytes {
        facts.push(Fact::new("resident memory", resident.to_string()));
    }
    for figure in &evidence.memory {
        let kind = match figure.kind {
            MemoryKind::Weights => "weights",
            MemoryKind::KvCache => "cache",
            MemoryKind::Peak => "peak memory",
        };
        let name = format!("{kind} on {}", line(figure.device.as_str()));
        facts.push(Fact::new(&name, figure.bytes.to_string()));
    }
    facts.extend(evidence.gpus.iter().map(gpu));
    facts
}

fn gpu(gpu: &GpuMoment) -> Fact {
    let words = [
        gpu.memory_used_bytes.map(|bytes| format!("{bytes} in use")),
        gpu.utilisation_percent.map(|percent| format!("{percent} % busy")),
        gpu.power_w.map(|watts| format!("{} W", number(watts))),
        Some(format!("as told {} before", human_seconds(gpu.age_s))),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    Fact::new(&format!("GPU {}, {}", gpu.index, line(&gpu.name)), words.join(", "))
}

fn thread(thread: &ThreadEvidence) -> ThreadView {
    let id = if thread.pid == thread.tid {
        format!("process {}", thread.pid)
    } else {
        format!("thread {} of process {}", thread.tid, thread.pid)
    };
    ThreadView {
        title: format!("{}: {}, {id}", line(&thread.name), line(&thread.doing())),
        frames: thread.frames.iter().map(frame).collect(),
        note: thread.stack_note.as_deref().map(message).unwrap_or_default(),
    }
}

fn frame(frame: &StackFrame) -> FrameView {
    let source = frame.file.as_deref().map(|file| match frame.line {
        Some(number) => line(&format!("{file}:{number}")),
        None => line(file),
    });
    FrameView {
        place: line(&frame.place()),
        source: source.unwrap_or_default(),
        inlined: frame.inlined,
        runtime: frame.is_runtime(),
    }
}

/// What did not come back, as a sentence; nothing where all did.
pub(super) fn not_recovered(recovery: &Recovery) -> String {
    if recovery.is_complete() {
        return String::new();
    }
    let mut left: Vec<String> = recovery
        .gpus
        .iter()
        .filter(|gpu| !gpu.recovered)
        .map(|gpu| match gpu.after_bytes {
            Some(after) => {
                let before = gpu
                    .before_bytes
                    .map(|bytes| format!(" ({bytes} before)"))
                    .unwrap_or_default();
                format!("{after} in use on GPU {}, {}{before}", gpu.index, line(&gpu.name))
            }
            None => format!("GPU {}, {}, whose driver does not answer", gpu.index, line(&gpu.name)),
        })
        .collect();
    if recovery.processes_left > 0 {
        let held = recovery
            .rss_left_bytes
            .map(|bytes| format!(" with {bytes}"))
            .unwrap_or_default();
        left.push(count(recovery.processes_left as usize, "process", "processes") + &held);
    }
    format!(
        "Not back {} after the end: {}.",
        human_seconds(recovery.after_s),
        list(&left)
    )
}

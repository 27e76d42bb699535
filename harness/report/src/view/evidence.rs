//! What was seen of a worker that missed its deadline: its threads with their stacks, and what it held.

use placebench_core::evidence::{Evidence, GpuMoment, LanguageStacks, Recovery, StackFrame, ThreadEvidence};
use placebench_core::protocol::MemoryKind;
use placebench_core::units::human_seconds;
use serde::Serialize;

use super::Fact;
use super::words::{Lines, count, line, list, message, number, visible};

/// Characters of stacks that are shown; the record has them all.
const MOST_STACKS: usize = 16_000;

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
    /// What its own language says of them.
    pub stacks: Vec<LanguageStacksView>,
}

/// Stacks that a worker wrote itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LanguageStacksView {
    /// Whose they are.
    pub title: String,
    /// Its words, line by line.
    pub text: String,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThreadView {
    /// Its name, ids and what it does.
    pub title: String,
    /// Its stack, innermost frame first, in runs of frames that explain something and frames of what every program is built on.
    pub stack: Vec<StackRun>,
    /// Why there is no more of it; empty where it is whole.
    pub note: String,
}

/// Frames of a stack that follow each other and are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StackRun {
    /// They belong to what every program is built on, and are many enough to be folded.
    pub is_folded: bool,
    /// Number of the first, from 1.
    pub first: usize,
    /// Number of the last.
    pub last: usize,
    /// The frames.
    pub frames: Vec<FrameView>,
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
        threads: threads(&evidence.threads),
        stacks: evidence.stacks.iter().map(language_stacks).collect(),
    }
}

fn language_stacks(stacks: &LanguageStacks) -> LanguageStacksView {
    LanguageStacksView {
        title: match stacks.rank {
            Some(rank) => format!("Stacks as rank {rank} itself wrote them"),
            None => "Stacks as the worker itself wrote them".to_owned(),
        },
        text: visible(&stacks.text, Lines::Keep, MOST_STACKS),
    }
}

/// Threads that do the same in the same place are told of once: a pool has many that wait for work.
fn threads(all: &[ThreadEvidence]) -> Vec<ThreadView> {
    let mut alike: Vec<Vec<&ThreadEvidence>> = Vec::new();
    for thread in all {
        match alike
            .iter_mut()
            .find(|group| group.first().is_some_and(|first| is_alike(first, thread)))
        {
            Some(group) => group.push(thread),
            None => alike.push(vec![thread]),
        }
    }
    alike.iter().filter_map(|group| thread(group)).collect()
}

fn is_alike(one: &ThreadEvidence, other: &ThreadEvidence) -> bool {
    let places = |thread: &ThreadEvidence| thread.frames.iter().map(StackFrame::place).collect::<Vec<_>>();
    one.name == other.name
        && one.doing() == other.doing()
        && one.stack_note == other.stack_note
        && !one.frames.is_empty()
        && places(one) == places(other)
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

fn thread(alike: &[&ThreadEvidence]) -> Option<ThreadView> {
    let first = *alike.first()?;
    let ids = match alike {
        [only] if only.pid == only.tid => format!("process {}", only.pid),
        [only] => format!("thread {} of process {}", only.tid, only.pid),
        many => {
            const MOST: usize = 8;
            let mut ids: Vec<String> = many.iter().take(MOST).map(|thread| thread.tid.to_string()).collect();
            if many.len() > MOST {
                ids.push(count(many.len() - MOST, "other", "others"));
            }
            format!("{} alike: {}", count(many.len(), "thread", "threads"), list(&ids))
        }
    };
    Some(ThreadView {
        title: format!("{}: {}, {ids}", line(&first.name), line(&first.doing())),
        stack: runs(&first.frames),
        note: first.stack_note.as_deref().map(message).unwrap_or_default(),
    })
}

/// The frames of a stack, with long runs of the runtime's own as one.
fn runs(frames: &[StackFrame]) -> Vec<StackRun> {
    /// So few are quicker read than unfolded.
    const FEW: usize = 2;
    let mut runs: Vec<StackRun> = Vec::new();
    let mut next = 1;
    for group in frames.chunk_by(|a, b| a.is_runtime() == b.is_runtime()) {
        let run = StackRun {
            is_folded: group.len() > FEW && group.iter().all(StackFrame::is_runtime),
            first: next,
            last: next + group.len() - 1,
            frames: group.iter().map(frame).collect(),
        };
        next += group.len();
        match runs.last_mut() {
            Some(last) if !last.is_folded && !run.is_folded => {
                last.last = run.last;
                last.frames.extend(run.frames);
            }
            _ => runs.push(run),
        }
    }
    runs
}

fn frame(frame: &StackFrame) -> FrameView {
    let source = frame.file.as_deref().map(short_path).map(|file| match frame.line {
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

/// A source file from its crate on: where a registry or a toolchain keeps its sources explains nothing.
fn short_path(path: &str) -> &str {
    if let Some((_, inside)) = path.strip_prefix("/rustc/").and_then(|rest| rest.split_once('/')) {
        return inside;
    }
    let inside = path
        .split_once("/registry/src/")
        .and_then(|(_, rest)| rest.split_once('/'));
    inside.map_or(path, |(_, inside)| inside)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(function: &str) -> StackFrame {
        StackFrame {
            function: Some(function.into()),
            ..StackFrame::default()
        }
    }

    #[test]
    fn runs_of_the_runtime_are_folded_and_numbers_go_on() {
        let frames = [
            "std::a",
            "engine::copy",
            "std::b",
            "core::c",
            "std::d",
            "engine::main",
            "std::e",
        ]
        .map(of);
        let shape: Vec<(bool, usize, usize)> = runs(&frames)
            .iter()
            .map(|run| (run.is_folded, run.first, run.last))
            .collect();
        assert_eq!(shape, [(false, 1, 2), (true, 3, 5), (false, 6, 7)]);
        assert!(runs(&[]).is_empty());
    }

    #[test]
    fn threads_that_do_the_same_are_one() {
        let thread = |tid, function: &str| ThreadEvidence {
            pid: 1,
            tid,
            name: "pool".into(),
            state: Some('S'),
            frames: vec![of(function)],
            ..ThreadEvidence::default()
        };
        let views = threads(&[thread(1, "engine::copy"), thread(2, "wait"), thread(3, "wait")]);
        let titles: Vec<&str> = views.iter().map(|view| view.title.as_str()).collect();
        assert_eq!(
            titles,
            ["pool: sleeping, process 1", "pool: sleeping, 2 threads alike: 2 and 3"]
        );
        let without_stacks: Vec<ThreadEvidence> = [1, 2]
            .map(|tid| ThreadEvidence {
                frames: Vec::new(),
                ..thread(tid, "")
            })
            .into();
        assert_eq!(threads(&without_stacks).len(), 2, "nobody knows whether they are alike");
    }

    #[test]
    fn paths_begin_at_their_crate() {
        assert_eq!(
            short_path("/rustc/0123abc/library/std/src/thread.rs"),
            "library/std/src/thread.rs"
        );
        assert_eq!(
            short_path("/home/x/.cargo/registry/src/index.crates.io-1949/rayon-1.12/src/lib.rs"),
            "rayon-1.12/src/lib.rs"
        );
        assert_eq!(short_path("src/copy.rs"), "src/copy.rs");
    }
}

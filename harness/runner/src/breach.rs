//! How a worker can break the protocol, in words.

use placebench_core::protocol::{EventKind, PROTOCOL_VERSION};

use crate::pipes::MAX_LINE_BYTES;

/// Characters of an offending line that are quoted.
const QUOTED_CHARS: usize = 120;

/// How a worker broke the protocol. Quotations are escaped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("a line of more than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("its events end in the middle of a line: {0}")]
    HalfLine(String),
    #[error("a line that is not UTF-8: {0}")]
    NotUtf8(String),
    #[error("a line that is no event ({reason}): {line}")]
    NotAnEvent { line: String, reason: String },
    #[error("it speaks protocol {worker}, this program {PROTOCOL_VERSION}")]
    Version { worker: u32 },
    #[error("`{event}` before `hello`")]
    BeforeHello { event: &'static str },
    #[error("a second `hello`")]
    SecondHello,
    #[error("`{event}` after `{end}`")]
    AfterEnd { event: &'static str, end: &'static str },
    #[error("`{event}` at {t_s} s, after an event at {last_s} s: its clock goes back")]
    BackInTime { event: &'static str, t_s: f64, last_s: f64 },
    #[error("{what} of `{event}` can be no such figure: times are at least 0 and in order, all others finite")]
    NoFigure { event: &'static str, what: &'static str },
    #[error("more than {most} {what}")]
    TooMuch { what: &'static str, most: u64 },
    #[error("generation {generation} has {got} tokens where at most {asked} were asked for")]
    TokensAsked { generation: u32, got: u64, asked: u32 },
    #[error("`{event}` of generation {got} where {expected} was expected")]
    Order {
        event: &'static str,
        got: u32,
        expected: String,
    },
    #[error("token {got} of generation {generation} where token {expected} was expected")]
    TokenOrder { generation: u32, got: u32, expected: usize },
    #[error("a token of sequence {sequence} of generation {generation}, where {asked} were asked for, numbered from 0")]
    NoSequence {
        generation: u32,
        sequence: u32,
        asked: usize,
    },
    #[error("generation {generation} has {got} companions where {expected} were asked for")]
    Companions {
        generation: u32,
        got: usize,
        expected: usize,
    },
    #[error("generation {generation} was started with warmup = {started} and finished with warmup = {finished}")]
    WarmupChanged {
        generation: u32,
        started: bool,
        finished: bool,
    },
    #[error("generation {generation} has {ids} tokens and {stamps} stamps")]
    Stamps { generation: u32, ids: usize, stamps: usize },
    #[error("generation {generation}{} was reported with {finished} tokens, but {streamed} had been streamed", sequence_words(*sequence))]
    StreamLength {
        generation: u32,
        sequence: usize,
        streamed: usize,
        finished: usize,
    },
    #[error(
        "token {index} of generation {generation}{} was streamed as {streamed} and reported as {finished} in the end",
        sequence_words(*sequence)
    )]
    StreamedToken {
        generation: u32,
        sequence: usize,
        index: usize,
        streamed: u32,
        finished: u32,
    },
    #[error(
        "`done` after {warmups} of {warmups_asked} warm-ups and {measured} of {measured_asked} measured generations"
    )]
    Incomplete {
        warmups: u32,
        warmups_asked: u32,
        measured: u32,
        measured_asked: u32,
    },
    #[error("it ended with exit code 0 without `done`")]
    Silent,
}

/// Nothing for the case's own sequence, which most generations have alone.
fn sequence_words(sequence: usize) -> String {
    match sequence {
        0 => String::new(),
        companion => format!(" in sequence {companion}"),
    }
}

/// The name of an event on the wire.
pub(crate) fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Hello { .. } => "hello",
        EventKind::Phase { .. } => "phase",
        EventKind::Fetching { .. } => "fetching",
        EventKind::Devices { .. } => "devices",
        EventKind::Planned(_) => "planned",
        EventKind::Places { .. } => "places",
        EventKind::Loaded { .. } => "loaded",
        EventKind::Links { .. } => "links",
        EventKind::Probed(_) => "probed",
        EventKind::Started { .. } => "started",
        EventKind::Token { .. } => "token",
        EventKind::Audited(_) => "audited",
        EventKind::Finished { .. } => "finished",
        EventKind::Memory(_) => "memory",
        EventKind::Held { .. } => "held",
        EventKind::FaultsStruck { .. } => "faults_struck",
        EventKind::Done => "done",
        EventKind::Error { .. } => "error",
    }
}

/// The beginning of a line, safe to show anywhere.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    // A few times as many bytes as characters, so that a huge line is not decoded as a whole.
    let start = &bytes[..bytes.len().min(4 * QUOTED_CHARS)];
    let text = String::from_utf8_lossy(start);
    let shown: String = text.chars().take(QUOTED_CHARS).collect();
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_debug())
}

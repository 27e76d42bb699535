//! What a worker that did not complete had said last.

use serde::{Deserialize, Serialize};

/// One of the last events of a worker that did not complete. The words are made from what the worker said: escape them
/// wherever they are shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LastEvent {
    /// Its kind, as on the event pipe: `phase`, `token`.
    pub event: String,
    /// Seconds from the event to the deadline that expired, or to the end of the process where none did; negative for one that
    /// came after the deadline and changed nothing. Taken on the worker's clock, which is set by the event that was the
    /// quickest to come in.
    pub before_end_s: f64,
    /// What it said, in a few words: at most [`MOST_WORDS`](Self::MOST_WORDS) bytes.
    pub words: String,
}

impl LastEvent {
    /// Events that are kept of an attempt.
    pub const MOST: usize = 12;
    /// Bytes of the words of one.
    pub const MOST_WORDS: usize = 200;
}

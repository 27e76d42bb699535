//! What the fuzz targets of `harness/fuzz` reach inside this crate. Compiled for them alone.

use placebench_core::outcome::LastSeen;
use placebench_core::record::{Attempt, CaseSpec};

use crate::lines::{Line, LineSplitter};
use crate::outcome::{OomKills, of_breach, of_end};
use crate::pipes::MAX_LINE_BYTES;
use crate::run::request_of;
use crate::supervisor::attempt_without_process;
use crate::sys::Ended;
use crate::transcript::Transcript;

/// The case the events of [`attempt_of`] are of: one warm-up and two measured generations, each of so many sequences
/// beside the first.
#[must_use]
pub fn case(companions: usize) -> CaseSpec {
    let mut case = crate::fixture::case();
    case.measure.warmup = 1;
    case.measure.repetitions = 2;
    case.companion_inputs = vec![case.input.clone(); companions];
    case
}

/// The record of a worker that wrote these chunks to its event pipe and then ended in order.
#[must_use]
pub fn attempt_of<'a>(case: &CaseSpec, chunks: impl IntoIterator<Item = &'a [u8]>) -> Attempt {
    let mut splitter = LineSplitter::new(MAX_LINE_BYTES);
    let mut transcript = Transcript::new(&request_of(case, case.measure.repetitions));
    let mut breach = None;
    let mut take = |line: Line| {
        if breach.is_none() {
            breach = transcript.take(&line).err();
        }
    };
    for chunk in chunks {
        splitter.feed(chunk, &mut take);
    }
    if let Some(half) = splitter.finish() {
        take(half);
    }
    let in_order = Ended {
        signal: None,
        code: Some(0),
    };
    let outcome = match &breach {
        Some(breach) => of_breach(breach, transcript.phase()),
        None => of_end(&transcript, in_order, LastSeen::default(), OomKills::UNKNOWN),
    };
    transcript.into_record(attempt_without_process(case, 0, String::new(), outcome))
}

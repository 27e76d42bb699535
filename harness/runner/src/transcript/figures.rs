//! Whether the numbers of an event can be what they are said to be.
//!
//! JSON has no infinities, but `1e39` is one as a float of 32 bits, and a record that holds one could not be read again.

use placebench_core::protocol::{EventKind, Generation, WorkerEvent};

use crate::breach::{Breach, name};

/// The stamp of any event, and the figures of a token.
pub(super) fn check(event: &WorkerEvent) -> Result<(), Breach> {
    let of = |what: &'static str| Breach::NoFigure {
        event: name(&event.kind),
        what,
    };
    if !is_time(event.t_s) {
        return Err(of("t_s"));
    }
    match &event.kind {
        EventKind::Token {
            top2_gap: Some(gap), ..
        } if !gap.is_finite() => Err(of("top2_gap")),
        _ => Ok(()),
    }
}

/// A finished sequence: as many tokens as stamps and no more than were asked for, stamps that do not go back, and numbers
/// that are numbers.
pub(super) fn check_sequence(generation: u32, sequence: &Generation, asked: u32) -> Result<(), Breach> {
    let (ids, stamps) = (sequence.output_ids.len(), sequence.token_stamps_s.len());
    // An engine that is told texts only has stamps and no tokens.
    if ids != stamps && ids != 0 {
        return Err(Breach::Stamps {
            generation,
            ids,
            stamps,
        });
    }
    let made = sequence.output_count().max(stamps) as u64;
    if made > u64::from(asked) {
        return Err(Breach::TokensAsked {
            generation,
            got: made,
            asked,
        });
    }
    let logits = || sequence.top5.iter().flatten().map(|candidate| candidate.logit);
    let times = || sequence.stage_times_s.iter().flatten();
    let doubtful = [
        ("start_s", !is_time(sequence.start_s)),
        ("token_stamps_s", !sequence.token_stamps_s.iter().copied().all(is_time)),
        ("token_stamps_s", !sequence.token_stamps_s.is_sorted()),
        ("top2_gaps", !sequence.top2_gaps.iter().all(|gap| gap.is_finite())),
        ("top5", !logits().all(f32::is_finite)),
        ("stage_times_s", !times().copied().all(is_time)),
    ];
    match doubtful.into_iter().find(|(_, wrong)| *wrong) {
        Some((what, _)) => Err(Breach::NoFigure {
            event: "finished",
            what,
        }),
        None => Ok(()),
    }
}

/// Seconds since something that came before. A century is far enough for differences and sums to stay numbers.
fn is_time(seconds: f64) -> bool {
    (0.0..=3.2e9).contains(&seconds)
}

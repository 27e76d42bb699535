//! Runs with stamps of one's choice: pauses, hangs, long texts, many placements.

use placebench_core::judge::metrics;
use placebench_core::outcome::{Deadline, LastSeen, Outcome, Phase};
use placebench_core::record::{Attempt, CaseStatus, RunRecord, TextVerdict};

use super::{TEXT, attempt, completed, empty, ended, manual, realised, spec, verdict};

/// One prompt whose placements have these stamps, a generation each.
pub(crate) fn stamped(placements: &[(&str, Vec<Vec<f64>>)]) -> RunRecord {
    let mut record = empty();
    for (name, generations) in placements {
        let spec = spec("latency", "story", name, manual());
        completed(
            &mut record,
            spec.clone(),
            &realised(4, "sim:0", "sim:1"),
            TEXT,
            0.03,
            0.01,
        );
        record
            .attempts
            .retain(|attempt| attempt.case != spec.case || (attempt.attempt as usize) < generations.len());
        let own = record.attempts.iter_mut().filter(|attempt| attempt.case == spec.case);
        for (attempt, stamps) in own.zip(generations) {
            let generation = &mut attempt.generations[0];
            generation.output_ids = (0..stamps.len() as u32).collect();
            generation.token_stamps_s = stamps.clone();
        }
        let own: Vec<&Attempt> = record
            .attempts
            .iter()
            .filter(|attempt| attempt.case == spec.case)
            .collect();
        record.verdict.cases.last_mut().unwrap().metrics = metrics(&own);
    }
    record
}

/// Stamps of `tokens` tokens a gap apart, the first after three gaps.
pub(crate) fn even(tokens: usize, gap_s: f64) -> Vec<f64> {
    (0..tokens).map(|at| gap_s * (3.0 + at as f64)).collect()
}

/// The same, but with a pause before a token, counted from 1.
pub(crate) fn paused(tokens: usize, gap_s: f64, token: usize, seconds: f64) -> Vec<f64> {
    let late = |(at, stamp): (usize, f64)| {
        if at + 1 >= token {
            stamp + seconds - gap_s
        } else {
            stamp
        }
    };
    even(tokens, gap_s).into_iter().enumerate().map(late).collect()
}

/// A worker that was cut off after some tokens.
pub(crate) fn stalled(tokens: usize, text: TextVerdict) -> RunRecord {
    let mut record = stamped(&[("single", vec![even(24, 0.01); 3])]);
    let spec = spec("latency", "story", "auto", manual());
    let outcome = Outcome::Stalled {
        phase: Phase::Decode,
        deadline: Deadline::Token,
        limit_s: 2.0,
        last: LastSeen {
            phase: Some(Phase::Decode),
            token: Some(tokens as u32),
            place: None,
            for_s: Some(2.01),
            last_token_before_s: Some(0.04),
            ranks: Vec::new(),
        },
        tokens: tokens as u32,
    };
    let mut attempt = attempt(&spec.case, 0, outcome.clone());
    attempt.partial_tokens = even(tokens, 0.01).into_iter().zip((0..).map(Some)).collect();
    let verdict = verdict(&spec.case, CaseStatus::Failed, &outcome, text);
    ended(&mut record, spec, attempt, verdict);
    record
}

/// Thirty placements with names of sixty characters, all sorts of latencies among them.
pub(crate) fn thirty() -> RunRecord {
    let names: Vec<String> = (0..30)
        .map(|number| format!("placement number {number:02} with a name of about sixty characters!"))
        .collect();
    let stamps = |number: usize| match number % 5 {
        0 => vec![even(24, 0.01); 6],
        1 => vec![paused(24, 0.011, 3 + number % 20, 0.3); 2],
        2 => vec![even(1, 0.01); 6],
        3 => vec![even(1000, 0.012)],
        _ => vec![vec![0.0; 5]; 2],
    };
    let placements: Vec<(&str, Vec<Vec<f64>>)> = names
        .iter()
        .enumerate()
        .map(|(number, name)| (name.as_str(), stamps(number)))
        .collect();
    stamped(&placements)
}

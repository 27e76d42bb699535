//! Placements of one prompt of which nothing but the time per token differs.

use placebench_core::placement::StrategyName;
use placebench_core::record::{Attempt, RunRecord};

/// One prompt: placements by name, each with its time per token in units of the first one's, in so many attempts that scatter
/// by about 1 %. The times to the first token are all the same.
pub(crate) fn run(placements: &[(&str, f64)], attempts: u32) -> RunRecord {
    const SCATTER: [f64; 7] = [0.0, 0.9, -0.7, 0.4, -1.1, 0.2, 1.0];
    let mut record = super::empty();
    for (position, (name, factor)) in placements.iter().enumerate() {
        let mut spec = super::spec("scenario", "prompt", name, super::strategy(StrategyName::Auto));
        spec.expect.agreement = None;
        spec.measure.repetitions = attempts;
        let placed = super::realised(4, "sim:0", "sim:1");
        super::completed(&mut record, spec.clone(), &placed, super::TEXT, 0.04, 0.01);
        let first = record
            .attempts
            .iter()
            .find(|attempt| attempt.case == spec.case)
            .unwrap()
            .clone();
        record.attempts.retain(|attempt| attempt.case != spec.case);
        let own: Vec<Attempt> = (0..attempts)
            .map(|number| {
                let mut attempt = first.clone();
                attempt.attempt = number;
                let noise = |at: usize| 1.0 + SCATTER[(at + position * 3) % SCATTER.len()] / 100.0;
                let number = number as usize;
                let ttft = 0.04 * noise(number * 2);
                let stamps = &mut attempt.generations[0].token_stamps_s;
                for (token, stamp) in stamps.iter_mut().enumerate() {
                    *stamp = ttft + 0.01 * factor * noise(number) * token as f64;
                }
                attempt
            })
            .collect();
        let judged = record.verdict.cases.last_mut().unwrap();
        judged.metrics = super::metrics(&own, 1.0);
        judged.attempts = attempts;
        record.attempts.extend(own);
    }
    record
}

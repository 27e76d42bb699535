//! `[expect.limits]`: what a case took against the most it may take.

use super::neighbours;
use crate::device::DeviceId;
use crate::outcome::{Outcome, OutcomeKind};
use crate::planner::stages;
use crate::record::{Attempt, CaseMetrics, CaseSpec, Finding, Limits, TextVerdict};
use crate::statistics::median;
use crate::units::human_seconds;

/// Every figure that is above its limit, or is not there although it is limited. A case that was to end otherwise than
/// completed, or did not complete, has no figures to hold against anything.
pub(super) fn judge(
    case: &CaseSpec,
    attempts: &[&Attempt],
    metrics: &CaseMetrics,
    text: TextVerdict,
    findings: &mut Vec<Finding>,
) {
    let Some(limits) = &case.expect.limits else { return };
    let completed = attempts.iter().all(|attempt| attempt.outcome == Outcome::Completed);
    if case.expect.outcome != OutcomeKind::Completed || !completed {
        return;
    }
    let hint =
        || "see where the time or memory went in the report; if it is as it should be, raise expect.limits".to_owned();
    let finding = |message: String, hint: String| Finding {
        check: "limits".into(),
        message,
        hint: Some(hint),
    };
    findings.extend(
        memory(limits, metrics)
            .into_iter()
            .map(|message| finding(message, hint())),
    );
    // The time of a wrong text is no speed, neither a good nor a bad one.
    if text.timing_is_valid() {
        let messages = times(limits, metrics).into_iter().chain(hop(limits, attempts));
        findings.extend(messages.map(|message| finding(message, neighbours::hint(attempts).unwrap_or_else(hint))));
    }
}

fn times(limits: &Limits, metrics: &CaseMetrics) -> Vec<String> {
    let pairs = [
        ("load", "loading", limits.load_s, metrics.load_s),
        ("ttft", "the first token", limits.ttft_s, metrics.ttft_s),
        ("tpot", "a token after the first", limits.tpot_s, metrics.tpot_s),
        ("e2e", "a generation", limits.e2e_s, metrics.e2e_s),
    ];
    let broken = pairs.into_iter().filter_map(|(name, what, limit_s, measured_s)| {
        let limit_s = limit_s?;
        match measured_s {
            Some(measured_s) if measured_s <= limit_s => None,
            Some(measured_s) => Some(above(name, what, measured_s, limit_s)),
            None => Some(not_measured(name)),
        }
    });
    broken.collect()
}

fn above(name: &str, what: &str, measured_s: f64, limit_s: f64) -> String {
    format!(
        "{what} takes {}, at most {} are allowed ({name})",
        human_seconds(measured_s),
        human_seconds(limit_s)
    )
}

fn not_measured(name: &str) -> String {
    format!("{name} is limited but was not measured, so nothing can be said about it")
}

fn memory(limits: &Limits, metrics: &CaseMetrics) -> Vec<String> {
    let broken = limits.peak_memory_bytes.iter().filter_map(|limit| {
        let on = |device: &DeviceId| metrics.peak_memory_bytes.iter().find(|peak| peak.device == *device);
        if metrics.peak_memory_bytes.is_empty() {
            return Some(not_measured("peak_memory"));
        }
        // A device that was never touched has no figure.
        let peak = on(&limit.device).filter(|peak| peak.bytes > limit.bytes)?;
        Some(format!(
            "{} were in use on {} at once, at most {} are allowed (peak_memory)",
            peak.bytes, limit.device, limit.bytes
        ))
    });
    broken.collect()
}

/// The slowest hop of a decode step: the median over all steps of all generations, by hop.
fn hop(limits: &Limits, attempts: &[&Attempt]) -> Option<String> {
    let limit_s = limits.hop_s?;
    let ran = attempts.iter().map(|attempt| stages(&attempt.places));
    let has_hops = ran.into_iter().any(|stages| stages.len() > 1);
    let (name, slowest_s) = match slowest_hop(attempts) {
        Some(slowest) => slowest,
        None if has_hops => return Some(not_measured("hop")),
        None => return None,
    };
    (slowest_s > limit_s).then(|| above("hop", &format!("hop {name}"), slowest_s, limit_s))
}

fn slowest_hop(attempts: &[&Attempt]) -> Option<(String, f64)> {
    let stages = stages(&attempts.first()?.places);
    let width = (2 * stages.len()).checked_sub(1)?;
    let generations = attempts.iter().flat_map(|attempt| &attempt.generations);
    let decode_steps: Vec<&Vec<f64>> = generations
        .flat_map(|generation| generation.stage_times_s.iter().skip(1))
        .filter(|step| step.len() == width)
        .collect();
    let hops = stages.windows(2).enumerate().filter_map(|(index, pair)| {
        let seconds: Vec<f64> = decode_steps
            .iter()
            .filter_map(|step| step.get(2 * index + 1).copied())
            .collect();
        let (from, to) = (pair.first()?, pair.last()?);
        let name = format!(
            "{} -> {}, {} -> {},",
            from.modules.last()?,
            to.modules.first()?,
            from.device,
            to.device
        );
        Some((name, median(&seconds)?))
    });
    hops.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceBytes;
    use crate::judge::metrics;
    use crate::judge::testing::{attempt, case, generation};
    use crate::units::Bytes;

    fn found(limits: Limits, attempts: &[&Attempt], text: TextVerdict) -> Vec<String> {
        let mut limited = case();
        limited.expect.limits = Some(limits);
        let mut findings = Vec::new();
        judge(&limited, attempts, &metrics(attempts), text, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    fn hop_of(limit_s: f64) -> Limits {
        Limits {
            hop_s: Some(limit_s),
            ..Limits::default()
        }
    }

    /// Two stages; a prefill with a slow hop, then three tokens whose hop takes 10, 30 and 20 ms.
    fn ran() -> Attempt {
        let mut made = generation(&[1, 2, 3, 4]);
        made.token_stamps_s = vec![0.5, 0.6, 0.7, 0.8];
        made.stage_times_s = [0.3, 0.01, 0.03, 0.02].map(|hop| vec![0.01, hop, 0.01]).into();
        let mut ran = attempt();
        ran.generations = vec![made];
        ran
    }

    #[test]
    fn times_above_their_limit_are_named_and_others_are_not() {
        let limits = |ttft_s: f64| Limits {
            ttft_s: Some(ttft_s),
            tpot_s: Some(0.2),
            e2e_s: Some(1.0),
            ..Limits::default()
        };
        assert_eq!(found(limits(0.6), &[&ran()], TextVerdict::Exact), Vec::<String>::new());
        assert_eq!(
            found(limits(0.4), &[&ran()], TextVerdict::Exact),
            ["the first token takes 500 ms, at most 400 ms are allowed (ttft)"]
        );
        assert_eq!(
            found(limits(0.4), &[&ran()], TextVerdict::Diverged),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_slowest_hop_of_a_token_is_named_by_its_median() {
        assert_eq!(
            found(hop_of(0.021), &[&ran()], TextVerdict::Exact),
            Vec::<String>::new()
        );
        let messages = found(hop_of(0.015), &[&ran()], TextVerdict::Exact);
        insta::assert_snapshot!(messages.join("\n"), @"hop a -> b, sim:0 -> sim:1, takes 20.0 ms, at most 15.0 ms are allowed (hop)");
    }

    #[test]
    fn a_figure_that_is_not_there_is_no_pass_but_a_hop_that_cannot_be_there_is() {
        let mut silent = ran();
        silent.generations[0].stage_times_s.clear();
        assert!(found(hop_of(9.0), &[&silent], TextVerdict::Exact)[0].contains("was not measured"));
        for (_, device) in &mut silent.places {
            *device = DeviceId::cpu();
        }
        assert_eq!(found(hop_of(9.0), &[&silent], TextVerdict::Exact), Vec::<String>::new());
    }

    #[test]
    fn memory_is_limited_by_device() {
        let limit = |device: &str, bytes: u64| Limits {
            peak_memory_bytes: vec![DeviceBytes {
                device: DeviceId::new(device).unwrap(),
                bytes: Bytes(bytes),
            }],
            ..Limits::default()
        };
        assert_eq!(
            found(limit("sim:0", 2048), &[&ran()], TextVerdict::Exact),
            Vec::<String>::new()
        );
        assert_eq!(
            found(limit("sim:0", 1000), &[&ran()], TextVerdict::Garbage),
            ["2.00 KiB were in use on sim:0 at once, at most 1000 B are allowed (peak_memory)"]
        );
        assert_eq!(
            found(limit("cpu", 1), &[&ran()], TextVerdict::Exact),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_did_not_complete_is_for_the_outcome_to_say() {
        let mut stopped = ran();
        stopped.outcome = Outcome::Skipped {
            reason: "no".into(),
            hint: None,
        };
        assert_eq!(
            found(hop_of(0.001), &[&stopped], TextVerdict::Exact),
            Vec::<String>::new()
        );
    }
}

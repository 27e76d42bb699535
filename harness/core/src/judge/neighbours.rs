//! Attempts that did not have their devices to themselves: processes of others on a GPU, attempts of the same run beside them.

use super::audit;
use crate::record::{Attempt, CaseMetrics, GpuProcess};

/// What has to be known of the case's times.
pub(super) fn note(attempts: &[&Attempt]) -> Option<String> {
    let disturbed = attempts.iter().filter(|attempt| !attempt.foreign_processes.is_empty());
    let count = disturbed.count();
    if count == 0 {
        return None;
    }
    let processes = GpuProcess::distinct_words(attempts.iter().flat_map(|attempt| &attempt.foreign_processes));
    let times = match attempts.len() {
        1 => "the attempt".to_owned(),
        all => format!("{count} of {all} attempts"),
    };
    Some(format!(
        "other programs computed on the GPU during {times}: {}; its times are no basis for a verdict",
        processes.join(", ")
    ))
}

/// What to do about a time that is above its limit, where somebody else may be to blame.
pub(super) fn hint(attempts: &[&Attempt]) -> Option<String> {
    let processes = GpuProcess::distinct_words(attempts.iter().flat_map(|attempt| &attempt.foreign_processes));
    (!processes.is_empty()).then(|| {
        format!(
            "other programs computed on the GPU meanwhile ({}): end them, or wait for them, and run again before you look further",
            processes.join(", ")
        )
    })
}

/// True where no time of these attempts is a speed, because attempts of the same run ran beside one of them.
pub(super) fn is_untimed(attempts: &[&Attempt]) -> bool {
    attempts.iter().any(|attempt| attempt.concurrent > 0)
}

/// What was counted stays; what was timed beside others goes.
pub(super) fn without_times(metrics: CaseMetrics) -> CaseMetrics {
    CaseMetrics {
        samples: metrics.samples,
        ..audit::without_times(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::judge_case;
    use crate::judge::testing::{attempt, case, generation};
    use crate::record::{CaseVerdict, Limits};

    fn judged(attempts: &[Attempt], ttft_limit_s: Option<f64>) -> CaseVerdict {
        let mut case = case();
        case.expect.limits = ttft_limit_s.map(|ttft_s| Limits {
            ttft_s: Some(ttft_s),
            ..Limits::default()
        });
        let attempts: Vec<&Attempt> = attempts.iter().collect();
        judge_case(&case, &attempts, &Default::default(), None, None)
    }

    fn timed() -> Attempt {
        let mut made = generation(&[1, 2]);
        made.token_stamps_s = vec![0.5, 0.6];
        Attempt {
            generations: vec![made],
            ..attempt()
        }
    }

    fn disturbed() -> Attempt {
        Attempt {
            foreign_processes: vec![GpuProcess {
                gpu: 0,
                pid: 42,
                name: Some("train.py".into()),
                memory_bytes: None,
                was_there_before: true,
            }],
            ..timed()
        }
    }

    #[test]
    fn a_neighbour_on_the_gpu_is_told_and_changes_no_status() {
        let verdict = judged(&[timed(), disturbed()], None);
        let alone = judged(&[timed(), timed()], None);
        assert_eq!((verdict.status, &verdict.findings), (alone.status, &alone.findings));
        assert_eq!(
            verdict.notes,
            [
                "other programs computed on the GPU during 1 of 2 attempts: train.py (pid 42) on GPU 0; its times are no \
                 basis for a verdict"
            ]
        );
        assert!(judged(&[timed()], None).notes.is_empty());
    }

    #[test]
    fn a_time_above_its_limit_points_at_the_neighbour_first() {
        let hint = |attempt: Attempt| {
            let found = judged(&[attempt], Some(0.1)).findings;
            let limit = found.into_iter().find(|finding| finding.check == "limits");
            limit.unwrap().hint.unwrap()
        };
        assert!(hint(disturbed()).contains("train.py (pid 42) on GPU 0"));
        assert!(hint(timed()).contains("raise expect.limits"));
    }

    #[test]
    fn beside_others_nothing_is_timed_but_all_is_counted() {
        let alone = judged(&[timed()], None).metrics;
        assert!(alone.ttft_s.is_some() && alone.e2e_s.is_some());
        let beside = Attempt {
            concurrent: 3,
            ..timed()
        };
        let beside = judged(&[beside], None).metrics;
        assert_eq!((beside.ttft_s, beside.tpot_s, beside.e2e_s), (None, None, None));
        assert_eq!(
            (beside.samples, beside.output_tokens),
            (alone.samples, alone.output_tokens)
        );
        assert_eq!(beside.peak_memory_bytes, alone.peak_memory_bytes);
    }
}

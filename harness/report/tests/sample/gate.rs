//! A run that was held against a baseline: of everything that can come out, one case.

use placebench_core::compare::{CasePair, Comparison, GateSpec, Side, compare};
use placebench_core::device::DeviceId;
use placebench_core::exit_code::ExitCode;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::MemoryKind;
use placebench_core::record::{Attempt, Environment, GateBase, GateVerdict, RunRecord, TextVerdict};
use placebench_core::units::Bytes;

use super::{TEXT, completed, empty, realised, spec};

const CASES: [&str; 6] = ["same", "slower", "faster", "heavier", "another", "wrong"];

/// The run, with its answer.
pub(crate) fn sample() -> RunRecord {
    let mut record = empty();
    record.info.tool.profile = "release".into();
    for name in CASES {
        let map = DeviceMapRequest::Single(DeviceId::cpu());
        let case = spec("gate/changes", "story", name, map);
        completed(&mut record, case, &realised(4, "sim:0", "sim:1"), TEXT, 0.03, 0.01);
    }
    let more: Vec<Attempt> = record.attempts.iter().map(another_attempt).collect();
    record.attempts.extend(more);
    let base: Vec<Attempt> = record.attempts.iter().map(before).collect();
    let environment = record.info.environment.clone();
    let comparison = compared(&base, &record.attempts, &environment);
    record.verdict.exit = ExitCode::Passed;
    record.verdict.exit_code = 0;
    record.verdict = record.verdict.with_gate(GateVerdict {
        base: GateBase::Baseline {
            name: "main <b>|`x`".into(),
            file: "ci/baselines/main/0123.json".into(),
        },
        exit: comparison.exit,
        exit_code: comparison.exit.number(),
        notes: vec!["gate/changes/story/gone: the new run does not have it ::error::x".into()],
        comparison,
    });
    record
}

/// Six attempts are few for six cases.
fn another_attempt(attempt: &Attempt) -> Attempt {
    let mut attempt = attempt.clone();
    attempt.attempt += 6;
    scale(&mut attempt, 1.001);
    attempt
}

fn scale(attempt: &mut Attempt, factor: f64) {
    for generation in &mut attempt.generations {
        generation.token_stamps_s.iter_mut().for_each(|stamp| *stamp *= factor);
    }
}

/// What the baseline has of an attempt.
fn before(attempt: &Attempt) -> Attempt {
    let mut attempt = attempt.clone();
    let case = attempt.case.clone();
    // Equal figures on both sides would be those of one run.
    let wobble = 1.0 + f64::from(attempt.attempt % 3) * 1e-4;
    scale(&mut attempt, wobble);
    // A load takes as long as it takes, give or take a little.
    attempt.phases.iter_mut().for_each(|span| {
        span.end_s = span.end_s.map(|end| end * wobble);
    });
    match case.rsplit('/').next() {
        Some("slower") => scale(&mut attempt, 0.8),
        Some("faster") => scale(&mut attempt, 1.25),
        Some("heavier") => {
            let peaks = attempt
                .memory
                .iter_mut()
                .filter(|figure| figure.kind == MemoryKind::Peak);
            peaks.for_each(|figure| figure.bytes = Bytes(figure.bytes.0 / 4 * 3));
        }
        Some("another") => attempt.generations.iter_mut().for_each(|generation| {
            if let Some(id) = generation.output_ids.get_mut(3) {
                *id += 1;
            }
        }),
        _ => {}
    }
    attempt
}

fn compared(base: &[Attempt], new: &[Attempt], environment: &Environment) -> Comparison {
    let names: Vec<String> = CASES.iter().map(|name| format!("gate/changes/story/{name}")).collect();
    let of = |attempts: &'_ [Attempt], case: &str| -> Vec<Attempt> {
        attempts
            .iter()
            .filter(|attempt| attempt.case == case)
            .cloned()
            .collect()
    };
    let sides: Vec<(Vec<Attempt>, Vec<Attempt>)> = names.iter().map(|case| (of(base, case), of(new, case))).collect();
    let borrowed: Vec<(Vec<&Attempt>, Vec<&Attempt>)> = sides
        .iter()
        .map(|(base, new)| (base.iter().collect(), new.iter().collect()))
        .collect();
    let side = |case, attempts, text| Side {
        case,
        attempts,
        environment,
        text,
    };
    let pairs: Vec<CasePair<'_>> = names
        .iter()
        .zip(&borrowed)
        .map(|(case, (base, new))| CasePair {
            base: side(case, base, TextVerdict::Exact),
            new: side(
                case,
                new,
                match case.ends_with("wrong") {
                    true => TextVerdict::Garbage,
                    false => TextVerdict::Exact,
                },
            ),
            noise: None,
        })
        .collect();
    compare(&pairs, &GateSpec::versions())
}

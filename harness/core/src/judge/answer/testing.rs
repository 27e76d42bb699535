//! Cases for the tests, each written as a line:
//! `engine[@environment] placement [host] [f16] [fault] [to=DEVICE] [unkept=DEVICE] -> how it ended`, where a placement is `one:cuda:0`,
//! `two:cuda:0+cuda:1` (a map), `auto:cuda:0+cuda:1` (a planner's answer), `auto:?` (not known), `ranks` or `stated:WORDS`.
//! `unkept`: the modules came to be on that device instead.

use super::*;
use crate::device::DeviceId;
use crate::fault::{Fault, FaultKind, FaultPoint};
use crate::judge::testing as common;
use crate::outcome::{Deadline, FailureClass, LastSeen, Outcome, OutcomeKind, Phase};
use crate::placement::{DeviceMapRequest, RanksSpec, StrategyName, Transfer};
use crate::protocol::{Dtype, RealisedModule};
use crate::record::{CaseMetrics, Finding, TextVerdict, TransformersSpec};
use crate::units::Bytes;

/// A case with what became of it.
pub(super) struct Made {
    pub(super) spec: CaseSpec,
    pub(super) attempts: Vec<Attempt>,
    pub(super) verdict: CaseVerdict,
}

pub(super) fn made(line: &str) -> Made {
    let (what, ended) = line.split_once("->").unwrap();
    let mut words = what.split_whitespace();
    let (engine, environment) = match words.next().unwrap().split_once('@') {
        Some((engine, environment)) => (engine, Some(environment)),
        None => (what.split_whitespace().next().unwrap(), None),
    };
    let placed = words.next().unwrap();
    let flags: Vec<&str> = words.collect();
    let (device_map, devices) = placement(placed);
    let mut spec = common::case();
    let versions = match environment {
        Some("incident") => vec!["accelerate 1.4.0".to_owned(), "torch 2.6.0".to_owned()],
        Some(_) => vec!["accelerate 1.15.0".to_owned(), "torch 2.15.0+cpu".to_owned()],
        None => vec![format!("{engine} 1.0")],
    };
    let placement = what.split_whitespace().skip(1).collect::<Vec<_>>().join(",");
    spec.placement = format!(
        "{placement}[{engine}{}]",
        environment.map(|name| format!("@{name}")).unwrap_or_default()
    );
    spec.case = format!("s/p/{}", spec.placement);
    spec.engine = engine.to_owned();
    spec.request.device_map = device_map;
    let script = flags.iter().find_map(|flag| flag.strip_prefix("to="));
    if environment.is_some() || script.is_some() {
        spec.transformers = Some(TransformersSpec {
            environment: environment.map(ToOwned::to_owned),
            move_to: script.map(ToOwned::to_owned),
            ..TransformersSpec::default()
        });
    }
    if flags.contains(&"host") {
        spec.request.transfer = Transfer::Host;
    }
    spec.dtype = flags.contains(&"f16").then_some(Dtype::F16);
    if flags.contains(&"fault") {
        spec.faults = vec![Fault::new(FaultKind::Stall, FaultPoint::default())];
    }
    let unkept = flags.iter().find_map(|flag| flag.strip_prefix("unkept="));
    let devices = unkept.map_or(devices, |device| vec![DeviceId::new(device).unwrap()]);
    let realised = devices.iter().map(|device| RealisedModule {
        module: "a".into(),
        device: device.clone(),
        bytes: Bytes(1),
        rank: None,
    });
    let realised: Vec<RealisedModule> = realised.collect();
    let (outcomes, mut verdict) = ended_as(ended.trim(), &spec);
    verdict.expected_findings.extend(unkept.map(|device| Finding {
        check: "realised".into(),
        message: format!("the realised placement is not the planned one: b on {device} instead of disk"),
        hint: None,
    }));
    let attempt = |outcome: Outcome| Attempt {
        versions: versions.clone(),
        realised: (!realised.is_empty()).then(|| realised.clone()),
        ..Attempt::without_worker(&spec.case, 0, String::new(), outcome)
    };
    Made {
        attempts: outcomes.into_iter().map(attempt).collect(),
        verdict,
        spec,
    }
}

fn placement(word: &str) -> (DeviceMapRequest, Vec<DeviceId>) {
    let (kind, rest) = word.split_once(':').unwrap_or((word, ""));
    let devices: Vec<DeviceId> = rest.split('+').filter_map(|name| DeviceId::new(name).ok()).collect();
    let map = match kind {
        "one" => DeviceMapRequest::Single(devices[0].clone()),
        "two" => DeviceMapRequest::Manual(
            ["a", "b"]
                .map(ToOwned::to_owned)
                .into_iter()
                .zip(devices.clone())
                .collect(),
        ),
        "auto" => DeviceMapRequest::Strategy(StrategyName::Auto),
        "ranks" => DeviceMapRequest::Ranks(RanksSpec {
            launcher: Default::default(),
            processes: 2,
            backend: None,
            parallel: Default::default(),
        }),
        _ => DeviceMapRequest::Stated(rest.to_owned()),
    };
    (map, if kind == "stated" { Vec::new() } else { devices })
}

fn ended_as(word: &str, spec: &CaseSpec) -> (Vec<Outcome>, CaseVerdict) {
    let last = LastSeen {
        phase: Some(Phase::Decode),
        ..LastSeen::default()
    };
    let failed = |class| Outcome::Failed {
        failure: common::failure(class),
    };
    let outcome = match word.trim_start_matches("expected ") {
        "stall" | "at times" => Outcome::Stalled {
            phase: Phase::Decode,
            deadline: Deadline::Token,
            limit_s: 1.0,
            last,
            tokens: 1,
        },
        "timeout" => Outcome::Timeout { limit_s: 1.0, last },
        "oom" => Outcome::OutOfMemory {
            failure: common::failure(FailureClass::OutOfMemory),
        },
        "refused" => failed(FailureClass::Internal),
        "unsupported" => failed(FailureClass::Unsupported),
        "skipped" => Outcome::Skipped {
            reason: "no GPU here".into(),
            hint: Some("plug one in".into()),
        },
        _ => Outcome::Completed,
    };
    let text = match word.trim_start_matches("expected ") {
        "diverged" | "engines" => TextVerdict::Diverged,
        "garbage" => TextVerdict::Garbage,
        "near tie" => TextVerdict::NearTie,
        "unchecked" | "slow" => TextVerdict::Unchecked,
        _ if outcome.kind() == OutcomeKind::Completed => TextVerdict::Exact,
        _ => TextVerdict::Unchecked,
    };
    let check = match (word.trim_start_matches("expected "), outcome.kind()) {
        ("engines", _) => Some("engines"),
        ("slow", _) => Some("limits"),
        (_, kind) if kind != OutcomeKind::Completed => Some("outcome"),
        _ if text == TextVerdict::Diverged => Some("agreement"),
        _ => None,
    };
    let finding = check.map(|check| Finding {
        check: check.into(),
        message: String::new(),
        hint: None,
    });
    let is_expected = word.starts_with("expected");
    let verdict = CaseVerdict {
        case: spec.case.clone(),
        status: match (word, &finding) {
            ("skipped", _) => CaseStatus::Skipped,
            ("unsupported", _) => CaseStatus::Setup,
            (_, Some(_)) if !is_expected => CaseStatus::Failed,
            _ => CaseStatus::Passed,
        },
        outcome: outcome.kind(),
        sentence: outcome.sentence(),
        text,
        findings: finding.clone().filter(|_| !is_expected).into_iter().collect(),
        expected_findings: finding.filter(|_| is_expected).into_iter().collect(),
        metrics: CaseMetrics::default(),
        attempts: 1,
        decided_by_retry: 0,
        earlier_tries: Vec::new(),
        divergences: Vec::new(),
        notes: Vec::new(),
    };
    let mut outcomes = vec![outcome];
    if word == "at times" {
        outcomes.push(Outcome::Completed);
    }
    (outcomes, verdict)
}

pub(super) fn answer_of(made: &[Made]) -> Option<Answer> {
    let seen = made.iter().map(|made| {
        let attempts: Vec<&Attempt> = made.attempts.iter().collect();
        Seen::new(&made.spec, &attempts, Some(&made.verdict))
    });
    answer(seen.collect(), false)
}

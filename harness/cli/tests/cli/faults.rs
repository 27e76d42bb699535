//! The shipped suite of faults on the mock engine: every kind is detected, is named, and has a sound twin.

use std::collections::BTreeSet;

use placebench_core::fault::FaultKind;
use placebench_core::outcome::{Outcome, OutcomeKind};
use placebench_core::record::{Attempt, CaseSpec, CaseStatus, RunInfo, RunVerdict};

use crate::env::{TestEnv, of};

/// `scenarios/faults`, all of it on the mock engine, with a mock of the shipped model.
fn suite() -> TestEnv {
    let env = TestEnv::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/faults");
    for entry in folder.read_dir().unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let both = "engine = [\"candle\", \"mock\"]";
        let on_mock = text.replace(both, "engine = [\"mock\"]");
        env.write(
            &format!("suite/faults/{}", entry.file_name().to_str().unwrap()),
            &on_mock,
        );
    }
    let config = "{\"num_hidden_layers\": 8, \"tie_word_embeddings\": true}";
    env.write("suite/models/tiny/config.json", config);
    env
}

struct Judged {
    info: RunInfo,
    verdict: RunVerdict,
    attempts: Vec<Attempt>,
    markdown: String,
}

fn run() -> Judged {
    let env = suite();
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = std::fs::read_to_string(env.latest().join("run.json")).unwrap();
    Judged {
        info: serde_json::from_str(&text).unwrap(),
        verdict,
        attempts: env.attempts(),
        markdown: env.run(&["report", "--markdown"]).stdout,
    }
}

/// A case of the same scenario with the same map and no fault.
fn twin_of<'a>(case: &CaseSpec, info: &'a RunInfo) -> Option<&'a CaseSpec> {
    let is_twin = |other: &&CaseSpec| {
        other.scenario == case.scenario
            && other.request.device_map == case.request.device_map
            && other.faults.is_empty()
    };
    info.cases.iter().find(is_twin)
}

/// Its deadlines are shorter than the whole of it, and it must not be called stalled.
fn is_to_pass_unnoticed(case: &CaseSpec) -> bool {
    case.placement.starts_with("slow-but-moving")
}

#[test]
fn every_kind_of_fault_is_detected_named_and_absent_from_its_twin() {
    let run = run();
    let mut kinds = BTreeSet::new();
    let faulty = || run.info.cases.iter().filter(|case| !case.faults.is_empty());
    for case in faulty() {
        let judged = of(&run.verdict, &case.case);
        let twin = twin_of(case, &run.info).unwrap_or_else(|| panic!("{} has no sound twin", case.case));
        let sound = of(&run.verdict, &twin.case);
        assert_eq!(
            (sound.status, sound.outcome),
            (CaseStatus::Passed, OutcomeKind::Completed)
        );
        assert!(sound.expected_findings.is_empty(), "{}: {sound:?}", twin.case);
        let is_detected = judged.outcome != OutcomeKind::Completed || !judged.expected_findings.is_empty();
        assert_eq!(is_detected, !is_to_pass_unnoticed(case), "{}: {judged:?}", case.case);
        if is_detected {
            kinds.extend(case.faults.iter().map(|fault| fault.kind.as_str()));
        }
    }
    let all: BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, all);
    for attempt in run
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Completed)
    {
        let asked = faulty().find(|case| case.case == attempt.case);
        let struck = attempt.faults_struck.as_ref().map(Vec::len);
        assert_eq!(struck, asked.map(|case| case.faults.len()), "{}", attempt.case);
    }
    for case in faulty() {
        assert!(
            run.markdown.contains(&case.faults[0].kind.as_str().replace('_', "\\_")),
            "{}",
            run.markdown
        );
    }
    what_is_named(&run);
}

/// Where each detector points.
fn what_is_named(run: &Judged) {
    let said = |case: &str| {
        let (scenario, placement) = case.split_once('/').unwrap();
        let start = format!("faults/{scenario}/rabbit/{placement}");
        let is_it = |name: &str| name == start || name.strip_prefix(&start).is_some_and(|rest| rest.starts_with('['));
        let judged = run.verdict.cases.iter().find(|judged| is_it(&judged.case)).unwrap();
        let findings = judged.expected_findings.iter().map(|finding| finding.message.as_str());
        findings
            .chain([judged.sentence.as_str()])
            .collect::<Vec<_>>()
            .join("; ")
    };
    for (case, words) in [
        (
            "stalls/hop-at-a-token",
            "in decode, token 3, hop model.layers.3 -> model.layers.4, sim:0 -> sim:1",
        ),
        ("stalls/loading", "in load, module model.layers.5 on sim:1"),
        (
            "links/slow-link",
            "hop model.layers.3 -> model.layers.4, sim:0 -> sim:1, takes",
        ),
        (
            "wrong-copies/zero-copy",
            "diverges from placement `sound[engine=mock]` at token 3",
        ),
        ("text/nan", "the logits of step 2 are not finite"),
        ("text/garbage", "repeated 12 times"),
        ("memory/while-loading", "out of memory on sim:0 in load"),
        (
            "memory/at-a-token",
            "out of memory on sim:1 in decode at module model.layers.5",
        ),
        (
            "memory/leak",
            "what stays in use on sim:1 grows with each of 4 generations",
        ),
        (
            "memory/leak-of-a-size",
            "were in use on sim:1 at once, at most 8.00 MiB are allowed",
        ),
        ("placement/ignored-split", "model.layers.4 on sim:0 instead of sim:1"),
        ("placement/spill", "landed on cpu, where nothing may be"),
        (
            "placement/input-device",
            "without a transfer, by module model.embed_tokens on sim:0",
        ),
        (
            "placement/split-tie",
            "lm_head on sim:1 is tied to model.embed_tokens on sim:0",
        ),
        (
            "process/abort",
            "SIGABRT, it gave up); in decode, token 3, module model.layers.5",
        ),
        (
            "process/segfault",
            "SIGSEGV, a bad memory access); in load, module model.layers.5",
        ),
    ] {
        assert!(said(case).contains(words), "{case}: {}", said(case));
    }
}

#[test]
fn a_worker_that_can_be_terminated_is_not_what_ignores_sigterm() {
    let env = TestEnv::new();
    let stall = "[placement.a]\ndevice_map = \"sim:0\"\n[timeout]\nfirst_token = \"1s\"\n[[fault]]\nkind = \"stall\"\n";
    let killed = |killed: bool| format!("{stall}[expect]\noutcome = \"stalled\"\nkilled = {killed}\n");
    env.scenario("s", &killed(false));
    assert_eq!(env.run_suite().0.code, Some(0));
    env.scenario("s", &killed(true));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let finding = &of(&verdict, "s/p/a").findings[0];
    assert!(finding.message.contains("did not have to be killed"), "{finding:?}");
}

#[test]
fn a_limit_that_is_kept_passes_and_one_that_is_broken_names_its_figure() {
    let env = TestEnv::new();
    let limited = |limits: &str| format!("[placement.a]\ndevice_map = \"sim:0\"\n[expect.limits]\n{limits}\n");
    let generous = "load = \"60s\"\nttft = \"30s\"\ntpot = \"10s\"\ne2e = \"60s\"\nhop = \"1s\"\npeak_memory = { \"sim:0\" = \"1MiB\" }";
    env.scenario("s", &limited(generous));
    assert_eq!(env.run_suite().0.code, Some(0));
    env.scenario("s", &limited("ttft = \"1ns\"\npeak_memory = { \"sim:0\" = \"1KiB\" }"));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let messages: Vec<&str> = of(&verdict, "s/p/a")
        .findings
        .iter()
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(
        messages[0].contains("in use on sim:0 at once") && messages[1].contains("(ttft)"),
        "{messages:?}"
    );
}

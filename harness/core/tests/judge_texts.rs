//! The judgement on whole cases: each verdict on a text once where it must be given and once where it must not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::HashMap;
use std::path::PathBuf;

use placebench_core::judge::compare::NearTie;
use placebench_core::judge::{Approved, SnapshotState, judge};
use placebench_core::protocol::{Generation, TokenLogit};
use placebench_core::record::{Attempt, CaseSpec, CaseStatus, CaseVerdict, RunInfo, TextVerdict};
use placebench_core::scenario::expand::expand;
use placebench_core::scenario::file::DefaultsFile;
use placebench_core::scenario::parse::parse;
use placebench_core::scenario::resolve::{Origin, resolve};
use serde_json::json;

const CASES: &str = r#"
schema_version = 1
[model]
path = "m"
[[prompt]]
name = "p"
text = "Once"
[generation]
max_new_tokens = 4
[placement.single]
device_map = "cpu"
[placement.split]
device_map = "cpu"
"#;

const AGREE: &str = "[expect]\nagreement = { reference = \"single\" }\n";
const EXACT: &str = "[expect]\nagreement = { reference = \"single\", rule = \"exact\" }\n";

fn cases(rest: &str) -> Vec<CaseSpec> {
    let text = format!("{CASES}{rest}");
    let (file, problems) = parse(&text);
    assert_eq!(problems, []);
    let origin = Origin {
        name: "s".into(),
        file: "s.toml".into(),
        folder: PathBuf::from("/s"),
        suite: PathBuf::from("/s"),
    };
    let read = |_: &std::path::Path| Err("nothing to read".to_owned());
    let scenario = resolve(&file, &DefaultsFile::default(), &text, origin, &read).unwrap();
    expand(&scenario, "/s/snapshots")
}

/// Four tokens, each clearly likelier than any other but for what `step` says of the third.
fn made(ids: [u32; 4], third: &[(u32, f32)]) -> Generation {
    let clear = |id: u32| vec![TokenLogit { id, logit: 9.0 }, TokenLogit { id: 999, logit: 1.0 }];
    let mut top5: Vec<Vec<TokenLogit>> = ids.iter().map(|id| clear(*id)).collect();
    if !third.is_empty() {
        top5[2] = third.iter().map(|&(id, logit)| TokenLogit { id, logit }).collect();
    }
    serde_json::from_value(json!({
        "input_ids": [1], "output_ids": ids, "text": ids.map(|id| format!(" w{id}")).concat(), "finish_reason": "length",
        "start_s": 0.0, "token_stamps_s": [0.1, 0.2, 0.3, 0.4], "top2_gaps": [8.0, 8.0, 8.0, 8.0], "top5": top5,
        "hops": [], "transfer_bytes": [],
    }))
    .unwrap()
}

fn attempt(case: &CaseSpec, outcome: serde_json::Value, generations: Vec<Generation>) -> Attempt {
    serde_json::from_value(json!({
        "case": case.case, "attempt": 0, "started_at": "", "wall_s": 1.0, "outcome": outcome, "phases": [],
        "versions": [], "profile": null, "devices": [], "planned": null, "realised": null, "memory": [],
        "peak_rss_bytes": null, "generations": generations, "stderr_tail": "", "leaked_pipes": false,
    }))
    .unwrap()
}

/// Judges the two cases, which said that; the snapshot is that of the split one.
fn judged(
    cases: Vec<CaseSpec>,
    single: Vec<Generation>,
    split: Vec<Generation>,
    snapshot: Option<SnapshotState>,
) -> [CaseVerdict; 2] {
    let done = || json!({ "kind": "completed" });
    let attempts = [attempt(&cases[0], done(), single), attempt(&cases[1], done(), split)];
    judged_attempts(cases, &attempts, snapshot)
}

fn judged_attempts(cases: Vec<CaseSpec>, attempts: &[Attempt], snapshot: Option<SnapshotState>) -> [CaseVerdict; 2] {
    let snapshots: HashMap<String, SnapshotState> = snapshot
        .map(|state| (cases[1].case.clone(), state))
        .into_iter()
        .collect();
    let info: RunInfo = serde_json::from_value(json!({
        "schema_version": { "major": 1, "minor": 1 }, "run_id": "r", "started_at": "",
        "tool": { "name": "placebench", "version": "0", "profile": "debug" },
        "environment": { "platform": "", "kernel": "", "cpu": "", "cpu_count": 1, "memory_bytes": 0, "worker_env": [] },
        "arguments": [], "seed": 0, "cases": cases,
    }))
    .unwrap();
    judge(&info, attempts, &snapshots, true).cases.try_into().unwrap()
}

fn checks(verdict: &CaseVerdict) -> Vec<&str> {
    verdict.findings.iter().map(|finding| finding.check.as_str()).collect()
}

fn reference() -> Generation {
    made([5, 6, 7, 8], &[(7, 3.0), (70, 2.98)])
}

#[test]
fn placements_are_judged_by_what_the_reference_says() {
    let tie = || made([5, 6, 70, 80], &[(70, 3.01), (7, 3.0)]);
    let sure = || made([5, 6, 70, 80], &[(70, 9.0), (7, 3.0)]);
    for (rule, split, text, found) in [
        (AGREE, reference(), TextVerdict::Exact, &[][..]),
        (EXACT, reference(), TextVerdict::Exact, &[]),
        (AGREE, tie(), TextVerdict::NearTie, &[]),
        (EXACT, tie(), TextVerdict::NearTie, &["agreement"]),
        (AGREE, sure(), TextVerdict::Diverged, &["agreement"]),
        (EXACT, sure(), TextVerdict::Diverged, &["agreement"]),
    ] {
        let [single, split] = judged(cases(rule), vec![reference()], vec![split], None);
        assert_eq!((split.text, checks(&split)), (text, found.to_vec()), "{rule}");
        assert_eq!(split.divergences.len(), usize::from(text != TextVerdict::Exact));
        assert!(
            split
                .divergences
                .iter()
                .all(|parting| parting.index == 2 && parting.verdict == text)
        );
        assert_eq!(single.status, CaseStatus::Passed);
    }
}

fn approved(generation: &Generation, class: Option<&str>, near_ties: Option<Vec<NearTie>>) -> Option<SnapshotState> {
    Some(SnapshotState::Approved(Approved {
        text: generation.text.clone(),
        token_ids: generation.output_ids.clone(),
        near_ties,
        class: class.map(str::to_owned),
        own_class: "cuda-sm90".into(),
    }))
}

#[test]
fn a_snapshot_is_asked_for_identity_only_within_its_class_and_if_the_rule_says_so() {
    let tie = made([5, 6, 70, 80], &[(70, 3.01), (7, 3.0)]);
    let own = Some("cuda-sm90");
    for (rule, class, found) in [
        ("true", own, &[][..]),
        ("\"near_tie\"", own, &[]),
        ("\"exact\"", own, &["snapshot"]),
        ("\"exact\"", Some("cpu"), &[]),
        ("\"exact\"", None, &[]),
    ] {
        let rest = format!("[expect]\nsnapshot = {rule}\n");
        let state = approved(&reference(), class, None);
        let [_, split] = judged(cases(&rest), vec![reference()], vec![tie.clone()], state);
        assert_eq!(
            (split.text, checks(&split)),
            (TextVerdict::NearTie, found.to_vec()),
            "{rule} {class:?}"
        );
        assert_eq!(split.notes.len(), usize::from(class != own), "{:?}", split.notes);
        assert!(
            split
                .notes
                .iter()
                .all(|note| note.ends_with("there is none for cuda-sm90"))
        );
    }
}

#[test]
fn what_a_snapshot_was_sure_of_is_no_tie() {
    let tie = made([5, 6, 70, 80], &[(70, 3.01), (7, 3.0)]);
    let rest = "[expect]\nsnapshot = true\n";
    let near = NearTie {
        index: 2,
        id: 70,
        gap: 0.02,
    };
    for (ties, text) in [
        (None, TextVerdict::NearTie),
        (Some(vec![near]), TextVerdict::NearTie),
        (Some(vec![NearTie { gap: 0.3, ..near }]), TextVerdict::Diverged),
        (Some(Vec::new()), TextVerdict::Diverged),
    ] {
        let state = approved(&reference(), Some("cuda-sm90"), ties.clone());
        let [_, split] = judged(cases(rest), vec![reference()], vec![tie.clone()], state);
        assert_eq!(split.text, text, "{ties:?}");
    }
}

/// A loop on one token, of any length.
fn looping(id: u32, times: usize) -> Generation {
    let mut made = made([id; 4], &[]);
    made.output_ids = vec![id; times];
    made.top5 = vec![vec![TokenLogit { id, logit: 9.0 }]; times];
    made.text = "!".repeat(times);
    made.token_stamps_s = (0..times).map(|step| step as f64).collect();
    made
}

#[test]
fn a_loop_is_garbage_unless_the_model_itself_loops() {
    let long = |rest: &str| {
        cases(rest).into_iter().map(|mut case| {
            case.generation.max_new_tokens = 20;
            case
        })
    };
    let healthy = || {
        let mut made = looping(5, 20);
        made.output_ids = (100..120).collect();
        made
    };
    let [single, split] = judged(long(AGREE).collect(), vec![healthy()], vec![looping(9, 20)], None);
    assert_eq!(split.text, TextVerdict::Garbage);
    assert_eq!(checks(&split), ["garbage", "agreement"]);
    assert_eq!(single.text, TextVerdict::Unchecked);
    let [single, split] = judged(long(AGREE).collect(), vec![looping(9, 20)], vec![looping(9, 20)], None);
    assert_eq!(
        (split.text, checks(&split)),
        (TextVerdict::Exact, vec![]),
        "it says what the reference says"
    );
    assert_eq!(checks(&single), ["garbage"], "nobody vouches for the reference");
    let state = approved(&looping(9, 20), Some("cuda-sm90"), None);
    let snapshot = "[expect]\nsnapshot = true\n";
    let [_, split] = judged(long(snapshot).collect(), vec![healthy()], vec![looping(9, 20)], state);
    assert_eq!(
        (split.text, checks(&split)),
        (TextVerdict::Exact, vec![]),
        "a person approved it"
    );
}

#[test]
fn logits_that_are_not_finite_are_garbage() {
    let failed = |class: &str| {
        let failure = json!({ "class": class, "message": "step 0: 3 of 9 logits are not finite", "phase": "prefill" });
        json!({ "kind": "failed", "failure": failure })
    };
    for (class, text) in [
        ("non_finite", TextVerdict::Garbage),
        ("internal", TextVerdict::Unchecked),
    ] {
        let cases = cases("");
        let attempts = [
            attempt(&cases[0], json!({ "kind": "completed" }), vec![reference()]),
            attempt(&cases[1], failed(class), Vec::new()),
        ];
        let [_, split] = judged_attempts(cases, &attempts, None);
        assert_eq!((split.text, checks(&split)), (text, vec!["outcome"]), "{class}");
    }
}

#[test]
fn a_tie_that_falls_either_way_is_not_deterministic_and_no_other_text() {
    let tie = made([5, 6, 70, 80], &[(70, 3.01), (7, 3.0)]);
    let [_, split] = judged(cases(""), vec![reference()], vec![reference(), tie, reference()], None);
    assert_eq!((split.text, checks(&split)), (TextVerdict::NearTie, vec!["repeatable"]));
    assert!(split.text.timing_is_valid());
    let sure = made([5, 6, 70, 80], &[(70, 9.0), (7, 3.0)]);
    let [_, split] = judged(cases(""), vec![reference()], vec![reference(), sure], None);
    assert_eq!(
        (split.text, checks(&split)),
        (TextVerdict::Diverged, vec!["repeatable"])
    );
    let [_, split] = judged(cases(""), vec![reference()], vec![reference(), reference()], None);
    assert_eq!((split.text, checks(&split)), (TextVerdict::Unchecked, vec![]));
}

#[test]
fn sampling_with_a_seed_is_held_to_the_same() {
    let mut cases = cases("");
    for case in &mut cases {
        let drawn = json!({ "temperature": 1.0, "top_k": null, "top_p": null, "seed": 7 });
        case.generation.sampling = serde_json::from_value(drawn).unwrap();
    }
    let other = made([5, 6, 70, 80], &[(70, 9.0), (7, 3.0)]);
    let [_, split] = judged(cases, vec![reference()], vec![reference(), other], None);
    assert_eq!(checks(&split), ["repeatable"]);
    assert!(split.findings[0].hint.as_ref().unwrap().contains("seeded"));
}

#[test]
fn an_output_that_does_not_add_up_is_found() {
    let mut short = reference();
    short.output_ids.pop();
    short.top5.pop();
    let [single, split] = judged(cases(""), vec![reference()], vec![reference(), short], None);
    assert_eq!(checks(&split), ["output", "repeatable"]);
    assert!(
        split.findings[0].message.contains("generation 1 does not add up"),
        "{:?}",
        split.findings
    );
    assert_eq!(checks(&single), Vec::<&str>::new());
}

#[test]
fn the_prompt_is_probed_where_texts_are_compared_unless_somebody_says_otherwise() {
    let probed = |rest: &str| -> Vec<bool> { cases(rest).iter().map(|case| case.measure.probe).collect() };
    let own = "[placement.split.expect]\nagreement = { reference = \"single\" }\n";
    assert_eq!(probed(""), [false, false]);
    assert_eq!(probed(AGREE), [true, true]);
    assert_eq!(probed(own), [true, true], "the reference has to be probed too");
    assert_eq!(probed(&format!("{AGREE}[measure]\nprobe = false\n")), [false, false]);
    assert_eq!(probed("[measure]\nprobe = true\n"), [true, true]);
}

#[test]
fn a_snapshot_is_compared_by_a_rule() {
    use placebench_core::record::AgreementRule;
    for (value, expected) in [
        ("true", Some(AgreementRule::NearTie)),
        ("\"near_tie\"", Some(AgreementRule::NearTie)),
        ("\"exact\"", Some(AgreementRule::Exact)),
        ("false", None),
    ] {
        let expect = &cases(&format!("[expect]\nsnapshot = {value}\n"))[1].expect;
        assert_eq!(expect.snapshot.then_some(expect.snapshot_rule), expected, "{value}");
    }
    let (_, problems) = parse(&format!("{CASES}[expect]\nsnapshot = \"exactly\"\n"));
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert!(
        problem.message.contains("exactly") || problem.hint.is_some(),
        "{problem:?}"
    );
}

#[test]
fn a_probe_is_judged_before_the_text() {
    let logits = |top: f32, non_finite: u32| {
        json!({
            "input_tokens": 1, "precision": "f32", "logits": 100, "non_finite": non_finite, "logits_l2": 50.0,
            "top5": [{ "id": 5, "logit": top }, { "id": 6, "logit": 1.0 }],
        })
    };
    for (single, split, text, found) in [
        (logits(26.0, 0), logits(26.001, 0), TextVerdict::Exact, &[][..]),
        (logits(26.0, 0), logits(1.6, 0), TextVerdict::Diverged, &["probe"]),
        (logits(26.0, 0), logits(26.0, 7), TextVerdict::Garbage, &["probe"]),
        (logits(26.0, 7), logits(1.6, 0), TextVerdict::Exact, &[]),
    ] {
        let cases = cases(AGREE);
        let done = || json!({ "kind": "completed" });
        let with = |case: &CaseSpec, probe: serde_json::Value| Attempt {
            probe: Some(serde_json::from_value(probe).unwrap()),
            ..attempt(case, done(), vec![reference()])
        };
        let attempts = [with(&cases[0], single.clone()), with(&cases[1], split)];
        let [first, second] = judged_attempts(cases, &attempts, None);
        assert_eq!((second.text, checks(&second)), (text, found.to_vec()));
        let bent = single["non_finite"] != 0;
        assert_eq!(
            checks(&first),
            if bent { vec!["probe"] } else { vec![] },
            "a reference is looked at as well"
        );
    }
}

//! Several engines: which cases there are, what each is held to, and the judgement on the texts of two engines.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::HashMap;
use std::path::PathBuf;

use placebench_core::judge::judge;
use placebench_core::outcome::{FailureClass, Outcome, Phase, WorkerFailure};
use placebench_core::protocol::{Generation, TokenLogit};
use placebench_core::record::{
    AgreementRule, Attempt, CaseSpec, CaseStatus, CaseVerdict, ComparedBy, ComparedWith, EnginesSpec, RunInfo,
    TextVerdict,
};
use placebench_core::scenario::Scenario;
use placebench_core::scenario::expand::expand;
use placebench_core::scenario::parse::{parse, parse_defaults};
use placebench_core::scenario::resolve::{Origin, resolve};
use placebench_core::selection::{groups_of, is_compared_with};
use serde_json::json;

const HEAD: &str = "schema_version = 1\n";
const BODY: &str = r#"
[model]
path = "m"
[[prompt]]
name = "p"
text = "Once"
[generation]
max_new_tokens = 4
"#;
const SINGLE: &str = "[placement.single]\ndevice_map = \"cpu\"\n";

fn read(top: &str, rest: &str, defaults: &str) -> Result<Scenario, Vec<String>> {
    let text = format!("{HEAD}{top}{BODY}{rest}");
    let (file, problems) = parse(&text);
    assert_eq!(problems, []);
    let (defaults, problems) = parse_defaults(defaults);
    assert_eq!(problems, []);
    let origin = Origin {
        name: "s".into(),
        file: "s.toml".into(),
        folder: PathBuf::from("/s"),
        suite: PathBuf::from("/s"),
    };
    let nothing = |_: &std::path::Path| Err("nothing to read".to_owned());
    resolve(&file, &defaults, &text, origin, &nothing)
        .map_err(|problems| problems.into_iter().map(|problem| problem.message).collect())
}

fn cases(top: &str, rest: &str) -> Vec<CaseSpec> {
    expand(&read(top, rest, "").unwrap(), "/s/snapshots")
}

fn problems(top: &str, rest: &str) -> Vec<String> {
    read(top, rest, "").err().unwrap_or_default()
}

const TWO: &str = "engines = [\"mock\", \"candle\"]\n";

/// What a case is held to: its name, the other engine, the reference of its own.
type Held<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

fn held(cases: &[CaseSpec]) -> Vec<Held<'_>> {
    let mut all = Vec::new();
    for CaseSpec { placement, expect, .. } in cases {
        let engines = expect.engines.as_ref().map(|engines| engines.reference.as_str());
        let agreement = expect.agreement.as_ref().map(|agreement| agreement.reference.as_str());
        all.push((placement.as_str(), engines, agreement));
    }
    all
}

#[test]
fn every_engine_is_held_to_the_first() {
    let rest = format!(
        "{SINGLE}[placement.split]\ndevice_map = \"cpu\"\n[expect]\nagreement = {{ reference = \"single\" }}\n"
    );
    let both = cases(TWO, &rest);
    let (mock, candle) = (Some("single[engine=mock]"), Some("single[engine=candle]"));
    assert_eq!(
        held(&both),
        [
            ("single[engine=mock]", None, mock),
            ("split[engine=mock]", None, mock),
            ("single[engine=candle]", Some("single[engine=mock]"), candle),
            ("split[engine=candle]", Some("split[engine=mock]"), candle),
        ]
    );
    assert_eq!(both[2].case, "s/p/single[engine=candle]");
    let spec = both[3].expect.engines.clone().unwrap();
    assert_eq!(
        (spec.engine.as_str(), spec.rule, spec.max_gap),
        ("mock", AgreementRule::NearTie, 0.05)
    );
    // They are run together, and a selection takes along what it is compared with.
    assert_eq!(groups_of(&both), ["s/p"; 4]);
    assert!(is_compared_with(&both[3], &both[1]) && is_compared_with(&both[3], &both[2]));
    assert!(!is_compared_with(&both[1], &both[3]) && !is_compared_with(&both[3], &both[0]));
    // An axis of engines makes cases, and compares nothing; nor does one engine.
    for top in ["", "engine = \"mock\"\n", "engines = [\"mock\"]\n"] {
        assert!(
            cases(top, &rest).iter().all(|case| case.expect.engines.is_none()),
            "{top}"
        );
    }
    let axis = format!("{rest}[matrix]\nengine = [\"mock\", \"candle\"]\n");
    assert!(cases("", &axis).iter().all(|case| case.expect.engines.is_none()));
}

#[test]
fn other_axes_are_held_point_by_point() {
    let rest = format!("{SINGLE}[matrix]\ndtype = [\"f32\", \"f16\"]\n");
    let references: Vec<Option<String>> = cases(TWO, &rest)
        .into_iter()
        .map(|case| case.expect.engines.map(|engines| engines.reference))
        .collect();
    let of = |dtype: &str| Some(format!("single[dtype={dtype},engine=mock]"));
    assert_eq!(references, [None, of("f32"), None, of("f16")]);
}

#[test]
fn a_placement_of_one_engine_alone_is_held_to_the_nearest_of_the_other() {
    let own =
        |name: &str, engine: &str| format!("[placement.{name}]\ndevice_map = \"cpu\"\nengines = [\"{engine}\"]\n");
    let placements = own("first", "mock") + &own("base", "mock") + &own("served", "candle");
    let agree = "[expect]\nagreement = { reference = \"base\", max_gap = 0.2 }\n";
    let [_, base, served] = cases(TWO, &(placements.clone() + agree)).try_into().unwrap();
    assert_eq!(base.expect.agreement.unwrap().reference, "base[engine=mock]");
    let engines = served.expect.engines.unwrap();
    assert_eq!(
        (engines.reference.as_str(), engines.max_gap),
        ("base[engine=mock]", 0.2)
    );
    assert_eq!(served.expect.agreement, None, "its engine has no such placement");
    assert!(!served.measure.probe && base.measure.probe);
    let served = cases(TWO, &placements).pop().unwrap();
    assert_eq!(served.expect.engines.unwrap().reference, "first[engine=mock]");
}

#[test]
fn how_strictly_is_said_by_the_scenario_or_the_placement() {
    let rule = |rest: &str| {
        let cases = cases(TWO, &format!("{SINGLE}{rest}"));
        cases[1].expect.engines.clone().map(|engines| engines.rule)
    };
    let own = |value: &str| format!("[placement.single.expect]\nengines = {value}\n");
    let general = |value: &str| format!("[expect]\nengines = {value}\n");
    assert_eq!(rule(""), Some(AgreementRule::NearTie));
    assert_eq!(rule(&general("\"exact\"")), Some(AgreementRule::Exact));
    assert_eq!(rule(&general("false")), None);
    assert_eq!(rule(&(own("true") + &general("false"))), Some(AgreementRule::NearTie));
    assert_eq!(rule(&(own("false") + &general("\"exact\""))), None);
}

#[test]
fn engines_and_placements_that_do_not_fit_are_refused() {
    let for_engine = |engine: &str| format!("{SINGLE}engines = [\"{engine}\"]\n");
    assert_eq!(problems(TWO, SINGLE), [""; 0]);
    assert_eq!(
        problems(TWO, &for_engine("mock")),
        ["no placement is for engine `candle`, which has nothing to run then"]
    );
    assert_eq!(
        problems(
            TWO,
            &(SINGLE.to_owned() + "[placement.b]\ndevice_map = \"cpu\"\nengines = [\"openai\"]\n")
        ),
        ["engine `openai` is none of this scenario's"]
    );
    let wrong = problems("engine = \"mock\"\n", &for_engine("candle"));
    assert!(
        wrong[0].starts_with("no placement is for engine `mock`") && wrong[1].starts_with("engine `candle` is none")
    );
    assert_eq!(
        problems(
            "engine = \"mock\"\n",
            &format!("{SINGLE}[expect]\nengines = \"exact\"\n")
        ),
        ["expect.engines compares engines, and this scenario has one"]
    );
    let split = "[placement.b]\ndevice_map = \"cpu\"\nengines = [\"candle\"]\n[placement.b.expect]\nagreement = { reference = \"single\" }\n";
    assert_eq!(
        problems(TWO, &(for_engine("mock") + split)),
        ["no engine has both `single` and `b`, so that they are never compared"]
            .map(|words| words.replace("`single` and `b`", "`b` and `single`"))
    );
    assert_eq!(problems(TWO, &(SINGLE.to_owned() + split)), [""; 0]);
}

#[test]
fn the_defaults_of_a_suite_name_an_engine_for_scenarios_that_name_none() {
    let defaults = "engine = \"mock\"\n";
    let own = |top: &str, rest: &str| read(top, rest, defaults);
    assert_eq!(own("", SINGLE).unwrap().engine, "mock");
    assert_eq!(own(TWO, SINGLE).unwrap().matrix.engine, ["mock", "candle"]);
    let for_candle = format!("{SINGLE}engines = [\"candle\"]\n");
    assert_eq!(own("", &for_candle).unwrap_err().len(), 2, "the suite's engine is mock");
    assert!(own("engine = \"candle\"\n", &for_candle).is_ok());
}

#[test]
fn a_fault_strikes_under_every_engine_that_has_the_placement() {
    let rest = "[placement.b]\ndevice_map = \"cpu\"\nengines = [\"candle\"]\n[[fault]]\nkind = \"stall\"\nplacements = [\"single\"]\n";
    let faults: Vec<(String, usize)> = cases(TWO, &format!("{SINGLE}{rest}"))
        .into_iter()
        .map(|case| (case.placement, case.faults.len()))
        .collect();
    let of = |name: &str, faults| (name.to_owned(), faults);
    assert_eq!(
        faults,
        [
            of("single[engine=mock]", 1),
            of("single[engine=candle]", 1),
            of("b[engine=candle]", 0)
        ]
    );
}

/// Four tokens, each clearly likelier than any other but for what `step` says of the third.
fn made(ids: [u32; 4], third: &[(u32, f32)]) -> Generation {
    let clear = |id: u32| vec![TokenLogit { id, logit: 9.0 }, TokenLogit { id: 999, logit: 1.0 }];
    let mut top5: Vec<Vec<TokenLogit>> = ids.iter().map(|id| clear(*id)).collect();
    if !third.is_empty() {
        top5[2] = third.iter().map(|&(id, logit)| TokenLogit { id, logit }).collect();
    }
    let text = ids.map(|id| format!(" w{id}")).concat();
    let ends = (1..=4).map(|words: usize| ids[..words].iter().map(|id| format!(" w{id}").len()).sum::<usize>());
    serde_json::from_value(json!({
        "input_ids": [1], "output_ids": ids, "text": text, "finish_reason": "length", "start_s": 0.0,
        "token_stamps_s": [0.1, 0.2, 0.3, 0.4], "top2_gaps": [8.0, 8.0, 8.0, 8.0], "top5": top5, "hops": [],
        "transfer_bytes": [], "text_offsets": ends.collect::<Vec<usize>>(),
    }))
    .unwrap()
}

fn attempt(case: &CaseSpec, outcome: &Outcome, generations: Vec<Generation>) -> Attempt {
    serde_json::from_value(json!({
        "case": case.case, "attempt": 0, "started_at": "", "wall_s": 1.0, "outcome": outcome, "phases": [],
        "versions": [], "profile": null, "devices": [], "planned": null, "realised": null, "memory": [],
        "peak_rss_bytes": null, "generations": generations, "stderr_tail": "", "leaked_pipes": false,
    }))
    .unwrap()
}

fn judged(cases: &[CaseSpec], attempts: &[Attempt]) -> Vec<CaseVerdict> {
    let info: RunInfo = serde_json::from_value(json!({
        "schema_version": { "major": 1, "minor": 1 }, "run_id": "r", "started_at": "",
        "tool": { "name": "placebench", "version": "0", "profile": "debug" },
        "environment": { "platform": "", "kernel": "", "cpu": "", "cpu_count": 1, "memory_bytes": 0, "worker_env": [] },
        "arguments": [], "seed": 0, "cases": cases,
    }))
    .unwrap();
    judge(&info, attempts, &HashMap::new(), true).cases
}

/// Judges the single placement under both engines, which said that.
fn two(rest: &str, mock: Vec<Generation>, candle: Vec<Generation>) -> [CaseVerdict; 2] {
    let cases = cases(TWO, &format!("{SINGLE}{rest}"));
    let attempts = [
        attempt(&cases[0], &Outcome::Completed, mock),
        attempt(&cases[1], &Outcome::Completed, candle),
    ];
    judged(&cases, &attempts).try_into().unwrap()
}

fn checks(verdict: &CaseVerdict) -> Vec<&str> {
    verdict.findings.iter().map(|finding| finding.check.as_str()).collect()
}

fn reference() -> Generation {
    made([5, 6, 7, 8], &[(7, 3.0), (70, 2.98)])
}

#[test]
fn texts_of_engines_are_judged_by_the_rule() {
    let tie = || made([5, 6, 70, 80], &[(70, 3.01), (7, 3.0)]);
    let sure = || made([5, 6, 70, 80], &[(70, 9.0), (7, 3.0)]);
    let exact = "[expect]\nengines = \"exact\"\n";
    for (rule, ours, text, found) in [
        ("", reference(), TextVerdict::Exact, &[][..]),
        (exact, reference(), TextVerdict::Exact, &[]),
        ("", tie(), TextVerdict::NearTie, &[]),
        (exact, tie(), TextVerdict::NearTie, &["engines"]),
        ("", sure(), TextVerdict::Diverged, &["engines"]),
        ("[expect]\nengines = false\n", sure(), TextVerdict::Unchecked, &[]),
    ] {
        let [mock, candle] = two(rule, vec![reference()], vec![ours]);
        assert_eq!((candle.text, checks(&candle)), (text, found.to_vec()), "{rule}");
        assert_eq!((mock.text, mock.status), (TextVerdict::Unchecked, CaseStatus::Passed));
    }
}

#[test]
fn a_divergence_has_what_both_engines_thought_likeliest_there() {
    let sure = made([5, 6, 70, 80], &[(70, 9.0), (7, 3.0), (8, 1.0)]);
    let [_, candle] = two("", vec![reference()], vec![sure]);
    let [parting] = candle.divergences.try_into().unwrap();
    assert_eq!((parting.index, parting.by), (2, ComparedBy::Tokens));
    let with = ComparedWith::Engine {
        engine: "mock".into(),
        placement: "single[engine=mock]".into(),
    };
    assert_eq!(parting.with, with);
    let told = |side: &placebench_core::record::DivergentText| -> Vec<(u32, Option<String>)> {
        side.top5
            .iter()
            .map(|likely| (likely.token.id, likely.text.clone()))
            .collect()
    };
    let word = |text: &str| Some(text.to_owned());
    // Token 8 is said by the other engine later on: its text is known from there.
    assert_eq!(
        told(&parting.ours),
        [(70, word(" w70")), (7, word(" w7")), (8, word(" w8"))]
    );
    assert_eq!(told(&parting.theirs), [(7, word(" w7")), (70, word(" w70"))]);
    let message = &candle.findings[0].message;
    assert_eq!(
        message,
        "the text diverges from engine `mock` (placement `single[engine=mock]`) at token 2: there the two tokens were 6.000 \
         apart in logits"
    );
    let stored = serde_json::to_value(&parting).unwrap();
    assert_eq!(
        stored["ours"]["top5"][0],
        json!({ "id": 70, "logit": 9.0, "text": " w70" })
    );
}

#[test]
fn an_engine_that_tells_its_end_token_and_one_that_does_not_agree() {
    let ended = |ids: &[u32], reason: &str| {
        let mut made = reference();
        made.output_ids = ids.to_vec();
        (made.top5, made.text_offsets) = (Vec::new(), Vec::new());
        made.token_stamps_s.truncate(ids.len());
        made.finish_reason = serde_json::from_value(json!(reason)).unwrap();
        made.text = "w5 w6".into();
        made
    };
    let (with, without) = (ended(&[5, 6, 2], "eos"), ended(&[5, 6], "eos"));
    for (ours, theirs) in [(&with, &without), (&without, &with)] {
        let [_, candle] = two("", vec![theirs.clone()], vec![ours.clone()]);
        assert_eq!(candle.text, TextVerdict::Exact);
    }
    let [_, candle] = two("", vec![with], vec![ended(&[5, 6], "stop")]);
    assert_eq!(candle.text, TextVerdict::Diverged, "it was ended by something else");
}

#[test]
fn a_server_that_tells_no_tokens_is_held_to_the_text() {
    let served = |text: &str| Generation {
        input_ids: Vec::new(),
        output_ids: Vec::new(),
        text_offsets: Vec::new(),
        top5: Vec::new(),
        top2_gaps: Vec::new(),
        output_tokens: Some(4),
        text: text.into(),
        ..reference()
    };
    let [_, same] = two(
        "[expect]\nengines = \"exact\"\n",
        vec![reference()],
        vec![served(&reference().text)],
    );
    assert_eq!((same.text, same.status), (TextVerdict::Exact, CaseStatus::Passed));
    assert!(
        same.notes.iter().any(|note| note.contains("by text alone")),
        "{:?}",
        same.notes
    );
    let [_, other] = two("", vec![reference()], vec![served(" w5 w6 w9 w8")]);
    assert_eq!((other.text, checks(&other)), (TextVerdict::Diverged, vec!["engines"]));
    let [parting] = other.divergences.try_into().unwrap();
    assert_eq!((parting.index, parting.by), (2, ComparedBy::Text));
    assert!(parting.ours.top5.is_empty() && parting.theirs.top5.is_empty());
    assert!(
        !other.findings[0].message.contains("near-tie (gap"),
        "{}",
        other.findings[0].message
    );
}

#[test]
fn an_engine_without_a_text_to_compare_with_is_not_failed_for_that() {
    let cases = cases(TWO, SINGLE);
    let candle = || attempt(&cases[1], &Outcome::Completed, vec![reference()]);
    let crashed = Outcome::Failed {
        failure: WorkerFailure {
            class: FailureClass::Internal,
            ..failure()
        },
    };
    let skipped = Outcome::Skipped {
        reason: "no Python here".into(),
        hint: None,
    };
    for (theirs, status, words) in [
        (Some(crashed), CaseStatus::Failed, "did not complete"),
        (Some(skipped), CaseStatus::Skipped, "was skipped"),
        (None, CaseStatus::Skipped, "was not run"),
    ] {
        let theirs = theirs.map(|outcome| attempt(&cases[0], &outcome, Vec::new()));
        let attempts: Vec<Attempt> = theirs.into_iter().chain([candle()]).collect();
        let [mock, candle] = judged(&cases, &attempts).try_into().unwrap();
        assert_eq!((mock.status, candle.status), (status, CaseStatus::Passed), "{words}");
        assert_eq!((candle.text, candle.findings.len()), (TextVerdict::Unchecked, 0));
        let [note] = candle.notes.as_slice() else {
            panic!("{:?}", candle.notes)
        };
        assert!(
            note.starts_with("engines: nothing to agree with: engine `mock`") && note.contains(words),
            "{note}"
        );
    }
}

fn failure() -> WorkerFailure {
    serde_json::from_value(json!({ "class": "internal", "message": "it broke", "phase": Phase::Decode })).unwrap()
}

#[test]
fn what_is_expected_to_part_is_expected_of_the_engine_that_is_compared() {
    let fails = "[expect]\nfails = [\"engines\"]\n";
    let other = || made([5, 9, 7, 8], &[]);
    let [mock, candle] = two(fails, vec![reference()], vec![other()]);
    assert_eq!(
        (mock.status, candle.status),
        (CaseStatus::Passed, CaseStatus::Passed),
        "{:?}",
        mock.findings
    );
    assert_eq!(candle.expected_findings.len(), 1);
    let [_, candle] = two(fails, vec![reference()], vec![reference()]);
    assert_eq!(candle.status, CaseStatus::Failed, "it no longer parts");
    let cases = cases(TWO, &format!("{SINGLE}{fails}"));
    let alone = [attempt(&cases[1], &Outcome::Completed, vec![reference()])];
    let [_, candle] = judged(&cases, &alone).try_into().unwrap();
    assert_eq!(
        candle.status,
        CaseStatus::Passed,
        "nothing was compared: {:?}",
        candle.findings
    );
}

#[test]
fn the_agreement_of_one_engine_says_nothing_of_the_other() {
    let spec: EnginesSpec = cases(TWO, SINGLE)[1].expect.engines.clone().unwrap();
    let stored = serde_json::to_value(&spec).unwrap();
    assert_eq!(
        stored,
        json!({ "engine": "mock", "reference": "single[engine=mock]", "rule": "near_tie", "max_gap": 0.05_f32 })
    );
    let rest =
        format!("{SINGLE}[placement.b]\ndevice_map = \"cpu\"\n[expect]\nagreement = {{ reference = \"single\" }}\n");
    let cases = cases(TWO, &rest);
    let (here, there) = (reference(), made([5, 9, 7, 8], &[]));
    let said = [&here, &here, &there, &there];
    let attempts: Vec<Attempt> = (cases.iter().zip(said))
        .map(|(case, made)| attempt(case, &Outcome::Completed, vec![made.clone()]))
        .collect();
    let verdicts = judged(&cases, &attempts);
    let found: Vec<Vec<&str>> = verdicts.iter().map(checks).collect();
    assert_eq!(found, [vec![], vec![], vec!["engines"], vec!["engines"]]);
}

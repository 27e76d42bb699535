//! The same scenario under two engines: the mock, and a program that says what it is told to.

use placebench_core::outcome::OutcomeKind;
use placebench_core::protocol::Generation;
use placebench_core::record::{CaseStatus, CaseVerdict, ComparedBy, ComparedWith, RunVerdict, TextVerdict};
use serde_json::{Value, json};

use crate::env::{Ran, TestEnv, failed_checks, of};

const REST: &str = r#"
[model]
path = "models/m"
[devices]
"sim:0" = { on = "cpu", memory = "1MiB" }
[[prompt]]
name = "p"
text = "Hello"
[generation]
max_new_tokens = 6
[measure]
warmup = 0
[placement.single]
device_map = "sim:0"
"#;

const PROGRAM: &str = "[program]\ncommand = [\"cat\", \"said.ndjson\"]\n";

fn write(env: &TestEnv, top: &str, rest: &str) {
    env.write("suite/s.toml", &format!("schema_version = 1\n{top}{REST}{rest}"));
}

/// What the mock engine says here.
fn said_by_mock() -> Generation {
    let env = TestEnv::new();
    write(&env, "engine = \"mock\"\n", "");
    env.run_suite();
    env.attempts().remove(0).generations.remove(0)
}

/// What a program would have to say to have generated that.
fn as_events(made: &Generation) -> String {
    let mut events = vec![
        json!({ "event": "hello", "protocol": 1, "engine": "echo", "versions": ["echo 1"], "profile": "release" }),
        json!({ "event": "phase", "phase": "load" }),
        json!({ "event": "loaded", "realised": [{ "module": "model", "device": "sim:0", "bytes": 64 }] }),
        json!({ "event": "started", "generation": 0, "warmup": false }),
    ];
    for index in 0..made.token_stamps_s.len() {
        let mut token = json!({ "event": "token", "generation": 0, "index": index });
        if let Some(id) = made.output_ids.get(index) {
            token["id"] = json!(id);
        }
        events.push(token);
    }
    events.push(json!({ "event": "finished", "generation": 0, "warmup": false, "result": made }));
    events.push(json!({ "event": "done" }));
    let line = |(number, mut event): (usize, Value)| {
        event["t_s"] = json!(number as f64 / 100.0);
        format!("{event}\n")
    };
    events.into_iter().enumerate().map(line).collect()
}

/// Runs the scenario under both, the program saying that.
fn both(made: &Generation, rest: &str) -> (TestEnv, Ran, RunVerdict) {
    let env = TestEnv::new();
    write(&env, "engines = [\"mock\", \"program\"]\n", &format!("{PROGRAM}{rest}"));
    env.write("suite/said.ndjson", &as_events(made));
    let ran = env.run(&["run", "suite", "--allow-exec"]);
    let verdict = env.verdict();
    (env, ran, verdict)
}

fn program(verdict: &RunVerdict) -> &CaseVerdict {
    of(verdict, "s/p/single[engine=program]")
}

fn with_other_token(mut made: Generation) -> Generation {
    let (own, other) = (made.output_ids[2], made.output_ids[2] + 1000);
    made.output_ids[2] = other;
    made.text = made.text.replacen(&format!(" w{own}"), &format!(" w{other}"), 1);
    let grown = format!("{other}").len() - format!("{own}").len();
    for end in &mut made.text_offsets[2..] {
        *end += u32::try_from(grown).unwrap();
    }
    made.top5[2][0].id = other;
    made
}

fn without_ids(mut made: Generation) -> Generation {
    made.input_tokens = u32::try_from(made.input_ids.len()).ok();
    made.output_tokens = u32::try_from(made.output_ids.len()).ok();
    (made.input_ids, made.output_ids) = (Vec::new(), Vec::new());
    (made.top5, made.top2_gaps, made.text_offsets) = (Vec::new(), Vec::new(), Vec::new());
    made
}

#[test]
fn an_engine_that_says_the_same_agrees() {
    let (env, ran, verdict) = both(&said_by_mock(), "[expect]\nengines = \"exact\"\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let program = program(&verdict);
    assert_eq!((program.status, program.text), (CaseStatus::Passed, TextVerdict::Exact));
    assert_eq!(of(&verdict, "s/p/single[engine=mock]").text, TextVerdict::Unchecked);
    assert!(
        program.divergences.is_empty() && program.notes.is_empty(),
        "{program:?}"
    );
    let cases: Vec<String> = env.attempts().into_iter().map(|attempt| attempt.case).collect();
    assert_eq!(cases.len(), 2);
}

#[test]
fn an_engine_that_says_something_else_is_told_where_and_what_both_thought() {
    let (env, ran, verdict) = both(&with_other_token(said_by_mock()), "");
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let program = program(&verdict);
    assert_eq!(
        (failed_checks(program), program.text),
        (vec!["engines"], TextVerdict::Diverged)
    );
    let [parting] = program.divergences.as_slice() else {
        panic!("{program:?}")
    };
    let with = ComparedWith::Engine {
        engine: "mock".into(),
        placement: "single[engine=mock]".into(),
    };
    assert_eq!(
        (&parting.with, parting.index, parting.by),
        (&with, 2, ComparedBy::Tokens)
    );
    assert_eq!((parting.ours.top5.len(), parting.theirs.top5.len()), (5, 5));
    assert_eq!(parting.ours.top5[0].token.id, parting.theirs.top5[0].token.id + 1000);
    let theirs = format!("there: likeliest “ w{}”", parting.theirs.id.unwrap());
    assert!(ran.stdout.contains(&theirs), "{}", ran.stdout);
    assert_eq!(of(&verdict, "s/p/single[engine=mock]").status, CaseStatus::Passed);
    // The stored run reads on, and its page shows both sides' tokens.
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains("parts from engine mock (placement single[engine=mock])"));
    // Asked for no comparison, there is none.
    let (_, ran, verdict) = both(&with_other_token(said_by_mock()), "[expect]\nengines = false\n");
    assert_eq!(ran.code, Some(0), "{:?}", self::program(&verdict));
}

#[test]
fn an_engine_that_tells_no_tokens_is_held_to_the_text() {
    let served = without_ids(said_by_mock());
    let (env, ran, verdict) = both(&served, "[expect]\nengines = \"exact\"\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let same = program(&verdict);
    assert_eq!((same.status, same.text), (CaseStatus::Passed, TextVerdict::Exact));
    assert!(same.notes[0].contains("by text alone"), "{:?}", same.notes);
    assert_eq!(
        (same.metrics.input_tokens, same.metrics.output_tokens),
        (served.input_tokens, Some(6))
    );
    let of_program = env
        .attempts()
        .into_iter()
        .find(|attempt| attempt.case == same.case)
        .unwrap();
    assert!(of_program.generations[0].output_ids.is_empty());
    let other = Generation {
        text: said_by_mock().text + "!",
        ..served
    };
    let (_, ran, verdict) = both(&other, "");
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let other = program(&verdict);
    assert_eq!(failed_checks(other), ["engines"]);
    assert_eq!(
        other.divergences[0].by,
        ComparedBy::Text,
        "the mock engine knows its tokens"
    );
    assert!(
        ran.stdout.contains("tokens of one of them are not known"),
        "{}",
        ran.stdout
    );
}

#[test]
fn pieces_of_several_tokens_are_figures_of_tokens() {
    let mut served = without_ids(said_by_mock());
    served.start_s = 0.0;
    served.token_stamps_s = vec![1.0, 2.0, 3.0];
    let (env, _, verdict) = both(&served, "[timeout]\nfirst_token = \"30s\"\n");
    let metrics = &program(&verdict).metrics;
    assert_eq!(
        (metrics.output_tokens, metrics.tpot_s),
        (Some(6), Some(0.4)),
        "five gaps in two seconds"
    );
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains("gap between arrivals"));
}

#[test]
fn a_text_without_tokens_has_a_snapshot() {
    let env = TestEnv::new();
    let rest = format!("{PROGRAM}[expect]\nsnapshot = true\n");
    write(&env, "engine = \"program\"\n", &rest);
    let served = without_ids(said_by_mock());
    env.write("suite/said.ndjson", &as_events(&served));
    let run = || env.run(&["run", "suite", "--allow-exec"]).code;
    assert_eq!(run(), Some(113), "proposed");
    let accepted = env.run(&["accept", "suite"]);
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert_eq!(run(), Some(0));
    let note = env.verdict().cases[0].notes.clone();
    assert!(note.iter().any(|note| note.contains("by text alone")), "{note:?}");
    // An engine that knows its tokens is held to it too, and another text is found.
    env.write("suite/said.ndjson", &as_events(&said_by_mock()));
    assert_eq!(run(), Some(0));
    let other = Generation {
        text: format!("{} more", served.text),
        ..served
    };
    env.write("suite/said.ndjson", &as_events(&other));
    assert_eq!(run(), Some(100));
    let verdict = env.verdict();
    assert_eq!(failed_checks(&verdict.cases[0]), ["snapshot"]);
}

#[test]
fn an_engine_that_fails_is_not_the_other_ones_fault() {
    let env = TestEnv::new();
    write(
        &env,
        "engines = [\"program\", \"mock\"]\n",
        "[program]\ncommand = [\"false\"]\n",
    );
    let ran = env.run(&["run", "suite", "--allow-exec"]);
    assert!(matches!(ran.code, Some(96 | 100)), "{ran:?}");
    let verdict = env.verdict();
    let (program, mock) = (
        of(&verdict, "s/p/single[engine=program]"),
        of(&verdict, "s/p/single[engine=mock]"),
    );
    assert_ne!(program.outcome, OutcomeKind::Completed);
    assert_eq!((mock.status, mock.findings.len()), (CaseStatus::Passed, 0), "{mock:?}");
    assert!(
        mock.notes[0].starts_with("engines: nothing to agree with: engine `program`"),
        "{:?}",
        mock.notes
    );
    assert!(ran.stdout.contains("nothing to agree with"), "{}", ran.stdout);
}

#[test]
fn engines_are_listed_and_selected() {
    let env = TestEnv::new();
    write(&env, "engines = [\"mock\", \"program\"]\n", PROGRAM);
    let listed = |filter: &str| {
        let ran = env.run(&["list", "suite", "-E", filter]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    let all = listed("all()");
    assert!(
        all.contains("single[engine=mock]") && all.contains("single[engine=program]"),
        "{all}"
    );
    let mock = listed("engine(mock)");
    assert!(
        mock.contains("single[engine=mock]") && !mock.contains("[engine=program]"),
        "{mock}"
    );
    // What the program's text is held to comes along.
    let program = listed("engine(program)");
    assert!(
        program.contains("single[engine=program]") && program.contains("single[engine=mock]"),
        "{program}"
    );
    env.write(
        "suite/wrong.toml",
        &format!("schema_version = 1\nengines = [\"mock\", \"candel\"]\n{REST}"),
    );
    let ran = env.run(&["validate", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr.contains("there is no engine `candel`") && ran.stderr.contains("candle"),
        "{ran:?}"
    );
}

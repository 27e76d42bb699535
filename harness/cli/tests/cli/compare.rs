//! Two stored runs compared: what has changed, what cannot be said, and the exit code.

use std::path::PathBuf;

use placebench_core::outcome::{LastSeen, Outcome, Phase};
use placebench_core::record::{Attempt, RunInfo};
use serde_json::{Value, json};

use crate::env::{Ran, TestEnv};

/// Half of the model on each of two devices.
const HALVES: &str = "[placement.x]\n\
    device_map = { \"model.embed_tokens\" = \"sim:0\", \"model.layers.0-3\" = \"sim:0\", \"\" = \"sim:1\" }\n";

/// A suite of one case with that many repetitions.
fn suite(repetitions: u32, rest: &str) -> TestEnv {
    let env = TestEnv::new();
    write(&env, repetitions, rest);
    env
}

fn write(env: &TestEnv, repetitions: u32, rest: &str) {
    env.scenario(
        "s",
        &format!("{HALVES}[measure]\nwarmup = 0\nrepetitions = {repetitions}\n{rest}"),
    );
}

/// Runs the suite; the id of the run.
fn run(env: &TestEnv) -> String {
    let ran = env.run(&["run", "suite"]);
    assert!(matches!(ran.code, Some(0 | 100)), "{ran:?}");
    env.latest().file_name().unwrap().to_str().unwrap().to_owned()
}

fn compare(env: &TestEnv, base: &str, new: &str, flags: &[&str]) -> Ran {
    env.run(&[["compare", base, new].as_slice(), flags].concat())
}

fn document(env: &TestEnv, base: &str, new: &str, flags: &[&str]) -> (Ran, Value) {
    let ran = compare(env, base, new, &[flags, &["--format", "json"]].concat());
    let value = serde_json::from_str(&ran.stdout).unwrap();
    (ran, value)
}

/// The judgements on the timings of the first case, in order.
fn timings(document: &Value) -> Vec<(&str, &str)> {
    let rows = document["comparison"]["cases"][0]["timings"].as_array().unwrap();
    rows.iter()
        .map(|row| (row["metric"].as_str().unwrap(), row["change"].as_str().unwrap()))
        .collect()
}

/// A copy of a run in which something is otherwise.
fn copy(
    env: &TestEnv,
    run: &str,
    name: &str,
    change_run: impl Fn(&mut RunInfo),
    change_attempts: impl Fn(&mut Vec<Attempt>),
) -> PathBuf {
    let from = env.path("reports").join(run);
    let read = |file: &str| std::fs::read_to_string(from.join(file)).unwrap();
    let mut info: RunInfo = serde_json::from_str(&read("run.json")).unwrap();
    info.run_id = name.to_owned();
    change_run(&mut info);
    let lines = read("attempts.jsonl");
    let mut attempts: Vec<Attempt> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change_attempts(&mut attempts);
    let lines: Vec<String> = attempts
        .iter()
        .map(|attempt| format!("{}\n", serde_json::to_string(attempt).unwrap()))
        .collect();
    env.write(&format!("copies/{name}/attempts.jsonl"), &lines.concat());
    env.write(
        &format!("copies/{name}/run.json"),
        &serde_json::to_string(&info).unwrap(),
    );
    env.path("copies").join(name)
}

/// A copy whose generations took that many times as long.
fn scaled(env: &TestEnv, run: &str, factor: f64) -> String {
    let scale = |attempts: &mut Vec<Attempt>| {
        let generations = attempts.iter_mut().flat_map(|attempt| &mut attempt.generations);
        generations
            .flat_map(|generation| &mut generation.token_stamps_s)
            .for_each(|stamp| *stamp *= factor);
    };
    let folder = copy(env, run, &format!("times-{factor}"), |_| (), scale);
    folder.to_str().unwrap().to_owned()
}

#[test]
fn a_run_is_the_same_as_itself_and_only_all_shows_that() {
    let env = suite(10, "");
    let id = run(&env);
    let ran = compare(&env, &id, "reports/latest", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "both sides are the same run",
        "1 case compared: 1 the same; exit code 0: nothing got worse",
        "the noise of this machine is not known",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("hops") && !ran.stdout.contains("s/p/x"),
        "{}",
        ran.stdout
    );
    let ran = compare(&env, &id, "latest", &["--all"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in ["s/p/x", "hops (decode)", "peak_bytes (sim:0)", "tpot_s", "realised"] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

#[test]
fn few_repetitions_tell_nothing_of_times_and_everything_of_counters() {
    let env = suite(2, "");
    let (base, new) = (run(&env), run(&env));
    assert_ne!(base, new);
    let ran = compare(&env, &base, &new, &[]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    let words =
        "no verdict on load_s, ttft_s, tpot_s of s/p/x: 2 pairs of attempts, but it takes 7: set repetitions = 7";
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    let (ran, answer) = document(&env, &base, &new, &["--counters-only"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(answer["exit"], "passed");
    assert_eq!(timings(&answer), []);
    let counters = answer["comparison"]["cases"][0]["counters"].as_array().unwrap();
    assert!(counters.len() >= 8, "{counters:#?}");
    assert!(counters.iter().all(|row| row["change"] == "same"), "{counters:#?}");
}

#[test]
fn another_placement_is_named_and_fails() {
    let env = suite(1, "");
    let base = run(&env);
    env.scenario(
        "s",
        "[placement.x]\ndevice_map = { \"model.embed_tokens\" = \"sim:0\", \"model.layers.0-1\" = \"sim:0\", \
         \"model.layers.2-5\" = \"sim:1\", \"\" = \"sim:2\" }\n",
    );
    let new = run(&env);
    let ran = compare(&env, &base, &new, &["--counters-only"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let row = |what: &str| {
        let mut lines = ran.stdout.lines();
        let line = lines.find(|line| line.trim_start().starts_with(what));
        line.unwrap_or_else(|| panic!("{what}: {}", ran.stdout))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(row("hops (prefill)"), "hops (prefill) 1 2 +100 % worse");
    assert_eq!(row("realised"), "realised differs");
    assert_eq!(row("peak_bytes (sim:2)"), "peak_bytes (sim:2) - - no verdict");
    for words in [
        "realised: lm_head: sim:2 instead of sim:1 (and 5 more)",
        "the new run asked something else: its placement",
        "1 worse or different; exit code 100",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("token_ids"),
        "the text is the same: {}",
        ran.stdout
    );
    let ran = compare(&env, &new, &base, &["--counters-only"]);
    assert!(ran.stdout.contains("better"), "fewer hops: {}", ran.stdout);
}

#[test]
fn another_text_fails_whether_it_is_garbage_or_not() {
    let env = suite(1, "");
    let base = run(&env);
    write(
        &env,
        1,
        "[[fault]]\nkind = \"zero_copy\"\nat = { hop = \"model.layers.3 -> model.layers.4\", token = 3 }\n",
    );
    let other = run(&env);
    let ran = compare(&env, &base, &other, &["--counters-only"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert!(
        ran.stdout
            .contains("token_ids: generation 0 diverges from the base at token 3"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("status "), "the case passes: {}", ran.stdout);

    write(&env, 1, "[[fault]]\nkind = \"garbage\"\n");
    let garbage = run(&env);
    let ran = compare(&env, &base, &garbage, &[]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    for words in [
        "token_ids: generation 0",
        "passed",
        "failed",
        "garbage: the text is garbage",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

#[test]
fn a_case_that_crashes_now_has_broken() {
    let env = suite(1, "");
    let base = run(&env);
    write(&env, 1, "[[fault]]\nkind = \"crash\"\nat = { token = 2 }\n");
    let new = run(&env);
    let (ran, answer) = document(&env, &base, &new, &[]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let change = &answer["status_changes"][0];
    assert_eq!(
        (&change["base"], &change["new"], &change["is_broken"]),
        (&json!("passed"), &json!("failed"), &json!(true))
    );
    let (ran, answer) = document(&env, &new, &base, &["--counters-only"]);
    assert_eq!(ran.code, Some(112), "the base has no figures: {ran:?}");
    assert_eq!(answer["status_changes"][0]["is_broken"], false);
}

#[test]
fn a_case_without_figures_can_break_too() {
    let env = suite(1, "");
    let crash = |fault: &str| {
        let rest = format!("[placement.y]\ndevice_map = \"cpu\"\n{fault}[expect]\noutcome = \"crashed\"\n");
        env.scenario("crash", &rest);
        run(&env)
    };
    let (base, new) = (crash("[[fault]]\nkind = \"crash\"\n"), crash(""));
    let ran = compare(&env, &base, &new, &["--counters-only"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    for words in [
        "crash/p/y\n",
        "1 case compared: 1 the same, 1 broken without figures; exit code 100",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

#[test]
fn a_missing_case_is_no_pass_and_a_new_one_is_said() {
    let env = suite(1, "");
    let small = run(&env);
    env.scenario("t", "[placement.y]\ndevice_map = \"cpu\"\n");
    let large = run(&env);
    let ran = compare(&env, &large, &small, &["--counters-only"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    for words in [
        "missing: t/p/y: the new run does not have it",
        "1 the same, 1 missing; exit code 112",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let ran = compare(&env, &small, &large, &["--counters-only"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout
            .contains("nothing to compare with: t/p/y: it is new: the base does not have it"),
        "{}",
        ran.stdout
    );
}

#[test]
fn what_has_no_figures_is_left_out_with_a_word() {
    let env = suite(1, "");
    env.scenario("gpu", "[placement.y]\ndevice_map = \"cpu\"\n[requires]\ncuda = 99\n");
    env.scenario(
        "crash",
        "[placement.y]\ndevice_map = \"cpu\"\n[[fault]]\nkind = \"crash\"\n[expect]\noutcome = \"crashed\"\n",
    );
    let (base, new) = (run(&env), run(&env));
    let ran = compare(&env, &base, &new, &["--counters-only"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "left out: gpu/p/y: it was skipped: ",
        "left out: crash/p/y: it is expected to end as crashed",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert_eq!(env.run(&["run", "suite", "--audit"]).code, Some(0));
    let ran = compare(&env, &base, "latest", &["--counters-only"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    assert!(
        ran.stdout.contains("missing: s/p/x: in the new run it was audited"),
        "{}",
        ran.stdout
    );
}

#[test]
fn times_of_another_machine_have_no_verdict_unless_that_is_what_is_tested() {
    let env = suite(10, "");
    let base = run(&env);
    let hostile = "Other | \u{1b}[31m CPU @all";
    let new = copy(
        &env,
        &base,
        "other",
        |info| hostile.clone_into(&mut info.environment.cpu),
        |_| (),
    );
    let new = new.to_str().unwrap();
    let ran = compare(&env, &base, new, &[]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    for words in [
        "no verdict on load_s, ttft_s, tpot_s of s/p/x: measured on unlike machines",
        "Other | \\u{1b}[31m CPU",
        "--expect-difference cpu;",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'));
    let markdown = compare(&env, &base, new, &["--format", "markdown", "--all"]).stdout;
    assert!(
        markdown.contains("| case | what | base | new | change | interval | verdict |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("Other \\| \\\\u{1b}\\[31m CPU @<!-- -->all"),
        "{markdown}"
    );
    assert!(markdown.contains("| s/p/x | hops (decode) |"), "{markdown}");
    for flags in [["--expect-difference", "kernel,cpu"].as_slice(), &["--counters-only"]] {
        let ran = compare(&env, &base, new, flags);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let ran = compare(&env, &base, new, &["--expect-difference", "kernel"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    let ran = compare(&env, &base, new, &["--expect-difference", "weather"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn a_merged_run_has_the_machine_of_each_shard() {
    let env = suite(10, "");
    env.scenario(
        "t",
        "[placement.y]\ndevice_map = \"cpu\"\n[measure]\nrepetitions = 10\n",
    );
    for index in ["1", "2"] {
        let partition = format!("slice:{index}/2");
        let ran = env.run(&["run", "suite", "--partition", &partition, "--output-dir", "shards"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    assert_eq!(env.run(&["merge", "shards"]).code, Some(0));
    let base = env.latest().file_name().unwrap().to_str().unwrap().to_owned();
    let other = |info: &mut RunInfo| {
        let shard = info.shards.iter_mut().find(|shard| shard.cases == ["t/p/y"]).unwrap();
        shard.environment.kernel = "9.9.9".into();
    };
    let new = copy(&env, &base, "other", other, |_| ());
    let ran = compare(&env, &base, new.to_str().unwrap(), &[]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    for words in [
        "no verdict on load_s, ttft_s, tpot_s of t/p/y: measured on unlike machines",
        "and `9.9.9`",
        "2 cases compared: 1 without a verdict, 1 the same",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

#[test]
fn a_slower_link_is_slower_and_nothing_else() {
    let link = |milliseconds: u32| {
        format!("[[fault]]\nkind = \"slow_link\"\ndelay = \"{milliseconds}ms\"\n[generation]\nmax_new_tokens = 4\n")
    };
    let env = suite(10, "");
    let scenario = |milliseconds| {
        write(&env, 10, &link(milliseconds));
        let path = env.path("suite/s.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        // The head of the scenario asks for more tokens than it takes.
        let text = text.replacen("[generation]\nmax_new_tokens = 12\n", "", 1);
        std::fs::write(path, text).unwrap();
        run(&env)
    };
    let (base, new) = (scenario(40), scenario(60));
    let (ran, answer) = document(&env, &base, &new, &[]);
    assert_eq!(ran.code, Some(111), "{ran:?}");
    assert!(timings(&answer).contains(&("tpot_s", "slower")), "{answer:#}");
    let ran = compare(&env, &base, &new, &[]);
    assert!(
        ran.stdout.contains("slower, 10 of 10 pairs") && ran.stdout.contains("exit code 111"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("hops"), "{}", ran.stdout);
    let ran = compare(&env, &base, &new, &["--counters-only"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn times_are_judged_by_their_size() {
    let env = suite(10, "");
    let base = run(&env);
    for (factor, code, change) in [
        (1.5, 111, "slower"),
        (1.03, 0, "same"),
        (0.7, 0, "faster"),
        (3.0, 112, "no_verdict"),
    ] {
        let new = scaled(&env, &base, factor);
        let (ran, answer) = document(&env, &base, &new, &[]);
        assert_eq!(ran.code, Some(code), "{factor}: {ran:?}");
        assert_eq!(
            timings(&answer),
            [("load_s", "same"), ("ttft_s", change), ("tpot_s", change)],
            "{factor}"
        );
        let ratio = answer["comparison"]["cases"][0]["timings"][2]["ratio"]
            .as_f64()
            .unwrap();
        assert!((ratio - factor).abs() < 1e-6, "{ratio} for {factor}");
    }
}

#[test]
fn the_noise_of_the_machine_widens_what_counts_as_the_same() {
    let env = suite(10, "");
    let base = run(&env);
    let new = scaled(&env, &base, 1.5);
    let noise = |pairs: u32| {
        let metric = |name: &str| json!({"metric": name, "floor": 0.6, "bias": 0.5, "log_ratios": []});
        json!({
            "schema_version": 1,
            "noise_floor": {"case": "c", "pairs": pairs, "metrics": [metric("ttft_s"), metric("tpot_s")]},
        })
        .to_string()
    };
    env.write("noise.json", &noise(10));
    let (ran, answer) = document(&env, &base, &new, &["--noise", "noise.json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert_eq!(
        timings(&answer),
        [("load_s", "same"), ("ttft_s", "same"), ("tpot_s", "same")]
    );
    env.write("noise.json", &noise(2));
    let ran = compare(&env, &base, &new, &["--noise", "noise.json", "--all"]);
    assert!(ran.stderr.contains("2 pairs are too few"), "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("tpot_s: equal sides differ by +65 % on this machine"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("is not known"), "{}", ran.stdout);
    for (content, words) in [
        ("{\"schema_version\": 1}", "the noise was not measured"),
        (
            "{\"schema_version\": 9, \"noise_floor\": null}",
            "its format is version 9",
        ),
        ("nonsense", "no document of `doctor`"),
    ] {
        env.write("bad.json", content);
        let ran = compare(&env, &base, &new, &["--noise", "bad.json"]);
        assert_eq!(ran.code, Some(96), "{ran:?}");
        assert!(
            ran.stderr.contains(words) && ran.stderr.contains("doctor --calibrate"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_retry_is_compared_as_if_it_were_a_first_try() {
    let env = suite(10, "");
    let base = run(&env);
    let retried = copy(
        &env,
        &base,
        "retried",
        |_| (),
        |attempts| {
            let second = attempts.clone();
            for attempt in attempts.iter_mut() {
                attempt.outcome = Outcome::Crashed {
                    phase: Phase::Load,
                    signal: Some(11),
                    exit_code: None,
                    last: LastSeen::default(),
                    message: "it crashed".to_owned(),
                };
                attempt.generations.clear();
            }
            attempts.extend(second.into_iter().map(|attempt| Attempt {
                attempt: attempt.attempt + 10,
                ..attempt
            }));
        },
    );
    let (ran, answer) = document(&env, &base, retried.to_str().unwrap(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let change = &answer["status_changes"][0];
    assert_eq!((&change["new"], &change["is_broken"]), (&json!("flaky"), &json!(false)));
    assert_eq!(
        timings(&answer),
        [("load_s", "same"), ("ttft_s", "same"), ("tpot_s", "same")]
    );
    assert_eq!(
        answer["comparison"]["cases"][0]["timings"][2]["pairs"]
            .as_array()
            .map(Vec::len),
        Some(10)
    );
}

#[test]
fn attempts_that_were_never_made_are_no_pass() {
    let env = suite(3, "");
    let base = run(&env);
    let torn = copy(&env, &base, "torn", |_| (), |attempts| attempts.truncate(2));
    let ran = compare(&env, &base, torn.to_str().unwrap(), &["--counters-only"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    assert!(ran.stdout.contains("attempts were never made: s/p/x"), "{}", ran.stdout);
}

#[test]
fn what_is_no_run_is_code_96() {
    let env = suite(1, "");
    let id = run(&env);
    env.write("empty/note.txt", "nothing");
    env.write("broken/run.json", "{\"schema_version\": \"1.1\"}");
    for (base, new) in [
        ("empty", id.as_str()),
        (id.as_str(), "empty"),
        ("absent", "latest"),
        ("broken", "latest"),
    ] {
        let ran = compare(&env, base, new, &[]);
        assert_eq!(ran.code, Some(96), "{base} {new}: {ran:?}");
        assert!(ran.stdout.is_empty() && ran.stderr.contains("error: "), "{ran:?}");
    }
    let elsewhere = compare(&env, &id, &id, &["--output-dir", "empty"]);
    assert_eq!(elsewhere.code, Some(96), "{elsewhere:?}");
}

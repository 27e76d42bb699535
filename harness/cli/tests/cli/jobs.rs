//! `--jobs`: text-only cases side by side, measured ones alone.
#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on")]

use std::collections::BTreeMap;

use placebench_core::outcome::Outcome;
use placebench_core::record::{Attempt, RunVerdict};

use crate::env::{Ran, TestEnv, of, read_attempts};

/// Each hop of each token takes 20 ms, so that attempts are long enough to meet.
const SLOW: &str = "[[fault]]\nkind = \"slow_link\"\ndelay = \"20ms\"\n";
const SPLIT: &str = "{ \"model.embed_tokens\" = \"sim:0\", \"model.layers.0-3\" = \"sim:0\", \"model.layers.4-7\" = \"sim:1\", \
                     \"model.norm\" = \"sim:1\", \"lm_head\" = \"sim:1\" }";

/// A scenario of two placements that must agree.
fn pair(env: &TestEnv, name: &str, rest: &str) {
    env.scenario(
        name,
        &format!(
            "[placement.a]\ndevice_map = {SPLIT}\n[placement.b]\ndevice_map = {SPLIT}\ntransfer = \"host\"\n[expect]\n\
             agreement = {{ reference = \"a\", rule = \"exact\" }}\n{SLOW}{rest}"
        ),
    );
}

fn started(attempt: &Attempt) -> f64 {
    let time = attempt.started_at.split('T').nth(1).unwrap().trim_end_matches('Z');
    time.split(':')
        .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

/// Whether two attempts were under way at the same time, by their stamps.
fn met(a: &Attempt, b: &Attempt) -> bool {
    started(a) < started(b) + b.wall_s && started(b) < started(a) + a.wall_s
}

fn run(env: &TestEnv, jobs: &str, more: &[&str]) -> (Ran, RunVerdict, Vec<Attempt>) {
    let ran = env.run(&[&["run", "suite", "--jobs", jobs], more].concat());
    (ran, env.verdict(), env.attempts())
}

#[test]
fn text_only_attempts_meet_and_say_so_and_their_times_are_not_shown() {
    let env = TestEnv::new();
    for name in ["s0", "s1", "s2"] {
        pair(&env, name, "");
    }
    let (ran, verdict, attempts) = run(&env, "3", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(attempts.len(), 6);
    let beside: Vec<u32> = attempts.iter().map(|attempt| attempt.concurrent).collect();
    assert!(beside.iter().all(|beside| *beside <= 2), "{beside:?}");
    assert!(beside.iter().any(|beside| *beside > 0), "none met: {beside:?}");
    for attempt in &attempts {
        let met = attempts
            .iter()
            .any(|other| other.case != attempt.case && met(attempt, other));
        assert!(attempt.concurrent > 0 || !met, "{} met another unsaid", attempt.case);
    }
    for attempt in attempts.iter().filter(|attempt| attempt.concurrent > 0) {
        let metrics = &of(&verdict, &attempt.case).metrics;
        assert_eq!((metrics.ttft_s, metrics.tpot_s, metrics.load_s), (None, None, None));
        assert_eq!(metrics.output_tokens, Some(12));
    }
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    assert!(page.contains("not measured: ran beside others"), "the report says why");
}

#[test]
fn measured_cases_run_alone() {
    let env = TestEnv::new();
    pair(&env, "s0", "");
    pair(&env, "s1", "");
    pair(&env, "t-repeated", "[measure]\nrepetitions = 2\n");
    env.scenario(
        "u-limited",
        &format!("[placement.a]\ndevice_map = {SPLIT}\n{SLOW}[expect.limits]\nttft = \"60s\"\n"),
    );
    let (ran, verdict, attempts) = run(&env, "4", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (measured, others): (Vec<&Attempt>, Vec<&Attempt>) = attempts
        .iter()
        .partition(|attempt| attempt.case.starts_with("t-") || attempt.case.starts_with("u-"));
    assert_eq!((measured.len(), others.len()), (5, 4));
    assert!(others.iter().any(|attempt| attempt.concurrent > 0));
    for attempt in measured {
        assert_eq!(attempt.concurrent, 0);
        let alone = attempts
            .iter()
            .all(|other| std::ptr::eq(other, attempt) || !met(attempt, other));
        assert!(alone, "{} #{} met another", attempt.case, attempt.attempt);
        assert!(of(&verdict, &attempt.case).metrics.ttft_s.is_some());
    }
}

/// Everything but stamps and figures that depend on them.
fn without_times(mut verdict: RunVerdict) -> RunVerdict {
    verdict.run_id.clear();
    for case in &mut verdict.cases {
        let metrics = &mut case.metrics;
        for time in [
            &mut metrics.load_s,
            &mut metrics.ttft_s,
            &mut metrics.tpot_s,
            &mut metrics.e2e_s,
            &mut metrics.prefill_tokens_per_s,
            &mut metrics.decode_tokens_per_s,
            &mut metrics.output_tokens_per_s,
        ] {
            *time = None;
        }
        metrics.time_forecast.clear();
    }
    verdict
}

/// The table without its columns of times, and without the one that says whether they are speeds.
fn table(env: &TestEnv) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(env.latest().join("results.csv")).unwrap();
    let headers = reader.headers().unwrap().clone();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let cells = headers.iter().zip(row.iter());
        let kept = cells.filter(|(name, _)| !name.ends_with("_s") && *name != "timing_valid");
        kept.map(|(_, cell)| cell.to_owned()).collect()
    });
    rows.collect()
}

#[test]
fn what_is_judged_does_not_depend_on_the_order() {
    let env = TestEnv::new();
    for name in ["s0", "s1", "s2"] {
        pair(&env, name, "");
    }
    env.scenario(
        "s3-wrong",
        "[placement.a]\ndevice_map = \"sim:0\"\n[expect]\ncontains = [\"never said\"]\n",
    );
    env.scenario(
        "s4-full",
        "[placement.a]\ndevice_map = \"sim:0\"\n[[fault]]\nkind = \"out_of_memory\"\n",
    );
    let (one, verdict_one, _) = run(&env, "1", &["--retries", "1"]);
    let table_one = table(&env);
    let (four, verdict_four, attempts) = run(&env, "4", &["--retries", "1"]);
    assert_eq!((one.code, four.code), (Some(100), Some(100)), "{four:?}");
    for (one, four) in without_times(verdict_one)
        .cases
        .iter()
        .zip(&without_times(verdict_four).cases)
    {
        assert_eq!(one, four);
    }
    assert_eq!(table_one, table(&env));
    let tries: Vec<u32> = (attempts.iter().filter(|attempt| attempt.case == "s4-full/p/a"))
        .map(|attempt| attempt.attempt)
        .collect();
    assert_eq!(tries, [0, 1], "retries come after the first tries");
    let mut said: BTreeMap<&str, usize> = BTreeMap::new();
    for line in four
        .stdout
        .lines()
        .filter(|line| line.trim_start().starts_with("PASS "))
    {
        *said.entry(line.split_whitespace().nth(1).unwrap()).or_default() += 1;
    }
    assert!(
        said.len() == 6 && said.values().all(|times| *times == 1),
        "each case once: {four:?}"
    );
}

#[test]
fn jobs_of_one_is_the_run_as_it_was() {
    let env = TestEnv::new();
    pair(&env, "s0", "");
    pair(&env, "s1", "");
    let ran = env.run(&["run", "suite"]);
    let plain = env.attempts();
    let (with, _, attempts) = run(&env, "1", &[]);
    assert_eq!((ran.code, with.code), (Some(0), Some(0)));
    let order = |attempts: &[Attempt]| -> Vec<String> { attempts.iter().map(|attempt| attempt.case.clone()).collect() };
    assert_eq!(order(&plain), order(&attempts));
    let lines = std::fs::read_to_string(env.latest().join("attempts.jsonl")).unwrap();
    assert!(!lines.contains("concurrent"), "nothing is written of what was not so");
}

#[test]
fn jobs_that_exceed_the_memory_together_do_not_meet() {
    let env = TestEnv::new();
    // Together far more than any machine has; the mock engine takes next to none of it.
    for name in ["s0", "s1", "s2"] {
        let text = format!(
            "schema_version = 1\n[model]\npath = \"models/m\"\n[devices]\n\"sim:0\" = {{ on = \"cpu\", memory = \"900000GiB\" \
             }}\n\"sim:1\" = {{ on = \"cpu\", memory = \"900000GiB\" }}\n[[prompt]]\nname = \"p\"\ntext = \"Hello\"\n[placement.a]\n\
             device_map = {SPLIT}\n{SLOW}"
        );
        env.write(&format!("suite/{name}.toml"), &text);
    }
    let (ran, _, attempts) = run(&env, "3", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.concurrent == 0), "{ran:?}");
}

#[test]
fn the_first_failure_stops_the_run_and_what_is_under_way_is_recorded_and_resumed() {
    let env = TestEnv::new();
    env.scenario(
        "a-wrong",
        "[placement.a]\ndevice_map = \"sim:0\"\n[expect]\ncontains = [\"never said\"]\n",
    );
    for number in 0..12 {
        pair(&env, &format!("s{number:02}"), "");
    }
    let (ran, verdict, attempts) = run(&env, "3", &["--fail-fast"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert!(!verdict.complete && attempts.len() < 25, "{} attempts", attempts.len());
    assert!(
        attempts.iter().all(|attempt| attempt.outcome == Outcome::Completed),
        "brought to their end"
    );
    let events = std::fs::read_dir(env.latest().join("events")).unwrap().count();
    assert_eq!(events, attempts.len(), "a file for each case, none of them mixed");
    let name = env.latest().file_name().unwrap().to_str().unwrap().to_owned();
    let folder = env.latest();
    for _ in 0..30 {
        // The failed case is counted once, so that the run goes on.
        let ran = env.run(&["run", "--resume", &name, "--jobs", "3"]);
        assert_eq!(ran.code, Some(100), "{ran:?}");
        if env.verdict().complete {
            break;
        }
    }
    let attempts = read_attempts(&folder);
    let mut cases: Vec<&str> = attempts.iter().map(|attempt| attempt.case.as_str()).collect();
    cases.sort_unstable();
    cases.dedup();
    assert_eq!((attempts.len(), cases.len()), (25, 25), "each case once");
}

#[test]
fn a_bad_number_of_jobs_is_refused_and_the_setting_has_its_origin() {
    let env = TestEnv::new();
    pair(&env, "s0", "");
    assert_eq!(env.run(&["run", "suite", "--jobs", "0"]).code, Some(2));
    let mut command = env.command(&["run", "suite", "--show-config"]);
    let shown = Ran::of(command.env("PLACEBENCH_JOBS", "5").output().unwrap());
    let row = shown.stdout.lines().find(|line| line.starts_with("jobs")).unwrap();
    assert!(row.contains('5') && row.contains("PLACEBENCH_JOBS"), "{row}");
    env.write("placebench.toml", "[profile.default]\njobs = 0\n");
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(96));
    assert!(ran.stderr.contains("jobs must be at least 1"), "{ran:?}");
}

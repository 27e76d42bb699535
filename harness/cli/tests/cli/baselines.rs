//! Baselines: saved, held against, renewed, and what is said where they cannot be.

use placebench_core::record::{GateBase, GateVerdict};
use serde_json::Value;

use crate::env::{Ran, TestEnv};

/// Half of the model on each of two devices.
const HALVES: &str = "{ \"model.embed_tokens\" = \"sim:0\", \"model.layers.0-3\" = \"sim:0\", \"\" = \"sim:1\" }";

fn write(env: &TestEnv, map: &str, rest: &str) {
    env.scenario(
        "s",
        &format!("[placement.x]\ndevice_map = {map}\n[measure]\nwarmup = 0\nrepetitions = 2\n{rest}"),
    );
}

fn suite() -> TestEnv {
    let env = TestEnv::new();
    write(&env, HALVES, "");
    env
}

fn saved() -> TestEnv {
    let env = suite();
    let ran = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    env
}

/// The one file of the baseline `main`.
fn file(env: &TestEnv) -> String {
    let entries = std::fs::read_dir(env.path("ci/baselines/main")).unwrap();
    let names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    format!("ci/baselines/main/{}", names[0])
}

fn text(env: &TestEnv, name: &str) -> String {
    std::fs::read_to_string(env.path(name)).unwrap()
}

/// Runs against `main`; the answer of the gate.
fn hold(env: &TestEnv, flags: &[&str]) -> (Ran, GateVerdict) {
    let flags = if flags.is_empty() {
        &["--baseline", "main"]
    } else {
        flags
    };
    let ran = env.run(&[["run", "suite"].as_slice(), flags].concat());
    let verdict = env.verdict();
    assert_eq!(ran.code, Some(i32::from(verdict.exit_code)), "{ran:?}");
    assert!(verdict.gate.is_some(), "{ran:?}");
    (ran, verdict.gate.unwrap())
}

fn assert_says(ran: &Ran, words: &[&str]) {
    for words in words {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

/// The counters that are not the same, as `counter: change`.
fn changed(gate: &GateVerdict) -> Vec<String> {
    let cases = gate.comparison.cases.iter().flat_map(|case| &case.counters);
    let value = |row: &_| serde_json::to_value(row).unwrap();
    let rows = cases.map(value).filter(|row: &Value| row["change"] != "same");
    rows.map(|row| {
        format!(
            "{}: {}",
            row["counter"].as_str().unwrap(),
            row["change"].as_str().unwrap()
        )
    })
    .collect()
}

#[test]
fn what_is_saved_holds_and_says_where_it_is() {
    let env = saved();
    let file = file(&env);
    assert!(file.starts_with("ci/baselines/main/cpu-"), "{file}");
    let (ran, gate) = hold(&env, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(changed(&gate), [] as [&str; 0]);
    assert_eq!(
        gate.base,
        GateBase::Baseline {
            name: "main".into(),
            file: file.clone()
        }
    );
    assert_says(&ran, &["held against baseline main (", "nothing got worse"]);
    // Too few repetitions say nothing of times, and those of a stored baseline fail nothing.
    assert_says(&ran, &["no verdict on load_s, ttft_s, tpot_s", "and fails no gate"]);
    let text = text(&env, &file);
    assert!(text.len() < 4096, "{} bytes a case", text.len());
    assert!(
        !text.contains(env.path("").to_str().unwrap()),
        "no path of this machine: {text}"
    );
    assert!(
        !text.contains("HOME"),
        "no variable that says nothing of the machine: {text}"
    );
}

#[test]
fn every_counter_is_gated_through_the_binary() {
    let other = "{ \"model.embed_tokens\" = \"sim:0\", \"model.layers.0-1\" = \"sim:0\", \
                 \"model.layers.2-5\" = \"sim:1\", \"\" = \"sim:2\" }";
    let ignored = "[[fault]]\nkind = \"ignored_split\"\n";
    let garbage = "[[fault]]\nkind = \"garbage\"\n[expect]\nfails = []\n";
    for (map, rest, expected) in [
        (
            other,
            "",
            vec![
                "plan: differs",
                "realised: differs",
                "hops: worse",
                "transfer_bytes: worse",
            ],
        ),
        (
            HALVES,
            ignored,
            vec!["realised: differs", "weights_bytes: differs", "peak_bytes: worse"],
        ),
        (HALVES, garbage, vec!["token_ids: differs"]),
    ] {
        let env = saved();
        write(&env, map, rest);
        let (ran, gate) = hold(&env, &[]);
        assert_eq!(ran.code, Some(100), "{ran:?}");
        let changed = changed(&gate);
        for row in &expected {
            assert!(changed.iter().any(|known| known == row), "{row}: {changed:?}");
        }
        assert_eq!(gate.exit_code, 100);
        assert_says(&ran, &["s/p/x", "gate: 1 case compared: 1 worse or different"]);
    }
}

/// Changes a figure of the file that was saved.
fn edit(env: &TestEnv, from: &str, to: &str) {
    let file = file(env);
    let before = text(env, &file);
    assert!(before.contains(from), "{from}: {before}");
    env.write(&file, &before.replace(from, to));
}

#[test]
fn a_figure_that_differs_alone_is_named_and_one_within_its_tolerance_is_not() {
    let peak = |env: &TestEnv| -> u64 {
        let file: Value = serde_json::from_str(&text(env, &file(env))).unwrap();
        file["cases"]["s/p/x"]["peak_bytes"]["sim:0"].as_u64().unwrap()
    };
    let now = peak(&saved());
    for (from, to, expected) in [
        (
            "\"hops\":[[12,1]]".to_owned(),
            "\"hops\":[[1,1],[11,0]]".to_owned(),
            "hops: worse",
        ),
        (
            "\"transfer_bytes\":[[1,".to_owned(),
            "\"transfer_bytes\":[[1,1".to_owned(),
            "transfer_bytes: no_verdict",
        ),
        (
            "\"streamed_bytes\":[[12,0]]".to_owned(),
            "\"streamed_bytes\":[[12,9]]".to_owned(),
            "streamed_bytes: no_verdict",
        ),
        (
            "\"weights_bytes\":{\"sim:0\":".to_owned(),
            "\"weights_bytes\":{\"sim:0\":1".to_owned(),
            "weights_bytes: differs",
        ),
        (
            format!("\"sim:0\":{now}"),
            format!("\"sim:0\":{}", now * 98 / 100),
            "peak_bytes: worse",
        ),
        (
            format!("\"sim:0\":{now}"),
            format!("\"sim:0\":{}", now * 995 / 1000),
            "",
        ),
        (
            format!("\"sim:0\":{now}"),
            format!("\"sim:0\":{}", now * 102 / 100),
            "peak_bytes: better",
        ),
        (
            "\"tokens\":[{\"ids\":[".to_owned(),
            "\"tokens\":[{\"ids\":[3,".to_owned(),
            "token_ids: differs",
        ),
        (
            "\"prompt\":[5,".to_owned(),
            "\"prompt\":[4,".to_owned(),
            "token_ids: differs",
        ),
        (
            "\"plan\":[[\"sim:0\"".to_owned(),
            "\"plan\":[[\"sim:2\"".to_owned(),
            "plan: differs",
        ),
    ] {
        let env = saved();
        edit(&env, &from, &to);
        let (ran, gate) = hold(&env, &[]);
        let found: Vec<String> = changed(&gate);
        let wanted: Vec<&str> = [expected].into_iter().filter(|row| !row.is_empty()).collect();
        assert!(
            wanted.iter().all(|row| found.iter().any(|known| known == row)) && (found.is_empty() == wanted.is_empty()),
            "{from} to {to}: {found:?}"
        );
        let code = match expected {
            row if row.ends_with("worse") || row.ends_with("differs") => 100,
            row if row.ends_with("no_verdict") => 112,
            _ => 0,
        };
        assert_eq!(ran.code, Some(code), "{from} to {to}: {ran:?}");
    }
}

#[test]
fn a_text_that_parts_is_named_by_its_token() {
    let env = saved();
    write(
        &env,
        HALVES,
        "[[fault]]\nkind = \"zero_copy\"\nat = { hop = \"model.layers.3 -> model.layers.4\", token = 3 }\n",
    );
    let (ran, _) = hold(&env, &[]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert_says(
        &ran,
        &[
            "token_ids: generation 0 diverges from the base at token 3",
            "the new run asked something else: its fault changed",
        ],
    );
}

#[test]
fn another_machine_has_no_verdict_and_both_are_named() {
    let env = saved();
    let (own, before) = (file(&env), text(&env, &file(&env)));
    std::fs::remove_file(env.path(&own)).unwrap();
    let environment: Value = serde_json::from_str::<Value>(&before).unwrap()["sources"][0]["environment"].clone();
    let key = std::path::Path::new(&own)
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let cpu = environment["cpu"].to_string();
    let other = before
        .replace(&key, "cpu-64c-elsewhere-00000000")
        .replace(&cpu, "\"Z80\"");
    env.write("ci/baselines/main/cpu-64c-elsewhere-00000000.json", &other);
    let (ran, gate) = hold(&env, &[]);
    assert_eq!((ran.code, gate.exit_code), (Some(112), 112), "{ran:?}");
    assert_says(
        &ran,
        &[
            &format!("has no file {key}.json"),
            "cpu-64c-elsewhere-00000000 (cpu ",
            "instead of `Z80`",
        ],
    );
    let ran = env.run(&["compare", "baseline:main", "latest"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    assert_says(&ran, &[&format!("has no file {key}.json")]);
    let (ran, _) = hold(&env, &["--baseline-lenient", "main"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_says(&ran, &["there was nothing to hold the run against"]);
    // Figures of another build, kernel or driver on the same hardware: counters gate, times do not.
    env.write(&own, &before.replace(&environment["kernel"].to_string(), "\"1.2.3\""));
    std::fs::remove_file(env.path("ci/baselines/main/cpu-64c-elsewhere-00000000.json")).unwrap();
    let (ran, _) = hold(&env, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_says(&ran, &["measured on unlike machines: `1.2.3` and"]);
}

#[test]
fn counters_for_all_machines_are_used_where_a_machine_has_no_file() {
    let env = suite();
    let ran = env.run(&["run", "suite", "--save-baseline", "main", "--counters-only"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(file(&env), "ci/baselines/main/any.json");
    let first = text(&env, "ci/baselines/main/any.json");
    assert!(
        !first.contains("\"attempts\"") && !first.contains("\"environment\""),
        "{first}"
    );
    let (ran, gate) = hold(&env, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        gate.comparison
            .cases
            .iter()
            .all(|case| case.timings.is_empty() && case.counters.len() > 8)
    );
    env.run(&["run", "suite", "--save-baseline", "main", "--counters-only"]);
    assert_eq!(
        text(&env, "ci/baselines/main/any.json"),
        first,
        "the same figures are the same file"
    );
    write(&env, "\"cpu\"", "");
    assert_eq!(hold(&env, &[]).0.code, Some(100));
    // The own file comes first.
    assert_eq!(env.run(&["run", "suite", "--save-baseline", "main"]).code, Some(0));
    assert_eq!(hold(&env, &[]).0.code, Some(0));
}

#[test]
fn a_new_case_has_no_verdict_unless_that_is_passed_over_and_a_vanished_one_never_has() {
    let env = saved();
    env.scenario("t", "[placement.y]\ndevice_map = \"cpu\"\n");
    env.scenario(
        "crash",
        "[placement.y]\ndevice_map = \"cpu\"\n[[fault]]\nkind = \"crash\"\n[expect]\noutcome = \"crashed\"\n",
    );
    let (ran, _) = hold(&env, &[]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    assert_says(&ran, &["nothing to compare with: t/p/y: it is new"]);
    assert!(
        !ran.stdout.contains("crash/p/y: it is"),
        "it never makes figures: {}",
        ran.stdout
    );
    let (ran, _) = hold(&env, &["--baseline-lenient", "main"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_says(&ran, &["nothing to compare with: t/p/y: it is new"]);
    let ran = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert!(ran.stderr.contains("1 new, 1 renewed"), "{ran:?}");
    assert_eq!(hold(&env, &[]).0.code, Some(0));

    std::fs::remove_file(env.path("suite/t.toml")).unwrap();
    for flag in ["--baseline", "--baseline-lenient"] {
        let (ran, _) = hold(&env, &[flag, "main"]);
        assert_eq!(ran.code, Some(112), "{ran:?}");
        assert_says(&ran, &["missing: t/p/y: the new run does not have it"]);
    }
    // What was not asked for is not missing: another folder, a filter.
    let ran = env.run(&["run", "suite/s.toml", "--baseline", "main"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert!(ran.stderr.contains("1 removed, since"), "{ran:?}");
    assert_eq!(hold(&env, &[]).0.code, Some(0));
}

#[test]
fn a_part_of_the_cases_is_held_against_its_part_and_saved_beside_the_rest() {
    let env = suite();
    env.scenario("t", "[placement.y]\ndevice_map = \"cpu\"\n");
    let save = |flags: &[&str]| {
        let ran = env.run(&[["run", "suite", "--save-baseline", "main"].as_slice(), flags].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stderr
    };
    assert!(save(&["--partition", "slice:1/2"]).contains("cases: 1 new"));
    assert!(save(&["--partition", "slice:2/2"]).contains("cases: 1 new, 1 kept from before"));
    assert!(save(&["-E", "scenario(=t)"]).contains("cases: 1 renewed, 1 kept from before"));
    for flags in [
        ["--partition", "slice:1/2"],
        ["--partition", "slice:2/2"],
        ["-E", "scenario(=s)"],
    ] {
        let (ran, gate) = hold(&env, &[["--baseline", "main"], flags].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(gate.comparison.cases.len(), 1);
    }
    // Shards that were held against it are so as one, and a merged run can be compared with it too.
    let shard = |part: &str, dir: &str| {
        let ran = env.run(&[
            "run",
            "suite",
            "--baseline",
            "main",
            "--partition",
            part,
            "--output-dir",
            dir,
        ]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    shard("slice:1/2", "shards/1");
    write(&env, "\"cpu\"", "");
    let ran = env.run(&[
        "run",
        "suite",
        "--baseline",
        "main",
        "--partition",
        "slice:2/2",
        "--output-dir",
        "shards/2",
    ]);
    assert!(matches!(ran.code, Some(0 | 100)), "{ran:?}");
    let ran = env.run(&["merge", "shards/1", "shards/2"]);
    let gate = env.verdict().gate.unwrap();
    assert_eq!(gate.comparison.cases.len(), 2, "{ran:?}");
    let compared = env.run(&["compare", "baseline:main", "latest"]);
    assert_eq!(compared.code, ran.code, "{compared:?} {ran:?}");
}

#[test]
fn a_run_that_failed_is_not_saved() {
    let env = suite();
    write(&env, HALVES, "[[fault]]\nkind = \"crash\"\n");
    let ran = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert!(
        ran.stderr.contains("baseline main is not saved: 1 case failed: s/p/x"),
        "{ran:?}"
    );
    write(
        &env,
        HALVES,
        "[[fault]]\nkind = \"crash\"\n[expect]\noutcome = \"crashed\"\n",
    );
    let ran = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("is not saved: no case made figures"), "{ran:?}");
    assert!(!env.path("ci/baselines/main").exists());
}

#[test]
fn names_lead_nowhere_and_unknown_ones_stop_before_anything_runs() {
    let env = saved();
    for name in ["../x", "a/b", ".", "..", ".x", "", "a b", "x\u{202e}y", "-x"] {
        for flag in ["--baseline", "--baseline-lenient", "--save-baseline"] {
            let ran = env.run(&["run", "suite", &format!("{flag}={name}")]);
            assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
        }
        let mut command = env.command(&["run", "suite"]);
        let ran = Ran::of(command.env("PLACEBENCH_BASELINE", name).output().unwrap());
        let code = if name.is_empty() { 0 } else { 96 };
        assert_eq!(ran.code, Some(code), "{name}: {ran:?}");
        assert_eq!(
            env.run(&["compare", &format!("baseline:{name}"), "latest"]).code,
            Some(96)
        );
    }
    let ran = env.run(&["run", "suite", "--baseline", "mian"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr.contains("there is no baseline `mian`") && ran.stderr.contains("there are main"),
        "{ran:?}"
    );
    for clash in [
        ["--baseline=main", "--save-baseline=x"],
        ["--baseline=main", "--audit"],
        ["--baseline=a", "--baseline-lenient=b"],
    ] {
        assert_eq!(
            env.run(&[&["run", "suite"], clash.as_slice()].concat()).code,
            Some(2),
            "{clash:?}"
        );
    }
}

#[test]
fn a_file_that_is_no_baseline_is_named_before_anything_runs() {
    let env = saved();
    let path = file(&env);
    let good = text(&env, &path);
    let huge = good.replace("[\"model.layers.\",4,7]", "[\"model.layers.\",4,4294967295]");
    for (bad, why) in [
        ("", "it is no baseline"),
        ("{}", "schema_version"),
        (&good[..good.len() / 2], "it is no baseline"),
        (
            &good.replace("\"schema_version\":1", "\"schema_version\":7"),
            "its format is version 7",
        ),
        (
            &good.replace("\"key\":\"cpu-", "\"key\":\"gpu-"),
            "it says to be of `gpu-",
        ),
        (
            &good.replace("\"source\":0", "\"source\":9"),
            "source 9 is not among the sources",
        ),
        (&good.replace("[[12,1]]", "[[4294967295,1]]"), "cannot be"),
        (&huge, "cannot be"),
        (&good.replace("\"e2e_s\":[", "\"e2e_s\":[1.0,"), "do not fit each other"),
        (&format!("{}{}", "[".repeat(100_000), good), "it is no baseline"),
    ] {
        env.write(&path, bad);
        let ran = env.run(&["run", "suite", "--baseline", "main"]);
        assert_eq!(ran.code, Some(96), "{why}: {ran:?}");
        assert!(ran.stderr.contains(why) && ran.stderr.contains(&path), "{why}: {ran:?}");
        assert!(ran.stdout.is_empty(), "nothing was run: {ran:?}");
        // Saving does not write over what it cannot read.
        assert_eq!(
            env.run(&["run", "suite", "--save-baseline", "main"]).code,
            Some(96),
            "{why}"
        );
        assert_eq!(text(&env, &path), bad);
    }
    let sparse = std::fs::File::create(env.path(&path)).unwrap();
    sparse.set_len(65 << 20).unwrap();
    let ran = env.run(&["run", "suite", "--baseline", "main"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("it holds more than 64.0 MiB"), "{ran:?}");
    std::fs::remove_file(env.path(&path)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", env.path(&path)).unwrap();
    let ran = env.run(&["run", "suite", "--baseline", "main"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("it is no plain file"),
        "{ran:?}"
    );
}

#[test]
fn a_report_made_again_holds_against_the_same_file_and_keeps_the_answer_where_that_changed() {
    let env = saved();
    hold(&env, &[]);
    let folder = env.latest();
    let folder = folder.to_str().unwrap();
    let page = || std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    let ran = env.run(&["report", folder]);
    assert!(ran.code == Some(0) && ran.stderr.is_empty(), "{ran:?}");
    assert!(page().contains("Held against baseline main"), "{}", page());
    edit(&env, "\"hops\":[[12,1]]", "\"hops\":[[12,0]]");
    let ran = env.run(&["report", folder, "--markdown"]);
    assert!(ran.stderr.contains("has changed since the run began"), "{ran:?}");
    assert!(ran.stderr.contains("shown is the answer of then"), "{ran:?}");
    assert!(
        ran.stdout.contains("Held against baseline main") && ran.stdout.contains("nothing got worse"),
        "{ran:?}"
    );
    let ran = env.run(&["compare", "baseline:main", "latest"]);
    assert_eq!(ran.code, Some(100), "the file as it is now: {ran:?}");
    let ran = env.run(&["compare", &file(&env), "latest"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert_says(&ran, &["hops (prefill)", "worse"]);
}

#[test]
fn what_differs_is_in_the_report() {
    let env = saved();
    write(&env, "\"cpu\"", "");
    let (ran, _) = hold(&env, &[]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let page = std::fs::read_to_string(env.latest().join("report.html")).unwrap();
    for words in [
        "1 passed, worse than the baseline",
        "Held against baseline main",
        "Only what differs",
        "realised",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let markdown = env.run(&["report", "reports/latest", "--markdown"]).stdout;
    assert!(markdown.contains("**Held against baseline main"), "{markdown}");
    assert!(markdown.contains("| s/p/x | realised |"), "{markdown}");
}

#[test]
fn profiles_and_variables_name_baselines_and_flags_win() {
    let env = saved();
    env.write(
        "placebench.toml",
        "[profile.default]\nbaseline = \"main\"\n[profile.easy]\nbaseline_lenient = \"none-yet\"\nbaseline_dir = \"elsewhere\"\n",
    );
    let gate = || env.verdict().gate;
    assert_eq!(env.run(&["run", "suite"]).code, Some(0));
    assert!(gate().is_some());
    assert_eq!(env.run(&["run", "suite", "--no-baseline"]).code, Some(0));
    assert!(gate().is_none());
    assert_eq!(env.run(&["run", "suite", "--audit"]).code, Some(0));
    assert!(gate().is_none(), "an audit makes no figures");
    let ran = env.run(&["run", "suite", "-P", "easy"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("there is no baseline `none-yet` in"), "{ran:?}");
    let shown = env.run(&["run", "suite", "-P", "easy", "--show-config"]).stdout;
    assert!(
        shown.contains("none-yet (lenient)") && shown.contains("elsewhere"),
        "{shown}"
    );
    assert_eq!(env.run(&["run", "suite", "--baseline", "gone"]).code, Some(96));
    let with = |name: &str, value: &str| {
        let mut command = env.command(&["run", "suite"]);
        Ran::of(command.env(name, value).output().unwrap())
    };
    assert_eq!(with("PLACEBENCH_BASELINE", "gone").code, Some(96));
    assert_eq!(with("PLACEBENCH_BASELINE_LENIENT", "gone").code, Some(0));
    env.write(
        "placebench.toml",
        "[profile.default]\nbaseline = \"../x\"\nbaseline_lenient = \"y\"\n",
    );
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("is no name of a baseline"), "{ran:?}");
    assert!(ran.stderr.contains("leave one of the two out"), "{ran:?}");
}

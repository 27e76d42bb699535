//! The formats of CI services from the command line: what is printed, what is written where, and what is refused.

use placebench_core::exit_code::ExitCode;
use placebench_core::record::{GateBase, GateVerdict, RunVerdict};
use serde_json::Value;

use crate::env::{Ran, TestEnv};

/// A suite with a case that passes and one whose text lacks what it must contain.
fn suite() -> TestEnv {
    let env = TestEnv::new();
    env.scenario("good", "[placement.single]\ndevice_map = \"sim:2\"\n");
    env.scenario(
        "bad",
        "[placement.single]\ndevice_map = \"sim:2\"\n[expect]\ncontains = [\"no such text\"]\n",
    );
    env
}

fn ran() -> TestEnv {
    let env = suite();
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    env
}

fn with(env: &TestEnv, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = env.command(args);
    command.envs(variables.iter().copied());
    Ran::of(command.output().unwrap())
}

fn read(env: &TestEnv, name: &str) -> String {
    std::fs::read_to_string(env.path(name)).unwrap()
}

#[test]
fn a_step_gets_annotations_and_its_summary() {
    let env = ran();
    env.write("summary.md", "what another command wrote\n");
    let summary = env.path("summary.md");
    let variables = [("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    let ran = with(&env, &["report", "--format", "github"], &variables);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    let line = "::error title=bad/p/single%3A failed,file=suite/bad.toml,line=13,endLine=13::contains";
    assert!(ran.stdout.starts_with(line), "{ran:?}");
    let text = read(&env, "summary.md");
    assert!(
        text.starts_with("what another command wrote\n## placebench: 1 passed, 1 failed\n"),
        "{text}"
    );
    assert!(
        text.contains("<details><summary>bad/p/single: failed</summary>"),
        "{text}"
    );
    let printed = env.run(&["report", "--format", "github-summary"]);
    assert!(text.trim_end().ends_with(printed.stdout.trim_end()), "{printed:?}");
}

#[test]
fn files_are_named_from_the_workspace_of_the_job() {
    let env = ran();
    let folder = env.path("").canonicalize().unwrap();
    let above = folder.parent().unwrap().to_str().unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let ran = with(&env, &["report", "--format", "github"], &[("GITHUB_WORKSPACE", above)]);
    assert!(ran.stdout.contains(&format!(",file={name}/suite/bad.toml,")), "{ran:?}");
    // Without the file for it nothing is written, and that is said.
    assert!(ran.stderr.contains("GITHUB_STEP_SUMMARY"), "{ran:?}");
    env.write("elsewhere/x", "");
    let elsewhere = env.path("elsewhere");
    let variables = [("GITHUB_WORKSPACE", elsewhere.to_str().unwrap())];
    let ran = with(&env, &["report", "--format", "github"], &variables);
    assert!(
        ran.stdout.starts_with("::error title=bad/p/single%3A failed::"),
        "{ran:?}"
    );
}

#[test]
fn a_summary_that_cannot_be_written_is_an_error() {
    let env = ran();
    let variables = [("GITHUB_STEP_SUMMARY", "no/such/folder/summary.md")];
    let ran = with(&env, &["report", "--format", "github"], &variables);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("no/such/folder/summary.md"), "{ran:?}");
}

#[test]
fn what_is_printed_is_what_is_written() {
    let env = ran();
    for (format, name) in [("junit", "junit.xml"), ("csv", "results.csv")] {
        let ran = env.run(&["report", "--format", format]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let written = std::fs::read_to_string(env.latest().join(name)).unwrap();
        assert_eq!(ran.stdout.trim_end(), written.trim_end());
    }
    let markdown = env.run(&["report", "--format", "markdown"]);
    assert_eq!(markdown.stdout, env.run(&["report", "--markdown"]).stdout);
}

#[test]
fn figures_are_lists_and_objects_of_numbers() {
    let env = ran();
    let printed = |format| -> Value {
        let ran = env.run(&["report", "--format", format]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let bencher = printed("bencher");
    assert!(bencher["good/p/single"]["ttft-s"]["value"].is_number(), "{bencher}");
    assert!(
        bencher["good/p/single {sim:2}"]["weights-bytes"]["value"].is_number(),
        "{bencher}"
    );
    let smaller = printed("github-benchmark");
    let named = |list: &Value, name: &str| list.as_array().unwrap().iter().any(|entry| entry["name"] == name);
    assert!(named(&smaller, "good/p/single ttft_s") && !named(&smaller, "good/p/single decode_tokens_per_s"));
    let bigger = printed("github-benchmark-bigger");
    assert!(named(&bigger, "good/p/single decode_tokens_per_s") && !named(&bigger, "good/p/single ttft_s"));
}

#[test]
fn a_run_without_figures_gives_empty_lists() {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:2\"\n[requires]\ncuda = 9\n",
    );
    assert_eq!(env.run(&["run", "suite"]).code, Some(0));
    for (format, empty) in [("bencher", "{}"), ("github-benchmark", "[]"), ("github", "")] {
        assert_eq!(env.run(&["report", "--format", format]).stdout.trim_end(), empty);
    }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let env = ran();
    for args in [
        &["report", "--markdown", "--format", "junit"][..],
        &["report", "--format", "junit", "--output-dir", "x"],
        &["report", "--format", "nothing"],
        &["schema", "--events", "--verdict"],
        &["schema", "--events", "--markdown"],
    ] {
        assert_eq!(env.run(args).code, Some(2), "{args:?}");
    }
}

/// Judging again does not know the other side, so that its answer comes from the verdict on disk.
#[test]
fn what_a_run_was_held_against_is_in_every_format() {
    let env = ran();
    let again = env.run(&["run", "suite/good.toml"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let compared = env.run(&["compare", "latest", "latest", "--all", "--format", "json"]);
    let document: Value = serde_json::from_str(&compared.stdout).unwrap();
    let verdict: RunVerdict = env.verdict();
    let verdict = verdict.with_gate(GateVerdict {
        base: GateBase::Baseline {
            name: "main".into(),
            file: "ci/baselines/main/0.json".into(),
        },
        comparison: serde_json::from_value(document["comparison"].clone()).unwrap(),
        notes: vec!["a part of the machine differs".into()],
        exit: ExitCode::NoVerdict,
        exit_code: ExitCode::NoVerdict.number(),
    });
    let path = env.latest().join("verdict.json");
    std::fs::write(&path, serde_json::to_string(&verdict).unwrap()).unwrap();
    for (format, words) in [
        ("github", "no verdict against baseline main"),
        (
            "github-summary",
            "**Compared with baseline main: nothing can be said of the whole.**",
        ),
        ("junit", "<property name=\"gate.base\" value=\"baseline main\"/>"),
    ] {
        let ran = env.run(&["report", "--format", format]);
        assert!(ran.stdout.contains(words), "{format}: {ran:?}");
    }
    // A verdict that cannot be read is said, and the rest is shown.
    std::fs::write(&path, "{").unwrap();
    let ran = env.run(&["report", "--format", "junit"]);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("what the run was held against is left out"),
        "{ran:?}"
    );
}

#[test]
fn a_comparison_annotates_what_broke() {
    let env = suite();
    env.write("suite/bad.toml", &read(&env, "suite/good.toml"));
    let first = env.run(&["run", "suite", "--output-dir", "first"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let broken = read(&env, "suite/bad.toml") + "[expect]\ncontains = [\"no such text\"]\n";
    env.write("suite/bad.toml", &broken);
    let second = env.run(&["run", "suite", "--output-dir", "second"]);
    assert_eq!(second.code, Some(100), "{second:?}");
    let summary = env.path("summary.md");
    let variables = [("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    let args = ["compare", "first/latest", "second/latest", "--format", "github"];
    let ran = with(&env, &args, &variables);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let first = ran.stdout.lines().next().unwrap();
    assert!(
        first.starts_with("::error title=bad/p/single%3A failed%2C but passed in run "),
        "{ran:?}"
    );
    assert!(
        first.contains(",file=suite/bad.toml,line=13,endLine=13::contains"),
        "{ran:?}"
    );
    assert!(ran.stdout.lines().all(|line| line.starts_with("::")), "{ran:?}");
    assert!(read(&env, "summary.md").starts_with("## placebench compare\n\n**2 cases compared:"));
}

//! Which cases are run: filters, profiles, environment, and how that goes on record.

use placebench_core::record::{RunInfo, SettingSource};

use crate::env::{Ran, TestEnv};

/// Three scenarios with two prompts and two placements each; `c` names its repetitions.
pub(crate) fn suite() -> TestEnv {
    let env = TestEnv::new();
    for (name, tags, rest) in [
        ("a", "\"smoke\"", ""),
        ("b", "\"smoke\", \"slow\"", ""),
        ("c", "\"gpu\"", "[measure]\nrepetitions = 2\n"),
    ] {
        env.write(
            &format!("suite/{name}.toml"),
            &format!(
                "schema_version = 1\ntags = [{tags}]\n[model]\npath = \"models/m\"\n[devices]\n\"sim:0\" = {{ on = \"cpu\", memory = \"1MiB\" }}\n\
                 [[prompt]]\nname = \"p\"\ntext = \"Hello\"\n[[prompt]]\nname = \"q\"\ntext = \"Bye\"\n[placement.single]\ndevice_map = \"cpu\"\n\
                 [placement.auto]\ndevice_map = \"sim:0\"\n[expect]\nagreement = {{ reference = \"single\" }}\n{rest}"
            ),
        );
    }
    env
}

pub(crate) fn info(env: &TestEnv) -> RunInfo {
    serde_json::from_slice(&std::fs::read(env.latest().join("run.json")).unwrap()).unwrap()
}

fn listed(env: &TestEnv, args: &[&str]) -> Vec<String> {
    let all = [["list", "suite", "--format", "json"].as_slice(), args].concat();
    let ran = env.run(&all);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let list: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
    list.iter()
        .map(|case| case["case"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_filter_selects_cases_in_list_run_and_plan() {
    let env = suite();
    assert_eq!(listed(&env, &[]).len(), 12);
    assert_eq!(
        listed(&env, &["-E", "tag(smoke) - tag(slow) & prompt(q)"]),
        ["a/q/single", "a/q/auto"]
    );
    assert_eq!(
        listed(&env, &["-E", "name(=a/p/single)", "-E", "name(=b/q/single)"]),
        ["a/p/single", "b/q/single"]
    );
    assert_eq!(listed(&env, &["-E", "not (tag(slow) | tag(gpu))"]).len(), 4);
    let ran = env.run(&["run", "suite", "-E", "scenario(a) & prompt(p)"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let run = info(&env);
    assert_eq!(run.cases.len(), 2);
    assert_eq!(run.control.filterset.as_deref(), Some("scenario(#a) and prompt(#p)"));
    let ran = env.run(&["plan", "suite", "-E", "tag(nothing)"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

#[test]
fn a_reference_placement_comes_along_and_is_named() {
    let env = suite();
    let ran = env.run(&["run", "suite", "-E", "name(=a/p/auto)"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stderr
            .contains("also run, because selected cases must agree with them: a/p/single"),
        "{}",
        ran.stderr
    );
    assert_eq!(info(&env).cases.len(), 2);
    let ran = env.run(&["list", "suite", "-E", "name(=a/p/auto)"]);
    assert!(ran.stdout.contains("a/p/single  [reference]"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("a/p/auto  [reference]"), "{}", ran.stdout);
}

#[test]
fn a_bad_filter_is_code_94_and_shows_its_place() {
    let env = suite();
    for command in ["run", "list", "plan"] {
        let ran = env.run(&[command, "suite", "-E", "tag(smoke) and nam(x)"]);
        assert_eq!(ran.code, Some(94), "{ran:?}");
        assert!(!env.path("reports").exists());
    }
    insta::assert_snapshot!(env.run(&["run", "suite", "-E", "tag(smoke) and nam(x)"]).stderr);
    let mut command = env.command(&["list", "suite"]);
    let ran = Ran::of(command.env("PLACEBENCH_FILTERSET", "tag(").output().unwrap());
    assert_eq!(ran.code, Some(94), "{ran:?}");
    assert!(ran.stderr.contains("PLACEBENCH_FILTERSET:1:4"), "{}", ran.stderr);
}

#[test]
fn nothing_selected_is_code_4_unless_that_is_wanted() {
    let env = suite();
    let ran = env.run(&["run", "suite", "-E", "tag(smoek)"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr.contains("no case has tag(#smoek); did you mean `smoke`?"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("selects none of 12 cases"), "{}", ran.stderr);
    let ran = env.run(&["run", "suite", "-E", "none()", "--no-cases", "pass"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!env.path("reports").exists());
    assert_eq!(
        listed(&env, &["-E", "none()", "--no-cases", "pass"]),
        Vec::<String>::new()
    );
    // A slip in what is left out would go unnoticed.
    let ran = env.run(&["list", "suite", "-E", "not tag(slwo)"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.contains("no case has tag(#slwo); did you mean `slow`?"),
        "{}",
        ran.stderr
    );
}

#[test]
fn schedulers_learn_what_they_need() {
    let env = suite();
    let ran = env.run(&["list", "suite", "--format", "json", "-E", "name(=c/q/auto)"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
    let case = &list[1];
    assert_eq!(case["case"], "c/q/auto");
    assert_eq!(case["group"], "c/q");
    assert_eq!(case["devices"], serde_json::json!(["sim:0", "cpu"]));
    assert_eq!(case["tags"], serde_json::json!(["gpu"]));
    assert_eq!(case["requires"]["cuda"], 0);
    assert_eq!(case["attempts"], 2);
    assert_eq!(case["at_most_s"], 600.0, "two attempts of five minutes");
    assert_eq!(
        (&case["is_reference_only"], &list[0]["is_reference_only"]),
        (&false.into(), &true.into())
    );
    assert!(
        case["line"].as_u64().unwrap() > 1 && case["file"] == "suite/c.toml",
        "{case}"
    );
}

const CONFIG: &str = r#"[profile.default]
retries = 1
[profile.ci]
filterset = "tag(smoke)"
repetitions = 3
timeout_multiplier = 2.0
output_dir = "out"
[profile.gpu]
filterset = "tag(gpu)"
"#;

fn source<'a>(run: &'a RunInfo, setting: &str) -> (&'a str, &'a SettingSource) {
    let row = run.control.settings.iter().find(|row| row.setting == setting).unwrap();
    (&row.value, &row.source)
}

#[test]
fn a_profile_sets_what_nobody_else_says_and_the_record_tells_who_did() {
    let env = suite();
    env.write("placebench.toml", CONFIG);
    let ran = env.run(&["run", "suite", "--profile", "ci", "-E", "prompt(p)", "--seed", "5"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = std::fs::read(env.path("out/latest/run.json")).unwrap();
    let run: RunInfo = serde_json::from_slice(&text).unwrap();
    assert_eq!(run.control.profile.as_deref(), Some("ci"));
    assert_eq!((run.seed, run.control.retries), (5, 1));
    let profile = |name: &str, line: usize| SettingSource::Profile {
        name: name.into(),
        file: "placebench.toml".into(),
        line,
    };
    assert_eq!(source(&run, "seed"), ("5", &SettingSource::Flag));
    assert_eq!(
        source(&run, "filterset"),
        ("prompt(#p)", &SettingSource::Flag),
        "a flag replaces the profile's filter"
    );
    assert_eq!(source(&run, "retries"), ("1", &profile("default", 2)));
    assert_eq!(source(&run, "timeout_multiplier"), ("2", &profile("ci", 6)));
    assert_eq!(source(&run, "max_fail"), ("all", &SettingSource::Default));
    let repetitions = run
        .control
        .settings
        .iter()
        .find(|row| row.setting == "repetitions")
        .unwrap();
    assert_eq!(repetitions.overridden_by, ["c"]);
    for case in &run.cases {
        let expected = if case.scenario == "c" { 2 } else { 3 };
        assert_eq!(
            case.measure.repetitions, expected,
            "{}: the scenario's own word wins over a profile",
            case.case
        );
        assert!((case.timeout.total_s - 600.0).abs() < 1e-9);
    }
}

#[test]
fn a_flag_wins_over_a_variable_and_that_over_scenario_and_profile() {
    let env = suite();
    env.write("placebench.toml", CONFIG);
    let repetitions = |flags: &[&str], variable: Option<&str>| {
        let args = [
            [
                "run",
                "suite",
                "-P",
                "ci",
                "-E",
                "name(=c/p/single)",
                "--output-dir",
                "reports",
            ]
            .as_slice(),
            flags,
        ]
        .concat();
        let mut command = env.command(&args);
        if let Some(value) = variable {
            command.env("PLACEBENCH_REPETITIONS", value);
        }
        let ran = Ran::of(command.output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        info(&env).cases[0].measure.repetitions
    };
    assert_eq!(repetitions(&[], None), 2, "the scenario's");
    assert_eq!(repetitions(&[], Some("4")), 4);
    assert_eq!(repetitions(&["--repetitions", "1"], Some("4")), 1);
}

#[test]
fn configuration_is_found_above_and_not_beyond_the_repository() {
    let env = suite();
    env.write("placebench.toml", "[profile.default]\nfilterset = \"tag(gpu)\"\n");
    env.write("deep/er/x", "");
    let list_in = |folder: &str| {
        let mut command = env.command(&["list", env.path("suite").to_str().unwrap(), "--format", "json"]);
        let ran = Ran::of(command.current_dir(env.path(folder)).output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str::<Vec<serde_json::Value>>(&ran.stdout)
            .unwrap()
            .len()
    };
    assert_eq!(list_in("deep/er"), 4);
    env.write("deep/.git", "");
    assert_eq!(list_in("deep/er"), 12);
    env.write(
        "deep/er/placebench.toml",
        "[profile.default]\nfilterset = \"tag(slow)\"\n",
    );
    assert_eq!(list_in("deep/er"), 4);
    assert_eq!(
        listed(&env, &["--config-file", "deep/er/placebench.toml"]),
        ["b/p/single", "b/p/auto", "b/q/single", "b/q/auto"]
    );
}

#[test]
fn mistakes_of_a_configuration_stop_everything_and_show_their_place() {
    let env = suite();
    env.write(
        "placebench.toml",
        "[profile.ci]\nretrys = 2\nfilterset = \"tag(smoke) && tag(x)\"\n",
    );
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    insta::assert_snapshot!(ran.stderr);
    env.write("placebench.toml", CONFIG);
    let ran = env.run(&["run", "suite", "--profile", "cii"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr.contains("no profile `cii`") && ran.stderr.contains("did you mean `ci`?"),
        "{}",
        ran.stderr
    );
    let ran = env.run(&["list", "suite", "--config-file", "absent.toml"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    let mut command = env.command(&["list", "suite"]);
    let ran = Ran::of(
        command
            .env("PLACEBENCH_PROFILE", "gpu")
            .env("PLACEBENCH_RETRYS", "2")
            .output()
            .unwrap(),
    );
    assert_eq!((ran.code, ran.stdout.matches("c/").count()), (Some(0), 4), "{ran:?}");
    assert!(
        ran.stderr.contains("did you mean PLACEBENCH_RETRIES?"),
        "{}",
        ran.stderr
    );
    let mut command = env.command(&["list", "suite"]);
    let ran = Ran::of(command.env("PLACEBENCH_RETRIES", "two").output().unwrap());
    assert_eq!(ran.code, Some(96), "{ran:?}");
    env.run(&["run", "suite", "--max-fail", "0"]);
    assert_eq!(env.run(&["run", "suite", "--max-fail", "0"]).code, Some(2));
    assert_eq!(env.run(&["run", "suite", "--timeout-multiplier", "-1"]).code, Some(2));
    assert_eq!(
        env.run(&["run", "suite", "--fail-fast", "--max-fail", "2"]).code,
        Some(2)
    );
    assert_eq!(env.run(&["run", "--resume", "latest", "-E", "all()"]).code, Some(2));
}

#[test]
fn editors_learn_the_keys_of_a_configuration() {
    let env = TestEnv::new();
    let schema: serde_json::Value = serde_json::from_str(&env.run(&["schema", "--config"]).stdout).unwrap();
    let profile = &schema["$defs"]["ProfileTable"];
    assert_eq!(
        (&schema["additionalProperties"], &profile["additionalProperties"]),
        (&false.into(), &false.into())
    );
    // A profile that says everything says nothing the schema does not know, and the other way round.
    let all = "[profile.all]\nfilterset = \"all()\"\nretries = 1\nflaky_result = \"fail\"\nfail_fast = false\nmax_fail = 2\nrepetitions = 2\nseed = 3\n\
               message_format = \"human\"\noutput_dir = \"out\"\nrates = \"machine.json\"\ntimeout_multiplier = 1.5\njobs = 2\n\
               gate = {}\n";
    env.scenario("s", "[placement.x]\ndevice_map = \"cpu\"\n");
    env.write("placebench.toml", all);
    assert_eq!(env.run(&["run", "suite", "-P", "all", "--show-config"]).code, Some(0));
    let written = all.lines().skip(1).map(|line| line.split(' ').next().unwrap());
    let known = profile["properties"].as_object().unwrap().keys().map(String::as_str);
    assert_eq!(known.collect::<std::collections::BTreeSet<_>>(), written.collect());
}

#[test]
fn every_setting_can_be_shown_with_its_origin() {
    let env = suite();
    env.write("placebench.toml", CONFIG);
    let mut command = env.command(&[
        "run",
        "suite",
        "--profile",
        "ci",
        "--seed",
        "5",
        "--partition",
        "hash:1/2",
        "--show-config",
    ]);
    let ran = Ran::of(command.env("PLACEBENCH_RATES", "machine.json").output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!env.path("out").exists(), "nothing is run");
    insta::assert_snapshot!(ran.stdout);
}

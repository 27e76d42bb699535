//! Bad input: a clear error on one screen, exit code 96, and nothing lost.

use crate::env::{Ran, TestEnv, of};

const GOOD: &str = "[placement.single]\ndevice_map = \"sim:0\"\n";

/// One screen: 24 lines of what the person did wrong.
fn refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(shown.contains(word), "`{word}` is missing in:\n{shown}");
    }
    assert!(shown.lines().count() <= 24, "{shown}");
    assert!(!shown.contains("panicked"), "{shown}");
}

#[test]
fn broken_toml_and_unknown_keys_point_at_the_line() {
    let env = TestEnv::new();
    env.write("suite/broken.toml", "schema_version = 1\n[model\n");
    refused(&env.run(&["run", "suite"]), 96, &["suite/broken.toml:2:"]);
    env.write("suite/broken.toml", "");
    env.scenario("broken", &GOOD.replace("device_map", "devicemap"));
    refused(
        &env.run(&["validate", "suite"]),
        96,
        &[
            "unknown key `devicemap`",
            "did you mean `device_map`?",
            "suite/broken.toml:14:1",
        ],
    );
    assert!(!env.path("reports").exists(), "nothing was run");
}

#[test]
fn all_problems_of_all_files_are_shown_at_once() {
    let env = TestEnv::new();
    env.scenario("a", "[placement.x]\ndevice_map = \"sim:9\"\n");
    env.scenario("b", "[placement.x]\ndevice_map = \"autoo\"\ntransfer = \"pigeon\"\n");
    let ran = env.run(&["validate", "suite"]);
    assert_eq!(ran.code, Some(96));
    for words in ["no device `sim:9`", "`autoo`", "`pigeon`", "3 problems in 2 files"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

#[test]
fn an_error_on_the_screen_looks_like_this() {
    let env = TestEnv::new();
    env.scenario("s", "[placement.auto]\ndevice_map = \"autoo\"\n");
    insta::assert_snapshot!(env.run(&["validate", "suite/s.toml"]).stderr);
}

#[test]
fn an_empty_suite_is_code_4_and_a_missing_path_96() {
    let env = TestEnv::new();
    refused(&env.run(&["run", "suite"]), 4, &["no scenario was found"]);
    refused(&env.run(&["run", "nowhere"]), 96, &["nowhere"]);
    refused(&env.run(&["report", "nowhere"]), 96, &["nowhere"]);
    refused(&env.run(&["run"]), 2, &["PATH"]);
}

#[test]
fn a_zero_budget_is_refused_before_anything_runs() {
    let env = TestEnv::new();
    env.scenario("s", GOOD);
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replacen("1MiB", "0MiB", 1));
    refused(&env.run(&["run", "suite"]), 96, &["budget of zero", "suite/s.toml:5:"]);
}

/// What only the worker can find out is a set-up error of that case; the others run, and all is on record.
#[test]
fn set_up_errors_of_one_case_leave_the_others_alone() {
    for (rest, words) in [
        (
            "[placement.bad]\ndevice_map = { \"model\" = \"sim:0\", \"lm_haed\" = \"sim:0\" }\n",
            "lm_haed",
        ),
        (
            "[placement.bad]\ndevice_map = { \"model\" = \"sim:0\" }\n",
            "no device for lm_head",
        ),
        ("[placement.bad]\ndevice_map = \"cuda:7\"\n", "cuda:7 is not available"),
    ] {
        let env = TestEnv::new();
        env.scenario("s", &format!("{GOOD}{rest}"));
        let (ran, verdict) = env.run_suite();
        refused(&ran, 96, &[words]);
        assert_eq!(of(&verdict, "s/p/single").status.as_str(), "passed");
        assert_eq!(of(&verdict, "s/p/bad").status.as_str(), "setup");
        assert_eq!(env.attempts().len(), 2);
    }
}

#[test]
fn a_missing_model_is_an_error_unless_it_can_be_fetched() {
    let env = TestEnv::new();
    env.scenario("s", GOOD);
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replace("models/m", "models/absent"));
    refused(&env.run(&["run", "suite"]), 96, &["models/absent"]);
    env.write(
        "suite/s.toml",
        &text.replace("\"models/m\"", "\"models/absent\"\nfetch = \"bash get-it.sh\""),
    );
    let (ran, verdict) = env.run_suite();
    refused(&ran, 0, &["bash get-it.sh", "1 skipped"]);
    assert_eq!(of(&verdict, "s/p/single").status.as_str(), "skipped");
}

#[test]
fn hostile_names_and_texts_stay_harmless_on_the_terminal() {
    let env = TestEnv::new();
    env.scenario("s", &format!("{GOOD}[expect]\ncontains = [\"\\u001b[31mred\"]\n"));
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(100));
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn faults_that_do_not_exist_are_named() {
    let env = TestEnv::new();
    env.scenario("s", &format!("{GOOD}[[fault]]\nkind = \"leek\"\n"));
    refused(&env.run(&["run", "suite"]), 96, &["leek"]);
}

#[test]
fn a_fault_at_a_place_that_is_not_there_is_refused_with_the_nearest() {
    let env = TestEnv::new();
    let fault = |at: &str| format!("{GOOD}[[fault]]\nkind = \"stall\"\nat = {{ {at} }}\n");
    env.scenario("s", &fault("module = \"model.layer.3\""));
    let words = ["names module `model.layer.3`", "did you mean `model.layers.3`?"];
    refused(&env.run(&["run", "suite"]), 96, &words);
    env.scenario("s", &fault("hop = \"model.layers.3 -> model.layers.4\""));
    let words = ["which this placement does not have", "all modules are on one device"];
    refused(&env.run(&["run", "suite"]), 96, &words);
}

#[test]
fn a_fault_that_never_strikes_makes_its_case_fail() {
    let env = TestEnv::new();
    let fault = |token: u32| format!("{GOOD}[[fault]]\nkind = \"nan\"\nat = {{ token = {token} }}\n");
    env.scenario("s", &fault(99));
    let words = ["faults: the injected fault nan at token 99 never struck"];
    refused(&env.run(&["run", "suite"]), 100, &words);
}

#[test]
fn hub_cases_for_gpus_are_skipped_here_with_the_reason() {
    let env = TestEnv::new();
    env.scenario("s", &format!("{GOOD}[requires]\ncuda = 99\n"));
    let ran = env.run(&["run", "suite"]);
    refused(&ran, 0, &["needs 99 CUDA devices"]);
    let listed = env.run(&["list", "suite"]);
    assert!(listed.stdout.contains("skipped: needs 99 CUDA devices"), "{listed:?}");
}

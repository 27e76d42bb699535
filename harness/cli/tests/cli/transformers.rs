//! The stack of Hugging Face as an engine: found or skipped, refused in words, and the real thing where an environment is.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use placebench_core::device::DeviceId;
use placebench_core::outcome::{FailureClass, Outcome, Place};
use placebench_core::record::Attempt;
use placebench_core::scenario::resolve::TRANSFORMERS_FAULTS;

use crate::env::{Ran, TestEnv, of};

/// The environments of this machine, where there are any.
fn environments() -> PathBuf {
    let beside_program = || {
        Some(
            Path::new(env!("CARGO_BIN_EXE_placebench"))
                .parent()?
                .parent()?
                .join("python"),
        )
    };
    let named = std::env::var_os("PLACEBENCH_PYTHON_ENVS").map(PathBuf::from);
    named.or_else(beside_program).unwrap_or_default()
}

/// The environments that are here, of the two this project makes; says so where there is none.
fn stacks() -> Vec<&'static str> {
    let all = environments();
    let here: Vec<&str> = ["incident", "newest"]
        .into_iter()
        .filter(|name| all.join(name).join("bin/python").exists())
        .collect();
    if here.is_empty() {
        say(&format!(
            "skipped: no Python environment in {} (bash ci/python-env.sh newest)",
            all.display()
        ));
    }
    here
}

fn say(words: &str) {
    drop(writeln!(std::io::stderr(), "{words}"));
}

fn workers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workers")
}

/// The trained model of the shipped scenarios.
fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/models/tiny")
}

/// A scenario of this engine on the trained model; `rest` holds its placements and whatever else it has.
fn suite(rest: &str) -> TestEnv {
    let env = TestEnv::new();
    env.write(
        "suite/x.toml",
        &format!(
            "schema_version = 1\nengine = \"transformers\"\n[model]\npath = \"{}\"\ndtype = \"f32\"\n\
             [[prompt]]\nname = \"story\"\ntext = \"Once upon a time\"\n[generation]\nmax_new_tokens = 8\n\
             [measure]\nwarmup = 0\n[timeout]\nload = \"5m\"\nfirst_token = \"2m\"\ntotal = \"10m\"\n{rest}",
            tiny().display()
        ),
    );
    env
}

const ONE: &str = "[placement.single]\ndevice_map = \"cpu\"\n";

fn run(env: &TestEnv, variables: &[(&str, &Path)]) -> Ran {
    let mut command = env.command(&["run", "suite"]);
    command.env("OMP_NUM_THREADS", "1");
    for (name, value) in variables {
        command.env(name, value);
    }
    Ran::of(command.output().unwrap())
}

fn attempt(env: &TestEnv, case: &str) -> Attempt {
    let found = env.attempts().into_iter().find(|attempt| attempt.case == case);
    found.unwrap_or_else(|| panic!("no attempt of {case}"))
}

fn executable(env: &TestEnv, name: &str, text: &str) -> PathBuf {
    env.write(name, text);
    let path = env.path(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_workers_own_tests_pass() {
    let Ok(version) = Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 9))"])
        .status()
    else {
        say("skipped: there is no python3");
        return;
    };
    if !version.success() {
        say("skipped: python3 is older than 3.9");
        return;
    }
    let output = Command::new("python3")
        .args(["-B", "-m", "unittest", "test_transformers_worker"])
        .current_dir(workers().join("tests"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("Ran 0 tests"), "{said}");
}

#[test]
fn the_scenario_and_the_worker_know_the_same_faults() {
    let worker = std::fs::read_to_string(workers().join("transformers_worker.py")).unwrap();
    let line = worker.lines().find(|line| line.starts_with("FAULTS = (")).unwrap();
    let mut theirs: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
    let mut ours: Vec<&str> = TRANSFORMERS_FAULTS.iter().map(|kind| kind.as_str()).collect();
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(theirs, ours);
}

#[test]
fn without_an_environment_a_case_is_skipped_with_the_command_that_makes_it() {
    let env = suite(&format!("{ONE}[transformers]\nenvironment = \"incident\"\n"));
    let nowhere = env.path("nowhere");
    let ran = run(&env, &[("PLACEBENCH_PYTHON_ENVS", &nowhere)]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let Outcome::Skipped { reason, hint } = attempt(&env, "x/story/single").outcome else {
        panic!("not skipped: {ran:?}");
    };
    assert_eq!(reason, "the Python environment incident is not here");
    assert_eq!(hint.as_deref(), Some("bash ci/python-env.sh incident"));
    assert!(!env.latest().join("workers").exists());
    let mut list = env.command(&["list", "suite"]);
    let listed = Ran::of(list.env("PLACEBENCH_PYTHON_ENVS", &nowhere).output().unwrap());
    assert!(
        listed.stdout.contains("the Python environment incident is not here"),
        "{listed:?}"
    );
}

#[test]
fn a_python_that_cannot_run_the_worker_fails_its_cases_and_the_run_goes_on() {
    for (name, script, words) in [
        (
            "old",
            "#!/bin/sh\necho placebench 3 6\n",
            "is Python 3.6; the engine transformers needs Python 3.9 or later",
        ),
        (
            "rubbish",
            "#!/bin/sh\necho '<html>'\n",
            "is no Python that answers (it printed `<html>`)",
        ),
        (
            "silent",
            "#!/bin/sh\nexit 0\n",
            "is no Python that answers (it printed nothing)",
        ),
        (
            "broken",
            "#!/bin/sh\necho no >&2\nexit 3\n",
            "is no Python that answers",
        ),
    ] {
        // The second case shows that nothing stops at the first.
        let env = suite(&format!("{ONE}[placement.other]\ndevice_map = \"cpu\"\n"));
        let python = executable(&env, &format!("bin/{name}"), script);
        let ran = run(&env, &[("PLACEBENCH_PYTHON", &python)]);
        assert_eq!(ran.code, Some(96), "{name}: {ran:?}");
        for case in ["x/story/single", "x/story/other"] {
            let Outcome::Failed { failure } = attempt(&env, case).outcome else {
                panic!("{name}: {ran:?}");
            };
            assert_eq!(failure.class, FailureClass::Unsupported, "{name}");
            for words in [words, "ci/python-env.sh newest"] {
                assert!(failure.message.contains(words), "{name}: {}", failure.message);
            }
        }
    }
}

#[test]
fn an_engine_that_prints_rubbish_is_a_breach_of_the_protocol() {
    let env = suite(ONE);
    // It says its version, and then is no engine.
    let script = "#!/bin/sh\n[ \"$1\" = -c ] && echo placebench 3 12 && exit\ncat > /dev/null\necho 'Loading checkpoint shards: 50%'\n";
    let python = executable(&env, "bin/python", script);
    let ran = run(&env, &[("PLACEBENCH_PYTHON", &python)]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let Outcome::Failed { failure } = attempt(&env, "x/story/single").outcome else {
        panic!("{ran:?}");
    };
    assert_eq!(failure.class, FailureClass::Protocol);
}

#[test]
fn a_python_without_the_stack_says_which_package_is_missing() {
    let Ok(found) = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
    else {
        say("skipped: there is no python3");
        return;
    };
    let has = |package: &str| {
        Command::new("python3")
            .args(["-c", &format!("import {package}")])
            .output()
            .unwrap()
            .status
            .success()
    };
    if has("torch") {
        say("skipped: python3 has torch");
        return;
    }
    let env = suite(ONE);
    let python = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    let ran = run(&env, &[("PLACEBENCH_PYTHON", &python)]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    let Outcome::Failed { failure } = attempt(&env, "x/story/single").outcome else {
        panic!("{ran:?}");
    };
    assert_eq!(failure.class, FailureClass::Unsupported);
    for words in ["has no package torch", "ci/python-env.sh newest"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    assert!(!failure.message.contains("Traceback"));
}

/// What this model says on, under candle as well (the model's own `expected.json` has the same of other prompts).
const TEXT: &str = " there were three gardeners; the little";
const TOKENS: [u32; 8] = [494, 454, 760, 798, 501, 29, 264, 401];

#[test]
fn the_real_stack_keeps_its_map_and_gives_the_same_text_under_every_placement() {
    let placements = "[placement.single]\ndevice_map = \"cpu\"\n\
        [placement.split]\ndevice_map = { \"model.embed_tokens\" = \"cpu\", \"model.layers.0-3\" = \"cpu\", \
        \"model.layers.4-7\" = \"disk\", \"model.norm\" = \"cpu\", \"lm_head\" = \"cpu\" }\n\
        [placement.auto]\ndevice_map = \"auto\"\nmax_memory = { cpu = \"3MB\" }\n\
        [expect]\nagreement = { reference = \"single\" }\n";
    for name in stacks() {
        let env = suite(&format!("{placements}[transformers]\nenvironment = \"{name}\"\n"));
        let ran = run(&env, &[("PLACEBENCH_PYTHON_ENVS", &environments())]);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        let verdict = env.verdict();
        for placement in ["single", "split", "auto"] {
            let judged = of(&verdict, &format!("x/story/{placement}"));
            assert_eq!(judged.findings, [], "{name}");
            let attempt = attempt(&env, &format!("x/story/{placement}"));
            let made = &attempt.generations[0];
            assert_eq!(
                (made.text.as_str(), made.output_ids.as_slice()),
                (TEXT, TOKENS.as_slice()),
                "{name}"
            );
            let realised = attempt.realised.unwrap();
            let on_disk = realised
                .iter()
                .filter(|module| module.device == DeviceId::disk())
                .count();
            let expected = match placement {
                "single" => 0,
                "split" => 4,
                // What fits into 3 MB is the library's own answer; some layers do and some do not.
                _ => on_disk.clamp(1, 8),
            };
            assert_eq!(on_disk, expected, "{name} {placement}: {realised:?}");
            // The head shares the embedding's tensor.
            assert_eq!(realised.last().map(|module| module.bytes.0), Some(0), "{name}");
        }
        let written = std::fs::read(env.latest().join("workers/transformers_worker.py")).unwrap();
        let own = std::fs::read(workers().join("transformers_worker.py")).unwrap();
        assert!(written == own, "{name}: the record has another worker than this folder");
    }
}

#[test]
fn faults_of_the_real_stack_are_found_where_they_strike() {
    let Some(name) = stacks().pop() else { return };
    let fault = |kind: &str| {
        format!(
            "[placement.{kind}]\ndevice_map = \"cpu\"\n[[fault]]\nkind = \"{kind}\"\nplacements = [\"{kind}\"]\n\
             at = {{ module = \"model.layers.2\", token = 3 }}\n"
        )
    };
    let rest = ["stall", "crash", "nan", "out_of_memory"].map(fault).concat();
    let timeout = "[placement.stall.timeout]\ntoken = \"3s\"\n";
    let env = suite(&format!("{rest}{timeout}[transformers]\nenvironment = \"{name}\"\n"));
    let ran = run(&env, &[("PLACEBENCH_PYTHON_ENVS", &environments())]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let outcome = |kind: &str| attempt(&env, &format!("x/story/{kind}")).outcome;
    let is_there =
        |place: Option<&Place>| matches!(place, Some(Place::Module { module, .. }) if module == "model.layers.2");
    match outcome("stall") {
        Outcome::Stalled { last, tokens, .. } => assert!(is_there(last.place.as_ref()) && tokens == 3, "{last:?}"),
        other => panic!("{other:?}"),
    }
    match outcome("crash") {
        Outcome::Crashed { signal, last, .. } => {
            assert!(signal == Some(6) && is_there(last.place.as_ref()), "{last:?}");
        }
        other => panic!("{other:?}"),
    }
    match outcome("nan") {
        Outcome::Failed { failure } => assert_eq!(failure.class, FailureClass::NonFinite, "{failure:?}"),
        other => panic!("{other:?}"),
    }
    match outcome("out_of_memory") {
        Outcome::OutOfMemory { failure } => assert_eq!(failure.device, Some(DeviceId::cpu()), "{failure:?}"),
        other => panic!("{other:?}"),
    }
}

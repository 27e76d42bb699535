//! Programs of scenarios: started with a permission only, and supervised like any other worker.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use placebench_core::outcome::{FailureClass, Outcome, OutcomeKind, Phase};
use placebench_core::record::RunInfo;

use crate::env::{Ran, TestEnv, read_attempts};

fn data(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/foreign");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The files of `harness/workers`.
fn workers(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workers").join(name)
}

/// A suite with one scenario whose engine is this command, given as TOML.
fn suite(command: &str) -> TestEnv {
    let env = TestEnv::new();
    env.write("suite/x.toml", &data("scenario.toml").replace("\"COMMAND\"", command));
    for name in ["stall.sh", "said.ndjson"] {
        env.write(&format!("suite/{name}"), &data(name));
    }
    env
}

fn allowed(env: &TestEnv) -> Ran {
    env.run(&["run", "suite", "--allow-exec"])
}

/// The one failure of a run that was to fail.
fn failure(command: &str) -> (FailureClass, String) {
    let env = suite(command);
    let ran = allowed(&env);
    assert!(matches!(ran.code, Some(96 | 100)), "{ran:?}");
    match &env.attempts()[0].outcome {
        Outcome::Failed { failure } => (failure.class, failure.message.clone()),
        other => panic!("{other:?}"),
    }
}

fn info(env: &TestEnv) -> RunInfo {
    serde_json::from_str(&std::fs::read_to_string(env.latest().join("run.json")).unwrap()).unwrap()
}

/// Whether the example can run here; says so where it cannot.
pub(crate) fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        drop(writeln!(
            std::io::stderr(),
            "skipped: there is no python3 to run the example engine with"
        ));
    }
    found
}

#[test]
fn nothing_is_started_without_a_permission() {
    let env = suite("\"sh\", \"-c\", \"touch started\"");
    for command in ["run", "validate", "list", "plan"] {
        let ran = env.run(&[command, "suite"]);
        assert!(!env.path("suite/started").exists(), "{command}: {ran:?}");
        if command == "run" {
            assert_eq!(ran.code, Some(96), "{ran:?}");
            for words in [
                "suite/x.toml:5 starts the program sh -c 'touch started'",
                "--allow-exec",
                "nothing was run",
            ] {
                assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
            }
            assert!(!env.path("reports").exists());
        }
    }
    let ran = env.run(&["bisect", "x/p/split", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr.contains("--allow-exec") && !env.path("suite/started").exists(),
        "{ran:?}"
    );
    assert_eq!(env.run(&["validate", "suite"]).code, Some(0));
    assert!(env.run(&["list", "suite"]).stdout.contains("[needs --allow-exec]"));
    let listed: serde_json::Value =
        serde_json::from_str(&env.run(&["list", "suite", "--format", "json"]).stdout).unwrap();
    assert_eq!(listed["cases"][0]["needs_allow_exec"], true);
    assert_eq!(listed["cases"][0]["program"][0], "sh");
    let calibrated = env.run(&["doctor", "suite/x.toml", "--calibrate", "--quick"]);
    assert!(
        calibrated.code != Some(0) && !env.path("suite/started").exists(),
        "{calibrated:?}"
    );
    // With it the same program is started, in the scenario's folder, and on record.
    let ran = allowed(&env);
    assert!(env.path("suite/started").exists());
    assert!(
        ran.stderr.contains("note: allowed by --allow-exec: suite/x.toml:5"),
        "{}",
        ran.stderr
    );
    let program = info(&env).cases[0].program.clone().unwrap();
    assert_eq!(program.command, ["sh", "-c", "touch started"]);
}

#[test]
fn a_run_that_goes_on_needs_the_permission_again() {
    let env = suite("\"sh\", \"-c\", \"touch started; exit 3\"");
    assert_eq!(allowed(&env).code, Some(100));
    std::fs::remove_file(env.path("suite/started")).unwrap();
    // As if it had been killed before the attempt was written down.
    std::fs::write(env.latest().join("attempts.jsonl"), "").unwrap();
    let run = info(&env).run_id;
    let refused = env.run(&["run", "--resume", &run]);
    assert_eq!(refused.code, Some(96), "{refused:?}");
    assert!(refused.stderr.contains("--allow-exec") && !env.path("suite/started").exists());
    let mut command = env.command(&["run", "--resume", &run, "--allow-exec"]);
    let ran = Ran::of(command.env("OMP_NUM_THREADS", "1").output().unwrap());
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert!(env.path("suite/started").exists());
    let warning = "in another environment than it was made in so far: variables of workers: OMP_NUM_THREADS;";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    // A record that would have snapshots written anywhere is not gone on with.
    let file = env.latest().join("run.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let elsewhere = text.replace("/suite/snapshots", "/suite/elsewhere");
    assert_ne!(text, elsewhere);
    std::fs::write(&file, elsewhere).unwrap();
    let refused = env.run(&["run", "--resume", &run, "--allow-exec"]);
    assert!(
        refused.code == Some(96) && refused.stderr.contains("no folder of snapshots"),
        "{refused:?}"
    );
}

#[test]
fn variables_that_load_code_or_redirect_secrets_need_it_too() {
    for variable in [
        "LD_PRELOAD",
        "LD_AUDIT",
        "PATH",
        "CUDA_INJECTION64_PATH",
        "HF_ENDPOINT",
        "HTTPS_PROXY",
    ] {
        let env = TestEnv::new();
        env.scenario(
            "x",
            &format!("[placement.single]\ndevice_map = \"sim:0\"\n[env]\n{variable} = \"/nowhere.so\"\n"),
        );
        let refused = env.run(&["run", "suite"]);
        assert_eq!(refused.code, Some(96), "{variable}: {refused:?}");
        assert!(
            refused.stderr.contains(&format!("suite/x.toml sets {variable}")),
            "{}",
            refused.stderr
        );
        assert_eq!(allowed(&env).code, Some(0), "{variable}");
    }
    let env = TestEnv::new();
    env.scenario(
        "x",
        "[placement.single]\ndevice_map = \"sim:0\"\n[env]\nOMP_NUM_THREADS = \"1\"\nCUDA_VISIBLE_DEVICES = \"\"\n",
    );
    assert_eq!(env.run(&["run", "suite"]).code, Some(0), "what only tunes needs none");
}

#[test]
fn the_environment_is_clean_and_secrets_are_on_no_record() {
    let env = suite("\"sh\", \"-c\", \"env >&2; echo $HF_TOKEN; exit 3\"");
    let secret = "hf_verysecretvalue";
    let output = env
        .command(&["run", "suite", "--allow-exec", "--message-format", "ndjson"])
        .env("HF_TOKEN", secret)
        .env("HF_HOME", "/models")
        .env("AWS_REGION", "nowhere")
        .env("GGML_CUDA_P2P", "0")
        .env("LD_PRELOAD", "")
        .env("HTTPS_PROXY", format!("http://me:{secret}@127.0.0.1:9/"))
        .output()
        .unwrap();
    let ran = Ran::of(output);
    let attempt = &env.attempts()[0];
    for there in [
        "HF_HOME=/models",
        "HF_TOKEN=[redacted]",
        "RAYON_NUM_THREADS=",
        "PLACEBENCH_BREADCRUMB=",
    ] {
        assert!(attempt.stderr_tail.contains(there), "{there}: {}", attempt.stderr_tail);
    }
    for absent in ["AWS_REGION", "GGML_CUDA_P2P", "LD_PRELOAD"] {
        assert!(
            !attempt.stderr_tail.contains(absent),
            "{absent}: {}",
            attempt.stderr_tail
        );
    }
    let recorded = info(&env).environment.worker_env;
    assert!(
        recorded.contains(&("HF_TOKEN".into(), "[redacted]".into())),
        "{recorded:?}"
    );
    assert!(recorded.contains(&("HF_HOME".into(), "/models".into())), "{recorded:?}");
    assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    for entry in walk(&env.latest()) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(
            !bytes.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "the secret is in {}",
            entry.display()
        );
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

#[test]
fn a_hang_is_named_from_the_breadcrumb_of_a_shell_script() {
    let env = suite("\"sh\", \"stall.sh\"");
    let ran = allowed(&env);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let attempt = &env.attempts()[0];
    let outcome = &attempt.outcome;
    assert_eq!(
        (outcome.kind(), outcome.phase()),
        (OutcomeKind::Stalled, Some(Phase::Decode)),
        "{outcome:?}"
    );
    assert_eq!(outcome.place().unwrap().name(), "model.layers.0 -> model.layers.1");
    assert!(outcome.sentence().contains("token 2"), "{}", outcome.sentence());
    assert_eq!(attempt.versions, ["sh"]);
    assert!(attempt.evidence.is_some(), "it was looked at like any worker");
}

#[test]
fn liars_are_named() {
    let says = |line: &str| failure(&format!("\"echo\", '{line}'"));
    let (class, message) =
        says(r#"{"t_s": 0, "event": "hello", "protocol": 99, "engine": "x", "versions": [], "profile": "release"}"#);
    assert_eq!(class, FailureClass::Protocol);
    assert!(message.contains("it speaks protocol 99, this program 1"), "{message}");
    let (class, message) = says(r#"{"t_s": 0, "event": "phase", "phase": "load"}"#);
    assert_eq!(class, FailureClass::Protocol);
    assert!(message.contains("`phase` before `hello`"), "{message}");
    let (_, message) = says("Loading checkpoint shards: 100%");
    assert!(message.contains("a line that is no event"), "{message}");
    let (_, message) = failure("\"true\"");
    assert!(message.contains("without `done`"), "{message}");
    let (class, message) = failure("\"no-such-program-anywhere\"");
    assert!(class.is_setup(), "somebody has to install it: {message}");
    assert!(
        message.contains("no-such-program-anywhere cannot be started"),
        "{message}"
    );
}

#[test]
fn the_example_engine_keeps_its_promises() {
    if !has_python() {
        return;
    }
    let env = TestEnv::new();
    let example = workers("example.toml");
    let ran = env.run(&["run", example.to_str().unwrap(), "--allow-exec"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let attempts = env.attempts();
    let placed = attempts
        .iter()
        .find(|attempt| attempt.case.ends_with("/manual"))
        .unwrap();
    assert_eq!(placed.generations[0].hops, [1; 12]);
    assert_eq!(placed.generations[0].transfer_bytes, [128; 12], "16 doubles a hop");
    let weights: u64 = placed.realised.iter().flatten().map(|module| module.bytes.0).sum();
    assert_eq!(weights, 4 * 16 * (256 + 4 * 16 + 1 + 256));
    assert!(placed.stderr_tail.is_empty(), "{}", placed.stderr_tail);
}

/// A suite of the example with other words in its scenario.
fn example(replacements: &[(&str, &str)], more: &str) -> TestEnv {
    let env = TestEnv::new();
    for name in ["example_engine.py", "example_config.json"] {
        env.write(
            &format!("suite/{name}"),
            &std::fs::read_to_string(workers(name)).unwrap(),
        );
    }
    let mut text = std::fs::read_to_string(workers("example.toml")).unwrap();
    for (old, new) in replacements {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    env.write("suite/example.toml", &(text + more));
    env
}

#[test]
fn a_hang_of_the_example_engine_is_named_from_its_breadcrumb() {
    if !has_python() {
        return;
    }
    let fault = r#"
[[fault]]
kind = "stall"
at = { hop = "model.layers.1 -> model.layers.2", token = 3 }
placements = ["manual"]
[timeout]
token = "2s"
"#;
    let env = example(&[], fault);
    assert_eq!(allowed(&env).code, Some(100));
    let outcome = read_attempts(&env.latest())
        .into_iter()
        .find(|attempt| attempt.case.ends_with("/manual"))
        .unwrap()
        .outcome;
    assert_eq!(
        (outcome.kind(), outcome.phase()),
        (OutcomeKind::Stalled, Some(Phase::Decode)),
        "{outcome:?}"
    );
    assert_eq!(outcome.place().unwrap().name(), "model.layers.1 -> model.layers.2");
    assert!(outcome.sentence().contains("token 3"), "{}", outcome.sentence());
}

#[test]
fn the_example_engine_refuses_what_it_cannot_do() {
    if !has_python() {
        return;
    }
    let refused = |replacements: &[(&str, &str)], more: &str| {
        let env = example(replacements, more);
        let ran = allowed(&env);
        let attempts = env.attempts();
        let failure = attempts.iter().find_map(|attempt| match &attempt.outcome {
            Outcome::Failed { failure } | Outcome::OutOfMemory { failure } => Some(failure.clone()),
            _ => None,
        });
        (ran.code, failure.unwrap_or_else(|| panic!("{attempts:?}")))
    };
    let (code, failure) = refused(&[("memory = \"64KiB\"", "memory = \"36KiB\"")], "");
    assert_eq!((code, failure.class), (Some(100), FailureClass::OutOfMemory));
    assert_eq!(failure.device.unwrap().as_str(), "sim:0");
    let (_, failure) = refused(&[("device_map = \"sim:0\"", "device_map = \"auto\"")], "");
    assert_eq!(failure.class, FailureClass::Unsupported, "{}", failure.message);
    let (_, failure) = refused(&[("model.layers.2-3", "model.layers.2-9")], "");
    assert_eq!(failure.class, FailureClass::PlacementInvalid, "{}", failure.message);
    let (_, failure) = refused(&[], "[[fault]]\nkind = \"nan\"\n");
    assert_eq!(failure.class, FailureClass::RequestInvalid, "{}", failure.message);
    let (code, failure) = refused(&[("config = \"example_config.json\"", "config = \"missing.json\"")], "");
    assert_eq!((code, failure.class), (Some(96), FailureClass::ModelMissing));
}

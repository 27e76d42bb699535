//! Distributed configurations through the real launchers: two ranks on processors, with gloo. Where a Python environment is
//! missing (`bash ci/python-env.sh NAME`), its test says so and passes.

#![expect(clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use placebench_core::outcome::{FailureClass, Outcome, Phase};
use placebench_core::record::Attempt;

use crate::env::TestEnv;

/// The folder of the Python environments, where it has this one.
fn environments(name: &str) -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
    let folder = std::env::var_os("PLACEBENCH_PYTHON_ENVS").map_or(checkout, PathBuf::from);
    let is_there = folder.join(name).join("bin/python").is_file();
    if !is_there {
        let words = format!("skipped: {} has no Python environment {name}", folder.display());
        drop(writeln!(std::io::stderr(), "{words}"));
    }
    is_there.then_some(folder)
}

/// A scenario with these placements and faults on the shipped tiny model, and the command that runs it.
fn prepared(environment: &str, rest: &str) -> Option<(TestEnv, Command)> {
    let folder = environments(environment)?;
    let env = TestEnv::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/models/tiny");
    let model = model.canonicalize().unwrap();
    env.write(
        "suite/ranks.toml",
        &format!(
            r#"
schema_version = 1
engine = "transformers"
transformers = {{ environment = "{environment}" }}
model = {{ path = "{}", dtype = "f32" }}
generation = {{ max_new_tokens = 5, ignore_eos = true }}
measure = {{ warmup = 0 }}
timeout = {{ load = "4m", first_token = "2m", token = "2m", total = "9m" }}
[[prompt]]
name = "p"
text = "Once upon a time"
{rest}"#,
            model.display()
        ),
    );
    let mut command = env.command(&["run", "suite"]);
    command
        .env("PLACEBENCH_PYTHON_ENVS", folder)
        .env("OMP_NUM_THREADS", "1");
    Some((env, command))
}

/// Attempts by placement.
fn run(environment: &str, rest: &str) -> Option<Vec<(String, Attempt)>> {
    let (env, mut command) = prepared(environment, rest)?;
    let ran = command.output().unwrap();
    assert!(env.path("reports").is_dir(), "{ran:?}");
    let attempts = env.attempts();
    for attempt in &attempts {
        if let Some(recovery) = &attempt.recovery {
            assert!(recovery.is_complete(), "nothing of its group is left: {attempt:?}");
        }
    }
    let placement = |attempt: &Attempt| attempt.case.rsplit('/').next().unwrap_or_default().to_owned();
    Some(
        attempts
            .into_iter()
            .map(|attempt| (placement(&attempt), attempt))
            .collect(),
    )
}

fn of<'a>(attempts: &'a [(String, Attempt)], placement: &str) -> &'a Attempt {
    let found = attempts.iter().find(|(name, _)| name == placement);
    &found
        .unwrap_or_else(|| panic!("{placement} was not run: {attempts:?}"))
        .1
}

fn words(attempt: &Attempt) -> String {
    attempt.outcome.sentence()
}

#[track_caller]
fn assert_same_text(attempts: &[(String, Attempt)], placement: &str) {
    let (one, ranks) = (of(attempts, "single"), of(attempts, placement));
    assert_eq!(ranks.outcome, Outcome::Completed, "{ranks:?}");
    assert_eq!(ranks.generations[0].output_ids, one.generations[0].output_ids);
    assert_eq!(ranks.generations[0].text, one.generations[0].text);
    let held: Vec<_> = ranks.realised.iter().flatten().map(|module| module.rank).collect();
    assert!(
        held.contains(&Some(0)) && held.contains(&Some(1)) && !held.contains(&None),
        "{held:?}"
    );
}

#[test]
fn torchrun_of_the_incident_names_the_rank_that_hangs_and_the_one_that_dies() {
    let placements = r#"
[placement.single]
device_map = "cpu"
[placement.whole]
launch = { processes = 2 }
[placement.hangs]
launch = { processes = 2 }
timeout = { token = "4s" }
[placement.killed]
launch = { processes = 2, with = "accelerate" }
[placement.refused]
launch = { processes = 2, parallel = "tensor" }

[[fault]]
kind = "stall"
at = { rank = 1, phase = "decode", token = 2, module = "model.layers.1" }
placements = ["hangs"]
[[fault]]
kind = "crash"
signal = "SIGKILL"
at = { rank = 1, phase = "decode", token = 2, module = "model.layers.1" }
placements = ["killed"]
"#;
    let Some(attempts) = run("incident", placements) else {
        return;
    };
    assert_same_text(&attempts, "whole");

    let hangs = of(&attempts, "hangs");
    let Outcome::Stalled {
        phase, last, tokens, ..
    } = &hangs.outcome
    else {
        panic!("{hangs:?}")
    };
    assert_eq!((*phase, last.token, *tokens), (Phase::Decode, Some(2), 2), "{hangs:?}");
    let start = "stalled: rank 1 of 2 in decode, token 2, module model.layers.1 on cpu, for ";
    assert!(words(hangs).starts_with(start), "{}", words(hangs));
    assert_eq!(
        last.ranks[0].token,
        Some(3),
        "it has made its token and waits: {last:?}"
    );
    let evidence = hangs.evidence.as_ref().unwrap();
    let stacks: Vec<String> = evidence.stacks.iter().map(|stacks| stacks.sentence()).collect();
    assert_eq!(stacks.len(), 2, "{evidence:?}");
    assert!(
        stacks[0].starts_with("rank 0: in ") && stacks[0].contains("all_reduce"),
        "{stacks:?}"
    );
    assert!(
        stacks[1].starts_with("rank 1: in at (transformers_worker.py:"),
        "{stacks:?}"
    );

    let killed = of(&attempts, "killed");
    let Outcome::Failed { failure } = &killed.outcome else {
        panic!("{killed:?}")
    };
    assert_eq!((failure.rank, failure.phase), (Some(1), Phase::Decode), "{failure:?}");
    assert_eq!(
        failure.message,
        "rank 1 of 2 died of SIGKILL, in decode, token 2, model.layers.1"
    );

    let refused = of(&attempts, "refused");
    let Outcome::Failed { failure } = &refused.outcome else {
        panic!("{refused:?}")
    };
    assert_eq!(failure.class, FailureClass::Unsupported, "{failure:?}");
    assert!(
        failure
            .message
            .contains("launch.parallel = \"tensor\": transformers 4.49"),
        "{failure:?}"
    );
}

#[test]
fn the_newest_launchers_name_the_rank_that_raises_and_the_one_that_never_loads() {
    let placements = r#"
[placement.single]
device_map = "cpu"
[placement.whole]
launch = { processes = 2, with = "accelerate" }
[placement.parts]
launch = { processes = 2, parallel = "tensor" }
[placement.raises]
launch = { processes = 2 }
[placement.differs]
launch = { processes = 2 }
[placement.loads]
launch = { processes = 2 }
timeout = { load = "60s" }

[[fault]]
kind = "out_of_memory"
at = { rank = 1, phase = "decode", token = 1 }
placements = ["raises"]
[[fault]]
kind = "garbage"
at = { rank = 1, token = 1 }
placements = ["differs"]
[[fault]]
kind = "stall"
at = { rank = 0, phase = "load" }
placements = ["loads"]
"#;
    let Some(attempts) = run("newest", placements) else {
        return;
    };
    assert_same_text(&attempts, "whole");
    assert_same_text(&attempts, "parts");
    let bytes = |placement: &str| -> u64 {
        let held = of(&attempts, placement).realised.iter().flatten();
        held.map(|module| module.bytes.0).sum()
    };
    assert_eq!(bytes("whole"), 2 * bytes("single"), "each rank holds all of it");
    assert!(bytes("parts") < 2 * bytes("single"), "each holds its part");

    let raises = of(&attempts, "raises");
    let Outcome::OutOfMemory { failure } = &raises.outcome else {
        panic!("{raises:?}")
    };
    assert_eq!((failure.rank, failure.phase), (Some(1), Phase::Decode), "{failure:?}");
    assert!(failure.message.starts_with("rank 1 of 2 failed: "), "{failure:?}");

    let differs = words(of(&attempts, "differs"));
    assert!(
        differs.starts_with("rank 1 of 2 made token ") && differs.contains("computes wrongly"),
        "{differs}"
    );

    let loads = words(of(&attempts, "loads"));
    assert!(loads.starts_with("stalled: rank 0 of 2 in load, for "), "{loads}");
}

/// Processes that run the worker's file in this folder, as the kernel lists them.
fn processes_below(folder: &Path) -> usize {
    let needle = folder.to_string_lossy().into_owned();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| {
            let line = String::from_utf8_lossy(line);
            line.contains(&needle) && line.contains("transformers_worker.py")
        })
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_left_where_the_harness_itself_is_killed() {
    let placements =
        "[placement.hangs]\nlaunch = { processes = 2 }\n[[fault]]\nkind = \"stall\"\nat = { phase = \"load\" }\n";
    let Some((env, mut command)) = prepared("incident", placements) else {
        return;
    };
    let mut harness = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let folder = env.path("reports");
    // The coordinator, the launcher and two ranks; then nobody. Limits are for tests that fail.
    let wait_for = |wanted: usize| {
        let began = Instant::now();
        while processes_below(&folder) != wanted {
            assert!(
                began.elapsed() < Duration::from_secs(180),
                "{} of {wanted}",
                processes_below(&folder)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for(4);
    harness.kill().unwrap();
    harness.wait().unwrap();
    wait_for(0);
}

/// A launcher of somebody else's around placebench is no launcher of ranks.
#[test]
fn variables_of_a_launcher_are_refused_in_a_scenario() {
    let env = TestEnv::new();
    env.write(
        "suite/x.toml",
        "schema_version = 1\nengine = \"transformers\"\nmodel = { path = \"m\" }\n[[prompt]]\nname = \"p\"\ntext = \"x\"\n\
         [env]\nRANK = \"0\"\n[placement.a]\ndevice_map = \"cpu\"\n",
    );
    let ran = env.run(&["validate", "suite"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(
        ran.stderr
            .contains("`RANK` tells a process that it is one rank of several"),
        "{ran:?}"
    );
}

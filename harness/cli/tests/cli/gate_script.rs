//! `ci/gate.sh` with the real binary: every exit code, codes that got lost on the way, and cancelled jobs.
//!
//! What the binary cannot be made to do here (be slower than before, lose a GPU) a program between the two pretends to: it
//! lets the binary do its work and changes what is left behind.

mod cancelled;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use self::cancelled::eventually;
use crate::env::{Ran, TestEnv};

const PASSING: &str = "[placement.single]\ndevice_map = \"cpu\"\n";
const FAILING: &str = "[placement.single]\ndevice_map = \"cpu\"\n[expect]\nforbid_devices = [\"cpu\"]\n";
const PENDING: &str = "[placement.single]\ndevice_map = \"cpu\"\n[expect]\nsnapshot = true\n";

fn script() -> PathBuf {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    repository.canonicalize().unwrap().join("ci/gate.sh")
}

fn suite(rest: &str) -> TestEnv {
    let env = TestEnv::new();
    env.scenario("s", rest);
    env.write("placebench.toml", "[profile.ci]\n[profile.nightly]\n");
    env
}

/// The gate over `suite`, without a look at the machine.
fn gate(env: &TestEnv, args: &[&str]) -> Command {
    gate_with_doctor(env, &[["--skip-doctor"].as_slice(), args].concat())
}

fn gate_with_doctor(env: &TestEnv, args: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command
        .arg(script())
        .args(["--paths", "suite"])
        .args(args)
        .current_dir(env.path(""))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", env.path(""))
        .env("PLACEBENCH_BIN", env!("CARGO_BIN_EXE_placebench"))
        .stdin(Stdio::null());
    command
}

fn end(mut command: Command) -> Ran {
    Ran::of(command.output().unwrap())
}

#[track_caller]
fn ends(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(words), "{words:?} in:\n{}", ran.stderr);
}

/// A program that does what the binary does, and then `after` in the folder of the run, `$run`; `doctor` ends with 0.
fn stand_in(env: &TestEnv, after: &str) -> PathBuf {
    program(
        env,
        &format!(
            "case $1 in doctor | report) exit 0 ;; esac\nstatus=0\n{} \"$@\" || status=$?\nrun=reports/$(readlink reports/latest)\n\
             {after}\nexit \"$status\"\n",
            env!("CARGO_BIN_EXE_placebench")
        ),
    )
}

fn program(env: &TestEnv, text: &str) -> PathBuf {
    env.write("stand-in", &format!("#!/usr/bin/env bash\n{text}"));
    executable(env.path("stand-in"))
}

fn executable(path: PathBuf) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The gate over a passing suite with such a program.
fn with(after: &str, args: &[&str]) -> Ran {
    let env = suite(PASSING);
    let program = stand_in(&env, after);
    let mut command = gate(&env, args);
    command.env("PLACEBENCH_BIN", program);
    end(command)
}

#[test]
fn a_run_that_passes_ends_with_0_and_leaves_its_artifacts() {
    let env = suite(PASSING);
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_ARTIFACTS", "artifacts/run");
    command.env("GITHUB_OUTPUT", env.path("outputs"));
    let ran = end(command);
    ends(&ran, 0, "gate: passed");
    for file in ["verdict.json", "junit.xml", "report.html", "attempts.jsonl"] {
        assert!(env.path("artifacts/run").join(file).is_file(), "{file}");
    }
    let run = format!("reports/{}", env.latest().file_name().unwrap().to_string_lossy());
    assert!(ran.stderr.contains(&format!("junit: {run}/junit.xml")), "{ran:?}");
    let outputs = std::fs::read_to_string(env.path("outputs")).unwrap();
    assert_eq!(outputs, format!("run={run}\njunit={run}/junit.xml\n"));
    // The next run replaces the copy; what is no copy stays.
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_ARTIFACTS", "artifacts/run");
    ends(&end(command), 0, "artifacts: artifacts/run");
    let copied = std::fs::read(env.path("artifacts/run/run.json")).unwrap();
    assert_eq!(copied, std::fs::read(env.latest().join("run.json")).unwrap());
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_ARTIFACTS", "suite");
    ends(
        &end(command),
        0,
        "suite holds something else than a run: nothing was copied",
    );
    assert!(env.path("suite/s.toml").is_file());
}

#[test]
fn what_the_run_found_is_what_the_gate_ends_with() {
    ends(&end(gate(&suite(FAILING), &[])), 100, "placebench bisect CASE");
    ends(&end(gate(&suite(PENDING), &[])), 113, "placebench review suite");
    let env = suite(PASSING);
    ends(&end(gate(&env, &["--", "-E", "tag(nothing)"])), 4, "");
    ends(&end(gate(&env, &["--", "-E", "tag("])), 94, "");
    ends(&end(gate(&env, &["--paths", "nowhere"])), 96, "nowhere");
    ends(&end(gate(&env, &["--profile", "unheard-of"])), 96, "unheard-of");
    assert!(!env.path("reports/latest").exists(), "nothing was run");
}

#[test]
fn a_command_line_that_makes_no_sense_is_code_2() {
    let env = suite(PASSING);
    for (args, words) in [
        (["--deadline", "soon"].as_slice(), "--deadline is `soon`"),
        (&["--deadline", "5m7"], "--deadline is `5m7`"),
        (&["--unclear", "perhaps"], "expected warn, fail or a number"),
        (&["--unclear", "96"], "--unclear 96 means something else"),
        (&["--unclear", "111"], "expected warn, fail or a number"),
        (&["--baseline", "a", "--against", "b"], "exclude each other"),
        (&["--merge", "x", "--judge-later"], "--merge judges all shards"),
        (&["--judge-later", "--against", "b"], "--against cannot be judged later"),
        (
            &["--merge", "x", "--against", "b"],
            "--against runs two programs in turns",
        ),
        (
            &["--merge", "x", "--baseline-lenient", "b"],
            "--merge knows --baseline only",
        ),
        (&["--profile="], "--profile is empty"),
        (&["--output-dir", "a\nrun=b"], "control character"),
        (&["--nonsense", "a"], "unknown option --nonsense"),
        (&["suite"], "unknown option suite"),
    ] {
        ends(&end(gate(&env, args)), 2, words);
    }
    let mut command = gate(&env, &[]);
    command.args(["--deadline"]);
    ends(&end(command), 2, "--deadline needs a value");
    let help = end(gate(&env, &["--help"]));
    assert!(
        help.code == Some(0) && help.stdout.contains("--unclear warn|fail|N"),
        "{help:?}"
    );
}

const SLOWER: &str = "sed -i 's/^  \"exit_code\": 0/  \"exit_code\": 111/' \"$run/verdict.json\"; status=111";

#[test]
fn slower_fails_unless_it_is_allowed() {
    ends(&with(SLOWER, &[]), 111, "GATE_ALLOW_SLOWER=1 lets it through");
    let env = suite(PASSING);
    let program = stand_in(&env, SLOWER);
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_BIN", program).env("GATE_ALLOW_SLOWER", "1");
    ends(&end(command), 0, "warning: slower than before; let through");
}

/// The answer of the gate is 112, and so is that of the run: `kind` of base, and what became of a timing.
fn no_verdict(kind: &str, change: &str) -> String {
    format!(
        "sed -i -E -e 's/^  \"exit_code\": [0-9]+/  \"exit_code\": 112/' -e '$d' \"$run/verdict.json\"; sed -i '$s/$/,/' \"$run/verdict.json\"; \
         cat >> \"$run/verdict.json\" <<'GATE'\n  \"gate\": {{\n    \"base\": {{\n      \"kind\": \"{kind}\"\n    }},\n    \"comparison\": \
         {{\n      \"change\": \"{change}\"\n    }},\n    \"exit_code\": 112\n  }}\n}}\nGATE\nstatus=112"
    )
}

#[test]
fn unclear_warns_in_ci_and_fails_at_night() {
    let unclear = no_verdict("program", "unclear");
    ends(
        &with(&unclear, &[]),
        0,
        "warning: nothing is wrong, but some timings cannot be decided",
    );
    ends(&with(&unclear, &["--unclear", "fail"]), 112, "no verdict");
    ends(&with(&unclear, &["--profile", "nightly"]), 112, "no verdict");
    ends(
        &with(&unclear, &["--profile", "nightly", "--unclear=warn"]),
        0,
        "warning",
    );
    ends(&with(&unclear, &["--unclear", "75"]), 75, "warning");
    // A text that waits for review is not let through with it.
    let env = suite(PENDING);
    let program = stand_in(&env, &unclear);
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_BIN", program);
    ends(&end(command), 113, "snapshots wait for review");
    // What was left out is no unclear timing.
    let interrupted = format!("{unclear}\nsed -i 's/\"complete\": true/\"complete\": false/' \"$run/verdict.json\"");
    ends(&with(&interrupted, &[]), 112, "no verdict");
    ends(&with(&interrupted, &["--unclear", "75"]), 112, "no verdict");
    let lost = format!("{unclear}\nsed -i 's/^{{/{{\"processes_left\":1,/' \"$run/attempts.jsonl\"");
    ends(&with(&lost, &[]), 112, "no verdict");
    // A merge does not hold runs against a baseline again.
    ends(
        &with(&unclear, &["--judge-later", "--unclear", "fail"]),
        112,
        "no verdict",
    );
    // Figures that are missing, and what a baseline lacks, are no unclear timings either.
    ends(&with(&no_verdict("program", "no_verdict"), &[]), 112, "no verdict");
    ends(&with(&no_verdict("baseline", "unclear"), &[]), 112, "no verdict");
    // Without an answer of a comparison there is nothing that could be unclear.
    let no_gate = "sed -i 's/^  \"exit_code\": 0/  \"exit_code\": 112/' \"$run/verdict.json\"; status=112";
    ends(&with(no_gate, &[]), 112, "no verdict");
}

#[test]
fn an_exit_code_that_was_lost_is_no_pass() {
    ends(&with("rm \"$run/verdict.json\"", &[]), 112, "has no verdict.json");
    ends(&with("echo '{}' > \"$run/verdict.json\"", &[]), 112, "is damaged");
    ends(&with("sed -i '$d' \"$run/verdict.json\"", &[]), 112, "is damaged");
    ends(&with("status=100", &[]), 112, "but reports/");
    ends(&with("status=3", &[]), 112, "the program ended with 3");
    ends(&with("kill -KILL $$", &[]), 112, "the run was ended: 137");
    let env = suite(FAILING);
    let program = stand_in(&env, "status=0");
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_BIN", program);
    ends(&end(command), 112, "the exit code was lost on the way");
    // An older run is no answer.
    let program = self::program(&env, "exit 0\n");
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_BIN", program);
    ends(&end(command), 112, "left no run in reports");
}

#[test]
fn a_machine_that_is_not_sound_stops_the_gate_before_anything_runs() {
    for (doctor, code, words) in [
        ("exit 100", 96, "a device or link of this machine is corrupt or stalls"),
        ("exit 112", 0, "doctor could not look everywhere"),
        ("exit 139", 96, "doctor ended with 139 (signal 11, SEGV)"),
        ("exec sleep 60", 96, "doctor ended with 124 (the deadline of 2s)"),
    ] {
        let env = suite(PASSING);
        let binary = env!("CARGO_BIN_EXE_placebench");
        let program = program(
            &env,
            &format!("[ \"$1\" != doctor ] || {doctor}\nexec {binary} \"$@\"\n"),
        );
        let deadline = if code == 0 { "5m" } else { "2s" };
        let mut command = gate_with_doctor(&env, &["--deadline", deadline]);
        command.env("PLACEBENCH_BIN", program);
        ends(&end(command), code, words);
        assert_eq!(env.path("reports/latest").exists(), code == 0);
    }
}

#[cfg(feature = "candle")]
#[test]
fn a_real_link_that_stalls_stops_the_gate() {
    let env = suite(PASSING);
    let binary = env!("CARGO_BIN_EXE_placebench");
    let text = format!(
        "case $1 in doctor) shift; exec {binary} doctor --inject 'stall:cpu->cpu' --timeout 1s \"$@\" ;; esac\nexec {binary} \"$@\"\n"
    );
    let mut command = gate_with_doctor(&env, &[]);
    command.env("PLACEBENCH_BIN", program(&env, &text));
    let ran = end(command);
    ends(&ran, 96, "no run here would mean anything");
    assert!(ran.stdout.contains("stalled"), "{}", ran.stdout);
}

#[test]
fn a_program_that_is_not_there_is_code_96() {
    let env = suite(PASSING);
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_BIN", "no/such/program");
    ends(&end(command), 96, "no/such/program is not a program that can be run");
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_BIN", "suite/s.toml");
    ends(&end(command), 96, "is not a program");
}

/// A copy of the repository's outline, in which `cargo` and NVIDIA's tools are what a test says.
fn build_with(tools: &[&str], cuda: Option<&str>) -> (TestEnv, Ran) {
    let env = suite(PASSING);
    let binary = env!("CARGO_BIN_EXE_placebench");
    let tool = |path: &str, text: String| {
        env.write(path, &format!("#!/usr/bin/env bash\n{text}\n"));
        executable(env.path(path));
    };
    env.write("root/Cargo.toml", "");
    env.write("root/harness/cli/Cargo.toml", "");
    std::fs::copy(script(), env.path("root/ci-gate.sh")).unwrap();
    let leave = |folder: &str| format!("mkdir -p {folder}/release && ln -sf {binary} {folder}/release/placebench");
    let root = env.path("root").display().to_string();
    tool(
        "root/ci/build-cuda.sh",
        format!("echo built-by-build-cuda; {}", leave(&format!("{root}/target/cuda"))),
    );
    std::fs::rename(env.path("root/ci-gate.sh"), env.path("root/ci/gate.sh")).unwrap();
    tool(
        "tools/cargo",
        format!("echo cargo \"$@\"; {}", leave(&format!("{root}/target"))),
    );
    for name in tools {
        tool(&format!("tools/{name}"), "exit 0".to_owned());
    }
    let path = format!("{}:/usr/bin:/bin", env.path("tools").display());
    let mut command = Command::new("bash");
    command
        .arg(env.path("root/ci/gate.sh"))
        .args(["--paths", "suite", "--skip-doctor"])
        .current_dir(env.path(""))
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null());
    if let Some(cuda) = cuda {
        command.env("GATE_CUDA", cuda);
    }
    let ran = end(command);
    (env, ran)
}

#[test]
fn the_program_is_built_as_the_machine_can_run_it() {
    let (_env, ran) = build_with(&[], Some("no"));
    ends(&ran, 0, "passed");
    assert!(
        ran.stdout.contains("cargo build --release --locked") && !ran.stdout.contains("--features"),
        "{ran:?}"
    );
    let (_env, ran) = build_with(&["nvidia-smi", "nvcc"], None);
    ends(&ran, 0, "passed");
    assert!(ran.stdout.contains("--features cuda"), "{ran:?}");
    let (_env, ran) = build_with(&["nvidia-smi", "nvcc"], Some("no"));
    assert!(ran.code == Some(0) && !ran.stdout.contains("--features"), "{ran:?}");
    ends(&build_with(&[], Some("perhaps")).1, 2, "expected auto, yes or no");
    if !std::path::Path::new("/usr/bin/nvcc").exists() {
        let (_env, ran) = build_with(&["nvidia-smi"], None);
        ends(&ran, 0, "there is no nvcc");
        assert!(ran.stdout.contains("built-by-build-cuda"), "{ran:?}");
    }
}

#[test]
fn shards_are_judged_together() {
    let env = suite(FAILING);
    env.scenario("t", PASSING);
    let shard = |number: &str| {
        let part = format!("slice:{number}/3");
        let out = format!("shard-{number}");
        end(gate(
            &env,
            &["--partition", &part, "--judge-later", "--output-dir", &out],
        ))
    };
    ends(&shard("1"), 0, "exit code 100 is on record");
    ends(&shard("2"), 0, "exit code 0 is on record");
    ends(&shard("3"), 0, "this shard has no cases");
    let merged = |shards: &[&str]| {
        let args: Vec<&str> = shards.iter().flat_map(|shard| ["--merge", *shard]).collect();
        end(gate(&env, &args))
    };
    ends(&merged(&["shard-1", "shard-2"]), 100, "a case failed");
    assert_eq!(env.verdict().cases.len(), 2);
    ends(&merged(&["shard-1"]), 96, "");
    let stopped = end(gate(
        &env,
        &[
            "--partition",
            "slice:1/1",
            "--judge-later",
            "--output-dir",
            "all",
            "--",
            "--fail-fast",
        ],
    ));
    ends(&stopped, 100, "the shard is not complete");
    ends(
        &merged(&["shard-1", "shard-2", "shard-2/latest", "shard-1"]),
        100,
        "a case failed",
    );
}

#[test]
fn a_merged_run_is_held_against_the_baseline() {
    let binary = env!("CARGO_BIN_EXE_placebench");
    for (rest, answer, code, words) in [
        (PASSING, 0, 0, "passed"),
        (PASSING, 100, 100, "a case failed"),
        (PASSING, 111, 111, "slower than before"),
        (PASSING, 112, 112, "no verdict"),
        (FAILING, 112, 100, "a case failed"),
        (FAILING, 111, 100, "a case failed"),
        (PENDING, 0, 113, "snapshots wait for review"),
        (PENDING, 111, 111, "slower than before"),
        (PENDING, 112, 112, "no verdict"),
        (PASSING, 96, 96, "the run ended with 96"),
        (PASSING, 2, 112, "compare ended with 2"),
    ] {
        let env = suite(rest);
        let shard = ["--partition", "slice:1/1", "--judge-later", "--output-dir", "shard"];
        ends(&end(gate(&env, &shard)), 0, "the merge judges");
        let asked = "[ \"$2\" = baseline:main ] && [ \"$3\" = \"reports/$(readlink reports/latest)\" ] || exit 3";
        let program = program(
            &env,
            &format!("[ \"$1\" = compare ] || exec {binary} \"$@\"\n{asked}\nexit {answer}\n"),
        );
        let mut command = gate(&env, &["--merge", "shard", "--baseline", "main"]);
        command.env("PLACEBENCH_BIN", program);
        ends(&end(command), code, words);
    }
}

#[test]
fn what_a_model_says_is_no_command_to_the_build_machine() {
    let env = suite(FAILING);
    let program = stand_in(&env, "echo '::error::said by a model'");
    let mut command = gate(&env, &[]);
    command.env("PLACEBENCH_BIN", program).env("GITHUB_ACTIONS", "true");
    let ran = end(command);
    ends(&ran, 100, "a case failed");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let place = |wanted: &dyn Fn(&str) -> bool| lines.iter().position(|line| wanted(line)).unwrap();
    let stop = place(&|line| line.starts_with("::stop-commands::"));
    let token = lines[stop].trim_start_matches("::stop-commands::");
    assert!(
        token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{token}"
    );
    let said = place(&|line| line == "::error::said by a model");
    let heeded = place(&|line| line == format!("::{token}::"));
    let own = place(&|line| line.starts_with("::error title=placebench gate::a case failed"));
    assert!(stop < said && said < heeded && heeded < own, "{lines:#?}");
}

#[test]
fn one_gate_at_a_time_holds_the_lock() {
    let env = suite(PASSING);
    env.write("machine.lock", "");
    let mut holder = Command::new("flock")
        .args([env.path("machine.lock").to_str().unwrap(), "cat"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let free = || {
        let probe = Command::new("flock")
            .args(["-n", env.path("machine.lock").to_str().unwrap(), "true"])
            .status();
        probe.unwrap().success()
    };
    eventually("the lock is held", || !free());
    let ran = end(gate(&env, &["--lock", "machine.lock", "--deadline", "1s"]));
    ends(&ran, 96, "another gate held machine.lock");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    ends(&end(gate(&env, &["--lock", "machine.lock"])), 0, "passed");
}

//! The scripts that schedulers start (`ci/cluster/`), without a scheduler: killed at any moment and started again, they come to
//! what one machine comes to.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use placebench_core::record::RunInfo;
use serde_json::Value;

use crate::env::{Ran, TestEnv, read_attempts};
use crate::named_runs::{read_info, set_processor};
use crate::resume::{essence, mixed};
use crate::selection::{info, suite};

fn script(env: &TestEnv, name: &str, args: &[&str], settings: &[(&str, &str)]) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../ci/cluster")
        .join(name);
    let mut command = env.command(&[]);
    // The same environment and folder, another program.
    let mut started = Command::new("bash");
    started.arg(path).args(args).env_clear();
    for (name, value) in command.get_envs() {
        started.env(name, value.unwrap());
    }
    command.env_clear();
    started
        .current_dir(env.path("."))
        .env("SHARD_PROGRAM", env!("CARGO_BIN_EXE_placebench"))
        .env("SHARD_RUN", "nightly")
        .env("SHARD_DIR", "shared")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    started
}

fn shard(env: &TestEnv, settings: &[(&str, &str)]) -> Ran {
    Ran::of(script(env, "run-shard.sh", &["suite"], settings).output().unwrap())
}

fn merge(env: &TestEnv, settings: &[(&str, &str)]) -> Ran {
    Ran::of(script(env, "merge-shards.sh", &[], settings).output().unwrap())
}

fn ended(env: &TestEnv, shard: &str) -> Option<String> {
    let file = env.path("shared/nightly/ended").join(format!("nightly-shard-{shard}"));
    std::fs::read_to_string(file).ok().map(|code| code.trim().to_owned())
}

/// Starts a shard and waits until so many of its attempts are on record.
fn start(env: &TestEnv, settings: &[(&str, &str)], shard: &str, attempts: usize) -> Child {
    let child = script(env, "run-shard.sh", &["suite"], settings).spawn().unwrap();
    let file = env.path(&format!("shared/nightly/shards/nightly-shard-{shard}/attempts.jsonl"));
    let started = Instant::now();
    while std::fs::read_to_string(&file).map_or(0, |text| text.lines().count()) < attempts {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing happens");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

/// The placebench that a script has started.
fn supervisor_of(script: &Child) -> String {
    let children = Command::new("pgrep")
        .args(["-P", &script.id().to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8(children.stdout).unwrap();
    let mut children = text.split_whitespace();
    let first = children.next().unwrap().to_owned();
    assert_eq!(children.next(), None);
    first
}

fn wait(child: Child) -> Ran {
    Ran::of(child.wait_with_output().unwrap())
}

/// The same suite with hops that take a while, so that there is time to come in between.
fn slow() -> TestEnv {
    let env = mixed();
    std::fs::rename(env.path("suite/t.toml"), env.path("suite/z.toml")).unwrap();
    let slow = "[[fault]]\nkind = \"slow_link\"\ndelay = \"20ms\"\nplacements = [\"spoiled\"]\n";
    for name in ["s", "u", "v"] {
        let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
        let text = if text.contains("slow_link") {
            text
        } else {
            format!("{text}{slow}")
        };
        env.write(
            &format!("suite/{name}.toml"),
            &text.replace("repetitions = 4", "repetitions = 2"),
        );
    }
    env
}

#[test]
fn shards_that_were_killed_and_started_again_come_to_what_one_machine_comes_to() {
    let env = slow();
    let whole = env.run(&["run", "suite"]);
    assert_eq!(whole.code, Some(100), "{whole:?}");
    let alone = essence(&env.latest());
    let common = [("SHARD_COUNT", "3"), ("SHARD_KIND", "slice")];
    let of = |index: &'static str| [common.as_slice(), &[("SHARD_INDEX", index)]].concat();

    // The supervisor is killed, as by the kernel for want of memory.
    let child = start(&env, &of("1"), "1-of-3", 2);
    signal("-KILL", &supervisor_of(&child));
    let ran = wait(child);
    assert_eq!((ran.code, ended(&env, "1-of-3")), (Some(137), None), "{ran:?}");
    assert!(ran.stderr.contains("was killed by signal 9"), "{ran:?}");
    // A scheduler takes the machine back. SIGTERM ends the running attempt and keeps the record whole.
    let child = start(&env, &of("2"), "2-of-3", 2);
    signal("-TERM", &child.id().to_string());
    let ran = wait(child);
    assert_eq!((ran.code, ended(&env, "2-of-3")), (Some(143), None), "{ran:?}");
    let verdict = std::fs::read_to_string(env.path("shared/nightly/shards/nightly-shard-2-of-3/verdict.json")).unwrap();
    assert!(verdict.contains("\"complete\": false"));
    // The third never began: nothing is merged, and each shard is accounted for.
    let ran = merge(&env, &common);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    for line in [
        "shard 1 of 3: did not come to its end; attempts on record: ",
        "shard 3 of 3: never began",
    ] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
    assert!(
        ran.stderr.contains("nightly-shard-1-of-3") && ran.stderr.contains("is not finished"),
        "{}",
        ran.stderr
    );
    assert!(!env.path("shared/nightly/merged").exists());

    let before: Vec<String> = ["1", "2"]
        .map(|index| format!("shared/nightly/shards/nightly-shard-{index}-of-3/attempts.jsonl"))
        .map(|file| std::fs::read_to_string(env.path(&file)).unwrap())
        .into();
    // Again as Slurm starts it, as Kubernetes does, and by hand.
    let of_slurm = [
        common.as_slice(),
        &[("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_COUNT", "1")],
    ]
    .concat();
    let of_kubernetes = [common.as_slice(), &[("JOB_COMPLETION_INDEX", "1")]].concat();
    for (settings, shard_name) in [(of_slurm, "1-of-3"), (of_kubernetes, "2-of-3"), (of("3"), "3-of-3")] {
        let ran = shard(&env, &settings);
        assert!(matches!(ran.code, Some(0 | 100)), "{ran:?}");
        assert_eq!(ended(&env, shard_name), ran.code.map(|code| code.to_string()));
    }
    for (index, before) in before.iter().enumerate() {
        let file = format!("shared/nightly/shards/nightly-shard-{}-of-3/attempts.jsonl", index + 1);
        let after = std::fs::read_to_string(env.path(&file)).unwrap();
        let kept = &before[..before.rfind('\n').unwrap() + 1];
        assert!(
            after.starts_with(kept) && after.len() > kept.len(),
            "what was made is kept"
        );
    }
    let ran = merge(&env, &common);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let merged = env.path("shared/nightly/merged/latest").canonicalize().unwrap();
    assert_eq!(essence(&merged), alone);
}

#[test]
fn an_end_of_time_puts_a_job_of_slurm_back_into_its_queue_so_often() {
    let env = slow();
    let common = [("SHARD_COUNT", "1"), ("SHARD_INDEX", "1"), ("SLURM_JOB_ID", "77")];
    // A stand-in for Slurm's own command notes what it is asked.
    env.write("bin/scontrol", "#!/bin/sh\necho \"$@\" >> asked\n");
    make_executable(&env.path("bin/scontrol"));
    let path = format!("{}:{}", env.path("bin").display(), std::env::var("PATH").unwrap());
    let asked = || std::fs::read_to_string(env.path("asked")).unwrap_or_default();
    for (restarts, name, expected) in [("0", "-USR1", "requeue 77\n"), ("10", "-USR1", ""), ("0", "-TERM", "")] {
        drop(std::fs::remove_dir_all(env.path("shared")));
        drop(std::fs::remove_file(env.path("asked")));
        let own = [("SLURM_RESTART_COUNT", restarts), ("PATH", path.as_str())];
        let child = start(&env, &[common.as_slice(), &own].concat(), "1-of-1", 1);
        signal(name, &child.id().to_string());
        let ran = wait(child);
        assert_eq!(ran.code, Some(143), "{ran:?}");
        assert_eq!(asked(), expected, "{restarts} {name}: {ran:?}");
    }
}

fn make_executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_empty_shard_is_no_gap_and_settings_are_checked() {
    let env = suite();
    // Six groups in seven shards.
    for index in ["1", "2", "3", "4", "5", "6", "7"] {
        let ran = shard(
            &env,
            &[("SHARD_COUNT", "7"), ("SHARD_KIND", "slice"), ("SHARD_INDEX", index)],
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let ran = merge(&env, &[("SHARD_COUNT", "7"), ("SHARD_WAIT", "3600")]);
    assert_eq!(ran.code, Some(0), "nobody is waited for: {ran:?}");
    assert!(
        ran.stdout
            .contains("shard 7 of 7: ended with exit code 0, no case fell to it"),
        "{}",
        ran.stdout
    );
    for (settings, why) in [
        (
            vec![("SHARD_COUNT", "7"), ("SHARD_INDEX", "8")],
            "expected a number from 1 to 7",
        ),
        (vec![("SHARD_COUNT", "7")], "the shard is ``"),
        (vec![("SHARD_INDEX", "1")], "SHARD_COUNT is ``"),
        (vec![("SHARD_INDEX", "1"), ("SHARD_COUNT", "0")], "SHARD_COUNT is `0`"),
        (
            vec![("SHARD_INDEX", "1"), ("SHARD_COUNT", "2"), ("SHARD_RUN", "../x")],
            "SHARD_RUN is `../x`",
        ),
        (
            vec![("SHARD_INDEX", "1"), ("SHARD_COUNT", "2"), ("SHARD_KIND", "count")],
            "SHARD_KIND is `count`",
        ),
        // Two shards of an array of more that are made again do not say how many there are.
        (
            vec![
                ("SLURM_ARRAY_TASK_ID", "3"),
                ("SLURM_ARRAY_TASK_MIN", "3"),
                ("SLURM_ARRAY_TASK_MAX", "4"),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
            ],
            "SHARD_COUNT is ``",
        ),
    ] {
        let ran = shard(&env, &settings);
        assert_eq!(ran.code, Some(2), "{settings:?}: {ran:?}");
        assert!(ran.stderr.contains(why), "{settings:?}: {}", ran.stderr);
    }
}

/// Each shard keeps its own machine, in the report and in comparisons.
#[test]
fn shards_of_different_machines_stay_apart() {
    let env = suite();
    for index in ["1", "2"] {
        let ran = shard(
            &env,
            &[("SHARD_COUNT", "2"), ("SHARD_KIND", "slice"), ("SHARD_INDEX", index)],
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    set_processor(&env, "shared/nightly/shards/nightly-shard-2-of-2", "Elsewhere CPU");
    assert_eq!(env.run(&["run", "suite"]).code, Some(0));
    let here = info(&env);
    assert_eq!(merge(&env, &[("SHARD_COUNT", "2")]).code, Some(0));
    let merged = env.path("shared/nightly/merged/latest").canonicalize().unwrap();
    let shards: RunInfo = serde_json::from_slice(&std::fs::read(merged.join("run.json")).unwrap()).unwrap();
    assert_eq!(
        shards
            .shards
            .iter()
            .map(|shard| shard.environment.cpu.clone())
            .collect::<Vec<_>>(),
        [here.environment.cpu.clone(), "Elsewhere CPU".to_owned()]
    );
    assert_eq!(
        shards.shards[1].environment,
        read_info(&env, "shared/nightly/shards/nightly-shard-2-of-2").environment
    );
    let html = std::fs::read_to_string(merged.join("report.html")).unwrap();
    for words in ["merged from", "made by", "nightly-shard-2-of-2 on Elsewhere CPU"] {
        assert!(html.contains(words), "{words}");
    }
    let compared = env.run(&["compare", &here.run_id, merged.to_str().unwrap(), "--format", "json"]);
    let document: Value = serde_json::from_str(&compared.stdout).unwrap();
    let rows = document["comparison"]["cases"].as_array().unwrap();
    assert_eq!(rows.len(), 12, "{}", compared.stdout);
    for row in rows {
        let case = row["case"].as_str().unwrap();
        let of_second = shards.shards[1].cases.iter().any(|own| own == case);
        assert_eq!(row.to_string().contains("Elsewhere CPU"), of_second, "{case}: {row}");
    }
    assert_eq!(read_attempts(&merged).len(), 16);
}

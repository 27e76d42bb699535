//! A run that is held against another program.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use placebench_core::exit_code::ExitCode;
use placebench_core::record::{Attempt, GateBase};
use serde_json::Value;

use crate::env::{Ran, TestEnv, read_attempts};

/// Two placements that complete.
const TWO: &str = "[placement.whole]\ndevice_map = \"sim:0\"\n[placement.halves]\n\
    device_map = { \"model.embed_tokens\" = \"sim:0\", \"model.layers.0-3\" = \"sim:0\", \"\" = \"sim:1\" }\n";

/// This program under another name: a file of its own that hands everything on.
fn other_program(env: &TestEnv, name: &str) -> PathBuf {
    script(
        env,
        name,
        &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_placebench")),
    )
}

fn script(env: &TestEnv, name: &str, line: &str) -> PathBuf {
    env.write(name, &format!("#!/bin/sh\n{line}\n"));
    let path = env.path(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn suite(rest: &str) -> TestEnv {
    let env = TestEnv::new();
    env.scenario("s", rest);
    env
}

/// Everything but what is gated is built in.
fn gate(env: &TestEnv, keys: &str) {
    env.write("placebench.toml", &format!("[profile.default.gate]\n{keys}"));
}

fn against(env: &TestEnv, flags: &[&str]) -> Ran {
    env.run(&[["run", "suite", "--against", "./other"].as_slice(), flags].concat())
}

fn comparison(run: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(run.join("comparison.json")).unwrap()).unwrap()
}

/// Lets the other side of the newest run be otherwise, and judges it again.
fn with_other_base(env: &TestEnv, change: impl Fn(&mut Vec<Attempt>)) -> Value {
    let file = env.latest().join("base/attempts.jsonl");
    let kept = std::fs::read(&file).unwrap();
    let mut attempts = read_attempts(&env.latest().join("base"));
    change(&mut attempts);
    let lines = attempts
        .iter()
        .map(|attempt| serde_json::to_string(attempt).unwrap() + "\n");
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let ran = env.run(&["report"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    std::fs::write(&file, kept).unwrap();
    comparison(&env.latest())
}

/// The reasons that timings of the first case have no verdict for.
fn reasons(document: &Value) -> BTreeSet<String> {
    let timings = document["comparison"]["cases"][0]["timings"].as_array().unwrap();
    let kinds = timings
        .iter()
        .map(|row| row["reason"]["kind"].as_str().unwrap_or("none").to_owned());
    kinds.collect()
}

#[test]
fn what_is_no_such_program_is_refused_before_anything_runs() {
    let env = suite(TWO);
    env.write("text", "no program");
    script(&env, "silent", "exit 0");
    script(&env, "babble", "echo hello");
    script(
        &env,
        "strange",
        "echo '{\"t_s\":0,\"event\":\"hello\",\"protocol\":99,\"engine\":\"mock\",\"versions\":[],\"profile\":\"release\"}'",
    );
    for (program, words) in [
        ("./nowhere", "No such file"),
        ("nowhere-in-path", "no folder of PATH has such a program"),
        ("./suite", "this is no file"),
        ("./text", "may not be executed"),
        ("./silent", "does not say who it is"),
        ("./babble", "does not say who it is"),
        ("./strange", "protocol"),
    ] {
        let ran = env.run(&["run", "suite", "--against", program]);
        assert_eq!(ran.code, Some(96), "{program}: {ran:?}");
        assert!(ran.stderr.contains(words), "{program}: {}", ran.stderr);
        assert!(!env.path("reports").exists(), "{program}");
    }
    let ran = env.run(&["run", "suite", "--against", "./silent", "--audit"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn both_programs_take_turns_and_the_answer_is_on_record() {
    let env = suite(TWO);
    other_program(&env, "other");
    let ran = against(&env, &["--pairs", "8", "--max-pairs", "8"]);
    let run = env.latest();
    let verdict = env.verdict();
    assert_eq!(ran.code, Some(i32::from(verdict.exit_code)), "{ran:?}");
    assert!(verdict.complete);
    let (base, new) = (read_attempts(&run.join("base")), read_attempts(&run));
    assert_eq!((base.len(), new.len()), (16, 16));
    // A B B A of each case, and nothing between the two of a pair.
    let mut all: Vec<(&str, &Attempt)> = base.iter().map(|attempt| ("base", attempt)).collect();
    all.extend(new.iter().map(|attempt| ("new", attempt)));
    all.sort_by(|(_, a), (_, b)| a.started_at.cmp(&b.started_at));
    for case in ["s/p/whole", "s/p/halves"] {
        let own: Vec<_> = all.iter().filter(|(_, attempt)| attempt.case == case).collect();
        for (number, pair) in own.chunks(2).enumerate() {
            assert!(
                pair.iter().all(|(_, attempt)| attempt.attempt as usize == number),
                "{case} {number}"
            );
            assert_ne!(pair[0].0, pair[1].0);
            assert_eq!(pair[0].0 == own[0].0, number % 2 == 0, "{case} {number}");
        }
    }
    // Everything says the same, and it can be made again from the record alone.
    let gate = verdict.gate.unwrap();
    let GateBase::Program { program, version } = &gate.base else {
        panic!("{gate:?}")
    };
    assert!(program.ends_with("/other") && version.starts_with("mock "), "{gate:?}");
    assert_eq!(gate.comparison.family, 6);
    let written = comparison(&run);
    assert_eq!(written["exit_code"], gate.exit_code);
    assert_eq!(written["comparison"], serde_json::to_value(&gate.comparison).unwrap());
    assert!(ran.stdout.contains("2 cases compared: "), "{}", ran.stdout);
    std::fs::remove_file(run.join("comparison.json")).unwrap();
    assert_eq!(env.run(&["report"]).code, Some(0));
    assert_eq!(comparison(&run), written);
    let (base, new) = (run.join("base"), run.clone());
    let compared = env.run(&[
        "compare",
        base.to_str().unwrap(),
        new.to_str().unwrap(),
        "--format",
        "json",
    ]);
    let compared: Value = serde_json::from_str(&compared.stdout).unwrap();
    assert_eq!(compared["comparison"]["spec"]["arrangement"], "interleaved");
    assert_eq!(env.run(&["report", base.to_str().unwrap()]).code, Some(0));
    let ran = env.run(&["run", "--resume", base.to_str().unwrap()]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("the other side of a run"),
        "{ran:?}"
    );
}

#[test]
fn cases_that_make_no_figures_are_run_once_and_named() {
    let env = suite(
        "[placement.fine]\ndevice_map = \"sim:0\"\n[placement.crashed]\ndevice_map = \"sim:0\"\n\
         [placement.crashed.expect]\noutcome = \"crashed\"\n[[fault]]\nkind = \"crash\"\nplacements = [\"crashed\"]\n",
    );
    env.scenario(
        "t",
        "[placement.shared]\ndevice_map = \"sim:0\"\n[measure]\nisolation = \"shared\"\n",
    );
    env.scenario(
        "u",
        "[placement.elsewhere]\ndevice_map = \"sim:0\"\n[requires]\ncuda = 99\n",
    );
    other_program(&env, "other");
    gate(&env, "metrics = []\n");
    let ran = against(&env, &["--pairs", "6", "--max-pairs", "6"]);
    assert_eq!(ran.code, Some(0), "counters need no quiet machine: {ran:?}");
    let base: BTreeSet<String> = read_attempts(&env.latest().join("base"))
        .into_iter()
        .map(|made| made.case)
        .collect();
    assert_eq!(base, BTreeSet::from(["s/p/fine".to_owned()]));
    let document = comparison(&env.latest());
    let told: Vec<&str> = document["not_compared"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["reason"].as_str().unwrap())
        .collect();
    for words in [
        "is expected to end as crashed",
        "isolation = \"shared\"",
        "is skipped: ",
    ] {
        assert!(told.iter().any(|reason| reason.contains(words)), "{words}: {told:?}");
    }
    let ran = against(&env, &["-E", "scenario(=t)"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("no case can be compared"),
        "{ran:?}"
    );
}

#[test]
fn the_same_foreign_program_on_both_sides_is_no_comparison() {
    let env = TestEnv::new();
    env.write(
        "suite/x.toml",
        "schema_version = 1\nengine = \"program\"\n[model]\npath = \"models/m\"\n[program]\ncommand = [\"true\"]\n\
         [[prompt]]\nname = \"p\"\ntext = \"Hello\"\n[placement.x]\ndevice_map = \"cpu\"\n",
    );
    other_program(&env, "other");
    let ran = against(&env, &[]);
    assert!(ran.code == Some(96) && ran.stderr.contains("--allow-exec"), "{ran:?}");
    let ran = against(&env, &["--allow-exec"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("a program of its own"),
        "{ran:?}"
    );
}

#[test]
fn a_side_that_is_made_slower_is_found_slower() {
    let env = suite("[placement.x]\ndevice_map = \"sim:0\"\n");
    env.write(
        "suite/models/m/config.json",
        "{\"num_hidden_layers\": 8, \"mock_step_ms\": 30}",
    );
    let file = env.path("suite/s.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("max_new_tokens = 12", "max_new_tokens = 4")).unwrap();
    other_program(&env, "other");
    gate(&env, "metrics = [\"tpot_s\"]\nunclear = \"warn\"\n");
    // Far beyond what any load does to four of five waits, and below what is not believed.
    let ran = against(&env, &["--inject-slowdown", "60%"]);
    assert_eq!(ran.code, Some(111), "{ran:?}");
    assert!(
        ran.stdout.contains("slower, ") && ran.stdout.contains("its fault changed"),
        "{}",
        ran.stdout
    );
    let info = std::fs::read_to_string(env.latest().join("run.json")).unwrap();
    assert!(info.contains("slow_step"), "it is on record");
    assert!(
        !std::fs::read_to_string(env.latest().join("base/run.json"))
            .unwrap()
            .contains("slow_step")
    );
}

#[test]
fn an_unclear_answer_gets_more_pairs_up_to_the_cap() {
    let env = suite("[placement.x]\ndevice_map = \"sim:0\"\n");
    other_program(&env, "other");
    // Without a margin nothing is ever the same, and chance seldom gives ten pairs the same sign.
    gate(
        &env,
        "metrics = [\"load_s\"]\nmin_effect = 0.0\nagreement = 1.0\nimplausible_factor = 1000.0\n",
    );
    let ran = against(&env, &["--pairs", "10", "--max-pairs", "12"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    let counts = [
        read_attempts(&env.latest()).len(),
        read_attempts(&env.latest().join("base")).len(),
    ];
    assert_eq!(counts, [12, 12]);
    assert!(env.verdict().complete);
}

#[test]
fn what_cannot_be_judged_has_its_reason() {
    let env = suite("[placement.x]\ndevice_map = \"sim:0\"\n[measure]\nwarmup = 0\n");
    other_program(&env, "other");
    gate(&env, "metrics = [\"tpot_s\"]\n");
    against(&env, &["--pairs", "8", "--max-pairs", "8"]);
    let generations = |attempts: &mut Vec<Attempt>, change: &dyn Fn(&mut placebench_core::protocol::Generation)| {
        attempts
            .iter_mut()
            .flat_map(|attempt| &mut attempt.generations)
            .for_each(change);
    };
    let implausible = with_other_base(&env, |attempts| {
        generations(attempts, &|made| {
            made.token_stamps_s.iter_mut().for_each(|stamp| *stamp *= 5.0);
        });
    });
    assert_eq!(
        (reasons(&implausible), &implausible["exit_code"]),
        (BTreeSet::from(["implausible".to_owned()]), &112.into())
    );
    let vanished = with_other_base(&env, |attempts| {
        generations(attempts, &|made| made.token_stamps_s.clear());
    });
    assert_eq!(
        reasons(&vanished),
        BTreeSet::from(["missing".to_owned()]),
        "{vanished:#}"
    );
    let missing = with_other_base(&env, |attempts| attempts.truncate(3));
    assert_eq!(missing["exit_code"], 112, "{missing:#}");
    assert_eq!(missing["unfinished"][0], "s/p/x");
    let other_machine = with_other_base(&env, |attempts| {
        attempts
            .iter_mut()
            .for_each(|attempt| attempt.profile = Some("release-with-luck".into()));
    });
    assert_eq!(reasons(&other_machine), BTreeSet::from(["other_machine".to_owned()]));
    let other_text = with_other_base(&env, |attempts| {
        generations(attempts, &|made| {
            made.output_ids[2] += 1;
            made.top5[2][0].id += 1;
        });
    });
    assert_eq!(
        other_text["exit_code"],
        u64::from(ExitCode::CaseFailed.number()),
        "{other_text:#}"
    );
    assert_eq!(reasons(&other_text), BTreeSet::from(["other_work".to_owned()]));
    let garbage = with_other_base(&env, |attempts| generations(attempts, &|made| made.output_ids.fill(7)));
    assert_eq!(
        reasons(&garbage),
        BTreeSet::from(["text_invalid".to_owned()]),
        "{garbage:#}"
    );
}

#[test]
fn unclear_times_may_be_told_without_failing() {
    let env = suite("[placement.x]\ndevice_map = \"sim:0\"\n");
    let file = env.path("suite/s.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // One token has no time between tokens.
    std::fs::write(&file, text.replace("max_new_tokens = 12", "max_new_tokens = 1")).unwrap();
    other_program(&env, "other");
    for (unclear, code) in [("fail", 112), ("warn", 0)] {
        gate(&env, &format!("metrics = [\"tpot_s\"]\nunclear = \"{unclear}\"\n"));
        let ran = against(&env, &["--pairs", "6", "--max-pairs", "6"]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(
            ran.stdout
                .contains("no verdict on tpot_s of s/p/x: neither side was measured"),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn a_killed_run_goes_on_with_the_same_program_only() {
    let env = suite(TWO);
    other_program(&env, "other");
    gate(&env, "metrics = []\n");
    for lines in [2, 60, 150] {
        let args = [
            "run",
            "suite",
            "--against",
            "./other",
            "--pairs",
            "6",
            "--max-pairs",
            "6",
            "--message-format",
            "ndjson",
        ];
        let mut child = env
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().take(lines).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(said, lines);
        let run = env.latest();
        let name = run.file_name().unwrap().to_str().unwrap();
        // A record may come from a stranger: its program is started where the person says so.
        let refused = env.run(&["run", "--resume", name]);
        assert!(
            refused.code == Some(96) && refused.stderr.contains("--allow-exec"),
            "{refused:?}"
        );
        script(&env, "other", "exit 0");
        let refused = env.run(&["run", "--resume", name, "--allow-exec"]);
        assert!(
            refused.code == Some(96) && refused.stderr.contains("is another program than"),
            "{refused:?}"
        );
        other_program(&env, "other");
        let ran = env.run(&["run", "--resume", name, "--allow-exec"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for side in [run.clone(), run.join("base")] {
            let made: Vec<(String, u32)> = read_attempts(&side)
                .into_iter()
                .map(|made| (made.case, made.attempt))
                .collect();
            let once: BTreeSet<&(String, u32)> = made.iter().collect();
            assert_eq!((made.len(), once.len()), (12, 12), "{lines}: {}", side.display());
        }
    }
}

#[test]
fn shards_that_were_held_against_the_same_program_merge_with_their_other_sides() {
    let env = suite(TWO);
    env.scenario("t", TWO);
    other_program(&env, "other");
    gate(&env, "metrics = []\n");
    let folders: Vec<String> = (1..=2).map(|index| format!("shard-{index}")).collect();
    for (index, folder) in folders.iter().enumerate() {
        let partition = format!("slice:{}/2", index + 1);
        let ran = against(
            &env,
            &[
                "--pairs",
                "6",
                "--max-pairs",
                "6",
                "--partition",
                &partition,
                "--output-dir",
                folder,
            ],
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let ran = env.run(&["merge", &folders[0], &folders[1]]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(read_attempts(&env.latest().join("base")).len(), 24);
    assert_eq!(env.verdict().gate.unwrap().comparison.cases.len(), 4);
    // One side of another program, and there is no answer of the whole.
    script(
        &env,
        "other",
        &format!("exec '{}' \"$@\" # another", env!("CARGO_BIN_EXE_placebench")),
    );
    std::fs::remove_dir_all(env.path("shard-2")).unwrap();
    let ran = against(
        &env,
        &[
            "--pairs",
            "6",
            "--max-pairs",
            "6",
            "--partition",
            "slice:2/2",
            "--output-dir",
            "shard-2",
        ],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = env.run(&["merge", &folders[0], &folders[1]]);
    assert!(ran.stderr.contains("not all held against the same program"), "{ran:?}");
    assert!(env.verdict().gate.is_none());
}

#[test]
fn settings_of_a_gate_are_shown_and_checked() {
    let env = suite(TWO);
    gate(&env, "min_effect = 0.05\nnoise = \"noise.json\"\nmax_pairs = 30\n");
    let ran = env.run(&["run", "suite", "--show-config", "--pairs", "12"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "gate.min_effect             0.05  ",
        "gate.pairs                  12  ",
        "command line",
        "profile default (placebench.toml:4)",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let ran = env.run(&["run", "suite", "--show-config", "--pairs", "40"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("max_pairs is 30, below the 40 pairs"),
        "{ran:?}"
    );
    gate(&env, "alpha = 2.0\n");
    let ran = env.run(&["run", "suite"]);
    assert!(
        ran.code == Some(96) && ran.stderr.contains("placebench.toml:2:9"),
        "{ran:?}"
    );
}

#[test]
fn placements_of_a_run_are_compared_with_their_reference() {
    let env = suite(&format!(
        "{TWO}[measure]\nwarmup = 0\nrepetitions = 10\n[placement.single]\ndevice_map = \"sim:1\"\n"
    ));
    env.run_suite();
    let compare = |flags: &[&str]| env.run(&[["compare", "latest", "--placements"].as_slice(), flags].concat());
    let ran = compare(&["--all"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "s/p/whole against s/p/single",
        "s/p/halves against s/p/single",
        "2 cases compared: ",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("exit code") && !ran.stdout.contains("hops"),
        "{}",
        ran.stdout
    );
    let document: Value =
        serde_json::from_str(&compare(&["--reference", "halves", "--format", "json"]).stdout).unwrap();
    let bases: BTreeSet<&str> = document["comparison"]["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["base_case"].as_str().unwrap())
        .collect();
    assert_eq!(bases, BTreeSet::from(["s/p/halves"]));
    assert_eq!(document["comparison"]["spec"]["arrangement"], "interleaved");
    let gated = compare(&["--gate"]);
    let said: Value = serde_json::from_str(&compare(&["--gate", "--format", "json"]).stdout).unwrap();
    assert_eq!(gated.code.map(i64::from), said["exit_code"].as_i64(), "{gated:?}");
    assert!(gated.stdout.contains("exit code"), "{}", gated.stdout);
    let nowhere = compare(&["--reference", "nowhere"]);
    assert!(nowhere.stdout.contains("has no such placement"), "{nowhere:?}");
    assert_eq!(env.run(&["compare", "latest"]).code, Some(2));
}

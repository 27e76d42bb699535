//! The commands that a report prints for a case, handed to a shell as they stand.

use std::collections::BTreeSet;
use std::process::Command;

use placebench_core::record::{RunInfo, RunRecord};
use placebench_report::view::{CaseView, ReportView};

use crate::env::{Ran, TestEnv};

/// Names of files that mean something to a shell, to the filter language, or to a reader's eye: a case is called by them.
const FILES: [&str; 6] = [
    "plain",
    "it's $(id) `x` \"q\" !",
    "a(b),c\\d",
    "\u{202e}evil\u{200b}",
    " blank ",
    "tab\tline\nend",
];

fn record(env: &TestEnv) -> RunRecord {
    let read = |name: &str| std::fs::read_to_string(env.latest().join(name)).unwrap();
    RunRecord {
        info: serde_json::from_str(&read("run.json")).unwrap(),
        attempts: env.attempts(),
        verdict: env.verdict(),
    }
}

/// Hands a line to Bash, for which `placebench` is the binary under test.
fn shell(env: &TestEnv, line: &str) -> Ran {
    let folder = env.path("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join("placebench");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_placebench"), link).unwrap();
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let like = env.command(&[]);
    let mut command = Command::new("bash");
    command.args(["-c", line]).env_clear().env("PATH", path);
    command.envs(
        like.get_envs()
            .filter_map(|(name, value)| Some((name, value?)))
            .filter(|(name, _)| *name != "PATH"),
    );
    command.current_dir(like.get_current_dir().unwrap());
    Ran::of(command.output().unwrap())
}

fn command<'a>(case: &'a CaseView, does: &str) -> &'a str {
    let mut commands = case.narrative.reproduce.commands.iter();
    &commands.find(|command| command.does == does).unwrap().line
}

/// What the latest run was of.
fn ran_cases(env: &TestEnv) -> BTreeSet<String> {
    let info: RunInfo = serde_json::from_slice(&std::fs::read(env.latest().join("run.json")).unwrap()).unwrap();
    info.cases.into_iter().map(|case| case.case).collect()
}

#[test]
fn a_command_as_printed_runs_that_case_and_no_other() {
    let env = TestEnv::new();
    for file in FILES {
        // A placement may begin with a dash, and an axis brings brackets.
        let rest = "[placement.-dash]\ndevice_map = \"sim:0\"\n[placement.x]\ndevice_map = \"sim:1\"\n[matrix]\ndtype = [\"f32\", \"f16\"]\n";
        env.scenario(file, rest);
    }
    let (ran, _) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let whole = record(&env);
    let view = ReportView::new(&whole);
    assert_eq!(view.cases().count(), FILES.len() * 4);
    // One case of each file, another one each time.
    for (spec, case) in whole.info.cases.iter().zip(view.cases()).step_by(5) {
        let line = command(case, "run it again");
        let hides = |c: char| c.is_control() || placebench_report::view::words::hides_or_reorders(c);
        assert!(!line.contains(hides), "{line:?}");
        let again = shell(&env, line);
        assert_eq!(again.code, Some(0), "{line}: {again:?}");
        assert_eq!(ran_cases(&env), BTreeSet::from([spec.case.clone()]), "{line}");
    }
}

#[test]
fn flags_that_matter_come_along_and_the_reference_too() {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:0\"\n[placement.other]\ndevice_map = \"sim:1\"\n[placement.third]\ndevice_map = \"sim:2\"\n\
         [expect]\nagreement = { reference = \"single\" }\n",
    );
    let ran = env.run(&[
        "run",
        "suite",
        "--repetitions",
        "2",
        "--seed",
        "7",
        "--timeout-multiplier",
        "3",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let whole = record(&env);
    let view = ReportView::new(&whole);
    let case = view.cases().find(|case| case.placement == "other").unwrap();
    let line = command(case, "run it again").to_owned();
    assert!(
        line.ends_with("--repetitions 2 --timeout-multiplier 3 --seed 7 suite/s.toml"),
        "{line}"
    );
    assert!(line.starts_with("RAYON_NUM_THREADS="), "{line}");
    let again = shell(&env, &line);
    assert_eq!(again.code, Some(0), "{again:?}");
    let made = record(&env);
    assert_eq!(ran_cases(&env), ["s/p/other", "s/p/single"].map(str::to_owned).into());
    assert_eq!((made.info.seed, made.info.cases[0].measure.repetitions), (7, 2));
    assert!((made.info.cases[0].timeout.token_s - whole.info.cases[0].timeout.token_s).abs() < 1e-9);
    let threads = |info: &RunInfo| {
        let mut variables = info.environment.worker_env.clone().into_iter();
        variables.find(|(name, _)| name == "RAYON_NUM_THREADS")
    };
    assert_eq!(threads(&made.info), threads(&whole.info));
}

#[test]
fn the_other_commands_are_commands_too() {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.single]\ndevice_map = \"sim:0\"\n[placement.-split]\ndevice_map = { \"model.embed_tokens\" = \"sim:0\", \"\" = \"sim:1\" }\n\
         [placement.tight]\ndevice_map = \"sim:2\"\n\
         [expect]\nagreement = { reference = \"single\" }\n\
         [[fault]]\nkind = \"zero_copy\"\nplacements = [\"-split\"]\n\
         [[fault]]\nkind = \"out_of_memory\"\nplacements = [\"tight\"]\n",
    );
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let whole = record(&env);
    let view = ReportView::new(&whole);
    let case = |name: &str| view.cases().find(|case| case.placement == name).unwrap();
    let split = case("-split");
    let audit = shell(&env, command(split, "name the first module or hop whose values part"));
    assert_eq!(audit.code, Some(100), "{audit:?}");
    let bisect = shell(
        &env,
        command(split, "find the smallest change of placement that mends it"),
    );
    assert!(bisect.stdout.contains("embed_tokens"), "{bisect:?}");
    let plan = shell(&env, command(case("tight"), "plan it without running it"));
    // A model of the mock engine has no weights that could be planned; that is all there is to say against it.
    assert_eq!(plan.code, Some(96), "{plan:?}");
    assert!(plan.stderr.contains("model.safetensors: No such file"), "{plan:?}");
    // A case that passes is only run again.
    assert_eq!(case("single").narrative.reproduce.commands.len(), 1);
}

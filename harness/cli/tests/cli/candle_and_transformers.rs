//! The same tiny model under candle and under the stack of Hugging Face, where a Python environment is there.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use placebench_core::outcome::OutcomeKind;
use placebench_core::record::{CaseStatus, TextVerdict};

use crate::env::{Ran, TestEnv, of};

/// Where `ci/python-env.sh` puts environments unless it is told otherwise.
fn environments() -> PathBuf {
    match std::env::var_os("PLACEBENCH_PYTHON_ENVS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python"),
    }
}

#[test]
fn both_give_the_same_tokens() {
    let environments = environments();
    if !environments.join("newest/bin/python").exists() {
        drop(writeln!(
            std::io::stderr(),
            "skipped: there is no Python environment; bash ci/python-env.sh newest makes it"
        ));
        return;
    }
    let env = TestEnv::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/models/tiny");
    env.write(
        "suite/s.toml",
        &format!(
            "schema_version = 1\nengines = [\"candle\", \"transformers\"]\n[model]\npath = {model:?}\ndtype = \"f32\"\n\
             [[prompt]]\nname = \"p\"\ntext = \"Once upon a time\"\n[generation]\nmax_new_tokens = 16\n\
             [transformers]\nenvironment = \"newest\"\n[placement.single]\ndevice_map = \"cpu\"\n\
             [measure]\nwarmup = 0\n[timeout]\nload = \"3m\"\nfirst_token = \"2m\"\ntoken = \"1m\"\n"
        ),
    );
    let mut command = env.command(&["run", "suite"]);
    command
        .env("PLACEBENCH_PYTHON_ENVS", environments)
        .env("OMP_NUM_THREADS", "1");
    let ran = Ran::of(command.output().unwrap());
    let verdict = env.verdict();
    let (candle, python) = (
        of(&verdict, "s/p/single[engine=candle]"),
        of(&verdict, "s/p/single[engine=transformers]"),
    );
    assert_eq!(candle.outcome, OutcomeKind::Completed, "{ran:?}");
    assert_eq!(
        (python.status, python.text),
        (CaseStatus::Passed, TextVerdict::Exact),
        "{ran:?}"
    );
    assert!(python.notes.is_empty(), "compared by tokens: {:?}", python.notes);
}

//! The shipped model and suites on the real engine.

use std::path::{Path, PathBuf};

use placebench_core::record::CaseStatus;

use crate::env::{Ran, TestEnv, of};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// A suite with a copy of the shipped model, of which one file can be spoiled.
pub(crate) fn with_model() -> TestEnv {
    let env = TestEnv::new();
    env.write("suite/defaults.toml", "schema_version = 1\n");
    let model = env.path("suite/models/m");
    for entry in root().join("scenarios/models/tiny").read_dir().unwrap().flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "json" || extension == "safetensors")
        {
            std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
        }
    }
    env.scenario("s", "[placement.single]\ndevice_map = \"cpu\"\n");
    env
}

fn run(env: &TestEnv) -> Ran {
    env.run(&["run", "suite"])
}

#[test]
fn the_smoke_and_incident_suites_pass_on_a_build_machine() {
    let env = TestEnv::new();
    let root = root();
    let suites = ["smoke", "incident"].map(|suite| root.join("scenarios").join(suite).to_string_lossy().into_owned());
    let output = env
        .command(&["run", &suites[0], &suites[1]])
        .env("CI", "true")
        // What Python there is on this machine is ci/check-engines.sh's affair.
        .env("PLACEBENCH_PYTHON_ENVS", env.path("no-environments"))
        .output()
        .unwrap();
    let ran = Ran::of(output);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let verdict = env.verdict();
    let without_python = of(
        &verdict,
        "incident/moved-after-dispatch/rabbit/layers-on-disk[engine=transformers]",
    );
    assert_eq!(without_python.status, CaseStatus::Skipped);
    let candle_beside_it = of(&verdict, "incident/moved-after-dispatch/rabbit/single[engine=candle]");
    assert_eq!(candle_beside_it.status, CaseStatus::Passed);
    let incident = of(&verdict, "incident/accelerate-3434/rabbit/auto");
    assert_eq!(incident.outcome.as_str(), "stalled");
    assert!(
        incident
            .sentence
            .contains("hop model.layers.1 -> model.layers.2, sim:0 -> sim:1"),
        "{}",
        incident.sentence
    );
    let spill = of(&verdict, "smoke/spill/last/spills");
    assert_eq!(spill.expected_findings[0].check, "forbid_devices");
}

#[test]
fn files_that_are_spoiled_are_named_with_what_is_wrong() {
    for (file, spoil, words) in [
        ("model.safetensors", Spoil::CutTo(1_000_000), "model.safetensors"),
        ("model.safetensors", Spoil::CutTo(5), "model.safetensors"),
        ("config.json", Spoil::CutTo(40), "config.json"),
        ("config.json", Spoil::Remove, "config.json"),
        ("tokenizer.json", Spoil::Remove, "tokenizer"),
        ("tokenizer.json", Spoil::CutTo(100), "tokenizer"),
        ("model.safetensors", Spoil::Remove, "safetensors"),
    ] {
        let env = with_model();
        let path = env.path("suite/models/m").join(file);
        spoil.apply(&path);
        let ran = run(&env);
        assert_eq!(ran.code, Some(96), "{file} {spoil:?}: {ran:?}");
        assert!(ran.stdout.contains(words), "{file} {spoil:?}: {ran:?}");
        assert!(ran.stdout.lines().count() <= 24, "one screen: {ran:?}");
        assert_eq!(of(&env.verdict(), "s/p/single").status, CaseStatus::Setup);
    }
    assert_eq!(run(&with_model()).code, Some(0), "nothing spoiled, nothing wrong");
}

#[derive(Debug, Clone, Copy)]
enum Spoil {
    CutTo(u64),
    Remove,
}

impl Spoil {
    fn apply(self, path: &Path) {
        match self {
            Self::CutTo(bytes) => std::fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(bytes)
                .unwrap(),
            Self::Remove => std::fs::remove_file(path).unwrap(),
        }
    }
}

#[test]
fn generate_says_what_the_models_page_says() {
    let env = TestEnv::new();
    let model = root().join("scenarios/models/tiny");
    let expected: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(model.join("expected.json")).unwrap()).unwrap();
    let model = model.to_string_lossy().into_owned();
    for case in expected.as_array().unwrap() {
        let prompt = case["prompt"].as_str().unwrap();
        let map = r#"{"model.embed_tokens":"sim:0","model.layers.0-3":"sim:0","model.layers.4-7":"sim:1","model.norm":"sim:1","lm_head":"sim:0"}"#;
        for device_map in ["cpu", map] {
            let ran = env.run(&[
                "generate",
                "--model",
                &model,
                "--dtype",
                "f32",
                "--prompt",
                prompt,
                "--max-new-tokens",
                "48",
                "--device-map",
                device_map,
                "--format",
                "json",
            ]);
            let made: serde_json::Value =
                serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
            assert_eq!(made["input_ids"], case["input_ids"], "{prompt}");
            assert_eq!(made["output_ids"], case["output_ids"], "{prompt}");
            assert_eq!(made["text"], case["text"], "{prompt}");
        }
    }
}

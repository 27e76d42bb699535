//! `generate`, on the mock engine.

use crate::env::TestEnv;

fn json(args: &[&str]) -> (Option<i32>, serde_json::Value) {
    let env = TestEnv::new();
    let mut all = vec![
        "generate",
        "--engine",
        "mock",
        "--model",
        "suite/models/m",
        "--format",
        "json",
    ];
    all.extend(args);
    let ran = env.run(&all);
    (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_default())
}

#[test]
fn the_documented_keys_are_there() {
    let (code, made) = json(&["--input-ids", "1,2,3", "--max-new-tokens", "4"]);
    assert_eq!(code, Some(0));
    assert_eq!(made["input_ids"], serde_json::json!([1, 2, 3]));
    assert_eq!(made["output_ids"].as_array().map(Vec::len), Some(4));
    for key in [
        "text",
        "finish_reason",
        "token_stamps_s",
        "top2_gaps",
        "top5_first",
        "realised_map",
        "metrics",
    ] {
        assert!(!made[key].is_null(), "{key}");
    }
    assert_eq!(made["realised_map"]["model.layers.0"], "cpu");
}

#[test]
fn the_number_of_threads_is_settled_and_said() {
    let threads = |set: Option<&str>| {
        let env = TestEnv::new();
        let mut command = env.command(&[
            "generate",
            "--engine",
            "mock",
            "--model",
            "suite/models/m",
            "--format",
            "json",
        ]);
        command
            .args(["--prompt", "x"])
            .envs(set.map(|count| ("RAYON_NUM_THREADS", count)));
        let made: serde_json::Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        made["metrics"]["threads"].as_u64()
    };
    assert_eq!(threads(Some("3")), Some(3));
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    for unusable in [None, Some(""), Some("0"), Some("many")] {
        assert_eq!(threads(unusable), Some(processors), "{unusable:?}");
    }
}

#[test]
fn logical_devices_need_no_declaration() {
    let map = r#"{"model": "sim:0", "model.layers.4-7": "sim:1", "lm_head": "sim:1"}"#;
    let (code, made) = json(&["--prompt", "x", "--device-map", map]);
    assert_eq!(code, Some(0));
    assert_eq!(made["realised_map"]["model.layers.4"], "sim:1");
    let (code, made) = json(&[
        "--prompt",
        "x",
        "--device-map",
        "auto",
        "--max-memory",
        r#"{"sim:0": "300KiB", "sim:1": "900KiB"}"#,
    ]);
    assert_eq!(code, Some(0));
    assert_eq!(made["realised_map"]["lm_head"], "sim:1");
}

#[test]
fn refusals_have_their_exit_codes() {
    assert_eq!(json(&["--prompt", "x", "--device-map", "{"]).0, Some(2));
    assert_eq!(json(&["--prompt", "x", "--dtype", "f13"]).0, Some(2));
    assert_eq!(
        json(&["--prompt", "x", "--device-map", r#"{"nothing": "cpu"}"#]).0,
        Some(96)
    );
    assert_eq!(
        json(&["--prompt", "x", "--device", "sim:0=cpu,10KiB", "--device-map", "sim:0"]).0,
        Some(100)
    );
}

#[test]
fn a_configuration_under_any_name_is_a_model_of_random_weights() {
    let env = TestEnv::new();
    env.write("suite/five.json", "{\"num_hidden_layers\": 5}");
    let run = |more: &[&str]| {
        let mut args = vec![
            "generate",
            "--engine",
            "mock",
            "--config",
            "suite/five.json",
            "--prompt",
            "x",
        ];
        args.extend(more);
        env.run(&args)
    };
    let ran = run(&["--load-format", "dummy", "--format", "json"]);
    let made: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(made["realised_map"]["model.layers.4"], "cpu", "{made}");
    assert!(made["realised_map"]["model.layers.5"].is_null(), "{made}");
    let refused = run(&[]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--load-format dummy"), "{refused:?}");
}

//! Where a model comes from: the hub, a configuration alone.

#[expect(
    dead_code,
    reason = "the crate it belongs to tests the ways in which downloads break"
)]
#[path = "../../../engine-candle/tests/common/fake_hub.rs"]
mod fake_hub;

use fake_hub::{FakeHub, Fault, Served};
use placebench_core::protocol::{EventKind, ModelSource, WorkerEvent};
use serde_json::Value;

use crate::env::{Ran, TestEnv, of};
use crate::shipped::root;

const FILES: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
];

/// A hub that has the shipped model.
fn hub(faults: Vec<Fault>) -> FakeHub {
    let model = root().join("scenarios/models/tiny");
    let file = |name: &str| Served::small(name, std::fs::read(model.join(name)).unwrap());
    FakeHub::start(FILES.map(file).into(), faults)
}

fn ran(env: &TestEnv, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = env.command(args);
    command.envs(variables.iter().copied());
    Ran::of(command.output().unwrap())
}

/// Generates from the hub's repository.
fn from_hub(env: &TestEnv, variables: &[(&str, &str)]) -> (Ran, Value) {
    let args = "generate --repo owner/tiny --prompt The --max-new-tokens 8 --dtype f32 --format json";
    let ran = ran(env, &args.split(' ').collect::<Vec<_>>(), variables);
    let made = serde_json::from_str(&ran.stdout).unwrap_or_default();
    (ran, made)
}

#[test]
fn a_model_is_fetched_once_and_is_then_there_without_the_hub() {
    let env = TestEnv::new();
    let hub = hub(vec![]);
    let (first, made) = from_hub(&env, &[("HF_ENDPOINT", &hub.address)]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(made["output_ids"].as_array().map(Vec::len), Some(8));
    assert_eq!(first.stderr, "", "no bar where there is no terminal");
    let asked = hub.asked().len();
    let (offline, again) = from_hub(&env, &[("HF_ENDPOINT", &hub.address), ("HF_HUB_OFFLINE", "1")]);
    assert_eq!(
        (offline.code, &again["output_ids"]),
        (Some(0), &made["output_ids"]),
        "{offline:?}"
    );
    assert_eq!(hub.asked().len(), asked);
}

#[test]
fn what_the_hub_refuses_is_said_with_what_to_do() {
    let env = TestEnv::new();
    let closed = hub(vec![Fault::Token("secret")]);
    let (refused, _) = from_hub(&env, &[("HF_ENDPOINT", &closed.address), ("HF_TOKEN", "guess")]);
    assert_eq!(refused.code, Some(96), "{refused:?}");
    assert!(
        refused.stderr.contains("HF_TOKEN") && !refused.stderr.contains("guess"),
        "{refused:?}"
    );
    let (offline, _) = from_hub(&env, &[("HF_ENDPOINT", &closed.address), ("HF_HUB_OFFLINE", "1")]);
    assert_eq!(offline.code, Some(96), "{offline:?}");
    assert!(offline.stderr.contains("HF_HUB_OFFLINE is set"), "{offline:?}");
    let (opened, _) = from_hub(&env, &[("HF_ENDPOINT", &closed.address), ("HF_TOKEN", "secret")]);
    assert_eq!(opened.code, Some(0), "{opened:?}");
}

#[test]
fn a_run_tells_how_far_the_download_is() {
    let env = TestEnv::new();
    env.write("suite/defaults.toml", "schema_version = 1\n");
    env.scenario("s", "[placement.single]\ndevice_map = \"cpu\"\n");
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write(
        "suite/s.toml",
        &text.replace("path = \"models/m\"", "repo = \"owner/tiny\""),
    );
    let hub = hub(vec![]);
    let ran = ran(
        &env,
        &["run", "suite", "--message-format", "ndjson"],
        &[("HF_ENDPOINT", &hub.address)],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fetched = lines.filter_map(|line| {
        let event: WorkerEvent = serde_json::from_value(line["event"].clone()).ok()?;
        match event.kind {
            EventKind::Fetching {
                file,
                done_bytes,
                total_bytes,
            } => (done_bytes == total_bytes).then_some(file),
            _ => None,
        }
    });
    let mut fetched: Vec<String> = fetched.collect();
    fetched.sort();
    let mut all = FILES.to_vec();
    all.sort_unstable();
    assert_eq!(fetched, all);
}

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 640, "max_position_embeddings": 64}"#;

fn with_config() -> TestEnv {
    let env = TestEnv::new();
    env.write("suite/defaults.toml", "schema_version = 1\n");
    env.write("suite/configs/small.json", CONFIG);
    env
}

#[test]
fn a_configuration_alone_can_be_planned_and_run() {
    let env = with_config();
    env.scenario(
        "s",
        "ignore_eos = true\n[placement.single]\ndevice_map = \"sim:0\"\n[placement.auto]\ndevice_map = \"auto\"\n\
         max_memory = { \"sim:0\" = \"600KiB\", \"sim:1\" = \"1MiB\" }\n\
         [expect]\nagreement = { reference = \"single\", rule = \"exact\" }\nmin_devices_used = { auto = 2 }\n",
    );
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    let text = text
        .replace(
            "path = \"models/m\"",
            "config = \"configs/small.json\"\nload_format = \"dummy\"\nseed = 5",
        )
        .replace("text = \"Hello\"", "input_ids = [1, 2, 3]");
    env.write("suite/s.toml", &text);
    let planned = env.run(&["plan", "suite/s.toml"]);
    assert_eq!(planned.code, Some(0), "{planned:?}");
    assert!(
        planned.stdout.contains("s / auto") && planned.stdout.contains("sim:1"),
        "{planned:?}"
    );
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/auto").text.as_str(), "exact");
    let record = std::fs::read_to_string(env.latest().join("run.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let model: ModelSource = serde_json::from_value(record["cases"][0]["model"].clone()).unwrap();
    assert!(matches!(model, ModelSource::Dummy { seed: 5, .. }), "{model:?}");
    assert_eq!(model.label(), "small (dummy)");
}

#[test]
fn generate_makes_random_weights_when_it_is_told_to() {
    let env = with_config();
    let generate = |more: &[&str]| {
        let mut args = "generate --input-ids 1,2,3 --max-new-tokens 12 --ignore-eos --format json"
            .split(' ')
            .collect::<Vec<_>>();
        args.extend(more);
        let ran = env.run(&args);
        let made: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        (ran, made["output_ids"].clone())
    };
    let config = ["--config", "suite/configs/small.json"];
    let dummy = [config[0], config[1], "--load-format", "dummy"];
    let (ran, ids) = generate(&dummy);
    assert_eq!((ran.code, ids.as_array().map(Vec::len)), (Some(0), Some(12)), "{ran:?}");
    assert_eq!(generate(&[&dummy[..], &["--seed", "0"]].concat()).1, ids);
    assert_ne!(generate(&[&dummy[..], &["--seed", "1"]].concat()).1, ids);
    let halves = r#"{"model.embed_tokens": "sim:0", "model.layers.0-1": "sim:0", "model.layers.2-3": "sim:1", "model.norm": "sim:1", "lm_head": "sim:1"}"#;
    assert_eq!(generate(&[&dummy[..], &["--device-map", halves]].concat()).1, ids);

    let refused = |more: &[&str], words: &str| {
        let (ran, _) = generate(more);
        assert_eq!(ran.code, Some(2), "{more:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{more:?}: {ran:?}");
    };
    refused(&config, "--load-format dummy");
    refused(&["--model", "suite/models/m", "--seed", "1"], "--load-format dummy");
    refused(
        &[&dummy[..], &["--model", "suite/models/m"]].concat(),
        "cannot be used with",
    );
    refused(&["--revision", "main"], "--repo");
    refused(&[], "--model");
}

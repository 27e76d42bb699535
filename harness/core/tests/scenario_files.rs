//! Scenario files as data: what is read from good ones, and every problem of bad ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::path::{Path, PathBuf};

use placebench_core::device::DeviceId;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::planner::Objective;
use placebench_core::protocol::ModelSource;
use placebench_core::scenario::expand::expand;
use placebench_core::scenario::file::DefaultsFile;
use placebench_core::scenario::parse::{parse, parse_defaults};
use placebench_core::scenario::resolve::{Origin, resolve};
use placebench_core::scenario::{Problem, Scenario};

/// What `doctor` writes, as far as rates go.
const MEASURED: &str = r#"{"machine": "x", "rates": {
    "devices": [["cpu", {"memory_bytes_per_s": 1e10, "flops_per_s": 1e11, "step_overhead_s": 1e-5, "layer_overhead_s": 2e-5}]],
    "default_device": {"memory_bytes_per_s": 1e10, "flops_per_s": 1e11, "step_overhead_s": 0, "layer_overhead_s": 0},
    "links": [{"from": "cpu", "to": "cpu", "rates": {"latency_s": 1e-6, "bytes_per_s": 5e9}}],
    "default_link": {"latency_s": 1e-5, "bytes_per_s": 1e9}
}}"#;

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/scenarios")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn origin() -> Origin {
    Origin {
        name: "suite/file".into(),
        file: "scenarios/suite/file.toml".into(),
        folder: PathBuf::from("/scenarios/suite"),
        suite: PathBuf::from("/scenarios"),
    }
}

fn read(text: &str, defaults: &DefaultsFile) -> Result<Scenario, Vec<Problem>> {
    let (file, problems) = parse(text);
    assert_eq!(problems, [], "the grammar is fine in these files");
    let read_text = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("long.txt") => Ok("a long text".to_owned()),
        Some("machine.json") => Ok(MEASURED.to_owned()),
        _ => Err("no such file".to_owned()),
    };
    resolve(&file, defaults, text, origin(), &read_text)
}

fn shown(name: &str) -> String {
    let text = data(name);
    let problems = read(&text, &DefaultsFile::default()).unwrap_err();
    let lines = problems.iter().map(|problem| {
        let (line, column) = problem.position(&text).unwrap_or((0, 0));
        format!(
            "{line}:{column} {} [{}]",
            problem.message,
            problem.hint.as_deref().unwrap_or("-")
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_problem_of_meaning_is_reported_at_its_place() {
    insta::assert_snapshot!(shown("invalid/meaning.toml"));
}

#[test]
fn a_fault_strikes_only_at_links_and_devices_that_exist() {
    insta::assert_snapshot!(shown("invalid/fault-places.toml"), @r#"
    25:15 there is no device `sim:2`: it is not declared in [devices] [did you mean `sim:1`?]
    28:15 `sim:0 -> cpu -> sim:1` is no link [write: device -> device, or device -> host -> device for copies staged through host memory]
    31:15 `sim:0` is no link [write: device -> device, or device -> host -> device for copies staged through host memory]
    34:17 there is no device `sim:7`: it is not declared in [devices] [did you mean `sim:1`?]
    "#);
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    insta::assert_snapshot!(shown("invalid/empty.toml"));
}

#[test]
fn a_model_has_one_source() {
    insta::assert_snapshot!(shown("invalid/hub.toml"));
    insta::assert_snapshot!(shown("invalid/hub-names.toml"));
}

#[test]
fn random_weights_have_no_files() {
    insta::assert_snapshot!(shown("invalid/dummy-real.toml"));
    insta::assert_snapshot!(shown("invalid/dummy-weights.toml"));
}

#[test]
fn dummy_takes_its_shapes_from_any_source() {
    let dummy = |source: ModelSource, seed| ModelSource::Dummy {
        config: Box::new(source),
        seed,
    };
    let model = |text: &str| read(text, &DefaultsFile::default()).unwrap().model;
    let config = ModelSource::Path("/scenarios/configs/qwen2.5-3b.json".into());
    assert_eq!(model(&data("valid/dummy.toml")), dummy(config, 7));
    let least = data("valid/least.toml").replace("path = \"m\"", "path = \"m\"\nload_format = \"dummy\"");
    assert_eq!(model(&least), dummy(ModelSource::Path("/scenarios/suite/m".into()), 0));
    let hub = ModelSource::Hub {
        repo: "a/b".into(),
        revision: "main".into(),
        file: None,
    };
    let from_hub = least.replace("path = \"m\"", "repo = \"a/b\"");
    assert_eq!(model(&from_hub), dummy(hub.clone(), 0));
    assert_eq!(
        model(&from_hub.replace("dummy", "auto")),
        hub,
        "auto is what it is without the key"
    );
}

#[test]
fn every_table_is_understood() {
    let scenario = read(&data("valid/everything.toml"), &DefaultsFile::default()).unwrap();
    insta::assert_debug_snapshot!(scenario);
}

#[test]
fn axes_multiply_into_cases_with_stable_names() {
    let scenario = read(&data("valid/everything.toml"), &DefaultsFile::default()).unwrap();
    let cases = expand(&scenario, "/scenarios/snapshots");
    let names: Vec<&str> = cases.iter().map(|case| case.case.as_str()).collect();
    assert_eq!(names.len(), 4 * 4 * 4);
    assert_eq!(names[0], "suite/file/text/single[dtype=f32,transfer=direct]");
    assert_eq!(names[63], "suite/file/long/manual[dtype=bf16,transfer=host]");
    let unique: std::collections::HashSet<&&str> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    let agreement = cases[5]
        .expect
        .agreement
        .as_ref()
        .map(|agreement| agreement.reference.as_str());
    assert_eq!(agreement, Some("single[dtype=f32,transfer=host]"));
    // The stall is for `manual` alone, the other fault for all.
    let faults: Vec<usize> = cases[..4].iter().map(|case| case.faults.len()).collect();
    assert_eq!(faults, [1, 1, 1, 2]);
    assert_eq!(
        cases[3].line,
        data("valid/everything.toml")
            .lines()
            .position(|l| l == "[placement.manual]")
            .unwrap()
            + 1
    );
}

#[test]
fn the_smallest_scenario_gets_defaults() {
    let scenario = read(&data("valid/least.toml"), &DefaultsFile::default()).unwrap();
    assert_eq!(scenario.engine, "candle");
    assert_eq!(scenario.generation.max_new_tokens, 32);
    assert_eq!(scenario.timeout.token_s, 10.0);
    assert_eq!(scenario.measure.repetitions, 1);
    assert_eq!(expand(&scenario, "").len(), 1);
}

#[test]
fn the_suites_defaults_fill_what_is_left_out_and_lose_to_the_file() {
    let (defaults, problems) = parse_defaults(
        "engine = \"mock\"\n[timeout]\ntoken = \"3s\"\n[generation]\nmax_new_tokens = 5\n[env]\nA = \"1\"\n",
    );
    assert_eq!(problems, []);
    let scenario = read(&data("valid/least.toml"), &defaults).unwrap();
    assert_eq!((scenario.engine.as_str(), scenario.timeout.token_s), ("mock", 3.0));
    assert_eq!(scenario.env, [("A".to_owned(), "1".to_owned())]);
    let scenario = read(&data("valid/everything.toml"), &defaults).unwrap();
    assert_eq!(
        (scenario.engine.as_str(), scenario.generation.max_new_tokens),
        ("candle", 8)
    );
}

#[test]
fn paths_stay_in_the_suite_unless_absolute() {
    let with_path = |path: &str| data("valid/least.toml").replace("path = \"m\"", &format!("path = {path:?}"));
    let no_defaults = DefaultsFile::default();
    assert!(read(&with_path("../models/m"), &no_defaults).is_ok());
    assert!(read(&with_path("/elsewhere/m"), &no_defaults).is_ok());
    for path in ["../../m", "a/../../../m", ""] {
        assert!(read(&with_path(path), &no_defaults).is_err(), "{path}");
    }
}

#[test]
fn stated_rates_win_over_measured_ones() {
    let scenario = read(&data("valid/rates.toml"), &DefaultsFile::default()).unwrap();
    let requests: Vec<&DeviceMapRequest> = scenario
        .placements
        .iter()
        .map(|placement| &placement.request.device_map)
        .collect();
    let optimal = |objective| DeviceMapRequest::Optimal(objective);
    assert_eq!(requests, [&optimal(Objective::Tpot), &optimal(Objective::Ttft)]);
    let rates = scenario.rates.unwrap().with_logical(&scenario.devices);
    let device = |name: &str| DeviceId::new(name).unwrap();
    assert_eq!(rates.device(&device("sim:0")).layer_overhead_s, 2e-5, "that of the cpu");
    assert_eq!(rates.device(&device("sim:1")).memory_bytes_per_s, 2e9);
    assert_eq!(rates.link(&device("sim:0"), &device("sim:1")).bytes_per_s, 1e9);
    assert_eq!(
        rates.link(&device("sim:1"), &device("sim:0")).bytes_per_s,
        5e9,
        "that of the file"
    );
    let none = read(&data("valid/least.toml"), &DefaultsFile::default()).unwrap();
    assert_eq!(none.rates, None);
}

#[test]
fn rates_that_cannot_be_are_refused_at_their_place() {
    insta::assert_snapshot!(shown("invalid/rates.toml"));
}

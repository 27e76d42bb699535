//! Scenario files as data: what is read from good ones, and every problem of bad ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::path::{Path, PathBuf};

use placebench_core::device::DeviceId;
use placebench_core::fault::CrashSignal;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::planner::Objective;
use placebench_core::protocol::ModelSource;
use placebench_core::record::{CaseSpec, ForeignCode};
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
fn a_program_is_found_from_its_scenario_and_runs_there() {
    let text = data("valid/program.toml");
    let scenario = read(&text, &DefaultsFile::default()).unwrap();
    let program = scenario.program.clone().unwrap();
    assert_eq!(
        program.command,
        ["/scenarios/suite/engines/toy", "--seed=7", "../long.txt", "a b"]
    );
    assert_eq!((program.folder.as_str(), program.line), ("/scenarios/suite", 5));
    let cases = expand(&scenario, "/snapshots");
    let needs: Vec<Vec<ForeignCode<'_>>> = cases.iter().map(CaseSpec::foreign_code).collect();
    assert_eq!(
        needs,
        [vec![], vec![ForeignCode::Program(&program)]],
        "mock is this program itself"
    );
    // A bare name is looked for in PATH.
    let bare = read(&text.replace("./engines/toy", "toy"), &DefaultsFile::default()).unwrap();
    assert_eq!(bare.program.unwrap().command[0], "toy");
    let preloaded = text.replace("RAYON_NUM_THREADS", "LD_PRELOAD");
    let cases = expand(&read(&preloaded, &DefaultsFile::default()).unwrap(), "/snapshots");
    assert_eq!(cases[0].foreign_code(), [ForeignCode::Variable("LD_PRELOAD")]);
}

#[test]
fn what_the_stack_of_hugging_face_cannot_do_is_refused_at_its_line() {
    insta::assert_snapshot!(shown("invalid/transformers.toml"));
}

#[test]
fn a_table_of_transformers_needs_an_engine_that_reads_it() {
    let text = data("valid/least.toml");
    let with = |head: &str| {
        let text = text.replacen("schema_version = 1", &format!("schema_version = 1\n{head}"), 1);
        read(
            &format!("{text}\n[transformers]\nenvironment = \"incident\"\nmove_to = \"0\"\n"),
            &DefaultsFile::default(),
        )
    };
    let problems = with("engine = \"candle\"").unwrap_err();
    assert_eq!(
        problems[0].message,
        "[transformers] is used by no engine of this scenario"
    );
    let spec = with("engine = \"transformers\"").unwrap().transformers.unwrap();
    assert_eq!(spec.environment.as_deref(), Some("incident"));
    // As people write devices, and as PyTorch names them.
    assert_eq!(spec.move_to.as_deref(), Some("cuda:0"));
}

#[test]
fn programs_files_and_variables_that_nobody_may_name_are_refused() {
    insta::assert_snapshot!(shown("invalid/program.toml"));
    let with = |engine: &str, program: &str| {
        let text = data("valid/program.toml");
        let text = text.replace("engine = \"program\"", engine);
        let text = text.replace("engine = [\"mock\", \"program\"]", "engine = [\"mock\"]");
        let command = "command = [\"./engines/toy\", \"--seed=7\", \"../long.txt\", \"a b\"]";
        let text = text.replace(&format!("[program]\n{command}"), program);
        let problems = read(&text, &DefaultsFile::default()).unwrap_err();
        problems
            .iter()
            .map(|problem| problem.message.clone())
            .collect::<Vec<_>>()
            .join("; ")
    };
    insta::assert_snapshot!(with("engine = \"program\"", ""), @"engine `program` needs a [program] that says which");
    insta::assert_snapshot!(with("engine = \"mock\"", "[program]\ncommand = [\"x\"]"), @"[program] is used by no engine of this scenario");
    insta::assert_snapshot!(with("engine = \"program\"", "[program]\ncommand = []"), @"the command is empty");
    insta::assert_snapshot!(with("engine = \"program\"", "[program]\ncommand = [\"\"]"), @"the path is empty");
    insta::assert_snapshot!(with("engine = \"program\"", "[program]\ncommand = [\"a\\u0000\"]"), @"no command can hold a NUL character");
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
    assert_eq!(scenario.placements[0].timeout.token_s, 10.0);
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
    assert_eq!(
        (scenario.engine.as_str(), scenario.placements[0].timeout.token_s),
        ("mock", 3.0)
    );
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
fn faults_that_could_never_strike_are_refused_at_their_place() {
    insta::assert_snapshot!(shown("invalid/faults.toml"));
}

#[test]
fn faults_are_taken_with_every_condition_they_can_have() {
    let scenario = read(&data("valid/faults.toml"), &DefaultsFile::default()).unwrap();
    let faults: Vec<String> = scenario.faults.iter().map(|(fault, _)| fault.to_string()).collect();
    insta::assert_snapshot!(faults.join("\n"));
    assert_eq!(scenario.faults[3].0.signal, Some(CrashSignal::Segv));
}

#[test]
fn ranks_are_refused_where_they_would_hang_or_never_be() {
    insta::assert_snapshot!(shown("invalid/ranks.toml"), @r#"
    12:1 `WORLD_SIZE` tells a process that it is one rank of several, which waits for others that nobody starts [write [placement.NAME] with launch = { processes = 2 }: the launcher sets what ranks need]
    13:1 `ACCELERATE_USE_CPU` tells a process that it is one rank of several, which waits for others that nobody starts [write [placement.NAME] with launch = { processes = 2 }: the launcher sets what ranks need]
    20:10 device_map and launch exclude each other: each rank would spread its copy over the devices of the others [that combination hangs, asserts on the device or computes nonsense; keep launch for one device a rank, or device_map for one process]
    24:10 launch is for engine = "transformers": candle runs in one process [add to placement many: engines = ["transformers"]]
    24:10 max_memory goes with device_map, not with launch: each rank has one device and makes one sequence [-]
    24:10 batch goes with device_map, not with launch: each rank has one device and makes one sequence [-]
    24:24 processes is a number from 2 to 63: one process is device_map = a device [-]
    24:38 `NCCL please` is no backend [a word that torch.distributed knows: gloo on processors, nccl on NVIDIA's GPUs]
    34:15 placement two has the ranks 0 to 1: this fault would never strike [-]
    39:15 placement single has no launch, so it has no ranks [name the placements the fault is for: placements = ["…"]]
    39:15 placement both has no launch, so it has no ranks [name the placements the fault is for: placements = ["…"]]
    43:15 the fault leak knows no rank [what can be said of it: bytes, generation]
    "#);
}

#[test]
fn ranks_stand_instead_of_a_map() {
    let scenario = read(&data("valid/ranks.toml"), &DefaultsFile::default()).unwrap();
    let DeviceMapRequest::Ranks(ranks) = &scenario.placements[1].request.device_map else {
        panic!("{:?}", scenario.placements[1].request)
    };
    assert_eq!((ranks.processes, ranks.backend.as_deref()), (4, Some("gloo")));
    assert_eq!(
        scenario.faults[0].0.to_string(),
        "stall at phase decode, token 2, rank 3"
    );
}

#[test]
fn a_placement_may_have_deadlines_of_its_own() {
    let scenario = read(&data("valid/everything.toml"), &DefaultsFile::default()).unwrap();
    let cases = expand(&scenario, "/scenarios/snapshots");
    let of = |placement: &str| {
        cases
            .iter()
            .find(|case| case.placement.starts_with(placement))
            .unwrap()
            .timeout
    };
    assert_eq!((of("single").token_s, of("manual").token_s), (0.5, 0.25));
    assert_eq!(
        of("manual").load_s,
        of("single").load_s,
        "the others are the scenario's"
    );
}

#[test]
fn rates_that_cannot_be_are_refused_at_their_place() {
    insta::assert_snapshot!(shown("invalid/rates.toml"));
}

/// The messages on `valid/least.toml` with something at its end.
fn messages_with(rest: &str) -> Vec<String> {
    let text = data("valid/least.toml") + rest;
    let problems = read(&text, &DefaultsFile::default()).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn a_run_that_could_not_be_listed_is_refused() {
    assert_eq!(messages_with("[measure]\nrepetitions = 10000\n"), [""; 0]);
    assert_eq!(
        messages_with("[measure]\nrepetitions = 4294967295\n"),
        ["repetitions is at most 10000"]
    );
    let placements: String = (0..200)
        .map(|n| format!("[placement.p{n}]\ndevice_map = 0\n"))
        .collect();
    let prompts = |count: usize| -> String {
        let prompt = |n| format!("[[prompt]]\nname = \"q{n}\"\ninput_ids = [1]\n");
        (0..count).map(prompt).collect()
    };
    // With the placement and the prompt of the file itself.
    assert_eq!(messages_with(&(prompts(48) + &placements)), [""; 0]);
    let wrong = messages_with(&(prompts(49) + &placements + "[matrix]\ndtype = [\"f32\", \"f16\"]\n"));
    assert!(wrong[0].starts_with("the scenario makes 20100 cases"), "{wrong:?}");
}

#[test]
fn an_axis_has_no_value_twice() {
    assert_eq!(messages_with("[matrix]\ndtype = [\"f32\", \"f16\"]\n"), [""; 0]);
    for axis in [
        "dtype = [\"f32\", \"f32\"]",
        "transfer = [\"host\", \"direct\", \"host\"]",
        "engine = [\"mock\", \"mock\"]",
    ] {
        let wrong = messages_with(&format!("[matrix]\n{axis}\n"));
        assert_eq!(
            wrong,
            ["this value is there twice: its cases could not be told apart"],
            "{axis}"
        );
    }
}

#[test]
fn environments_multiply_the_cases_of_their_engine_alone() {
    let file = "schema_version = 1\nengines = [\"transformers\", \"mock\"]\n[model]\npath = \"/m\"\n\
        [[prompt]]\nname = \"p\"\ntext = \"Once\"\n[placement.single]\ndevice_map = \"cpu\"\n\
        [matrix]\nenvironment = [\"incident\", \"newest\"]\n";
    let cases = expand(&read(file, &DefaultsFile::default()).unwrap(), "");
    let named: Vec<(&str, Option<&str>)> = cases
        .iter()
        .map(|case| {
            let stack = case.transformers.as_ref();
            (
                case.placement.as_str(),
                stack.and_then(|stack| stack.environment.as_deref()),
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("single[engine=transformers,environment=incident]", Some("incident")),
            ("single[engine=transformers,environment=newest]", Some("newest")),
            ("single[engine=mock]", None),
        ]
    );
    let narrowed = format!("{file}[placement.old]\ndevice_map = \"cpu\"\nenvironments = [\"incident\"]\n");
    let cases = expand(&read(&narrowed, &DefaultsFile::default()).unwrap(), "");
    let old: Vec<&str> = cases.iter().map(|case| case.placement.as_str()).collect();
    let old: Vec<&str> = old.into_iter().filter(|name| name.starts_with("old")).collect();
    assert_eq!(old, ["old[engine=transformers,environment=incident]"]);
    let wrong = |text: String| -> Vec<String> {
        let problems = read(&text, &DefaultsFile::default()).unwrap_err();
        problems.into_iter().map(|problem| problem.message).collect()
    };
    assert_eq!(
        wrong(file.replace("engines = [\"transformers\", \"mock\"]", "engine = \"mock\"")),
        ["an axis of Python environments is for the engine `transformers`, which this scenario does not run"]
    );
    assert_eq!(
        wrong(format!("{file}[transformers]\nenvironment = \"newest\"\n")),
        ["environment is an axis of [matrix] as well: which of them is meant?"]
    );
    assert_eq!(
        wrong(narrowed.replace("environments = [\"incident\"]", "environments = [\"older\"]")),
        ["[matrix] has no environment `older`"]
    );
    assert_eq!(
        wrong(file.replace("\"newest\"", "\"../x\"")),
        ["`../x` is no name for a Python environment"]
    );
}

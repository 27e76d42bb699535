//! `doctor`: sound machines, broken links, and everything that is refused.

use placebench_core::doctor::report::{DoctorReport, Health};
use placebench_core::scenario::resolve::rates_from_json;
#[cfg(feature = "candle")]
use serde_json::Value;

#[cfg(feature = "candle")]
use crate::env::Ran;
use crate::env::TestEnv;

/// Two slices of the host, small samples.
#[cfg(feature = "candle")]
const SLICES: [&str; 6] = [
    "doctor",
    "--quick",
    "--device",
    "sim:0=cpu,64MiB",
    "--device",
    "sim:1=cpu",
];

#[cfg(feature = "candle")]
fn examine(env: &TestEnv, more: &[&str]) -> (Ran, DoctorReport) {
    let mut args = SLICES.to_vec();
    args.extend(["--output", "doctor.json"]);
    args.extend(more);
    let ran = env.run(&args);
    let report = read(env);
    (ran, report)
}

fn read(env: &TestEnv) -> DoctorReport {
    serde_json::from_str(&std::fs::read_to_string(env.path("doctor.json")).unwrap()).unwrap()
}

#[cfg(feature = "candle")]
fn health(report: &DoctorReport, from: &str, to: &str) -> Health {
    let links = report.links.iter();
    let mut found = links.filter(|link| link.from.as_str() == from && link.to.as_str() == to);
    found.next().unwrap().health
}

/// What is about a link: its message and its hints.
#[cfg(feature = "candle")]
fn words(report: &DoctorReport, about: &str) -> String {
    let finding = report.findings.iter().find(|finding| finding.about == about).unwrap();
    format!("{}\n{}", finding.message, finding.hints.join("\n"))
}

/// Numbers, and texts that differ from machine to machine, are replaced.
#[cfg(feature = "candle")]
fn redact(value: &mut Value, key: &str) {
    const TEXTS: [&str; 9] = [
        "measured_at",
        "platform",
        "kernel",
        "cpu",
        "absent",
        "value",
        "governor",
        "default_domain",
        "profile",
    ];
    match value {
        Value::Number(_) if key != "schema_version" => *value = "[number]".into(),
        Value::String(_) if TEXTS.contains(&key) => *value = "[text]".into(),
        Value::String(text) if key == "name" && text.ends_with(" threads") => *value = "[host]".into(),
        Value::Array(entries) => entries.iter_mut().for_each(|entry| redact(entry, key)),
        Value::Object(entries) => {
            for (key, entry) in entries.iter_mut() {
                redact(entry, key);
            }
        }
        _ => {}
    }
}

#[cfg(feature = "candle")]
#[test]
fn a_sound_machine_passes_and_its_rates_serve_the_planner() {
    let env = TestEnv::new();
    let (ran, report) = examine(&env, &["--format", "json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(report.verdict, Health::Ok);
    assert_eq!(serde_json::from_str::<DoctorReport>(&ran.stdout).unwrap(), report);
    let rates = rates_from_json(&ran.stdout).unwrap();
    assert_eq!(rates.devices.len(), report.devices.len());
    assert_eq!(rates.links.len(), report.links.len());
    let plan = env.run(&[
        "plan",
        "--config",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/models/tiny/config.json"),
        "--strategy",
        "optimal",
        "--max-memory",
        r#"{"sim:0": "16MiB", "sim:1": "16MiB"}"#,
        "--rates",
        "doctor.json",
    ]);
    assert_eq!(plan.code, Some(0), "{plan:?}");

    let mut document: Value = serde_json::from_str(&ran.stdout).unwrap();
    redact(&mut document, "");
    // What only some machines have.
    let machine = document["machine"].as_object_mut().unwrap();
    for key in [
        "governor",
        "clock_mhz",
        "limits",
        "iommu",
        "driver",
        "environment",
        "available_bytes",
        "load_average",
        "versions",
    ] {
        machine.remove(key);
    }
    // Notes depend on the machine, and GPUs are not on every one.
    document["findings"] = Value::Array(Vec::new());
    if report.devices.len() == 3 {
        insta::assert_snapshot!(format!("{document:#}"));
    }
}

#[cfg(feature = "candle")]
#[test]
fn broken_links_are_named_with_the_way_out() {
    let env = TestEnv::new();
    let (ran, report) = examine(
        &env,
        &[
            "--inject",
            "zero_copy:sim:0->sim:1",
            "--inject",
            "stale_copy:sim:1->sim:0",
            "--inject",
            "corrupt_copy:sim:0->host->cpu",
            "--inject",
            "slow_link:cpu->sim:1",
        ],
    );
    assert_eq!(ran.code, Some(100), "{ran:?}");
    for (from, to, expected) in [
        ("sim:0", "sim:1", Health::Corrupt),
        ("sim:1", "sim:0", Health::Corrupt),
        ("sim:0", "cpu", Health::Corrupt),
        ("cpu", "sim:1", Health::Ok),
        ("cpu", "sim:0", Health::Ok),
        ("sim:1", "cpu", Health::Ok),
        ("cpu", "cpu", Health::Ok),
    ] {
        assert_eq!(health(&report, from, to), expected, "{from} -> {to}");
    }
    let bad = "sim:0 -> cpu (corrupt), sim:0 -> sim:1 (corrupt), sim:1 -> sim:0 (corrupt)";
    let first = ran.stdout.lines().next().unwrap_or_default();
    assert!(first.starts_with("3 of ") && first.ends_with(bad), "{first}");
    let zero = words(&report, "sim:0 -> sim:1");
    for expected in [
        "zeros arrived",
        "transfer = \"host\"",
        "ACS",
        "BIOS",
        "driver",
        "NCCL_P2P_DISABLE=1",
    ] {
        assert!(zero.contains(expected), "{expected} in {zero}");
    }
    assert!(words(&report, "sim:1 -> sim:0").contains("the data of an earlier copy"));
    assert!(words(&report, "sim:0 -> cpu").contains("transfer = \"direct\""));
    assert!(words(&report, "cpu -> sim:1").contains("right but slow"));
    // The broken direct way is not what planners reckon with.
    let broken = report
        .links
        .iter()
        .find(|link| link.name() == "sim:0 -> sim:1")
        .unwrap();
    let usable = report.rates.link(&broken.from, &broken.to);
    assert_eq!(Some(usable), broken.paths[1].rates);
}

#[cfg(feature = "candle")]
#[test]
fn a_link_that_hangs_ends_with_its_deadline_and_the_other_way_is_still_tried() {
    let env = TestEnv::new();
    let (ran, report) = examine(&env, &["--timeout", "10s", "--inject", "stall:sim:0->sim:1"]);
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert_eq!(health(&report, "sim:0", "sim:1"), Health::Stalled);
    assert_eq!(health(&report, "sim:1", "sim:0"), Health::Ok);
    let words = words(&report, "sim:0 -> sim:1");
    assert!(
        words.contains("silent for 10.0 s in: comparing copies of 4.00 KiB sim:0 -> sim:1"),
        "{words}"
    );
    assert!(words.contains("copies through host memory are right"), "{words}");
}

#[cfg(feature = "candle")]
#[test]
fn a_probe_that_dies_proves_nothing() {
    let env = TestEnv::new();
    let (ran, report) = examine(
        &env,
        &["--inject", "crash:sim:0->sim:1", "--inject", "crash:sim:0->host->sim:1"],
    );
    assert_eq!(ran.code, Some(112), "{ran:?}");
    assert_eq!(report.verdict, Health::Inconclusive);
    assert!(words(&report, "sim:0 -> sim:1").contains("SIGABRT"));
    let ends = ["sim:0", "sim:1"].map(|name| placebench_core::device::DeviceId::new(name).unwrap());
    assert!(
        !report
            .rates
            .links
            .iter()
            .any(|link| link.from == ends[0] && link.to == ends[1])
    );
}

#[cfg(not(feature = "candle"))]
#[test]
fn a_build_without_an_engine_says_that_it_measured_nothing() {
    let env = TestEnv::new();
    let ran = env.run(&["doctor", "--output", "doctor.json"]);
    assert_eq!(ran.code, Some(112), "{ran:?}");
    let report = read(&env);
    assert_eq!(report.devices[0].health, Health::Inconclusive);
    assert!(ran.stdout.contains("no engine to measure with"), "{}", ran.stdout);
    assert!(rates_from_json(&serde_json::to_string(&report).unwrap()).is_ok());
}

#[test]
fn calibration_notes_how_much_equal_attempts_differ() {
    let env = TestEnv::new();
    env.scenario("s", "[placement.one]\ndevice_map = \"sim:0\"\n");
    let ran = env.run(&[
        "doctor",
        "--quick",
        "--calibrate",
        "--pairs",
        "3",
        "--output",
        "doctor.json",
        "suite/s.toml",
    ]);
    let floor = read(&env).noise_floor.unwrap();
    assert_eq!((floor.case.as_str(), floor.pairs), ("s/p/one", 3));
    let names: Vec<&str> = floor.metrics.iter().map(|metric| metric.metric.as_str()).collect();
    assert_eq!(names, ["load_s", "ttft_s", "tpot_s", "e2e_s"]);
    for metric in &floor.metrics {
        let largest = metric.log_ratios.iter().map(|ratio| ratio.abs()).fold(0.0, f64::max);
        assert_eq!(
            (metric.log_ratios.len(), metric.floor),
            (3, largest),
            "{}",
            metric.metric
        );
    }
    assert!(ran.stdout.contains("fewer than 6 pairs"), "{}", ran.stdout);
}

#[test]
fn calibrating_with_what_fails_is_refused() {
    let env = TestEnv::new();
    env.scenario("s", "[placement.one]\ndevice_map = { \"nothing\" = \"sim:0\" }\n");
    let ran = env.run(&["doctor", "--quick", "--calibrate", "suite/s.toml"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("s/p/one did not complete"), "{}", ran.stderr);
    let ran = env.run(&["doctor", "--calibrate"]);
    assert_eq!(ran.code, Some(96));
    assert!(
        ran.stderr.contains("scenarios/smoke/placements.toml is not here"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_measured() {
    let env = TestEnv::new();
    for (args, code, words) in [
        (["--inject", "nan:cpu->cpu"], 2, "zero_copy, stale_copy"),
        (["--timeout", "soon"], 2, "--timeout"),
        (["--pairs", "3"], 2, "--calibrate"),
        (["--device", "sim:0"], 2, "NAME=PHYSICAL"),
        (["--quick", "nowhere.toml"], 96, "nowhere.toml"),
    ] {
        let ran = env.run(&["doctor", args[0], args[1]]);
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
    let ran = env.run(&["doctor", "--quick", "--device", "half:0=cuda:77"]);
    assert_eq!(ran.code, Some(96), "{ran:?}");
    assert!(ran.stderr.contains("cuda:77, which is not there"), "{}", ran.stderr);
}

//! Every detector on the mock engine: once with the fault it is for, once without.

use placebench_core::judge::TimeTerm;
use placebench_core::outcome::{Outcome, Phase};
use placebench_core::planner::{Objective, stages};
use placebench_core::protocol::MemoryKind;
use placebench_core::record::{CaseStatus, TextVerdict};

use crate::env::{TestEnv, failed_checks, of};

pub(crate) const PLACEMENTS: &str = r#"
[placement.single]
device_map = "sim:0"
[placement.split]
device_map = { "model.embed_tokens" = "sim:0", "model.layers.0-3" = "sim:0", "model.layers.4-7" = "sim:1", "model.norm" = "sim:1", "lm_head" = "sim:1" }
"#;

/// Runs single and split with a fault in split alone; returns the environment.
fn with_fault(fault: &str, rest: &str) -> TestEnv {
    let env = TestEnv::new();
    let fault = if fault.is_empty() {
        String::new()
    } else {
        format!("[[fault]]\n{fault}\nplacements = [\"split\"]\n")
    };
    env.scenario("s", &format!("{PLACEMENTS}{fault}{rest}"));
    env
}

const AGREE: &str = "[expect]\nagreement = { reference = \"single\", rule = \"exact\" }\n";
const SHORT: &str = "[timeout]\nfirst_token = \"3s\"\ntoken = \"3s\"\n";

#[test]
fn healthy_placements_agree() {
    let env = with_fault("", AGREE);
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/split").text, TextVerdict::Exact);
    assert_eq!(of(&verdict, "s/p/split").metrics.hops_per_token, Some(1.0));
    assert_eq!(of(&verdict, "s/p/single").metrics.hops_per_token, Some(0.0));
}

#[test]
fn a_stalled_hop_is_named_with_phase_token_and_devices() {
    let fault = "kind = \"stall\"\nat = { hop = \"model.layers.3 -> model.layers.4\", token = 2 }";
    let env = with_fault(fault, &format!("{AGREE}{SHORT}"));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed);
    let stalled = of(&verdict, "s/p/split");
    assert!(failed_checks(stalled).contains(&"outcome"));
    assert!(
        stalled
            .sentence
            .contains("in decode, token 2, hop model.layers.3 -> model.layers.4, sim:0 -> sim:1"),
        "{}",
        stalled.sentence
    );
    assert!(
        ran.stdout.contains("suite/s.toml:"),
        "the place in the file is named: {}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("requested: a map of "),
        "what was asked is said: {}",
        ran.stdout
    );
    let attempt = env
        .attempts()
        .into_iter()
        .find(|attempt| attempt.case == "s/p/split")
        .unwrap();
    assert!(
        matches!(
            attempt.outcome,
            Outcome::Stalled {
                phase: Phase::Decode,
                tokens: 2,
                ..
            }
        ),
        "{:?}",
        attempt.outcome
    );
    assert_eq!(attempt.partial_tokens.len(), 2);
}

#[test]
fn a_failed_optimal_placement_says_what_it_was_optimal_for() {
    let env = TestEnv::new();
    env.scenario(
        "s",
        "[placement.fastest]\ndevice_map = \"optimal\"\n[expect]\ncontains = [\"no model says this\"]\n",
    );
    let (ran, _) = env.run_suite();
    assert_eq!(ran.code, Some(100), "{ran:?}");
    assert!(ran.stdout.contains("requested: optimal for tpot"), "{}", ran.stdout);
}

#[test]
fn a_stall_where_it_is_expected_passes_and_elsewhere_fails() {
    let fault = "kind = \"stall\"\nat = { module = \"model.layers.5\" }";
    let expects = |at: &str| {
        format!("{SHORT}[placement.split.expect]\noutcome = \"stalled\"\nphase = \"prefill\"\nat = \"{at}\"\n")
    };
    let env = with_fault(fault, &expects("model.layers.5"));
    let ran = env.run_suite().0;
    assert_eq!(ran.code, Some(0));
    assert!(!ran.stdout.contains("requested:"), "nothing failed: {}", ran.stdout);
    let env = with_fault(fault, &expects("model.layers.6"));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100));
    assert_eq!(failed_checks(of(&verdict, "s/p/split")), ["outcome"]);
}

#[test]
fn a_hang_while_loading_is_a_stall_of_that_phase() {
    let fault = "kind = \"stall\"\nat = { phase = \"load\" }";
    let env = with_fault(fault, "[timeout]\nload = \"8s\"\n");
    let (_, verdict) = env.run_suite();
    let attempt = env
        .attempts()
        .into_iter()
        .find(|attempt| attempt.case == "s/p/split")
        .unwrap();
    assert!(
        matches!(attempt.outcome, Outcome::Stalled { phase: Phase::Load, .. }),
        "{:?}",
        attempt.outcome
    );
    assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed);
}

#[test]
fn an_unkillable_worker_is_killed_all_the_same() {
    let fault = "kind = \"stall\"\nplacements = [\"split\"]\n[[fault]]\nkind = \"unkillable\"";
    let env = with_fault(fault, SHORT);
    let (_, verdict) = env.run_suite();
    assert_eq!(of(&verdict, "s/p/split").outcome.as_str(), "stalled");
}

#[test]
fn spoiled_copies_change_the_text_and_void_the_timing() {
    for kind in ["zero_copy", "stale_copy", "corrupt_copy"] {
        let env = with_fault(&format!("kind = \"{kind}\"\nat = {{ token = 3 }}"), AGREE);
        let (ran, verdict) = env.run_suite();
        assert_eq!(ran.code, Some(100), "{kind}");
        let judged = of(&verdict, "s/p/split");
        assert_eq!(judged.text, TextVerdict::Diverged, "{kind}");
        assert!(
            judged.findings[0].message.contains("at token 3"),
            "{:?}",
            judged.findings
        );
        let csv = std::fs::read_to_string(env.latest().join("results.csv")).unwrap();
        let row = csv.lines().find(|line| line.starts_with("s/p/split")).unwrap();
        assert!(row.contains("diverged,false"), "{row}");
    }
}

#[test]
fn garbage_is_found_without_any_reference() {
    let env = with_fault("kind = \"garbage\"", "");
    let (_, verdict) = env.run_suite();
    assert_eq!(of(&verdict, "s/p/split").text, TextVerdict::Garbage);
    assert_eq!(failed_checks(of(&verdict, "s/p/split")), ["garbage"]);
    assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed);
}

#[test]
fn nan_crash_and_memory_are_told_apart() {
    for (fault, outcome) in [
        ("kind = \"nan\"\nat = { module = \"model.layers.6\" }", "failed"),
        ("kind = \"crash\"\nat = { token = 4 }", "crashed"),
        ("kind = \"out_of_memory\"\nat = { bytes = \"150KiB\" }", "out_of_memory"),
    ] {
        let env = with_fault(fault, "");
        let (ran, verdict) = env.run_suite();
        assert_eq!(ran.code, Some(100), "{fault}");
        assert_eq!(
            of(&verdict, "s/p/split").outcome.as_str(),
            outcome,
            "{:?}",
            of(&verdict, "s/p/split")
        );
        assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed);
    }
}

#[test]
fn a_split_that_was_not_made_is_seen_in_the_realised_map() {
    for (fault, check) in [("ignored_split", "min_devices_used"), ("spill", "forbid_devices")] {
        let rest = "[expect]\nforbid_devices = [\"cpu\"]\nmin_devices_used = { split = 2 }\n";
        let env = with_fault(&format!("kind = \"{fault}\""), rest);
        let (_, verdict) = env.run_suite();
        let checks = failed_checks(of(&verdict, "s/p/split"));
        assert!(
            checks.contains(&"realised") && checks.contains(&check),
            "{fault}: {checks:?}"
        );
        assert_eq!(of(&verdict, "s/p/single").status, CaseStatus::Passed);
    }
}

#[test]
fn a_budget_that_is_too_small_names_device_phase_and_bytes() {
    let env = TestEnv::new();
    env.scenario("s", "[placement.small]\ndevice_map = \"sim:0\"\n");
    let text = std::fs::read_to_string(env.path("suite/s.toml")).unwrap();
    env.write("suite/s.toml", &text.replacen("1MiB", "100KiB", 1));
    let (_, verdict) = env.run_suite();
    let judged = of(&verdict, "s/p/small");
    assert_eq!(judged.outcome.as_str(), "out_of_memory");
    assert!(
        judged.sentence.contains("sim:0 in load") && judged.sentence.contains("100 KiB allowed"),
        "{}",
        judged.sentence
    );
}

#[test]
fn an_expected_failure_of_a_check_passes_and_its_absence_fails() {
    let rest =
        |fails: &str| format!("[placement.split.expect]\ncontains = [\"no such text\"]\nfails = [\"{fails}\"]\n");
    let env = with_fault("", &rest("contains"));
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of(&verdict, "s/p/split").expected_findings[0].check, "contains");
    let env = with_fault("", "[placement.split.expect]\nfails = [\"contains\"]\n");
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100));
    assert!(
        of(&verdict, "s/p/split").findings[0]
            .message
            .contains("expects the check `contains` to fail")
    );
}

#[test]
fn repetitions_interleave_and_one_misfortune_does_not_stop_the_run() {
    let env = with_fault("kind = \"crash\"", "[measure]\nwarmup = 1\nrepetitions = 4\n");
    let (_, verdict) = env.run_suite();
    assert_eq!(of(&verdict, "s/p/single").attempts, 4);
    assert_eq!(of(&verdict, "s/p/single").metrics.samples, 4);
    assert_eq!(of(&verdict, "s/p/split").attempts, 1, "what crashed is not repeated");
    let env = with_fault("", "[measure]\nrepetitions = 4\nisolation = \"shared\"\n");
    let (_, verdict) = env.run_suite();
    assert_eq!(
        (
            of(&verdict, "s/p/single").attempts,
            of(&verdict, "s/p/single").metrics.samples
        ),
        (1, 4)
    );
}

#[test]
fn a_run_leaves_every_file_and_the_report_can_be_made_again() {
    let env = with_fault("", AGREE);
    env.run_suite();
    let run = env.latest();
    for file in [
        "run.json",
        "attempts.jsonl",
        "results.csv",
        "verdict.json",
        "junit.xml",
        "report.html",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
    assert!(run.join("plots").read_dir().unwrap().count() >= 3);
    assert!(run.join("events").read_dir().unwrap().count() == 2);
    let before = std::fs::read(run.join("report.html")).unwrap();
    std::fs::remove_file(run.join("report.html")).unwrap();
    let ran = env.run(&["report", "reports/latest"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        std::fs::read(run.join("report.html")).unwrap(),
        before,
        "the same record makes the same page"
    );
    let ran = env.run(&["report", "--markdown"]);
    assert!(ran.stdout.contains("| "), "{ran:?}");
}

#[test]
fn machines_read_one_json_object_a_line() {
    let env = with_fault("", "");
    let ran = env.run(&["run", "suite", "--message-format", "ndjson"]);
    let types: Vec<String> = ran
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["type"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(types.first().map(String::as_str), Some("run-started"));
    assert_eq!(types.last().map(String::as_str), Some("run-finished"));
    assert!(types.iter().filter(|kind| *kind == "case-finished").count() == 2);
}

#[test]
fn without_a_terminal_there_are_no_escapes_and_quiet_is_quiet() {
    let env = with_fault("", "");
    let ran = env.run(&["run", "suite"]);
    assert!(
        !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("PASS s/p/single"), "{ran:?}");
    let ran = env.run(&["run", "suite", "--quiet"]);
    assert!(
        !ran.stdout.contains("PASS s/p/single") && ran.stdout.contains("2 cases: 2 passed"),
        "{ran:?}"
    );
}

const RATES: &str = r#"
[rates.device]
"sim:0" = { memory_bytes_per_s = 1e9, flops_per_s = 1e10 }
"sim:1" = { memory_bytes_per_s = 1e9, flops_per_s = 1e10 }
"#;

#[test]
fn a_run_holds_its_forecast_against_what_was_measured() {
    let env = with_fault("", RATES);
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for attempt in env.attempts() {
        let width = 2 * stages(&attempt.places).len() - 1;
        for generation in &attempt.generations {
            assert_eq!(generation.stage_times_s.len(), generation.output_ids.len());
            assert!(generation.stage_times_s.iter().all(|step| step.len() == width));
            let spent: f64 = generation.stage_times_s.iter().flatten().sum();
            assert!(
                spent <= *generation.token_stamps_s.last().unwrap(),
                "no moment counts twice"
            );
        }
    }
    let metrics = &of(&verdict, "s/p/split").metrics;
    for step in [Objective::Ttft, Objective::Tpot] {
        let terms: Vec<_> = metrics.time_forecast.iter().filter(|term| term.step == step).collect();
        let kinds: Vec<&str> = terms
            .iter()
            .map(|term| match &term.term {
                TimeTerm::Device { .. } => "device",
                TimeTerm::Hop { .. } => "hop",
                TimeTerm::Other => "other",
                TimeTerm::Total => "total",
            })
            .collect();
        assert_eq!(kinds, ["device", "device", "hop", "other", "total"]);
        let predicted: Vec<f64> = terms.iter().map(|term| term.predicted_s).collect();
        assert!(
            (predicted[..4].iter().sum::<f64>() - predicted[4]).abs() < 1e-12,
            "{predicted:?}"
        );
        assert!(terms[4].measured_s >= terms[0].measured_s + terms[1].measured_s);
    }
    let weights = metrics
        .memory_forecast
        .iter()
        .filter(|term| term.kind == MemoryKind::Weights);
    for term in weights {
        assert_eq!(term.predicted_bytes, term.measured_bytes, "{}", term.device);
    }
}

#[test]
fn without_rates_only_memory_is_foreseen() {
    let env = with_fault("", AGREE);
    let (_, verdict) = env.run_suite();
    let metrics = &of(&verdict, "s/p/split").metrics;
    assert_eq!(metrics.time_forecast, []);
    assert_eq!(metrics.memory_forecast.len(), 6);
}

#[test]
fn what_ran_otherwise_than_planned_is_compared_as_a_whole() {
    let env = with_fault("kind = \"ignored_split\"", RATES);
    let (ran, verdict) = env.run_suite();
    assert_eq!(ran.code, Some(100), "{ran:?}");
    let forecast = &of(&verdict, "s/p/split").metrics.time_forecast;
    assert!(forecast.iter().all(|term| term.term == TimeTerm::Total), "{forecast:?}");
    assert_eq!(forecast.len(), 2);
}

#[test]
fn rates_of_the_command_line_win() {
    let env = with_fault("", RATES);
    env.write(
        "machine.json",
        r#"{"rates": {"devices": [["cpu", {"memory_bytes_per_s": 1e6, "flops_per_s": 1e6, "step_overhead_s": 0, "layer_overhead_s": 0}]],
            "default_device": {"memory_bytes_per_s": 1e6, "flops_per_s": 1e6, "step_overhead_s": 0, "layer_overhead_s": 0},
            "links": [], "default_link": {"latency_s": 0, "bytes_per_s": 1e6}}}"#,
    );
    let predicted = |env: &TestEnv| {
        let verdict = env.verdict();
        let total = |term: &&placebench_core::judge::TimeForecast| term.term == TimeTerm::Total;
        let forecast = of(&verdict, "s/p/single").metrics.time_forecast.clone();
        forecast.iter().find(total).unwrap().predicted_s
    };
    env.run(&["run", "suite"]);
    let stated = predicted(&env);
    let ran = env.run(&["run", "suite", "--rates", "machine.json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(predicted(&env) > 100.0 * stated);
}

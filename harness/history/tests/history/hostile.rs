//! Records that mean harm, or mean nothing.

use std::fs;

use placebench_history::{RunFilter, runs_below};
use proptest::prelude::*;

use crate::Reports;
use crate::common::{attempts, case, info, judge_again, write};

const NAMES: [&str; 6] = [
    "'; DROP TABLE runs; --/p/x",
    "\"quoted\"/p/x",
    "%_*?[a]/p/x",
    "\u{1b}[2J\u{202e}/p/x",
    "<script>alert(1)</script>/p/x",
    "nul\0nul/p/x",
];

#[test]
fn names_are_values_and_never_commands() {
    let reports = Reports::new();
    let cases: Vec<_> = NAMES.iter().map(|name| case(name)).collect();
    let mut hostile = info("r-1", "'; DROP TABLE runs; --", cases.clone());
    hostile.arguments = NAMES.map(str::to_owned).to_vec();
    hostile.environment.cpu = NAMES[0].into();
    hostile.tool.version = NAMES[3].into();
    hostile.seed = u64::MAX;
    write(reports.path(), &hostile, &attempts(&cases, 0.05));
    reports.import_all();
    assert_eq!((reports.count("runs"), reports.count("cases")), (1, 6));
    let history = reports.history();
    let found = |glob: &str| {
        let filter = RunFilter {
            case_glob: Some(glob.into()),
            since_ms: None,
        };
        history.runs(&filter).unwrap().len()
    };
    assert_eq!([found("*DROP*"), found("' OR 1=1 --"), found("[")], [1, 0, 0]);
    let trend = history
        .trend(&crate::trend::query(&["tpot_s", "'; DROP TABLE runs; --"]))
        .unwrap();
    let mut names: Vec<&str> = trend.figures.iter().map(|series| series.case.as_str()).collect();
    let mut expected = NAMES;
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    drop(history);
    let before = reports.dump();
    placebench_history::History::rebuild(
        reports.options(),
        &runs_below(reports.path()).unwrap(),
        false,
        &judge_again,
    )
    .unwrap();
    assert_eq!(reports.dump(), before);
}

#[test]
fn figures_that_are_none_are_left_out() {
    let reports = Reports::new();
    let cases = [case("s/p/x")];
    let mut odd = attempts(&cases, 0.05);
    odd[0].generations[0].token_stamps_s = vec![1e308, -1e308, 1e308];
    odd[1].generations[0].token_stamps_s = Vec::new();
    odd[2].generations.clear();
    odd[3].wall_s = -1.0;
    odd[4].phases.clear();
    odd[5].attempt = u32::MAX;
    let mut info = info("r-1", "0000-00-00", cases.to_vec());
    info.cases[0].measure.repetitions = u32::MAX;
    write(reports.path(), &info, &odd);
    reports.import_all();
    let trend = reports
        .history()
        .trend(&crate::trend::query(&["tpot_s", "ttft_s", "load_s"]))
        .unwrap();
    assert!(
        trend
            .figures
            .iter()
            .flat_map(|series| &series.points)
            .all(|point| point.value.is_finite())
    );
    assert_eq!(reports.count("attempts"), 6);
}

#[test]
fn numbers_that_json_cannot_hold_are_a_damaged_run() {
    let reports = Reports::new();
    let run = reports.runs(1, &["s/p/x"], |_| 0.05).remove(0);
    let lines = fs::read_to_string(run.join("attempts.jsonl")).unwrap();
    for bad in ["NaN", "1e999", "null", "\"1\""] {
        fs::write(
            run.join("attempts.jsonl"),
            lines.replacen("\"wall_s\":2.0", &format!("\"wall_s\":{bad}"), 1),
        )
        .unwrap();
        assert!(reports.history().import(&run, false, &judge_again).is_err(), "{bad}");
    }
    assert_eq!(reports.count("runs"), 0);
}

/// What 1.1 added, taken away again.
#[test]
fn records_of_version_1_0_are_read() {
    let reports = Reports::new();
    let run = reports.runs(1, &["s/p/x"], |_| 0.05).remove(0);
    let mut info: serde_json::Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
    info["schema_version"]["minor"] = 0.into();
    for added in ["control", "shards"] {
        info.as_object_mut().unwrap().remove(added);
    }
    for added in ["rates", "companion_inputs"] {
        info["cases"][0].as_object_mut().unwrap().remove(added);
    }
    fs::write(run.join("run.json"), info.to_string()).unwrap();
    let lines = fs::read_to_string(run.join("attempts.jsonl")).unwrap();
    let old: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut attempt: serde_json::Value = serde_json::from_str(line).unwrap();
            for added in ["places", "links", "gpus", "partial_tokens"] {
                attempt.as_object_mut().unwrap().remove(added);
            }
            attempt.to_string() + "\n"
        })
        .collect();
    fs::write(run.join("attempts.jsonl"), old.concat()).unwrap();
    reports.import_all();
    assert_eq!((reports.count("runs"), reports.count("attempts")), (1, 6));
    // And another major version is not.
    info["schema_version"]["major"] = 2.into();
    fs::write(run.join("run.json"), info.to_string()).unwrap();
    assert!(reports.history().import(&run, true, &judge_again).is_err());
}

#[test]
fn folders_that_hold_no_runs_hold_none() {
    let reports = Reports::new();
    assert_eq!(runs_below(reports.path()).unwrap().len(), 0);
    let runs = reports.runs(2, &["s/p/x"], |_| 0.05);
    // `latest` leads to one of them, and a bisection is no run of the suite.
    fs::write(runs[0].join("bisect.json"), "{}").unwrap();
    assert_eq!(runs_below(reports.path()).unwrap(), runs[1..]);
    assert_eq!(runs_below(&runs[0]).unwrap(), runs[..1], "unless it is named");
    assert!(runs_below(&reports.path().join("nothing")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_cut_or_flipped_nothing_panics(cut in 0..4000_usize, flip in 0..4000_usize, byte in any::<u8>()) {
        let reports = Reports::new();
        let run = reports.runs(1, &["s/p/x"], |_| 0.05).remove(0);
        for file in ["run.json", "attempts.jsonl", "verdict.json"] {
            let mut bytes = fs::read(run.join(file)).unwrap();
            let at = flip % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len().saturating_sub(cut / 8));
            fs::write(run.join(file), bytes).unwrap();
            let mut history = reports.history();
            drop(history.import(&run, false, &judge_again));
            history.trend(&crate::trend::query(&["tpot_s"])).unwrap();
        }
    }
}

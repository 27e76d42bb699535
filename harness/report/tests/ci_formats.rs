//! The formats that services of others read: each over a run that holds everything, and over one that was held against a
//! baseline.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod sample;

use placebench_core::exit_code::ExitCode;
use placebench_core::record::{CaseStatus, FlakyResult, RunRecord, TextVerdict};
use placebench_report::format::github::{Annotation, Level, annotations, command, summary};
use placebench_report::format::github_benchmark::{self, Better};
use placebench_report::format::{bencher, junit};
use placebench_report::view::ReportView;
use serde_json::Value;

fn remarks(record: &RunRecord) -> Vec<Annotation> {
    annotations::of_run(record, &|file| Some(file.to_owned()))
}

fn commands(record: &RunRecord) -> String {
    command::lines(&remarks(record)).join("\n")
}

fn page(record: &RunRecord, most: usize) -> String {
    summary::render(&ReportView::new(record), record.verdict.gate.as_ref(), most)
}

fn bmf(record: &RunRecord) -> Value {
    serde_json::from_str(&bencher::render(record).unwrap()).unwrap()
}

fn list(record: &RunRecord, better: Better) -> Vec<Value> {
    serde_json::from_str(&github_benchmark::render(record, better).unwrap()).unwrap()
}

#[test]
fn annotations_of_the_sample() {
    insta::assert_snapshot!(commands(&sample::sample()));
}

#[test]
fn annotations_of_a_gate() {
    insta::assert_snapshot!(commands(&sample::gate::sample()));
}

#[test]
fn step_summary_of_the_sample() {
    insta::assert_snapshot!(page(&sample::sample(), summary::MOST_BYTES));
}

#[test]
fn step_summary_of_a_gate() {
    insta::assert_snapshot!(page(&sample::gate::sample(), summary::MOST_BYTES));
}

#[test]
fn bencher_metrics_of_the_sample() {
    insta::assert_snapshot!(bencher::render(&sample::sample()).unwrap());
}

#[test]
fn benchmark_lists_of_the_sample() {
    let list = |better| github_benchmark::render(&sample::sample(), better).unwrap();
    insta::assert_snapshot!(format!("{}\n{}", list(Better::Smaller), list(Better::Bigger)));
}

#[test]
fn junit_of_a_gate() {
    insta::assert_snapshot!(String::from_utf8(junit::render(&sample::gate::sample()).unwrap()).unwrap());
}

#[test]
fn the_gate_of_the_sample_is_that_of_a_regression() {
    let record = sample::gate::sample();
    assert_eq!(record.verdict.exit, ExitCode::CaseFailed);
    let remarks = remarks(&record);
    let said = |level, words: &str| {
        let of_level = remarks.iter().filter(|remark| remark.level == level);
        of_level.filter(|remark| remark.title.contains(words)).count()
    };
    assert_eq!(said(Level::Error, "heavier: worse than"), 1);
    assert_eq!(said(Level::Error, "another: differs from"), 1);
    assert_eq!(said(Level::Error, "slower: slower than"), 1);
    assert_eq!(said(Level::Warning, "wrong: no verdict against"), 1);
    assert_eq!(said(Level::Notice, "faster: better than"), 1);
    assert!(
        !remarks.iter().any(|remark| remark.title.contains("story/same")),
        "{remarks:?}"
    );
}

/// What gates and what does not is the word of the comparison, not of the format.
#[test]
fn times_of_another_session_warn_where_they_fail_nothing() {
    let mut record = sample::gate::sample();
    let gate = record.verdict.gate.as_mut().unwrap();
    gate.comparison.spec.arrangement = placebench_core::compare::Arrangement::Separate;
    let slower = |record: &RunRecord| {
        let all = remarks(record);
        all.into_iter()
            .find(|remark| remark.title.contains("slower than"))
            .unwrap()
            .level
    };
    let failures = |record: &RunRecord| {
        String::from_utf8(junit::render(record).unwrap())
            .unwrap()
            .matches("type=\"slower\"")
            .count()
    };
    assert_eq!((slower(&record), failures(&record)), (Level::Warning, 0));
    record
        .verdict
        .gate
        .as_mut()
        .unwrap()
        .comparison
        .spec
        .separate_timings_gate = true;
    assert_eq!((slower(&record), failures(&record)), (Level::Error, 1));
}

#[test]
fn a_flaky_case_is_as_bad_as_the_run_says() {
    let mut record = sample::sample();
    record
        .verdict
        .cases
        .retain(|verdict| verdict.status == CaseStatus::Passed);
    record.verdict.cases[0].status = CaseStatus::Flaky;
    let level = |record: &RunRecord| {
        let flaky = remarks(record)
            .into_iter()
            .find(|remark| remark.title.contains("flaky"));
        flaky.unwrap().level
    };
    assert_eq!(level(&record), Level::Warning);
    record.info.control.flaky_result = FlakyResult::Fail;
    assert_eq!(level(&record), Level::Error);
}

#[test]
fn a_file_outside_of_the_repository_has_no_place() {
    let remarks = annotations::of_run(&sample::sample(), &|_| None);
    assert!(remarks.len() > 5 && remarks.iter().all(|remark| remark.place.is_none()));
}

#[test]
fn a_run_in_which_all_is_well_says_nothing() {
    let mut record = sample::sample();
    record.info.cases.truncate(2);
    record.verdict.cases.truncate(2);
    assert_eq!(commands(&record), "");
}

#[test]
fn a_wrong_text_is_in_no_series() {
    let record = sample::sample();
    let names: Vec<String> = bmf(&record).as_object().unwrap().keys().cloned().collect();
    let of = |case: &str| names.iter().filter(|name| name.starts_with(case)).count();
    assert!(of("placement/three-ways/story/single") > 1, "{names:?}");
    let wrong = "regressions/broken-hop/story/manual";
    assert_eq!(record.verdict_of(wrong).unwrap().text, TextVerdict::Diverged);
    assert_eq!(of(wrong), 0);
    // What stalls as it should has no figures, and what has faults in it none of the machine.
    assert_eq!(of("faults/stall"), 0);
    for better in [Better::Smaller, Better::Bigger] {
        let names = list(&record, better);
        assert!(names.len() > 5);
        assert!(
            names
                .iter()
                .all(|entry| !entry["name"].as_str().unwrap().starts_with(wrong))
        );
    }
}

#[test]
fn figures_that_are_no_numbers_are_left_out() {
    let mut record = sample::sample();
    for verdict in &mut record.verdict.cases {
        verdict.metrics.ttft_s = Some(f64::NAN);
        verdict.metrics.hops_per_token = Some(f64::INFINITY);
    }
    let text = bencher::render(&record).unwrap();
    assert!(!text.contains("ttft-s") && !text.contains("hops-per-token") && !text.contains("null"));
    assert!(text.contains("tpot-s"));
}

/// `bencher_valid`: names of at most 1024 bytes, and slugs of small letters, digits and hyphens of at most 64.
#[test]
fn names_are_those_that_bencher_takes() {
    let mut record = sample::sample();
    record.info.cases[0].case = "é".repeat(3000);
    record.verdict.cases[0].case = record.info.cases[0].case.clone();
    let all = bmf(&record);
    assert!(all.as_object().unwrap().keys().any(|name| name.starts_with('é')));
    for (name, measures) in all.as_object().unwrap() {
        assert!(!name.is_empty() && name.len() <= 1024, "{name}");
        for (measure, metric) in measures.as_object().unwrap() {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(measure.len() <= 64 && measure.chars().all(is_plain), "{measure}");
            let of = |key: &str| metric.get(key).map(|value| value.as_f64().unwrap());
            let value = of("value").unwrap();
            assert!(of("lower_value").is_none_or(|low| low <= value), "{name} {measure}");
            assert!(of("upper_value").is_none_or(|high| high >= value), "{name} {measure}");
        }
    }
}

#[test]
fn the_two_lists_hold_everything_once() {
    let record = sample::gate::sample();
    let (smaller, bigger) = (list(&record, Better::Smaller), list(&record, Better::Bigger));
    assert!(bigger.iter().all(|entry| entry["unit"] == "tokens/s"));
    assert!(smaller.iter().all(|entry| entry["unit"] != "tokens/s"));
    let mut names: Vec<&str> = smaller
        .iter()
        .chain(&bigger)
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    let figures = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), figures);
    let measures: usize = bmf(&record)
        .as_object()
        .unwrap()
        .values()
        .map(|all| all.as_object().unwrap().len())
        .sum();
    assert_eq!(measures, figures);
}

/// Some hundred failures with much to say: more than a summary holds, and far more than annotations do.
fn many() -> RunRecord {
    let mut record = sample::gate::sample();
    let (spec, verdict) = (record.info.cases[0].clone(), record.verdict.cases[0].clone());
    let finding = sample::finding("output", &"much to say ".repeat(80), Some(&"and to do ".repeat(80)));
    let findings = vec![finding.clone(), finding];
    for number in 0..1000 {
        let mut spec = spec.clone();
        let mut verdict = verdict.clone();
        spec.case = format!("gate/many/story/{number}-{}", "long".repeat(20));
        verdict.case = spec.case.clone();
        if number % 2 == 0 {
            verdict.status = CaseStatus::Failed;
            verdict.findings = findings.clone();
        }
        record.info.cases.push(spec);
        record.verdict.cases.push(verdict);
    }
    record
}

#[test]
fn a_long_summary_is_cut_at_a_row_and_says_so() {
    let record = many();
    for most in [summary::MOST_BYTES, 300_000, 40_000] {
        let page = page(&record, most);
        assert!(page.len() <= most && page.len() > most / 2, "{} of {most}", page.len());
        assert!(
            page.contains("left out here, because the summary of a step holds 1 MiB"),
            "{most}"
        );
        // The gate comes first and is whole; the failures come before what passed.
        assert!(page.contains("| gate/changes/story/slower |"));
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        assert!(
            page.lines()
                .filter(|line| line.starts_with("| "))
                .all(|line| [4, 8].contains(&bars(line)))
        );
        assert_eq!(page.matches("<details>").count(), page.matches("</details>").count());
        assert!(page.contains("<details>"));
    }
    // What other commands of the step have written leaves nothing.
    assert!(page(&record, 0).is_empty());
}

#[test]
fn annotations_stay_within_what_github_shows() {
    let text = commands(&many());
    for level in ["::error ", "::warning ", "::notice "] {
        assert!(
            text.lines().filter(|line| line.starts_with(level)).count() <= 10,
            "{level}"
        );
    }
    assert!(text.lines().count() <= 30);
    assert!(text.contains("::error title=494 more of this kind::"), "{text}");
}

/// The crate that writes it reads it too.
#[test]
fn junit_reads_back() {
    for record in [sample::sample(), sample::gate::sample()] {
        let text = String::from_utf8(junit::render(&record).unwrap()).unwrap();
        let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
        let cases: usize = report.test_suites.iter().map(|suite| suite.test_cases.len()).sum();
        assert_eq!(cases, record.info.cases.len());
        let properties = report.test_suites.iter().flat_map(|suite| &suite.test_cases);
        assert!(
            properties
                .flat_map(|case| &case.properties)
                .any(|property| property.name.as_str() == "ttft_s")
        );
    }
}

//! Who is fastest is decided once: the page's header, a prompt's finding, the marks of the matrix, the titles of pictures, and
//! Markdown say the same of it, and what they say is what the comparison of placements finds.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod sample;

use placebench_core::compare::{Change, GateSpec, compare_placements};
use placebench_core::record::{CaseStatus, IndexedRun, RunRecord, TextVerdict};
use placebench_report::format::markdown;
use placebench_report::plot::{Chart, PNG_WIDTH};
use placebench_report::view::ReportView;
use placebench_report::view::compared::TPOT;
use placebench_report::view::fastest::Standing;
use sample::timed::run;

/// The names before ` is fastest` in a text.
fn named(text: &str) -> Vec<&str> {
    let before = text.split(" is fastest").collect::<Vec<_>>();
    let (_, before) = before.split_last().unwrap();
    before
        .iter()
        .map(|text| text.rsplit([' ', '*', '\n']).next().unwrap())
        .collect()
}

/// Asserts that all views of a run call the same placement fastest by the time per token, or none.
fn assert_agreed(record: &RunRecord, fastest: Option<&str>) {
    let view = ReportView::new(record);
    let prompt = &view.scenarios[0].prompts[0];
    let expected: Vec<&str> = fastest.into_iter().collect();
    let compared = &prompt.compared;
    let found = compared
        .speeds()
        .fastest()
        .map(|row| compared.rows[row].placement.as_str());
    assert_eq!(found, fastest, "{compared:#?}");
    let marked = prompt.cases.iter().filter(|case| case.overview.is_first_tpot);
    let marked: Vec<&str> = marked.map(|case| case.placement.as_str()).collect();
    assert_eq!(marked, expected);
    let scene = Chart::Compared.titled(&view, prompt, PNG_WIDTH).unwrap();
    let titled = scene.marks.iter().any(|mark| mark.says(" is fastest"));
    assert_eq!(titled, fastest.is_some());
    for text in [&prompt.overview.answer, &compared.title, &markdown::render(&view)] {
        assert_eq!(named(text), expected, "{text}");
    }
    let header = view.answers.iter().find(|answer| answer.name == "Speed");
    let header = header.map_or("", |answer| answer.value.as_str());
    assert_eq!(named(header), expected, "{header}");
}

#[test]
fn everything_names_the_same_placement() {
    // The reference, one that is faster, the faster of two, and one among those that are the same as the reference.
    type Expected<'a> = (&'a [(&'a str, f64)], Option<&'a str>);
    let runs: [Expected<'_>; 6] = [
        (&[("single", 1.0), ("auto", 1.12), ("manual", 1.3)], Some("single")),
        (&[("single", 1.0), ("auto", 0.8)], Some("auto")),
        (
            &[("single", 1.0), ("auto", 0.8), ("manual", 0.6), ("disk", 3.0)],
            Some("manual"),
        ),
        (&[("single", 1.0), ("auto", 0.8), ("manual", 1.0)], Some("auto")),
        (&[("single", 1.0), ("auto", 0.8), ("manual", 0.8)], None),
        (&[("single", 1.0), ("auto", 1.0)], None),
    ];
    for (placements, fastest) in runs {
        assert_agreed(&run(placements, 16), fastest);
        // Too few repetitions name nobody.
        assert_agreed(&run(placements, 3), None);
    }
}

#[test]
fn what_is_said_is_what_the_comparison_finds() {
    let record = run(
        &[("single", 1.0), ("auto", 1.12), ("manual", 0.9), ("optimal", 1.0)],
        16,
    );
    let found = compare_placements(&IndexedRun::new(&record), None, None, &GateSpec::placements()).unwrap();
    let changes = found.comparison.cases.iter().map(|case| {
        let tpot = case.timings.iter().find(|row| row.metric.as_str() == "tpot_s").unwrap();
        tpot.change
    });
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [Change::Slower, Change::Faster, Change::Same]
    );
    let view = ReportView::new(&record);
    let speeds = view.scenarios[0].prompts[0].compared.speeds_by(TPOT);
    assert_eq!(speeds.standing, Standing::Known);
    let order: Vec<usize> = speeds.order.iter().map(|(row, _)| *row).collect();
    assert_eq!((order[0], order[3]), (2, 1));
    assert_agreed(&record, Some("manual"));
}

#[test]
fn a_wrong_text_other_work_and_a_fault_are_never_fastest() {
    let placements = [("single", 1.0), ("auto", 0.5), ("manual", 1.3)];
    assert_agreed(&run(&placements, 16), Some("auto"));

    let mut wrong = run(&placements, 16);
    wrong.verdict.cases[1].text = TextVerdict::Diverged;
    wrong.verdict.cases[1].status = CaseStatus::Failed;
    assert_agreed(&wrong, Some("single"));

    let mut mocked = run(&placements, 16);
    mocked.info.cases[1].engine = "another engine".into();
    assert_agreed(&mocked, Some("single"));
    let found = compare_placements(&IndexedRun::new(&mocked), None, None, &GateSpec::placements()).unwrap();
    let [(case, why)] = found.left_out.as_slice() else {
        panic!("{:?}", found.left_out);
    };
    assert!(
        case.ends_with("/auto") && why.contains("engine another engine"),
        "{why}"
    );

    let mut faulty = run(&placements, 16);
    faulty.info.cases[1].faults = sample::sample()
        .info
        .cases
        .iter()
        .find_map(|case| (!case.faults.is_empty()).then(|| case.faults.clone()))
        .unwrap();
    assert_agreed(&faulty, Some("single"));
}

#[test]
fn without_a_reference_nobody_is_fastest() {
    let mut record = run(&[("single", 1.0), ("auto", 0.5), ("manual", 1.3)], 16);
    record.verdict.cases[0].text = TextVerdict::Garbage;
    let view = ReportView::new(&record);
    let prompt = &view.scenarios[0].prompts[0];
    assert_eq!(prompt.compared.speeds().standing, Standing::Unrelated);
    assert!(
        prompt.overview.answer.contains("none can be compared with single"),
        "{}",
        prompt.overview.answer
    );
    assert!(!view.answers.iter().any(|answer| answer.name == "Speed"));
    assert_agreed(&record, None);
}

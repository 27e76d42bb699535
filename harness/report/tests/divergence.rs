//! A text that parts from another one, in every format that shows it.

mod sample;

use placebench_core::record::{ComparedWith, Divergence, DivergentText, RunRecord, TextPlacing, TextVerdict};
use placebench_report::format::{csv, html, junit};
use placebench_report::view::{ReportView, divergence};

fn text(id: Option<u32>, token: &str) -> DivergentText {
    DivergentText {
        id,
        before: "<b>Once upon a".into(),
        token: token.into(),
        after: "\u{1b}[31m and so on".into(),
    }
}

fn parting() -> Divergence {
    Divergence {
        with: ComparedWith::Snapshot {
            class: Some("cpu".into()),
        },
        generation: 0,
        sequence: 0,
        index: 3,
        verdict: TextVerdict::Diverged,
        gap: Some(0.25),
        ours: text(Some(41), " time"),
        theirs: text(Some(42), ""),
        placed_by: TextPlacing::Offsets,
    }
}

/// The sample, in which the first case parts from its snapshot, or with nothing to be said of it.
fn record(divergences: Vec<Divergence>) -> RunRecord {
    let mut record = sample::sample();
    let judged = &mut record.verdict.cases[0];
    judged.notes = divergences
        .iter()
        .map(|_| "compared with <another> class".to_owned())
        .collect();
    judged.divergences = divergences;
    judged.metrics.matching_generations = Some(4);
    judged.metrics.distinct_texts = Some(2);
    judged.metrics.exact_match_rate = Some(4.0 / 6.0);
    record
}

#[test]
fn both_texts_are_quoted_around_the_token() {
    let lines = divergence::lines(&parting());
    insta::assert_snapshot!(lines.join("\n"), @r"
    parts from the approved snapshot of class cpu at token 3 (counted from 0): 41 instead of 42; 0.2500 apart in logits, no near-tie
    here:  <b>Once upon a⟦ time⟧␛[31m and so on
    there: <b>Once upon a⟦token 42⟧␛[31m and so on
    ");
    let ended = Divergence {
        with: ComparedWith::FirstGeneration,
        generation: 2,
        sequence: 1,
        gap: None,
        theirs: text(None, ""),
        placed_by: TextPlacing::Characters,
        ..parting()
    };
    let [sentence, _, there] = divergence::lines(&ended);
    assert!(
        sentence.starts_with("sequence 1 of generation 2 parts from the first generation"),
        "{sentence}"
    );
    assert!(sentence.contains("41 where the other had ended") && sentence.contains("first character that differs"));
    assert!(there.contains("⟦end⟧"), "{there}");
}

#[test]
fn the_page_shows_it_as_text_only() {
    let page = html::render(&ReportView::new(&record(vec![parting()]))).unwrap();
    assert!(page.contains(
        "<td class=\"before\">&lt;b&gt;Once upon a</td><td class=\"at\"><mark> time</mark> <span class=\"sub\">id 41</span></td>\
         <td class=\"after\">␛[31m and so on</td>"
    ));
    assert!(page.contains("compared with &lt;another&gt; class"));
    assert!(page.contains("4 of 6 (2 different texts)"));
    let page = html::render(&ReportView::new(&record(Vec::new()))).unwrap();
    assert!(!page.contains("class=\"parting\""));
}

#[test]
fn junit_and_csv_say_it_too() {
    let mut record = record(vec![parting()]);
    record.verdict.cases[0].status = placebench_core::record::CaseStatus::Failed;
    let xml = String::from_utf8(junit::render(&record).unwrap()).unwrap();
    assert!(xml.contains("there: &lt;b&gt;Once upon a⟦token 42⟧␛[31m"), "{xml}");
    assert!(xml.contains("name=\"exact_match_rate\" value=\"0.66"));
    let csv = String::from_utf8(csv::render(&record).unwrap()).unwrap();
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().ends_with(",exact_match_rate"));
    assert!(lines.next().unwrap().ends_with(",0.6666666666666666"));
}

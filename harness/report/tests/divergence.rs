//! A text that parts from another one, in every format that shows it.

mod sample;

use placebench_core::protocol::TokenLogit;
use placebench_core::record::{
    ComparedBy, ComparedWith, Divergence, DivergentText, LikelyToken, RunRecord, TextPlacing, TextVerdict,
};
use placebench_report::format::{csv, html, junit};
use placebench_report::view::{ReportView, divergence};

fn text(id: Option<u32>, token: &str) -> DivergentText {
    DivergentText {
        id,
        before: "<b>Once upon a".into(),
        token: token.into(),
        after: "\u{1b}[31m and so on".into(),
        top5: Vec::new(),
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
        by: ComparedBy::Tokens,
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
    let [sentence, _, there] = divergence::lines(&ended).try_into().unwrap();
    assert!(
        sentence.starts_with("sequence 1 of generation 2 parts from the first generation"),
        "{sentence}"
    );
    assert!(sentence.contains("41 where the other had ended") && sentence.contains("first character that differs"));
    assert!(there.contains("⟦end⟧"), "{there}");
}

#[test]
fn two_engines_say_what_they_thought_likeliest() {
    let likely = |id, logit, text: Option<&str>| LikelyToken {
        token: TokenLogit { id, logit },
        text: text.map(str::to_owned),
    };
    let mut parting = Divergence {
        with: ComparedWith::Engine {
            engine: "candle".into(),
            placement: "single[engine=candle]".into(),
        },
        ..parting()
    };
    parting.ours.top5 = vec![likely(41, 9.0, Some(" time")), likely(42, 8.75, None)];
    parting.theirs.top5 = vec![likely(42, 3.5, Some("\u{1b}[31m"))];
    insta::assert_snapshot!(divergence::lines(&parting).join("\n"), @r"
    parts from engine `candle` (placement `single[engine=candle]`) at token 3 (counted from 0): 41 instead of 42; 0.2500 apart in logits, no near-tie
    here:  <b>Once upon a⟦ time⟧␛[31m and so on
    there: <b>Once upon a⟦token 42⟧␛[31m and so on
    here:  likeliest “ time” (id 41) 9.0000, id 42 8.7500
    there: likeliest “␛[31m” (id 42) 3.5000
    ");
    let page = html::render(&ReportView::new(&record(vec![parting]))).unwrap();
    assert!(page.contains("parts from engine candle (placement single[engine=candle])"));
}

#[test]
fn a_text_without_tokens_parts_at_a_character() {
    let parting = Divergence {
        gap: None,
        index: 17,
        by: ComparedBy::Characters,
        placed_by: TextPlacing::Characters,
        ours: text(None, "t"),
        theirs: text(None, ""),
        ..parting()
    };
    insta::assert_snapshot!(divergence::lines(&parting).join("\n"), @r"
    parts from the approved snapshot of class cpu at character 17 (counted from 0); by text alone, for the tokens of one of them are not known
    here:  <b>Once upon a⟦t⟧␛[31m and so on
    there: <b>Once upon a⟦end⟧␛[31m and so on
    ");
    let page = html::render(&ReportView::new(&record(vec![parting]))).unwrap();
    assert!(page.contains("at character 17 (counted from 0, by text alone)"));
    assert!(page.contains("nobody can say whether it is a near tie") && !page.contains("may belong to a later"));
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

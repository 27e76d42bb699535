//! What a report says of an audit: where placements part, with names that want to be markup, and no times.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod sample;

use std::collections::HashMap;

use placebench_core::audit::{AuditEntry, AuditSpec, AuditStep, Digest, Side, TensorPrint};
use placebench_core::judge::judge;
use placebench_core::protocol::RealisedModule;
use placebench_core::record::RunRecord;
use placebench_report::artifacts;
use placebench_report::format::{csv, html, markdown};
use placebench_report::plot::Chart;
use placebench_report::view::{CaseView, ReportView};

fn print(seed: f32) -> TensorPrint {
    let values = (0..64).map(|i| (i as f32 * 0.7 + seed).sin());
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    TensorPrint::of("f32", &[1, 64], &bytes, |x| f32::from_le_bytes(x.try_into().unwrap()))
}

fn entry(at: &str, side: Side, device: &str, seed: f32) -> AuditEntry {
    AuditEntry {
        at: at.into(),
        side,
        device: sample::device(device),
        changed: None,
        print: print(seed),
    }
}

/// A trail over the modules as they were placed; from `wrong` (a token and a module) on, outputs are others.
fn trail(placed: &[RealisedModule], wrong: Option<(u32, usize)>) -> Vec<AuditStep> {
    let step = |token: u32| {
        let mut entries: Vec<AuditEntry> = Vec::new();
        for (index, module) in placed.iter().enumerate() {
            let right = index as f32 + token as f32 * 0.3;
            let is_wrong = wrong.is_some_and(|(from, first)| token > from || (token == from && index >= first));
            let seed = if is_wrong { right + 0.1 } else { right };
            entries.push(entry(&module.module, Side::Output, module.device.as_str(), seed));
        }
        AuditStep {
            generation: 0,
            token,
            input: Digest::of_tokens(&[token]),
            input_tokens: 1,
            entries,
        }
    };
    (0..4).map(step).collect()
}

const HOSTILE: &str = "model.<b>layers</b>.5";

/// Two placements of a prompt, the second of which parts in the sixth layer at the third token.
fn audited() -> RunRecord {
    let mut record = sample::empty();
    for (placement, split, wrong) in [("single", 11, None), ("auto", 5, Some((2, 6)))] {
        let mut placed = sample::realised(split, "sim:0", "sim:1");
        placed[6].module = HOSTILE.into();
        let spec = sample::spec("audit/tiny", "story", placement, sample::manual());
        sample::completed(&mut record, spec, &placed, sample::TEXT, 0.03, 0.01);
        let name = format!("audit/tiny/story/{placement}");
        record
            .attempts
            .retain(|attempt| attempt.case != name || attempt.attempt == 0);
        let attempt = record.attempts.last_mut().unwrap();
        attempt.audit = trail(&placed, wrong);
    }
    let cases = std::mem::take(&mut record.info.cases);
    record.info.cases = cases
        .into_iter()
        .map(|case| case.audited(AuditSpec::default()))
        .collect();
    record.verdict = judge(&record.info, &record.attempts, &HashMap::new(), true);
    record
}

#[test]
fn the_page_says_where_placements_part_and_escapes_it() {
    let page = html::render(&ReportView::new(&audited())).unwrap();
    let section = page.split("<section class=\"audit\"").nth(1).unwrap();
    let section = section.split("</section>").next().unwrap();
    assert!(
        section.contains("parts from single at decode token 2, module model.&lt;b&gt;layers&lt;&#x2f;b&gt;.5 (sim:1)"),
        "{section}"
    );
    assert!(section.contains("auto parts at token 2, model.&lt;b&gt;"), "{section}");
    assert!(section.contains("<svg") && !page.contains("<b>layers"), "{section}");
    assert!(page.contains("An audit: every module was waited for"));
}

/// Nothing is said of how long a phase took.
fn is_untimed(case: &CaseView) -> bool {
    let mut facts = case.narrative.details.iter().flat_map(|group| &group.facts);
    facts.all(|fact| !fact.name.starts_with("phase ") && fact.name != "whole process")
}

#[test]
fn nothing_of_an_audit_is_a_time() {
    let record = audited();
    let view = ReportView::new(&record);
    assert!(
        view.cases()
            .all(|case| case.ttft.measured().is_none() && case.tpot.measured().is_none())
    );
    assert!(view.cases().all(|case| is_untimed(case) && case.forecast.is_none()));
    assert!(!Chart::Latency.has_data(&view.scenarios[0].prompts[0]));
    let table = String::from_utf8(csv::render(&record).unwrap()).unwrap();
    let columns: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    for row in table.lines().skip(1).map(|row| row.split(',').collect::<Vec<&str>>()) {
        for time in [
            "load_s",
            "ttft_s",
            "tpot_s",
            "e2e_s",
            "prefill_tokens_per_s",
            "decode_tokens_per_s",
        ] {
            let at = columns.iter().position(|column| *column == time).unwrap();
            assert_eq!(row[at], "", "{time}");
        }
    }
}

#[test]
fn markdown_and_pictures_have_their_part() {
    let record = audited();
    let text = markdown::render(&ReportView::new(&record));
    let line = text
        .lines()
        .find(|line| line.starts_with("audit/tiny/story/auto: "))
        .unwrap();
    assert!(
        line.contains("parts from single at decode token 2") && line.contains("&lt;b&gt;"),
        "{line}"
    );
    let picture = |record: &RunRecord| {
        let all = artifacts(record).unwrap();
        all.iter().any(|artifact| artifact.path.ends_with("-audit.png"))
    };
    assert!(picture(&record));
    assert!(!picture(&sample::sample()), "a run that was not audited has none");
    let plain = html::render(&ReportView::new(&sample::sample())).unwrap();
    assert!(!plain.contains("class=\"audit\""));
}

#[test]
fn the_grid_shows_what_was_compared_and_marks_the_place() {
    let view = ReportView::new(&audited());
    let prompt = &view.scenarios[0].prompts[0];
    let scene = Chart::Audit.bare(&view, prompt, 800.0);
    for words in [
        "the same bits",
        "another output",
        "parts at token 2",
        "11 modules × 4 tokens, beside single",
    ] {
        assert!(scene.marks.iter().any(|mark| mark.says(words)), "{words}");
    }
    assert!(
        !scene.marks.iter().any(|mark| mark.says("within rounding")),
        "nothing of the kind is there"
    );
}

/// The diagram of placements names the place too, of the placement that is to blame and of no other.
#[test]
fn the_diagram_marks_the_first_module_that_differs() {
    let view = ReportView::new(&audited());
    let prompt = &view.scenarios[0].prompts[0];
    let broken: Vec<_> = prompt.cases.iter().map(|case| &case.placed.broken).collect();
    assert_eq!(*broken[0], None);
    let broken = broken[1].as_ref().unwrap();
    assert_eq!((broken.at, broken.is_hop, broken.is_cut_short), (6, false, false));
    let scene = Chart::Placement.bare(&view, prompt, 1080.0);
    assert!(
        scene
            .marks
            .iter()
            .any(|mark| mark.says("parts from single here: token 2"))
    );
}

#[test]
fn a_trail_with_holes_gives_a_whole_report() {
    for keep in 0..12 {
        let mut record = audited();
        for attempt in &mut record.attempts {
            for step in &mut attempt.audit {
                step.entries.truncate(keep);
            }
            attempt.audit.truncate(keep % 5);
        }
        let page = html::render(&ReportView::new(&record)).unwrap();
        assert!(page.ends_with("</html>"), "{keep}");
    }
}

//! What a page says first: findings, what is best, failures told once; and that it stays small, whole and without a script.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod sample;

use std::collections::HashSet;

use placebench_core::device::DeviceId;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::record::RunRecord;
use placebench_report::format::html;
use placebench_report::view::overview::problems;
use placebench_report::view::{PromptView, ReportView};

fn single() -> DeviceMapRequest {
    DeviceMapRequest::Single(DeviceId::cpu())
}

/// A prompt with one completed case for each time per token, so many attempts each; `spread` is how far attempts differ.
fn add_prompt(record: &mut RunRecord, scenario: &str, attempts: u32, spread: f64, placements: &[(&str, f64)]) {
    for (placement, tpot_s) in placements {
        let mut spec = sample::spec(scenario, "story", placement, single());
        spec.measure.repetitions = attempts;
        let case = spec.case.clone();
        sample::completed(
            record,
            spec,
            &sample::realised(0, "sim:0", "sim:1"),
            sample::TEXT,
            3.0 * tpot_s,
            *tpot_s,
        );
        let template = record
            .attempts
            .iter()
            .find(|attempt| attempt.case == case)
            .unwrap()
            .clone();
        record.attempts.retain(|attempt| attempt.case != case);
        for number in 0..attempts {
            // Up and down by turns, and never the same twice.
            let noise = 1.0 + spread * (f64::from(number % 2) - 0.5) + spread * 0.01 * f64::from(number);
            let mut attempt = template.clone();
            attempt.attempt = number;
            attempt.generations.truncate(1);
            for stamp in attempt
                .generations
                .iter_mut()
                .flat_map(|generation| &mut generation.token_stamps_s)
            {
                *stamp *= noise;
            }
            record.attempts.push(attempt);
        }
    }
}

fn first_prompt(view: &ReportView) -> &PromptView {
    &view.scenarios[0].prompts[0]
}

/// The placements marked as having the least time per token.
fn firsts(view: &ReportView) -> Vec<&str> {
    let marked = view.cases().filter(|case| case.overview.is_first_tpot);
    marked.map(|case| case.placement.as_str()).collect()
}

fn answer_of(view: &ReportView, name: &str) -> String {
    let found = view.answers.iter().find(|answer| answer.name == name);
    found.map(|answer| answer.value.clone()).unwrap_or_default()
}

#[test]
fn only_what_is_certain_is_called_fastest() {
    let placements = [("slow", 0.02), ("quick", 0.01)];
    let view = |attempts, spread, placements: &[(&str, f64)]| {
        let mut record = sample::empty();
        add_prompt(&mut record, "speeds", attempts, spread, placements);
        ReportView::new(&record)
    };

    let certain = view(16, 0.01, &placements);
    assert_eq!(firsts(&certain), ["quick"]);
    let answer = &first_prompt(&certain).overview.answer;
    assert!(
        answer.starts_with("quick is fastest, 10.") && answer.contains(" a token: slow 2 times as slow"),
        "{answer}"
    );
    assert_eq!(
        answer_of(&certain, "Speed"),
        "quick is fastest in 1 of 1 comparable prompt"
    );

    let few = view(3, 0.01, &placements);
    assert!(firsts(&few).is_empty());
    let answer = &first_prompt(&few).overview.answer;
    assert!(
        answer.contains("(too few repetitions to be sure)") && !answer.contains("fastest"),
        "{answer}"
    );
    assert!(answer_of(&few, "Speed").contains("too few repetitions"));

    let close = view(16, 0.3, &[("one", 0.0100), ("other", 0.0101)]);
    assert!(firsts(&close).is_empty());
    let answer = &first_prompt(&close).overview.answer;
    assert!(!answer.contains("fastest"), "{answer}");

    // A single placement is compared with nothing.
    let alone = view(16, 0.01, &placements[..1]);
    assert!(firsts(&alone).is_empty());
    assert_eq!(answer_of(&alone, "Speed"), "");
}

#[test]
fn a_wrong_text_and_other_work_are_never_first() {
    let mut record = sample::empty();
    add_prompt(
        &mut record,
        "speeds",
        16,
        0.01,
        &[("single", 0.02), ("manual", 0.03), ("wrong", 0.01)],
    );
    let wrong = record
        .verdict
        .cases
        .iter_mut()
        .find(|verdict| verdict.case.ends_with("/wrong"))
        .unwrap();
    wrong.text = placebench_core::record::TextVerdict::Diverged;
    assert_eq!(firsts(&ReportView::new(&record)), ["single"]);

    let mut record = sample::empty();
    add_prompt(
        &mut record,
        "speeds",
        16,
        0.01,
        &[("single", 0.02), ("manual", 0.03), ("mocked", 0.01)],
    );
    let mocked = record
        .info
        .cases
        .iter_mut()
        .find(|case| case.placement == "mocked")
        .unwrap();
    mocked.engine = "another engine".into();
    assert_eq!(firsts(&ReportView::new(&record)), ["single"]);
}

#[test]
fn a_prompt_says_what_broke_and_where() {
    let view = ReportView::new(&sample::sample());
    let answer = |scenario: &str| {
        let scenario = view.scenarios.iter().find(|found| found.name == scenario).unwrap();
        scenario.prompts[0].overview.answer.clone()
    };
    let broken = answer("regressions/broken-hop");
    assert!(
        broken.starts_with("auto stalled at model.layers.3 → model.layers.4, manual: the text diverged"),
        "{broken}"
    );
    let right = answer("placement/three-ways");
    assert!(
        right.contains("a near tie in manual") && right.contains("manual has the lowest peak, 872 KiB on sim:1"),
        "{right}"
    );
    assert!(answer_of(&view, "What broke").starts_with("auto stalled at model.layers.3"));
}

#[test]
fn failures_of_one_cause_are_told_once() {
    let mut record = sample::sample();
    let stalled = "regressions/broken-hop/story/auto";
    let spec = record
        .info
        .cases
        .iter()
        .find(|case| case.case == stalled)
        .unwrap()
        .clone();
    let verdict = record.verdict_of(stalled).unwrap().clone();
    for number in 0..39 {
        let mut spec = spec.clone();
        spec.scenario = format!("again-{number}");
        spec.case = format!("again-{number}/story/auto");
        let mut verdict = verdict.clone();
        verdict.case = spec.case.clone();
        verdict.sentence = verdict.sentence.replace("2.01 s", &format!("2.{number:02} s"));
        record.info.cases.push(spec);
        record.verdict.cases.push(verdict);
    }
    let view = ReportView::new(&record);
    let failed = view.cases().filter(|case| case.status == "failed");
    let entries = problems::entries(failed);
    let of_stall: Vec<_> = entries.iter().filter(|entry| entry.outcome == "stalled").collect();
    assert_eq!(of_stall.len(), 1);
    assert_eq!(of_stall[0].others.len(), 39);
    assert!(entries.len() > 3, "other causes have their own entries");
    let page = html::render(&view).unwrap();
    assert!(page.contains("The same in 39 other cases") && page.contains("again-38&#x2f;story&#x2f;auto"));
}

/// The text between two marks.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let rest = page.split_once(from).unwrap().1;
    rest.split_once(to).unwrap().0
}

#[test]
fn the_page_carries_its_figures() {
    let record = sample::sample();
    let page = html::render(&ReportView::new(&record)).unwrap();
    let json = between(&page, "<script type=\"application/json\" id=\"data\">", "</script>");
    assert!(!json.contains(['<', '>', '&']));
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    let cases = data["cases"].as_array().unwrap();
    assert_eq!(cases.len(), record.info.cases.len());
    let case = |name: &str| cases.iter().find(|case| case["case"] == name).unwrap();
    let right = case("placement/three-ways/story/manual");
    let recorded = &record.verdict_of("placement/three-ways/story/manual").unwrap().metrics;
    assert_eq!(right["tpot_s"].as_f64(), recorded.tpot_s);
    assert_eq!(right["peak_device"], "sim:1");
    let wrong = case("regressions/broken-hop/story/manual");
    assert!(wrong["ttft_s"].is_null() && wrong["tpot_s"].is_null() && wrong["e2e_s"].is_null());
    assert_eq!(
        (wrong["differs"].as_bool(), wrong["text"].as_str()),
        (Some(true), Some("diverged"))
    );
    let anchors = cases.iter().map(|case| case["anchor"].as_str().unwrap());
    assert!(
        anchors
            .into_iter()
            .all(|anchor| page.contains(&format!(" id=\"{anchor}\"")))
    );
}

#[test]
fn the_formats_page_has_every_key_of_the_figures() {
    let page = include_str!("../FORMATS.md");
    let section = between(page, "### `report.html`", "\n## ");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let documented: HashSet<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .collect();
    let html = html::render(&ReportView::new(&sample::sample())).unwrap();
    let json = between(&html, "id=\"data\">", "</script>");
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    let keys = |value: &serde_json::Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let written: Vec<String> = [keys(&data), keys(&data["cases"][0])].concat();
    let written: HashSet<&str> = written.iter().map(String::as_str).collect();
    assert_eq!(documented, written);
}

#[test]
fn prompts_are_folded_where_a_run_is_large_and_they_are_fine() {
    let run = |prompts: usize| {
        let mut record = sample::empty();
        for number in 0..prompts {
            add_prompt(&mut record, &format!("scenario-{number}"), 1, 0.0, &[("single", 0.01)]);
        }
        let broken = record.verdict.cases.last_mut().unwrap();
        broken.status = placebench_core::record::CaseStatus::Failed;
        html::render(&ReportView::new(&record)).unwrap()
    };
    let folds = |page: &str| -> Vec<bool> {
        let folds = page.split("<details class=\"prompt-fold\"").skip(1);
        folds
            .map(|fold| fold.split_once('>').unwrap().0.ends_with(" open"))
            .collect()
    };
    assert_eq!(folds(&run(6)), [true; 6]);
    let large = folds(&run(7));
    assert_eq!(
        large,
        [false, false, false, false, false, false, true],
        "only what broke is open"
    );
}

#[test]
fn many_placements_have_a_row_each_and_few_a_column() {
    let page = |placements: usize| {
        let mut record = sample::empty();
        for number in 0..placements {
            let name = format!("placement number {number:02} with a name of about sixty characters!");
            add_prompt(&mut record, "many", 1, 0.0, &[(&name, 0.01)]);
        }
        html::render(&ReportView::new(&record)).unwrap()
    };
    for (placements, is_matrix) in [(1, true), (3, true), (4, true), (5, false), (8, false), (30, false)] {
        let page = page(placements);
        assert_eq!(page.contains("<table class=\"matrix\">"), is_matrix, "{placements}");
        assert_eq!(page.contains("<table class=\"rows\">"), !is_matrix, "{placements}");
        let overview = between(&page, "id=\"h-overview\"", "id=\"h-cases\"");
        assert_eq!(overview.matches("data-case=").count(), placements);
    }
}

/// Fifty cases as a suite leaves them: all that the sample holds, again and again under other names.
fn fifty_cases() -> RunRecord {
    let sample = sample::sample();
    let mut record = sample.clone();
    for round in 0.. {
        for spec in &sample.info.cases {
            if record.info.cases.len() == 50 {
                return record;
            }
            let scenario = format!("round-{round}/{}", spec.scenario);
            let case = format!("{scenario}/{}/{}", spec.prompt, spec.placement);
            let attempts = sample
                .attempts
                .iter()
                .filter(|attempt| attempt.case == spec.case)
                .cloned();
            record.attempts.extend(attempts.map(|mut attempt| {
                attempt.case.clone_from(&case);
                attempt
            }));
            record
                .verdict
                .cases
                .extend(sample.verdict_of(&spec.case).cloned().map(|mut verdict| {
                    verdict.case.clone_from(&case);
                    verdict
                }));
            let mut spec = spec.clone();
            (spec.case, spec.scenario) = (case, scenario);
            record.info.cases.push(spec);
        }
    }
    record
}

#[test]
fn fifty_cases_are_less_than_two_mebibytes_and_the_same_bytes_twice() {
    let record = fifty_cases();
    let page = html::render(&ReportView::new(&record)).unwrap();
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    assert_eq!(page, html::render(&ReportView::new(&record)).unwrap());
}

/// The bytes of some Base64.
fn decoded(base64: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = Vec::new();
    for c in base64.trim_end_matches('=').chars() {
        let sextet = ALPHABET.find(c).unwrap();
        bits.extend((0..6).rev().map(|bit| sextet >> bit & 1));
    }
    let byte = |bits: &[usize]| u8::try_from(bits.iter().fold(0, |byte, bit| byte << 1 | *bit)).unwrap();
    bits.chunks_exact(8).map(byte).collect()
}

#[test]
fn the_policy_allows_exactly_the_script() {
    use sha2::{Digest, Sha256};
    let page = html::render(&ReportView::new(&sample::sample())).unwrap();
    let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\">");
    let scripts = between(policy, "script-src ", ";");
    let hash = scripts.strip_prefix("'sha256-").unwrap().strip_suffix('\'').unwrap();
    let script = between(&page, "<script>", "</script>");
    assert_eq!(decoded(hash), Sha256::digest(script.as_bytes()).as_slice());
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    let attributes = page
        .split('<')
        .filter_map(|piece| piece.split_once('>'))
        .map(|(tag, _)| tag);
    let tags = attributes.filter(|tag| tag.starts_with(|c: char| c.is_ascii_lowercase()));
    let handlers = tags.filter(|tag| {
        [" onclick=", " onload=", " oninput="]
            .iter()
            .any(|handler| tag.contains(handler))
    });
    assert_eq!(handlers.count(), 0);
}

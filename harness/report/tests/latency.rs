//! Latencies in the order of the tokens, how they are spread, and what the first token waits for.

#![expect(clippy::unwrap_used, reason = "test code")]

mod sample;

use placebench_core::outcome::Phase;
use placebench_core::protocol::{FinishReason, Generation};
use placebench_core::record::{PhaseSpan, RunRecord, TextVerdict};
use placebench_report::format::html;
use placebench_report::plot::Chart;
use placebench_report::plot::scene::{Mark, Scene};
use placebench_report::view::gaps::Gaps;
use placebench_report::view::{CaseView, PromptView, ReportView};
use sample::latency::{even, paused, stalled, stamped};

const OURS: [Chart; 3] = [Chart::Latency, Chart::Tokens, Chart::FirstToken];

fn view(record: &RunRecord) -> ReportView {
    ReportView::new(record)
}

fn prompt(view: &ReportView) -> &PromptView {
    &view.scenarios[0].prompts[0]
}

fn case<'a>(view: &'a ReportView, placement: &str) -> &'a CaseView {
    view.cases().find(|case| case.placement == placement).unwrap()
}

fn says(scene: &Scene, words: &str) -> bool {
    scene.marks.iter().any(|mark| mark.says(words))
}

fn tokens(record: &RunRecord) -> Scene {
    let view = view(record);
    Chart::Tokens.bare(&view, prompt(&view), 1080.0)
}

#[test]
fn a_pause_is_named_and_evenness_is_not() {
    let record = stamped(&[
        ("single", vec![even(24, 0.01); 6]),
        ("auto", vec![paused(24, 0.01, 17, 0.4); 6]),
    ]);
    let scene = tokens(&record);
    assert!(says(&scene, "token 17: 400 ms, 40 × the median"), "{scene:?}");
    let named = scene.marks.iter().filter(|mark| mark.says("× the median")).count();
    assert_eq!(
        named, 1,
        "six pauses of one token are named once, and the even placement has none"
    );
    assert_eq!(
        prompt(&view(&record)).tokens_title,
        "auto paused before token 17: 400 ms, 40 × its median gap"
    );
    let even = stamped(&[("single", vec![even(24, 0.01); 6])]);
    assert!(!tokens(&even).marks.iter().any(|mark| mark.says("× the median")));
    assert!(prompt(&view(&even)).tokens_title.starts_with("Tokens come evenly"));
}

#[test]
fn the_reference_is_marked() {
    let view = view(&stamped(&[
        ("auto", vec![even(4, 0.01); 2]),
        ("single", vec![even(4, 0.01); 2]),
    ]));
    for chart in OURS {
        let scene = chart.bare(&view, prompt(&view), 1080.0);
        assert!(
            says(&scene, "single (reference)") && !says(&scene, "auto (reference)"),
            "{chart:?}"
        );
    }
    let alone = self::view(&stamped(&[("single", vec![even(4, 0.01); 2])]));
    assert!(!says(
        &Chart::Tokens.bare(&alone, prompt(&alone), 1080.0),
        "(reference)"
    ));
}

#[test]
fn a_slow_drift_is_the_title_of_its_prompt() {
    let growing = |growth: f64| -> Vec<f64> {
        let mut stamp = 0.03;
        let gap = |at: u32| 0.01 * (1.0 + growth * f64::from(at) / 40.0);
        (0..40).map(|at| (stamp, stamp += gap(at)).0).collect()
    };
    let title = |growth: f64| {
        prompt(&view(&stamped(&[("single", vec![growing(growth); 3])])))
            .tokens_title
            .clone()
    };
    assert_eq!(title(1.0), "single slows down: the last gaps are 1.7 × the first");
    assert!(title(0.1).starts_with("Tokens come evenly"), "{}", title(0.1));
}

#[test]
fn a_hang_ends_its_band() {
    let record = stalled(3, TextVerdict::Unchecked);
    let scene = tokens(&record);
    assert!(
        says(&scene, "no token for 2.05 s after token 3 of a warm-up"),
        "{scene:?}"
    );
    assert_eq!(
        prompt(&view(&record)).tokens_title,
        "auto: no token for 2.05 s after 3 tokens of a warm-up"
    );
    let seen = view(&record);
    let table = prompt(&seen).gap_table.as_ref().unwrap();
    assert_eq!(table.columns, ["single, ms", "auto, ms"]);
    assert_eq!(table.rows[0].cells[1], "10.0, cut off later");
    assert_eq!((table.rows.len(), table.rows[2].cells[1].as_str()), (23, ""));
    let mut later = record.clone();
    let span = |start_s: f64| PhaseSpan {
        phase: Phase::Prefill,
        start_s,
        end_s: Some(start_s),
    };
    later.attempts.last_mut().unwrap().phases.push(span(1.0));
    assert!(says(&tokens(&later), "no token for 2.05 s after token 3"));
    assert!(!says(&tokens(&later), "warm-up"));
    // One token has no gap, but there is still something to say.
    assert!(says(&tokens(&stalled(1, TextVerdict::Unchecked)), "after token 1"));
}

#[test]
fn what_is_no_speed_is_not_drawn() {
    let drawn = |scene: &Scene| {
        let is_point = |mark: &&Mark| matches!(mark, Mark::Dots { .. } | Mark::Path { .. } | Mark::Hover { .. });
        scene.marks.iter().filter(is_point).count()
    };
    let mut wrong = stamped(&[("single", vec![even(24, 0.01); 3])]);
    wrong.verdict.cases[0].text = TextVerdict::Diverged;
    let mut beside = stamped(&[("single", vec![even(24, 0.01); 3])]);
    beside.attempts.iter_mut().for_each(|attempt| attempt.concurrent = 3);
    let mut audited = stamped(&[("single", vec![even(24, 0.01); 3])]);
    audited.info.cases[0].audit = sample::sample()
        .info
        .cases
        .iter()
        .find_map(|spec| spec.audit)
        .or(Some(serde_json::from_str("{}").unwrap()));
    for (record, why) in [
        (&wrong, "invalid: text diverged"),
        (&beside, "not measured: ran beside others"),
        (&audited, "an audit is not timed"),
    ] {
        let view = view(record);
        for chart in OURS {
            let scene = chart.bare(&view, prompt(&view), 800.0);
            assert!(says(&scene, why), "{chart:?}: {why}");
            assert_eq!(drawn(&scene), 0, "{chart:?}: {why}");
            assert!(
                !chart.has_data(prompt(&view)) || chart == Chart::Latency,
                "{chart:?}: {why}"
            );
        }
        assert!(case(&view, "single").latency.spread.is_empty(), "{why}");
        assert_eq!(prompt(&view).gap_table, None, "{why}");
    }
    let page = html::render(&view(&beside)).unwrap();
    assert!(page.contains("No latency is shown. single: not measured: ran beside others."));
    let sound = view(&stamped(&[("single", vec![even(24, 0.01); 3])]));
    assert_eq!(prompt(&sound).untimed, "");
    assert!(drawn(&Chart::Tokens.bare(&sound, prompt(&sound), 800.0)) > 0);
    // A hang of which the text is wrong shows no time either.
    assert!(matches!(
        case(&view(&stalled(3, TextVerdict::Garbage)), "auto").latency.gaps,
        Gaps::Invalid(_)
    ));
}

#[test]
fn one_token_has_no_gap_and_two_have_one() {
    let view = view(&stamped(&[
        ("one", vec![even(1, 0.01); 3]),
        ("two", vec![even(2, 0.01); 3]),
    ]));
    let scene = Chart::Tokens.bare(&view, prompt(&view), 800.0);
    assert!(
        says(&scene, "a single token has no gap") && says(&scene, "median 10.0 ms · 3 generations · ended by length")
    );
    assert!(matches!(&case(&view, "one").latency.gaps, Gaps::Missing(why) if why == "a single token has no gap"));
    assert_eq!(case(&view, "two").latency.gaps.series().unwrap().tokens.len(), 1);
    let rows = &prompt(&view).gap_table.as_ref().unwrap().rows;
    assert_eq!(
        (rows.len(), rows[0].token, rows[0].cells.as_slice()),
        (1, 2, ["10.0 (10.0–10.0)".to_owned()].as_slice())
    );
}

/// However many tokens there are, a single long gap is seen, named, in the table, and what is not there is counted.
#[test]
fn outliers_of_long_texts_never_vanish() {
    for tokens in [1000, 4096] {
        for token in [2, 3, 500, tokens - 1, tokens] {
            let mut generations = vec![even(tokens, 0.01); 5];
            generations.push(paused(tokens, 0.01, token, 0.48));
            let view = view(&stamped(&[("single", generations)]));
            let prompt = prompt(&view);
            for width in [340.0, 800.0, 1080.0] {
                let scene = Chart::Tokens.bare(&view, prompt, width);
                assert!(
                    says(&scene, &format!("token {token}: 480 ms, 48 × the median")),
                    "{tokens} {token} {width}"
                );
                let points: usize = scene
                    .marks
                    .iter()
                    .map(|mark| match mark {
                        Mark::Dots { at, .. } | Mark::Path { at, .. } => at.len(),
                        _ => 0,
                    })
                    .sum();
                assert!(points < 2500, "{points}");
            }
            let latency = Chart::Latency.bare(&view, prompt, 1080.0);
            assert!(says(&latency, "1 beyond: 480 ms"), "{latency:?}");
            let table = prompt.gap_table.as_ref().unwrap();
            assert!(
                table
                    .rows
                    .iter()
                    .any(|row| row.token == token && row.cells[0].contains("480")),
                "{token}"
            );
            assert_eq!(table.rows.len(), 63 + 10);
            assert!(
                table
                    .rest
                    .contains(&format!("{} more are in attempts.jsonl", tokens - 1 - 73)),
                "{}",
                table.rest
            );
        }
    }
}

#[test]
fn placements_far_apart_have_scales_of_their_own() {
    let heading = |slow: f64| {
        let record = stamped(&[("single", vec![even(24, 0.01); 2]), ("auto", vec![even(24, slow); 2])]);
        let scene = tokens(&record);
        (says(&scene, "on the same scale"), says(&scene, "a scale of its own"))
    };
    assert_eq!(heading(0.02), (true, false));
    assert_eq!(heading(0.2), (false, true));
}

#[test]
fn percentiles_are_those_of_numpy_where_there_are_enough_values() {
    let first = |values: &[f64]| {
        let record = stamped(&[("single", values.iter().map(|value| vec![*value]).collect())]);
        case(&view(&record), "single").latency.spread[0].clone()
    };
    let few = first(&[0.3, 0.1, 0.4, 0.1, 0.5, 0.9]);
    // numpy.percentile([.3, .1, .4, .1, .5, .9], 50) = 0.35; mean 0.38333; std(ddof=1) / mean = 0.7807
    assert_eq!((few.name, few.n), ("time to first token", 6));
    assert_eq!(
        few.words,
        ["100 ms", "350 ms", "–", "–", "900 ms", "383 ms", "78.1 %"].map(String::from)
    );
    let one = first(&[0.3]);
    assert_eq!(
        one.words,
        ["300 ms", "300 ms", "–", "–", "300 ms", "300 ms", "–"].map(String::from)
    );
    // Gaps of 1 to 120 ms: numpy.percentile(range(1, 121), [50, 90, 99]) = 60.5, 108.1, 118.81
    let mut stamps = vec![0.5];
    stamps.extend((1..=120_u32).scan(0.5, |stamp, gap| {
        *stamp += f64::from(gap) * 1e-3;
        Some(*stamp)
    }));
    let record = stamped(&[("single", vec![stamps])]);
    let gaps = case(&view(&record), "single").latency.spread[1].clone();
    assert_eq!((gaps.name, gaps.n), ("gap between tokens", 120));
    assert_eq!(gaps.words[1..4], ["60.5 ms", "108 ms", "119 ms"].map(String::from));
}

#[test]
fn the_first_token_is_split_as_far_as_it_was_measured() {
    let mut record = stamped(&[("auto", vec![even(4, 0.01); 3])]);
    let title = |record: &RunRecord| prompt(&view(record)).first_token_title.clone();
    assert_eq!(
        title(&record),
        "Ready to generate after 300 ms; the first token 30.0 ms later"
    );
    let scene = |record: &RunRecord| {
        let view = view(record);
        Chart::FirstToken.bare(&view, prompt(&view), 1080.0)
    };
    assert!(says(&scene(&record), "stages not measured"));
    let places: Vec<_> = sample::realised(4, "sim:0", "sim:1")
        .into_iter()
        .map(|module| (module.module, module.device))
        .collect();
    for attempt in &mut record.attempts {
        attempt.places.clone_from(&places);
        for generation in &mut attempt.generations {
            generation.stage_times_s = vec![vec![0.012, 0.009, 0.006]; 4];
        }
    }
    assert_eq!(
        title(&record),
        "auto waits 30 % of its 30.0 ms to the first token for hops"
    );
    let row = case(&view(&record), "auto").latency.first_token_row.clone();
    assert_eq!(
        row.parts,
        "sim:0 12.0 ms (40 %), hop sim:0 → sim:1 9.00 ms (30 %), sim:1 6.00 ms (20 %), other 3.00 ms (10 %)"
    );
    assert_eq!(row.phases, ["10.0 ms", "–", "–", "290 ms", "–"].map(String::from));
    assert_eq!(row.before, "300 ms");
    let scene = scene(&record);
    assert!(says(&scene, "read and place weights") && !says(&scene, "stages not measured"));
    // To scale: the stage that takes twice as long is twice as wide.
    let width = |wanted: &str| {
        let hover = scene.marks.iter().find_map(|mark| match mark {
            Mark::Hover { w, text, .. } if text.starts_with(wanted) => Some(*w),
            _ => None,
        });
        hover.unwrap()
    };
    assert!((width("sim:0") / width("sim:1:") - 2.0).abs() < 0.01);
}

#[test]
fn tokens_are_named_by_their_text_where_all_agree() {
    let mut record = stamped(&[("single", vec![even(3, 0.01); 2])]);
    let texts = |generation: &mut Generation| {
        generation.text = "a\u{202e}<b>c".into();
        generation.text_offsets = vec![1, 7, 8];
    };
    record
        .attempts
        .iter_mut()
        .flat_map(|attempt| &mut attempt.generations)
        .for_each(texts);
    let text = |record: &RunRecord| prompt(&view(record)).gap_table.as_ref().unwrap().rows[0].text.clone();
    assert_eq!(text(&record), "“⟨U+202E⟩<b>”");
    let page = html::render(&view(&record)).unwrap();
    assert!(!page.contains("<b>c") && page.contains("⟨U+202E⟩&lt;b&gt;"));
    record.attempts[1].generations[0].output_ids[1] += 1;
    assert_eq!(text(&record), "differs between generations");
    // Offsets that are none are no reason to fail.
    record.attempts[1].generations[0].output_ids[1] -= 1;
    record.attempts[0].generations[0].text_offsets = vec![3, 1, 99];
    assert_eq!(text(&record), "id 1");
    record.attempts[0].generations[0].text = "x".repeat(100_000);
    record.attempts[0].generations[0].text_offsets = vec![0, 100_000, 100_000];
    assert!(text(&record).chars().count() < 60);
}

#[test]
fn gaps_and_tpot_are_told_apart_once() {
    let mut record = sample::sample();
    record.info.cases.reverse();
    let page = html::render(&view(&record)).unwrap();
    assert_eq!(page.matches("class=\"muted gap-and-tpot\"").count(), 1);
    assert!(
        !html::render(&view(&sample::empty()))
            .unwrap()
            .contains("gap-and-tpot\"")
    );
}

#[test]
fn why_generations_ended_is_said() {
    let mut record = stamped(&[("single", vec![even(9, 0.01); 3])]);
    record.attempts[1].generations[0].finish_reason = FinishReason::Eos;
    assert!(says(&tokens(&record), "3 generations · ended by eos or length"));
}

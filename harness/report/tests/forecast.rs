//! Prediction beside measurement, over a run that has every kind of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod sample;

use placebench_core::judge::judge;
use placebench_core::record::RunRecord;
use placebench_report::artifacts;
use placebench_report::format::{csv, html};
use placebench_report::plot::palette::Paint;
use placebench_report::plot::scene::{Mark, Scene};
use placebench_report::plot::{Chart, PNG_WIDTH};
use placebench_report::view::forecast::ForecastView;
use placebench_report::view::{CaseView, PromptView, ReportView};

fn view() -> ReportView {
    ReportView::new(&sample::forecast::sample())
}

fn prompt(view: &ReportView) -> &PromptView {
    &view.scenarios[0].prompts[0]
}

fn case<'a>(view: &'a ReportView, placement: &str) -> &'a CaseView {
    view.cases().find(|case| case.placement == placement).unwrap()
}

fn forecast<'a>(view: &'a ReportView, placement: &str) -> &'a ForecastView {
    case(view, placement).forecast.as_ref().unwrap()
}

/// Predicted, measured and ratio of every part of a step.
fn terms(forecast: &ForecastView, step: usize) -> Vec<[&str; 4]> {
    let terms = forecast.steps[step].terms.iter();
    terms
        .map(|term| [term.name.as_str(), &term.predicted, &term.measured, &term.ratio])
        .collect()
}

/// The run with the cases for which `keep` is true, judged again.
fn only(keep: impl Fn(&str) -> bool) -> RunRecord {
    let mut record = sample::forecast::sample();
    record.info.cases.retain(|spec| keep(&spec.placement));
    record
        .attempts
        .retain(|attempt| record.info.cases.iter().any(|spec| spec.case == attempt.case));
    record.verdict = judge(&record.info, &record.attempts, &Default::default(), true);
    record
}

#[test]
fn findings_are_sentences() {
    let view = view();
    let sentences: Vec<(&str, &str)> = view
        .cases()
        .map(|case| {
            (
                case.placement.as_str(),
                case.forecast.as_ref().unwrap().sentence.as_str(),
            )
        })
        .collect();
    insta::assert_debug_snapshot!(sentences);
}

#[test]
fn titles_state_how_good_the_predictions_were() {
    let title = |keep: &dyn Fn(&str) -> bool| ReportView::new(&only(keep)).scenarios[0].prompts[0].steps_title.clone();
    assert_eq!(
        title(&|name| ["fastest", "zigzag"].contains(&name)),
        "One device works at a time: sim:1 of zigzag idles 79 % of a token's time; its hops take 21 %, the most. Each token \
         took from 1.0 (zigzag) to 1.4 (fastest) times the predicted time"
    );
    assert_eq!(
        title(&|name| name == "fastest"),
        "One device works at a time: sim:0 idles 71 % of a token's time; hops take 7 %. Each token took 1.4 times the \
         predicted time"
    );
    assert_eq!(
        title(&|name| name == "zigzag"),
        "One device works at a time: sim:1 idles 79 % of a token's time; hops take 21 %. Each token took as long as predicted"
    );
    assert_eq!(
        title(&|name| ["fastest", "no rates"].contains(&name)),
        "One device works at a time: sim:0 of no rates idles 71 % of a token's time; its hops take 7 %, the most. Each token \
         of fastest took 1.4 times the predicted time"
    );
    assert_eq!(
        title(&|name| name == "no rates"),
        "One device works at a time: sim:0 idles 71 % of a token's time; hops take 7 %"
    );
    assert_eq!(
        title(&|name| name == "hung"),
        "Times were predicted, but none was measured"
    );
}

#[test]
fn every_part_is_held_against_its_prediction() {
    let view = view();
    let fastest = forecast(&view, "fastest");
    assert_eq!(
        terms(fastest, 1),
        [
            ["sim:0", "1.00 ms", "1.00 ms", "1.00"],
            ["sim:1", "1.20 ms", "2.20 ms", "1.83"],
            ["hop sim:0 → sim:1", "200 µs", "250 µs", "1.25"],
            ["the rest", "–", "10.0 µs", "–"],
            ["whole step", "2.40 ms", "3.46 ms", "1.44"],
        ]
    );
    assert_eq!(fastest.chosen_for, "time per token");
    assert_eq!(case(&view, "fastest").placed.request, "optimal for tpot");
    let memory = &case(&view, "fastest").memory;
    let peaks: Vec<&str> = memory.iter().map(|device| device.difference.as_str()).collect();
    assert_eq!(peaks, ["+3.91 KiB (below 1 %)", "+195 KiB (+25 %)"]);
    // The stages of a device are one row, each stage a bar of its own.
    let zigzag = forecast(&view, "zigzag");
    assert_eq!(terms(zigzag, 1)[0], ["sim:0", "1.40 ms", "1.40 ms", "1.00"]);
    assert_eq!(
        zigzag.steps[1].terms[0].detail,
        "model.embed_tokens to model.layers.4 1.00 ms, predicted 1.00 ms; model.norm to lm_head 400 µs, predicted 400 µs"
    );
    let idle: Vec<&str> = zigzag.steps[1].terms.iter().map(|term| term.idle.as_str()).collect();
    assert_eq!(idle, ["42 %", "79 %", "", "", "", ""], "hops are nobody's work");
}

#[test]
fn a_chosen_placement_is_requested_as_a_whole() {
    let view = view();
    let placed = &case(&view, "fastest").placed;
    assert!(
        placed
            .modules
            .iter()
            .all(|module| module.requested.is_none() && module.resolved.is_some())
    );
    assert_eq!(placed.differences, 0, "nobody asked for a device of a module");
}

#[test]
fn without_rates_there_is_memory_and_a_way_to_rates() {
    let view = view();
    let no_rates = forecast(&view, "no rates");
    assert!(no_rates.needs_rates && !no_rates.has_prediction);
    assert!(
        case(&view, "no rates")
            .memory
            .iter()
            .all(|device| device.planned.is_some())
    );
    assert_eq!(terms(no_rates, 1)[1], ["sim:1", "–", "2.20 ms", "64 %"]);
    let page = html::render(&ReportView::new(&only(|name| name == "no rates"))).unwrap();
    assert!(
        page.contains("placebench doctor --format json &gt; machine.json") && page.contains("--rates machine.json")
    );
    assert!(!page.contains("Arithmetic"), "no column that would be empty");
    let rated = html::render(&ReportView::new(&only(|name| name == "fastest"))).unwrap();
    assert!(!rated.contains("--rates machine.json") && rated.contains("Arithmetic"));
}

#[test]
fn a_wrong_text_has_a_prediction_but_no_speed() {
    let record = sample::forecast::sample();
    let view = ReportView::new(&record);
    let wrong = forecast(&view, "wrong text");
    let verdict = record.verdict_of("forecast/all/story/wrong text").unwrap();
    assert!(!verdict.metrics.time_forecast.is_empty(), "there is something to hide");
    assert!(wrong.is_invalid && wrong.steps.len() == 2);
    for term in wrong.steps.iter().flat_map(|step| &step.terms) {
        assert_eq!(
            (term.measured_s, term.measured.as_str(), term.ratio.as_str()),
            (None, "–", "–")
        );
    }
    assert!(
        case(&view, "wrong text")
            .steps
            .iter()
            .all(|step| step.measured.is_empty())
    );
    assert!(
        case(&view, "wrong text")
            .memory
            .iter()
            .all(|device| device.peak.is_some()),
        "memory is no speed"
    );
    let scene = Chart::Steps.bare(&view, prompt(&view), 920.0);
    assert_eq!(
        scene
            .marks
            .iter()
            .filter(|mark| mark.says("invalid: text diverged"))
            .count(),
        2
    );
}

#[test]
fn what_is_not_known_is_not_compared() {
    let view = view();
    let measured = |placement: &str| -> Vec<bool> {
        let steps = &forecast(&view, placement).steps;
        steps[1].terms.iter().map(|term| term.measured_s.is_some()).collect()
    };
    assert_eq!(measured("hung"), [false; 5]);
    assert_eq!(measured("whole only"), [false, false, false, false, true]);
    let scene = Chart::Steps.bare(&view, prompt(&view), 920.0);
    assert!(scene.marks.iter().any(|mark| mark.says("stages not measured")));
    let timed = ReportView::new(&only(|name| name != "whole only"));
    let scene = Chart::Steps.bare(&timed, prompt(&timed), 920.0);
    assert!(!scene.marks.iter().any(|mark| mark.says("stages not measured")));
    assert_eq!(measured("other stages"), [false, false, false, false, true]);
    assert_eq!(
        case(&view, "other stages").steps[1].measured.len(),
        6,
        "what ran is drawn"
    );
    for term in &forecast(&view, "zero").steps[1].terms {
        assert_eq!(term.ratio, "–", "nothing is divided by zero: {term:?}");
    }
    let replanned = forecast(&view, "replanned");
    assert!(!replanned.has_prediction && !replanned.needs_rates);
    assert!(
        case(&view, "replanned")
            .memory
            .iter()
            .all(|device| device.planned.is_none())
    );
    let hung = &case(&view, "hung").memory;
    assert_eq!((hung[0].words[2].as_str(), hung[1].words[2].as_str()), ("785 KiB", "–"));
}

#[test]
fn old_records_have_no_forecast() {
    let record = sample::sample();
    let view = ReportView::new(&record);
    assert!(view.cases().all(|case| case.forecast.is_none()));
    let page = html::render(&view).unwrap();
    assert!(!page.contains("Stages and forecast of each placement"));
    assert!(page.contains("There is no timeline of stages: the engine does not time its stages."));
    let all = artifacts(&record).unwrap();
    assert!(all.iter().all(|artifact| !artifact.path.ends_with("-steps.png")));
    let all = artifacts(&only(|name| name == "fastest")).unwrap();
    assert_eq!(
        all.iter()
            .filter(|artifact| artifact.path.ends_with("-steps.png"))
            .count(),
        1
    );
}

#[test]
fn predictions_are_the_last_columns_of_the_table() {
    let table = String::from_utf8(csv::render(&sample::forecast::sample()).unwrap()).unwrap();
    let mut reader = ::csv::Reader::from_reader(table.as_bytes());
    let headers = reader.headers().unwrap().clone();
    assert_eq!((&headers[32], &headers[33]), ("predicted_ttft_s", "predicted_tpot_s"));
    let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let row = |placement: &str| rows.iter().find(|row| row[3] == *placement).unwrap();
    let seconds = |text: &str| text.parse::<f64>().unwrap();
    assert!((seconds(&row("fastest")[32]) - 9.6e-3).abs() < 1e-9);
    assert!((seconds(&row("fastest")[33]) - 2.4e-3).abs() < 1e-9);
    assert_eq!((&row("no rates")[32], &row("no rates")[33]), ("", ""));
    // A prediction is no measurement: a wrong text empties only what was measured.
    let tpot = headers.iter().position(|name| name == "tpot_s").unwrap();
    assert_eq!(&row("wrong text")[tpot], "");
    assert!(seconds(&row("wrong text")[33]) > 0.0);
}

/// Left and width of the filled rectangles of devices, of one height, in painting order.
fn bars(scene: &Scene, height: f64) -> Vec<(usize, f64, f64)> {
    let marks = scene.marks.iter();
    marks
        .filter_map(|mark| match mark {
            // Above are the samples of the legend.
            Mark::Rect {
                x,
                y,
                w,
                h,
                paint: Paint::Device(colour),
                ..
            } if (h - height).abs() < 1e-9 && *y > 24.0 => Some((*colour, *x, *w)),
            _ => None,
        })
        .collect()
}

#[test]
fn the_timeline_is_to_scale_and_in_order() {
    let view = ReportView::new(&only(|name| name == "fastest"));
    let scene = Chart::Steps.bare(&view, prompt(&view), 920.0);
    // Two panels, in each two stages: measured is filled, predicted is lower.
    let (measured, predicted) = (bars(&scene, 12.0), bars(&scene, 6.0));
    assert_eq!((measured.len(), predicted.len()), (4, 4));
    for panel in measured.chunks(2) {
        assert!(panel[0].0 != panel[1].0 && panel[0].1 < panel[1].1);
        assert!((panel[1].2 / panel[0].2 - 2.2).abs() < 1e-6, "{panel:?}");
    }
    for (measured, predicted) in measured.iter().zip(&predicted).skip(1).step_by(2) {
        assert!((measured.2 / predicted.2 - 2.2 / 1.2).abs() < 1e-6);
    }
    let zigzag = ReportView::new(&only(|name| name == "zigzag"));
    let scene = Chart::Steps.bare(&zigzag, prompt(&zigzag), 920.0);
    let colours: Vec<usize> = bars(&scene, 12.0).iter().map(|bar| bar.0).collect();
    assert_eq!(colours, [0, 1, 0, 0, 1, 0]);
    assert!(Chart::Steps.titled(&zigzag, prompt(&zigzag), PNG_WIDTH).unwrap().height > 100.0);
}

#[test]
fn hostile_names_are_only_names() {
    let page = html::render(&view()).unwrap();
    for raw in ["<script>alert('module')", "<img src=x>", "<b onclick", "\u{202e}"] {
        assert!(!page.contains(raw), "{raw}");
    }
    assert!(page.contains("⟨U+202E⟩") && page.contains("&lt;&#x2f;table&gt;"));
    let view = view();
    let hostile = case(&view, "</summary><b onclick=x>");
    let name = &hostile.forecast.as_ref().unwrap().steps[0].terms[1].name;
    assert!(
        name.contains("more characters") && view.devices.contains(name),
        "{name}"
    );
}

/// The words of a section, one line a piece, so that a change of style changes no snapshot.
#[test]
fn words_of_a_forecast() {
    let page = html::render(&ReportView::new(&only(|name| ["fastest", "no rates"].contains(&name)))).unwrap();
    let from = page.find("<section class=\"forecast\"").unwrap();
    let until = from + page[from..].find("</section>").unwrap();
    let mut words = String::new();
    for piece in page[from..until].split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        let text = text.trim();
        if !tag.starts_with("text ") && !text.is_empty() {
            words.push_str(text);
            words.push('\n');
        }
    }
    insta::assert_snapshot!(words);
}

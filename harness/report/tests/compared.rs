//! The placements of a prompt against its reference: what is judged, what is said, what is drawn.

mod sample;

use placebench_core::compare::{Change, GateSpec, compare_placements};
use placebench_core::record::{CaseStatus, IndexedRun, TextVerdict};
use placebench_report::format::{html, markdown};
use placebench_report::plot::palette::Paint;
use placebench_report::plot::scene::{Anchor, Mark, Scene};
use placebench_report::plot::{Chart, PNG_WIDTH, font};
use placebench_report::view::compared::{PEAK, THROUGHPUT, TPOT, TTFT};
use placebench_report::view::{PromptView, ReportView};
use sample::timed::run;

fn prompt(view: &ReportView) -> &PromptView {
    &view.scenarios[0].prompts[0]
}

#[test]
fn the_page_says_what_the_command_says() {
    let record = run(
        &[("single", 1.0), ("auto", 1.12), ("manual", 0.9), ("optimal", 1.0)],
        16,
    );
    let command = compare_placements(&IndexedRun::new(&record), None, None, &GateSpec::placements()).unwrap();
    assert_eq!(command.comparison.cases.len(), 3);
    let view = ReportView::new(&record);
    let rows = &prompt(&view).compared.rows;
    for case in &command.comparison.cases {
        let row = rows
            .iter()
            .find(|row| case.case.ends_with(&format!("/{}", row.placement)))
            .unwrap();
        for (cell, metric) in [(TTFT, "ttft_s"), (TPOT, "tpot_s")] {
            let timing = case
                .timings
                .iter()
                .find(|timing| timing.metric.as_str() == metric)
                .unwrap();
            let against = row.cells[cell].against.unwrap();
            assert_eq!(Some(against.ratio), timing.ratio, "{} {metric}", case.case);
            assert_eq!(against.interval, timing.ratio_interval);
            assert_eq!(against.change, Some(timing.change));
            assert_eq!(against.floor, timing.floor.log_ratio.exp());
            assert_eq!(row.cells[cell].verdict, timing.change.as_str().replace('_', " "));
        }
    }
    let verdicts: Vec<&str> = rows.iter().map(|row| row.cells[TPOT].verdict).collect();
    assert_eq!(verdicts, ["", "slower", "faster", "same"]);
    // Of a rate more is better, so its ratio is the other way round, and the verdict is said once.
    let rate = rows[1].cells[THROUGHPUT].against.unwrap();
    let time = rows[1].cells[TPOT].against.unwrap();
    assert!((rate.ratio * time.ratio - 1.0).abs() < 1e-12 && rows[1].cells[THROUGHPUT].verdict.is_empty());
    assert!(rows[0].is_reference && rows[0].cells[TPOT].against.is_none());
}

#[test]
fn titles_state_what_was_found() {
    let title = |placements: &[(&str, f64)], attempts| {
        let view = ReportView::new(&run(placements, attempts));
        prompt(&view).compared.title.clone()
    };
    let slower = title(&[("single", 1.0), ("auto", 1.12), ("manual", 1.3)], 16);
    assert!(
        slower.starts_with("single is fastest: auto 13 % longer per token (10 to 13 %)"),
        "{slower}"
    );
    assert!(slower.contains(", manual 29 % longer (29 to 32 %)"), "{slower}");
    let faster = title(&[("single", 1.0), ("auto", 0.8)], 16);
    assert!(
        faster.starts_with("auto is fastest: 20 % less time per token (1"),
        "{faster}"
    );
    assert!(faster.ends_with("than single"), "{faster}");
    let same = title(&[("single", 1.0), ("auto", 1.0)], 16);
    assert_eq!(same, "auto takes as long per token as single, within 2 %");
    let far = title(&[("single", 1.0), ("disk", 40.0)], 16);
    assert!(
        far.starts_with("single is fastest: disk 40.2 times as long per token ("),
        "{far}"
    );
    let few = title(&[("single", 1.0), ("auto", 1.12)], 1);
    assert_eq!(
        few,
        "Too few pairs for a verdict against single: auto 12 % longer per token"
    );
    let many: Vec<(String, f64)> = (0..30).map(|n| (format!("p{n}"), 1.0 + f64::from(n) / 10.0)).collect();
    let many: Vec<(&str, f64)> = many.iter().map(|(name, factor)| (name.as_str(), *factor)).collect();
    let many = title(&many, 2);
    assert!(
        many.starts_with("29 placements against p0 per token: 29 without a verdict, from 1.09 × (p1) to 3.87 × (p29)"),
        "{many}"
    );
    assert_eq!(title(&[("only", 1.0)], 6), "only takes 10.0 ms per token");
}

#[test]
fn too_few_pairs_have_no_interval_and_say_so() {
    for (attempts, words) in [(1, "1.12 ×, 1 pair"), (5, "1.13 ×, 5 pairs")] {
        let view = ReportView::new(&run(&[("single", 1.0), ("auto", 1.12)], attempts));
        let compared = &prompt(&view).compared;
        let cell = &compared.rows[1].cells[TPOT];
        assert!(cell.against.unwrap().interval.is_none());
        assert_eq!((cell.ratio_words.as_str(), cell.verdict), (words, "no verdict"));
        assert!(compared.notes[0].contains("set repetitions = "), "{:?}", compared.notes);
        let page = html::render(&view).unwrap();
        assert!(page.contains(words), "{words}");
    }
    let view = ReportView::new(&run(&[("single", 1.0), ("auto", 1.12)], 16));
    assert!(prompt(&view).compared.notes.is_empty());
}

#[test]
fn a_wrong_text_is_no_speed_and_a_missing_figure_says_why() {
    let mut record = run(&[("single", 1.0), ("auto", 0.5), ("manual", 1.0)], 16);
    record.verdict.cases[1].text = TextVerdict::Diverged;
    record.verdict.cases[1].status = CaseStatus::Failed;
    record.verdict.cases[2].metrics = Default::default();
    record.attempts.retain(|attempt| !attempt.case.ends_with("/manual"));
    let view = ReportView::new(&record);
    let compared = &prompt(&view).compared;
    assert_eq!(compared.rows[1].trouble, "invalid: text diverged");
    assert!(compared.rows[1].is_invalid && compared.rows[1].cells[TPOT].against.is_none());
    assert!(compared.rows[1].cells[THROUGHPUT].value.measured().is_none());
    assert!(
        compared.rows[1].cells[PEAK].value.measured().is_some(),
        "memory is no speed"
    );
    assert_eq!(compared.rows[2].trouble, "no attempt on record");
    assert_eq!(
        compared.title,
        "Only single has a speed: 10.0 ms per token; auto invalid, the text is wrong"
    );
    let scene = Chart::Compared.bare(&view, prompt(&view), 1080.0);
    let says = |words: &str| scene.marks.iter().any(|mark| mark.says(words));
    assert!(says("invalid: text diverged") && says("no attempt on record"));
    let text = markdown::render(&view);
    assert!(
        text.contains("| auto | failed | diverged | – | – | – |") && text.contains("invalid: text diverged |"),
        "{text}"
    );
    // Where the reference is wrong, nothing has a ratio, and values stay.
    record.verdict.cases[0].text = TextVerdict::Garbage;
    record.verdict.cases[1].text = TextVerdict::Exact;
    let view = ReportView::new(&record);
    let rows = &prompt(&view).compared.rows;
    assert!(rows[1].cells[TPOT].against.is_none() && rows[1].cells[TPOT].value.measured().is_some());
}

/// Left, right, top and bottom of a text.
fn bounds(mark: &Mark) -> Option<[f64; 4]> {
    let Mark::Text {
        at,
        text,
        size,
        weight,
        anchor,
        ..
    } = mark
    else {
        return None;
    };
    let width = font::width(text, *size, *weight);
    let left = match anchor {
        Anchor::Start => at.0,
        Anchor::Middle => at.0 - width / 2.0,
        Anchor::End => at.0 - width,
    };
    Some([left, left + width, at.1 - size * 0.75, at.1 + size * 0.2])
}

fn assert_clear(scene: &Scene, what: &str) {
    let texts: Vec<(&Mark, [f64; 4])> = scene
        .marks
        .iter()
        .filter_map(|mark| Some((mark, bounds(mark)?)))
        .collect();
    for (index, (mark, [left, right, top, bottom])) in texts.iter().enumerate() {
        let inside = *left >= -1.0 && *right <= scene.width + 1.0 && *top >= -1.0 && *bottom <= scene.height + 1.0;
        assert!(inside, "{what}: {mark:?} in {}×{}", scene.width, scene.height);
        for (other, [l, r, t, b]) in &texts[index + 1..] {
            let apart = right <= l || r <= left || bottom <= t || b <= top;
            assert!(apart, "{what}: {mark:?} and {other:?}");
        }
    }
}

#[test]
fn nothing_overlaps_and_nothing_is_cut_off() {
    let long = "a-placement-whose-name-goes-on-for-sixty-characters-and-more-x";
    let wide = "配置の名前はとても長いので省略されるはずです".repeat(3);
    let several: Vec<(String, f64)> = (0..30)
        .map(|n| (format!("placement-{n}"), 1.2_f64.powi(n - 8)))
        .collect();
    let several: Vec<(&str, f64)> = several.iter().map(|(name, factor)| (name.as_str(), *factor)).collect();
    let runs = [
        ("one", run(&[("only", 1.0)], 6)),
        ("two", run(&[("single", 1.0), ("auto", 1.12)], 16)),
        ("few attempts", run(&[("single", 1.0), ("auto", 1.12)], 2)),
        ("long names", run(&[("single", 1.0), (long, 1.12), (&wide, 3.0)], 16)),
        ("thirty", run(&several, 8)),
        (
            "far apart",
            run(&[("single", 1.0), ("disk", 5000.0), ("fast", 0.001)], 16),
        ),
        ("the sample", sample::sample()),
    ];
    for (what, record) in &runs {
        let view = ReportView::new(record);
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for width in [320.0, 340.0, 639.0, 640.0, 800.0, 1080.0] {
                assert_clear(&Chart::Compared.bare(&view, prompt, width), &format!("{what}, {width}"));
            }
            assert_clear(&Chart::Compared.titled(&view, prompt, PNG_WIDTH).unwrap(), what);
        }
    }
    let mut nothing = run(&[("single", 1.0)], 1);
    nothing.info.cases.clear();
    assert!(ReportView::new(&nothing).scenarios.is_empty());
}

#[test]
fn a_lone_placement_is_compared_with_nothing() {
    let view = ReportView::new(&run(&[("only", 1.0)], 6));
    assert!(!Chart::Compared.has_data(prompt(&view)));
    assert!(!html::render(&view).unwrap().contains("Placements compared"));
    let view = ReportView::new(&run(&[("single", 1.0), ("auto", 1.0)], 6));
    assert!(Chart::Compared.has_data(prompt(&view)));
    assert!(html::render(&view).unwrap().contains("Placements compared"));
}

#[test]
fn intervals_and_the_floor_are_drawn_around_the_reference() {
    let view = ReportView::new(&run(&[("single", 1.0), ("auto", 1.5)], 16));
    let cell = &prompt(&view).compared.rows[1].cells[TPOT];
    let against = cell.against.unwrap();
    assert_eq!(against.change, Some(Change::Slower));
    let interval = against.interval.unwrap();
    assert!(interval.low > against.floor && interval.low <= against.ratio && against.ratio <= interval.high);
    let scene = Chart::Compared.bare(&view, prompt(&view), 1080.0);
    // The floor, the interval and the line of the reference stand in this order around 1.
    let heading = |words: &str| -> f64 {
        let mut texts = scene.marks.iter().filter(|mark| mark.says(words));
        texts.find_map(bounds).unwrap()[0]
    };
    let column = heading("Time per token")..heading("Decode rate");
    let line = |paint: Paint, width: f64| {
        let mut lines = scene.marks.iter().filter_map(|mark| match mark {
            Mark::Line {
                from,
                to,
                paint: own,
                width: wide,
            } if *own == paint && *wide == width => Some((from.0, to.0)),
            _ => None,
        });
        lines.rfind(|(from, _)| column.contains(from)).unwrap()
    };
    let (low, high) = line(Paint::Point, 4.0);
    let (middle, one) = (line(Paint::Ink, 2.5).0, line(Paint::Muted, 1.0).0);
    assert!(
        one < low && low <= middle && middle <= high,
        "{one} {low} {middle} {high}"
    );
    let says = |words: &str| scene.marks.iter().any(|mark| mark.says(words));
    assert!(says("slower") && says("same") && says("reference") && says(&cell.ratio_words));
}

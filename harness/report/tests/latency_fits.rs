//! Pictures of latencies hold what they draw, and no word lies on another.

mod sample;

use placebench_core::record::{RunRecord, TextVerdict};
use placebench_report::plot::raster::{self, Fineness};
use placebench_report::plot::scene::{Anchor, Mark, Scene};
use placebench_report::plot::{Chart, PNG_WIDTH, font};
use placebench_report::view::ReportView;
use proptest::prelude::*;
use sample::latency::{even, paused, stalled, stamped, thirty};

const OURS: [Chart; 3] = [Chart::Latency, Chart::Tokens, Chart::FirstToken];

fn view(record: &RunRecord) -> ReportView {
    ReportView::new(record)
}

/// Room a browser's own, wider font may take; the embedded one is what is measured with.
fn boxes(scene: &Scene) -> Vec<(f64, f64, f64, f64, String)> {
    let text = |mark: &Mark| match mark {
        Mark::Text {
            at,
            text,
            size,
            weight,
            anchor,
            ..
        } => {
            let width = font::width(text, *size, *weight);
            let left = match anchor {
                Anchor::Start => at.0,
                Anchor::Middle => at.0 - width / 2.0,
                Anchor::End => at.0 - width,
            };
            Some((left, at.1 - size * 0.72, left + width, at.1 + size * 0.2, text.clone()))
        }
        _ => None,
    };
    scene.marks.iter().filter_map(text).collect()
}

fn assert_inside(scene: &Scene, what: &str) {
    for mark in &scene.marks {
        let points: Vec<(f64, f64)> = match mark {
            Mark::Rect { x, y, w, h, .. } | Mark::Hover { x, y, w, h, .. } => vec![(*x, *y), (x + w, y + h)],
            Mark::Line { from, to, .. } => vec![*from, *to],
            Mark::Dots { at, .. } | Mark::Path { at, .. } => at.clone(),
            Mark::Fill { outlines, .. } => outlines.iter().flatten().copied().collect(),
            Mark::Text { .. } => Vec::new(),
        };
        let (right, bottom) = (scene.width + 1.0, scene.height + 1.0);
        let is_inside = |(x, y): &(f64, f64)| (-1.0..=right).contains(x) && (-1.0..=bottom).contains(y);
        assert!(
            points.iter().all(is_inside),
            "{what}: {mark:?} in {}×{}",
            scene.width,
            scene.height
        );
    }
    let boxes = boxes(scene);
    for (index, one) in boxes.iter().enumerate() {
        let is_inside = one.0 >= -1.0 && one.2 <= scene.width + 1.0 && one.1 >= -1.0 && one.3 <= scene.height + 1.0;
        assert!(is_inside, "{what}: {one:?} in {}×{}", scene.width, scene.height);
        for other in &boxes[index + 1..] {
            let apart = one.2 <= other.0 || other.2 <= one.0 || one.3 <= other.1 || other.3 <= one.1;
            assert!(apart, "{what} at {}: {one:?} lies on {other:?}", scene.width);
        }
    }
}

fn odd() -> Vec<(&'static str, RunRecord)> {
    let mut wrong = sample::sample();
    for verdict in &mut wrong.verdict.cases {
        verdict.text = TextVerdict::Garbage;
    }
    vec![
        ("sample", sample::sample()),
        ("forecast", sample::forecast::sample()),
        ("broken forecast", sample::forecast::broken_numbers()),
        ("wrong", wrong),
        ("thirty", thirty()),
        ("stalled", stalled(3, TextVerdict::Unchecked)),
        ("stalled late", stalled(23, TextVerdict::Unchecked)),
        (
            "apart",
            stamped(&[("single", vec![even(24, 1e-5); 3]), ("auto", vec![even(24, 2.0); 3])]),
        ),
        (
            "long",
            stamped(&[("single", vec![even(1000, 0.01), paused(4096, 0.01, 2000, 0.48)])]),
        ),
        ("zero", stamped(&[("single", vec![vec![0.0; 9]; 2])])),
        ("no tokens", stamped(&[("single", vec![vec![]; 2])])),
        (
            "no number",
            stamped(&[("single", vec![vec![f64::NAN, f64::INFINITY, -1.0]; 2])]),
        ),
        ("ages", stamped(&[("single", vec![vec![1e-9, 1e9, 1e18]; 2])])),
    ]
}

#[test]
fn nothing_lies_outside_or_on_something_else() {
    for (name, record) in odd() {
        let view = view(&record);
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for chart in OURS {
                for width in [340.0, 360.0, 800.0, 1080.0] {
                    assert_inside(&chart.bare(&view, prompt, width), name);
                }
                let scene = chart.titled(&view, prompt, PNG_WIDTH).unwrap();
                assert_inside(&scene, name);
                let bytes = raster::png(&scene, Fineness::Plain).unwrap();
                if let Some(folder) = std::env::var_os("KEEP_PICTURES") {
                    let file = format!("{name}-{}-{}.png", prompt.slug, chart.name());
                    std::fs::write(std::path::Path::new(&folder).join(file), bytes).unwrap();
                }
            }
        }
    }
}

/// A pointer finds no more than a page can bear.
#[test]
fn regions_are_bounded() {
    for (name, record) in odd() {
        let view = view(&record);
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for chart in OURS {
                let scene = chart.bare(&view, prompt, 1080.0);
                let regions = scene
                    .marks
                    .iter()
                    .filter(|mark| matches!(mark, Mark::Hover { .. }))
                    .count();
                assert!(regions <= 400, "{name}, {chart:?}: {regions}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever was stamped: a longest gap that stands apart is named, and nothing leaves its picture.
    #[test]
    fn any_stamps_give_a_picture(
        gaps in prop::collection::vec(prop::collection::vec(0.0_f64..10.0, 0..80), 1..5),
        width in 320.0_f64..1300.0,
    ) {
        let generations = gaps.iter().map(|gaps| {
            gaps.iter().scan(0.02, |stamp, gap| { *stamp += gap.powi(4) * 1e-3; Some(*stamp) }).collect()
        });
        let record = stamped(&[("single", generations.collect())]);
        let view = view(&record);
        let prompt = &view.scenarios[0].prompts[0];
        for chart in OURS {
            assert_inside(&chart.bare(&view, prompt, width), "any");
        }
        let gaps = &prompt.cases[0].latency.gaps;
        if let Some(pause) = gaps.series().and_then(|series| series.pauses.first()) {
            let scene = Chart::Tokens.bare(&view, prompt, 1080.0);
            prop_assert!(scene.marks.iter().any(|mark| mark.says(&pause.words())), "{}", pause.words());
        }
    }
}

//! Pictures of latencies hold what they draw, and no word lies on another.

mod fit;
mod sample;

use placebench_core::record::{RunRecord, TextVerdict};
use placebench_report::plot::raster::{self, Fineness};
use placebench_report::plot::scene::Mark;
use placebench_report::plot::{Chart, PNG_WIDTH};
use placebench_report::view::ReportView;
use proptest::prelude::*;
use sample::latency::{even, paused, stalled, stamped, thirty};

const OURS: [Chart; 3] = [Chart::Latency, Chart::Tokens, Chart::FirstToken];

fn view(record: &RunRecord) -> ReportView {
    ReportView::new(record)
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
                    fit::assert_fits(&chart.bare(&view, prompt, width), name);
                }
                let scene = chart.titled(&view, prompt, PNG_WIDTH).unwrap();
                fit::assert_fits(&scene, name);
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
            fit::assert_fits(&chart.bare(&view, prompt, width), "any");
        }
        let gaps = &prompt.cases[0].latency.gaps;
        if let Some(pause) = gaps.series().and_then(|series| series.pauses.first()) {
            let scene = Chart::Tokens.bare(&view, prompt, 1080.0);
            prop_assert!(scene.marks.iter().any(|mark| mark.says(&pause.words())), "{}", pause.words());
        }
    }
}

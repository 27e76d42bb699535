//! The timeline of stages: who works, who waits, and what is said where nobody knows.

#[path = "sample/crowded.rs"]
mod crowded;
mod sample;

use crowded::{case, run, staged};
use placebench_core::placement::Concurrency;
use placebench_core::record::{Attempt, CaseSpec, RunRecord};
use placebench_report::format::html;
use placebench_report::plot::palette::Paint;
use placebench_report::plot::scene::{Mark, Scene};
use placebench_report::plot::{Chart, PNG_WIDTH};
use placebench_report::view::ReportView;
use placebench_report::view::steps::StepView;

const GPUS: [&str; 3] = ["cuda:0", "cuda:1", "cuda:2"];

/// Three stages of 2, 5 and 2 ms, hops of 0.5 ms; what is neither takes 0.1 ms.
fn step(scale: f64) -> Vec<f64> {
    [2e-3, 0.5e-3, 5e-3, 0.5e-3, 2e-3]
        .map(|seconds| seconds * scale)
        .to_vec()
}

fn steps(scale: f64) -> Vec<Vec<f64>> {
    vec![step(4.0 * scale), step(scale), step(scale)]
}

fn view(cases: Vec<(CaseSpec, Vec<Attempt>)>) -> ReportView {
    ReportView::new(&run(cases))
}

fn spread(placement: &str, scale: f64) -> (CaseSpec, Vec<Attempt>) {
    let spec = case(placement);
    let made = staged(&spec, 0, &GPUS, &steps(scale));
    (spec, vec![made])
}

fn single(placement: &str) -> (CaseSpec, Vec<Attempt>) {
    let spec = case(placement);
    let made = staged(&spec, 0, &GPUS[..1], &[vec![9e-3], vec![9e-3], vec![9e-3]]);
    (spec, vec![made])
}

fn idle(step: &StepView) -> Vec<(&str, String)> {
    let work = step.work.iter();
    work.map(|work| (work.device.as_str(), format!("{:.3}", work.idle)))
        .collect()
}

fn scene(view: &ReportView, width: f64) -> Scene {
    Chart::Steps.bare(view, &view.scenarios[0].prompts[0], width)
}

fn says(scene: &Scene, words: &str) -> bool {
    scene.marks.iter().any(|mark| mark.says(words))
}

/// The filled stages: device, left, top, width.
fn stages(scene: &Scene) -> Vec<(usize, f64, f64, f64)> {
    let marks = scene.marks.iter();
    marks
        .filter_map(|mark| match mark {
            // Squares are the samples of the legend.
            Mark::Rect {
                x,
                y,
                w,
                h,
                paint: Paint::Device(index),
                ..
            } if w != h => Some((*index, *x, *y, *w)),
            _ => None,
        })
        .collect()
}

#[test]
fn devices_wait_for_each_other() {
    let view = view(vec![single("single"), spread("auto", 1.0)]);
    let cases: Vec<_> = view.cases().collect();
    // 10.1 ms a token, of which the second device works 5.
    assert_eq!(
        idle(&cases[1].steps[1]),
        [
            ("cuda:0", "0.802".into()),
            ("cuda:1", "0.505".into()),
            ("cuda:2", "0.802".into())
        ]
    );
    assert_eq!(idle(&cases[0].steps[1]), [("cuda:0", "0.011".to_owned())]);
    assert!(cases[0].steps[1].idlest().is_none(), "alone, nobody waits for another");
    assert_eq!(
        view.scenarios[0].prompts[0].steps_title,
        "One device works at a time: cuda:2 of auto idles 80 % of a token's time, each of its 3 devices at least 50 %; hops \
         take 10 %"
    );
    let scene = scene(&view, 1080.0);
    assert!(says(&scene, "idle 80 %") && says(&scene, "idle 50 %") && says(&scene, "idle 1 %"));
    let alone = self::view(vec![single("single")]);
    assert_eq!(
        alone.scenarios[0].prompts[0].steps_title,
        "No hop takes any of a token's time"
    );
}

#[test]
fn stages_stand_on_lanes_in_order_and_hops_lead_from_one_to_the_next() {
    let view = view(vec![spread("auto", 1.0)]);
    let scene = scene(&view, 1080.0);
    let stages = stages(&scene);
    assert_eq!(stages.len(), 6, "two panels of three");
    let hops: Vec<((f64, f64), (f64, f64))> = scene
        .marks
        .iter()
        .filter_map(|mark| match mark {
            Mark::Line { from, to, .. } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    for (panel, hops) in stages.chunks(3).zip(hops.chunks(2)) {
        for (pair, (from, to)) in panel.windows(2).zip(hops) {
            let (before, after) = (pair[0], pair[1]);
            assert!(before.2 < after.2 && before.1 + before.3 < after.1, "{panel:?}");
            assert!((from.0 - (before.1 + before.3)).abs() < 1e-6 && (to.0 - after.1).abs() < 1e-6);
            assert!(from.1 < to.1 && to.1 <= after.2, "{from:?} to {to:?}");
        }
        assert!((panel[1].3 / panel[0].3 - 2.5).abs() < 1e-6, "to scale");
    }
}

#[test]
fn sequences_in_flight_share_the_devices() {
    let mut spec = case("in-flight");
    spec.request.concurrency = Concurrency::InFlight(2);
    let mut made = staged(&spec, 0, &GPUS, &steps(1.0));
    // Half of each token is waiting for the other sequence.
    let generation = &mut made.generations[0];
    generation.token_stamps_s.iter_mut().for_each(|stamp| *stamp *= 2.0);
    let other = generation.clone();
    generation.companions.push(other);
    let (slow, attempts) = spread("one", 1.0);
    let view = view(vec![(slow, attempts), (spec, vec![made])]);
    let cases: Vec<_> = view.cases().collect();
    assert_eq!((cases[0].in_flight, cases[1].in_flight), (1, 2));
    // Two sequences of 6 × 5 ms in twice 60.3 ms.
    assert_eq!(idle(&cases[1].steps[1])[1], ("cuda:1", "0.502".into()));
    let title = &view.scenarios[0].prompts[0].steps_title;
    assert!(
        title.starts_with("Devices idle up to 80 % of the time (cuda:2 of one), at most 80 % with 2 in flight"),
        "{title}"
    );
    let scene = scene(&view, 1080.0);
    assert!(says(&scene, "one of 2 in flight") && says(&scene, "waiting for a turn"));
    let page = html::render(&view).unwrap();
    assert!(page.contains("With 2 sequences in flight"));
    let sequential = html::render(&self::view(vec![spread("one", 1.0)])).unwrap();
    assert!(!sequential.contains("sequences in flight") && !sequential.contains("waiting for a turn"));
}

#[test]
fn where_stages_are_not_known_the_reason_is() {
    let missing = |change: &dyn Fn(&mut Vec<Attempt>)| {
        let (spec, mut attempts) = spread("auto", 1.0);
        attempts.push(staged(&spec, 1, &GPUS, &steps(1.0)));
        change(&mut attempts);
        let view = view(vec![(spec, attempts)]);
        let has_chart = Chart::Steps.has_data(&view.scenarios[0].prompts[0]);
        let words = view.scenarios[0].prompts[0].steps_missing.clone();
        assert_eq!(has_chart, words.is_empty());
        assert_eq!(
            html::render(&view).unwrap().contains("There is no timeline"),
            !has_chart
        );
        words
    };
    assert_eq!(missing(&|_| {}), "");
    let forget = |attempts: &mut Vec<Attempt>| {
        for attempt in attempts {
            attempt.generations[0].stage_times_s.clear();
        }
    };
    assert_eq!(
        missing(&forget),
        "There is no timeline of stages: the engine does not time its stages."
    );
    let differ = |attempts: &mut Vec<Attempt>| attempts[1].places.truncate(2);
    assert_eq!(
        missing(&differ),
        "There is no timeline of stages: attempts ran different stages."
    );
    // Beside one that is known, the row says it.
    let (spec, mut attempts) = spread("unknown", 1.0);
    forget(&mut attempts);
    let view = view(vec![spread("auto", 1.0), (spec, attempts)]);
    let scene = scene(&view, 1080.0);
    assert!(says(&scene, "stages not measured: the engine does not time its stages"));
}

#[test]
fn steps_that_are_far_apart_have_their_own_scale() {
    let near = scene(&view(vec![spread("auto", 1.0), spread("manual", 2.0)]), 1080.0);
    assert!(
        !says(&near, "own scale") && says(&near, "10 ms"),
        "one scale with ticks"
    );
    let far = scene(&view(vec![spread("auto", 1.0), spread("slow", 100.0)]), 1080.0);
    assert!(says(&far, "each placement on its own scale"));
    let widths: Vec<f64> = stages(&far).iter().map(|stage| stage.3).collect();
    assert!((widths[0] / widths[3] - 1.0).abs() < 0.02, "{widths:?}");
}

#[test]
fn crowds_are_tidy() {
    let records: [(&str, RunRecord); 5] = [
        ("thirty placements, twelve devices", crowded::crowd(30, 12)),
        ("one placement, twenty devices", crowded::crowd(1, 20)),
        ("forecasts", sample::forecast::sample()),
        ("odd numbers", sample::forecast::broken_numbers()),
        ("the sample", sample::sample()),
    ];
    for (name, record) in &records {
        let view = ReportView::new(record);
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for width in [340.0, 360.0, 699.0, 752.0, PNG_WIDTH, 1080.0] {
                let scene = Chart::Steps.bare(&view, prompt, width);
                crowded::assert_tidy(&scene, &format!("{name}, {width}"));
                let hovers = scene.marks.iter().filter(|mark| mark.is_hover()).count();
                assert!(hovers <= 250, "{name}: {hovers} regions");
            }
            assert!(Chart::Steps.titled(&view, prompt, PNG_WIDTH).unwrap().height > 0.0);
        }
    }
    let twenty = ReportView::new(&crowded::crowd(1, 20));
    assert!(says(&scene(&twenty, 1080.0), "… and 4 more devices: see the table"));
}

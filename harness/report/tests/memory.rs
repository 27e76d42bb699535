//! Memory against budgets and plans, over runs that hold each kind of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

#[path = "sample/crowded.rs"]
mod crowded;
mod sample;

use crowded::{GIB, case, held, run};
use placebench_core::outcome::{FailureClass, Outcome, Phase, Place, WorkerFailure};
use placebench_core::protocol::DeviceFacts;
use placebench_core::record::{Attempt, CaseSpec, GpuTelemetry, RunRecord};
use placebench_core::units::Bytes;
use placebench_report::format::html;
use placebench_report::plot::palette::Paint;
use placebench_report::plot::scene::{Mark, Scene};
use placebench_report::plot::{Chart, PNG_WIDTH};
use placebench_report::view::memory::{MemoryView, Where};
use placebench_report::view::{CaseView, ReportView};
use sample::{attempt, device};

const MIB: u64 = 1 << 20;

fn view(cases: Vec<(CaseSpec, Attempt)>) -> ReportView {
    ReportView::new(&run(cases.into_iter().map(|(spec, made)| (spec, vec![made])).collect()))
}

fn one(spec: CaseSpec, made: Attempt) -> CaseView {
    view(vec![(spec, made)]).cases().next().unwrap().clone()
}

fn completed(spec: &CaseSpec) -> Attempt {
    attempt(&spec.case, 0, Outcome::Completed)
}

fn scene(view: &ReportView, width: f64) -> Scene {
    Chart::Memory.bare(view, &view.scenarios[0].prompts[0], width)
}

fn says(scene: &Scene, words: &str) -> bool {
    scene.marks.iter().any(|mark| mark.says(words))
}

/// The rectangles of a paint, as left, top and width.
fn rects(scene: &Scene, wanted: Paint) -> Vec<(f64, f64, f64)> {
    let marks = scene.marks.iter();
    marks
        .filter_map(|mark| match mark {
            // Squares are the samples of the legend.
            Mark::Rect { x, y, w, h, paint, .. } if *paint == wanted && w != h => Some((*x, *y, *w)),
            _ => None,
        })
        .collect()
}

fn budget(device: &MemoryView) -> (Option<u64>, &str) {
    (device.budget.map(|bytes| bytes.0), device.source)
}

#[test]
fn planned_and_measured_parts_are_drawn_and_in_the_table_once() {
    let record = sample::forecast::sample();
    let view = ReportView::new(&record);
    let case = view.cases().find(|case| case.placement == "fastest").unwrap();
    let [first, second] = case.memory.as_slice() else {
        panic!("two devices")
    };
    assert_eq!(first.words, ["672 KiB", "87.9 KiB", "785 KiB", "2.00 MiB"]);
    assert_eq!(first.rest_words, "25.3 KiB");
    let planned = first.planned_words.as_ref().unwrap();
    assert_eq!(planned, &["672 KiB", "87.9 KiB", "21.4 KiB", "781 KiB"]);
    assert_eq!(
        (first.off_plan(), second.off_plan()),
        (None, Some("25 % over plan".into()))
    );

    let mut only = record.clone();
    only.info.cases.retain(|spec| spec.placement == "fastest");
    let view = ReportView::new(&only);
    let scene = scene(&view, 1080.0);
    // Planned and measured, two devices.
    assert_eq!(rects(&scene, Paint::Weights).len(), 4);
    let rest = rects(&scene, Paint::Rest);
    assert!((rest[3].2 / rest[2].2 - 221_872.0 / 21_872.0).abs() < 1e-6, "{rest:?}");
    assert!(says(&scene, "25 % over plan") && !says(&scene, "0 % over plan"));
    let title = &view.scenarios[0].prompts[0].memory_title;
    assert_eq!(
        title,
        "fastest comes closest to a budget: 48 % of sim:1's 2.00 MiB; furthest from plan is sim:1 of fastest: 25 % over plan"
    );
    let page = html::render(&view).unwrap();
    assert_eq!(page.matches("+195 KiB (+25 %)").count(), 1, "one table of memory");
    assert_eq!(page.matches("<td>planned</td>").count(), 2);
}

#[test]
fn the_tightest_limit_is_the_budget_and_says_whose_it_is() {
    let mut spec = case("manual");
    spec.devices = sample::spec("a", "b", "c", sample::manual()).devices;
    spec.request.max_memory = Some(vec![(device("sim:0"), Bytes(MIB)), (device("sim:1"), Bytes(64 * MIB))]);
    let mut made = completed(&spec);
    for name in ["sim:0", "sim:1"] {
        made.memory.extend(held(name, 1000, 10, 2000, Some(4 * MIB)));
    }
    made.memory.extend(held("cuda:0", 1000, 10, 2000, None));
    made.memory.extend(held("cpu", 1000, 10, 2000, None));
    made.memory.extend(held("disk", 1000, 0, 0, None));
    let facts = |id: &str, bytes: u64| DeviceFacts {
        id: device(id),
        on: device(id),
        name: "made up".into(),
        memory_bytes: Some(Bytes(bytes)),
        architecture: None,
    };
    made.devices = vec![facts("cuda:0", 80 * GIB), facts("cpu", 22 * GIB)];
    let case = one(spec, made);
    let of = |name: &str| case.memory.iter().find(|memory| memory.device == name).unwrap();
    assert_eq!(budget(of("sim:0")), (Some(MIB), "max_memory"));
    assert_eq!(budget(of("sim:1")), (Some(4 * MIB), "logical device"));
    assert_eq!(budget(of("cuda:0")), (Some(80 * GIB), "memory of the GPU"));
    assert_eq!(budget(of("cpu")), (Some(22 * GIB), "free memory of the host"));
    assert_eq!(budget(of("disk")), (None, ""));
    let places: Vec<Where> = case.memory.iter().map(|memory| memory.place).collect();
    assert_eq!(places[..3], [Where::Accelerator; 3], "hosts and disks stand behind");
    assert!(places[3..].contains(&Where::Host) && places[3..].contains(&Where::Disk));
}

#[test]
fn what_was_free_when_it_was_planned_can_be_the_tightest() {
    let mut record = sample::forecast::sample();
    for attempt in &mut record.attempts {
        let forecast = attempt.planned.as_mut().and_then(|plan| plan.forecast.as_mut());
        if let Some(forecast) = forecast {
            forecast.footprint.devices[0].budget_bytes = Some(Bytes(MIB));
        }
    }
    let view = ReportView::new(&record);
    let case = view.cases().find(|case| case.placement == "fastest").unwrap();
    assert_eq!(budget(&case.memory[0]), (Some(MIB), "free when planned"));
    assert_eq!(budget(&case.memory[1]), (Some(2 * MIB), "logical device"));
}

fn refused(spec: &CaseSpec, needed: u64, allowed: u64) -> Attempt {
    let failure = WorkerFailure {
        class: FailureClass::OutOfMemory,
        message: "out of memory".into(),
        phase: Phase::Load,
        device: Some(device("sim:1")),
        needed_bytes: Some(Bytes(needed)),
        allowed_bytes: Some(Bytes(allowed)),
        place: Some(Place::Module {
            module: "model.layers.4".into(),
            device: device("sim:1"),
        }),
        rank: None,
    };
    attempt(&spec.case, 0, Outcome::OutOfMemory { failure })
}

#[test]
fn a_refused_allocation_is_told_where_it_was_refused() {
    let mut spec = case("single");
    spec.devices = sample::spec("a", "b", "c", sample::manual()).devices;
    let made = refused(&spec, 4_466_688, 4 * MIB);
    let view = view(vec![(spec, made)]);
    let words = "model.layers.4 needs 4.26 MiB, 4.00 MiB allowed";
    assert_eq!(
        view.scenarios[0].prompts[0].memory_title,
        format!("single ran out of memory on sim:1: {words}")
    );
    for width in [340.0, 1080.0] {
        let scene = scene(&view, width);
        assert!(says(&scene, "out of memory: model.layers.4"), "{width}");
        // Hollow, and longer than the budget.
        let alarm = rects(&scene, Paint::Alarm);
        let track = rects(&scene, Paint::Band);
        assert!(
            alarm.len() == 1 && track.len() == 1 && alarm[0].2 > track[0].2,
            "{alarm:?}"
        );
    }
    assert!(
        html::render(&view)
            .unwrap()
            .contains(&format!("out of memory: {words}"))
    );

    let spec = case("single");
    let made = refused(&spec, 4 * MIB + 1, 4 * MIB);
    let refusal = one(spec, made).memory[0].refusal.clone().unwrap();
    assert_eq!(refusal.words, "model.layers.4 needs 1 B more than the 4.00 MiB allowed");
}

#[test]
fn more_than_the_budget_is_alarming_and_less_is_not() {
    let scene_of = |peak: u64| {
        let spec = case("single");
        let mut made = completed(&spec);
        made.memory = held("sim:0", 3 * MIB, MIB, peak, Some(6 * MIB));
        let view = view(vec![(spec, made)]);
        (scene(&view, 1080.0), view.scenarios[0].prompts[0].memory_title.clone())
    };
    let (over, title) = scene_of(8 * MIB);
    let (alarm, track) = (rects(&over, Paint::Alarm), rects(&over, Paint::Band));
    assert_eq!((alarm.len(), track.len()), (1, 1));
    assert!(
        (alarm[0].2 / track[0].2 - 2.0 / 6.0).abs() < 1e-6,
        "what is beyond the mark"
    );
    assert!(says(&over, "8.00 MiB of 6.00 MiB") && says(&over, "more than is allowed"));
    assert_eq!(
        title,
        "single is over budget: 133 % of the 6.00 MiB that sim:0 may hold"
    );
    let (within, title) = scene_of(5 * MIB);
    assert!(rects(&within, Paint::Alarm).is_empty() && !says(&within, "more than is allowed"));
    assert_eq!(title, "single comes closest to a budget: 83 % of sim:0's 6.00 MiB");
}

#[test]
fn devices_that_hold_nothing_are_named_or_counted() {
    let unused = |devices: u64| {
        let mut spec = case("single");
        let logical = sample::spec("a", "b", "c", sample::manual()).devices[0].clone();
        spec.devices = (0..devices).map(|_| logical.clone()).collect();
        for (number, logical) in spec.devices.iter_mut().enumerate() {
            logical.id = device(&format!("sim:{number}"));
        }
        let mut made = completed(&spec);
        made.devices.clear();
        made.memory = held("sim:0", MIB, 0, MIB, None);
        one(spec, made).memory_beside.unused
    };
    assert_eq!(unused(1), "");
    assert_eq!(unused(3), "sim:1 and sim:2 unused");
    assert_eq!(unused(7), "6 devices unused");
}

fn crashed() -> Outcome {
    Outcome::Failed {
        failure: WorkerFailure {
            class: FailureClass::Panic,
            message: "index out of bounds".into(),
            phase: Phase::Load,
            device: None,
            needed_bytes: None,
            allowed_bytes: None,
            place: None,
            rank: None,
        },
    }
}

fn forecast_of_the_sample() -> placebench_core::planner::Forecast {
    let record = sample::forecast::sample();
    let mut plans = record.attempts.iter().filter_map(|attempt| attempt.planned.as_ref());
    plans.find_map(|plan| plan.forecast.as_deref()).unwrap().clone()
}

#[test]
fn what_is_not_measured_says_why() {
    let mut planned = case("planned");
    planned.devices.clear();
    let mut stalled = attempt(&planned.case, 0, crashed());
    stalled.planned = Some(sample::planned(&crowded::loaded("sim:0", MIB)));
    if let Some(plan) = &mut stalled.planned {
        plan.forecast = Some(Box::new(forecast_of_the_sample()));
    }
    let nothing = case("nothing");
    let skipped = attempt(
        &nothing.case,
        0,
        Outcome::Skipped {
            reason: "no GPU".into(),
            hint: None,
        },
    );
    let view = view(vec![(planned, stalled), (nothing, skipped)]);
    for width in [340.0, 1080.0] {
        let scene = scene(&view, width);
        assert!(
            says(&scene, "nothing measured") && says(&scene, "planned 781 KiB"),
            "{width}"
        );
        assert!(says(&scene, "no memory on record: skipped"));
    }
    let none = case("nothing");
    let skipped = attempt(&none.case, 0, crashed());
    let empty = self::view(vec![(none, skipped)]);
    assert!(!Chart::Memory.has_data(&empty.scenarios[0].prompts[0]));
    let titles = Chart::Memory.title(&view.scenarios[0].prompts[0]);
    assert_eq!(titles, "No memory was measured");
}

#[test]
fn gpus_are_in_gib_and_the_driver_has_its_own_rows() {
    let spec = case("auto");
    let mut made = completed(&spec);
    made.memory = held("cuda:0", 31 * GIB, GIB, 34 * GIB, None);
    made.devices = vec![DeviceFacts {
        id: device("cuda:0"),
        on: device("cuda:0"),
        name: "Example GPU".into(),
        memory_bytes: Some(Bytes(139 * GIB)),
        architecture: None,
    }];
    made.peak_rss_bytes = Some(Bytes(2 * GIB));
    made.gpus = vec![GpuTelemetry {
        index: 0,
        uuid: "GPU-0".into(),
        name: "Example <GPU>".into(),
        bus_id: "00:01".into(),
        driver: None,
        memory_bytes: Some(Bytes(141 * GIB)),
        samples: 9,
        memory_before_bytes: Some(Bytes(GIB)),
        memory_peak_bytes: Some(Bytes(36 * GIB)),
        memory_after_bytes: None,
        utilisation_mean_percent: None,
        utilisation_max_percent: None,
        power_mean_w: None,
        power_max_w: None,
        sm_clock_min_mhz: None,
        sm_clock_max_mhz: None,
        sm_clock_limit_mhz: None,
        temperature_max_c: None,
        throttle_reasons: Vec::new(),
    }];
    let view = view(vec![(spec, made)]);
    let scene = scene(&view, 1080.0);
    assert!(
        says(&scene, "34.0 GiB of 139 GiB") && says(&scene, "128 GiB") && says(&scene, "budget: memory of the GPU")
    );
    let seen = &view.cases().next().unwrap().memory_beside.seen;
    let words: Vec<(&str, &str, &str)> = seen.iter().map(|seen| (&*seen.what, &*seen.peak, &*seen.of)).collect();
    assert_eq!(
        words,
        [
            ("whole process", "2.00 GiB", "–"),
            ("GPU 0, Example <GPU>", "36.0 GiB, 1.00 GiB of it before", "141 GiB")
        ]
    );
    let page = html::render(&view).unwrap();
    assert!(page.contains("everything on it, by the driver (NVML)") && !page.contains("Example <GPU>"));
}

#[test]
fn a_budget_that_is_far_away_is_named_and_not_drawn() {
    let spec = case("single");
    let mut made = completed(&spec);
    made.memory = held("sim:0", 3 * MIB, MIB, 5 * MIB, Some(GIB));
    let scene = scene(&view(vec![(spec, made)]), 1080.0);
    let marks = scene.marks.iter().filter(|mark| matches!(mark, Mark::Line { .. }));
    assert!(says(&scene, "5.00 MiB of 1.00 GiB") && says(&scene, "→"));
    assert_eq!(marks.count(), 0);
}

#[test]
fn crowds_are_tidy() {
    let records: [(&str, RunRecord); 4] = [
        ("thirty placements, twelve devices", crowded::crowd(30, 12)),
        ("one placement, twenty devices", crowded::crowd(1, 20)),
        ("forecasts", sample::forecast::sample()),
        ("the sample", sample::sample()),
    ];
    for (name, record) in &records {
        let view = ReportView::new(record);
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for width in [340.0, 360.0, 599.0, 752.0, PNG_WIDTH, 1080.0] {
                let scene = Chart::Memory.bare(&view, prompt, width);
                crowded::assert_tidy(&scene, &format!("{name}, {width}"));
                let hovers = scene.marks.iter().filter(|mark| mark.is_hover()).count();
                assert!(hovers <= 250, "{name}: {hovers} regions");
            }
            assert!(Chart::Memory.titled(&view, prompt, PNG_WIDTH).unwrap().height > 0.0);
        }
    }
    let many = ReportView::new(&crowded::crowd(30, 12));
    let scene = scene(&many, 1080.0);
    assert!(scene.height < 7_000.0, "{} pixels high", scene.height);
    let twenty = ReportView::new(&crowded::crowd(1, 20));
    assert!(says(
        &self::scene(&twenty, 1080.0),
        "… and 4 more devices: see the table"
    ));
}

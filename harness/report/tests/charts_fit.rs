//! Every chart of every record stays readable: no label outside its picture, no two labels on each other, however many placements, devices
//! and points there are and whatever they are called.

mod fit;
mod sample;

use placebench_core::record::RunRecord;
use placebench_report::plot::raster::{self, Fineness};
use placebench_report::plot::scene::Scene;
use placebench_report::plot::{Chart, PNG_WIDTH, svg};
use placebench_report::view::{PromptView, ReportView};

use fit::findings;

/// Widths a chart is drawn at: a phone, a picture, a page.
const WIDTHS: [f64; 3] = [340.0, 800.0, 1080.0];

/// Thirty placements on twelve devices each, with forty pixels for every one of them.
const TALLEST: f64 = 16_000.0;

fn prompts(view: &ReportView) -> impl Iterator<Item = &PromptView> {
    view.scenarios.iter().flat_map(|scenario| &scenario.prompts)
}

/// Names as people give them, as long as they come, and as nobody should.
const NAMES: [fn(usize) -> String; 3] = [
    |number| {
        ["single", "auto", "manual"]
            .get(number)
            .map_or_else(|| format!("split-{number}"), |name| (*name).to_owned())
    },
    |number| format!("{number:02}-of-placements-whose-names-have-exactly-sixty-characters-"),
    |number| {
        format!(
            "{number} \u{202e}</text><script>\u{0}\u{1f4a5}ﷺ\u{301}\u{301} W̷̛WWWWWWWWWWWWWWWWWWWWWWWW mmmmmmmmmmmmmm & \"'"
        )
    },
];

/// A run of one prompt: so many placements over so many devices, each generation with so many tokens.
fn run_of(placements: usize, devices: usize, points: u32, name: fn(usize) -> String) -> RunRecord {
    let mut record = sample::empty();
    for number in 0..placements {
        let mut placed = sample::realised(0, "sim:0", "sim:1");
        let modules = placed.len();
        for (at, module) in placed.iter_mut().enumerate() {
            let index = (at * devices.min(modules) / modules + number) % devices;
            let device = if devices > 3 {
                format!("a-device-with-a-long-name:{index}")
            } else {
                format!("sim:{index}")
            };
            module.device = sample::device(&device);
        }
        let spec = sample::spec("charts/fit", "a prompt", &name(number), sample::manual());
        sample::completed(
            &mut record,
            spec,
            &placed,
            sample::TEXT,
            0.03 + number as f64 * 1.7e-3,
            0.01 + number as f64 * 1e-4,
        );
    }
    for (number, attempt) in record.attempts.iter_mut().enumerate() {
        attempt.memory = attempt
            .realised
            .iter()
            .flatten()
            .map(|module| module.device.clone())
            .collect::<std::collections::BTreeSet<_>>()
            .iter()
            .flat_map(|device| sample::memory(device.as_str(), 600_000, 80_000, 900_000 + number as u64, 2 << 20))
            .collect();
        for generation in &mut attempt.generations {
            let stamps = (0..points).map(|at| 0.03 + f64::from(at) * 0.011 * (1.0 + 0.07 * f64::from((at * 7) % 11)));
            generation.token_stamps_s = stamps.collect();
            generation.token_stamps_s.sort_by(f64::total_cmp);
            generation.output_ids = (0..points).collect();
            generation.hops = vec![2; points as usize];
            generation.transfer_bytes = vec![1024; points as usize];
            generation.stage_times_s = (0..points).map(|_| vec![0.004, 0.001, 0.006]).collect();
        }
    }
    record
}

fn records() -> Vec<(String, RunRecord)> {
    let mut records = vec![
        ("the sample".to_owned(), sample::sample()),
        ("forecast".to_owned(), sample::forecast::sample()),
        ("broken forecast".to_owned(), sample::forecast::broken_numbers()),
    ];
    for (kind, name) in ["plain", "long", "hostile"].into_iter().zip(NAMES) {
        for (placements, devices, points) in [
            (1, 1, 24),
            (3, 3, 24),
            (30, 3, 24),
            (45, 3, 3),
            (3, 12, 24),
            (30, 12, 2),
        ] {
            let title = format!("{placements} placements, {devices} devices, {points} points, {kind} names");
            records.push((title, run_of(placements, devices, points, name)));
        }
    }
    for points in [0, 1, 2, 1000] {
        records.push((
            format!("3 placements, 3 devices, {points} points"),
            run_of(3, 3, points, NAMES[0]),
        ));
    }
    let mut missing = run_of(3, 3, 24, NAMES[0]);
    for (number, attempt) in missing.attempts.iter_mut().enumerate() {
        if number % 2 == 0 {
            attempt.memory.clear();
            attempt.realised = None;
        }
        if number % 3 == 0 {
            attempt.planned = None;
            attempt.generations.clear();
        }
    }
    for verdict in &mut missing.verdict.cases {
        verdict.metrics = Default::default();
    }
    records.push(("missing values".to_owned(), missing));
    records
}

#[test]
fn every_label_has_its_place() {
    let mut found = Vec::new();
    for (name, record) in records() {
        let view = ReportView::new(&record);
        for prompt in prompts(&view) {
            for chart in Chart::ALL {
                for width in WIDTHS {
                    let scene = chart.bare(&view, prompt, width);
                    assert!(
                        scene.height <= TALLEST,
                        "{} at {width}: {name}: {}",
                        chart.name(),
                        scene.height
                    );
                    found.extend(
                        findings(&scene)
                            .iter()
                            .map(|finding| format!("{} at {width}: {name}: {finding}", chart.name())),
                    );
                }
                let scene = chart.titled(&view, prompt, PNG_WIDTH).unwrap();
                found.extend(
                    findings(&scene)
                        .iter()
                        .map(|finding| format!("{} with title: {name}: {finding}", chart.name())),
                );
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} findings:\n{}",
        found.len(),
        found[..found.len().min(60)].join("\n")
    );
}

/// What the test above looks for, it finds.
#[test]
fn a_bad_picture_is_found() {
    use placebench_report::plot::palette::Paint;
    use placebench_report::plot::scene::Style;
    let mut scene = Scene::new(100.0, "a picture");
    scene.height = 40.0;
    scene.text((0.0, 20.0), "one", Style::LABEL, 90.0);
    assert_eq!(findings(&scene), Vec::<String>::new());
    let with = |change: &dyn Fn(&mut Scene)| {
        let mut scene = scene.clone();
        change(&mut scene);
        findings(&scene).join("; ")
    };
    assert!(
        with(&|scene| {
            let _ = scene.text((90.0, 20.0), "outside", Style::LABEL, 900.0);
        })
        .contains("outside")
    );
    assert!(
        with(&|scene| {
            let _ = scene.text((0.0, 4.0), "above", Style::LABEL, 90.0);
        })
        .contains("outside")
    );
    assert!(
        with(&|scene| {
            let _ = scene.text((5.0, 22.0), "two", Style::NOTE, 90.0);
        })
        .contains("on each other")
    );
    assert!(with(&|scene| scene.rect((0.0, 0.0), (50.0, 50.0), Paint::Ink)).contains("outside"));
    assert!(with(&|scene| scene.line((0.0, 0.0), (f64::NAN, 9.0), Paint::Ink, 1.0)).contains("outside"));
    assert!(with(&|scene| scene.height = f64::INFINITY).contains("height"));
}

#[test]
fn the_same_chart_is_drawn_twice() {
    for (name, record) in records() {
        let (one, other) = (ReportView::new(&record), ReportView::new(&record));
        for (a, b) in prompts(&one).zip(prompts(&other)) {
            for chart in Chart::ALL {
                let draw = |view, prompt| svg::svg(&chart.bare(view, prompt, 1080.0), "wide");
                assert_eq!(draw(&one, a), draw(&other, b), "{name}: {}", chart.name());
            }
        }
    }
}

/// A picture is twice as wide as its scene and not blank, also of what nobody wants to draw.
#[test]
fn pictures_of_the_extremes_can_be_read() {
    for (placements, devices, points) in [(1, 1, 1), (30, 12, 24), (3, 3, 1000)] {
        let record = run_of(placements, devices, points, NAMES[2]);
        let view = ReportView::new(&record);
        let prompt = prompts(&view).next().unwrap();
        for chart in Chart::ALL.into_iter().filter(|chart| chart.has_data(prompt)) {
            let scene = chart.titled(&view, prompt, PNG_WIDTH).unwrap();
            let bytes = raster::png(&scene, Fineness::Fine).unwrap();
            assert_eq!(bytes, raster::png(&scene, Fineness::Fine).unwrap(), "{}", chart.name());
            let reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
            // What is very tall is painted at its plain size.
            let fineness = if scene.height > 5000.0 { 1.0 } else { 2.0 };
            let size = (f64::from(reader.info().width), f64::from(reader.info().height));
            assert_eq!(size, (800.0 * fineness, scene.height * fineness), "{}", chart.name());
        }
    }
}

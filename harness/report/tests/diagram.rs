//! What placement diagrams say, of placements of every kind, and that nothing in them is cut off or covered.

mod fit;
mod sample;

use placebench_core::outcome::{FailureClass, Outcome, Phase, WorkerFailure};
use placebench_core::placement::DeviceMapRequest;
use placebench_core::record::RunRecord;
use placebench_core::units::Bytes;
use placebench_report::format::html;
use placebench_report::plot::palette::Paint;
use placebench_report::plot::raster::{self, Fineness};
use placebench_report::plot::scene::{Mark, Scene};
use placebench_report::plot::{Chart, PNG_WIDTH};
use placebench_report::view::{PromptView, ReportView};
use sample::placed::{self, broke, differing, hop_into, hung, kept, map_of, model, module_at, spread};

/// A record with the cases that `fill` adds to it.
fn record(fill: impl FnOnce(&mut RunRecord)) -> RunRecord {
    let mut record = sample::empty();
    fill(&mut record);
    record
}

fn prompt(view: &ReportView) -> &PromptView {
    &view.scenarios[0].prompts[0]
}

fn scene(record: &RunRecord, width: f64) -> Scene {
    let view = ReportView::new(record);
    Chart::Placement.bare(&view, prompt(&view), width)
}

/// All that a diagram says, in order.
fn words(scene: &Scene) -> Vec<String> {
    fit::texts(scene).iter().map(|(text, _)| (*text).to_owned()).collect()
}

fn has(scene: &Scene, wanted: &str) -> bool {
    scene.marks.iter().any(|mark| mark.says(wanted))
}

/// The incident: a hop that nothing comes through, beside the same placement on sound links.
fn incident() -> RunRecord {
    record(|record| {
        let modules = model(8, |index| {
            ["gpu:0", "gpu:1", "gpu:0"][usize::from(index > 4) + usize::from(index > 9)].into()
        });
        kept(record, "single", &model(8, |_| "gpu:0".into()));
        hung(record, "auto", &modules, hop_into(&modules, 5), true);
        kept(record, "same map", &modules);
    })
}

/// Asked for on one device, planned on another, loaded on a third.
fn three_ways() -> RunRecord {
    record(|record| {
        let on = |device: &'static str| model(8, move |index| if index == 6 { device } else { "gpu:0" }.into());
        differing(record, "lost", (&on("gpu:1"), &on("gpu:2"), &on("cpu")));
        differing(record, "overruled", (&on("gpu:1"), &on("gpu:2"), &on("gpu:2")));
    })
}

/// Weights that rest on the host and run on an accelerator.
fn streamed() -> RunRecord {
    let mut record = record(|record| {
        kept(
            record,
            "streamed",
            &model(8, |index| if index > 6 { "cpu" } else { "gpu:0" }.into()),
        );
    });
    for attempt in &mut record.attempts {
        attempt.places = map_of(&model(8, |_| "gpu:0".into()));
    }
    record
}

fn out_of_memory() -> RunRecord {
    record(|record| {
        let modules = model(8, |_| "gpu:0".into());
        let failure = WorkerFailure {
            class: FailureClass::OutOfMemory,
            message: "gpu:0 is full".into(),
            phase: Phase::Load,
            device: Some(sample::device("gpu:0")),
            needed_bytes: Some(Bytes(9 << 20)),
            allowed_bytes: Some(Bytes(8 << 20)),
            place: Some(module_at(&modules, 2)),
            rank: None,
        };
        broke(record, "full", &modules, Outcome::OutOfMemory { failure }, false);
        kept(record, "split", &spread(8, 2));
    })
}

/// Names of sixty characters for placements, modules and devices.
fn long_names() -> RunRecord {
    record(|record| {
        for number in 0..3 {
            let mut modules = model(3, |index| {
                format!("an-accelerator-of-many-words-in-a-rack-far-away:{}", index / 3)
            });
            for module in &mut modules {
                module.module = format!(
                    "model.a_part_whose_name_is_longer_than_sixty_characters.{}",
                    module.module
                );
            }
            let name = format!("placement number {number} with a name of about sixty characters!");
            match number {
                0 => kept(record, &name, &modules),
                1 => hung(record, &name, &modules, hop_into(&modules, 3), true),
                _ => hung(record, &name, &modules, module_at(&modules, 3), false),
            }
        }
    })
}

/// Every kind there is, by name.
fn kinds() -> Vec<(&'static str, RunRecord)> {
    let mut all = vec![
        ("sample", sample::sample()),
        ("forecast", sample::forecast::sample()),
        ("broken forecast", sample::forecast::broken_numbers()),
        ("incident", incident()),
        ("three ways", three_ways()),
        ("streamed", streamed()),
        ("out of memory", out_of_memory()),
        ("long names", long_names()),
        ("nothing known", {
            let mut record = incident();
            record.attempts.clear();
            record
        }),
        ("huge", {
            let mut record = incident();
            let modules = record
                .attempts
                .iter_mut()
                .flat_map(|attempt| attempt.realised.iter_mut().flatten());
            modules.for_each(|module| module.bytes = Bytes(u64::MAX));
            record
        }),
    ];
    for devices in [1, 2, 3, 4, 5, 9, 12, 30] {
        all.push(("devices", record(|record| kept(record, "spread", &spread(30, devices)))));
    }
    for layers in [0, 1, 30, 93, 300] {
        let to_and_fro = |layers| model(layers, |index| format!("gpu:{}", index % 2));
        all.push((
            "layers",
            record(|record| {
                kept(record, "spread", &spread(layers, 3));
                kept(record, "to and fro", &to_and_fro(layers));
                let modules = to_and_fro(layers);
                hung(record, "hung", &modules, hop_into(&modules, 1), true);
                hung(record, "loading", &modules, module_at(&modules, layers / 2), false);
            }),
        ));
    }
    all.push((
        "one module",
        record(|record| {
            let one = model(0, |_| "gpu:0".into())[..1].to_vec();
            kept(record, "one", &one);
            hung(record, "hung", &one, module_at(&one, 0), true);
        }),
    ));
    all.push((
        "thirty placements",
        record(|record| {
            for number in 0..30 {
                kept(record, &format!("placement {number}"), &spread(30, 1 + number % 4));
            }
            let modules = spread(30, 3);
            hung(record, "hung", &modules, hop_into(&modules, 11), true);
            let others = spread(30, 2);
            differing(record, "elsewhere", (&modules, &modules, &others));
        }),
    ));
    all
}

#[test]
fn no_text_leaves_a_diagram_or_touches_another() {
    for (name, record) in kinds() {
        let view = ReportView::new(&record);
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for width in [320.0, 340.0, 599.0, 600.0, 752.0, 1080.0, 1200.0] {
                let scene = Chart::Placement.bare(&view, prompt, width);
                fit::assert_fits(&scene, &format!("{name}, {width}"));
            }
        }
    }
}

/// The check above would see what it looks for.
#[test]
fn texts_that_touch_are_seen() {
    let mut scene = scene(&incident(), 1080.0);
    let last = scene
        .marks
        .iter()
        .rposition(|mark| matches!(mark, Mark::Text { .. }))
        .unwrap();
    let mut copy = scene.marks[last].clone();
    if let Mark::Text { at, .. } = &mut copy {
        at.0 += 3.0;
    }
    scene.marks.push(copy);
    let touched = std::panic::catch_unwind(|| fit::assert_fits(&scene, "a copy"));
    assert!(touched.is_err());
}

#[test]
fn a_hang_is_named_at_its_hop() {
    let scene = scene(&incident(), 1080.0);
    assert!(
        has(&scene, "stalled on this hop: token 3, for 2.01 s"),
        "{:?}",
        words(&scene)
    );
    assert!(has(&scene, "not reached in the step that broke"));
    let pale = |mark: &Mark| matches!(mark, Mark::Fill { paint: Paint::Device(1), opacity, .. } if *opacity < 1.0);
    assert!(scene.marks.iter().any(pale), "what was not reached is pale");
    let sound = record(|record| kept(record, "sound", &spread(8, 2)));
    let sound = self::scene(&sound, 1080.0);
    assert!(
        !has(&sound, "stalled") && !has(&sound, "not reached"),
        "{:?}",
        words(&sound)
    );
    assert!(!sound.marks.iter().any(pale));
}

#[test]
fn a_hang_while_loading_is_named_at_its_module() {
    let modules = spread(8, 2);
    let record = record(|record| hung(record, "auto", &modules, module_at(&modules, 4), false));
    for width in [340.0, 1080.0] {
        let scene = scene(&record, width);
        assert!(has(&scene, "stalled here: while loading"), "{:?}", words(&scene));
        assert!(has(&scene, "planned, not loaded"), "{:?}", words(&scene));
    }
}

#[test]
fn differences_say_which_of_the_three_differs() {
    let scene = scene(&three_ways(), 1080.0);
    for wanted in [
        "layers.5 asked for on gpu:1, planned on gpu:2, loaded on cpu",
        "layers.5 asked for on gpu:1, planned and loaded on gpu:2",
        "1 of 11 modules",
    ] {
        assert!(has(&scene, wanted), "{wanted}: {:?}", words(&scene));
    }
    assert!(!has(&self::scene(&incident(), 1080.0), "Differs"));
}

#[test]
fn streamed_weights_are_told_from_those_that_run_where_they_rest() {
    let scene = scene(&streamed(), 1080.0);
    let sentence = "layers.6 … lm_head: weights rest on cpu and are streamed to gpu:0 for each token";
    assert!(has(&scene, sentence), "{:?}", words(&scene));
    assert!(has(&scene, "runs here, weights streamed"));
    let view = ReportView::new(&streamed());
    assert!(
        prompt(&view).cases[0].placed.hops.is_empty(),
        "nothing moves but weights"
    );
}

#[test]
fn a_full_device_says_what_it_lacked() {
    let scene = scene(&out_of_memory(), 1080.0);
    assert!(has(&scene, "ran out: 9.00 MiB of 8.00 MiB"), "{:?}", words(&scene));
    assert!(has(&scene, "ran out of memory here: while loading"));
    assert!(!has(&self::scene(&incident(), 1080.0), "ran out"));
}

/// A budget of the request counts more than what the device has, and being over it is said.
#[test]
fn budgets_are_those_that_were_asked_for() {
    let mut record = record(|record| kept(record, "auto", &spread(8, 2)));
    record.info.cases[0].request.max_memory = Some(vec![(sample::device("gpu:0"), Bytes(5 << 20))]);
    let view = ReportView::new(&record);
    let devices = &prompt(&view).cases[0].placed.devices;
    assert_eq!(devices[0].budget_words, "5.00 MiB, max_memory");
    assert!(
        devices[0].is_over && devices[0].words.starts_with("over: "),
        "{:?}",
        devices[0]
    );
    assert!(!devices[1].is_over, "{:?}", devices[1]);
    assert_eq!(
        prompt(&view).placement_title,
        "auto puts more on gpu:0 than it may hold"
    );
}

/// Hops carry measured times where stages were timed, predicted ones where they were not.
#[test]
fn hops_have_bytes_and_times() {
    let record = sample::forecast::sample();
    let view = ReportView::new(&record);
    let hops = || view.cases().flat_map(|case| &case.placed.hops);
    assert!(
        hops().any(|hop| hop.time == "250 µs" && !hop.is_predicted),
        "{:?}",
        hops().collect::<Vec<_>>()
    );
    assert!(
        hops().any(|hop| hop.time == "200 µs" && hop.is_predicted),
        "{:?}",
        hops().collect::<Vec<_>>()
    );
    let timed = hops().find(|hop| hop.is_predicted).unwrap();
    assert!(timed.cost().ends_with("200 µs predicted"), "{}", timed.cost());
    let detour = ReportView::new(&incident());
    let hung = &prompt(&detour).cases[1].placed.hops[0];
    assert_eq!(hung.way, "through host memory: a copy came back wrong");
    assert_eq!(hung.name(), "model.layers.3 → model.layers.4");
}

/// Columns are one scale for all placements, so that the same module is at the same place in each.
#[test]
fn a_case_that_loaded_nothing_has_the_scale_of_one_that_did() {
    let scene = scene(&out_of_memory(), 1080.0);
    let lefts = |scene: &Scene, wanted: f64| {
        let fills = scene.marks.iter().filter_map(|mark| match mark {
            Mark::Fill { outlines, opacity, .. } if *opacity >= 1.0 && outlines.len() > 3 => Some(outlines),
            _ => None,
        });
        fills
            .flatten()
            .filter(|outline| (outline[0].0 - wanted).abs() < 0.1)
            .count()
    };
    let first_layer = scene.marks.iter().find_map(|mark| match mark {
        Mark::Fill { outlines, .. } if outlines.len() > 3 => Some(outlines[1][0].0),
        _ => None,
    });
    assert!(
        lefts(&scene, first_layer.unwrap()) >= 2,
        "hollow and full blocks share their columns"
    );
    assert!(!has(&scene, "Equal widths"));
    let modules = spread(8, 2);
    let alone = record(|record| hung(record, "auto", &modules, module_at(&modules, 4), false));
    assert!(
        has(&self::scene(&alone, 1080.0), "Equal widths"),
        "nobody knows the bytes"
    );
}

#[test]
fn devices_beyond_the_eighth_have_stripes() {
    let striped = |devices: usize| {
        let scene = scene(&record(|record| kept(record, "spread", &spread(30, devices))), 1080.0);
        let inks = scene.marks.iter().filter(|mark| {
            matches!(
                mark,
                Mark::Fill {
                    paint: Paint::OnDevice(_),
                    ..
                }
            )
        });
        inks.count()
    };
    assert_eq!(striped(8), 0);
    assert!(striped(12) >= 4);
}

/// Every device is named, on every width.
#[test]
fn devices_are_named() {
    for devices in [1, 3, 4, 5, 9, 12] {
        let record = record(|record| kept(record, "spread", &spread(30, devices)));
        for width in [340.0, 1080.0] {
            let scene = scene(&record, width);
            for device in 0..devices {
                assert!(has(&scene, &format!("gpu:{device}")), "{device} of {devices}, {width}");
            }
        }
    }
}

/// A page answers a pointer at few enough places to stay small, and only where there is one to point with.
#[test]
fn pointers_are_answered_within_bounds() {
    for (name, record) in kinds() {
        let hovers = |width| {
            let marks = scene(&record, width).marks;
            marks
                .into_iter()
                .filter(|mark| matches!(mark, Mark::Hover { .. }))
                .count()
        };
        assert!(hovers(1080.0) <= 160, "{name}: {}", hovers(1080.0));
    }
    let scene = scene(&incident(), 1080.0);
    let said: Vec<&str> = scene
        .marks
        .iter()
        .filter_map(|mark| match mark {
            Mark::Hover { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert!(said.contains(&"layers.3 · gpu:0 · 3.00 MiB · f32"), "{said:?}");
    assert!(
        said.contains(&"layers.3 → layers.4 · gpu:0 → gpu:1 · 512 B"),
        "{said:?}"
    );
}

/// What a picture shows is in the table beside it too.
#[test]
fn the_table_says_what_the_picture_says() {
    for record in [incident(), three_ways(), streamed(), out_of_memory()] {
        let page = html::render(&ReportView::new(&record)).unwrap();
        let view = ReportView::new(&record);
        for case in view.cases() {
            let place = &case.placed;
            let mut wanted: Vec<String> = place
                .hops
                .iter()
                .map(|hop| format!("{} → {}", hop.after, hop.before))
                .collect();
            wanted.extend(place.hops.iter().map(|hop| hop.way.clone()));
            wanted.extend(place.devices.iter().map(|device| device.weights_words.clone()));
            wanted.extend(
                place
                    .devices
                    .iter()
                    .map(|device| device.budget_words.replace('\'', "&#x27;")),
            );
            wanted.extend(place.broken.iter().map(|broken| broken.words.clone()));
            wanted.push(place.streamed.clone());
            wanted.push(place.difference.clone());
            for words in wanted {
                let after = page.split("Placement as a table").nth(1).unwrap();
                let table = after.split("</figure>").next().unwrap();
                assert!(table.contains(&words), "{}: {words}", case.case);
            }
        }
    }
}

#[test]
fn what_diagrams_say() {
    let said: Vec<(&str, Vec<String>)> = [
        ("incident", incident()),
        ("three ways", three_ways()),
        ("streamed", streamed()),
        ("out of memory", out_of_memory()),
    ]
    .into_iter()
    .map(|(name, record)| (name, words(&scene(&record, 1080.0))))
    .collect();
    insta::assert_debug_snapshot!(said);
}

#[test]
fn an_asked_for_single_device_is_no_difference() {
    let record = record(|record| {
        let spec = sample::spec(
            placed::SCENARIO,
            placed::PROMPT,
            "single",
            DeviceMapRequest::Single(sample::device("gpu:0")),
        );
        sample::completed(record, spec, &model(8, |_| "gpu:0".into()), sample::TEXT, 0.03, 0.01);
    });
    let view = ReportView::new(&record);
    assert_eq!(prompt(&view).cases[0].placed.difference, "");
}

/// For looking at: `KEEP_PICTURES=folder cargo test -p placebench-report --test diagram pictures`.
#[test]
fn pictures() {
    for (number, (name, record)) in kinds().into_iter().enumerate().skip(3) {
        let view = ReportView::new(&record);
        let scene = Chart::Placement.titled(&view, prompt(&view), PNG_WIDTH).unwrap();
        let bytes = raster::png(&scene, Fineness::Plain).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
        if let Some(folder) = std::env::var_os("KEEP_PICTURES") {
            let file = format!("{number:02}-{}.png", name.replace(' ', "-"));
            std::fs::write(std::path::Path::new(&folder).join(file), bytes).unwrap();
        }
    }
}

//! Every format, over a run that holds everything a report must be able to show.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod fit;
mod sample;

use std::collections::HashSet;

use placebench_core::device::DeviceId;
use placebench_core::placement::DeviceMapRequest;
use placebench_core::record::{RunRecord, TextVerdict};
use placebench_report::format::{csv, html, junit, markdown};
use placebench_report::plot::raster::Fineness;
use placebench_report::plot::scene::{Mark, Scene};
use placebench_report::plot::{Chart, PNG_WIDTH, raster};
use placebench_report::view::{PromptView, ReportView};
use placebench_report::{Artifact, artifacts};

fn page() -> String {
    html::render(&ReportView::new(&sample::sample())).unwrap()
}

fn prompt<'a>(view: &'a ReportView, scenario: &str) -> &'a PromptView {
    &view
        .scenarios
        .iter()
        .find(|candidate| candidate.name == scenario)
        .unwrap()
        .prompts[0]
}

fn says(scene: &Scene, words: &str) -> bool {
    scene.marks.iter().any(|mark| mark.says(words))
}

/// Size and pixels of a PNG.
fn decode(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels)
}

#[test]
fn csv_of_the_sample() {
    insta::assert_snapshot!(String::from_utf8(csv::render(&sample::sample()).unwrap()).unwrap());
}

#[test]
fn junit_of_the_sample() {
    insta::assert_snapshot!(String::from_utf8(junit::render(&sample::sample()).unwrap()).unwrap());
}

#[test]
fn markdown_of_the_sample() {
    insta::assert_snapshot!(markdown::render(&ReportView::new(&sample::sample())));
}

/// The page's words without its markup, so that a change of style changes no snapshot.
#[test]
fn words_of_the_page() {
    let page = page();
    let body = &page[page.find("<body>").unwrap()..];
    let mut words = String::new();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        // Charts have tests of their own; long outputs would only repeat the record.
        let text = text.trim();
        if !tag.starts_with("text ") && !text.is_empty() {
            words.push_str(&text.chars().take(200).collect::<String>());
            words.push('\n');
        }
    }
    insta::assert_snapshot!(words);
}

#[test]
fn the_page_states_verdict_and_sentences() {
    let page = page();
    for words in [
        "6 passed, 5 failed, 1 could not be set up, 1 waits for review, 1 skipped, 1 not judged",
        "Exit code 100",
        "Figures of a debug build",
        "stalled: in decode, token 3, hop model.layers.3",
        "the text parts from single at token 10",
        "needs 2 CUDA devices, there are none",
        "run it on a machine with two GPUs",
        "stalled, as expected",
        "auto stalled at model.layers.3 → model.layers.4",
        "invalid: text diverged",
    ] {
        let escaped = words.replace('/', "&#x2f;");
        assert!(page.contains(words) || page.contains(&escaped), "{words}");
    }
}

#[test]
fn the_page_loads_nothing_and_runs_only_our_script() {
    let page = page();
    let lower = page.to_lowercase();
    for forbidden in [
        "<img",
        "<iframe",
        "<link",
        "<object",
        "@import",
        "url(",
        "src=\"",
        "http-equiv=\"refresh",
    ] {
        assert!(!lower.contains(forbidden), "{forbidden}");
    }
    // The only links lead into the page or to the files beside it.
    for target in page
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        let beside = ["run.json", "attempts.jsonl", "verdict.json", "results.csv", "junit.xml"];
        assert!(target.starts_with('#') || beside.contains(&target), "{target}");
    }
    assert!(page.contains("default-src 'none'"));
    // Data that no browser runs, and one script, which stands last.
    let (before, script) = page.split_once("<script>").unwrap();
    assert_eq!(before.matches("<script").count(), 1);
    assert!(before.contains("<script type=\"application/json\" id=\"data\">{"));
    let (script, after) = script.split_once("</script>").unwrap();
    assert_eq!(after.trim(), "</body>\n</html>");
    assert!(!script.contains("<script") && !script.contains("innerHTML"));
    // A handler in an attribute would need another rule of the policy, which has none.
    assert!(!page.contains("'unsafe-inline' ") && page.matches("unsafe-inline").count() == 1);
}

#[test]
fn hostile_text_is_only_text() {
    let page = page();
    for raw in [
        "<script>alert",
        "<img src=x",
        "<b>description",
        "</pre><script",
        "\u{202e}",
        "\u{1b}",
        "\u{7}",
        "\u{0}",
    ] {
        assert!(!page.contains(raw), "{raw:?}");
    }
    assert!(
        page.contains("⟨U+202E⟩gnp.exe") && page.contains("␛[2J"),
        "hidden characters are shown"
    );
    assert!(page.contains("{{ 7 * 7 }}"), "a prompt is never a template");
    assert!(
        page.len() < 600_000,
        "one long output must not swell the page: {}",
        page.len()
    );
    // No event handler outside of text: attributes are only those of the template.
    let in_tags = page
        .split('<')
        .filter_map(|piece| piece.split_once('>'))
        .map(|(tag, _)| tag);
    assert!(
        in_tags
            .filter(|tag| !tag.starts_with("!doctype"))
            .all(|tag| !tag.contains("onerror=alert('"))
    );
}

#[test]
fn every_anchor_exists_once() {
    let page = page();
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let distinct: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len());
    for target in page
        .split("href=\"#")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        assert!(distinct.contains(target), "{target}");
    }
}

#[test]
fn a_wrong_text_is_no_speed_anywhere() {
    let record = sample::sample();
    let view = ReportView::new(&record);
    let case = &prompt(&view, "regressions/broken-hop").cases[2];
    assert_eq!(record.verdict_of(&case.case).unwrap().text, TextVerdict::Diverged);
    assert!(
        record.verdict_of(&case.case).unwrap().metrics.ttft_s.is_some(),
        "there is something to hide"
    );
    assert_eq!(case.ttft_s, None);
    let scene = Chart::Latency.bare(&view, prompt(&view, "regressions/broken-hop"), 800.0);
    let series = scene
        .marks
        .iter()
        .filter(|mark| matches!(mark, Mark::Dots { .. }))
        .count();
    assert_eq!(series, 2, "only `single` has points, one series a panel");
    assert!(says(&scene, "invalid: text diverged") && says(&scene, "stalled in decode after 3 tokens"));
    let table = String::from_utf8(csv::render(&record).unwrap()).unwrap();
    let mut reader = ::csv::Reader::from_reader(table.as_bytes());
    let column = |name: &str| csv::COLUMNS.iter().position(|column| *column == name).unwrap();
    let row = reader
        .records()
        .map(Result::unwrap)
        .find(|row| row[0] == *"regressions/broken-hop/story/manual")
        .unwrap();
    assert_eq!(
        (
            &row[column("timing_valid")],
            &row[column("ttft_s")],
            &row[column("decode_tokens_per_s")]
        ),
        ("false", "", "")
    );
}

#[test]
fn charts_say_what_happened() {
    let view = ReportView::new(&sample::sample());
    let titles = |scenario: &str| Chart::ALL.map(|chart| chart.title(prompt(&view, scenario)).to_owned());
    insta::assert_debug_snapshot!(
        [
            "placement/three-ways",
            "regressions/broken-hop",
            "memory/budgets",
            "gpu/two-cards"
        ]
        .map(titles)
    );
    let strip = Chart::Placement.bare(&view, prompt(&view, "memory/budgets"), 800.0);
    assert!(
        says(&strip, "planned") && says(&strip, "loaded"),
        "a plan that was not kept is shown beside what was loaded"
    );
    let skipped = Chart::Memory.bare(&view, prompt(&view, "gpu/two-cards"), 800.0);
    assert!(says(&skipped, "no memory on record: skipped"));
}

#[test]
fn nothing_is_cut_off() {
    for (name, record) in odd_records() {
        let view = ReportView::new(&record);
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for chart in Chart::ALL {
                for width in [320.0, 360.0, 800.0, 1200.0] {
                    fit::assert_fits(&chart.bare(&view, prompt, width), name);
                }
                fit::assert_fits(&chart.titled(&view, prompt, PNG_WIDTH).unwrap(), name);
            }
        }
    }
}

#[test]
fn pictures_are_pictures() {
    let all = artifacts(&sample::sample()).unwrap();
    let pictures: Vec<&Artifact> = all.iter().filter(|artifact| artifact.path.ends_with(".png")).collect();
    // Five of the six prompts have several placements and a figure of one; four have gaps and first tokens.
    assert_eq!(pictures.len(), 6 * 3 + 5 + 4 * 2);
    for picture in pictures {
        let (width, height, pixels) = decode(&picture.bytes);
        assert_eq!(width, 1600, "{}", picture.path);
        assert!((300..6000).contains(&height), "{}: {height}", picture.path);
        let dark = pixels
            .chunks(3)
            .filter(|pixel| pixel.iter().all(|channel| *channel < 100))
            .count();
        assert!(dark > 500, "{} is blank", picture.path);
        let distinct: HashSet<&[u8]> = pixels.chunks(3).collect();
        assert!(distinct.len() > 20, "{} has {} colours", picture.path, distinct.len());
    }
}

#[test]
fn the_same_record_gives_the_same_bytes() {
    assert_eq!(
        artifacts(&sample::sample()).unwrap(),
        artifacts(&sample::sample()).unwrap()
    );
}

#[test]
fn paths_are_plain_and_distinct() {
    let all = artifacts(&sample::sample()).unwrap();
    let paths: HashSet<&str> = all.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths.len(), all.len());
    for path in paths {
        let name = path.strip_prefix("plots/").unwrap_or(path);
        let stem = name.rsplit_once('.').unwrap().0;
        assert!(
            stem.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_'),
            "{path}"
        );
        assert!(name.len() < 200);
    }
}

/// Records no run should leave, and some that it may.
fn odd_records() -> Vec<(&'static str, RunRecord)> {
    let full = sample::sample();
    let without_attempts = RunRecord {
        attempts: Vec::new(),
        ..full.clone()
    };
    let mut without_verdicts = full.clone();
    without_verdicts.verdict.cases.clear();
    let mut without_cases = full.clone();
    without_cases.info.cases.clear();
    let mut broken_numbers = full.clone();
    for (index, attempt) in broken_numbers.attempts.iter_mut().enumerate() {
        attempt.wall_s = [f64::NAN, f64::INFINITY, -1.0][index % 3];
        for generation in &mut attempt.generations {
            generation.token_stamps_s = [
                vec![],
                vec![f64::NAN; 3],
                vec![5.0, 4.0, 3.0],
                vec![0.0; 4],
                vec![1e-9, 1e9],
            ][index % 5]
                .clone();
            generation.output_ids.truncate(index % 4);
            generation.text.truncate(index % 4);
        }
        attempt
            .phases
            .iter_mut()
            .for_each(|span| span.end_s = Some(f64::NEG_INFINITY));
        attempt
            .memory
            .iter_mut()
            .for_each(|figure| figure.bytes.0 = [0, 1, u64::MAX][index % 3]);
    }
    for verdict in &mut broken_numbers.verdict.cases {
        let metrics = &mut verdict.metrics;
        (metrics.ttft_s, metrics.tpot_s, metrics.hops_per_token) = (Some(f64::NAN), Some(-1.0), Some(f64::INFINITY));
        metrics
            .peak_memory_bytes
            .iter_mut()
            .for_each(|figure| figure.bytes.0 = u64::MAX);
    }
    let mut release = full.clone();
    release.info.tool.profile = "release".into();
    release.verdict.complete = false;
    vec![
        ("forecast", sample::forecast::sample()),
        ("broken forecast", sample::forecast::broken_numbers()),
        ("empty", sample::empty()),
        ("full", full),
        ("without attempts", without_attempts),
        ("without verdicts", without_verdicts),
        ("without cases", without_cases),
        ("broken numbers", broken_numbers),
        ("interrupted release", release),
        ("thirty placements", thirty()),
        ("many modules", many_modules()),
    ]
}

/// Thirty placements with names of sixty characters, one of a thousand points.
fn thirty() -> RunRecord {
    let mut record = sample::empty();
    for number in 0..30 {
        let placement = format!("placement number {number:02} with a name of about sixty characters!");
        let spec = sample::spec(
            "many/placements",
            "a prompt",
            &placement,
            DeviceMapRequest::Single(DeviceId::cpu()),
        );
        sample::completed(
            &mut record,
            spec,
            &sample::realised(number % 11, "sim:0", "sim:1"),
            sample::TEXT,
            0.03 + number as f64 * 1e-3,
            0.01,
        );
    }
    let one = record
        .attempts
        .iter_mut()
        .find(|attempt| !attempt.generations.is_empty())
        .unwrap();
    one.generations[0].token_stamps_s = (0..1000).map(|at| 0.03 + f64::from(at) * 0.01).collect();
    record
}

/// A model of two hundred modules that changes its device at every one, over twelve devices.
fn many_modules() -> RunRecord {
    let mut record = sample::empty();
    let mut placed = sample::realised(0, "sim:0", "sim:1");
    let template = placed[0].clone();
    placed = (0..200)
        .map(|layer| {
            let mut module = template.clone();
            module.module = format!("model.layers.{layer}");
            module.device = sample::device(&format!("a-device-with-a-rather-long-name:{}", layer % 12));
            module
        })
        .collect();
    sample::completed(
        &mut record,
        sample::spec("many/modules", "p", "zigzag", sample::manual()),
        &placed,
        sample::TEXT,
        0.03,
        0.01,
    );
    record
}

#[test]
fn odd_records_give_whole_reports() {
    for (name, record) in odd_records() {
        let all = artifacts(&record).unwrap_or_else(|error| panic!("{name}: {error}"));
        let page = all.iter().find(|artifact| artifact.path == "report.html").unwrap();
        let text = String::from_utf8(page.bytes.clone()).unwrap();
        assert!(text.ends_with("</html>") && !text.contains("NaN"), "{name}");
        for picture in all.iter().filter(|artifact| artifact.path.ends_with(".png")) {
            assert!(decode(&picture.bytes).1 > 50, "{name}: {}", picture.path);
        }
        assert!(
            markdown::render(&ReportView::new(&record)).contains("Run 20261122T140000Z-1a2b"),
            "{name}"
        );
    }
}

#[test]
fn an_empty_run_says_so() {
    let view = ReportView::new(&sample::empty());
    assert_eq!((view.headline.as_str(), view.tone), ("No case was run", "open"));
}

/// Any part of a record may be lost; what is left must still make a report.
#[test]
fn records_with_holes_give_whole_reports() {
    let full = sample::sample();
    for seed in 0_u64..60 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut keep = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            !state.is_multiple_of(3)
        };
        let mut record = full.clone();
        record.info.cases.retain(|_| keep());
        record.attempts.retain(|_| keep());
        record.verdict.cases.retain(|_| keep());
        for attempt in &mut record.attempts {
            if !keep() {
                attempt.realised = None;
            }
            if !keep() {
                attempt.planned = None;
            }
            attempt.memory.retain(|_| keep());
            attempt.generations.retain(|_| keep());
        }
        for verdict in &mut record.verdict.cases {
            if !keep() {
                verdict.metrics = Default::default();
            }
        }
        let view = ReportView::new(&record);
        assert!(html::render(&view).unwrap().ends_with("</html>"), "seed {seed}");
        csv::render(&record).unwrap();
        junit::render(&record).unwrap();
        for prompt in view.scenarios.iter().flat_map(|scenario| &scenario.prompts) {
            for chart in Chart::ALL {
                fit::assert_fits(&chart.bare(&view, prompt, 360.0), "holes");
            }
        }
    }
}

/// For looking at: `KEEP_PICTURES=folder cargo test -p placebench-report --test rendering pictures_of_extremes`.
#[test]
fn pictures_of_extremes() {
    for (name, record) in [("thirty", thirty()), ("modules", many_modules())] {
        let view = ReportView::new(&record);
        for chart in Chart::ALL {
            let bytes = raster::png(
                &chart.titled(&view, &view.scenarios[0].prompts[0], PNG_WIDTH).unwrap(),
                Fineness::Fine,
            )
            .unwrap();
            assert_eq!(decode(&bytes).0, 1600);
            if let Some(folder) = std::env::var_os("KEEP_PICTURES") {
                std::fs::write(
                    std::path::Path::new(&folder).join(format!("{name}-{}.png", chart.name())),
                    bytes,
                )
                .unwrap();
            }
        }
    }
}

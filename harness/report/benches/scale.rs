//! What it takes to judge and render stored attempts: those of an everyday suite, of 50 cases and 6 repetitions, and 10,000, in two shapes:
//! few cases of many attempts, and many of few.
//!
//! `cargo bench -p placebench-report --bench scale -- [ATTEMPTS]`. Each part is timed on its own, so that the one that grows
//! too fast shows; the smallest of some rounds is printed, since whatever else runs only adds.
#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a bench prints what it has measured"
)]

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use placebench_core::device::DeviceId;
use placebench_core::judge::judge;
use placebench_core::outcome::Outcome;
use placebench_core::placement::{DeviceMapRequest, StrategyName};
use placebench_core::protocol::TokenLogit;
use placebench_core::record::{Attempt, RunRecord};
use placebench_report::view::ReportView;
use placebench_report::{artifacts, format, plots};

const ATTEMPTS: usize = 10_000;
const ROUNDS: usize = 3;
/// A size of run, with what it may take and how large its page may be, as the project promises.
struct Shape {
    name: &'static str,
    attempts: usize,
    per_case: usize,
    budget: Duration,
    most_page_bytes: usize,
}

/// Those that are timed, `attempts` being the size of the large ones.
fn shapes(attempts: usize) -> [Shape; 3] {
    let large = |name, per_case| Shape {
        name,
        attempts,
        per_case,
        budget: Duration::from_secs(2),
        most_page_bytes: usize::MAX,
    };
    let suite = Shape {
        name: "a suite",
        attempts: 300,
        per_case: 6,
        budget: Duration::from_secs(1),
        most_page_bytes: 2 << 20,
    };
    [suite, large("few cases", 200), large("many cases", 6)]
}

fn placements() -> [(&'static str, DeviceMapRequest, usize); 3] {
    [
        ("single", DeviceMapRequest::Single(DeviceId::cpu()), 0),
        ("auto", sample::strategy(StrategyName::Auto), 4),
        ("manual", sample::manual(), 5),
    ]
}

/// A run of that many attempts, as a suite leaves it: three placements of a prompt, each token with its likeliest rivals.
fn run_of(attempts: usize, per_case: usize) -> RunRecord {
    let mut record = sample::empty();
    for scenario in 0..attempts.div_ceil(3 * per_case) {
        for (placement, request, split) in placements() {
            let spec = sample::spec(&format!("suite/scenario-{scenario:04}"), "story", placement, request);
            let placed = sample::realised(split, "sim:0", "sim:1");
            for number in 0..per_case as u32 {
                record.attempts.push(attempt_of(&spec.case, number, &placed, split));
            }
            record.info.cases.push(spec);
        }
    }
    record
}

fn attempt_of(case: &str, number: u32, placed: &[placebench_core::protocol::RealisedModule], split: usize) -> Attempt {
    let mut generation = sample::generation(sample::TEXT, number, 0.04, 0.012, u32::from(split > 0));
    let rivals = |&id: &u32| {
        (0..5_u8).map(move |rank| TokenLogit {
            id: id + u32::from(rank),
            logit: f32::from(9 - rank),
        })
    };
    generation.top5 = generation.output_ids.iter().map(|id| rivals(id).collect()).collect();
    generation.stage_times_s = generation
        .output_ids
        .iter()
        .map(|_| vec![0.004, 0.001, 0.006])
        .collect();
    let mut memory = sample::memory("sim:0", 1 << 20, 1 << 16, 3 << 19, 2 << 20);
    memory.extend(sample::memory("sim:1", 1 << 20, 1 << 16, 3 << 19, 4 << 20));
    Attempt {
        planned: Some(sample::planned(placed)),
        realised: Some(placed.to_vec()),
        places: placed
            .iter()
            .map(|module| (module.module.clone(), module.device.clone()))
            .collect(),
        memory,
        generations: vec![generation],
        ..sample::attempt(case, number, Outcome::Completed)
    }
}

fn timed<T>(into: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let made = black_box(work());
    *into = (*into).min(start.elapsed());
    made
}

fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let attempts = asked.unwrap_or(ATTEMPTS);
    println!("judging and rendering, the least of {ROUNDS} rounds, in seconds");
    shapes(attempts).iter().for_each(measure);
}

fn verdict(is_within: bool) -> &'static str {
    if is_within { "within" } else { "ABOVE" }
}

fn measure(shape: &Shape) {
    let mut record = run_of(shape.attempts, shape.per_case);
    let mut times = [Duration::MAX; 7];
    let [judging, view_time, csv, junit, html, pictures, all] = &mut times;
    let (mut made, mut picture_bytes, mut page_bytes) = (0, 0, 0);
    for _ in 0..ROUNDS {
        record.verdict = timed(judging, || judge(&record.info, &record.attempts, &HashMap::new(), true));
        let view = timed(view_time, || ReportView::new(&record));
        timed(csv, || format::csv::render(&record).is_ok());
        timed(junit, || format::junit::render(&record).is_ok());
        page_bytes = timed(html, || format::html::render(&view).map_or(0, |page| page.len()));
        let painted = timed(pictures, || plots(&view).unwrap_or_default());
        (made, picture_bytes) = (painted.len(), painted.iter().map(|picture| picture.bytes.len()).sum());
        // As a run does it: the page beside the pictures.
        timed(all, || artifacts(&record).is_ok());
    }
    let together = *judging + *all;
    let [judging, view, csv, junit, html, pictures, _] = times.map(|time| time.as_secs_f64());
    println!(
        "{} ({} attempts, {} cases of {}): judge {judging:.3}, view {view:.3}, csv {csv:.3}, junit {junit:.3}, html {html:.3}, {made} \
         pictures of {} KiB {pictures:.3}; together {:.3} ({} {} s); page of {} KiB{}",
        shape.name,
        record.attempts.len(),
        record.info.cases.len(),
        shape.per_case,
        picture_bytes / 1024,
        together.as_secs_f64(),
        verdict(together <= shape.budget),
        shape.budget.as_secs(),
        page_bytes / 1024,
        match shape.most_page_bytes {
            usize::MAX => String::new(),
            most => format!(" ({} {} KiB)", verdict(page_bytes <= most), most / 1024),
        }
    );
}

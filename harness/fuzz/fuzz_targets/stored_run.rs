//! A run's folder: `run.json` in the first line, `attempts.jsonl` after it. Read, judged, and rendered in every format.
//! No text of it gets into a page as markup. One input in 64 is drawn as pictures too, which takes long.
#![no_main]

use std::collections::HashMap;
use std::path::Path;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use placebench_core::judge::judge;
use placebench_core::record::{RunRecord, RunVerdict};
use placebench_fuzz::json_lines;
use placebench_report::format::{csv, html, junit, markdown};
use placebench_report::view::ReportView;
use placebench_runner::run::skip_reason;
use placebench_runner::schedule::schedule;
use placebench_runner::store;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json_lines::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (run, attempts) = data.split_at(end);
    let attempts = attempts.get(1..).unwrap_or_default();
    let Ok(parts) = store::parse(Path::new("/reports/run"), run, attempts) else {
        return;
    };
    let _done = parts.done();
    // What a resumed run would do first.
    drop(schedule(&parts.info.cases, parts.info.seed));
    for case in &parts.info.cases {
        let _skipped = skip_reason(case, 0);
    }
    let verdict = judge(&parts.info, &parts.attempts, &HashMap::new(), true);
    let stored = serde_json::to_vec(&verdict).expect("a verdict can be stored");
    let _: RunVerdict = serde_json::from_slice(&stored).expect("what is stored can be read");
    let record = RunRecord {
        info: parts.info,
        attempts: parts.attempts,
        verdict,
    };
    let view = ReportView::new(&record);
    let page = html::render(&view).expect("a page can be made");
    let xml = String::from_utf8(junit::render(&record).expect("JUnit can be made")).expect("JUnit is text");
    let table = markdown::render(&view);
    for (format, text) in [("html", &page), ("junit", &xml), ("markdown", &table)] {
        assert!(!text.contains(json_lines::MARKER), "{format} holds markup of a record");
    }
    csv::render(&record).expect("a table can be made");
    if data.len() % 64 == 0 {
        let pictures = placebench_report::plots(&view).expect("pictures can be drawn");
        assert!(pictures.iter().all(|picture| !picture.path.contains("..")));
    }
});

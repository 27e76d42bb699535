//! The account of a device against the memory that the process really takes.
//!
//! What counts on the host is anonymous memory: weights, caches and activations are all in buffers of our own. Pages of the
//! mapped model file do not count: they are the page cache's, and the kernel takes them back when it needs them.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::request::{halves_of, manual, open, request, single};
use common::synthetic::{Sizes, write};
use placebench_core::placement::{Concurrency, Offload};
use placebench_core::protocol::{MemoryKind, Prompt};
use placebench_engine::Session;

/// Says which measurement a child of this test makes.
const CHILD: &str = "PLACEBENCH_TEST_MEMORY";
/// Says with which model. It is not written by the child, whose heap shall be empty.
const MODEL: &str = "PLACEBENCH_TEST_MODEL";

/// 136 MiB of weights.
const SIZES: Sizes = Sizes {
    hidden: 512,
    intermediate: 2048,
    layers: 8,
    heads: 8,
    vocab: 4096,
    positions: 2048,
};

/// Anonymous memory of this process in bytes.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}

/// The most there was while `work` went on, by looking all the time.
fn peak_during(work: impl FnOnce()) -> u64 {
    let is_over = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            let mut peak = 0;
            while !is_over.load(Ordering::Relaxed) {
                peak = peak.max(anonymous());
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            peak
        }
    });
    work();
    is_over.store(true, Ordering::Relaxed);
    watcher.join().unwrap()
}

/// What a child measures: the sum of the accounts' peaks, and the growth of the process.
fn measure(what: &str, model: &Path) -> (u64, u64) {
    let (prompt, new_tokens, concurrency, map) = match what {
        "weights" => (8, 8, Concurrency::Single, single("sim:0")),
        "activations" => (1500, 4, Concurrency::Single, single("sim:0")),
        "caches" => (16, 500, Concurrency::Batch(6), single("sim:0")),
        "in flight" => (300, 8, Concurrency::InFlight(3), halves_of(8, "sim:0", "sim:1")),
        "disk" => {
            let on_disk = [("model", "sim:0"), ("lm_head", "sim:0"), ("model.layers.2-7", "disk")];
            (8, 8, Concurrency::Single, manual(&on_disk))
        }
        "split" => (8, 8, Concurrency::Single, halves_of(8, "sim:0", "sim:1")),
        other => unreachable!("no measurement {other}"),
    };
    let mut asked = request(model, map);
    asked.prompt = Prompt::InputIds((0..prompt).map(|i| 3 + i % 1000).collect());
    asked.placement.offload = Offload::Stream;
    asked.placement.concurrency = concurrency;
    asked.companion_prompts = vec![asked.prompt.clone(); concurrency.sequences() as usize - 1];
    asked.generation.max_new_tokens = new_tokens;
    let before = anonymous();
    let mut accounts = 0;
    let peak = peak_during(|| {
        let (mut session, mut context, _) = open(&asked).unwrap();
        session.generate(&mut context).unwrap();
        let figures = session.memory().into_iter();
        let peaks = figures.filter(|figure| figure.kind == MemoryKind::Peak);
        accounts = peaks.map(|figure| figure.bytes.0).sum();
    });
    (accounts, peak - before)
}

/// Runs a measurement in a process of its own, so that nothing is left in its heap from others.
fn in_a_child(what: &str, model: &Path) -> (u64, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--include-ignored"])
        .env(CHILD, what)
        .env(MODEL, model)
        .env("RAYON_NUM_THREADS", "2")
        // What is freed goes back to the system at once. Otherwise glibc keeps some of it for each thread, which is its
        // doing and no part of the account.
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once("measured ")).unwrap().1;
    let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
#[ignore = "one measurement, made by the tests below in a process of its own"]
fn child() {
    if let (Ok(what), Some(model)) = (std::env::var(CHILD), std::env::var_os(MODEL)) {
        let (account, real) = measure(&what, Path::new(&model));
        println!("measured {account} {real}");
    }
}

/// Each of the terms once as the one that decides: weights, activations, caches; on one device and on two; and with layers
/// that are in no memory but while they are used.
#[test]
fn accounts_are_within_five_percent_of_what_the_process_takes() {
    let model = write(SIZES);
    let mut wrong = Vec::new();
    let mut taken = BTreeMap::new();
    for what in ["weights", "activations", "caches", "split", "in flight", "disk"] {
        let (account, real) = in_a_child(what, model.path());
        let line = format!(
            "{what}: account {account}, process {real}, ratio {:.4}",
            account as f64 / real as f64
        );
        println!("{line}");
        taken.insert(what, real);
        if account.abs_diff(real) * 20 >= real {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Six of eight layers are on disk, and one of them at a time in memory.
    assert!(taken["disk"] * 2 < taken["weights"], "{taken:?}");
}

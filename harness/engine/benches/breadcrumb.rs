//! What it costs a worker to say where it is, on a page in shared memory as a supervisor makes it.
//!
//! `cargo bench -p placebench-engine --bench breadcrumb` (with optimisation, as published figures are). A step of the
//! breadcrumb should stay under 50 ns: a decode step of a model with 32 layers takes some 40 of them.

#![expect(clippy::unwrap_used, reason = "a benchmark without its page measures nothing")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use placebench_core::breadcrumb::PAGE_BYTES;
use placebench_core::device::DeviceId;
use placebench_core::outcome::Hop;
use placebench_engine::Context;
use placebench_engine::breadcrumb::BreadcrumbWriter;
use placebench_engine::faults::FaultPlan;
use rustix::time::{ClockId, clock_gettime};
use tempfile::NamedTempFile;

const LAYERS: usize = 32;

fn page() -> NamedTempFile {
    let shared = Path::new("/dev/shm");
    let file = if shared.is_dir() {
        NamedTempFile::new_in(shared)
    } else {
        NamedTempFile::new()
    };
    let file = file.unwrap();
    file.as_file().set_len(PAGE_BYTES as u64).unwrap();
    file
}

fn breadcrumb(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breadcrumb");
    let file = page();
    let writer = BreadcrumbWriter::open(file.path()).unwrap();
    group.bench_function("module", |bencher| bencher.iter(|| writer.module(black_box(7))));
    group.bench_function("token", |bencher| bencher.iter(|| writer.token(black_box(7))));
    // How much of a step is the clock.
    group.bench_function("clock", |bencher| bencher.iter(|| clock_gettime(ClockId::Monotonic)));
    group.finish();
}

/// What an engine calls: the breadcrumb, the faults (none here), and the place that a failure would name.
fn context(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("context");
    let file = page();
    let writer = BreadcrumbWriter::open(file.path()).unwrap();
    let mut context = Context::new(Box::new(std::io::sink()), writer, FaultPlan::default());
    let device = |name| DeviceId::new(name).unwrap();
    let modules = (0..LAYERS).map(|layer| (format!("model.layers.{layer}"), device("sim:0")));
    let hop = Hop {
        from_module: "model.layers.15".into(),
        to_module: "model.layers.16".into(),
        from_device: device("sim:0"),
        to_device: device("sim:1"),
    };
    context.set_places(modules.collect(), vec![hop]);
    context.begin_token(3);
    group.bench_function("enter_module", |bencher| {
        bencher.iter(|| context.enter_module(black_box(7)));
    });
    group.bench_function("enter_hop", |bencher| bencher.iter(|| context.enter_hop(black_box(0))));
    group.finish();
}

criterion_group!(benches, breadcrumb, context);
criterion_main!(benches);

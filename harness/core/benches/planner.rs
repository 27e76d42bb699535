//! How long a plan of a real model takes: `cargo bench -p placebench-core --bench planner`.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use placebench_core::module_tree::ModuleTree;
use placebench_core::placement::StrategyName;
use placebench_core::planner::{MemoryLimit, PlanDevice, PlanRequest, plan};

const GIB: u64 = 1 << 30;

/// Model, number of accelerators, budget of each.
const CASES: [(&str, i32, u64); 3] = [
    ("qwen2.5-72b-instruct", 8, 24 * GIB),
    ("llama-3.1-8b", 2, 10 * GIB),
    ("gpt2", 4, GIB / 16),
];

fn tree_json(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accelerate/models");
    fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()
}

fn request(accelerators: i32, bytes: u64) -> PlanRequest {
    let budgets = (0..accelerators).map(|index| (PlanDevice::Accelerator(index), MemoryLimit::from(bytes)));
    PlanRequest {
        max_memory: Some(
            budgets
                .chain([(PlanDevice::Cpu, MemoryLimit::from(64 * GIB))])
                .collect(),
        ),
        dtype: Some("float16".into()),
        ..PlanRequest::new(StrategyName::Auto)
    }
}

fn plans(criterion: &mut Criterion) {
    for (model, accelerators, bytes) in CASES {
        let tree: ModuleTree = serde_json::from_str(&tree_json(model)).unwrap();
        let request = request(accelerators, bytes);
        criterion.bench_function(&format!("plan/auto/{model}/{accelerators}"), |bencher| {
            bencher.iter(|| plan(black_box(&tree), black_box(&request)));
        });
    }
}

fn trees(criterion: &mut Criterion) {
    let json = tree_json("qwen2.5-72b-instruct");
    criterion.bench_function("module_tree/read/qwen2.5-72b-instruct", |bencher| {
        bencher.iter(|| serde_json::from_str::<ModuleTree>(black_box(&json)));
    });
}

criterion_group!(benches, plans, trees);
criterion_main!(benches);

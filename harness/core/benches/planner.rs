//! How long plans take: `cargo bench -p placebench-core --bench planner`.
//!
//! `plan/auto` plans real models. `plan/modules` and `plan/devices` grow a made-up model and the number of devices;
//! criterion's reports draw both, and linear growth is a straight line.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use placebench_core::module_tree::{ModuleTree, TensorKind, from_config};
use placebench_core::placement::StrategyName;
use placebench_core::planner::{MemoryLimit, PlanDevice, PlanRequest, plan};

const GIB: u64 = 1 << 30;

/// Model, number of accelerators, budget of each.
const CASES: [(&str, i32, u64); 4] = [
    ("qwen2.5-72b-instruct", 8, 24 * GIB),
    ("qwen2.5-3b-instruct", 2, 4 * GIB),
    ("llama-3.1-8b", 2, 10 * GIB),
    ("gpt2", 4, GIB / 16),
];

/// How a made-up tree looks to a planner.
#[derive(Clone, Copy)]
enum Shape {
    /// Blocks that are never divided.
    Blocks,
    /// Blocks that may be divided, all of different sizes, the largest first: every block that is placed changes what
    /// the largest layer of the rest is.
    Shrinking,
}

/// Modules of a made-up block: itself and its layers.
const BLOCK_MODULES: usize = 10;

fn tree_json(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accelerate/models");
    fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()
}

/// A tree with about that many modules, and a head that is tied to the embedding.
fn made_up(modules: usize, shape: Shape) -> ModuleTree {
    let mut builder = ModuleTree::builder("made-up", "Net").no_split_classes(match shape {
        Shape::Blocks => vec!["Block"],
        Shape::Shrinking => Vec::new(),
    });
    let mut layer = |path: String, elements: u64| {
        builder.push_tensor(format!("{path}.weight"), TensorKind::Param, "float32", [elements], None);
        builder.push_module(path, "Linear");
    };
    layer("embed".into(), 1000);
    layer("head".into(), 1000);
    let blocks = modules / BLOCK_MODULES;
    for block in 0..blocks {
        for part in 1..BLOCK_MODULES {
            let elements = match shape {
                Shape::Blocks => 100,
                Shape::Shrinking => u64::try_from(blocks - block).unwrap() * 10,
            };
            layer(format!("layers.{block}.l{part}"), elements);
        }
    }
    builder.push_module("layers", "ModuleList");
    for block in 0..blocks {
        builder.push_module(format!("layers.{block}"), "Block");
    }
    builder.tie(["embed.weight", "head.weight"]).build().unwrap()
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

fn modules(criterion: &mut Criterion) {
    for (name, shape) in [("blocks", Shape::Blocks), ("shrinking", Shape::Shrinking)] {
        let mut group = criterion.benchmark_group(format!("plan/modules/{name}"));
        for count in [1000, 10_000, 100_000] {
            let tree = made_up(count, shape);
            let request = request(8, 16 * GIB);
            group.throughput(Throughput::Elements(u64::try_from(tree.modules().len()).unwrap()));
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| plan(black_box(&tree), black_box(&request)));
            });
        }
    }
}

fn devices(criterion: &mut Criterion) {
    let tree: ModuleTree = serde_json::from_str(&tree_json("qwen2.5-72b-instruct")).unwrap();
    let mut group = criterion.benchmark_group("plan/devices");
    for count in [1, 4, 16, 64] {
        let request = request(count, 200 * GIB / u64::try_from(count).unwrap());
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| plan(black_box(&tree), black_box(&request)));
        });
    }
}

fn trees(criterion: &mut Criterion) {
    let json = tree_json("qwen2.5-72b-instruct");
    criterion.bench_function("module_tree/read/qwen2.5-72b-instruct", |bencher| {
        bencher.iter(|| serde_json::from_str::<ModuleTree>(black_box(&json)));
    });
    let tree: ModuleTree = serde_json::from_str(&json).unwrap();
    let config = tree.config().unwrap();
    criterion.bench_function("module_tree/from_config/qwen2.5-72b-instruct", |bencher| {
        bencher.iter(|| from_config("qwen2.5-72b-instruct", black_box(config)));
    });
}

criterion_group!(benches, plans, modules, devices, trees);
criterion_main!(benches);

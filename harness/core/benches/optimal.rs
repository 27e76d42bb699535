//! How long the fastest placement of a large model takes to find: `cargo bench -p placebench-core --bench optimal`.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use placebench_core::module_tree::ModuleTree;
use placebench_core::planner::{
    Decoder, DeviceRates, ModelShape, Objective, OptimalRequest, PlanDevice, Rates, Workload, execution_order,
    plan_optimal,
};
use placebench_core::units::Bytes;

const GIB: u64 = 1 << 30;

/// 80 layers, in bfloat16.
fn decoder(tied: bool) -> Decoder {
    let path = "tests/data/accelerate/models/qwen2.5-72b-instruct.json";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let tree: ModuleTree = serde_json::from_str(&text).unwrap();
    let shape = ModelShape::from_config(tree.config().unwrap()).unwrap();
    let mut decoder = Decoder::new(&tree, &execution_order(&tree), shape, Some("bfloat16")).unwrap();
    let last = decoder.modules.len() - 1;
    decoder.tie = tied.then(|| placebench_core::planner::Tie {
        embedding: 0,
        head: last,
        bytes: decoder.modules[last].weight_bytes,
    });
    decoder
}

/// Devices that differ by `step`: nothing for equal ones.
fn devices(count: i32, gib: u64, step: u64) -> (Vec<(PlanDevice, Option<Bytes>)>, Rates<PlanDevice>) {
    let mut rates = Rates::default();
    let mut devices = Vec::new();
    for index in 0..count {
        let extra = step * u64::from(index.unsigned_abs());
        let device = PlanDevice::Accelerator(index);
        devices.push((device, Some(Bytes(gib * GIB + extra * GIB))));
        let own = DeviceRates {
            memory_bytes_per_s: 1e12 + extra as f64 * 1e11,
            ..rates.default_device
        };
        rates.devices.push((device, own));
    }
    (devices, rates)
}

fn plans(criterion: &mut Criterion) {
    let workload = Workload::new(2048, 512, 2);
    // All eight are needed, or two would do: the more room, the more stages are possible.
    let cases = [
        ("equal/8/tight", 8, 24, 0, false),
        ("equal/8/roomy", 8, 96, 0, false),
        ("unlike/8/tight", 8, 20, 1, false),
        ("unlike/8/roomy", 8, 160, 1, false),
        ("unlike/8/roomy/tied", 8, 160, 1, true),
        ("unlike/8/too_small", 8, 8, 1, false),
        ("unlike/12/roomy", 12, 160, 1, false),
    ];
    for (name, count, gib, step, tied) in cases {
        let decoder = decoder(tied);
        let (devices, rates) = devices(count, gib, step);
        let request = OptimalRequest {
            decoder: &decoder,
            workload: &workload,
            devices: &devices,
            rates: &rates,
            objective: Objective::Tpot,
        };
        criterion.bench_function(&format!("plan_optimal/80_layers/{name}"), |bencher| {
            bencher.iter(|| plan_optimal(black_box(&request)));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = plans
}
criterion_main!(benches);

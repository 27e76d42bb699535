//! A generation on one and on two logical devices, side by side: what placement itself costs.

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::placement::{DeviceMapRequest, Offload, PlacementRequest, Transfer};
use placebench_core::protocol::{GenerationSpec, ModelSource, PROTOCOL_VERSION, Prompt, WorkerRequest};
use placebench_engine::{Context, Session};
use placebench_engine_candle::session::CandleSession;

const NEW_TOKENS: u32 = 32;

fn request(device_map: DeviceMapRequest, devices: Vec<LogicalDevice>) -> WorkerRequest {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny/qwen2-tied");
    WorkerRequest {
        protocol: PROTOCOL_VERSION,
        case: "bench".into(),
        engine: "candle".into(),
        model: ModelSource::Path(model.display().to_string()),
        dtype: None,
        devices,
        rates: None,
        placement: PlacementRequest {
            device_map,
            max_memory: None,
            transfer: Transfer::Direct,
            offload: Offload::Execute,
            planner: Default::default(),
            concurrency: Default::default(),
        },
        prompt: Prompt::InputIds(vec![7, 11, 200]),
        companion_prompts: Vec::new(),
        generation: GenerationSpec {
            max_new_tokens: NEW_TOKENS,
            sampling: None,
            ignore_eos: true,
            stop: Vec::new(),
        },
        warmup: 0,
        repetitions: 1,
        audit: false,
        faults: Vec::new(),
        probe: false,
        server: None,
        transformers: None,
    }
}

fn decode(criterion: &mut Criterion) {
    let ids: Vec<DeviceId> = ["sim:0", "sim:1"]
        .iter()
        .filter_map(|name| DeviceId::new(name).ok())
        .collect();
    let [first, second] = ids.as_slice() else { return };
    let devices: Vec<LogicalDevice> = ids
        .iter()
        .map(|id| LogicalDevice {
            id: id.clone(),
            on: DeviceId::cpu(),
            memory_bytes: None,
        })
        .collect();
    let split = [
        ("model.embed_tokens", first),
        ("model.layers.0-1", first),
        ("model.layers.2-3", second),
        ("model.norm", second),
        ("lm_head", second),
    ];
    let split = split.map(|(key, device)| (key.to_owned(), device.clone())).to_vec();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(u64::from(NEW_TOKENS)));
    for (name, map) in [
        ("one_device", DeviceMapRequest::Single(first.clone())),
        ("two_devices", DeviceMapRequest::Manual(split)),
    ] {
        let mut context = Context::unheard();
        let opened = CandleSession::open(&request(map, devices.clone()), &mut context);
        let Ok(mut session) = opened else { continue };
        group.bench_function(name, |bencher| bencher.iter(|| session.generate(&mut context).is_ok()));
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);

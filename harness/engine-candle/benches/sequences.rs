//! What several sequences gain over one at a time, on two logical devices of one thread each.
//!
//! Where two threads do not get two cores, stages side by side take as long as one after the other. So the last model is
//! also run with links that take long and need no core (the injected fault `slow_link`): what that gains does not depend on
//! how many cores are free.
//!
//! The ways are taken in turn, round after round, so that a load from elsewhere meets all of them; the medians of the rounds'
//! ratios are printed. Criterion measures one thing after the other, which on a shared machine compares loads.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints what it has measured"
)]

#[path = "../tests/common/synthetic.rs"]
#[expect(clippy::unwrap_used, reason = "what cannot be written cannot be measured")]
mod synthetic;

use std::path::Path;
use std::time::Instant;

use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::judge::median;
use placebench_core::outcome::WorkerFailure;
use placebench_core::placement::{Concurrency, DeviceMapRequest, Offload, PlacementRequest, Transfer};
use placebench_core::protocol::{GenerationSpec, ModelSource, PROTOCOL_VERSION, Prompt, WorkerRequest};
use placebench_engine::breadcrumb::BreadcrumbWriter;
use placebench_engine::faults::FaultPlan;
use placebench_engine::{Context, Session};
use placebench_engine_candle::session::CandleSession;
use synthetic::Sizes;

const NEW_TOKENS: u32 = 32;
const ROUNDS: usize = 11;

/// Large enough for reading the weights to take what a step takes.
const LARGE: Sizes = Sizes {
    hidden: 512,
    intermediate: 1536,
    layers: 8,
    heads: 8,
    vocab: 2048,
    positions: 256,
};

const WAYS: [(&str, Concurrency); 5] = [
    ("one at a time", Concurrency::Single),
    ("2 in flight", Concurrency::InFlight(2)),
    ("4 in flight", Concurrency::InFlight(4)),
    ("batch of 2", Concurrency::Batch(2)),
    ("batch of 4", Concurrency::Batch(4)),
];

fn request(model: &Path, concurrency: Concurrency) -> Option<WorkerRequest> {
    let ids = ["sim:0", "sim:1"].map(|name| DeviceId::new(name).ok());
    let [Some(first), Some(second)] = ids else { return None };
    let device = |id: &DeviceId| LogicalDevice {
        id: id.clone(),
        on: DeviceId::cpu(),
        memory_bytes: None,
    };
    let split = [
        ("model.embed_tokens", &first),
        ("model.layers.0-3", &first),
        ("model.layers.4-7", &second),
        // Back again, so that there are two links to wait for, one behind each device.
        ("model.norm", &first),
        ("lm_head", &first),
    ];
    let prompt = Prompt::InputIds(vec![7, 11, 200, 31, 5]);
    Some(WorkerRequest {
        protocol: PROTOCOL_VERSION,
        case: "bench".into(),
        engine: "candle".into(),
        model: ModelSource::Path(model.display().to_string()),
        dtype: None,
        devices: vec![device(&first), device(&second)],
        rates: None,
        placement: PlacementRequest {
            device_map: DeviceMapRequest::Manual(split.map(|(key, device)| (key.to_owned(), device.clone())).to_vec()),
            max_memory: None,
            transfer: Transfer::Direct,
            offload: Offload::Execute,
            planner: Default::default(),
            concurrency,
        },
        companion_prompts: vec![prompt.clone(); concurrency.sequences() as usize - 1],
        prompt,
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
    })
}

/// Tokens per second of all sequences together.
fn rate(session: &mut CandleSession, sequences: u32, context: &mut Context) -> Result<f64, WorkerFailure> {
    let start = Instant::now();
    session.generate(context)?;
    Ok(f64::from(sequences * NEW_TOKENS) / start.elapsed().as_secs_f64())
}

/// Every hop takes this long.
fn slow_links() -> Vec<Fault> {
    vec![Fault {
        delay_s: Some(0.01),
        ..Fault::new(FaultKind::SlowLink, FaultPoint::default())
    }]
}

fn compare(model: &Path, faults: Vec<Fault>) -> Result<(), WorkerFailure> {
    let faults = FaultPlan::new(faults);
    let mut context = Context::new(Box::new(std::io::sink()), BreadcrumbWriter::unread(), faults);
    let mut sessions = Vec::new();
    for (name, concurrency) in WAYS {
        let Some(request) = request(model, concurrency) else {
            return Ok(());
        };
        let mut session = CandleSession::open(&request, &mut context)?;
        rate(&mut session, concurrency.sequences(), &mut context)?;
        sessions.push((name, concurrency.sequences(), session, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, sequences, session, rates) in &mut sessions {
            rates.push(rate(session, *sequences, &mut context)?);
        }
    }
    let base: Vec<f64> = sessions
        .first()
        .map(|(_, _, _, rates)| rates.clone())
        .unwrap_or_default();
    for (name, _, _, rates) in &sessions {
        let ratios: Vec<f64> = rates.iter().zip(&base).map(|(rate, base)| rate / base).collect();
        let (Some(rate), Some(ratio)) = (median(rates), median(&ratios)) else {
            continue;
        };
        println!("{name:>14}: {rate:8.1} tokens/s, {ratio:.2} times one at a time");
    }
    Ok(())
}

fn main() {
    let threads = std::env::var("RAYON_NUM_THREADS");
    if threads.as_deref() != Ok("1") {
        eprintln!(
            "RAYON_NUM_THREADS is not 1: the devices are not limited to a thread each, so this is no comparison of stages"
        );
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/models/tiny");
    let large = synthetic::write(LARGE);
    for (name, model, faults) in [
        ("104 MiB, random", large.path(), Vec::new()),
        ("3 MiB, shipped", shipped.as_path(), Vec::new()),
        ("3 MiB, shipped, with links of 10 ms", shipped.as_path(), slow_links()),
    ] {
        println!("{name}");
        if let Err(failure) = compare(model, faults) {
            eprintln!("{}", failure.message);
        }
    }
}

//! Requests as a supervisor would write them, and events as it would read them.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use placebench_core::device::{DeviceId, LogicalDevice};
use placebench_core::fault::{Fault, FaultKind, FaultPoint};
use placebench_core::outcome::WorkerFailure;
use placebench_core::placement::{DeviceMapRequest, Offload, PlacementRequest, StrategyName, Transfer};
use placebench_core::protocol::{
    EventKind, Generation, GenerationSpec, ModelSource, PROTOCOL_VERSION, Prompt, WorkerEvent, WorkerRequest,
};
use placebench_core::units::Bytes;
use placebench_engine::breadcrumb::BreadcrumbWriter;
use placebench_engine::faults::FaultPlan;
use placebench_engine::{Context, Session};
use placebench_engine_candle::session::CandleSession;

pub(crate) const PROMPT: [u32; 5] = [7, 11, 200, 3, 45];

pub(crate) fn id(name: &str) -> DeviceId {
    DeviceId::new(name).unwrap()
}

/// `sim:0`, `sim:1`, … on the host with these budgets.
pub(crate) fn logical(budgets: &[Option<u64>]) -> Vec<LogicalDevice> {
    let device = |(index, bytes): (usize, &Option<u64>)| LogicalDevice {
        id: id(&format!("sim:{index}")),
        on: DeviceId::cpu(),
        memory_bytes: bytes.map(Bytes),
    };
    budgets.iter().enumerate().map(device).collect()
}

/// A map from module or range to device.
pub(crate) fn manual(map: &[(&str, &str)]) -> DeviceMapRequest {
    DeviceMapRequest::Manual(
        map.iter()
            .map(|(key, device)| ((*key).to_owned(), id(device)))
            .collect(),
    )
}

/// Embedding and layers 0-1 on `first`, the rest on `second`.
pub(crate) fn halves(first: &str, second: &str) -> DeviceMapRequest {
    manual(&[
        ("model.embed_tokens", first),
        ("model.layers.0-1", first),
        ("model.layers.2-3", second),
        ("model.norm", second),
        ("lm_head", second),
    ])
}

/// The same for a model of that many layers.
pub(crate) fn halves_of(layers: usize, first: &str, second: &str) -> DeviceMapRequest {
    let middle = layers / 2;
    manual(&[
        ("model.embed_tokens", first),
        (&format!("model.layers.0-{}", middle - 1), first),
        (&format!("model.layers.{middle}-{}", layers - 1), second),
        ("model.norm", second),
        ("lm_head", second),
    ])
}

pub(crate) fn single(device: &str) -> DeviceMapRequest {
    DeviceMapRequest::Single(id(device))
}

pub(crate) fn strategy(name: &str) -> DeviceMapRequest {
    DeviceMapRequest::Strategy(StrategyName::from_name(name).unwrap())
}

/// Eight greedy tokens after [`PROMPT`] on two devices without budgets.
pub(crate) fn request(model: &Path, device_map: DeviceMapRequest) -> WorkerRequest {
    WorkerRequest {
        protocol: PROTOCOL_VERSION,
        case: "test".into(),
        engine: "candle".into(),
        model: ModelSource::Path(model.display().to_string()),
        dtype: None,
        devices: logical(&[None, None]),
        rates: None,
        placement: PlacementRequest {
            device_map,
            max_memory: None,
            transfer: Transfer::Direct,
            offload: Offload::Execute,
            planner: Default::default(),
            concurrency: Default::default(),
        },
        prompt: Prompt::InputIds(PROMPT.into()),
        companion_prompts: Vec::new(),
        generation: GenerationSpec {
            max_new_tokens: 8,
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

pub(crate) fn fault(kind: FaultKind, at: FaultPoint) -> Fault {
    Fault::new(kind, at)
}

/// A pipe whose other end stays readable.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    pub(crate) fn events(&self) -> Vec<EventKind> {
        let bytes = self.0.lock().unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice::<WorkerEvent>(line).unwrap().kind)
            .collect()
    }
}

/// A context that strikes with the faults of the request, and what it writes.
pub(crate) fn context(request: &WorkerRequest) -> (Context, Sink) {
    let sink = Sink::default();
    let faults = FaultPlan::new(request.faults.clone());
    (
        Context::new(Box::new(sink.clone()), BreadcrumbWriter::unread(), faults),
        sink,
    )
}

pub(crate) fn open(request: &WorkerRequest) -> Result<(CandleSession, Context, Sink), WorkerFailure> {
    let (mut context, sink) = context(request);
    CandleSession::open(request, &mut context).map(|session| (session, context, sink))
}

pub(crate) fn run(request: &WorkerRequest) -> Result<(Generation, CandleSession, Sink), WorkerFailure> {
    let (mut session, mut context, sink) = open(request)?;
    session
        .generate(&mut context)
        .map(|generation| (generation, session, sink))
}

//! The engine `candle-reference`: candle's own whole models on one device, the yardstick of the placed decoder.
//!
//! It shares model files, tokenizer, sampling and token loop with the placed decoder, and nothing of what computes: a text
//! that both give is one that neither placement nor decoder has bent.

mod model;

use placebench_core::device::{DeviceBytes, DeviceId, DeviceKind};
use placebench_core::fault::FaultKind;
use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};
use placebench_core::placement::DeviceMapRequest;
use placebench_core::protocol::{
    EventKind, Generation, MemoryFigure, PlannedPlacement, Probe, RealisedModule, WorkerRequest,
};
use placebench_core::units::Bytes;
use placebench_engine::{Context, Engine, Session};

use self::model::WholeModel;
use crate::checkpoint::{Checkpoint, CheckpointFormat};
use crate::device::{Devices, Ledger, Slot, Use};
use crate::dtype::{self, Hardware};
use crate::engine::CANDLE_VERSION;
use crate::error::EngineError;
use crate::generate::{StepModel, Stepped, Task, begin, run};
use crate::logits::probe_of;
use crate::model::cache::layer_cache_bytes;
use crate::model::{StepCounters, module_names};
use crate::prompt_probe::precision;
use crate::session::{Found, find};
use crate::text_offsets;
use crate::tokenizer::Tokenizer;
use crate::weights::Compute;

/// candle-transformers' whole models: `engine = "candle-reference"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferenceEngine;

impl Engine for ReferenceEngine {
    fn name(&self) -> &'static str {
        "candle-reference"
    }

    fn versions(&self) -> Vec<String> {
        vec![
            format!("placebench-engine-candle {}", env!("CARGO_PKG_VERSION")),
            format!("candle-core {CANDLE_VERSION}"),
            format!("candle-transformers {CANDLE_VERSION}"),
        ]
    }

    /// None: there is no hop to break, and a yardstick must not be bent.
    fn supports_fault(&self, _kind: FaultKind) -> bool {
        false
    }

    fn open(&self, request: &WorkerRequest, context: &mut Context) -> Result<Box<dyn Session>, WorkerFailure> {
        Ok(Box::new(ReferenceSession::open(request, context)?))
    }
}

/// A whole model on one device, with its prompt.
struct ReferenceSession {
    model: WholeModel,
    checkpoint: Checkpoint,
    compute: Compute,
    tokenizer: Option<Tokenizer>,
    input_ids: Vec<u32>,
    request: WorkerRequest,
    slot: Slot,
    ledger: Ledger,
    weights: Bytes,
}

impl ReferenceSession {
    fn open(request: &WorkerRequest, context: &mut Context) -> Result<Self, WorkerFailure> {
        context.phase(Phase::Resolve);
        let device = single_device(request).map_err(|error| error.into_failure(context))?;
        let Found {
            checkpoint,
            tokenizer,
            input_ids,
            devices,
            ..
        } = find(request, context).map_err(|error| error.into_failure(context))?;
        context.emit(EventKind::Devices {
            devices: devices.facts(),
        });

        context.phase(Phase::Plan);
        let slot = devices.slot(&device).ok_or_else(|| {
            let message = format!("{device} was not opened");
            context.failure(FailureClass::DeviceMissing, message)
        })?;
        let (compute, note) =
            compute(&checkpoint, request, &devices, slot).map_err(|error| error.into_failure(context))?;
        let capacity = input_ids.len() + request.generation.max_new_tokens as usize;
        model::check(&checkpoint, compute, capacity).map_err(|error| error.into_failure(context))?;
        let realised = realised(&checkpoint, compute, &device);
        let weights: Bytes = realised.iter().map(|module| module.bytes).sum();
        context.emit(EventKind::Planned(planned(&device, weights, note)));
        context.set_places(vec![("model".to_owned(), device.clone())], Vec::new());

        context.phase(Phase::Load);
        let ledger = Ledger::new(&devices);
        ledger.charge(context, slot, Use::Weights, weights.0, "model")?;
        let model = WholeModel::load(&checkpoint, compute, capacity, devices.handle(slot))
            .map_err(|error| error.into_failure(context))?;
        context.emit(EventKind::Loaded {
            realised,
            unused_tensors: checkpoint.unused.clone(),
            eos_token_ids: Some(checkpoint.config.eos_token_ids.clone()),
        });
        Ok(Self {
            model,
            checkpoint,
            compute,
            tokenizer,
            input_ids,
            request: request.clone(),
            slot,
            ledger,
            weights,
        })
    }

    /// Keys and values at the end of the longest generation of this request.
    fn cache_bytes(&self, capacity: usize) -> u64 {
        let config = &self.checkpoint.config;
        let layer = layer_cache_bytes(
            config.num_kv_heads,
            capacity,
            config.head_dim,
            self.compute.activations(),
        );
        layer * config.num_layers as u64
    }
}

impl Session for ReferenceSession {
    fn probe(&mut self, context: &mut Context) -> Result<Option<Probe>, WorkerFailure> {
        self.model.reset();
        let mut running = RunningModel {
            model: &mut self.model,
            position: 0,
        };
        let stepped = running.step(&self.input_ids, context);
        self.model.reset();
        let probe = probe_of(self.input_ids.len(), precision(self.compute), &stepped?.logits);
        Ok(Some(probe))
    }

    fn generate(&mut self, context: &mut Context) -> Result<Generation, WorkerFailure> {
        let start_s = begin(context);
        let task = Task {
            input_ids: &self.input_ids,
            spec: &self.request.generation,
            tokenizer: self.tokenizer.as_ref(),
        };
        let cache = self.cache_bytes(task.capacity());
        let _cache = self
            .ledger
            .charge_cache(context, self.slot, cache, "the cache of keys and values")?;
        self.model.reset();
        let mut running = RunningModel {
            model: &mut self.model,
            position: 0,
        };
        let result = run(
            &mut running,
            task,
            &self.checkpoint.config.eos_token_ids,
            start_s,
            context,
        );
        self.ledger.end_generation();
        result.map(|mut generation| {
            text_offsets::tell(&mut generation, self.tokenizer.as_ref());
            generation
        })
    }

    fn memory(&self) -> Vec<MemoryFigure> {
        self.ledger.figures(self.slot, self.weights.0).into()
    }
}

/// A whole model and how far it has come.
struct RunningModel<'a> {
    model: &'a mut WholeModel,
    position: usize,
}

impl StepModel for RunningModel<'_> {
    fn step(&mut self, ids: &[u32], context: &mut Context) -> Result<Stepped, WorkerFailure> {
        // For the breadcrumb; this engine takes no faults, so there is no effect to apply.
        let _: placebench_engine::faults::ModuleEffect = context.enter_module(0);
        let logits = self
            .model
            .forward(ids, self.position)
            .map_err(|error| EngineError::candle("computing the whole model")(error).into_failure(context))?;
        self.position += ids.len();
        Ok(Stepped {
            logits,
            counters: StepCounters::default(),
            stage_times_s: Vec::new(),
        })
    }
}

/// The one device that is asked for.
fn single_device(request: &WorkerRequest) -> Result<DeviceId, EngineError> {
    match &request.placement.device_map {
        DeviceMapRequest::Single(device) if device.kind() != DeviceKind::Disk => Ok(device.clone()),
        _ => Err(EngineError::Files {
            class: FailureClass::PlacementInvalid,
            message: "engine candle-reference runs whole models: its device_map must be the name of one device, \
                      such as \"cpu\", \"cuda:0\" or a logical device"
                .into(),
        }),
    }
}

fn compute(
    checkpoint: &Checkpoint,
    request: &WorkerRequest,
    devices: &Devices,
    slot: Slot,
) -> Result<(Compute, Option<String>), EngineError> {
    if checkpoint.format == CheckpointFormat::Gguf && request.dtype.is_some() {
        return Err(EngineError::Files {
            class: FailureClass::Unsupported,
            message: "engine candle-reference computes GGUF files as they are quantised: leave out dtype".into(),
        });
    }
    let hardware = if devices.handle(slot).is_cpu() {
        Hardware::HostOnly
    } else {
        Hardware::WithGpu
    };
    Ok(dtype::choose(checkpoint, request.dtype, hardware))
}

fn planned(device: &DeviceId, weights: Bytes, note: Option<String>) -> PlannedPlacement {
    PlannedPlacement {
        device_map: vec![(String::new(), device.clone())],
        budgets: Vec::new(),
        weights_bytes: vec![DeviceBytes {
            device: device.clone(),
            bytes: weights,
        }],
        warnings: note.into_iter().collect(),
        forecast: None,
    }
}

/// What candle-transformers holds for each module. It keeps its tensors to itself, so this is counted, not read back: as
/// many bytes as the checkpoint's tensors have in the dtype that is computed in; a quantised embedding is widened to
/// float32, and a head that is tied to it then stays quantised beside it.
fn realised(checkpoint: &Checkpoint, compute: Compute, device: &DeviceId) -> Vec<RealisedModule> {
    let bytes = |module: &str| -> u64 {
        let inside = format!("{module}.");
        let tensors = checkpoint
            .tensors
            .iter()
            .filter(|tensor| tensor.name.starts_with(&inside));
        match compute {
            Compute::Dense(dtype) => tensors
                .map(|tensor| tensor.shape.iter().product::<usize>() as u64 * dtype.size_in_bytes() as u64)
                .sum(),
            Compute::Quantised if module == "model.embed_tokens" => tensors
                .map(|tensor| tensor.shape.iter().product::<usize>() as u64 * 4)
                .sum(),
            Compute::Quantised => tensors.map(|tensor| tensor.bytes.0).sum(),
        }
    };
    let tied_quantised = checkpoint.config.tie_word_embeddings && compute == Compute::Quantised;
    module_names(&checkpoint.config)
        .into_iter()
        .map(|module| {
            let embedding = checkpoint.tensor("model.embed_tokens.weight");
            let bytes = match embedding {
                Some(embedding) if tied_quantised && module == "lm_head" => embedding.bytes.0,
                _ => bytes(&module),
            };
            RealisedModule {
                module,
                device: device.clone(),
                bytes: Bytes(bytes),
                rank: None,
            }
        })
        .collect()
}

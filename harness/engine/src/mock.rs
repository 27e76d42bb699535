//! The mock engine: deterministic to the byte, without weights and without candle.
//!
//! It reads the shape of a model from its `config.json`, plans and "loads" it like any engine, keeps to the budgets of
//! logical devices, makes every hop, and strikes every fault; only its text is made of numbers that follow from the
//! prompt. So everything around an engine can be tested in milliseconds.

use std::path::Path;

use placebench_core::device::{DeviceId, DeviceKind, LogicalDevice};
use placebench_core::fault::FaultKind;
use placebench_core::module_tree::{ModuleTree, TensorKind};
use placebench_core::outcome::{FailureClass, Hop, Phase, WorkerFailure};
use placebench_core::planner::{Mlp, ModelShape, Workload};
use placebench_core::protocol::{
    DeviceFacts, EventKind, FinishReason, Generation, GenerationSpec, MemoryFigure, MemoryKind, ModelSource, Probe,
    Prompt, RealisedModule, TokenLogit, WorkerRequest,
};
use placebench_core::units::Bytes;
use serde_json::Value;

use crate::faults::{HopEffect, ModuleEffect, TokenEffect};
use crate::plan::{self, Demand, Machine, Resolved};
use crate::{Context, Engine, Session, StepClock};

mod probe;

/// Bytes of keys and values a layer keeps for a token, in this engine.
const KV_BYTES_PER_TOKEN: u64 = 64;
/// Bytes of the hidden state of a token, in this engine.
const HIDDEN_BYTES: u64 = 256;
/// Tokens this engine can make.
const VOCABULARY: u64 = 1000;

/// `engine = "mock"`.
#[derive(Debug, Clone, Copy)]
pub struct MockEngine;

impl Engine for MockEngine {
    fn name(&self) -> &'static str {
        "mock"
    }

    fn versions(&self) -> Vec<String> {
        vec![format!("mock {}", env!("CARGO_PKG_VERSION"))]
    }

    fn supports_fault(&self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::Stall
            | FaultKind::ZeroCopy
            | FaultKind::StaleCopy
            | FaultKind::CorruptCopy
            | FaultKind::SlowLink
            | FaultKind::Nan
            | FaultKind::OutOfMemory
            | FaultKind::Crash
            | FaultKind::IgnoredSplit
            | FaultKind::Spill
            | FaultKind::Unkillable
            | FaultKind::Garbage => true,
            FaultKind::InputDevice | FaultKind::SplitTie | FaultKind::Leak => false,
        }
    }

    fn open(&self, request: &WorkerRequest, context: &mut Context) -> Result<Box<dyn Session>, WorkerFailure> {
        context.phase(Phase::Resolve);
        let layers = read_layers(&request.model, context)?;
        let tree = tree(layers).map_err(|error| context.failure(FailureClass::ModelInvalid, error.to_string()))?;
        context.emit(EventKind::Devices {
            devices: facts(&request.devices),
        });
        context.phase(Phase::Plan);
        let mut resolved = resolve(request, &tree, layers, context)?;
        context.emit(EventKind::Planned(resolved.planned.clone()));
        disobey(&mut resolved, context);
        let hops = hops(&resolved.modules);
        context.set_places(resolved.modules.clone(), hops);
        context.phase(Phase::Load);
        let mut ledger = Ledger::new(&request.devices);
        let realised = load(&resolved, &tree, &mut ledger, context)?;
        context.emit(EventKind::Loaded {
            realised,
            unused_tensors: Vec::new(),
            eos_token_ids: None,
        });
        Ok(Box::new(MockSession {
            input_ids: tokens(&request.prompt),
            generation: request.generation.clone(),
            modules: resolved.modules,
            ledger,
        }))
    }
}

/// A mock model is any folder with a `config.json` that says how many layers there are.
fn read_layers(model: &ModelSource, context: &Context) -> Result<usize, WorkerFailure> {
    let Some(path) = model.path().map(Path::new) else {
        return Err(context.failure(
            FailureClass::Unsupported,
            "the mock engine downloads nothing: give it a path",
        ));
    };
    // A configuration alone may have any name; the weights of a mock are dummies anyway.
    let config = match model {
        ModelSource::Dummy { .. } if path.is_file() => path.to_owned(),
        _ => path.join("config.json"),
    };
    let text = std::fs::read_to_string(&config)
        .map_err(|error| context.failure(FailureClass::ModelMissing, format!("{}: {error}", config.display())))?;
    let layers = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|config| config["num_hidden_layers"].as_u64());
    match layers.and_then(|layers| usize::try_from(layers).ok()) {
        Some(layers) if (1..=1000).contains(&layers) => Ok(layers),
        _ => Err(context.failure(
            FailureClass::ModelInvalid,
            format!(
                "{}: num_hidden_layers must be a number from 1 to 1000",
                config.display()
            ),
        )),
    }
}

/// 64 KiB of embedding, as much for the head, 32 KiB a layer: large enough for budgets to matter.
fn tree(layers: usize) -> Result<ModuleTree, placebench_core::module_tree::TreeError> {
    let mut tree = ModuleTree::builder("mock", "MockForCausalLM")
        .no_split_classes(["MockDecoderLayer"])
        .module("model", "MockModel")
        .module("model.embed_tokens", "Embedding")
        .module("model.layers", "ModuleList");
    for layer in 0..layers {
        tree.push_module(format!("model.layers.{layer}"), "MockDecoderLayer");
    }
    tree.push_module("model.norm", "MockNorm");
    tree.push_module("lm_head", "Linear");
    let mut weight = |module: &str, elements: u64| {
        tree.push_tensor(
            format!("{module}.weight"),
            TensorKind::Param,
            "float32",
            vec![elements],
            None,
        );
    };
    weight("model.embed_tokens", 16 * 1024);
    for layer in 0..layers {
        weight(&format!("model.layers.{layer}"), 8 * 1024);
    }
    weight("model.norm", 64);
    weight("lm_head", 16 * 1024);
    tree.build()
}

/// Dimensions that give the sizes above.
fn shape(layers: usize) -> ModelShape {
    ModelShape {
        layers: layers as u64,
        hidden: HIDDEN_BYTES / 4,
        intermediate: HIDDEN_BYTES / 4,
        heads: 1,
        kv_heads: 1,
        head_dim: KV_BYTES_PER_TOKEN / (2 * 4),
        vocab: VOCABULARY,
        max_positions: 1 << 20,
        tied: false,
        mlp: Mlp::Gated,
    }
}

/// Modules in order of execution.
fn execution_order(layers: usize) -> Vec<String> {
    let layers = (0..layers).map(|layer| format!("model.layers.{layer}"));
    std::iter::once("model.embed_tokens".to_owned())
        .chain(layers)
        .chain(["model.norm".to_owned(), "lm_head".to_owned()])
        .collect()
}

fn facts(devices: &[LogicalDevice]) -> Vec<DeviceFacts> {
    let logical = devices.iter().map(|device| DeviceFacts {
        id: device.id.clone(),
        on: device.on.clone(),
        name: format!("mock slice of {}", device.on),
        memory_bytes: device.memory_bytes,
        architecture: None,
    });
    let host = DeviceFacts {
        id: DeviceId::cpu(),
        on: DeviceId::cpu(),
        name: "mock host".to_owned(),
        memory_bytes: None,
        architecture: None,
    };
    std::iter::once(host).chain(logical).collect()
}

fn resolve(
    request: &WorkerRequest,
    tree: &ModuleTree,
    layers: usize,
    context: &Context,
) -> Result<Resolved, WorkerFailure> {
    if let Some(device) = plan::devices_named(&request.placement)
        .iter()
        .find(|device| matches!(device.kind(), DeviceKind::Cuda(_) | DeviceKind::Metal(_)))
    {
        return Err(context.failure(
            FailureClass::DeviceMissing,
            format!("{device} is not available: the mock engine has the host and logical devices only"),
        ));
    }
    let machine = Machine {
        devices: request
            .devices
            .iter()
            .map(|device| (device.id.clone(), device.memory_bytes))
            .collect(),
        gpus: Vec::new(),
        host_bytes: Some(Bytes(1 << 40)),
    };
    let rates = request.rates.clone().map(|rates| rates.with_logical(&request.devices));
    let demand = Demand {
        shape: shape(layers),
        workload: Workload::new(
            tokens(&request.prompt).len() as u64,
            u64::from(request.generation.max_new_tokens),
            4,
        ),
        rates: rates.as_ref(),
        hardware: &[],
    };
    plan::resolve(&request.placement, &machine, tree, &execution_order(layers), &demand)
        .map_err(|error| context.failure(error.class(), error.to_string()))
}

/// Faults that put modules elsewhere than was announced.
fn disobey(resolved: &mut Resolved, context: &Context) {
    if context.fault_present(FaultKind::IgnoredSplit)
        && let Some((_, first)) = resolved.modules.first().cloned()
    {
        resolved
            .modules
            .iter_mut()
            .for_each(|(_, device)| *device = first.clone());
    }
    if context.fault_present(FaultKind::Spill) {
        let layers = resolved.modules.len();
        resolved
            .modules
            .iter_mut()
            .skip(layers / 2)
            .for_each(|(_, device)| *device = DeviceId::cpu());
    }
}

fn hops(modules: &[(String, DeviceId)]) -> Vec<Hop> {
    modules
        .windows(2)
        .filter(|pair| pair[0].1 != pair[1].1)
        .map(|pair| Hop {
            from_module: pair[0].0.clone(),
            to_module: pair[1].0.clone(),
            from_device: pair[0].1.clone(),
            to_device: pair[1].1.clone(),
        })
        .collect()
}

fn load(
    resolved: &Resolved,
    tree: &ModuleTree,
    ledger: &mut Ledger,
    context: &mut Context,
) -> Result<Vec<RealisedModule>, WorkerFailure> {
    let mut realised = Vec::with_capacity(resolved.modules.len());
    for (index, (module, device)) in resolved.modules.iter().enumerate() {
        let _ = context.enter_module(index);
        let bytes = tree
            .tensor_index(&format!("{module}.weight"))
            .and_then(|index| tree.tensors().get(index))
            .map_or(Bytes(0), |tensor| Bytes(tensor.bytes.whole_bytes()));
        ledger.charge(device, MemoryKind::Weights, bytes, module, context)?;
        realised.push(RealisedModule {
            module: module.clone(),
            device: device.clone(),
            bytes,
        });
    }
    Ok(realised)
}

/// One token a character, so that prompts of different text differ.
fn tokens(prompt: &Prompt) -> Vec<u32> {
    let of_text = |text: &str| text.chars().map(u32::from).collect();
    match prompt {
        Prompt::Text(text) => of_text(text),
        Prompt::Messages(messages) => messages
            .iter()
            .flat_map(|message| of_text(&message.content))
            .collect::<Vec<u32>>(),
        Prompt::InputIds(ids) => ids.clone(),
    }
}

struct MockSession {
    input_ids: Vec<u32>,
    generation: GenerationSpec,
    modules: Vec<(String, DeviceId)>,
    ledger: Ledger,
}

impl Session for MockSession {
    fn generate(&mut self, context: &mut Context) -> Result<Generation, WorkerFailure> {
        self.ledger.release(MemoryKind::KvCache);
        let start_s = context.now_s();
        let mut made = Generation {
            input_ids: self.input_ids.clone(),
            output_ids: Vec::new(),
            text: String::new(),
            finish_reason: FinishReason::Length,
            start_s,
            token_stamps_s: Vec::new(),
            top2_gaps: Vec::new(),
            top5: Vec::new(),
            hops: Vec::new(),
            transfer_bytes: Vec::new(),
            streamed_bytes: Vec::new(),
            stage_times_s: Vec::new(),
            text_offsets: Vec::new(),
            companions: Vec::new(),
        };
        let mut seed = self.seed();
        for index in 0..self.generation.max_new_tokens {
            context.phase_of_token(index);
            context.begin_token(index);
            let positions = if index == 0 { self.input_ids.len() as u64 } else { 1 };
            let step = self.step(positions, context)?;
            seed = mix(seed ^ step.wrongness);
            let choice = match context.fault_at_token() {
                TokenEffect::Garbage => 0,
                TokenEffect::None => seed % VOCABULARY,
            };
            let id = u32::try_from(choice).unwrap_or(0);
            let stamp = context.token(index, id, 1.0);
            made.text.push_str(&format!(" w{id}"));
            made.text_offsets
                .push(u32::try_from(made.text.len()).unwrap_or(u32::MAX));
            made.output_ids.push(id);
            made.token_stamps_s.push(stamp - start_s);
            made.top2_gaps.push(1.0);
            made.top5.push(likeliest(id));
            made.hops.push(step.hops);
            made.transfer_bytes.push(step.bytes);
            made.streamed_bytes.push(0);
            made.stage_times_s.push(step.times_s);
        }
        Ok(made)
    }

    fn probe(&mut self, context: &mut Context) -> Result<Option<Probe>, WorkerFailure> {
        self.probe_prompt(context)
    }

    fn memory(&self) -> Vec<MemoryFigure> {
        self.ledger.figures()
    }
}

/// The five likeliest tokens of a step: the chosen one and those after it.
fn likeliest(id: u32) -> Vec<TokenLogit> {
    let entry = |rank: u32| TokenLogit {
        id: id + rank,
        logit: 5.0 - rank as f32,
    };
    (0..5).map(entry).collect()
}

/// What a pass through the modules did.
#[derive(Debug, Default)]
struct Step {
    hops: u32,
    bytes: u64,
    /// Not zero where a fault spoiled the data: the text then becomes another one.
    wrongness: u64,
    /// Seconds of stages and hops in turn.
    times_s: Vec<f64>,
}

impl MockSession {
    /// What the text follows from.
    fn seed(&self) -> u64 {
        self.input_ids.iter().fold(7_u64, |hash, id| mix(hash ^ u64::from(*id)))
    }

    fn step(&mut self, positions: u64, context: &mut Context) -> Result<Step, WorkerFailure> {
        let mut step = Step::default();
        let mut clock = StepClock::start(context);
        for index in 0..self.modules.len() {
            if index > 0 && self.modules[index - 1].1 != self.modules[index].1 {
                clock.lap(context);
                let effect = context.enter_hop(step.hops as usize);
                clock.lap(context);
                step.hops += 1;
                step.bytes += positions * HIDDEN_BYTES;
                step.wrongness |= u64::from(effect != HopEffect::None);
            }
            if context.enter_module(index) == ModuleEffect::Nan {
                return Err(context.failure(FailureClass::NonFinite, "the logits are not finite"));
            }
            let (module, device) = &self.modules[index];
            if module.starts_with("model.layers.") {
                self.ledger.charge(
                    device,
                    MemoryKind::KvCache,
                    Bytes(positions * KV_BYTES_PER_TOKEN),
                    module,
                    context,
                )?;
            }
        }
        step.times_s = clock.finish(context);
        Ok(step)
    }
}

/// A step of splitmix64: from a number to another that looks unrelated.
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What is in use on each device.
#[derive(Clone)]
struct Ledger {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    device: DeviceId,
    allowed: Option<Bytes>,
    weights: u64,
    kv_cache: u64,
    peak: u64,
}

impl Ledger {
    fn new(devices: &[LogicalDevice]) -> Self {
        let entry = |device: DeviceId, allowed| Entry {
            device,
            allowed,
            weights: 0,
            kv_cache: 0,
            peak: 0,
        };
        let logical = devices
            .iter()
            .map(|device| entry(device.id.clone(), device.memory_bytes));
        Self {
            entries: logical
                .chain([entry(DeviceId::cpu(), None), entry(DeviceId::disk(), None)])
                .collect(),
        }
    }

    fn charge(
        &mut self,
        device: &DeviceId,
        kind: MemoryKind,
        bytes: Bytes,
        what: &str,
        context: &Context,
    ) -> Result<(), WorkerFailure> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.device == *device) else {
            return Err(context.failure(FailureClass::DeviceMissing, format!("{device} is not declared")));
        };
        let needed = Bytes(entry.weights + entry.kv_cache + bytes.0);
        let allowed = entry.allowed.filter(|allowed| needed > *allowed);
        if allowed.is_some() || context.fault_at_allocation(device, needed) {
            return Err(context.out_of_memory(device, what, needed, allowed.or(entry.allowed).unwrap_or(needed)));
        }
        match kind {
            MemoryKind::KvCache => entry.kv_cache += bytes.0,
            MemoryKind::Weights | MemoryKind::Peak => entry.weights += bytes.0,
        }
        entry.peak = entry.peak.max(needed.0);
        Ok(())
    }

    fn release(&mut self, kind: MemoryKind) {
        if kind == MemoryKind::KvCache {
            self.entries.iter_mut().for_each(|entry| entry.kv_cache = 0);
        }
    }

    fn figures(&self) -> Vec<MemoryFigure> {
        let used = self.entries.iter().filter(|entry| entry.peak > 0);
        used.flat_map(|entry| {
            [
                (MemoryKind::Weights, entry.weights),
                (MemoryKind::KvCache, entry.kv_cache),
                (MemoryKind::Peak, entry.peak),
            ]
            .map(|(kind, bytes)| MemoryFigure {
                device: entry.device.clone(),
                kind,
                bytes: Bytes(bytes),
                allowed_bytes: entry.allowed,
            })
        })
        .collect()
    }
}

//! The engine `candle`: a request becomes a loaded model, a loaded model generates.

use std::path::PathBuf;

use placebench_core::device::{DeviceBytes, DeviceId, DeviceKind};
use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};
use placebench_core::placement::Concurrency;
use placebench_core::planner::DeviceIdentity;
use placebench_core::protocol::{
    DeviceFacts, EventKind, Generation, MemoryFigure, ModelSource, PlannedPlacement, Precision, Probe, RealisedModule,
    WorkerRequest,
};
use placebench_core::units::Bytes;
use placebench_engine::plan::{self, Demand, Machine, Resolved};
use placebench_engine::{Context, Session};

use crate::batch::generate_batch;
use crate::checkpoint::{self, Checkpoint, CheckpointFormat};
use crate::device::{Devices, Gpu, Ledger, Slot, available_memory, gpus};
use crate::dtype::{self, Hardware};
use crate::error::EngineError;
use crate::fault::Leaked;
use crate::generate::{Task, generate};
use crate::hub::{HubFiles, HubModel, HubSettings, Transfer};
use crate::logits::check_sampling;
use crate::model::decoder::{Layout, places};
use crate::model::{Decoder, Home, module_names};
use crate::pipeline::generate_pipelined;
use crate::prompt_probe::{self, precision};
use crate::tokenizer::{Tokenizer, input_ids};
use crate::weights::{self, Compute};
use crate::{homes, hub, text_offsets, tree, workload};

/// A loaded model with its prompt.
pub struct CandleSession {
    decoder: Decoder,
    ledger: Ledger,
    tokenizer: Option<Tokenizer>,
    /// The prompts of all sequences.
    inputs: Vec<Vec<u32>>,
    request: WorkerRequest,
    planned: PlannedPlacement,
    unused_tensors: Vec<String>,
    precision: Precision,
    /// What the injected fault `leak` keeps alive.
    leaked: Leaked,
}

/// What phase `resolve` finds.
pub(crate) struct Found {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) input_ids: Vec<u32>,
    /// The prompts of the other sequences.
    pub(crate) companion_ids: Vec<Vec<u32>>,
    pub(crate) devices: Devices,
    gpus: Vec<Gpu>,
}

impl CandleSession {
    /// Finds, plans and loads: phases `resolve`, `plan` and `load`.
    ///
    /// # Errors
    /// When the model, the placement or the machine does not allow it.
    pub fn open(request: &WorkerRequest, context: &mut Context) -> Result<Self, WorkerFailure> {
        context.phase(Phase::Resolve);
        let found = find(request, context).map_err(|error| error.into_failure(context))?;
        context.emit(EventKind::Devices {
            devices: found.devices.facts(),
        });

        context.phase(Phase::Plan);
        let (compute, resolved) = plan(request, &found).map_err(|error| error.into_failure(context))?;
        context.emit(EventKind::Planned(resolved.planned.clone()));
        let homes = homes::homes(&resolved.modules, request.placement.offload, &found.devices);
        let homes = homes.map_err(|error| EngineError::from(error).into_failure(context))?;
        let names = module_names(&found.checkpoint.config);
        let homes = displaced(homes, &names, context);
        let (modules, hops) = places(&names, &homes, &found.devices);
        context.set_places(modules, hops);

        context.phase(Phase::Load);
        let source = weights::open(&found.checkpoint, compute)
            .map_err(|error| EngineError::from(error).into_failure(context))?;
        let ledger = Ledger::new(&found.devices);
        let layout = Layout {
            homes,
            transfer: request.placement.transfer,
            offload: request.placement.offload,
        };
        let unused_tensors = found.checkpoint.unused;
        let decoder = Decoder::load(found.checkpoint.config, source, found.devices, layout, &ledger, context)?;
        context.emit(EventKind::Loaded {
            realised: decoder.realised(),
            unused_tensors: unused_tensors.clone(),
            eos_token_ids: Some(decoder.config().eos_token_ids.clone()),
        });
        decoder.check_tie(context)?;
        Ok(Self {
            decoder,
            ledger,
            tokenizer: found.tokenizer,
            inputs: std::iter::once(found.input_ids).chain(found.companion_ids).collect(),
            request: request.clone(),
            planned: resolved.planned,
            unused_tensors,
            precision: precision(compute),
            leaked: Leaked::default(),
        })
    }

    /// The loaded model.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What was planned.
    #[must_use]
    pub fn planned(&self) -> &PlannedPlacement {
        &self.planned
    }

    /// What was really loaded where, read back from the tensors.
    #[must_use]
    pub fn realised(&self) -> Vec<RealisedModule> {
        self.decoder.realised()
    }

    /// The devices of the request.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceFacts> {
        self.decoder.devices().facts()
    }

    /// Tensors of the checkpoint that the model does not use.
    #[must_use]
    pub fn unused_tensors(&self) -> &[String] {
        &self.unused_tensors
    }
}

impl Session for CandleSession {
    fn prepare(&mut self, context: &mut Context) -> Result<(), WorkerFailure> {
        let lengths = self.inputs.iter().map(Vec::len);
        let rows = match self.request.placement.concurrency {
            Concurrency::Batch(_) => lengths.sum(),
            Concurrency::Single | Concurrency::InFlight(_) => lengths.max().unwrap_or(1),
        };
        let links = self.decoder.settle_links(rows, &self.ledger, context)?;
        let replaced = links.iter().filter(|link| link.reason.is_some());
        context.links_replaced(replaced.map(|link| (link.from.clone(), link.to.clone())));
        if !links.is_empty() {
            context.emit(EventKind::Links { links });
        }
        Ok(())
    }

    fn probe(&mut self, context: &mut Context) -> Result<Option<Probe>, WorkerFailure> {
        let Some(input_ids) = self.inputs.first() else {
            return Ok(None);
        };
        prompt_probe::placed(&self.decoder, input_ids, self.precision, &self.ledger, context)
    }

    fn generate(&mut self, context: &mut Context) -> Result<Generation, WorkerFailure> {
        let task = |input_ids| Task {
            input_ids,
            spec: &self.request.generation,
            tokenizer: self.tokenizer.as_ref(),
        };
        let tasks: Vec<Task<'_>> = self.inputs.iter().map(|ids| task(ids.as_slice())).collect();
        let (decoder, ledger) = (&self.decoder, &self.ledger);
        let result = match (self.request.placement.concurrency, tasks.as_slice()) {
            (Concurrency::Single, [task]) => {
                generate(decoder, *task, ledger, context).map(|(generation, sequence)| (generation, vec![sequence]))
            }
            (Concurrency::InFlight(_), tasks) => generate_pipelined(decoder, tasks, ledger, context),
            (Concurrency::Single | Concurrency::Batch(_), tasks) => generate_batch(decoder, tasks, ledger, context),
        };
        let result = result.and_then(|(mut generation, sequences)| {
            if let Some(leak) = context.fault_at_end_of_generation() {
                self.leaked
                    .keep(leak, sequences, (&self.decoder, &self.ledger), context)?;
            }
            text_offsets::tell(&mut generation, self.tokenizer.as_ref());
            Ok(generation)
        });
        self.ledger.end_generation();
        result
    }

    fn memory(&self) -> Vec<MemoryFigure> {
        let realised = self.decoder.realised();
        let devices = self.decoder.devices();
        devices
            .slots()
            .filter(|slot| !self.ledger.untouched(*slot))
            .flat_map(|slot| {
                let here = realised.iter().filter(|module| module.device == *devices.id(slot));
                let weights: Bytes = here.map(|module| module.bytes).sum();
                self.ledger.figures(slot, weights.0)
            })
            .collect()
    }

    fn held(&self) -> Vec<DeviceBytes> {
        let realised = self.decoder.realised();
        let devices = self.decoder.devices();
        let used = devices.slots().filter(|slot| !self.ledger.untouched(*slot));
        used.map(|slot| {
            let here = realised.iter().filter(|module| module.device == *devices.id(slot));
            let weights: Bytes = here.map(|module| module.bytes).sum();
            self.ledger.held(slot, weights.0)
        })
        .collect()
    }
}

/// Finds files, prompt and devices: what every engine of this crate begins with.
pub(crate) fn find(request: &WorkerRequest, context: &mut Context) -> Result<Found, EngineError> {
    check_request(request)?;
    let checkpoint = match &request.model {
        ModelSource::Dummy { config, seed } => checkpoint::dummy(&model_path(config, Wanted::Config, context)?, *seed)?,
        model => checkpoint::open(&model_path(model, Wanted::Weights, context)?)?,
    };
    let tokenizer = Tokenizer::open(&checkpoint)?;
    let input_ids = input_ids(tokenizer.as_ref(), &request.prompt, checkpoint.config.vocab_size)?;
    check_length(input_ids.len(), request, &checkpoint)?;
    let mut companion_ids = Vec::with_capacity(request.companion_prompts.len());
    for prompt in &request.companion_prompts {
        let ids = self::input_ids(tokenizer.as_ref(), prompt, checkpoint.config.vocab_size)?;
        check_length(ids.len(), request, &checkpoint)?;
        companion_ids.push(ids);
    }
    if tokenizer.is_none() && !request.generation.stop.is_empty() {
        let message = "stop texts need a tokenizer, and the model has none".to_owned();
        return Err(EngineError::Request(message));
    }
    // With nothing else to go by, Accelerate looks at every GPU there is.
    let placement = &request.placement;
    let asks_for_all =
        placement.device_map.is_planned() && placement.max_memory.is_none() && request.devices.is_empty();
    let gpus = if asks_for_all { gpus() } else { Vec::new() };
    let mut wanted = plan::devices_named(placement);
    wanted.extend(gpus.iter().map(|gpu| gpu.id.clone()));
    let devices = Devices::open(&request.devices, &wanted)?;
    Ok(Found {
        checkpoint,
        tokenizer,
        input_ids,
        companion_ids,
        devices,
        gpus,
    })
}

/// What of a model is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Weights,
    /// Its configuration and tokenizer.
    Config,
}

fn model_path(model: &ModelSource, wanted: Wanted, context: &mut Context) -> Result<PathBuf, EngineError> {
    match model {
        ModelSource::Path(path) => Ok(PathBuf::from(path)),
        ModelSource::Hub { repo, revision, file } => {
            let files = match (wanted, file) {
                (Wanted::Config, _) => HubFiles::Config,
                (Wanted::Weights, None) => HubFiles::Checkpoint,
                (Wanted::Weights, Some(pattern)) => HubFiles::One(pattern),
            };
            let model = HubModel { repo, revision, files };
            let mut tell = |transfer: &Transfer| {
                context.emit(EventKind::Fetching {
                    file: transfer.file.clone(),
                    done_bytes: Bytes(transfer.done_bytes),
                    total_bytes: Bytes(transfer.total_bytes),
                });
            };
            Ok(hub::fetch(&HubSettings::from_env()?, model, &mut tell)?)
        }
        ModelSource::Dummy { config, .. } => model_path(config, Wanted::Config, context),
    }
}

fn check_request(request: &WorkerRequest) -> Result<(), EngineError> {
    if request.generation.max_new_tokens == 0 {
        return Err(EngineError::Request(
            "max_new_tokens is 0, it must be at least 1".into(),
        ));
    }
    request.generation.sampling.as_ref().map_or(Ok(()), check_sampling)
}

/// Rotary positions beyond those the model was made for give text that means nothing.
fn check_length(input: usize, request: &WorkerRequest, checkpoint: &Checkpoint) -> Result<(), EngineError> {
    let (new, most) = (
        request.generation.max_new_tokens,
        checkpoint.config.max_position_embeddings,
    );
    let end = input.saturating_add(new as usize);
    if end > most {
        return Err(EngineError::Request(format!(
            "the prompt has {input} tokens and max_new_tokens is {new}, but the model was made for {most} positions"
        )));
    }
    // A sequence that grows beyond this is computed anew from its beginning, which only one alone can do.
    match checkpoint.config.rope_switch() {
        Some(switch) if request.placement.concurrency.sequences() > 1 && input <= switch && end > switch => {
            Err(EngineError::Files {
                class: FailureClass::Unsupported,
                message: format!(
                    "with LongRoPE a sequence that grows beyond {switch} positions (the prompt has {input} tokens, \
                     max_new_tokens is {new}) cannot be generated together with others: leave out batch and in_flight"
                ),
            })
        }
        _ => Ok(()),
    }
}

fn plan(request: &WorkerRequest, found: &Found) -> Result<(Compute, Resolved), EngineError> {
    let on_gpu = |facts: &DeviceFacts| matches!(facts.on.kind(), DeviceKind::Cuda(_) | DeviceKind::Metal(_));
    let hardware = if found.devices.facts().iter().any(on_gpu) {
        Hardware::WithGpu
    } else {
        Hardware::HostOnly
    };
    let (compute, note) = dtype::choose(&found.checkpoint, request.dtype, hardware);
    let label = request.model.label();
    let tree = match dtype::tree_dtype(compute) {
        Some(dtype) => tree::from_config(&label, &found.checkpoint.config, dtype),
        None => tree::from_checkpoint(&label, &found.checkpoint),
    }
    .map_err(|error| EngineError::Files {
        class: FailureClass::ModelInvalid,
        message: error.to_string(),
    })?;
    let opened = &found.devices;
    let machine = Machine {
        devices: opened
            .slots()
            .map(|slot| (opened.id(slot).clone(), opened.budget(slot)))
            .collect(),
        gpus: found
            .gpus
            .iter()
            .filter_map(|gpu| Some((gpu.id.clone(), gpu.free_bytes?)))
            .collect(),
        host_bytes: available_memory(),
    };
    let names = module_names(&found.checkpoint.config);
    let rates = request.rates.clone().map(|rates| rates.with_logical(&request.devices));
    let hardware: Vec<DeviceIdentity<DeviceId>> = found.gpus.iter().map(Gpu::identity).collect();
    let demand = Demand {
        shape: workload::shape_of(&tree)?,
        workload: workload::workload(request, found, compute),
        rates: rates.as_ref(),
        hardware: &hardware,
    };
    let mut resolved = plan::resolve(&request.placement, &machine, &tree, &names, &demand)?;
    resolved.planned.warnings.extend(note);
    let rows = found.checkpoint.config.vocab_size;
    if let Some(tokens) = found
        .tokenizer
        .as_ref()
        .map(Tokenizer::size)
        .filter(|tokens| *tokens > rows)
    {
        resolved.planned.warnings.push(format!(
            "the tokenizer has {tokens} tokens and the embedding {rows} rows: prompts that need one of the others will be \
             refused"
        ));
    }
    let on_disk = resolved
        .modules
        .iter()
        .any(|(_, device)| device.kind() == DeviceKind::Disk);
    if on_disk && matches!(found.checkpoint.format, CheckpointFormat::Dummy { .. }) {
        let warning = "dummy weights on disk are in no file: they are made anew at each use, which is not as fast or as \
                       slow as a disk";
        resolved.planned.warnings.push(warning.to_owned());
    }
    Ok((compute, resolved))
}

/// The homes that the injected faults `ignored_split` and `spill` make of the planned ones, after the plan was announced.
fn displaced(mut homes: Vec<Home>, names: &[String], context: &Context) -> Vec<Home> {
    context.displace(names, &mut homes, &Home::at(Slot::CPU));
    homes
}

//! The placed decoder: modules in order of execution, activations moving only where the device changes.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{Device, Tensor};
use placebench_core::device::DeviceId;
use placebench_core::fault::FaultKind;
use placebench_core::outcome::{Hop, Place, WorkerFailure};
use placebench_core::placement::{Offload, Transfer};
use placebench_core::protocol::RealisedModule;
use placebench_core::units::Bytes;
use placebench_engine::Context;

use super::block::{Block, Module, load_embedding, load_head, load_norm};
use super::homed::{Home, Homed};
use super::linear::{Linear, Matrix};
use super::norm::Norm;
use super::sequence::Sequence;
use crate::config::ModelConfig;
use crate::device::link::Link;
use crate::device::{Devices, Ledger, Placed, Slot, Use};
use crate::error::EngineError;
use crate::fault;
use crate::weights::{WeightSource, WeightsError};

/// How a decoder is put on devices.
#[derive(Debug, Clone)]
pub struct Layout {
    /// One home for each module, in order of execution: embedding, layers, norm, head.
    pub homes: Vec<Home>,
    /// How activations travel.
    pub transfer: Transfer,
    /// How offloaded modules run; decides whether fetched weights count as streamed.
    pub offload: Offload,
}

/// Module paths in order of execution.
#[must_use]
pub fn module_names(config: &ModelConfig) -> Vec<String> {
    let layers = (0..config.num_layers).map(|layer| format!("model.layers.{layer}"));
    std::iter::once("model.embed_tokens".to_owned())
        .chain(layers)
        .chain(["model.norm".to_owned(), "lm_head".to_owned()])
        .collect()
}

/// A model on its devices.
pub struct Decoder {
    pub(super) config: ModelConfig,
    pub(super) source: Box<dyn WeightSource>,
    pub(super) devices: Devices,
    pub(super) layout: Layout,
    /// How activations travel where that was settled otherwise than the layout asks.
    pub(super) transfers: BTreeMap<Link, Transfer>,
    pub(super) names: Vec<String>,
    /// For each module the number of the hop into it.
    pub(super) hop_into: Vec<Option<usize>>,
    pub(super) stages: Vec<Range<usize>>,
    pub(super) embedding: Homed<Matrix>,
    pub(super) blocks: Vec<Homed<Block>>,
    pub(super) norm: Homed<Norm>,
    pub(super) head: Homed<Linear>,
}

impl Decoder {
    /// Loads every module to its home and charges its weights.
    ///
    /// # Errors
    /// When a tensor is absent or malformed, or a device has no room.
    pub fn load(
        config: ModelConfig,
        source: Box<dyn WeightSource>,
        devices: Devices,
        layout: Layout,
        ledger: &Ledger,
        context: &mut Context,
    ) -> Result<Self, WorkerFailure> {
        let names = module_names(&config);
        if layout.homes.len() != names.len() {
            let message = format!("{} modules, {} homes", names.len(), layout.homes.len());
            return Err(EngineError::Request(message).into_failure(context));
        }
        let mut loader = Loader {
            devices: &devices,
            ledger,
            context,
            names: &names,
        };
        let source_ref = source.as_ref();
        let homes = &layout.homes;
        let last = names.len() - 1;
        let embedding = loader.module(0, homes[0], |device| load_embedding(source_ref, &config, device))?;
        let blocks = (0..config.num_layers)
            .map(|layer| {
                loader.module(layer + 1, homes[layer + 1], |device| {
                    Block::load(source_ref, &config, layer, device)
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let norm = loader.module(last - 1, homes[last - 1], |device| {
            load_norm(source_ref, &config, device)
        })?;
        let head = loader.head(source_ref, &config, homes[last], &embedding)?;
        let mut hops = 0;
        let hop_into: Vec<Option<usize>> = std::iter::once(None)
            .chain(homes.windows(2).map(|pair| {
                (pair[0].runs_on != pair[1].runs_on).then(|| {
                    hops += 1;
                    hops - 1
                })
            }))
            .collect();
        Ok(Self {
            config,
            source,
            devices,
            layout,
            transfers: BTreeMap::new(),
            names,
            stages: stages(&hop_into),
            hop_into,
            embedding,
            blocks,
            norm,
            head,
        })
    }

    /// The model's numbers.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The devices it is on.
    #[must_use]
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Token numbers where the embedding runs.
    ///
    /// # Errors
    /// When the device cannot allocate.
    pub fn place_ids(&self, ids: &[u32]) -> Result<Placed, EngineError> {
        self.place_ids_on(ids, self.input_slot())
    }

    /// Where the embedding runs.
    pub(crate) fn input_slot(&self) -> Slot {
        self.embedding.home().runs_on
    }

    /// Where the head runs.
    pub(crate) fn output_slot(&self) -> Slot {
        self.head.home().runs_on
    }

    /// Token numbers on any device: where it is not the embedding's, the next step refuses them.
    ///
    /// # Errors
    /// When the device cannot allocate.
    pub(crate) fn place_ids_on(&self, ids: &[u32], slot: Slot) -> Result<Placed, EngineError> {
        let tensor = Tensor::new(ids, self.devices.handle(slot)).map_err(EngineError::candle("placing the input"))?;
        Ok(Placed::made_on(slot, tensor))
    }

    /// Modules with the devices they run on, and the hops between them: the places of the breadcrumb.
    #[must_use]
    pub fn places(&self) -> (Vec<(String, DeviceId)>, Vec<Hop>) {
        places(&self.names, &self.layout.homes, &self.devices)
    }

    /// Modules with the devices their weights are on, read back from the tensors.
    #[must_use]
    pub fn realised(&self) -> Vec<RealisedModule> {
        let mut modules = vec![self.read_back(0, &self.embedding)];
        let blocks = self.blocks.iter().enumerate();
        modules.extend(blocks.map(|(layer, block)| self.read_back(layer + 1, block)));
        modules.push(self.read_back(self.names.len() - 2, &self.norm));
        modules.push(self.read_back(self.names.len() - 1, &self.head));
        modules
    }

    fn read_back<M: Module>(&self, index: usize, module: &Homed<M>) -> RealisedModule {
        let device = match (module.home().weights, module.resident()) {
            (Some(slot), Some(resident)) => self.devices.name_of(&resident.device(), slot),
            _ => DeviceId::disk(),
        };
        RealisedModule {
            module: self.names[index].clone(),
            device,
            bytes: Bytes(module.own_bytes()),
            rank: None,
        }
    }

    /// Allocates the state of a sequence of at most `capacity` positions.
    ///
    /// # Errors
    /// When a device has no room.
    pub fn sequence(&self, capacity: usize, ledger: &Ledger, context: &Context) -> Result<Sequence, WorkerFailure> {
        let mut sequences = self.sequences(&[capacity], ledger, context)?;
        sequences.pop().ok_or_else(|| {
            let message = "no sequence was asked for".to_owned();
            EngineError::Request(message).into_failure(context)
        })
    }

    /// Allocates the states of sequences that are generated together, of at most so many positions each.
    ///
    /// # Errors
    /// When a device has no room.
    pub fn sequences(
        &self,
        capacities: &[usize],
        ledger: &Ledger,
        context: &Context,
    ) -> Result<Vec<Sequence>, WorkerFailure> {
        let slots: Vec<Slot> = self.blocks.iter().map(|block| block.home().runs_on).collect();
        let dtype = self.source.compute().activations();
        Sequence::allocate(&self.config, &slots, capacities, dtype, &self.devices, ledger, context)
    }

    /// The stages in order of execution: the positions of their modules.
    #[must_use]
    pub fn stages(&self) -> &[Range<usize>] {
        &self.stages
    }

    /// How many of the modules at these positions are layers.
    pub(crate) fn layers_among(&self, modules: &Range<usize>) -> usize {
        let layers = 1..1 + self.config.num_layers;
        modules.clone().filter(|module| layers.contains(module)).count()
    }
}

/// Loads modules one after the other.
struct Loader<'a> {
    devices: &'a Devices,
    ledger: &'a Ledger,
    context: &'a mut Context,
    names: &'a [String],
}

impl Loader<'_> {
    fn module<M: Module>(
        &mut self,
        index: usize,
        home: Home,
        load: impl FnOnce(&Device) -> Result<M, WeightsError>,
    ) -> Result<Homed<M>, WorkerFailure> {
        let _ = self.context.enter_module(index);
        let failure = |error: EngineError| self.at(index, home, error.into_failure(self.context));
        let loaded = Homed::load(home, self.devices, load).map_err(failure)?;
        self.charge(index, home, loaded.own_bytes())?;
        Ok(loaded)
    }

    /// A tied head at the embedding's home uses the embedding's tensor; anywhere else it gets a copy of its own.
    fn head(
        &mut self,
        source: &dyn WeightSource,
        config: &ModelConfig,
        home: Home,
        embedding: &Homed<Matrix>,
    ) -> Result<Homed<Linear>, WorkerFailure> {
        let index = self.names.len() - 1;
        if config.tie_word_embeddings && embedding.home().weights == home.weights {
            let failure = |error: EngineError| self.at(index, home, error.into_failure(self.context));
            let shared = match embedding.resident() {
                Some(matrix) => Linear::new(matrix.clone(), None).map_err(EngineError::candle("sharing the embedding")),
                None => load_head(source, config, self.devices.handle(Slot::CPU)).map_err(EngineError::from),
            };
            return Ok(Homed::sharing(home, shared.map_err(failure)?));
        }
        let has_split_tie = config.tie_word_embeddings && self.context.fault_strikes(FaultKind::SplitTie);
        self.module(index, home, |device| {
            let head = load_head(source, config, device)?;
            if !has_split_tie {
                return Ok(head);
            }
            let torn = head.matrix().dense().and_then(|weights| fault::rolled(&weights));
            torn.and_then(|weights| Linear::new(Matrix::Dense(weights), None))
                .map_err(WeightsError::unreadable("lm_head"))
        })
    }

    fn charge(&mut self, index: usize, home: Home, bytes: u64) -> Result<(), WorkerFailure> {
        let Some(slot) = home.weights else { return Ok(()) };
        let what = format!("weights of {}", self.names[index]);
        self.ledger
            .charge(self.context, slot, Use::Weights, bytes, &what)
            .map_err(|failure| self.at(index, home, failure))
    }

    /// A module that is offloaded is loaded to another device than the one it runs on, which the breadcrumb names.
    fn at(&self, index: usize, home: Home, failure: WorkerFailure) -> WorkerFailure {
        let device = home
            .weights
            .map_or_else(DeviceId::disk, |slot| self.devices.id(slot).clone());
        WorkerFailure {
            place: Some(Place::Module {
                module: self.names[index].clone(),
                device,
            }),
            ..failure
        }
    }
}

/// Runs of modules without a hop between them.
fn stages(hop_into: &[Option<usize>]) -> Vec<Range<usize>> {
    let begins = |(index, hop): (usize, &Option<usize>)| (index == 0 || hop.is_some()).then_some(index);
    let starts: Vec<usize> = hop_into.iter().enumerate().filter_map(begins).collect();
    let ends = starts.iter().copied().skip(1).chain([hop_into.len()]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| start..end)
        .collect()
}

/// Modules with the devices they run on, and the hops where that changes.
#[must_use]
pub fn places(names: &[String], homes: &[Home], devices: &Devices) -> (Vec<(String, DeviceId)>, Vec<Hop>) {
    let modules: Vec<(String, DeviceId)> = names
        .iter()
        .zip(homes)
        .map(|(name, home)| (name.clone(), devices.id(home.runs_on).clone()))
        .collect();
    let hops = modules
        .windows(2)
        .filter(|pair| pair[0].1 != pair[1].1)
        .map(|pair| Hop {
            from_module: pair[0].0.clone(),
            to_module: pair[1].0.clone(),
            from_device: pair[0].1.clone(),
            to_device: pair[1].1.clone(),
        })
        .collect();
    (modules, hops)
}

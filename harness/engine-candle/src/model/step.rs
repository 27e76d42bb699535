//! One step of the decoder: the prompt, or one token.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use candle_core::{Device, Tensor};
use placebench_core::outcome::WorkerFailure;
use placebench_core::placement::Offload;
use placebench_engine::Context;
use placebench_engine::faults::ModuleEffect;

use super::activations::{Activations, StepShape};
use super::attention::causal_mask;
use super::block::{Block, Module, load_embedding, load_head, load_norm};
use super::decoder::Decoder;
use super::homed::Homed;
use super::sequence::Sequence;
use crate::device::link::Link;
use crate::device::{Ledger, Placed, Slot, Use};
use crate::error::EngineError;
use crate::fault;
use crate::weights::WeightsError;

/// Which rows of a step get logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitRows {
    /// The last one, which the next token is chosen from.
    Last,
    /// All, for conformance tests.
    All,
}

/// What a step moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCounters {
    /// Activations moved between devices.
    pub hops: u32,
    /// Bytes of them.
    pub transfer_bytes: u64,
    /// Bytes of weights copied in for offloaded modules.
    pub streamed_bytes: u64,
}

/// Divides the time of a step among its stages and hops. A lap ends where the device that worked has been waited for.
#[derive(Debug, Clone, PartialEq)]
pub struct StepClock {
    last_s: f64,
    laps_s: Vec<f64>,
}

impl StepClock {
    fn start(context: &Context) -> Self {
        Self {
            last_s: context.now_s(),
            laps_s: Vec::new(),
        }
    }

    /// A stage or a hop is over.
    fn lap(&mut self, context: &Context) {
        let now_s = context.now_s();
        self.laps_s.push(now_s - self.last_s);
        self.last_s = now_s;
    }

    /// The last stage is over: seconds of stages and hops in turn.
    pub(crate) fn finish(mut self, context: &Context) -> Vec<f64> {
        self.lap(context);
        self.laps_s
    }
}

/// What a step reports to and accounts with.
pub struct Pass<'a> {
    /// Events, breadcrumb and faults.
    pub context: &'a mut Context,
    /// Memory per device.
    pub ledger: &'a mut Ledger,
    /// What this step has moved so far.
    pub counters: StepCounters,
    /// Where this step's time has gone so far.
    pub clock: StepClock,
}

impl<'a> Pass<'a> {
    /// A step that has moved nothing yet.
    pub fn new(context: &'a mut Context, ledger: &'a mut Ledger) -> Self {
        let clock = StepClock::start(context);
        Self {
            context,
            ledger,
            counters: StepCounters::default(),
            clock,
        }
    }
}

impl Decoder {
    /// Computes the logits `[rows, vocab]` of the next positions. `ids` holds one token number a position.
    ///
    /// # Errors
    /// When a device has no room, or a copy or a computation fails.
    pub fn forward(
        &self,
        sequence: &mut Sequence,
        ids: &Placed,
        wanted: LogitRows,
        pass: &mut Pass<'_>,
    ) -> Result<Placed, WorkerFailure> {
        let rows = ids.rows();
        let step = StepShape {
            rows,
            positions: sequence.len + rows,
            logit_rows: if wanted == LogitRows::Last { 1 } else { rows },
        };
        let need = Activations::new(&self.config, self.source.compute().activations());
        let (source, config) = (self.source.as_ref(), &self.config);

        let load = |device: &Device| load_embedding(source, config, device);
        let mut x = self.run(0, &self.embedding, need.embedding(step), load, pass, |matrix, slot| {
            matrix
                .rows(ids.on(slot, &self.devices)?)
                .and_then(|rows| rows.to_dtype(self.source.compute().activations()))
                .map_err(EngineError::candle("model.embed_tokens"))
        })?;
        x = self.run_blocks(x, step, need, sequence, pass)?;
        if step.logit_rows < rows {
            // Before the hop to the norm, so that no more than what is needed moves.
            x = x
                .map(|x| x.narrow(0, rows - 1, 1))
                .map_err(|error| error.into_failure(pass.context))?;
        }
        let (norm, head) = (self.names.len() - 2, self.names.len() - 1);
        let x = self.hop(norm, x, self.norm.home().runs_on, sequence, pass)?;
        let load = |device: &Device| load_norm(source, config, device);
        let x = self.run(norm, &self.norm, need.norm(step), load, pass, |norm, slot| {
            norm.forward(x.on(slot, &self.devices)?)
                .map_err(EngineError::candle("model.norm"))
        })?;
        let x = self.hop(head, x, self.head.home().runs_on, sequence, pass)?;
        let load = |device: &Device| load_head(source, config, device);
        self.run(head, &self.head, need.head(step), load, pass, |head, slot| {
            head.forward(x.on(slot, &self.devices)?)
                .map_err(EngineError::candle("lm_head"))
        })
    }

    fn run_blocks(
        &self,
        mut x: Placed,
        step: StepShape,
        need: Activations<'_>,
        sequence: &mut Sequence,
        pass: &mut Pass<'_>,
    ) -> Result<Placed, WorkerFailure> {
        let start = sequence.len;
        let mut masks = Masks::default();
        for (layer, block) in self.blocks.iter().enumerate() {
            let index = layer + 1;
            x = self.hop(index, x, block.home().runs_on, sequence, pass)?;
            let load = |device: &Device| Block::load(self.source.as_ref(), &self.config, layer, device);
            let Sequence { caches, tables, .. } = &mut *sequence;
            let cache = &mut caches[layer];
            x = self.run(index, block, need.block(step), load, pass, |block, slot| {
                let x = x.on(slot, &self.devices)?;
                let what = || EngineError::candle(self.names[index].as_str());
                let tables = tables.get(&slot).ok_or_else(|| EngineError::WrongDevice {
                    found: self.devices.id(Slot::CPU).clone(),
                    expected: self.devices.id(slot).clone(),
                })?;
                let rotation = tables.at(start, step.rows).map_err(what())?;
                let mask = masks
                    .on(slot, start, step.rows, self.devices.handle(slot))
                    .map_err(what())?;
                block.forward(x, &rotation, mask, cache).map_err(what())
            })?;
        }
        sequence.len += step.rows;
        Ok(x)
    }

    /// Computes one module on the device it runs on, with its weights at hand and its memory accounted for.
    fn run<M: Module>(
        &self,
        index: usize,
        module: &Homed<M>,
        activations: u64,
        load: impl FnOnce(&Device) -> Result<M, WeightsError>,
        pass: &mut Pass<'_>,
        compute: impl FnOnce(&M, Slot) -> Result<Tensor, EngineError>,
    ) -> Result<Placed, WorkerFailure> {
        let effect = pass.context.enter_module(index);
        let slot = module.home().runs_on;
        let name = &self.names[index];
        let fetched = module.fetched_bytes();
        let taken = activations + fetched;
        let what = if fetched > 0 {
            "activations and fetched weights"
        } else {
            "activations"
        };
        let what = format!("{what} of {name}");
        pass.ledger.charge(pass.context, slot, Use::Activations, taken, &what)?;
        if self.layout.offload == Offload::Stream {
            pass.counters.streamed_bytes += fetched;
        }
        let output = module
            .ready(&self.devices, load)
            .and_then(|ready| compute(&ready, slot))
            .and_then(|output| match effect {
                ModuleEffect::None => Ok(output),
                ModuleEffect::Nan => fault::not_a_number(&output).map_err(EngineError::candle("injecting NaN")),
            });
        pass.ledger.release(slot, Use::Activations, taken);
        match output {
            Ok(output) => Ok(Placed::made_on(slot, output)),
            Err(error) => Err(error.into_failure(pass.context)),
        }
    }

    /// Moves the activation to the device of the next module, if that is another one.
    fn hop(
        &self,
        index: usize,
        x: Placed,
        to: Slot,
        sequence: &mut Sequence,
        pass: &mut Pass<'_>,
    ) -> Result<Placed, WorkerFailure> {
        let Some(hop) = self.hop_into[index] else { return Ok(x) };
        // A kernel that never ends belongs to the stage that launched it: it is waited for before the hop begins.
        self.devices
            .wait_for(x.slot())
            .map_err(|error| error.into_failure(pass.context))?;
        pass.clock.lap(pass.context);
        let effect = pass.context.enter_hop(hop);
        let moved = self
            .carry(&x, to)
            .and_then(|moved| fault::on_hop(effect, hop, moved, sequence.delivered.as_mut()))
            .map_err(|error| error.into_failure(pass.context))?;
        pass.counters.hops += 1;
        pass.counters.transfer_bytes += x.bytes();
        pass.clock.lap(pass.context);
        Ok(moved)
    }

    /// The activation where it goes next, once it has really arrived.
    fn carry(&self, x: &Placed, to: Slot) -> Result<Placed, EngineError> {
        let link = Link { from: x.slot(), to };
        let transfer = self.transfers.get(&link).copied().unwrap_or(self.layout.transfer);
        self.devices.carry(x, to, transfer)
    }
}

/// The causal masks of a step, one for each device, made there.
#[derive(Default)]
struct Masks {
    made: BTreeMap<Slot, Tensor>,
}

impl Masks {
    /// The mask on a device; a single new position sees everything and needs none.
    fn on(&mut self, slot: Slot, start: usize, rows: usize, device: &Device) -> candle_core::Result<Option<&Tensor>> {
        if rows == 1 {
            return Ok(None);
        }
        match self.made.entry(slot) {
            Entry::Occupied(made) => Ok(Some(made.into_mut())),
            Entry::Vacant(vacant) => Ok(Some(vacant.insert(causal_mask(start, rows, device)?))),
        }
    }
}

//! One step of the decoder: the prompt, or one token.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use candle_core::{Device, Tensor};
use placebench_core::outcome::WorkerFailure;
use placebench_core::placement::Offload;
use placebench_engine::faults::ModuleEffect;
use placebench_engine::{Context, StepClock};

use super::activations::{Activations, Scores, StepShape};
use super::attention::{Segment, causal_mask, scores, softcap};
use super::block::{Block, Module, load_embedding, load_head, load_norm};
use super::decoder::Decoder;
use super::homed::Homed;
use super::sequence::Sequence;
use crate::audit;
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

/// What a step reports to and accounts with.
pub struct Pass<'a> {
    /// Events, breadcrumb and faults.
    pub context: &'a mut Context,
    /// Memory per device.
    pub ledger: &'a Ledger,
    /// What this step has moved so far.
    pub counters: StepCounters,
    /// Where this step's time has gone so far.
    pub clock: StepClock,
}

impl<'a> Pass<'a> {
    /// A step that has moved nothing yet.
    pub fn new(context: &'a mut Context, ledger: &'a Ledger) -> Self {
        let clock = StepClock::start(context);
        Self {
            context,
            ledger,
            counters: StepCounters::default(),
            clock,
        }
    }
}

/// The sequences of a step, in the order of their rows.
pub struct Batch<'a, 'b> {
    /// The state of each.
    pub sequences: &'a mut [&'b mut Sequence],
    /// New positions of each.
    pub rows: &'a [usize],
}

impl Batch<'_, '_> {
    fn shape(&self, wanted: LogitRows) -> StepShape {
        let rows = self.rows.iter().sum();
        let lengths = self.sequences.iter().zip(self.rows);
        StepShape {
            rows,
            attending_rows: self.rows.iter().copied().max().unwrap_or(0),
            positions: lengths.map(|(sequence, rows)| sequence.len + rows).max().unwrap_or(0),
            logit_rows: if wanted == LogitRows::Last {
                self.rows.len()
            } else {
                rows
            },
        }
    }

    /// The new positions have become past ones.
    pub(crate) fn advance(&mut self) {
        for (sequence, rows) in self.sequences.iter_mut().zip(self.rows) {
            sequence.len += rows;
        }
    }

    /// The positions of the last row of each sequence.
    fn last_rows(&self) -> Vec<usize> {
        let mut end = 0;
        let last = self.rows.iter().map(|rows| {
            end += rows;
            end.saturating_sub(1)
        });
        last.collect()
    }
}

impl Decoder {
    /// Computes the logits `[rows, vocab]` of the next positions of one sequence. `ids` holds one token number a position.
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
        let rows = [ids.rows()];
        let mut batch = Batch {
            sequences: &mut [sequence],
            rows: &rows,
        };
        self.forward_batch(&mut batch, ids, wanted, pass)
    }

    /// The same for several sequences: their rows are computed together, one sequence's after the other's, and each attends
    /// to itself alone. Nothing is padded, so a sequence's numbers are those it has alone, but for the order of additions.
    ///
    /// # Errors
    /// When a device has no room, or a copy or a computation fails.
    pub fn forward_batch(
        &self,
        batch: &mut Batch<'_, '_>,
        ids: &Placed,
        wanted: LogitRows,
        pass: &mut Pass<'_>,
    ) -> Result<Placed, WorkerFailure> {
        let mut x = ids.clone();
        for stage in &self.stages {
            if stage.start > 0 {
                x = self.hop(stage.start, x, batch, pass)?;
            }
            x = self.run_stage(stage, x, batch, wanted, pass)?;
        }
        batch.advance();
        Ok(x)
    }

    /// Computes the modules of one stage. `x` is on its device: token numbers for the first stage, hidden states for the
    /// others. The sequences stay as long as they are: [`Batch::advance`]. Of the hidden states behind the last layer only the rows that get logits go on.
    pub(crate) fn run_stage(
        &self,
        stage: &Range<usize>,
        mut x: Placed,
        batch: &mut Batch<'_, '_>,
        wanted: LogitRows,
        pass: &mut Pass<'_>,
    ) -> Result<Placed, WorkerFailure> {
        let step = batch.shape(wanted);
        let (last_layer, mut masks) = (self.config.num_layers, Masks::default());
        for index in stage.clone() {
            x = self.run_module(index, &x, step, batch, &mut masks, pass)?;
            if index == last_layer && step.logit_rows < step.rows {
                // Before the hop to the norm, so that no more than what is needed moves.
                x = x
                    .map(|x| keep_rows(x, &batch.last_rows()))
                    .map_err(|error| error.into_failure(pass.context))?;
            }
        }
        Ok(x)
    }

    fn run_module(
        &self,
        index: usize,
        x: &Placed,
        step: StepShape,
        batch: &mut Batch<'_, '_>,
        masks: &mut Masks,
        pass: &mut Pass<'_>,
    ) -> Result<Placed, WorkerFailure> {
        let (source, config, devices) = (self.source.as_ref(), &self.config, &self.devices);
        let need = Activations::new(config, source.compute().activations());
        let what = || EngineError::candle(self.names[index].as_str());
        let norm = self.names.len() - 2;
        if index == 0 {
            let load = |device: &Device| load_embedding(source, config, device);
            return self.run(0, &self.embedding, need.embedding(step), load, pass, |matrix, slot| {
                matrix
                    .rows(x.on(slot, devices)?)
                    .and_then(|rows| rows.to_dtype(source.compute().activations()))
                    .and_then(|rows| config.embedding_scale.map_or(Ok(rows.clone()), |scale| rows * scale))
                    .map_err(what())
            });
        }
        if index == norm {
            let load = |device: &Device| load_norm(source, config, device);
            return self.run(norm, &self.norm, need.norm(step), load, pass, |norm, slot| {
                norm.forward(x.on(slot, devices)?).map_err(what())
            });
        }
        let Some(block) = self.blocks.get(index - 1) else {
            let load = |device: &Device| load_head(source, config, device);
            return self.run(index, &self.head, need.head(step), load, pass, |head, slot| {
                head.forward(x.on(slot, devices)?)
                    .and_then(|logits| softcap(logits, config.final_softcap))
                    .map_err(what())
            });
        };
        let load = |device: &Device| Block::load(source, config, index - 1, device);
        let size = (step.attending_rows, step.positions);
        let scores = self.scores(index - 1, block.home().runs_on, size);
        self.run(index, block, need.block(step, scores), load, pass, |block, slot| {
            let x = x.on(slot, devices)?;
            let mut segments = self.segments(index - 1, slot, batch, masks)?;
            block.forward(x, &mut segments).map_err(what())
        })
    }

    /// What becomes of the scores of a layer for so many rows and positions.
    fn scores(&self, layer: usize, slot: Slot, size: (usize, usize)) -> Scores {
        let limits = (self.config.block.attention_softcap, self.config.window(layer));
        scores(
            limits,
            size,
            self.source.compute().activations(),
            self.devices.handle(slot),
        )
    }

    /// What each sequence brings to a layer.
    fn segments<'s>(
        &self,
        layer: usize,
        slot: Slot,
        batch: &'s mut Batch<'_, '_>,
        masks: &mut Masks,
    ) -> Result<Vec<Segment<'s>>, EngineError> {
        let handle = self.devices.handle(slot);
        let absent = || EngineError::WrongDevice {
            found: self.devices.id(Slot::CPU).clone(),
            expected: self.devices.id(slot).clone(),
        };
        let mut segments = Vec::with_capacity(batch.rows.len());
        for (sequence, &rows) in batch.sequences.iter_mut().zip(batch.rows) {
            let start = sequence.len;
            let rotation = sequence.tables.get(&slot).ok_or_else(absent)?.at(start, rows);
            let mask = match self.scores(layer, slot, (rows, start + rows)) {
                Scores::Stored => masks.on(slot, (start, rows), self.config.window(layer), handle),
                Scores::Passing => Ok(None),
            };
            segments.push(Segment {
                rows,
                rotation: rotation.map_err(EngineError::candle("turning positions"))?,
                mask: mask.map_err(EngineError::candle("making a mask"))?,
                cache: sequence.cache(layer).ok_or_else(absent)?,
            });
        }
        Ok(segments)
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
        let output = output.map(|output| Placed::made_on(slot, output));
        output
            .and_then(|output| audit::output(index, &output, pass.context).map(|()| output))
            .map_err(|error| error.into_failure(pass.context))
    }

    /// Moves the activation to the device of the module at `index`, which begins a stage.
    pub(crate) fn hop(
        &self,
        index: usize,
        x: Placed,
        batch: &mut Batch<'_, '_>,
        pass: &mut Pass<'_>,
    ) -> Result<Placed, WorkerFailure> {
        let (Some(Some(hop)), Some(home)) = (self.hop_into.get(index), self.layout.homes.get(index)) else {
            return Ok(x);
        };
        // A kernel that never ends belongs to the stage that launched it: it is waited for before the hop begins.
        self.devices
            .wait_for(x.slot())
            .map_err(|error| error.into_failure(pass.context))?;
        pass.clock.lap(pass.context);
        let sent = audit::sent(*hop, &x, pass.context).map_err(|error| error.into_failure(pass.context))?;
        let effect = pass.context.enter_hop(*hop);
        // One activation carries all sequences; the first remembers what the link has delivered.
        let delivered = batch.sequences.first_mut().and_then(|first| first.delivered.as_mut());
        let moved = self
            .carry(&x, home.runs_on)
            .and_then(|moved| fault::on_hop(effect, *hop, moved, delivered))
            .and_then(|moved| audit::arrived(*hop, sent.as_ref(), &moved, pass.context).map(|()| moved))
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

/// The last row of each sequence.
fn keep_rows(x: &Tensor, rows: &[usize]) -> candle_core::Result<Tensor> {
    match rows {
        [row] => x.narrow(0, *row, 1),
        rows => {
            let kept = rows.iter().map(|row| x.narrow(0, *row, 1));
            Tensor::cat(&kept.collect::<candle_core::Result<Vec<_>>>()?, 0)
        }
    }
}

/// The causal masks of a stage, each made once where it is used.
#[derive(Default)]
struct Masks {
    made: BTreeMap<MaskKey, Tensor>,
}

/// Where it is used, the first and the number of its rows, and the window they see.
type MaskKey = (Slot, usize, usize, Option<usize>);

impl Masks {
    /// The mask on a device; a single new position sees everything it is given and needs none.
    fn on(
        &mut self,
        slot: Slot,
        (start, rows): (usize, usize),
        window: Option<usize>,
        device: &Device,
    ) -> candle_core::Result<Option<Tensor>> {
        if rows == 1 {
            return Ok(None);
        }
        // A window that no position reaches is none.
        let window = window.filter(|window| *window < start + rows);
        match self.made.entry((slot, start, rows, window)) {
            Entry::Occupied(made) => Ok(Some(made.get().clone())),
            Entry::Vacant(vacant) => Ok(Some(vacant.insert(causal_mask(start, rows, window, device)?).clone())),
        }
    }
}

//! One generation: prefill, then token by token.

use candle_core::DType;
use placebench_core::outcome::{Phase, WorkerFailure};
use placebench_core::protocol::{FinishReason, Generation, GenerationSpec};
use placebench_engine::Context;
use placebench_engine::faults::TokenEffect;

use crate::device::{Ledger, Placed, Slot};
use crate::error::EngineError;
use crate::logits::{Choice, Chooser};
use crate::model::{Decoder, LogitRows, Pass, Sequence, StepCounters};
use crate::tokenizer::{TextStream, Tokenizer};

/// What a generation needs besides the model.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The prompt's tokens; at least one.
    pub input_ids: &'a [u32],
    /// How to generate.
    pub spec: &'a GenerationSpec,
    /// Makes text of tokens, where the model has one.
    pub tokenizer: Option<&'a Tokenizer>,
}

impl Task<'_> {
    /// Positions that the generation can need.
    pub(crate) fn capacity(&self) -> usize {
        self.input_ids.len() + self.spec.max_new_tokens as usize
    }
}

/// A model that continues the sequence it has seen so far.
pub(crate) trait StepModel {
    /// The logits after these tokens, on the host, once the device has really made them; and what the step moved.
    fn step(&mut self, ids: &[u32], context: &mut Context) -> Result<Stepped, WorkerFailure>;
}

/// What a step has made.
pub(crate) struct Stepped {
    /// The logits of the next token.
    pub(crate) logits: Vec<f32>,
    /// What was moved for them.
    pub(crate) counters: StepCounters,
    /// Seconds of the stages and hops in turn; empty where they are not told apart.
    pub(crate) stage_times_s: Vec<f64>,
}

/// Generates from an empty cache. Phases `prefill` and `decode` are announced through `context`.
///
/// Returns the state too, so that the caller decides when its memory is freed.
///
/// # Errors
/// When a device has no room, a computation fails, or a logit is not finite.
pub fn generate(
    decoder: &Decoder,
    task: Task<'_>,
    ledger: &Ledger,
    context: &mut Context,
) -> Result<(Generation, Sequence), WorkerFailure> {
    let start_s = begin(context);
    let sequence = decoder.sequence(task.capacity(), ledger, context)?;
    let mut model = PlacedModel {
        decoder,
        sequence,
        ledger,
        seen: Vec::new(),
    };
    let generation = run(&mut model, task, &decoder.config().eos_token_ids, start_s, context)?;
    Ok((generation, model.sequence))
}

/// Announces the prefill; returns when it began.
pub(crate) fn begin(context: &mut Context) -> f64 {
    let start_s = context.now_s();
    context.phase(Phase::Prefill);
    context.begin_token(0);
    start_s
}

/// The loop: the prompt, then one token after the other, until one of `eos`, a stop text, or the limit.
pub(crate) fn run(
    model: &mut dyn StepModel,
    task: Task<'_>,
    eos: &[u32],
    start_s: f64,
    context: &mut Context,
) -> Result<Generation, WorkerFailure> {
    let mut record = Record::new(0, eos, task, start_s);
    let mut input = task.input_ids.to_vec();
    loop {
        let stepped = model.step(&input, context)?;
        let finished = record
            .step(stepped, context)
            .map_err(|error| error.into_failure(context))?;
        if let Some(reason) = finished {
            return record.finish(reason).map_err(|error| error.into_failure(context));
        }
        if record.output_ids.len() == 1 {
            context.phase(Phase::Decode);
        }
        context.begin_token(record.position());
        input = record.last_token().into_iter().collect();
    }
}

/// The placed decoder with the sequence of one generation.
struct PlacedModel<'a> {
    decoder: &'a Decoder,
    sequence: Sequence,
    ledger: &'a Ledger,
    /// All tokens so far: a model whose frequencies change with the length has to compute them anew.
    seen: Vec<u32>,
}

impl StepModel for PlacedModel<'_> {
    fn step(&mut self, ids: &[u32], context: &mut Context) -> Result<Stepped, WorkerFailure> {
        let mut pass = Pass::new(context, self.ledger);
        self.seen.extend(ids);
        let ids = if self.sequence.is_outgrown_by(ids.len()) {
            self.sequence.restart();
            &self.seen
        } else {
            ids
        };
        pass.context.audit_input(ids);
        let ids = place(self.decoder, ids, pass.context).map_err(|error| error.into_failure(pass.context))?;
        let logits = self
            .decoder
            .forward(&mut self.sequence, &ids, LogitRows::Last, &mut pass)?;
        let (counters, clock) = (pass.counters, pass.clock);
        let mut logits = read_back(self.decoder, &logits).map_err(|error| error.into_failure(context))?;
        Ok(Stepped {
            logits: logits.pop().unwrap_or_default(),
            counters,
            stage_times_s: clock.finish(context),
        })
    }
}

/// The input goes where the embedding runs, unless a fault leaves it behind on another device.
pub(crate) fn place(decoder: &Decoder, ids: &[u32], context: &Context) -> Result<Placed, EngineError> {
    let home = decoder.input_slot();
    let elsewhere = decoder.devices().slots().find(|slot| *slot != home);
    match elsewhere {
        Some(slot) if context.fault_at_input() => decoder.place_ids_on(ids, slot),
        _ => decoder.place_ids_on(ids, home),
    }
}

/// The logits of each row on the host, once the device has really made them.
pub(crate) fn read_back(decoder: &Decoder, logits: &Placed) -> Result<Vec<Vec<f32>>, EngineError> {
    let slot: Slot = logits.slot();
    decoder.devices().wait_for(slot)?;
    logits
        .on(slot, decoder.devices())?
        .to_dtype(DType::F32)
        .and_then(|logits| logits.to_vec2())
        .map_err(EngineError::candle("reading the logits"))
}

/// A generation as far as it has come.
pub(crate) struct Record<'a> {
    /// Its number among those that are generated together.
    sequence: u32,
    task: Task<'a>,
    eos: &'a [u32],
    chooser: Chooser,
    stream: Option<TextStream<'a>>,
    start_s: f64,
    output_ids: Vec<u32>,
    stamps: Vec<f64>,
    choices: Vec<Choice>,
    counters: Vec<StepCounters>,
    stage_times_s: Vec<Vec<f64>>,
    /// Where a stop text begins in the text.
    stopped_at: Option<usize>,
}

impl<'a> Record<'a> {
    pub(crate) fn new(sequence: u32, eos: &'a [u32], task: Task<'a>, start_s: f64) -> Self {
        // Text is looked at while it grows only where something may stop it.
        let watched = task.tokenizer.filter(|_| !task.spec.stop.is_empty());
        Self {
            sequence,
            task,
            eos,
            chooser: Chooser::new(task.spec.sampling.as_ref()),
            stream: watched.map(Tokenizer::stream),
            start_s,
            output_ids: Vec::new(),
            stamps: Vec::new(),
            choices: Vec::new(),
            counters: Vec::new(),
            stage_times_s: Vec::new(),
            stopped_at: None,
        }
    }

    /// The position of the token that comes next.
    pub(crate) fn position(&self) -> u32 {
        u32::try_from(self.output_ids.len()).unwrap_or(u32::MAX)
    }

    /// Chooses and reports a token; says whether it is the last one.
    pub(crate) fn step(
        &mut self,
        stepped: Stepped,
        context: &mut Context,
    ) -> Result<Option<FinishReason>, EngineError> {
        let index = self.position();
        let mut choice = self.chooser.choose(index, &stepped.logits)?;
        if context.fault_at_token() == TokenEffect::Garbage {
            // The same token again and again, whatever the logits say.
            choice.id = self.task.input_ids.last().copied().unwrap_or(choice.id);
        }
        let id = choice.id;
        let stamp = context.token_of(self.sequence, index, id, choice.top2_gap);
        self.stamps.push(stamp - self.start_s);
        self.output_ids.push(id);
        self.choices.push(choice);
        self.counters.push(stepped.counters);
        if !stepped.stage_times_s.is_empty() {
            self.stage_times_s.push(stepped.stage_times_s);
        }
        if !self.task.spec.ignore_eos && self.eos.contains(&id) {
            return Ok(Some(FinishReason::Eos));
        }
        if self.meets_stop_text(id)? {
            return Ok(Some(FinishReason::Stop));
        }
        let is_full = self.position() >= self.task.spec.max_new_tokens;
        Ok(is_full.then_some(FinishReason::Length))
    }

    fn meets_stop_text(&mut self, id: u32) -> Result<bool, EngineError> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let text = stream.push(id).map_err(EngineError::from)?;
        self.stopped_at = first_stop(text, &self.task.spec.stop);
        Ok(self.stopped_at.is_some())
    }

    /// The token that was chosen last: what the next step begins with.
    pub(crate) fn last_token(&self) -> Option<u32> {
        self.output_ids.last().copied()
    }

    pub(crate) fn finish(self, reason: FinishReason) -> Result<Generation, EngineError> {
        let text = match (&self.stream, self.stopped_at, self.task.tokenizer) {
            (Some(stream), Some(end), _) => stream.text().get(..end).unwrap_or_default().to_owned(),
            (_, _, Some(tokenizer)) => tokenizer.decode(&self.output_ids)?,
            (_, _, None) => String::new(),
        };
        Ok(Generation {
            input_ids: self.task.input_ids.to_vec(),
            output_ids: self.output_ids,
            text,
            finish_reason: reason,
            start_s: self.start_s,
            token_stamps_s: self.stamps,
            top2_gaps: self.choices.iter().map(|choice| choice.top2_gap).collect(),
            top5: self.choices.into_iter().map(|choice| choice.top).collect(),
            hops: self.counters.iter().map(|step| step.hops).collect(),
            transfer_bytes: self.counters.iter().map(|step| step.transfer_bytes).collect(),
            streamed_bytes: self.counters.iter().map(|step| step.streamed_bytes).collect(),
            stage_times_s: self.stage_times_s,
            text_offsets: Vec::new(),
            companions: Vec::new(),
            input_tokens: None,
            output_tokens: None,
        })
    }
}

/// Where the first of the stop texts begins. An empty one would stop everything and is passed over.
fn first_stop(text: &str, stops: &[String]) -> Option<usize> {
    let stops = stops.iter().filter(|stop| !stop.is_empty());
    stops.filter_map(|stop| text.find(stop.as_str())).min()
}

#[cfg(test)]
mod tests {
    use super::first_stop;

    #[test]
    fn the_earliest_stop_text_counts() {
        let stops = ["two".to_owned(), "on".to_owned(), String::new()];
        assert_eq!(first_stop("one two", &stops), Some(0));
        assert_eq!(first_stop("a two", &stops), Some(2));
        assert_eq!(first_stop("three", &stops), None);
        assert_eq!(first_stop("three", &[]), None);
    }
}

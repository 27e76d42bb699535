//! Several sequences as the rows of one step: weights are read once for all of them.
//!
//! All begin together and take a step at the same time. One that has ended drops out, and the others go on without it.

use placebench_core::outcome::{Phase, WorkerFailure};
use placebench_core::protocol::Generation;
use placebench_engine::Context;

use crate::device::Ledger;
use crate::generate::{Record, Stepped, Task, begin, place, read_back};
use crate::model::{Batch, Decoder, LogitRows, Pass, Sequence};

/// A sequence that has not ended.
struct Open<'a> {
    number: usize,
    record: Record<'a>,
    /// What its next step begins with.
    input: Vec<u32>,
}

/// Generates from all tasks together; the first generation has the others as its companions.
///
/// Returns the states too, so that the caller decides when their memory is freed.
///
/// # Errors
/// As for one sequence: a failure of one ends all.
pub fn generate_batch(
    decoder: &Decoder,
    tasks: &[Task<'_>],
    ledger: &Ledger,
    context: &mut Context,
) -> Result<(Generation, Vec<Sequence>), WorkerFailure> {
    let start_s = begin(context);
    let capacities: Vec<usize> = tasks.iter().map(Task::capacity).collect();
    let mut sequences = decoder.sequences(&capacities, ledger, context)?;
    let mut open: Vec<Open<'_>> = tasks
        .iter()
        .enumerate()
        .map(|(number, task)| Open {
            number,
            record: Record::new(numbered(number), &decoder.config().eos_token_ids, *task, start_s),
            input: task.input_ids.to_vec(),
        })
        .collect();
    let mut ended: Vec<Option<Generation>> = tasks.iter().map(|_| None).collect();
    let mut position = 0;
    while !open.is_empty() {
        let stepped = step(decoder, &open, &mut sequences, ledger, context)?;
        let mut going_on = Vec::with_capacity(open.len());
        for (mut sequence, stepped) in open.into_iter().zip(stepped) {
            let finished = sequence.record.step(stepped, context);
            match finished.map_err(|error| error.into_failure(context))? {
                Some(reason) => {
                    let generation = sequence.record.finish(reason);
                    let generation = generation.map_err(|error| error.into_failure(context))?;
                    if let Some(place) = ended.get_mut(sequence.number) {
                        *place = Some(generation);
                    }
                }
                None => {
                    sequence.input = sequence.record.last_token().into_iter().collect();
                    going_on.push(sequence);
                }
            }
        }
        open = going_on;
        if position == 0 && !open.is_empty() {
            context.phase(Phase::Decode);
        }
        position += 1;
        if !open.is_empty() {
            context.begin_token(position);
        }
    }
    together(ended, context).map(|generation| (generation, sequences))
}

/// One step of all sequences that have not ended.
fn step(
    decoder: &Decoder,
    open: &[Open<'_>],
    sequences: &mut [Sequence],
    ledger: &Ledger,
    context: &mut Context,
) -> Result<Vec<Stepped>, WorkerFailure> {
    let rows: Vec<usize> = open.iter().map(|sequence| sequence.input.len()).collect();
    let ids: Vec<u32> = open
        .iter()
        .flat_map(|sequence| sequence.input.iter().copied())
        .collect();
    let is_open = |number: usize| open.iter().any(|sequence| sequence.number == number);
    let states = sequences.iter_mut().enumerate();
    let mut states: Vec<&mut Sequence> = states
        .filter(|(number, _)| is_open(*number))
        .map(|(_, state)| state)
        .collect();
    let mut pass = Pass::new(context, ledger);
    let ids = place(decoder, &ids, pass.context).map_err(|error| error.into_failure(pass.context))?;
    let mut batch = Batch {
        sequences: &mut states,
        rows: &rows,
    };
    let logits = decoder.forward_batch(&mut batch, &ids, LogitRows::Last, &mut pass)?;
    let (counters, clock) = (pass.counters, pass.clock);
    let logits = read_back(decoder, &logits).map_err(|error| error.into_failure(context))?;
    let stage_times_s = clock.finish(context);
    let stepped = logits.into_iter().map(|logits| Stepped {
        logits,
        counters,
        stage_times_s: stage_times_s.clone(),
    });
    Ok(stepped.collect())
}

/// The number of a sequence in events.
pub(crate) fn numbered(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The first generation with the others as its companions.
pub(crate) fn together(ended: Vec<Option<Generation>>, context: &Context) -> Result<Generation, WorkerFailure> {
    let missing = || {
        let message = "a sequence has neither ended nor failed".to_owned();
        context.failure(placebench_core::outcome::FailureClass::Internal, message)
    };
    let mut all = ended.into_iter();
    let first = all.next().flatten().ok_or_else(missing)?;
    let companions = all.map(|generation| generation.ok_or_else(missing));
    Ok(Generation {
        companions: companions.collect::<Result<_, _>>()?,
        ..first
    })
}

//! Several sequences in flight: a thread for each stage, each working on another sequence, so that devices do not idle in
//! turn.
//!
//! A stage has its own part of every sequence's state and hands activations on through a channel. A driver, on the calling
//! thread, chooses tokens and sends each sequence round again. A sequence is in one place at a time and takes the steps it
//! takes alone, so its text does not depend on the others.
//!
//! Each channel has room for all sequences, so nobody ever waits to hand one on. Whoever fails says so to the driver and
//! ends; the channels it leaves close, and the others end one after the other.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use placebench_core::outcome::{FailureClass, Phase, WorkerFailure};
use placebench_core::protocol::Generation;
use placebench_engine::worker::guarded;
use placebench_engine::{Context, StepClock};

use crate::batch::{numbered, together};
use crate::device::{Ledger, Placed};
use crate::generate::{Record, Stepped, Task, begin, place, read_back};
use crate::model::{Batch, Decoder, LogitRows, Pass, Sequence, StepCounters};

/// A sequence on its way through a step.
struct Job {
    sequence: usize,
    /// Of the token that the step makes.
    position: u32,
    input: Input,
    /// New positions.
    rows: usize,
    counters: StepCounters,
    /// Seconds of the stages and hops behind it. Waiting for a stage is in none of them.
    laps_s: Vec<f64>,
}

/// What a stage begins with.
enum Input {
    /// The first one: token numbers. They are placed by the thread that uses them.
    Ids(Vec<u32>),
    /// The others: what the stage before has moved to their device.
    Activation(Placed),
}

/// What the driver hears.
type Heard = Result<(usize, Stepped), WorkerFailure>;

/// Generates from all tasks, all in flight at once; the first generation has the others as its companions.
///
/// Returns the states too, so that the caller decides when their memory is freed.
///
/// # Errors
/// As for one sequence: a failure of one ends all.
pub fn generate_pipelined(
    decoder: &Decoder,
    tasks: &[Task<'_>],
    ledger: &Ledger,
    context: &mut Context,
) -> Result<(Generation, Vec<Sequence>), WorkerFailure> {
    let start_s = begin(context);
    let capacities: Vec<usize> = tasks.iter().map(Task::capacity).collect();
    let sequences = decoder.sequences(&capacities, ledger, context)?;
    // What this thread has made must be there before other threads use it.
    for slot in decoder.devices().slots() {
        let waited = decoder.devices().wait_for(slot);
        waited.map_err(|error| error.into_failure(context))?;
    }
    let stages = decoder.stages();
    let mut states = by_stage(decoder, sequences);
    let contexts = context.split(stages.len());
    let result = std::thread::scope(|scope| {
        let (to_driver, from_stages) = sync_channel::<Heard>(tasks.len() + stages.len());
        let (to_first, mut inbox) = sync_channel::<Job>(tasks.len());
        let members = stages.iter().zip(states.iter_mut()).zip(contexts);
        for (number, ((modules, states), context)) in members.enumerate() {
            let (next, next_inbox) = sync_channel::<Job>(tasks.len());
            let is_last = number + 1 == stages.len();
            let stage = Stage {
                decoder,
                modules: modules.clone(),
                states,
                ledger,
                context,
                next: (!is_last).then_some(next),
                to_driver: to_driver.clone(),
            };
            let own = std::mem::replace(&mut inbox, next_inbox);
            let thread = std::thread::Builder::new().name(format!("stage {number}"));
            if let Err(error) = thread.spawn_scoped(scope, move || stage.work(&own)) {
                return Err(format!("the thread of stage {number} cannot be started: {error}"));
            }
        }
        // Of the ends of this channel only those of the stages shall be left.
        drop(to_driver);
        Ok(drive(decoder, tasks, start_s, &to_first, &from_stages, context))
    });
    context.rejoin();
    let generation = result.map_err(|message| context.failure(FailureClass::Internal, message))??;
    Ok((generation, states.into_iter().flatten().collect()))
}

/// For each stage its part of every sequence.
fn by_stage(decoder: &Decoder, sequences: Vec<Sequence>) -> Vec<Vec<Sequence>> {
    let stages = decoder.stages();
    let layers: Vec<usize> = stages.iter().map(|stage| decoder.layers_among(stage)).collect();
    let mut states: Vec<Vec<Sequence>> = stages.iter().map(|_| Vec::with_capacity(sequences.len())).collect();
    for sequence in sequences {
        for (states, part) in states.iter_mut().zip(sequence.into_parts(&layers)) {
            states.push(part);
        }
    }
    states
}

/// Chooses tokens, and sends sequences round until all have ended.
fn drive(
    decoder: &Decoder,
    tasks: &[Task<'_>],
    start_s: f64,
    to_first: &SyncSender<Job>,
    from_stages: &Receiver<Heard>,
    context: &mut Context,
) -> Result<Generation, WorkerFailure> {
    let gone = |context: &Context| {
        let message = "a stage ended without saying why".to_owned();
        context.failure(FailureClass::Internal, message)
    };
    let eos = &decoder.config().eos_token_ids;
    let mut records: Vec<Option<Record<'_>>> = Vec::with_capacity(tasks.len());
    for (number, task) in tasks.iter().enumerate() {
        records.push(Some(Record::new(numbered(number), eos, *task, start_s)));
        let job = Job::new(number, 0, task.input_ids.to_vec());
        to_first.send(job).map_err(|_| gone(context))?;
    }
    let mut ended: Vec<Option<Generation>> = tasks.iter().map(|_| None).collect();
    let (mut in_flight, mut in_prefill) = (tasks.len(), tasks.len());
    while in_flight > 0 {
        context.end_step();
        // Closed without a word: the last stage is gone, and whoever failed was not able to say so.
        let (number, stepped) = from_stages.recv().map_err(|_| gone(context))??;
        let Some(mut record) = records.get_mut(number).and_then(Option::take) else {
            return Err(gone(context));
        };
        context.begin_token(record.position());
        if record.position() == 0 {
            in_prefill -= 1;
        }
        let finished = record.step(stepped, context);
        match finished.map_err(|error| error.into_failure(context))? {
            Some(reason) => {
                let generation = record.finish(reason).map_err(|error| error.into_failure(context))?;
                if let Some(place) = ended.get_mut(number) {
                    *place = Some(generation);
                }
                in_flight -= 1;
            }
            None => {
                let ids = record.last_token().into_iter().collect();
                let job = Job::new(number, record.position(), ids);
                if let Some(place) = records.get_mut(number) {
                    *place = Some(record);
                }
                to_first.send(job).map_err(|_| gone(context))?;
            }
        }
        if in_prefill == 0 && context.current_phase() == Phase::Prefill && in_flight > 0 {
            context.phase(Phase::Decode);
        }
    }
    together(ended, context)
}

impl Job {
    fn new(sequence: usize, position: u32, ids: Vec<u32>) -> Self {
        Self {
            sequence,
            position,
            rows: ids.len(),
            input: Input::Ids(ids),
            counters: StepCounters::default(),
            laps_s: Vec::new(),
        }
    }
}

/// A stage, on its thread.
struct Stage<'a> {
    decoder: &'a Decoder,
    modules: Range<usize>,
    /// Its part of every sequence.
    states: &'a mut Vec<Sequence>,
    ledger: &'a Ledger,
    context: Context,
    /// The stage behind; `None` for the last.
    next: Option<SyncSender<Job>>,
    to_driver: SyncSender<Heard>,
}

/// What a stage has made of a job.
enum Done {
    /// Something for the stage behind.
    Job(Job),
    /// Logits.
    Step(usize, Stepped),
}

impl Stage<'_> {
    /// Takes jobs until there are no more, or one fails. Sending fails only where the other end has given up: then so does
    /// this one.
    fn work(mut self, inbox: &Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            let Self {
                decoder,
                modules,
                states,
                ledger,
                context,
                ..
            } = &mut self;
            let done = guarded(context, |context| {
                carry_out(decoder, modules, states, ledger, job, context)
            });
            let is_heard = match (done, &self.next) {
                (Ok(Done::Job(job)), Some(next)) => next.send(job).is_ok(),
                (Ok(Done::Step(sequence, stepped)), _) => self.to_driver.send(Ok((sequence, stepped))).is_ok(),
                (Ok(Done::Job(_)), None) => false,
                (Err(failure), _) => {
                    drop(self.to_driver.send(Err(failure)));
                    false
                }
            };
            self.context.end_step();
            if !is_heard {
                return;
            }
        }
    }
}

/// Takes a sequence through one stage and on to the device of the next.
fn carry_out(
    decoder: &Decoder,
    modules: &Range<usize>,
    states: &mut [Sequence],
    ledger: &Ledger,
    job: Job,
    context: &mut Context,
) -> Result<Done, WorkerFailure> {
    context.begin_step(job.position);
    let Some(state) = states.get_mut(job.sequence) else {
        let message = format!("there is no sequence {}", job.sequence);
        return Err(context.failure(FailureClass::Internal, message));
    };
    let mut pass = Pass {
        counters: job.counters,
        clock: StepClock::resume(context, job.laps_s),
        context,
        ledger,
    };
    let x = match job.input {
        Input::Ids(ids) => place(decoder, &ids, pass.context).map_err(|error| error.into_failure(pass.context))?,
        Input::Activation(x) => x,
    };
    let mut batch = Batch {
        sequences: &mut [state],
        rows: &[job.rows],
    };
    let x = decoder.run_stage(modules, x, &mut batch, LogitRows::Last, &mut pass)?;
    batch.advance();
    if modules.end < decoder.stages().last().map_or(0, |last| last.end) {
        let moved = decoder.hop(modules.end, x, &mut batch, &mut pass)?;
        return Ok(Done::Job(Job {
            sequence: job.sequence,
            position: job.position,
            input: Input::Activation(moved),
            rows: job.rows,
            counters: pass.counters,
            laps_s: pass.clock.into_laps(),
        }));
    }
    let (counters, clock) = (pass.counters, pass.clock);
    let mut logits = read_back(decoder, &x).map_err(|error| error.into_failure(context))?;
    let stepped = Stepped {
        logits: logits.pop().unwrap_or_default(),
        counters,
        stage_times_s: clock.finish(context),
    };
    Ok(Done::Step(job.sequence, stepped))
}

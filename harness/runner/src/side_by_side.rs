//! Several text-only attempts at a time.
//!
//! One thread decides and records, as in a run that makes one attempt after the other; each attempt has a thread of its own
//! that supervises it and lives until it is over, since the kernel ends a worker whose parent thread has gone. Prompts are begun
//! in the order of the schedule. A prompt of which any placement is measured waits until nothing else runs, and is run as
//! usual, alone.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, mem, thread};

use placebench_core::device::DeviceId;
use placebench_core::outcome::Outcome;
use placebench_core::protocol::WorkerEvent;
use placebench_core::record::{Attempt, CaseSpec};
use placebench_core::units::Bytes;

use crate::cancel::Cancel;
use crate::environment;
use crate::gpu;
use crate::ladder::StopStep;
use crate::run::{RunError, RunEvent, RunPlan, RunSummary, Running, request_of};
use crate::schedule::{Group, Slot, schedule_groups, slots_of};
use crate::slots::{Claim, Slots, claim, is_measured};
use crate::store::{RunFolder, is_interrupted};
use crate::supervisor::{Observation, SupervisorError, attempt_without_process, cannot_make, run_attempt};

/// Events of workers that may wait for the deciding thread. A worker's pipe is read on meanwhile.
const WAITING: usize = 1024;

/// Makes all attempts that are not made yet, at most `jobs` at a time. Must be called from a thread that lives until it returns.
///
/// # Errors
/// When the supervisor cannot work or the records cannot be kept; what was recorded until then stays.
pub fn run(
    plan: &RunPlan<'_>,
    jobs: usize,
    folder: &mut RunFolder,
    cancel: &Cancel,
    observer: &mut dyn FnMut(RunEvent<'_>),
) -> Result<RunSummary, RunError> {
    if jobs < 2 {
        return crate::run::run(plan, folder, cancel, observer);
    }
    let mut groups = schedule_groups(plan.cases, plan.seed, &|_| false)
        .into_iter()
        .peekable();
    let is_text_only = |group: &Group| group.cases.iter().all(|&index| !is_measured(&plan.cases[index]));
    let capacity = capacity(plan.cases);
    let mut running = Running::new(plan, None, folder, cancel, observer);
    while let Some(group) = groups.next() {
        let flow = if is_text_only(&group) {
            let mut window = VecDeque::from([group]);
            while let Some(group) = groups.next_if(is_text_only) {
                window.push_back(group);
            }
            Window::new(&mut running, window, Slots::new(jobs, capacity.clone())).run()?
        } else {
            running.group(&group)?
        };
        if flow.is_break() {
            return Ok(running.summary(true));
        }
    }
    Ok(running.summary(false))
}

/// Memory that may be shared out, of each physical device that a case names. Where cards cannot be told apart from here, the
/// fullest of them speaks for all.
fn capacity(cases: &[CaseSpec]) -> BTreeMap<DeviceId, Bytes> {
    let mut capacity = BTreeMap::new();
    let claims = cases.iter().map(claim);
    let devices = claims.flat_map(|claim| match claim {
        Claim::Shared(claims) => claims.into_keys().collect(),
        Claim::Alone => Vec::new(),
    });
    let mut cards = None;
    for device in devices {
        if device == DeviceId::cpu() {
            capacity.insert(device, environment::available_memory());
        } else if device.as_str().starts_with("cuda:")
            && let Some(free) = *cards.get_or_insert_with(gpu::least_free_memory)
        {
            capacity.insert(device, free);
        }
    }
    capacity
}

/// What the thread of an attempt tells the deciding one.
enum Message {
    Observed(usize, Box<Seen>),
    /// It is over; without a result its thread has panicked.
    Over(Slot, Option<Box<Result<Attempt, SupervisorError>>>),
}

/// An [`Observation`] that can be sent.
enum Seen {
    Waiting(String, Option<u32>),
    Spawned(u32),
    Event(WorkerEvent),
    Judged(Outcome),
    Stopping(StopStep),
}

impl Seen {
    fn of(observation: Observation<'_>) -> Self {
        match observation {
            Observation::Waiting { card, holder } => Self::Waiting(card.to_owned(), holder),
            Observation::Spawned { pid } => Self::Spawned(pid),
            Observation::Event(event) => Self::Event(event.clone()),
            Observation::Judged(outcome) => Self::Judged(outcome.clone()),
            Observation::Stopping(step) => Self::Stopping(step),
        }
    }

    fn observation(&self) -> Observation<'_> {
        match self {
            Self::Waiting(card, holder) => Observation::Waiting { card, holder: *holder },
            Self::Spawned(pid) => Observation::Spawned { pid: *pid },
            Self::Event(event) => Observation::Event(event),
            Self::Judged(outcome) => Observation::Judged(outcome),
            Self::Stopping(step) => Observation::Stopping(*step),
        }
    }
}

/// Says at the end of a thread, whatever end it is, that it is over.
struct Farewell {
    slot: Slot,
    result: Option<Box<Result<Attempt, SupervisorError>>>,
    sender: SyncSender<Message>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // The deciding thread waits for all of them, unless it has panicked itself.
        let _unheard = self.sender.send(Message::Over(self.slot, self.result.take()));
    }
}

/// A prompt that was begun.
struct Open {
    group: Group,
    waiting: VecDeque<Slot>,
    running: usize,
}

/// Prompts without a measured placement that follow each other in the schedule.
struct Window<'w, 'a, 'b> {
    run: &'w mut Running<'a, 'b>,
    queue: VecDeque<Group>,
    open: Vec<Open>,
    slots: Slots,
    /// Most attempts beside each of those under way so far, by case.
    beside: BTreeMap<usize, usize>,
    /// No further attempt is begun.
    stopped: bool,
    /// Why the run cannot go on.
    failed: Option<RunError>,
}

impl<'w, 'a, 'b> Window<'w, 'a, 'b> {
    fn new(run: &'w mut Running<'a, 'b>, queue: VecDeque<Group>, slots: Slots) -> Self {
        Self {
            run,
            queue,
            open: Vec::new(),
            slots,
            beside: BTreeMap::new(),
            stopped: false,
            failed: None,
        }
    }

    fn run(mut self) -> Result<ControlFlow<()>, RunError> {
        let (sender, receiver) = sync_channel(WAITING);
        self.decide(&sender, &receiver);
        match (self.failed, self.stopped) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(ControlFlow::Break(())),
            (None, false) => Ok(ControlFlow::Continue(())),
        }
    }

    /// Begins what there is room for, and takes what comes, until all is over. Attempts that are under way when the run is to
    /// stop are still brought to their end and recorded.
    fn decide(&mut self, sender: &SyncSender<Message>, receiver: &Receiver<Message>) {
        loop {
            if !self.stopped
                && let Err(error) = self.begin_what_fits(sender)
            {
                self.fail(error);
            }
            if self.slots.running() == 0 {
                // Nothing runs and nothing could be begun: all is made, or the run is to stop.
                return;
            }
            let taken = match receiver.recv() {
                Ok(Message::Observed(case, seen)) => {
                    let case = &self.run.plan.cases[case];
                    let observation = seen.observation();
                    (self.run.observer)(RunEvent::Worker { case, observation });
                    Ok(())
                }
                Ok(Message::Over(slot, result)) => self.take(slot, result),
                Err(_) => return,
            };
            if let Err(error) = taken {
                self.fail(error);
            }
        }
    }

    fn fail(&mut self, error: RunError) {
        self.stopped = true;
        self.failed.get_or_insert(error);
    }

    fn begin_what_fits(&mut self, sender: &SyncSender<Message>) -> Result<(), RunError> {
        while !self.stopped {
            if self.run.cancel.is_cancelled() {
                self.stopped = true;
                break;
            }
            let Some((open, slot, claim)) = self.next_that_fits() else {
                break;
            };
            let case = &self.run.plan.cases[slot.case];
            match self.run.skip_reason(case) {
                Some(skipped) => {
                    let attempt = attempt_without_process(case, slot.attempt, environment::now_rfc3339(), skipped);
                    self.record(open, slot, &attempt)?;
                }
                None => self.begin(open, slot, claim, sender)?,
            }
        }
        Ok(())
    }

    /// The first attempt, in the order of the schedule, that there is room for now. Prompts are opened as they are needed.
    fn next_that_fits(&mut self) -> Option<(usize, Slot, Claim)> {
        let mut at = 0;
        loop {
            if at == self.open.len() {
                // Prompts that nobody has begun are not looked through for one that happens to fit: the order would be lost.
                let is_stuck = self.open.iter().any(|open| !open.waiting.is_empty());
                if is_stuck || !self.open_next() {
                    return None;
                }
            }
            let waiting = self.open.get_mut(at).map(|open| &mut open.waiting)?;
            if let Some(slot) = waiting.front().copied() {
                let claim = claim(&self.run.plan.cases[slot.case]);
                if self.slots.has_room_for(&claim) {
                    waiting.pop_front();
                    return Some((at, slot, claim));
                }
            }
            at += 1;
        }
    }

    /// Opens the next prompt of which something is still to be made. False where there is none.
    fn open_next(&mut self) -> bool {
        while let Some(group) = self.queue.pop_front() {
            let waiting = self.run.open(&group);
            self.open.push(Open {
                group,
                waiting: waiting.into(),
                running: 0,
            });
            let last = self.open.len() - 1;
            self.go_on_with(last);
            if self.stopped {
                return false;
            }
            if self.open.len() > last {
                return true;
            }
        }
        false
    }

    fn begin(&mut self, open: usize, slot: Slot, claim: Claim, sender: &SyncSender<Message>) -> Result<(), RunError> {
        let plan = self.run.plan;
        let case = &plan.cases[slot.case];
        let (command, request) = ((plan.worker)(case), request_of(case, slot.repetitions));
        let events = self.run.folder.events_path(&case.case);
        let cancel = self.run.cancel.clone();
        let attempt = slot.attempt;
        (self.run.observer)(RunEvent::AttemptStarted { case, attempt });
        let (sender, own) = (sender.clone(), case.clone());
        let thread = thread::Builder::new().name("attempt".to_owned());
        let spawned = thread.spawn(move || {
            let mut farewell = Farewell {
                slot,
                result: None,
                sender: sender.clone(),
            };
            let result = run_attempt(
                &command,
                &own,
                &request,
                attempt,
                Some(&events),
                &cancel,
                &mut |observation| {
                    let _unheard = sender.send(Message::Observed(slot.case, Box::new(Seen::of(observation))));
                },
            );
            farewell.result = Some(Box::new(result));
        });
        spawned.map_err(cannot_make("the supervising thread"))?;
        self.slots.take(slot.case, claim);
        self.beside.insert(slot.case, 0);
        let others = self.slots.running() - 1;
        for most in self.beside.values_mut() {
            *most = (*most).max(others);
        }
        if let Some(open) = self.open.get_mut(open) {
            open.running += 1;
        }
        Ok(())
    }

    /// An attempt is over.
    fn take(&mut self, slot: Slot, result: Option<Box<Result<Attempt, SupervisorError>>>) -> Result<(), RunError> {
        self.slots.give_back(slot.case);
        let beside = self.beside.remove(&slot.case).unwrap_or(0);
        let open = self.open.iter().position(|open| open.group.cases.contains(&slot.case));
        if let Some(open) = open.and_then(|at| self.open.get_mut(at)) {
            open.running = open.running.saturating_sub(1);
        }
        let panicked = || cannot_make("the record")(io::Error::other("the supervising thread panicked"));
        let mut attempt = result.map_or_else(|| Err(panicked()), |result| *result)?;
        attempt.concurrent = u32::try_from(beside).unwrap_or(u32::MAX);
        self.record(open.unwrap_or(self.open.len()), slot, &attempt)
    }

    /// Puts an attempt on record, and goes on with its prompt.
    fn record(&mut self, open: usize, slot: Slot, attempt: &Attempt) -> Result<(), RunError> {
        let case = &self.run.plan.cases[slot.case];
        self.run.record(case, attempt)?;
        if is_interrupted(attempt) {
            self.stopped = true;
            return Ok(());
        }
        if self.run.end_try(case, attempt).is_break() {
            self.stopped = true;
        }
        self.go_on_with(open);
        Ok(())
    }

    /// When all of a prompt that was begun is made: retries what may be, else closes it.
    fn go_on_with(&mut self, at: usize) {
        let Some(open) = self.open.get_mut(at) else { return };
        if !open.waiting.is_empty() || open.running > 0 {
            return;
        }
        let group = mem::replace(
            &mut open.group,
            Group {
                cases: Vec::new(),
                order: Vec::new(),
            },
        );
        let again = if self.stopped {
            Vec::new()
        } else {
            self.run.retries_of(&group)
        };
        if !again.is_empty() {
            open.waiting = slots_of(self.run.plan.cases, &again).into();
            open.group = group;
            return;
        }
        self.open.remove(at);
        if !self.stopped {
            let is_over = self.run.conclude(&group).is_break();
            self.stopped |= is_over;
        }
        let scenario = |group: &Group| {
            group
                .cases
                .first()
                .map(|&index| self.run.plan.cases[index].scenario.as_str())
        };
        let is_needed = |other: &Group| scenario(other) == scenario(&group);
        if !self.queue.iter().any(is_needed) && !self.open.iter().any(|open| is_needed(&open.group)) {
            let scenario = scenario(&group).unwrap_or_default();
            self.run.failures.leave(scenario);
        }
    }
}

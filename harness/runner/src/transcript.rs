//! What a worker has said so far, and whether it may say what it says next.
//!
//! The rules: `hello` first (or an `error`, where a worker cannot even say hello), generations numbered from 0 one after
//! the other, as many as were asked for, each with its tokens in order and no more than were asked for, then `done` when all
//! are reported, or `error`; after either nothing. Times do not go back, and every number is one. Figures of a worker that
//! breaks them cannot be trusted, so a breach ends the attempt.
//!
//! A kind of event that is not known is a breach, because a worker of the same version has no others and a misspelled
//! `token` would look like a stall; a key that is not known is passed over. However much a worker says, what is kept of it
//! is bounded ([`limits`]).

use placebench_core::audit::AuditStep;
use placebench_core::breadcrumb::PlaceRef;
use placebench_core::device::{DeviceBytes, DeviceId};
use placebench_core::outcome::{Hop, Phase, Place, WorkerFailure};
use placebench_core::protocol::{
    DeviceFacts, EventKind, Generation, LinkFacts, MemoryFigure, PROTOCOL_VERSION, PlannedPlacement, Probe,
    RealisedModule, StacksOnDemand, WorkerEvent, WorkerRequest,
};
use placebench_core::record::{Attempt, PhaseSpan};

use self::current::Current;
use crate::breach::{Breach, name, quoted};
use crate::lines::Line;
use crate::secrets::Secrets;

mod current;
mod figures;
mod generations;
mod limits;

/// How the events ended.
#[derive(Debug, Clone, PartialEq)]
enum End {
    Done,
    Error(WorkerFailure),
}

/// Everything a worker said, as a record needs it.
#[derive(Debug)]
pub(crate) struct Transcript {
    warmups_asked: u32,
    measured_asked: u32,
    companions: usize,
    tokens_asked: u32,
    warmups: u32,
    next_generation: u32,
    /// What was heard, in bytes.
    heard: u64,
    /// The stamp of the last event.
    last_s: f64,
    hello: bool,
    end: Option<End>,
    half_line: Option<String>,
    pub(crate) secrets: Secrets,
    current: Option<Current>,
    modules: Vec<(String, DeviceId)>,
    hops: Vec<Hop>,
    phases: Vec<PhaseSpan>,
    versions: Vec<String>,
    profile: Option<String>,
    devices: Vec<DeviceFacts>,
    planned: Option<PlannedPlacement>,
    realised: Option<Vec<RealisedModule>>,
    links: Vec<LinkFacts>,
    eos_token_ids: Option<Vec<u32>>,
    probe: Option<Probe>,
    pub(crate) memory: Vec<MemoryFigure>,
    generations: Vec<Generation>,
    held: Vec<Vec<DeviceBytes>>,
    faults_struck: Option<Vec<u32>>,
    audit: Vec<AuditStep>,
    /// How it can be asked for its stacks.
    pub(crate) stacks: Option<StacksOnDemand>,
}

impl Transcript {
    /// Nothing has been said yet.
    pub(crate) fn new(request: &WorkerRequest) -> Self {
        Self {
            warmups_asked: request.warmup,
            measured_asked: request.repetitions,
            companions: request.companion_prompts.len(),
            tokens_asked: request.generation.max_new_tokens,
            warmups: 0,
            next_generation: 0,
            heard: 0,
            last_s: 0.0,
            hello: false,
            end: None,
            half_line: None,
            secrets: Secrets::of_worker(request.server.as_ref()),
            current: None,
            modules: Vec::new(),
            hops: Vec::new(),
            phases: vec![PhaseSpan {
                phase: Phase::Spawn,
                start_s: 0.0,
                end_s: None,
            }],
            versions: Vec::new(),
            profile: None,
            devices: Vec::new(),
            planned: None,
            realised: None,
            links: Vec::new(),
            eos_token_ids: None,
            probe: None,
            memory: Vec::new(),
            generations: Vec::new(),
            held: Vec::new(),
            faults_struck: None,
            audit: Vec::new(),
            stacks: None,
        }
    }

    /// Takes a line of the event pipe; an empty one means nothing. Half a line is remembered: whether it is the worker's
    /// fault depends on how the process ended.
    pub(crate) fn take(&mut self, line: &Line) -> Result<Option<WorkerEvent>, Breach> {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong => return Err(Breach::TooLong),
            Line::Half(bytes) => {
                self.half_line = Some(self.secrets.hidden(&quoted(bytes)).into_owned());
                return Ok(None);
            }
        };
        self.heard = self.heard.saturating_add(bytes.len() as u64 + 1);
        if self.heard > limits::MOST_BYTES {
            return Err(Breach::TooMuch {
                what: "bytes of events",
                most: limits::MOST_BYTES,
            });
        }
        let hidden = |text: String| self.secrets.hidden(&text).into_owned();
        let text = std::str::from_utf8(bytes).map_err(|_| Breach::NotUtf8(hidden(quoted(bytes))))?;
        let text = self.secrets.hidden(text);
        if text.trim().is_empty() {
            return Ok(None);
        }
        let event: WorkerEvent = serde_json::from_str(&text).map_err(|error| Breach::NotAnEvent {
            line: quoted(text.as_bytes()),
            reason: error.to_string().escape_debug().to_string(),
        })?;
        self.accept(&event)?;
        Ok(Some(event))
    }

    fn accept(&mut self, event: &WorkerEvent) -> Result<(), Breach> {
        self.check_place(&event.kind)?;
        figures::check(event)?;
        if event.t_s < self.last_s {
            return Err(Breach::BackInTime {
                event: name(&event.kind),
                t_s: event.t_s,
                last_s: self.last_s,
            });
        }
        self.last_s = event.t_s;
        match &event.kind {
            EventKind::Hello {
                protocol,
                versions,
                profile,
                stacks,
                ..
            } => {
                if *protocol != PROTOCOL_VERSION {
                    return Err(Breach::Version { worker: *protocol });
                }
                self.hello = true;
                self.versions.clone_from(versions);
                self.profile = Some(profile.clone());
                self.stacks = *stacks;
            }
            EventKind::Phase { phase } => self.begin_phase(*phase, event.t_s)?,
            // For people who watch; what was fetched is told by what comes next.
            EventKind::Fetching { .. } => {}
            EventKind::Devices { devices } => self.devices.clone_from(devices),
            EventKind::Planned(planned) => self.planned = Some(planned.clone()),
            EventKind::Places { modules, hops } => {
                self.modules.clone_from(modules);
                self.hops.clone_from(hops);
            }
            EventKind::Loaded {
                realised,
                eos_token_ids,
                ..
            } => {
                self.realised = Some(realised.clone());
                self.eos_token_ids.clone_from(eos_token_ids);
            }
            EventKind::Links { links } => self.links.clone_from(links),
            EventKind::Probed(probe) => self.probe = Some(probe.clone()),
            EventKind::Started { generation, warmup } => {
                self.start(*generation, *warmup, event.t_s)?;
            }
            EventKind::Token {
                generation,
                sequence,
                index,
                id,
                ..
            } => match sequence.checked_sub(1) {
                None => self.token(*generation, *index, *id, event.t_s)?,
                Some(companion) => self.companion_token(*generation, companion, *index, *id)?,
            },
            EventKind::Audited(step) => {
                Self::running(self.current.as_mut(), "audited", step.generation)?;
                step.clone().append_to(&mut self.audit);
            }
            EventKind::Finished {
                generation,
                warmup,
                result,
            } => self.finish(*generation, *warmup, result)?,
            EventKind::Memory(figure) => self.remember(figure)?,
            EventKind::Held { generation, devices } => self.hold(*generation, devices)?,
            EventKind::FaultsStruck { struck } => self.faults_struck = Some(struck.clone()),
            EventKind::Done => self.done(event.t_s)?,
            EventKind::Error { failure } => {
                self.finish_with(End::Error(failure.clone()), event.t_s);
            }
        }
        Ok(())
    }

    /// `hello` comes first and once, nothing comes after the end.
    fn check_place(&self, kind: &EventKind) -> Result<(), Breach> {
        let event = name(kind);
        if let Some(end) = &self.end {
            let end = match end {
                End::Done => "done",
                End::Error(_) => "error",
            };
            return Err(Breach::AfterEnd { event, end });
        }
        match kind {
            EventKind::Hello { .. } if self.hello => Err(Breach::SecondHello),
            EventKind::Hello { .. } | EventKind::Error { .. } => Ok(()),
            _ if !self.hello => Err(Breach::BeforeHello { event }),
            _ => Ok(()),
        }
    }

    fn begin_phase(&mut self, phase: Phase, t_s: f64) -> Result<(), Breach> {
        limits::room_for(self.phases.len(), limits::MOST_PHASES, "phases")?;
        self.end_phase(t_s);
        self.phases.push(PhaseSpan {
            phase,
            start_s: t_s,
            end_s: None,
        });
        Ok(())
    }

    fn end_phase(&mut self, t_s: f64) {
        if let Some(last) = self.phases.last_mut() {
            last.end_s = Some(t_s);
        }
    }

    fn remember(&mut self, figure: &MemoryFigure) -> Result<(), Breach> {
        let known = self
            .memory
            .iter_mut()
            .find(|known| known.device == figure.device && known.kind == figure.kind);
        match known {
            Some(known) => *known = figure.clone(),
            None => {
                limits::room_for(self.memory.len(), limits::MOST_FIGURES, "figures of memory")?;
                self.memory.push(figure.clone());
            }
        }
        Ok(())
    }

    /// Said once of each generation that is over, in order.
    fn hold(&mut self, generation: u32, devices: &[DeviceBytes]) -> Result<(), Breach> {
        let expected = self.held.len();
        let is_over = generation < self.next_generation && self.current.is_none();
        if usize::try_from(generation) != Ok(expected) || !is_over {
            return Err(Breach::Order {
                event: "held",
                got: generation,
                expected: format!("the finished generation {expected}"),
            });
        }
        self.held.push(devices.to_vec());
        Ok(())
    }

    fn done(&mut self, t_s: f64) -> Result<(), Breach> {
        let measured = u32::try_from(self.generations.len()).unwrap_or(u32::MAX);
        if (self.warmups, measured) != (self.warmups_asked, self.measured_asked) {
            return Err(Breach::Incomplete {
                warmups: self.warmups,
                warmups_asked: self.warmups_asked,
                measured,
                measured_asked: self.measured_asked,
            });
        }
        self.finish_with(End::Done, t_s);
        Ok(())
    }

    fn finish_with(&mut self, end: End, t_s: f64) {
        self.end = Some(end);
        self.end_phase(t_s);
    }

    /// What is wrong with the events of a worker that ended in order, if something is.
    pub(crate) fn breach_at_end(&self) -> Option<Breach> {
        match &self.half_line {
            Some(half) => Some(Breach::HalfLine(half.clone())),
            None if self.is_done() => None,
            None => Some(Breach::Silent),
        }
    }

    /// The worker has said `done`.
    pub(crate) fn is_done(&self) -> bool {
        self.end == Some(End::Done)
    }

    /// The failure the worker has named.
    pub(crate) fn error(&self) -> Option<&WorkerFailure> {
        match &self.end {
            Some(End::Error(failure)) => Some(failure),
            Some(End::Done) | None => None,
        }
    }

    /// The phase it announced last.
    pub(crate) fn phase(&self) -> Phase {
        self.phases.last().map_or(Phase::Spawn, |span| span.phase)
    }

    /// Tokens of the generation that is under way; `None` between generations.
    pub(crate) fn tokens_under_way(&self) -> Option<u32> {
        let current = self.current.as_ref()?;
        Some(u32::try_from(current.tokens.len()).unwrap_or(u32::MAX))
    }

    /// Tokens of the generation that is under way, else of the last one that was measured.
    pub(crate) fn tokens_made(&self) -> u32 {
        self.tokens_under_way().unwrap_or_else(|| {
            let last = self
                .generations
                .last()
                .map_or(0, placebench_core::protocol::Generation::output_count);
            u32::try_from(last).unwrap_or(u32::MAX)
        })
    }

    /// The name of a place in the breadcrumb.
    pub(crate) fn place(&self, place: PlaceRef) -> Option<Place> {
        match place {
            PlaceRef::Module(index) => self.modules.get(index).map(|(module, device)| Place::Module {
                module: module.clone(),
                device: device.clone(),
            }),
            PlaceRef::Hop(index) => self.hops.get(index).cloned().map(Place::Hop),
        }
    }

    /// The name of a place in the breadcrumb of a rank, whose modules are on a device of its own.
    pub(crate) fn place_of_rank(&self, place: PlaceRef, rank: u32) -> Option<Place> {
        let Some(Place::Module { module, device }) = self.place(place) else {
            return self.place(place);
        };
        let own = self.realised.iter().flatten();
        let own = own.filter(|held| held.rank == Some(rank) && held.module == module);
        Some(Place::Module {
            device: own.map(|held| held.device.clone()).next().unwrap_or(device),
            module,
        })
    }

    /// Puts what was said into the record of the attempt; tokens of an unfinished generation as partial ones.
    pub(crate) fn into_record(self, attempt: Attempt) -> Attempt {
        Attempt {
            partial_tokens: self.current.map(|current| current.tokens).unwrap_or_default(),
            phases: self.phases,
            versions: self.versions,
            profile: self.profile,
            devices: self.devices,
            planned: self.planned,
            realised: self.realised,
            places: self.modules,
            links: self.links,
            memory: self.memory,
            generations: self.generations,
            held_bytes: self.held,
            faults_struck: self.faults_struck,
            audit: self.audit,
            eos_token_ids: self.eos_token_ids,
            probe: self.probe,
            ..attempt
        }
    }
}

#[cfg(test)]
mod tests;

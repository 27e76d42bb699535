//! What a worker has said so far, and whether it may say what it says next.
//!
//! The rules: `hello` first (or an `error`, where a worker cannot even say hello), generations numbered from 0 one after
//! the other, each with its tokens in order, then `done` when all that were asked for are reported, or `error`; after
//! either nothing. Figures of a worker that breaks them cannot be trusted, so a breach ends the attempt.

use placebench_core::breadcrumb::PlaceRef;
use placebench_core::device::DeviceId;
use placebench_core::outcome::{Hop, Phase, Place, WorkerFailure};
use placebench_core::protocol::{
    DeviceFacts, EventKind, Generation, LinkFacts, MemoryFigure, PROTOCOL_VERSION, PlannedPlacement, Probe,
    RealisedModule, WorkerEvent, WorkerRequest,
};
use placebench_core::record::PhaseSpan;

use self::current::Current;
use crate::breach::{Breach, name, quoted};
use crate::lines::Line;

mod current;

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
    warmups: u32,
    next_generation: u32,
    hello: bool,
    end: Option<End>,
    half_line: Option<String>,
    current: Option<Current>,
    pub(crate) modules: Vec<(String, DeviceId)>,
    hops: Vec<Hop>,
    pub(crate) phases: Vec<PhaseSpan>,
    pub(crate) versions: Vec<String>,
    pub(crate) profile: Option<String>,
    pub(crate) devices: Vec<DeviceFacts>,
    pub(crate) planned: Option<PlannedPlacement>,
    pub(crate) realised: Option<Vec<RealisedModule>>,
    pub(crate) links: Vec<LinkFacts>,
    pub(crate) eos_token_ids: Option<Vec<u32>>,
    pub(crate) probe: Option<Probe>,
    pub(crate) memory: Vec<MemoryFigure>,
    pub(crate) generations: Vec<Generation>,
}

impl Transcript {
    /// Nothing has been said yet.
    pub(crate) fn new(request: &WorkerRequest) -> Self {
        Self {
            warmups_asked: request.warmup,
            measured_asked: request.repetitions,
            companions: request.companion_prompts.len(),
            warmups: 0,
            next_generation: 0,
            hello: false,
            end: None,
            half_line: None,
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
        }
    }

    /// Takes a line of the event pipe; an empty one means nothing. Half a line is remembered: whether it is the worker's
    /// fault depends on how the process ended.
    pub(crate) fn take(&mut self, line: &Line) -> Result<Option<WorkerEvent>, Breach> {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong => return Err(Breach::TooLong),
            Line::Half(bytes) => {
                self.half_line = Some(quoted(bytes));
                return Ok(None);
            }
        };
        let text = std::str::from_utf8(bytes).map_err(|_| Breach::NotUtf8(quoted(bytes)))?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let event: WorkerEvent = serde_json::from_str(text).map_err(|error| Breach::NotAnEvent {
            line: quoted(bytes),
            reason: error.to_string().escape_debug().to_string(),
        })?;
        self.accept(&event)?;
        Ok(Some(event))
    }

    fn accept(&mut self, event: &WorkerEvent) -> Result<(), Breach> {
        self.check_place(&event.kind)?;
        match &event.kind {
            EventKind::Hello {
                protocol,
                versions,
                profile,
                ..
            } => {
                if *protocol != PROTOCOL_VERSION {
                    return Err(Breach::Version { worker: *protocol });
                }
                self.hello = true;
                self.versions.clone_from(versions);
                self.profile = Some(profile.clone());
            }
            EventKind::Phase { phase } => self.begin_phase(*phase, event.t_s),
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
            EventKind::Finished {
                generation,
                warmup,
                result,
            } => self.finish(*generation, *warmup, result)?,
            EventKind::Memory(figure) => self.remember(figure),
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

    fn begin_phase(&mut self, phase: Phase, t_s: f64) {
        self.end_phase(t_s);
        self.phases.push(PhaseSpan {
            phase,
            start_s: t_s,
            end_s: None,
        });
    }

    fn end_phase(&mut self, t_s: f64) {
        if let Some(last) = self.phases.last_mut() {
            last.end_s = Some(t_s);
        }
    }

    fn start(&mut self, generation: u32, warmup: bool, t_s: f64) -> Result<(), Breach> {
        let expected = match &self.current {
            Some(current) => format!("the end of generation {}", current.number),
            None if generation == self.next_generation => {
                self.next_generation += 1;
                self.current = Some(Current {
                    number: generation,
                    warmup,
                    start_s: t_s,
                    tokens: Vec::new(),
                    companion_tokens: vec![Vec::new(); self.companions],
                });
                return Ok(());
            }
            None => format!("generation {}", self.next_generation),
        };
        Err(Breach::Order {
            event: "started",
            got: generation,
            expected,
        })
    }

    fn token(&mut self, generation: u32, index: u32, id: u32, t_s: f64) -> Result<(), Breach> {
        let current = Self::running(self.current.as_mut(), "token", generation)?;
        if usize::try_from(index) != Ok(current.tokens.len()) {
            return Err(Breach::TokenOrder {
                generation,
                got: index,
                expected: current.tokens.len(),
            });
        }
        current.tokens.push((t_s - current.start_s, id));
        Ok(())
    }

    /// What is kept of a companion in the end is its whole generation, which must be what was streamed.
    fn companion_token(&mut self, generation: u32, companion: u32, index: u32, id: u32) -> Result<(), Breach> {
        let asked = 1 + self.companions;
        let current = Self::running(self.current.as_mut(), "token", generation)?;
        let known = usize::try_from(companion)
            .ok()
            .and_then(|companion| current.companion_tokens.get_mut(companion));
        let Some(made) = known else {
            return Err(Breach::NoSequence {
                generation,
                sequence: companion.saturating_add(1),
                asked,
            });
        };
        if usize::try_from(index) != Ok(made.len()) {
            return Err(Breach::TokenOrder {
                generation,
                got: index,
                expected: made.len(),
            });
        }
        made.push(id);
        Ok(())
    }

    fn finish(&mut self, generation: u32, warmup: bool, result: &Generation) -> Result<(), Breach> {
        let current = Self::running(self.current.as_mut(), "finished", generation)?;
        if current.warmup != warmup {
            return Err(Breach::WarmupChanged {
                generation,
                started: current.warmup,
                finished: warmup,
            });
        }
        let unequal = std::iter::once(result)
            .chain(&result.companions)
            .find(|sequence| sequence.output_ids.len() != sequence.token_stamps_s.len());
        if let Some(sequence) = unequal {
            return Err(Breach::Stamps {
                generation,
                ids: sequence.output_ids.len(),
                stamps: sequence.token_stamps_s.len(),
            });
        }
        if result.companions.len() != self.companions {
            return Err(Breach::Companions {
                generation,
                got: result.companions.len(),
                expected: self.companions,
            });
        }
        current.is_what_was_streamed(result)?;
        self.current = None;
        if warmup {
            self.warmups += 1;
        } else {
            self.generations.push(result.clone());
        }
        Ok(())
    }

    fn running<'a>(
        current: Option<&'a mut Current>,
        event: &'static str,
        generation: u32,
    ) -> Result<&'a mut Current, Breach> {
        match current {
            Some(current) if current.number == generation => Ok(current),
            other => Err(Breach::Order {
                event,
                got: generation,
                expected: other.map_or_else(
                    || "no running generation".to_owned(),
                    |current| format!("generation {}", current.number),
                ),
            }),
        }
    }

    fn remember(&mut self, figure: &MemoryFigure) {
        let known = self
            .memory
            .iter_mut()
            .find(|known| known.device == figure.device && known.kind == figure.kind);
        match known {
            Some(known) => *known = figure.clone(),
            None => self.memory.push(figure.clone()),
        }
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
                .map_or(0, |generation| generation.output_ids.len());
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

    /// The tokens of an unfinished generation.
    pub(crate) fn take_partial_tokens(&mut self) -> Vec<(f64, u32)> {
        self.current.take().map(|current| current.tokens).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;

//! What an engine is given besides its request: the event pipe, the breadcrumb, the clock and the faults.

mod faults;

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use placebench_core::breadcrumb::PlaceRef;
use placebench_core::device::DeviceId;
use placebench_core::doctor::probe::hop_name;
use placebench_core::outcome::{FailureClass, Hop, Phase, Place, WorkerFailure};
use placebench_core::placement::Transfer;
use placebench_core::protocol::{EventKind, LinkFacts, WorkerEvent};
use placebench_core::units::Bytes;

use crate::audit::Auditor;
use crate::breadcrumb::BreadcrumbWriter;
use crate::faults::{FaultPlan, HopEffect, HopFaults, ModuleEffect, Moment};
use crate::lanes::Trail;

/// A hop with the names that faults know it by.
#[derive(Debug, Clone)]
pub(crate) struct NamedHop {
    pub(crate) hop: Hop,
    pub(crate) name: String,
    link: String,
}

/// Where an engine reports to. All times are seconds since the context was made.
pub struct Context {
    start: Instant,
    sink: Option<Box<dyn Write + Send>>,
    sink_broken: bool,
    trail: Trail,
    faults: Arc<FaultPlan>,
    phase: Phase,
    pub(crate) generation: u32,
    pub(crate) token: Option<u32>,
    /// When the step that is under way began.
    step_began: Option<Instant>,
    pub(crate) modules: Vec<(String, DeviceId)>,
    pub(crate) hops: Vec<NamedHop>,
    transfer: Transfer,
    /// An index costs nothing on the way; names are put to it when a failure needs them.
    place: Option<PlaceRef>,
    /// Only where the request asks for an audit.
    pub(crate) auditor: Option<Box<Auditor>>,
    /// Links that are no longer used as they were tried: from, to.
    replaced_links: Vec<(DeviceId, DeviceId)>,
}

impl Context {
    /// A context that writes events to `sink`, one JSON object a line.
    #[must_use]
    pub fn new(sink: Box<dyn Write + Send>, breadcrumb: BreadcrumbWriter, faults: FaultPlan) -> Self {
        Self {
            sink: Some(sink),
            ..Self::silent(breadcrumb, faults)
        }
    }

    /// A context nobody listens to: for generating inside the own process.
    #[must_use]
    pub fn unheard() -> Self {
        Self::silent(BreadcrumbWriter::unread(), FaultPlan::default())
    }

    fn silent(breadcrumb: BreadcrumbWriter, faults: FaultPlan) -> Self {
        Self {
            start: Instant::now(),
            sink: None,
            sink_broken: false,
            trail: Trail::Page(Arc::new(breadcrumb)),
            faults: Arc::new(faults),
            phase: Phase::Spawn,
            generation: 0,
            token: None,
            step_began: None,
            modules: Vec::new(),
            hops: Vec::new(),
            transfer: Transfer::default(),
            place: None,
            auditor: None,
            replaced_links: Vec::new(),
        }
    }

    /// Contexts for threads that work on this generation together with this one: the same clock, places and faults, and one
    /// breadcrumb, which shows the step of all of them that was begun first and has not ended. They write no events.
    pub fn split(&mut self, threads: usize) -> Vec<Self> {
        let (start, phase, generation) = (self.start, self.phase, self.generation);
        let trails = self.trail.split(threads, phase);
        let own = |trail| Self {
            start,
            sink: None,
            sink_broken: false,
            trail,
            faults: Arc::clone(&self.faults),
            phase,
            generation,
            token: None,
            step_began: None,
            modules: self.modules.clone(),
            hops: self.hops.clone(),
            transfer: self.transfer,
            place: None,
            auditor: None,
            replaced_links: self.replaced_links.clone(),
        };
        trails.into_iter().map(own).collect()
    }

    /// The threads of [`Self::split`] have ended.
    pub fn rejoin(&mut self) {
        self.trail.rejoin();
    }

    /// Work on the token at that position of some sequence begins, on a thread of its own.
    pub fn begin_step(&mut self, position: u32) {
        self.phase = if position == 0 { Phase::Prefill } else { Phase::Decode };
        self.trail.phase(self.phase);
        self.begin_token(position);
    }

    /// The step is over, and this thread waits for the next.
    pub fn end_step(&mut self) {
        self.place = None;
        self.trail.idle();
    }

    /// Seconds since the start, monotonic.
    #[must_use]
    pub fn now_s(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// The current phase.
    #[must_use]
    pub fn current_phase(&self) -> Phase {
        self.phase
    }

    /// Announces a phase.
    pub fn phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.place = None;
        self.trail.phase(phase);
        self.emit(EventKind::Phase { phase });
        self.faults.at_phase(phase);
    }

    /// Writes an event with the current time.
    pub fn emit(&mut self, kind: EventKind) {
        if let EventKind::Links { links } = &kind {
            self.take_links(links);
        }
        let t_s = self.now_s();
        self.emit_at(t_s, kind);
    }

    fn emit_at(&mut self, t_s: f64, kind: EventKind) {
        let Some(sink) = &mut self.sink else { return };
        if self.sink_broken {
            return;
        }
        // A supervisor that has gone takes the worker with it; until then nothing can be told to anybody.
        let written = serde_json::to_vec(&WorkerEvent { t_s, kind }).map(|mut line| {
            line.push(b'\n');
            sink.write_all(&line).and_then(|()| sink.flush())
        });
        self.sink_broken = !matches!(written, Ok(Ok(())));
    }

    /// How activations are asked to travel; said before [`Self::set_places`].
    pub(crate) fn set_transfer(&mut self, transfer: Transfer) {
        self.transfer = transfer;
    }

    /// Announces how each link is really used: what faults know its hops by from now on.
    fn take_links(&mut self, links: &[LinkFacts]) {
        for named in &mut self.hops {
            let (from, to) = (&named.hop.from_device, &named.hop.to_device);
            if let Some(facts) = links.iter().find(|facts| facts.from == *from && facts.to == *to) {
                named.link = hop_name(from, to, facts.transfer);
            }
        }
    }

    /// Names the places the breadcrumb and the faults speak of: modules in order of execution with their devices, and the
    /// hops between them.
    pub fn set_places(&mut self, modules: Vec<(String, DeviceId)>, hops: Vec<Hop>) {
        // An index into the old list names nothing in the new one.
        self.place = None;
        self.modules.clone_from(&modules);
        let named = |hop: &Hop| NamedHop {
            name: hop.name(),
            link: hop_name(&hop.from_device, &hop.to_device, self.transfer),
            hop: hop.clone(),
        };
        self.hops = hops.iter().map(named).collect();
        self.emit(EventKind::Places { modules, hops });
    }

    /// A generation begins.
    pub(crate) fn begin_generation(&mut self, number: u32, warmup: bool) {
        self.generation = number;
        self.token = None;
        self.trail.generation(number);
        self.faults.begin_generation(number);
        self.emit(EventKind::Started {
            generation: number,
            warmup,
        });
    }

    /// Announces `prefill` before the first token and `decode` before the second; the others go on in `decode`.
    pub fn phase_of_token(&mut self, position: u32) {
        match position {
            0 => self.phase(Phase::Prefill),
            1 => self.phase(Phase::Decode),
            _ => {}
        }
    }

    /// Work on the token at that position begins.
    pub fn begin_token(&mut self, position: u32) {
        self.token = Some(position);
        self.step_began = Some(Instant::now());
        self.trail.token(position);
    }

    /// The module at that position of [`Self::set_places`] begins; says what an injected fault does to its output.
    #[must_use]
    pub fn enter_module(&mut self, index: usize) -> ModuleEffect {
        self.trail.module(index);
        let Some((module, device)) = self.modules.get(index) else {
            return ModuleEffect::None;
        };
        let effect = self.faults.at_module(Moment {
            module: Some(module),
            device: Some(device),
            ..self.moment()
        });
        self.place = Some(PlaceRef::Module(index));
        effect
    }

    /// The hop at that position of [`Self::set_places`] begins; says what an injected fault does to what it carries.
    #[must_use]
    pub fn enter_hop(&mut self, index: usize) -> HopEffect {
        self.trail.hop(index);
        let Some(named) = self.hops.get(index) else {
            return HopEffect::None;
        };
        let is_replaced =
            |(from, to): &(DeviceId, DeviceId)| *from == named.hop.from_device && *to == named.hop.to_device;
        if self.phase == Phase::Prepare && self.replaced_links.iter().any(is_replaced) {
            self.place = Some(PlaceRef::Hop(index));
            return HopEffect::None;
        }
        let effect = self.faults.at_hop(Moment {
            hop: Some(&named.name),
            link: Some(&named.link),
            ..self.moment()
        });
        self.place = Some(PlaceRef::Hop(index));
        effect
    }

    /// What was found wrong with these links has been got round: faults that broke them in phase `prepare` have no hop left
    /// to strike there.
    pub fn links_replaced(&mut self, links: impl IntoIterator<Item = (DeviceId, DeviceId)>) {
        self.replaced_links.extend(links);
    }

    /// The check of the link below the hop at that position begins. Faults strike where what is returned is asked: on the
    /// thread that copies, so that one that never returns can be given up.
    #[must_use]
    pub fn enter_link_check(&mut self, index: usize) -> HopFaults {
        self.trail.hop(index);
        let named = self.hops.get(index);
        self.place = named.map(|_| PlaceRef::Hop(index));
        HopFaults::new(
            Arc::clone(&self.faults),
            self.phase,
            named.map(|named| named.name.clone()),
            named.map(|named| named.link.clone()),
        )
    }

    /// A token was chosen and its device has been synchronised. Returns its stamp.
    pub fn token(&mut self, index: u32, id: u32, top2_gap: f32) -> f64 {
        self.token_of(0, index, id, top2_gap)
    }

    /// The same for one of several sequences: 0, or the number of a companion, from 1.
    pub fn token_of(&mut self, sequence: u32, index: u32, id: u32, top2_gap: f32) -> f64 {
        self.token_told(sequence, index, Some(id), Some(top2_gap))
    }

    /// The same where it was somebody else who chose the token, and did not tell everything of it.
    pub fn token_told(&mut self, sequence: u32, index: u32, id: Option<u32>, top2_gap: Option<f32>) -> f64 {
        self.tell_audit();
        self.fault_at_end_of_step();
        let stamp = self.now_s();
        let generation = self.generation;
        self.emit_at(
            stamp,
            EventKind::Token {
                generation,
                sequence,
                index,
                id,
                top2_gap,
            },
        );
        stamp
    }

    /// A failure in the current phase and place.
    #[must_use]
    pub fn failure(&self, class: FailureClass, message: impl Into<String>) -> WorkerFailure {
        WorkerFailure {
            class,
            message: message.into(),
            phase: self.phase,
            device: None,
            needed_bytes: None,
            allowed_bytes: None,
            place: self.place(),
            rank: None,
        }
    }

    /// The module or hop that work is at, by name.
    fn place(&self) -> Option<Place> {
        match self.place? {
            PlaceRef::Module(index) => self.modules.get(index).map(|(module, device)| Place::Module {
                module: module.clone(),
                device: device.clone(),
            }),
            PlaceRef::Hop(index) => self.hops.get(index).map(|named| Place::Hop(named.hop.clone())),
        }
    }

    /// Out of memory on a device, in the current phase and place.
    #[must_use]
    pub fn out_of_memory(&self, device: &DeviceId, what: &str, needed: Bytes, allowed: Bytes) -> WorkerFailure {
        let at = self.place().map(|place| format!(" at {place}")).unwrap_or_default();
        WorkerFailure {
            device: Some(device.clone()),
            needed_bytes: Some(needed),
            allowed_bytes: Some(allowed),
            ..self.failure(
                FailureClass::OutOfMemory,
                format!(
                    "out of memory on {device} in {}{at}: {what} needs {needed} in use, {allowed} allowed",
                    self.phase
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_names_device_phase_and_bytes() {
        let mut context = Context::unheard();
        context.phase(Phase::Load);
        let failure = context.out_of_memory(
            &DeviceId::new("sim:0").unwrap(),
            "model.layers.3",
            Bytes(2048),
            Bytes(1024),
        );
        assert_eq!(
            failure.message,
            "out of memory on sim:0 in load: model.layers.3 needs 2.00 KiB in use, 1.00 KiB allowed"
        );
        assert_eq!(failure.allowed_bytes, Some(Bytes(1024)));
    }

    #[test]
    fn failures_name_the_place_and_only_while_work_is_there() {
        let device = |name| DeviceId::new(name).unwrap();
        let hop = Hop {
            from_module: "a".into(),
            to_module: "b".into(),
            from_device: device("sim:0"),
            to_device: device("sim:1"),
        };
        let mut context = Context::unheard();
        let modules = vec![("a".to_owned(), device("sim:0")), ("b".to_owned(), device("sim:1"))];
        context.set_places(modules.clone(), vec![hop]);
        let place = |context: &Context| {
            let failure = context.failure(FailureClass::Internal, "");
            failure.place.map(|place| place.name())
        };
        assert_eq!(place(&context), None);
        assert_eq!(context.enter_module(1), ModuleEffect::None);
        assert_eq!(place(&context).as_deref(), Some("b"));
        assert_eq!(context.enter_hop(0), HopEffect::None);
        assert_eq!(place(&context).as_deref(), Some("a -> b"));
        // A place that does not exist is none to be at.
        assert_eq!(context.enter_module(7), ModuleEffect::None);
        assert_eq!(place(&context).as_deref(), Some("a -> b"));
        drop(context.enter_link_check(7));
        assert_eq!(place(&context), None);
        assert_eq!(context.enter_module(0), ModuleEffect::None);
        context.set_places(modules, Vec::new());
        assert_eq!(place(&context), None, "the index is of another list");
        assert_eq!(context.enter_module(0), ModuleEffect::None);
        context.end_step();
        assert_eq!(place(&context), None);
    }
}

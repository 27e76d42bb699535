//! Injected faults: when each of them strikes.
//!
//! Stalls, delays and crashes happen here; effects on data (a wrong copy, a NaN) are returned, because only the engine
//! holds the data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use placebench_core::device::DeviceId;
use placebench_core::fault::{Fault, FaultKind};
use placebench_core::outcome::Phase;
use placebench_core::units::Bytes;

/// What a hop must do to the activation it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopEffect {
    /// Deliver it as it is.
    None,
    /// Deliver zeros.
    Zero,
    /// Deliver what this link carried last.
    Stale,
    /// Deliver it with some values wrong.
    Corrupt,
}

/// What a module must do to its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleEffect {
    /// Nothing.
    None,
    /// Make it NaN.
    Nan,
}

/// What must be done to a step's choice of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenEffect {
    /// Nothing.
    None,
    /// Choose the same token at every step.
    Garbage,
}

/// The moment a fault may strike.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The phase.
    pub phase: Phase,
    /// Token being made, during a generation.
    pub token: Option<u32>,
    /// Module about to compute.
    pub module: Option<&'a str>,
    /// Name of the hop about to start, `from -> to`.
    pub hop: Option<&'a str>,
}

/// What strikes one hop outside of a generation, for use on another thread.
#[derive(Debug, Clone)]
pub struct HopFaults {
    plan: Arc<FaultPlan>,
    phase: Phase,
    hop: Option<String>,
}

impl HopFaults {
    pub(crate) fn new(plan: Arc<FaultPlan>, phase: Phase, hop: Option<String>) -> Self {
        Self { plan, phase, hop }
    }

    /// Before the copy: stalls, delays or crashes as asked, and says what to do to the data. Faults that do not name the
    /// phase strike while generating only.
    #[must_use]
    pub fn strike(&self) -> HopEffect {
        self.plan.at_hop(Moment {
            phase: self.phase,
            token: None,
            module: None,
            hop: self.hop.as_deref(),
        })
    }
}

/// The faults of a request.
#[derive(Debug)]
pub struct FaultPlan {
    faults: Vec<Fault>,
    /// Number of the generation that is under way, all threads of it included; [`NO_GENERATION`] before the first.
    generation: AtomicU32,
}

const NO_GENERATION: u32 = u32::MAX;

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            faults: Vec::new(),
            generation: AtomicU32::new(NO_GENERATION),
        }
    }
}

impl FaultPlan {
    /// Arms the faults of a request. `unkillable` strikes at once.
    #[must_use]
    pub fn new(faults: Vec<Fault>) -> Self {
        let plan = Self {
            faults,
            ..Self::default()
        };
        if plan.present(FaultKind::Unkillable) {
            ignore_sigterm();
        }
        plan
    }

    /// Whether a fault of that kind was asked for at all.
    #[must_use]
    pub fn present(&self, kind: FaultKind) -> bool {
        self.faults.iter().any(|fault| fault.kind == kind)
    }

    /// A generation begins.
    pub(crate) fn begin_generation(&self, number: u32) {
        self.generation.store(number, Ordering::Relaxed);
    }

    /// The faults that may strike now: one that names a generation does so in that one only.
    fn armed(&self) -> impl Iterator<Item = &Fault> {
        let current = self.generation.load(Ordering::Relaxed);
        let is_now = move |wanted: u32| current != NO_GENERATION && wanted == current;
        self.faults
            .iter()
            .filter(move |fault| fault.at.generation.is_none_or(is_now))
    }

    /// Before a hop: stalls, delays or crashes as asked, and says what to do to the data.
    #[must_use]
    pub fn at_hop(&self, moment: Moment<'_>) -> HopEffect {
        self.strike(moment);
        for fault in self.matching(moment, Anchor::Hop) {
            match fault.kind {
                FaultKind::ZeroCopy => return HopEffect::Zero,
                FaultKind::StaleCopy => return HopEffect::Stale,
                FaultKind::CorruptCopy => return HopEffect::Corrupt,
                FaultKind::SlowLink => {
                    std::thread::sleep(Duration::from_secs_f64(fault.delay_s.unwrap_or(0.1).clamp(0.0, 3600.0)));
                }
                _ => {}
            }
        }
        HopEffect::None
    }

    /// Before a module computes.
    #[must_use]
    pub fn at_module(&self, moment: Moment<'_>) -> ModuleEffect {
        self.strike(moment);
        let nan = self
            .matching(moment, Anchor::Module)
            .any(|fault| fault.kind == FaultKind::Nan);
        if nan { ModuleEffect::Nan } else { ModuleEffect::None }
    }

    /// Before a token is chosen.
    #[must_use]
    pub fn at_token(&self, moment: Moment<'_>) -> TokenEffect {
        self.strike(moment);
        let from_here = |fault: &Fault| {
            fault.kind == FaultKind::Garbage && fault.at.token.unwrap_or(0) <= moment.token.unwrap_or(0)
        };
        if self.armed().any(from_here) {
            TokenEffect::Garbage
        } else {
            TokenEffect::None
        }
    }

    /// When a phase begins.
    pub fn at_phase(&self, phase: Phase) {
        self.strike(Moment {
            phase,
            token: None,
            module: None,
            hop: None,
        });
    }

    /// Whether an allocation that would bring a device to `used` must be refused.
    #[must_use]
    pub fn at_allocation(&self, device: &DeviceId, used: Bytes) -> bool {
        let _ = device;
        self.armed()
            .any(|fault| fault.kind == FaultKind::OutOfMemory && fault.at.bytes.is_none_or(|limit| used > limit))
    }

    /// Stall and crash need no engine.
    fn strike(&self, moment: Moment<'_>) {
        for fault in self.armed() {
            match fault.kind {
                FaultKind::Stall if holds(fault, moment, Anchor::Any) => loop {
                    std::thread::park();
                },
                FaultKind::Crash if holds(fault, moment, Anchor::Any) => std::process::abort(),
                _ => {}
            }
        }
    }

    fn matching<'a>(&'a self, moment: Moment<'a>, anchor: Anchor) -> impl Iterator<Item = &'a Fault> {
        self.armed().filter(move |fault| holds(fault, moment, anchor))
    }
}

/// What a fault without conditions waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Any,
    Hop,
    Module,
}

/// Every condition that is given must hold. A stall without any strikes at the first hop or module of a generation, so
/// that "the first chance" is a place with a name.
fn holds(fault: &Fault, moment: Moment<'_>, anchor: Anchor) -> bool {
    let at = &fault.at;
    let anchored = match anchor {
        Anchor::Hop => moment.hop.is_some(),
        Anchor::Module => moment.module.is_some(),
        Anchor::Any => at.phase.is_some() || moment.hop.is_some() || moment.module.is_some(),
    };
    // A module is met while loading too; a fault that is to strike there names the phase.
    let generating = at.phase.is_some() || moment.token.is_some();
    anchored
        && generating
        && at.phase.is_none_or(|phase| phase == moment.phase)
        && at.token.is_none_or(|token| Some(token) == moment.token)
        && at.module.as_deref().is_none_or(|module| Some(module) == moment.module)
        && at
            .hop
            .as_deref()
            .is_none_or(|hop| moment.hop.is_some_and(|name| same_hop(hop, name)))
}

/// Scenarios write `a -> b` with any spacing.
fn same_hop(written: &str, name: &str) -> bool {
    let parts = |text: &str| -> Vec<String> { text.split("->").map(|part| part.trim().to_owned()).collect() };
    parts(written) == parts(name)
}

/// SIGTERM then sets a flag nobody reads.
fn ignore_sigterm() {
    // A failed registration leaves SIGTERM deadly; the scenario's expectation then shows that the fault did not strike.
    drop(signal_hook::flag::register(
        signal_hook::consts::SIGTERM,
        std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::fault::FaultPoint;

    fn plan(kind: FaultKind, at: FaultPoint) -> FaultPlan {
        FaultPlan::new(vec![Fault {
            kind,
            at,
            delay_s: None,
        }])
    }

    fn hop(token: u32, name: &str) -> Moment<'_> {
        Moment {
            phase: if token == 0 { Phase::Prefill } else { Phase::Decode },
            token: Some(token),
            module: None,
            hop: Some(name),
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let at = FaultPoint {
            hop: Some("a->b".into()),
            token: Some(2),
            ..FaultPoint::default()
        };
        let plan = plan(FaultKind::ZeroCopy, at);
        assert_eq!(plan.at_hop(hop(2, "a -> b")), HopEffect::Zero);
        assert_eq!(plan.at_hop(hop(1, "a -> b")), HopEffect::None);
        assert_eq!(plan.at_hop(hop(2, "b -> c")), HopEffect::None);
    }

    #[test]
    fn without_conditions_the_first_chance_is_taken() {
        let nan = plan(FaultKind::Nan, FaultPoint::default());
        let module = Moment {
            phase: Phase::Prefill,
            token: Some(0),
            module: Some("model.norm"),
            hop: None,
        };
        assert_eq!(nan.at_module(module), ModuleEffect::Nan);
        assert_eq!(nan.at_hop(hop(0, "a -> b")), HopEffect::None);
    }

    #[test]
    fn a_fault_that_names_a_generation_strikes_in_that_one_only() {
        let at = FaultPoint {
            generation: Some(1),
            ..FaultPoint::default()
        };
        let plan = plan(FaultKind::ZeroCopy, at);
        let strikes = |plan: &FaultPlan| plan.at_hop(hop(0, "a -> b")) == HopEffect::Zero;
        assert!(!strikes(&plan), "nothing is generated yet");
        for (generation, expected) in [(0, false), (1, true), (2, false)] {
            plan.begin_generation(generation);
            assert_eq!(strikes(&plan), expected, "{generation}");
        }
    }

    #[test]
    fn memory_runs_out_above_the_byte_count_only() {
        let at = FaultPoint {
            bytes: Some(Bytes(100)),
            ..FaultPoint::default()
        };
        let plan = plan(FaultKind::OutOfMemory, at);
        assert!(!plan.at_allocation(&DeviceId::cpu(), Bytes(100)));
        assert!(plan.at_allocation(&DeviceId::cpu(), Bytes(101)));
    }

    #[test]
    fn no_fault_does_nothing() {
        let plan = FaultPlan::default();
        assert_eq!(plan.at_hop(hop(0, "a -> b")), HopEffect::None);
        assert_eq!(plan.at_token(hop(0, "a -> b")), TokenEffect::None);
        assert!(!plan.at_allocation(&DeviceId::cpu(), Bytes(u64::MAX)));
        plan.at_phase(Phase::Load);
    }
}

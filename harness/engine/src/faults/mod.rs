//! Injected faults: when each of them strikes.
//!
//! Stalls, delays and crashes happen here; effects on data (a wrong copy, a NaN) are returned, because only the engine
//! holds the data. Each fault remembers whether it has struck: one that never did proves nothing.

mod conditions;
mod end;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use placebench_core::device::DeviceId;
use placebench_core::fault::{Fault, FaultKind};
use placebench_core::outcome::Phase;
use placebench_core::scenario::problem::suggestion;
use placebench_core::units::Bytes;

use self::conditions::{Anchor, holds};

/// Delay of a slow link that names none.
const SLOW: f64 = 0.1;

/// What a slow step's time is multiplied by where nothing is said.
const SLOWER: f64 = 2.0;

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

/// What must be kept of a generation that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leak {
    /// Its caches.
    Caches,
    /// So many bytes on the device of the last module.
    Bytes(Bytes),
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
    /// The way it takes, `device -> device` or `device -> host -> device`.
    pub link: Option<&'a str>,
    /// The device of the module about to compute.
    pub device: Option<&'a DeviceId>,
}

/// What strikes one hop outside of a generation, for use on another thread.
#[derive(Debug, Clone)]
pub struct HopFaults {
    plan: Arc<FaultPlan>,
    phase: Phase,
    hop: Option<String>,
    link: Option<String>,
}

impl HopFaults {
    pub(crate) fn new(plan: Arc<FaultPlan>, phase: Phase, hop: Option<String>, link: Option<String>) -> Self {
        Self { plan, phase, hop, link }
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
            link: self.link.as_deref(),
            device: None,
        })
    }
}

/// A fault, and whether it has struck. Several threads may meet it.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    struck: AtomicBool,
}

impl Armed {
    fn note(&self) {
        self.struck.store(true, Ordering::Relaxed);
    }
}

/// The faults of a request.
#[derive(Debug)]
pub struct FaultPlan {
    faults: Vec<Armed>,
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
        let faults = faults.into_iter().map(|fault| Armed {
            fault,
            struck: AtomicBool::new(false),
        });
        let plan = Self {
            faults: faults.collect(),
            ..Self::default()
        };
        for unkillable in plan.of(FaultKind::Unkillable) {
            if end::ignore_sigterm() {
                unkillable.note();
            }
        }
        plan
    }

    /// Positions of the faults that have struck, in order.
    #[must_use]
    pub fn struck(&self) -> Vec<u32> {
        let positions = self.faults.iter().zip(0..);
        let struck = positions.filter(|(armed, _)| armed.struck.load(Ordering::Relaxed));
        struck.map(|(_, position)| position).collect()
    }

    /// Whether a fault of that kind was asked for at all.
    #[must_use]
    pub fn present(&self, kind: FaultKind) -> bool {
        self.of(kind).next().is_some()
    }

    /// Whether a fault of that kind was asked for, at the moment when it takes effect: for kinds that have no conditions.
    #[must_use]
    pub fn strikes(&self, kind: FaultKind) -> bool {
        self.of(kind).fold(false, |_, armed| {
            armed.note();
            true
        })
    }

    /// Whether every place that is named exists: a fault at a place that does not exist could never strike.
    ///
    /// # Errors
    /// The first such fault, in words.
    pub fn check_places(&self, modules: &[&str], hops: &[&str]) -> Result<(), String> {
        for fault in self.faults.iter().map(|armed| &armed.fault) {
            let kind = fault.kind.as_str();
            if let Some(module) = fault.at.module.as_deref().filter(|module| !modules.contains(module)) {
                let nearest = suggestion(module, modules);
                return Err(format!(
                    "the fault {kind} names module `{module}`, which there is not: {nearest}"
                ));
            }
            let is_named = |hop: &&str| !hops.iter().any(|known| placebench_core::fault::same_hop(hop, known));
            if let Some(hop) = fault.at.hop.as_deref().filter(is_named) {
                let known = match hops {
                    [] => "it has none, as all modules are on one device".to_owned(),
                    hops => suggestion(hop, hops),
                };
                return Err(format!(
                    "the fault {kind} names hop `{hop}`, which this placement does not have ({known}); narrow the fault to \
                     the placements that have it with placements = [\"…\"]"
                ));
            }
        }
        Ok(())
    }

    /// A generation begins.
    pub(crate) fn begin_generation(&self, number: u32) {
        self.generation.store(number, Ordering::Relaxed);
    }

    /// The faults that may strike now: one that names a generation does so in that one only.
    fn armed(&self) -> impl Iterator<Item = &Armed> {
        let current = self.generation.load(Ordering::Relaxed);
        let is_now = move |wanted: u32| current != NO_GENERATION && wanted == current;
        self.faults
            .iter()
            .filter(move |armed| armed.fault.at.generation.is_none_or(is_now))
    }

    /// Before a hop: stalls, delays or crashes as asked, and says what to do to the data.
    #[must_use]
    pub fn at_hop(&self, moment: Moment<'_>) -> HopEffect {
        self.stop(moment);
        let mut effect = HopEffect::None;
        for armed in self.matching(moment, Anchor::Hop) {
            let asked = match armed.fault.kind {
                FaultKind::ZeroCopy => HopEffect::Zero,
                FaultKind::StaleCopy => HopEffect::Stale,
                FaultKind::CorruptCopy => HopEffect::Corrupt,
                FaultKind::SlowLink => {
                    armed.note();
                    std::thread::sleep(delay(&armed.fault));
                    continue;
                }
                _ => continue,
            };
            // Of several the first one.
            if effect == HopEffect::None {
                armed.note();
                effect = asked;
            }
        }
        effect
    }

    /// Before a module computes, or is loaded.
    #[must_use]
    pub fn at_module(&self, moment: Moment<'_>) -> ModuleEffect {
        self.stop(moment);
        let mut matching = self.matching(moment, Anchor::Module);
        match matching.find(|armed| armed.fault.kind == FaultKind::Nan) {
            Some(nan) => {
                nan.note();
                ModuleEffect::Nan
            }
            None => ModuleEffect::None,
        }
    }

    /// Before a token is chosen. Garbage goes on from the token it names.
    #[must_use]
    pub fn at_token(&self, moment: Moment<'_>) -> TokenEffect {
        self.stop(moment);
        let from_here = |armed: &&Armed| {
            let at = &armed.fault.at;
            armed.fault.kind == FaultKind::Garbage
                && at.token.unwrap_or(0) <= moment.token.unwrap_or(0)
                && at.phase.is_none_or(|phase| phase == moment.phase)
        };
        match self.armed().find(from_here) {
            Some(garbage) => {
                garbage.note();
                TokenEffect::Garbage
            }
            None => TokenEffect::None,
        }
    }

    /// When the work of a step is done that took `took`: how much longer it shall take.
    #[must_use]
    pub fn at_end_of_step(&self, moment: Moment<'_>, took: Duration) -> Duration {
        let slow = self.matching(moment, Anchor::Nothing);
        slow.filter(|armed| armed.fault.kind == FaultKind::SlowStep)
            .map(|armed| {
                armed.note();
                match armed.fault.delay_s {
                    Some(_) => delay(&armed.fault),
                    None => took.mul_f64(armed.fault.factor.unwrap_or(SLOWER).clamp(1.0, 100.0) - 1.0),
                }
            })
            .sum()
    }

    /// When a phase begins.
    pub fn at_phase(&self, phase: Phase) {
        self.stop(Moment {
            phase,
            token: None,
            module: None,
            hop: None,
            link: None,
            device: None,
        });
    }

    /// Whether the input of a step is left behind on another device than the first module's.
    #[must_use]
    pub fn at_input(&self, moment: Moment<'_>) -> bool {
        let mut left = self.matching(moment, Anchor::Nothing);
        left.find(|armed| armed.fault.kind == FaultKind::InputDevice)
            .inspect(|armed| armed.note())
            .is_some()
    }

    /// Whether an allocation that would bring its device to `used` bytes must be refused: what is then said to be allowed.
    /// Weights are allocated too, so that without conditions the first of them is refused.
    #[must_use]
    pub fn at_allocation(&self, moment: Moment<'_>, used: Bytes) -> Option<Bytes> {
        let refused = self.armed().find(|armed| {
            let at = &armed.fault.at;
            armed.fault.kind == FaultKind::OutOfMemory
                && conditions::of_moment(at, moment)
                && at.bytes.is_none_or(|limit| used > limit)
        })?;
        refused.note();
        Some(refused.fault.at.bytes.unwrap_or(Bytes(used.0.saturating_sub(1))))
    }

    /// Moves modules elsewhere than was planned, after the plan was announced: `ignored_split` to where the first one is,
    /// `spill` to the host. Without a module all are moved, or of a spill the last third of the layers.
    pub fn displace<D: Clone + PartialEq>(&self, names: &[String], homes: &mut [D], host: &D) {
        for armed in &self.faults {
            let Some(first) = homes.first().cloned() else { return };
            let module = armed.fault.at.module.as_deref();
            let is_meant = |index: usize, name: &str| match (armed.fault.kind, module) {
                (_, Some(module)) => module == name,
                (FaultKind::Spill, None) => is_in_last_third(index, homes.len()),
                (_, None) => true,
            };
            let to = match armed.fault.kind {
                FaultKind::IgnoredSplit => first,
                FaultKind::Spill => host.clone(),
                _ => continue,
            };
            let meant: Vec<bool> = names.iter().enumerate().map(|(i, name)| is_meant(i, name)).collect();
            for (home, _) in homes
                .iter_mut()
                .zip(meant)
                .filter(|(home, is_meant)| *is_meant && **home != to)
            {
                *home = to.clone();
                armed.note();
            }
        }
    }

    /// What is kept of a generation that is over.
    #[must_use]
    pub fn at_end_of_generation(&self) -> Option<Leak> {
        let leak = self.armed().find(|armed| armed.fault.kind == FaultKind::Leak)?;
        leak.note();
        Some(leak.fault.at.bytes.map_or(Leak::Caches, Leak::Bytes))
    }

    /// Stall and crash need no engine.
    fn stop(&self, moment: Moment<'_>) {
        for armed in self.armed() {
            match armed.fault.kind {
                FaultKind::Stall if holds(&armed.fault, moment, Anchor::Any) => end::stall(),
                FaultKind::Crash if holds(&armed.fault, moment, Anchor::Any) => {
                    end::crash(armed.fault.signal.unwrap_or_default())
                }
                _ => {}
            }
        }
    }

    fn of(&self, kind: FaultKind) -> impl Iterator<Item = &Armed> {
        self.faults.iter().filter(move |armed| armed.fault.kind == kind)
    }

    fn matching<'a>(&'a self, moment: Moment<'a>, anchor: Anchor) -> impl Iterator<Item = &'a Armed> {
        self.armed().filter(move |armed| holds(&armed.fault, moment, anchor))
    }
}

/// Embedding, norm and head stay, so that the text is still right.
fn is_in_last_third(index: usize, modules: usize) -> bool {
    let layers = modules.saturating_sub(3);
    let from = 1 + layers - layers.div_ceil(3);
    (from..=layers).contains(&index)
}

fn delay(fault: &Fault) -> Duration {
    Duration::from_secs_f64(fault.delay_s.unwrap_or(SLOW).clamp(0.0, 3600.0))
}

//! Two trails side by side: where they part first, or how far they agree.
//!
//! A step is compared as long as both were given the same tokens. On one kind of device the same program gives the same
//! bits, so any difference counts; between kinds, and behind the first difference between kinds, it counts where it is
//! larger than rounding explains. A hop needs no other trail: what arrives must be what was sent, bit for bit.

use super::became::Became;
use super::walk::{Defect, History, first_defect, module_place};
use super::{AuditEntry, AuditStep, Side, TensorPrint};
use crate::device::DeviceId;
use crate::outcome::Place;
use crate::protocol::DeviceFacts;

pub use super::walk::Stage;

/// A trail with what is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    /// What people call it: the name of the placement.
    pub name: &'a str,
    /// Its steps.
    pub steps: &'a [AuditStep],
    /// The devices its worker saw: differences between kinds of hardware are judged more mildly.
    pub devices: &'a [DeviceFacts],
    /// The weights are quantised: kernels of different hardware then round activations too, each in its own way.
    pub is_quantised: bool,
}

/// Which of two trails is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The one that is judged.
    Ours,
    /// The one it is compared with.
    Theirs,
}

/// Where two trails part, or one is wrong by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Parting {
    /// The step: the token it makes.
    pub token: u32,
    /// Whose place it is.
    pub whose: Whose,
    /// The module or hop.
    pub place: Place,
    /// Where on the way through it.
    pub stage: Stage,
    /// What the tensor became.
    pub became: Became,
    /// Euclidean length of what it should have been.
    pub right_l2: Option<f64>,
    /// The difference relative to what it should have been, as far as samples and figures show it.
    pub relative: Option<f64>,
    /// Such a difference would be rounding between two kinds of hardware.
    pub is_small: bool,
}

/// The largest difference that was not counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// The step.
    pub token: u32,
    /// The module.
    pub module: String,
    /// Relative difference.
    pub relative: f64,
}

/// Why the comparison ended where it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both ended together.
    Complete,
    /// The tokens given to this step differ.
    InputsDiffer {
        /// The step.
        token: u32,
    },
    /// The judged trail ends within or before this step.
    OursEnds {
        /// The step.
        token: u32,
    },
    /// The other one does.
    TheirsEnds {
        /// The step.
        token: u32,
    },
}

/// A module of a step beside its counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The same bits.
    Same,
    /// Other bits, but no more than rounding explains.
    Near,
    /// Another output.
    Other,
    /// There was nothing to compare it with.
    Alone,
    /// It was not computed.
    Absent,
}

/// The modules of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRow {
    /// The step.
    pub token: u32,
    /// One for each of [`Comparison::modules`].
    pub cells: Vec<Cell>,
}

/// What became of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Name of the trail it was compared with; absent where there is none.
    pub reference: Option<String>,
    /// Modules in order of execution, each with the device it ran on.
    pub modules: Vec<(String, DeviceId)>,
    /// Hops that were looked at.
    pub hops: usize,
    /// Steps of the judged trail, each as far as it goes.
    pub rows: Vec<CellRow>,
    /// Steps that were compared from beginning to end.
    pub steps_compared: usize,
    /// The largest difference that was let pass.
    pub drift: Option<Drift>,
    /// The first that was not.
    pub parting: Option<Parting>,
    /// Why it ended.
    pub end: End,
}

/// Compares a trail with another, or, where there is none, with itself: each hop with what it was sent.
#[must_use]
pub fn compare(ours: &Trail<'_>, theirs: Option<&Trail<'_>>) -> Comparison {
    let mut walk = Walk {
        ours,
        theirs,
        our_defect: first_defect(ours.steps),
        their_defect: theirs.and_then(|theirs| first_defect(theirs.steps)),
        history: History::default(),
        goes_on: theirs.is_some(),
        made: Comparison {
            reference: theirs.map(|theirs| theirs.name.to_owned()),
            modules: modules(ours.steps),
            hops: ours
                .steps
                .iter()
                .flat_map(|step| &step.entries)
                .filter(|entry| entry.side == Side::Arrived)
                .count(),
            rows: Vec::new(),
            steps_compared: 0,
            drift: None,
            parting: None,
            end: End::Complete,
        },
    };
    for (number, step) in ours.steps.iter().enumerate() {
        walk.step(number, step);
    }
    let next = ours.steps.last().map_or(0, |last| last.token.saturating_add(1));
    if walk.goes_on && theirs.is_some_and(|theirs| theirs.steps.iter().any(|step| step.token >= next)) {
        walk.made.end = End::OursEnds { token: next };
    }
    walk.made
}

fn outputs_of(step: &AuditStep) -> usize {
    step.entries.iter().filter(|entry| entry.side == Side::Output).count()
}

/// The modules of the longest step.
fn modules(steps: &[AuditStep]) -> Vec<(String, DeviceId)> {
    let outputs = |step: &AuditStep| -> Vec<(String, DeviceId)> {
        let outputs = step.entries.iter().filter(|entry| entry.side == Side::Output);
        outputs.map(|entry| (entry.at.clone(), entry.device.clone())).collect()
    };
    steps.iter().map(outputs).max_by_key(Vec::len).unwrap_or_default()
}

struct Walk<'a> {
    ours: &'a Trail<'a>,
    theirs: Option<&'a Trail<'a>>,
    our_defect: Option<Defect>,
    their_defect: Option<Defect>,
    history: History,
    /// There is still something to compare with.
    goes_on: bool,
    made: Comparison,
}

impl<'a> Walk<'a> {
    fn step(&mut self, number: usize, step: &'a AuditStep) {
        let counterpart = self.counterpart(step);
        let mut cells = vec![Cell::Absent; self.made.modules.len()];
        let mut previous: Option<&AuditEntry> = None;
        let mut outputs = 0;
        for (at, entry) in step.entries.iter().enumerate() {
            let is_here = |defect: &Defect| defect.position == (number, at);
            if self.our_defect.as_ref().is_some_and(is_here) {
                let defect = self.our_defect.take();
                self.part_at(defect, Whose::Ours);
            }
            if entry.side == Side::Output {
                let cell = self.output(entry, counterpart, step.token);
                if let Some(slot) = cells.get_mut(outputs) {
                    *slot = cell;
                }
                outputs += 1;
            }
            self.history.remember(step.token, entry, previous);
            previous = Some(entry);
        }
        // A trail that ends in its first step never names the modules it did not come to.
        let of_counterpart = counterpart.map_or(0, |(_, other)| outputs_of(other));
        if self.goes_on && outputs < self.made.modules.len().max(of_counterpart) {
            self.end(End::OursEnds { token: step.token });
        } else if self.goes_on {
            self.made.steps_compared += 1;
        }
        self.made.rows.push(CellRow {
            token: step.token,
            cells,
        });
    }

    /// The step of the other trail with the same input, with its number.
    fn counterpart(&mut self, step: &AuditStep) -> Option<(usize, &'a AuditStep)> {
        let theirs = self.theirs.filter(|_| self.goes_on)?;
        let is_same = |other: &AuditStep| (other.generation, other.token) == (step.generation, step.token);
        let Some(number) = theirs.steps.iter().position(is_same) else {
            self.end(End::TheirsEnds { token: step.token });
            return None;
        };
        let other = theirs.steps.get(number)?;
        if (other.input, other.input_tokens) != (step.input, step.input_tokens) {
            self.end(End::InputsDiffer { token: step.token });
            return None;
        }
        Some((number, other))
    }

    /// What a module made beside what it made in the other trail.
    fn output(&mut self, entry: &AuditEntry, counterpart: Option<(usize, &'a AuditStep)>, token: u32) -> Cell {
        let Some((number, step)) = counterpart.filter(|_| self.goes_on) else {
            return Cell::Alone;
        };
        let is_same = |other: &AuditEntry| other.side == Side::Output && other.at == entry.at;
        let Some((at, other)) = step.entries.iter().enumerate().find(|(_, other)| is_same(other)) else {
            self.end(End::TheirsEnds { token });
            return Cell::Alone;
        };
        // Behind its own mistake the other trail is no measure any more.
        let is_past = |defect: &Defect| defect.position <= (number, at);
        if self.their_defect.as_ref().is_some_and(is_past) {
            let defect = self.their_defect.take();
            self.part_at(defect, Whose::Theirs);
        }
        let (ours, theirs) = (&entry.print, &other.print);
        if ours.digest == theirs.digest && ours.dtype == theirs.dtype {
            return Cell::Same;
        }
        if self.made.parting.is_some() {
            return Cell::Other;
        }
        let relative = relative_difference(ours, theirs);
        let is_small = relative <= self.tolerance(ours, theirs);
        let is_exact = self.made.drift.is_none() && self.is_one_kind(&entry.device, &other.device);
        if is_small && !is_exact {
            self.note_drift(token, entry, relative);
            return Cell::Near;
        }
        self.made.parting = Some(Parting {
            token,
            whose: Whose::Ours,
            place: module_place(entry),
            stage: Stage::Computing,
            became: Became::of(ours, theirs, None, self.history.of(entry, None)),
            right_l2: Some(theirs.l2),
            relative: relative.is_finite().then_some(relative),
            is_small,
        });
        Cell::Other
    }

    fn part_at(&mut self, defect: Option<Defect>, whose: Whose) {
        if self.made.parting.is_some() {
            return;
        }
        self.made.parting = defect.map(|defect| Parting {
            token: defect.token,
            whose,
            place: defect.place,
            stage: defect.stage,
            became: defect.became,
            right_l2: defect.right_l2,
            relative: None,
            is_small: false,
        });
    }

    fn note_drift(&mut self, token: u32, entry: &AuditEntry, relative: f64) {
        let is_larger = |drift: &Drift| relative > drift.relative;
        if self.made.drift.as_ref().is_none_or(is_larger) {
            self.made.drift = Some(Drift {
                token,
                module: entry.at.clone(),
                relative,
            });
        }
    }

    fn end(&mut self, end: End) {
        self.goes_on = false;
        self.made.end = end;
    }

    /// The same kind of hardware below both devices: the same program then gives the same bits.
    fn is_one_kind(&self, ours: &DeviceId, theirs: &DeviceId) -> bool {
        let Some(other) = self.theirs else { return false };
        hardware(ours, self.ours.devices) == hardware(theirs, other.devices)
    }

    fn tolerance(&self, ours: &TensorPrint, theirs: &TensorPrint) -> f64 {
        let is_quantised = self.ours.is_quantised || self.theirs.is_some_and(|theirs| theirs.is_quantised);
        let least = if is_quantised { QUANTISED_TOLERANCE } else { 0.0 };
        tolerance(&ours.dtype).max(tolerance(&theirs.dtype)).max(least)
    }
}

/// The physical device below a device, by kind and model: `cuda NVIDIA H200`.
fn hardware(device: &DeviceId, facts: &[DeviceFacts]) -> String {
    let known = |id: &DeviceId| facts.iter().find(|facts| facts.id == *id);
    let physical = known(device).map_or(device, |facts| &facts.on);
    let kind = physical.as_str().split(':').next().unwrap_or_default();
    match (physical.is_accelerator(), known(physical)) {
        (true, Some(facts)) => format!("{kind} {}", facts.name),
        _ => kind.to_owned(),
    }
}

/// Kernels for quantised weights round activations to blocks of eight bits, on some hardware and not on other.
const QUANTISED_TOLERANCE: f64 = 5e-2;

/// How far the outputs of two kinds of hardware may be apart, relative to their size. Rounding adds up from layer to layer:
/// about a thousand times the rounding error of single precision, ten times that of the halves.
fn tolerance(dtype: &str) -> f64 {
    match dtype {
        "f16" => 1e-2,
        "bf16" => 5e-2,
        _ => 1e-3,
    }
}

/// The largest of three relative differences: of the sampled values, of the lengths, and of the largest values. Infinite where
/// the tensors cannot be compared.
fn relative_difference(ours: &TensorPrint, theirs: &TensorPrint) -> f64 {
    if ours.shape != theirs.shape || ours.non_finite != theirs.non_finite {
        return f64::INFINITY;
    }
    let finite = |x: &Option<f32>| x.map_or(0.0, f64::from);
    let pairs = ours.sample.iter().zip(&theirs.sample);
    let squares: f64 = pairs.map(|(a, b)| (finite(a) - finite(b)).powi(2)).sum();
    let right: f64 = theirs.sample.iter().map(|b| finite(b).powi(2)).sum();
    let over = |difference: f64, of: f64| match (difference == 0.0, of == 0.0) {
        (true, _) => 0.0,
        (false, true) => f64::INFINITY,
        (false, false) => difference / of,
    };
    over(squares.sqrt(), right.sqrt())
        .max(over((ours.l2 - theirs.l2).abs(), theirs.l2))
        .max(over((ours.peak() - theirs.peak()).abs(), theirs.peak()))
}

//! Faults a scenario can inject into a worker, so that each detector can be shown to work.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::device::DeviceId;
use crate::outcome::Phase;
use crate::units::Bytes;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A hop, module, phase or token never completes.
    Stall,
    /// A hop delivers zeros.
    ZeroCopy,
    /// A hop delivers what the previous hop of that link carried.
    StaleCopy,
    /// A hop delivers some wrong values.
    CorruptCopy,
    /// A hop takes longer than it should.
    SlowLink,
    /// A module's output is not a number.
    Nan,
    /// An allocation fails.
    OutOfMemory,
    /// The process dies of a signal.
    Crash,
    /// Inputs are left on another device than the model's first stage.
    InputDevice,
    /// Tied weights live on two devices and differ.
    SplitTie,
    /// The realised placement is not the resolved one.
    IgnoredSplit,
    /// Layers silently land on the cpu or the disk.
    Spill,
    /// Memory is held after a generation that should have been freed.
    Leak,
    /// SIGTERM is ignored.
    Unkillable,
    /// The text is one token repeated.
    Garbage,
    /// Every step takes longer than it should.
    SlowStep,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Stall,
        Self::ZeroCopy,
        Self::StaleCopy,
        Self::CorruptCopy,
        Self::SlowLink,
        Self::Nan,
        Self::OutOfMemory,
        Self::Crash,
        Self::InputDevice,
        Self::SplitTie,
        Self::IgnoredSplit,
        Self::Spill,
        Self::Leak,
        Self::Unkillable,
        Self::Garbage,
        Self::SlowStep,
    ];

    /// What can be said about where and when it strikes. Anything else is refused where a scenario is read: a condition
    /// that is silently ignored would make a detector look proven.
    #[must_use]
    pub fn conditions(self) -> Conditions {
        let anywhere = Conditions {
            hop: true,
            module: true,
            token: true,
            bytes: false,
            phases: &Phase::ALL,
        };
        let nowhere = Conditions {
            hop: false,
            module: false,
            token: false,
            phases: &[],
            ..anywhere
        };
        match self {
            Self::Stall | Self::Crash => anywhere,
            Self::ZeroCopy | Self::StaleCopy | Self::CorruptCopy | Self::SlowLink => Conditions {
                module: false,
                phases: &[Phase::Prepare, Phase::Prefill, Phase::Decode],
                ..anywhere
            },
            Self::Nan => Conditions {
                hop: false,
                phases: &[Phase::Prepare, Phase::Prefill, Phase::Decode],
                ..anywhere
            },
            Self::OutOfMemory => Conditions {
                hop: false,
                bytes: true,
                phases: &[Phase::Load, Phase::Prepare, Phase::Prefill, Phase::Decode],
                ..anywhere
            },
            Self::InputDevice | Self::Garbage | Self::SlowStep => Conditions {
                token: true,
                phases: &GENERATING,
                ..nowhere
            },
            Self::IgnoredSplit | Self::Spill => Conditions {
                module: true,
                ..nowhere
            },
            Self::Leak => Conditions { bytes: true, ..nowhere },
            Self::SplitTie | Self::Unkillable => nowhere,
        }
    }

    /// True where it has nothing to strike unless the modules are on two devices.
    #[must_use]
    pub fn needs_two_devices(self) -> bool {
        match self {
            Self::ZeroCopy
            | Self::StaleCopy
            | Self::CorruptCopy
            | Self::SlowLink
            | Self::SplitTie
            | Self::IgnoredSplit => true,
            Self::Stall
            | Self::Nan
            | Self::OutOfMemory
            | Self::Crash
            | Self::InputDevice
            | Self::Spill
            | Self::Leak
            | Self::Unkillable
            | Self::Garbage
            | Self::SlowStep => false,
        }
    }

    /// The name in scenarios.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::ZeroCopy => "zero_copy",
            Self::StaleCopy => "stale_copy",
            Self::CorruptCopy => "corrupt_copy",
            Self::SlowLink => "slow_link",
            Self::Nan => "nan",
            Self::OutOfMemory => "out_of_memory",
            Self::Crash => "crash",
            Self::InputDevice => "input_device",
            Self::SplitTie => "split_tie",
            Self::IgnoredSplit => "ignored_split",
            Self::Spill => "spill",
            Self::Leak => "leak",
            Self::Unkillable => "unkillable",
            Self::Garbage => "garbage",
            Self::SlowStep => "slow_step",
        }
    }
}

/// The phases in which tokens are made.
const GENERATING: [Phase; 2] = [Phase::Prefill, Phase::Decode];

/// Which conditions mean something for a kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// `hop`, and `link`.
    pub hop: bool,
    /// `module`.
    pub module: bool,
    /// `token`.
    pub token: bool,
    /// `bytes`.
    pub bytes: bool,
    /// `phase`, with one of these.
    pub phases: &'static [Phase],
}

impl Conditions {
    /// `generation`: what does not happen once for all while opening.
    #[must_use]
    pub fn generation(&self) -> bool {
        !self.phases.is_empty() || self.bytes
    }

    /// `rank`: what a rank meets by itself, while it works.
    #[must_use]
    pub fn rank(&self) -> bool {
        !self.phases.is_empty()
    }

    /// `device`: where modules are met one by one.
    #[must_use]
    pub fn device(&self) -> bool {
        self.module && !self.phases.is_empty()
    }
}

/// The signal that ends a process with the fault `crash`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum CrashSignal {
    /// An assertion failed or an allocator found its heap broken: what `abort` raises.
    #[default]
    #[serde(rename = "SIGABRT")]
    Abort,
    /// An address that is not mapped.
    #[serde(rename = "SIGSEGV")]
    Segv,
    /// A mapped file that has become shorter, or memory with an error that hardware found.
    #[serde(rename = "SIGBUS")]
    Bus,
    /// An instruction this processor does not have.
    #[serde(rename = "SIGILL")]
    Ill,
    /// A division by zero.
    #[serde(rename = "SIGFPE")]
    Fpe,
    /// What the kernel sends when memory has run out.
    #[serde(rename = "SIGKILL")]
    Kill,
}

/// Where and when a fault happens: every condition that is given must hold; none means the first chance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultPoint {
    /// `from -> to` module paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<String>,
    /// Dotted module path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Position of the token being made, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u32>,
    /// `out_of_memory`: an allocation that brings its device above this. `leak`: what is kept of each generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// `from -> to` devices: hops that go directly from one to the other; `from -> host -> to`: through host memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The device a module runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Number of the generation in its process, warm-ups included, from 0: for what does not happen every time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// The rank it strikes on, where the engine runs as several processes; absent: on each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
}

/// One injected fault, already narrowed to the placement it applies to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Where and when.
    pub at: FaultPoint,
    /// `slow_link`: the delay of each hop, `slow_step`: of each step, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_s: Option<f64>,
    /// `crash`: the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<CrashSignal>,
    /// `slow_step`: what the time of a step is multiplied by, above 1, where no delay is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

impl Fault {
    /// A fault with nothing but its place.
    #[must_use]
    pub fn new(kind: FaultKind, at: FaultPoint) -> Self {
        Self {
            kind,
            at,
            delay_s: None,
            signal: None,
            factor: None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        match self.at.to_string() {
            at if at.is_empty() => Ok(()),
            at => write!(f, " at {at}"),
        }
    }
}

/// `hop a -> b, token 2`; nothing where there are no conditions.
impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.phase.map(|phase| format!("phase {phase}")),
            self.token.map(|token| format!("token {token}")),
            self.hop.as_ref().map(|hop| format!("hop {hop}")),
            self.module.as_ref().map(|module| format!("module {module}")),
            self.link.as_ref().map(|link| format!("link {link}")),
            self.device.as_ref().map(|device| format!("device {device}")),
            self.bytes.map(|bytes| bytes.to_string()),
            self.generation.map(|generation| format!("generation {generation}")),
            self.rank.map(|rank| format!("rank {rank}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// Whether two texts name the same hop: people write `a->b` with any spacing.
#[must_use]
pub fn same_hop(written: &str, name: &str) -> bool {
    let parts = |text: &str| -> Vec<String> { text.split("->").map(|part| part.trim().to_owned()).collect() };
    parts(written) == parts(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_named_as_it_is_written() {
        for (index, kind) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index, "the order of the declaration");
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.as_str()));
        }
    }

    #[test]
    fn a_fault_says_where_it_strikes() {
        let at = FaultPoint {
            hop: Some("a -> b".into()),
            token: Some(2),
            ..FaultPoint::default()
        };
        assert_eq!(
            Fault::new(FaultKind::ZeroCopy, at).to_string(),
            "zero_copy at token 2, hop a -> b"
        );
        assert_eq!(Fault::new(FaultKind::Leak, FaultPoint::default()).to_string(), "leak");
    }

    #[test]
    fn hops_are_compared_without_their_spacing() {
        assert!(same_hop("a->b", "a -> b") && same_hop(" a  ->b ", "a -> b"));
        assert!(!same_hop("a", "a -> b") && !same_hop("b -> a", "a -> b"));
    }
}

//! Faults a scenario can inject into a worker, so that each detector can be shown to work.

use serde::{Deserialize, Serialize};

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
    /// Memory is held after it should have been freed.
    Leak,
    /// SIGTERM is ignored.
    Unkillable,
    /// The text is one token repeated.
    Garbage,
}

impl FaultKind {
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
        }
    }
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
    /// A byte count: of an allocation's device, for `out_of_memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// Number of the generation in its process, warm-ups included, from 0: for what does not happen every time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
}

/// One injected fault, already narrowed to the placement it applies to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Where and when.
    pub at: FaultPoint,
    /// `slow_link`: the delay of each hop, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_s: Option<f64>,
}

//! Where a worker is: phase, module or hop.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RankSeen;
use crate::device::DeviceId;

/// Where in its life a worker is; a hang is named by its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The process was started and has not spoken yet.
    Spawn,
    /// Finding the model's files, tokenizer and devices.
    Resolve,
    /// Turning the request into a device map.
    Plan,
    /// Reading weights and putting them on their devices.
    Load,
    /// Tokenising and warming up.
    Prepare,
    /// From the prompt to the first token.
    Prefill,
    /// The tokens after the first.
    Decode,
    /// Reporting, after the last token.
    Finish,
}

impl Phase {
    /// All phases in the order a worker goes through them.
    pub const ALL: [Self; 8] = [
        Self::Spawn,
        Self::Resolve,
        Self::Plan,
        Self::Load,
        Self::Prepare,
        Self::Prefill,
        Self::Decode,
        Self::Finish,
    ];

    /// The name used in scenarios and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Resolve => "resolve",
            Self::Plan => "plan",
            Self::Load => "load",
            Self::Prepare => "prepare",
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Finish => "finish",
        }
    }

    /// The phase with that position in [`Phase::ALL`]: how the breadcrumb stores it.
    #[must_use]
    pub fn from_index(index: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(index).ok()?).copied()
    }

    /// The position in [`Phase::ALL`].
    #[must_use]
    pub fn index(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An activation moving between two stages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Hop {
    /// Last module of the sending stage.
    pub from_module: String,
    /// First module of the receiving stage.
    pub to_module: String,
    /// The sending device.
    pub from_device: DeviceId,
    /// The receiving device.
    pub to_device: DeviceId,
}

impl Hop {
    /// `model.layers.3 -> model.layers.4`: the spelling scenarios use.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} -> {}", self.from_module, self.to_module)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} -> {} ({} -> {})",
            self.from_module, self.to_module, self.from_device, self.to_device
        )
    }
}

/// The place a worker was at: computing a module, or moving an activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Inside a module, on a device.
    Module {
        /// Dotted path of the module.
        module: String,
        /// The device it runs on.
        device: DeviceId,
    },
    /// On the way between two stages.
    Hop(Hop),
}

impl Place {
    /// The name scenarios use: a module path or `from -> to`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Module { module, .. } => module.clone(),
            Self::Hop(hop) => hop.name(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module { module, device } => write!(f, "module {module} on {device}"),
            Self::Hop(hop) => write!(
                f,
                "hop {} -> {}, {} -> {}",
                hop.from_module, hop.to_module, hop.from_device, hop.to_device
            ),
        }
    }
}

/// Where a worker was when it was last heard of or looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LastSeen {
    /// The phase it was in.
    pub phase: Option<Phase>,
    /// Position of the token it was working on, from 0; the first token is made by the prefill.
    pub token: Option<u32>,
    /// The module or hop it was in.
    pub place: Option<Place>,
    /// Seconds it had been there when it was judged.
    pub for_s: Option<f64>,
    /// Seconds from the last token of its generation to when it got there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_token_before_s: Option<f64>,
    /// Where each rank was, in their order, where the engine runs as several processes. `phase`, `token`, `place` and `for_s`
    /// above are then those of the rank that is [behind](super::ranks::behind).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<RankSeen>,
}

//! What an audit leaves behind, in order of execution.

use serde::{Deserialize, Serialize};

use super::{Digest, TensorPrint};
use crate::device::DeviceId;

/// Which tensor of a place was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What a module made.
    Output,
    /// What a hop carries, on the device it leaves.
    Sent,
    /// The same, on the device it came to.
    Arrived,
}

/// How what arrived differs from what was sent, element by element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Changed {
    /// Elements with other bits.
    pub elements: u64,
    /// Position of the first of them, counted through all rows.
    pub first: u64,
}

/// A tensor that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AuditEntry {
    /// Dotted path of the module, or the name of the hop: `model.layers.3 -> model.layers.4`.
    pub at: String,
    /// Which tensor.
    pub side: Side,
    /// The device it was on.
    pub device: DeviceId,
    /// How it differs from what was sent; only where it arrived otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
    /// What it held.
    pub print: TensorPrint,
}

/// All tensors of one step, or those up to its next hop: a step is told in parts, so that one that never ends has left
/// what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AuditStep {
    /// The generation.
    pub generation: u32,
    /// Position of the token the step makes, from 0: the prefill makes the first.
    pub token: u32,
    /// The tokens the step was given, as little-endian 32-bit numbers.
    pub input: Digest,
    /// How many they are.
    pub input_tokens: u64,
    /// In the order in which they came about.
    pub entries: Vec<AuditEntry>,
}

impl AuditStep {
    /// Appends a part to a trail: to its last step, or as a new one.
    pub fn append_to(self, trail: &mut Vec<Self>) {
        match trail.last_mut() {
            Some(last) if (last.generation, last.token) == (self.generation, self.token) => {
                last.entries.extend(self.entries);
            }
            _ => trail.push(self),
        }
    }
}

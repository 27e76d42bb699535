//! What a planner is asked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::amount::Amount;
use super::device::PlanDevice;
use super::error::PlanError;
use crate::placement::StrategyName;

/// Whose rules decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dialect {
    /// Accelerate 1.4.0, which Transformers 4.x calls; 1.15.0 answers the same.
    #[default]
    #[serde(rename = "accelerate")]
    Accelerate,
    /// The planner that Transformers 5 brings itself (5.23.0): larger balancing margin, tied names counted once.
    #[serde(rename = "transformers-5")]
    Transformers5,
}

/// Why a text names no dialect or flow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no planner {what}; there are {}", known.join(", "))]
pub struct UnknownName {
    /// The text as given.
    pub text: String,
    /// What it should name.
    pub what: &'static str,
    /// All names there are.
    pub known: Vec<&'static str>,
}

impl Dialect {
    /// All dialects, the default first.
    pub const ALL: [Self; 2] = [Self::Accelerate, Self::Transformers5];

    /// The name as written on a command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accelerate => "accelerate",
            Self::Transformers5 => "transformers-5",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dialect {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|dialect| dialect.as_str() == text)
            .ok_or_else(|| UnknownName {
                text: text.to_owned(),
                what: "dialect",
                known: Self::ALL.map(Self::as_str).to_vec(),
            })
    }
}

/// How Accelerate's planner is called; the same for trees without ties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// As `from_pretrained` of Transformers 4.x does: the budget is balanced *before* weights are tied, so a tied
    /// head counts a second time there; then the weights are tied and placed.
    #[default]
    Transformers,
    /// Accelerate called directly on a tied model.
    Accelerate,
}

impl Flow {
    /// All flows, the default first.
    pub const ALL: [Self; 2] = [Self::Transformers, Self::Accelerate];

    /// The name as written on a command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transformers => "transformers",
            Self::Accelerate => "accelerate",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Flow {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|flow| flow.as_str() == text)
            .ok_or_else(|| UnknownName {
                text: text.to_owned(),
                what: "flow",
                known: Self::ALL.map(Self::as_str).to_vec(),
            })
    }
}

/// A device's budget as a user writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum MemoryLimit {
    /// Bytes; negative or fractional numbers are taken as they are.
    Bytes(Amount),
    /// A size string such as `10GiB`; see [`super::parse_size`].
    Text(String),
}

impl From<u64> for MemoryLimit {
    fn from(bytes: u64) -> Self {
        Self::Bytes(Amount::from(bytes))
    }
}

/// A request to plan the placement of a module tree.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest {
    /// How budgets are shared out before placing.
    pub strategy: StrategyName,
    /// Whose rules decide.
    pub dialect: Dialect,
    /// How the planner is called; without effect in [`Dialect::Transformers5`].
    pub flow: Flow,
    /// Budgets, in any order; the last one wins where a device occurs twice. Devices that are not named get nothing,
    /// except for disk, which is never full. `None`: [`Self::free_memory`] is the budget.
    pub max_memory: Option<Vec<(PlanDevice, MemoryLimit)>>,
    /// What the machine has free, in bytes; read only where `max_memory` is `None`.
    pub free_memory: Option<Vec<(PlanDevice, u64)>>,
    /// What weights will be loaded as; `None` means as they are stored.
    pub dtype: Option<String>,
    /// Tensors, by full name, that are loaded as another dtype than [`Self::dtype`].
    pub special_dtypes: Vec<(String, String)>,
    /// Class names that are never divided; `None` means the tree's own.
    pub no_split: Option<Vec<String>>,
    /// Whether neighbours on one device are grouped under their common path.
    pub clean_result: bool,
    /// Whether buffers of offloaded modules are offloaded too; switches the buffer warning off.
    pub offload_buffers: bool,
    /// Whether a later, smaller module may be put on a device on which the next one does not fit (Accelerate only).
    pub fallback_allocation: bool,
}

impl PlanRequest {
    /// A request with the defaults that Transformers 4.x uses, and neither budgets nor a dtype.
    #[must_use]
    pub fn new(strategy: StrategyName) -> Self {
        Self {
            strategy,
            dialect: Dialect::default(),
            flow: Flow::default(),
            max_memory: None,
            free_memory: None,
            dtype: None,
            special_dtypes: Vec::new(),
            no_split: None,
            clean_result: true,
            offload_buffers: false,
            fallback_allocation: false,
        }
    }
}

/// Reads budgets from a JSON object such as `{"0": "10GiB", "cpu": 4000000000}`.
///
/// # Errors
/// When the value is no object, a key is no device, or a budget is neither a number nor a text.
pub fn max_memory_from_json(value: &Value) -> Result<Vec<(PlanDevice, MemoryLimit)>, PlanError> {
    let budgets = value.as_object().ok_or(PlanError::BudgetsNotAnObject)?;
    budgets
        .iter()
        .map(|(key, limit)| {
            let device: PlanDevice = key.parse()?;
            let limit = match limit {
                Value::String(text) => MemoryLimit::Text(text.clone()),
                number => serde_json::from_value(number.clone())
                    .map(MemoryLimit::Bytes)
                    .map_err(|_| PlanError::BadBudget { device })?,
            };
            Ok((device, limit))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for dialect in Dialect::ALL {
            assert_eq!(dialect.to_string().parse(), Ok(dialect));
            assert_eq!(serde_json::to_value(dialect).unwrap(), dialect.as_str());
        }
        for flow in Flow::ALL {
            assert_eq!(flow.to_string().parse(), Ok(flow));
            assert_eq!(serde_json::to_value(flow).unwrap(), flow.as_str());
        }
        assert_eq!("transformers-5".parse(), Ok(Dialect::Transformers5));
        let error = "Transformers5".parse::<Dialect>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Transformers5` is no planner dialect; there are accelerate, transformers-5"
        );
    }
}

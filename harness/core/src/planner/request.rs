//! What a planner is asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::amount::Amount;
use super::device::PlanDevice;
use super::error::PlanError;
use crate::placement::StrategyName;

/// Whose rules decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Accelerate 1.4.0, which Transformers 4.x calls; 1.15.0 answers the same.
    #[default]
    Accelerate,
    /// The planner that Transformers 5 brings itself (5.23.0): larger balancing margin, tied names counted once.
    Transformers5,
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

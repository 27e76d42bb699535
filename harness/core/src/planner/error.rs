//! Why a plan is refused.

use thiserror::Error;

use super::device::{PlanDevice, UnknownDevice};
use super::size_string::SizeError;

/// Why there is no plan, or no explanation of one. Every tree can be planned; only requests can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Neither budgets nor free memory are given.
    #[error("no budget: give `max_memory` or the machine's free memory")]
    NoBudget,
    /// Budgets are written as something else than an object.
    #[error("budgets must be an object from device to bytes or size string")]
    BudgetsNotAnObject,
    /// A key of the budgets is no device.
    #[error(transparent)]
    UnknownDevice(#[from] UnknownDevice),
    /// A budget is neither a finite number nor a size string.
    #[error("the budget of device `{device}` must be a number of bytes or a size string")]
    BadBudget {
        /// The device.
        device: PlanDevice,
    },
    /// A budget's size string cannot be read.
    #[error("the budget of device `{device}` cannot be read")]
    BadSize {
        /// The device.
        device: PlanDevice,
        /// What is wrong with the string.
        source: SizeError,
    },
    /// A requested dtype has no known element size.
    #[error("dtype `{dtype}` has no known element size")]
    UnknownDtype {
        /// The dtype as asked for.
        dtype: String,
    },
    /// An explanation is asked for something that the tree does not have.
    #[error("the tree has no module or tensor `{module}`")]
    UnknownModule {
        /// The name as asked for.
        module: String,
    },
}

//! What can be wrong with a configuration.

use thiserror::Error;

use crate::module_tree::TreeError;

/// Why a configuration makes no module tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigTreeError {
    /// The configuration is a list, a number or a text.
    #[error("the configuration is no JSON object")]
    NotAnObject,
    /// The model is of no known family.
    #[error("`model_type` is `{model_type}`, which is not supported; supported are {}", supported.join(", "))]
    UnknownFamily {
        /// The family as given.
        model_type: String,
        /// All that are known.
        supported: Vec<&'static str>,
    },
    /// A key that shapes the model is not there.
    #[error("the configuration has no `{key}`")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value of the wrong kind.
    #[error("`{key}` must be {expected}, not {found}")]
    WrongKind {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A number that no model has.
    #[error("`{key}` is {value}; it must be between {least} and {most}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The smallest number allowed.
        least: u64,
        /// The largest number allowed.
        most: u64,
    },
    /// One number must be a multiple of another.
    #[error("`{key}` is {value}, which is no multiple of `{of}`, {divisor}")]
    NotAMultiple {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The key of the divisor.
        of: &'static str,
        /// The divisor.
        divisor: u64,
    },
    /// An activation function that Transformers does not have.
    #[error("`{key}` names the activation `{name}`, which is not known")]
    UnknownActivation {
        /// The key.
        key: &'static str,
        /// The activation's name.
        name: String,
    },
    /// A variant that is not built here.
    #[error("`{key}` is set, which is not supported: {why}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// The parts make no tree; with valid keys only because a tensor would be too large.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

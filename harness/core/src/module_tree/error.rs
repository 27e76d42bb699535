//! What can be wrong with a module tree.

use thiserror::Error;

/// Why modules and tensors make no tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// No module has the empty path.
    #[error("the tree has no root module (path \"\")")]
    NoRoot,
    /// A path with an empty component, such as `a..b`.
    #[error("`{path}` is no dotted path")]
    BadPath {
        /// The path as given.
        path: String,
    },
    /// More nested than any model.
    #[error("`{path}` has more than {limit} components")]
    TooDeep {
        /// The path as given.
        path: String,
        /// The number of components allowed.
        limit: usize,
    },
    /// Two modules or tensors have this name, or a module and a tensor share it.
    #[error("`{name}` is listed twice")]
    Duplicate {
        /// The path or name.
        name: String,
    },
    /// The parent of a module or tensor is not listed.
    #[error("`{name}` lies in `{parent}`, which is no module of the tree")]
    Orphan {
        /// The path or name.
        name: String,
        /// The path of the missing module.
        parent: String,
    },
    /// No size in bytes follows from this dtype.
    #[error("tensor `{name}` has dtype `{dtype}`, whose element size is not known; give its bytes")]
    UnknownDtype {
        /// The tensor.
        name: String,
        /// Its dtype.
        dtype: String,
    },
    /// The listed bytes are not elements times bytes per element.
    #[error("tensor `{name}` is listed with {listed} bytes, but shape and dtype make {computed}")]
    BytesMismatch {
        /// The tensor.
        name: String,
        /// The bytes as listed.
        listed: String,
        /// The bytes that follow from shape and dtype.
        computed: String,
    },
    /// More bytes than any memory has.
    #[error("tensor `{name}` has an absurd size")]
    TooLarge {
        /// The tensor.
        name: String,
    },
    /// A tie names something that is no parameter.
    #[error("`{name}` is tied but is no parameter of the tree")]
    TiedUnknown {
        /// The name in the group.
        name: String,
    },
    /// A parameter is in two groups, or twice in one.
    #[error("`{name}` is tied twice")]
    TiedTwice {
        /// The parameter.
        name: String,
    },
    /// Members of a group differ in shape or dtype, so they cannot be one parameter.
    #[error("`{name}` is tied to `{other}` but differs from it in shape or dtype")]
    TiedDiffer {
        /// One parameter.
        name: String,
        /// The other.
        other: String,
    },
    /// A pair of `same_module` names no two modules, the first one first.
    #[error("`{path}` cannot be the same module as `{first}`: both must be modules, and `{first}` must come first")]
    SameModule {
        /// The second path.
        path: String,
        /// The first path.
        first: String,
    },
    /// A path is said to be the same module as two others.
    #[error("`{path}` is said twice to be the same module as another")]
    SameModuleTwice {
        /// The path.
        path: String,
    },
    /// A module would contain itself.
    #[error("`{path}` cannot be the same module as `{first}`, which contains it: the tree would have no end")]
    Cycle {
        /// The path inside.
        path: String,
        /// The path outside.
        first: String,
    },
}

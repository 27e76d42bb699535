//! Baselines: the figures of a run kept beside the code, and later runs held against them.
//!
//! `ci/baselines/NAME/` is a baseline: a file for each machine, named after its hardware, and perhaps one for all machines.

pub(crate) mod folder;
pub(crate) mod hold;
pub(crate) mod machines;
pub(crate) mod request;
pub(crate) mod save;

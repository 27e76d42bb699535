//! What is asked of an engine, by subject.

pub(crate) mod ends;
pub(crate) mod faults;
pub(crate) mod placement;
pub(crate) mod refusals;
pub(crate) mod speech;
pub(crate) mod text;

//! Two stored runs side by side: which cases are the same, what has changed in them, and how that is said.

pub(crate) mod document;
pub(crate) mod github;
pub(crate) mod human;
pub(crate) mod markdown;
pub(crate) mod matching;
pub(crate) mod noise;
pub(crate) mod page;
pub(crate) mod placements;
pub(crate) mod sentences;
pub(crate) mod stored;
mod table;
pub(crate) mod words;

//! Planning without running: where a model comes from, what is asked, and how the answer is shown.

pub(crate) mod answer;
pub(crate) mod request;
pub(crate) mod show;
pub(crate) mod source;

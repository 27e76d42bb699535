//! Text of a file that someone else wrote, made fit for a message.

pub(crate) use placebench_core::shown::shown;
